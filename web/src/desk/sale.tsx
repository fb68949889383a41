/** Selling at the counter: the seats that somebody in front of the desk wants, for whom, how they pay, and the ticket. */

import { useEffect, useRef } from "preact/hooks";
import type { Confirmation, Seat, Showing } from "../box/wire";
import { cents, priceOf, total } from "../core/money";
import { seatNames } from "../core/room";
import { Countdown } from "../shared/countdown";
import { Field } from "../shared/field";
import { priceText } from "../shared/language";
import { refusalText } from "../shared/refusals";
import { seatsText, seatText } from "../shared/seats";
import { Ticket } from "../shared/ticket";
import { calledBy } from "./accounts";
import { useDesk } from "./context";
import { CustomerChoice } from "./customer";
import { Action, Failure } from "./parts";
import type { PaymentChoice, Sale } from "./sales";
import { texts } from "./texts";

const PAYMENTS: readonly PaymentChoice[] = ["none", "cash", "card", "other"];

export interface SaleProps {
  sale: Sale;
  showing: Showing;
  seats: readonly Seat[];
}

export function SaleCard({ sale, showing, seats }: SaleProps) {
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
  const { order, customer, email, isEmailWrong, paid } = sale;
  const said = texts.value.sale;
  const chosen = order.seats.value.flatMap((id) => seats.find((seat) => seat.seat_id === id) ?? []);
  const costs = total(showing, chosen);
  const isBooking = order.stage.value === "booking";
  const ends = order.expiresAt.value;

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
            error={isEmailWrong.value ? said.emailWrong : null}
            onInput={(event) => {
              email.value = event.currentTarget.value;
              isEmailWrong.value = false;
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
      <Action kind="main" isBusy={isBooking} busy={said.booking} onClick={() => void sale.book()}>
        {said.book(seatsText(chosen.length), priceText(costs, showing.currency))}
      </Action>
    </div>
  );
}

/** What went otherwise than was meant, until it was read. */
function Losses({ sale, seats }: { sale: Sale; seats: readonly Seat[] }) {
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
  const { cinema, sales } = useDesk();
  const heading = useRef<HTMLHeadingElement>(null);
  const said = texts.value.sale;
  const how = texts.value.booking.paidHow;
  const costs = priceText(cents(confirmation.total ?? "0"), confirmation.currency ?? cinema.currency);
  const booked = seats.filter(({ seat_id }) => confirmation.seat_ids.includes(seat_id));
  const isPaying = sale.isPaying.value;
  useEffect(() => heading.current?.focus(), []);
  return (
    <div class="stack">
      <h3 ref={heading} tabIndex={-1}>
        {said.done(confirmation.number ?? "")}
      </h3>
      <p role="status">
        {sale.noted.value === null
          ? !isPaying && <strong>{said.bookedUnpaid(costs)}</strong>
          : said.bookedPaid(costs, how[sale.noted.value])}
        {sale.customer.value !== null && ` ${said.chosenCustomer(calledBy(sale.customer.value))}.`}
      </p>
      <Failure of={sale.failure.value} />
      {sale.noted.value === null && confirmation.status === "confirmed" && (
        <fieldset class="choice">
          <legend class="field-label">{said.paid}</legend>
          {(["cash", "card", "other"] as const).map((payment) => (
            <Action key={payment} isSmall isDisabled={isPaying} onClick={() => void sale.pay(payment)}>
              {how[payment]}
            </Action>
          ))}
        </fieldset>
      )}
      <div class="row">
        <Action kind="main" onClick={() => sales.next(showing.showing_id)}>
          {said.next}
        </Action>
        <Action onClick={() => print()}>{texts.value.booking.print}</Action>
      </div>
      <Ticket cinema={cinema} confirmation={confirmation} showing={showing} seats={booked} />
    </div>
  );
}
