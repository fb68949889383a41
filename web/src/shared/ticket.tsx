/**
 * A booking as it is shown at the door: its number, what, when, where, which seats, what it costs, and a QR code of its
 * address. Needs the cinema and the booking's confirmation; what else is known of it: `showing`, `seats`. `children`
 * come below: what can be done with it.
 */

import type { ComponentChildren } from "preact";
import type { Cinema, Confirmation } from "../box/wire";
import { cents } from "../core/money";
import { seatNames } from "../core/room";
import { capitalised, counted, dayText, inLanguage, priceText, timeText } from "./language";
import { QrCode } from "./qr-code";
import "../styles/ticket.css";

const texts = inLanguage({
  en: {
    number: "Booking number",
    confirmed: "Booked",
    cancelled: "Cancelled",
    failed: "Not booked",
    day: "Day",
    time: "Time",
    room: "Room",
    seats: "Seats",
    total: "Total",
    count: { one: "# seat", other: "# seats" },
    show: "Show this at the door.",
    notValid: "This booking has been cancelled. It no longer gets you in.",
    calledOff: "We’re sorry: this showing has been cancelled, and your booking with it. Paid already? Ask at the desk.",
    code: "QR code for this booking",
  },
  nl: {
    number: "Boekingsnummer",
    confirmed: "Geboekt",
    cancelled: "Geannuleerd",
    failed: "Niet geboekt",
    day: "Dag",
    time: "Tijd",
    room: "Zaal",
    seats: "Stoelen",
    total: "Totaal",
    count: { one: "# stoel", other: "# stoelen" },
    show: "Laat dit bij de ingang zien.",
    notValid: "Deze boeking is geannuleerd. Je komt er niet meer mee binnen.",
    calledOff: "Sorry: deze voorstelling is afgelast, en daarmee ook je boeking. Al betaald? Vraag het aan de kassa.",
    code: "QR-code van deze boeking",
  },
});

/** To whom the cinema has cancelled the showing of their booking. */
export const calledOffText = (): string => texts.value.calledOff;

export interface TicketProps {
  cinema: Pick<Cinema, "name" | "timezone" | "currency" | "public_url">;
  confirmation: Confirmation;
  showing?: { title: string; starts_at: string; ends_at: string; room: string; status?: string } | undefined;
  seats?: readonly { row: string; number: number }[] | undefined;
  children?: ComponentChildren;
}

/** Where the booking is shown to whoever has its key, which is behind `#`: it leaves no browser and is in no log. */
function addressOf(cinema: TicketProps["cinema"], { booking_id, key }: Confirmation): string | undefined {
  // The address of this screen may be one that a visitor's phone cannot reach, such as localhost.
  const base = cinema.public_url ?? location.origin;
  return key === undefined ? undefined : `${base}/#/booking/${booking_id}/${key}`;
}

export function Ticket({ cinema, confirmation, showing, seats, children }: TicketProps) {
  const address = addressOf(cinema, confirmation);
  const said = texts.value;
  const { status, number, total, seat_ids } = confirmation;
  const isValid = status === "confirmed";
  return (
    <article class="ticket" data-status={status} aria-label={`${said.number} ${number ?? ""}`}>
      <div class="ticket-head">
        <span class={`tag ${isValid ? "good" : "bad"}`}>{said[status]}</span>
        <span class="eyebrow">{cinema.name}</span>
      </div>
      {showing !== undefined && <p class="ticket-title display">{showing.title}</p>}
      <dl class="ticket-facts">
        {showing !== undefined && (
          <>
            <Fact name={said.day} value={capitalised(dayText(showing.starts_at, cinema.timezone))} />
            <Fact
              name={said.time}
              value={`${timeText(showing.starts_at, cinema.timezone)}–${timeText(showing.ends_at, cinema.timezone)}`}
            />
            <Fact name={said.room} value={showing.room} />
          </>
        )}
        {total !== undefined && (
          <Fact name={said.total} value={priceText(cents(total), confirmation.currency ?? cinema.currency)} />
        )}
        <Fact
          name={said.seats}
          isWide
          value={seats !== undefined && seats.length > 0 ? seatNames(seats) : counted(seat_ids.length, said.count)}
        />
      </dl>
      <div class="ticket-stub">
        <div class="ticket-number">
          <span class="eyebrow">{said.number}</span>
          <strong class="figures">{number}</strong>
          <p class="small soft">
            {isValid ? said.show : showing?.status === "cancelled" ? calledOffText() : said.notValid}
          </p>
        </div>
        {address !== undefined && isValid && <QrCode text={address} label={said.code} />}
      </div>
      {children !== undefined && <div class="ticket-actions">{children}</div>}
    </article>
  );
}

function Fact({ name, value, isWide = false }: { name: string; value: string; isWide?: boolean }) {
  return (
    <div class={isWide ? "wide-fact" : undefined}>
      <dt class="eyebrow">{name}</dt>
      <dd class="figures">{value}</dd>
    </div>
  );
}
