/** One booking beside the plan: whose it is, and what can be done with it. */

import { useEffect, useRef } from "preact/hooks";
import type { Booking } from "../box/wire";
import { seatNames } from "../core/room";
import { BookingActions, PaidChoice, Total, Whose } from "./bookings";
import { Action } from "./parts";
import { texts } from "./texts";

export interface BookingCardProps {
  booking: Booking;
  onChanged: (booking: Booking) => void;
  onClose: () => void;
}

export function BookingCard({ booking, onChanged, onClose }: BookingCardProps) {
  const card = useRef<HTMLElement>(null);
  const said = texts.value.booking;
  const { booking_id, number = "", status } = booking;
  useEffect(() => card.current?.scrollIntoView({ block: "nearest" }), [booking_id]);
  return (
    <section class="card stack booking-card" ref={card} aria-label={said.of(number)}>
      <div class="row apart">
        <h2>
          <span class="booking-number">{number}</span>{" "}
          <span class={`tag ${status === "confirmed" ? "good" : "bad"}`}>
            {status === "confirmed" ? said.confirmed : said.cancelled}
          </span>
        </h2>
        <Action isSmall onClick={onClose}>
          {texts.value.frame.close}
        </Action>
      </div>
      {/* Read aloud when another seat is touched; the focus stays in the plan. */}
      <dl class="pairs" aria-live="polite">
        <dt>{said.who}</dt>
        <dd>
          <Whose booking={booking} />
        </dd>
        <dt>{said.seats}</dt>
        <dd>{seatNames(booking.seats)}</dd>
        <dt>{said.total}</dt>
        <dd>
          <Total of={booking} />
        </dd>
        <dt>{said.paid}</dt>
        <dd>
          <PaidChoice booking={booking} onChanged={onChanged} />
        </dd>
      </dl>
      <BookingActions booking={booking} onChanged={onChanged} />
    </section>
  );
}
