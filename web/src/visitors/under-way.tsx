/** A booking whose outcome is not known yet: what happens now, in words that fit how the page is joined to the box. */

import { useEffect, useRef } from "preact/hooks";
import type { Order } from "../box/order";
import type { Seat, Showing } from "../box/wire";
import { seatNames } from "../core/room";
import { inLanguage } from "../shared/language";
import { refusalText } from "../shared/refusals";
import { seatsText } from "../shared/seats";
import { box } from "./page";

const texts = inLanguage({
  en: {
    title: "Your booking is under way",
    live: "One moment, we’re saving it.",
    polling: "One moment, please: without live updates this may take a few seconds.",
    reconnecting:
      "There’s no connection right now. We’ll send your booking as soon as we’re back online, and it cannot be booked twice.",
    leave: "You can leave this page open. If you do close it, your booking carries on when you come back here.",
  },
  nl: {
    title: "Je boeking is onderweg",
    live: "Even geduld, we slaan je boeking op.",
    polling: "Even geduld: zonder live verbinding kan dit een paar seconden duren.",
    reconnecting:
      "Er is even geen verbinding. Zodra die terug is, versturen we je boeking. Die wordt nooit dubbel gemaakt.",
    leave: "Laat deze pagina gerust open. Sluit je die toch, dan gaat je boeking verder zodra je hier terugkomt.",
  },
});

export interface UnderWayProps {
  order: Order;
  showing?: Showing | undefined;
  seats?: readonly Seat[];
  /** Whether it takes the focus, because what had it is gone. */
  isFocused?: boolean;
}

export function UnderWay({ order, showing, seats = [], isFocused = false }: UnderWayProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (isFocused) heading.current?.focus();
  }, []);
  const said = texts.value;
  const link = box.link.value === "connecting" ? "live" : box.link.value;
  const hindrance = box.hindrance.value;
  const ids = order.seats.value;
  const known = seats.filter((seat) => ids.includes(seat.seat_id));
  return (
    <section class="under-way card stack">
      <span class="beam" aria-hidden="true" />
      <h2 ref={heading} tabIndex={-1}>
        {said.title}
      </h2>
      <p>
        {showing !== undefined && <span class="display">{showing.title} · </span>}
        {known.length > 0 ? seatNames(known) : seatsText(ids.length)}
      </p>
      <div role="status" class="stack tight">
        <p>{hindrance !== null && link !== "reconnecting" ? refusalText(hindrance) : said[link]}</p>
        {link === "reconnecting" && <p class="soft small">{said.leave}</p>}
      </div>
    </section>
  );
}
