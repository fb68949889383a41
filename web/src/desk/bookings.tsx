/** Bookings in a table, and what can be done with one: its ticket, how it was paid, its cancelling. */

import { useState } from "preact/hooks";
import type { Booking, Payment } from "../box/wire";
import { cents } from "../core/money";
import { seatNames } from "../core/room";
import { useAsking } from "../shared/asking";
import { Dialog } from "../shared/dialog";
import { dayText, priceText, timeText } from "../shared/language";
import { refusalText } from "../shared/refusals";
import { seatsText } from "../shared/seats";
import { Ticket } from "../shared/ticket";
import { whoseIs } from "./concerned";
import { useDesk } from "./context";
import { Action, Failure, Go } from "./parts";
import { texts } from "./texts";

export interface BookingTableProps {
  caption: string;
  bookings: readonly Booking[];
  /** A booking as it is after something was done with it. */
  onChanged: (booking: Booking) => void;
  /** Whether it is said of each what it is for. */
  hasShowings?: boolean;
}

export function BookingTable({ caption, bookings, onChanged, hasShowings = false }: BookingTableProps) {
  const said = texts.value.booking;
  return (
    <table class="table desk-table">
      <caption class="unseen">{caption}</caption>
      <thead>
        <tr>
          <th scope="col">{said.number}</th>
          {hasShowings && <th scope="col">{said.showing}</th>}
          <th scope="col">{said.who}</th>
          <th scope="col">{said.seats}</th>
          <th scope="col" class="number">
            {said.total}
          </th>
          <th scope="col">{said.paid}</th>
          <th scope="col">{said.actions}</th>
        </tr>
      </thead>
      <tbody>
        {bookings.map((booking) => (
          <BookingRow key={booking.booking_id} booking={booking} onChanged={onChanged} hasShowing={hasShowings} />
        ))}
      </tbody>
    </table>
  );
}

interface RowProps {
  booking: Booking;
  onChanged: (booking: Booking) => void;
  hasShowing: boolean;
}

function BookingRow({ booking, onChanged, hasShowing }: RowProps) {
  const said = texts.value.booking;
  const isCancelled = booking.status === "cancelled";
  return (
    <tr data-status={booking.status}>
      <th scope="row" data-label={said.number}>
        <span class="booking-number">{booking.number}</span>{" "}
        {isCancelled && <span class="tag bad">{said.cancelled}</span>}
      </th>
      {hasShowing && (
        <td data-label={said.showing}>
          <ShowingOf booking={booking} />
        </td>
      )}
      <td data-label={said.who}>
        <Whose booking={booking} />
      </td>
      <td data-label={said.seats}>{seatNames(booking.seats)}</td>
      <td data-label={said.total} class="number">
        <Total of={booking} />
      </td>
      <td data-label={said.paid}>
        <PaidChoice booking={booking} onChanged={onChanged} />
      </td>
      <td data-label={said.actions}>
        <BookingActions booking={booking} onChanged={onChanged} />
      </td>
    </tr>
  );
}

export function Total({ of: booking }: { of: Booking }) {
  const { cinema } = useDesk();
  return <>{priceText(cents(booking.total ?? "0"), booking.currency ?? cinema.currency)}</>;
}

export function Whose({ booking }: { booking: Booking }) {
  const { user } = useDesk();
  const { name, email } = whoseIs(booking, user);
  return (
    <>
      {name ?? email ?? texts.value.booking.nobody}
      {name !== null && email !== null && (
        <>
          <br />
          <span class="soft small">{email}</span>
        </>
      )}
    </>
  );
}

function ShowingOf({ booking }: { booking: Booking }) {
  const { cinema } = useDesk();
  const { showing } = booking;
  return (
    <>
      <Go to={{ view: "showing", showingId: showing.showing_id, bookingId: booking.booking_id }}>{showing.title}</Go>
      <br />
      <span class="soft small">
        {dayText(showing.starts_at, cinema.timezone, "short")} {timeText(showing.starts_at, cinema.timezone)},{" "}
        {showing.room}
      </span>
    </>
  );
}

const PAYMENTS: readonly Payment[] = ["cash", "card", "other"];

export function PaidChoice({ booking, onChanged }: { booking: Booking; onChanged: (booking: Booking) => void }) {
  const { box } = useDesk();
  const asking = useAsking();
  const [wanted, setWanted] = useState<Payment | null | undefined>(undefined);
  const said = texts.value.booking;
  const chosen = async (value: string) => {
    const paid = PAYMENTS.find((payment) => payment === value) ?? null;
    setWanted(paid);
    await asking.run(async () => onChanged(await box.http.pay(booking.booking_id, paid)));
    setWanted(undefined);
  };
  const shown = wanted === undefined ? booking.paid : wanted;
  return (
    <span class="paid">
      <select
        class="input small-input"
        aria-label={said.paidOf(booking.number ?? "")}
        data-paid={shown ?? "none"}
        value={shown ?? "none"}
        aria-busy={asking.isBusy}
        disabled={booking.status !== "confirmed"}
        onChange={(event) => {
          const { value } = event.currentTarget;
          // Where it is refused it must look as before, also to the browser.
          if (asking.isBusy) event.currentTarget.value = shown ?? "none";
          else void chosen(value);
        }}
      >
        <option value="none">{said.paidHow.none}</option>
        {PAYMENTS.map((payment) => (
          <option key={payment} value={payment}>
            {said.paidHow[payment]}
          </option>
        ))}
      </select>
      <Failure of={asking.failure} />
    </span>
  );
}

export function BookingActions({ booking, onChanged }: { booking: Booking; onChanged: (booking: Booking) => void }) {
  const { box } = useDesk();
  const [open, setOpen] = useState<"ticket" | "cancel" | null>(null);
  const said = texts.value.booking;
  const number = booking.number ?? "";
  const canBeCancelled = booking.status === "confirmed" && Date.parse(booking.showing.ends_at) > box.now();
  const close = () => setOpen(null);
  return (
    <span class="row tight-row">
      <Action isSmall label={said.ticketOf(number)} onClick={() => setOpen("ticket")}>
        {said.ticket}
      </Action>
      {canBeCancelled && (
        <Action isSmall kind="bad" label={said.cancelOf(number)} onClick={() => setOpen("cancel")}>
          {said.cancel}
        </Action>
      )}
      {open === "ticket" && <TicketDialog booking={booking} onClose={close} />}
      {open === "cancel" && <CancelDialog booking={booking} onChanged={onChanged} onClose={close} />}
    </span>
  );
}

function TicketDialog({ booking, onClose }: { booking: Booking; onClose: () => void }) {
  const { cinema } = useDesk();
  const said = texts.value.booking;
  return (
    <Dialog title={said.of(booking.number ?? "")} onClose={onClose}>
      <Ticket cinema={cinema} confirmation={booking} showing={booking.showing} seats={booking.seats} />
      <div class="dialog-foot">
        <Action onClick={() => print()}>{said.print}</Action>
        <Action kind="main" onClick={onClose}>
          {texts.value.frame.close}
        </Action>
      </div>
    </Dialog>
  );
}

interface CancelDialogProps {
  booking: Booking;
  onChanged: (booking: Booking) => void;
  onClose: () => void;
}

function CancelDialog({ booking, onChanged, onClose }: CancelDialogProps) {
  const { box, cinema, user } = useDesk();
  const [isBusy, setBusy] = useState(false);
  const [refusal, setRefusal] = useState<string | null>(null);
  const said = texts.value.booking;
  const { booking_id, number = "", paid } = booking;
  const cancel = async () => {
    setBusy(true);
    setRefusal(null);
    const outcome = await box.send({
      topic: "booking/cancel",
      body: { booking_id, timestamp: new Date().toISOString() },
    });
    setBusy(false);
    if (outcome.kind === "confirmation" && outcome.confirmation.status === "cancelled") {
      onChanged({ ...booking, ...outcome.confirmation, paid });
      onClose();
    } else {
      setRefusal(
        outcome.kind === "refusal"
          ? outcome.code
          : (outcome.kind === "confirmation" && outcome.confirmation.code) || "",
      );
    }
  };
  const { name, email } = whoseIs(booking, user);
  const total = priceText(cents(booking.total ?? "0"), booking.currency ?? cinema.currency);
  return (
    <Dialog title={said.reallyCancel(number)} onClose={onClose}>
      <div class="stack">
        <p>
          <strong>{booking.showing.title}</strong>, {dayText(booking.showing.starts_at, cinema.timezone)}{" "}
          {timeText(booking.showing.starts_at, cinema.timezone)}
        </p>
        <p>
          {said.cancelMeans(
            `${seatNames(booking.seats)} (${seatsText(booking.seats.length)})`,
            name ?? email ?? said.nobody,
          )}
        </p>
        {paid && <p class="notice">{said.paidBack(total, said.paidHow[paid])}</p>}
        {isBusy && box.link.value === "reconnecting" && <p class="notice bad">{said.waiting}</p>}
        {refusal !== null && <Failure of={refusal} text={refusalText(refusal)} />}
      </div>
      <div class="dialog-foot">
        <Action onClick={onClose}>{said.keep}</Action>
        <Action kind="bad" isBusy={isBusy} busy={said.cancelling} onClick={() => void cancel()}>
          {said.doCancel}
        </Action>
      </div>
    </Dialog>
  );
}
