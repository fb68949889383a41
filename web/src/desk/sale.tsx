/** Selling at the counter: the seats that somebody in front of the desk wants, for whom, how they pay, and the ticket. */

import { type Signal, useSignal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import * as v from "valibot";
import { Order } from "../box/order";
import type { Confirmation, ListedUser, Payment, Seat, Showing } from "../box/wire";
import { cents, priceOf, total } from "../core/money";
import { seatNames } from "../core/room";
import { Countdown } from "../shared/Countdown";
import { Field } from "../shared/Field";
import { priceText } from "../shared/language";
import { refusalText } from "../shared/refusals";
import { seatsText, seatText } from "../shared/seats";
import { Ticket } from "../shared/Ticket";
import { calledBy, isEmail } from "./accounts";
import { useDesk } from "./context";
import { CustomerChoice } from "./customer";
import { useAsking, useOwned } from "./lasting";
import { Action, Failure } from "./parts";
import { texts } from "./texts";

const KeptPayment = v.picklist(["none", "cash", "card", "other"]);
type PaymentChoice = v.InferOutput<typeof KeptPayment>;
const PAYMENTS: readonly PaymentChoice[] = ["none", "cash", "card", "other"];

/** A sale, and the next one when it is done. */
export interface SaleState {
  order: Order;
  customer: Signal<ListedUser | null>;
  email: Signal<string>;
  paid: Signal<PaymentChoice>;
  /** What has been paid for the booking, once it has been noted. */
  noted: Signal<Payment | null>;
  /** Begin another one, with a seat that was touched for it. */
  next(seatId?: string): void;
}

export function useSale(showingId: string): SaleState {
  const { box } = useDesk();
  const [turn, setTurn] = useState(0);
  const first = useRef<string | undefined>(undefined);
  const order = useOwned(() => begun(), `${showingId} ${turn}`);
  const customer = useSignal<ListedUser | null>(null);
  const email = useSignal("");
  const paid = useSignal<PaymentChoice>(box.memory.get("payment", KeptPayment) ?? "none");
  const noted = useSignal<Payment | null>(null);
  function begun(): Order {
    const unresolved = turn === 0 ? box.unresolved.find((request) => request.showing_id === showingId) : undefined;
    if (unresolved !== undefined) return Order.resumed(box, unresolved);
    const order = turn === 0 ? Order.begun(box, showingId) : new Order(box, showingId);
    if (first.current !== undefined) order.toggle(first.current);
    first.current = undefined;
    return order;
  }
  const next = (seatId?: string) => {
    first.current = seatId;
    customer.value = null;
    email.value = "";
    noted.value = null;
    setTurn((before) => before + 1);
  };
  return { order, customer, email, paid, noted, next };
}

export interface SaleProps {
  sale: SaleState;
  showing: Showing;
  seats: readonly Seat[];
}

export function Sale({ sale, showing, seats }: SaleProps) {
  const confirmation = sale.order.confirmation.value;
  const said = texts.value.sale;
  return (
    <section class="card stack sale" aria-labelledby="sale-title">
      <h2 id="sale-title">{said.title}</h2>
      {confirmation === null ? (
        <Choosing sale={sale} showing={showing} seats={seats} />
      ) : (
        <Done sale={sale} showing={showing} seats={seats} confirmation={confirmation} />
      )}
    </section>
  );
}

function Choosing({ sale, showing, seats }: SaleProps) {
  const { box } = useDesk();
  const { order, customer, email, paid } = sale;
  const [isEmailWrong, setEmailWrong] = useState(false);
  const said = texts.value.sale;
  const chosen = order.seats.value.flatMap((id) => seats.find((seat) => seat.seat_id === id) ?? []);
  const costs = total(showing, chosen);
  const isBooking = order.stage.value === "booking";
  const ends = order.expiresAt.value;

  const book = async () => {
    const address = email.value.trim();
    const isWrong = address !== "" && !isEmail(address);
    setEmailWrong(isWrong);
    if (isWrong || isBooking) return;
    box.memory.set("payment", paid.value);
    await order.book({
      ...(address === "" ? {} : { email: address }),
      ...(customer.value === null ? {} : { user_id: customer.value.user_id }),
    });
  };

  if (chosen.length === 0) {
    return (
      <>
        <Losses sale={sale} seats={seats} />
        <p class="soft">{said.hint}</p>
      </>
    );
  }
  return (
    // No form: Enter, in a field or from a scanner, must not sell anything.
    <div class="stack">
      <Losses sale={sale} seats={seats} />
      <ul class="lines chosen" aria-label={said.seats}>
        {chosen.map((seat) => (
          <li key={seat.seat_id} class="row apart">
            <span>{seatText(seat)}</span>
            <span class="row tight-row">
              <span class="figures">{priceText(priceOf(showing, seat), showing.currency)}</span>
              <Action
                kind="bare"
                isDisabled={isBooking}
                label={said.giveBack(seatText(seat))}
                onClick={() => order.toggle(seat.seat_id)}
              >
                <span aria-hidden="true">✕</span>
              </Action>
            </span>
          </li>
        ))}
      </ul>
      {ends !== null && (
        <p class="row apart">
          <span class="soft">
            {said.keptFor} <Countdown box={box} until={ends} warning={said.warning} />
          </span>
          {chosen.length > 1 && (
            <Action kind="bare" isDisabled={isBooking} onClick={() => order.clear()}>
              {said.giveAllBack}
            </Action>
          )}
        </p>
      )}
      <details class="for-whom" open={customer.value !== null || email.value !== ""}>
        <summary>{said.forWhom}</summary>
        <div class="stack">
          <CustomerChoice
            chosen={customer.value}
            onChosen={(user) => {
              customer.value = user;
            }}
          />
          <Field
            label={said.email}
            type="email"
            autocomplete="off"
            value={email.value}
            error={isEmailWrong ? said.emailWrong : null}
            onInput={(event) => {
              email.value = event.currentTarget.value;
              setEmailWrong(false);
            }}
          />
        </div>
      </details>
      <fieldset class="choice">
        <legend class="field-label">{said.paid}</legend>
        {PAYMENTS.map((payment) => (
          <label key={payment} class="pill">
            <input
              type="radio"
              name="payment"
              value={payment}
              checked={paid.value === payment}
              onChange={() => {
                paid.value = payment;
              }}
            />
            {texts.value.booking.paidHow[payment]}
          </label>
        ))}
      </fieldset>
      <Action kind="main" isBusy={isBooking} busy={said.booking} onClick={() => void book()}>
        {said.book(seatsText(chosen.length), priceText(costs, showing.currency))}
      </Action>
    </div>
  );
}

/** What went otherwise than was meant, until it was read. */
function Losses({ sale, seats }: { sale: SaleState; seats: readonly Seat[] }) {
  const said = texts.value.sale;
  const loss = sale.order.loss.value;
  const refusal = sale.order.refusal.value;
  const named = (ids: readonly string[]) => seatNames(seats.filter(({ seat_id }) => ids.includes(seat_id)));
  return (
    <div role="alert">
      {loss !== null && (
        <div class="notice bad">
          <p>
            {loss.why === "refused"
              ? said.lost(named(loss.seat_ids), refusalText(loss.code))
              : said[loss.why](named(loss.seat_ids))}
          </p>
          <Action isSmall onClick={() => sale.order.forgive()}>
            {said.understood}
          </Action>
        </div>
      )}
      {refusal !== null && (
        <div class="notice bad">
          <p>{refusalText(refusal)}</p>
        </div>
      )}
    </div>
  );
}

function Done({ sale, showing, seats, confirmation }: SaleProps & { confirmation: Confirmation }) {
  const { box, cinema } = useDesk();
  const asking = useAsking();
  const heading = useRef<HTMLHeadingElement>(null);
  const said = texts.value.sale;
  const how = texts.value.booking.paidHow;
  const costs = priceText(cents(confirmation.total ?? "0"), confirmation.currency ?? cinema.currency);
  const booked = seats.filter(({ seat_id }) => confirmation.seat_ids.includes(seat_id));
  const pay = (payment: Payment) =>
    asking.run(async () => {
      await box.http.pay(confirmation.booking_id, payment);
      sale.noted.value = payment;
    });
  useEffect(() => {
    heading.current?.focus();
    const { value } = sale.paid;
    if (value !== "none" && sale.noted.value === null) void pay(value);
  }, []);
  return (
    <div class="stack">
      <h3 ref={heading} tabIndex={-1}>
        {said.done(confirmation.number ?? "")}
      </h3>
      <p role="status">
        {sale.noted.value === null
          ? !asking.isBusy && <strong>{said.bookedUnpaid(costs)}</strong>
          : said.bookedPaid(costs, how[sale.noted.value])}
        {sale.customer.value !== null && ` ${said.chosenCustomer(calledBy(sale.customer.value))}.`}
      </p>
      <Failure of={asking.failure} />
      {sale.noted.value === null && confirmation.status === "confirmed" && (
        <fieldset class="choice">
          <legend class="field-label">{said.paid}</legend>
          {(["cash", "card", "other"] as const).map((payment) => (
            <Action key={payment} isSmall isDisabled={asking.isBusy} onClick={() => void pay(payment)}>
              {how[payment]}
            </Action>
          ))}
        </fieldset>
      )}
      <div class="row">
        <Action kind="main" onClick={() => sale.next()}>
          {said.next}
        </Action>
        <Action onClick={() => print()}>{texts.value.booking.print}</Action>
      </div>
      <Ticket cinema={cinema} confirmation={confirmation} showing={showing} seats={booked} />
    </div>
  );
}
