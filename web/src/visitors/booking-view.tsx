/** A booking by its key, as its QR code leads to it: no sign-in, and nothing of whose it is. */

import { useEffect, useState } from "preact/hooks";
import { RefusedError } from "../box/http";
import { inLanguage } from "../shared/language";
import { failureText } from "../shared/refusals";
import { Ticket } from "../shared/ticket";
import { addressOf } from "./address";
import { Heading } from "./heading";
import { type KnownBooking, remembered } from "./known";
import { box } from "./page";

const texts = inLanguage({
  en: {
    title: "Your ticket",
    new: "Booked. Enjoy the film!",
    newMore: "Keep this page, take a picture of it or note the number. You pay at the desk.",
    cancelled: "This booking has been cancelled",
    loading: "Fetching your ticket…",
    unknown: "We can’t find this booking",
    unknownMore: "Please check that you opened the whole link.",
    bookings: "All my bookings",
    programme: "What’s on",
    print: "Print",
  },
  nl: {
    title: "Je kaartje",
    new: "Geboekt. Veel plezier bij de film!",
    newMore: "Bewaar deze pagina, maak er een foto van of noteer het nummer. Je betaalt aan de kassa.",
    cancelled: "Deze boeking is geannuleerd",
    loading: "Je kaartje wordt opgehaald…",
    unknown: "We kunnen deze boeking niet vinden",
    unknownMore: "Kijk even na of je de hele link hebt geopend.",
    bookings: "Al mijn boekingen",
    programme: "Programma",
    print: "Afdrukken",
  },
});

/** Milliseconds. */
const ASKED_EVERY = 30_000;

export function BookingView({ bookingId, bookingKey }: { bookingId: string; bookingKey: string }) {
  const [known, setKnown] = useState<KnownBooking | null>(remembered.get(bookingId) ?? null);
  const [error, setError] = useState<unknown>(null);
  const [told, setTold] = useState(0);
  const renewed = box.renewed.value;

  useEffect(() => {
    const again = () => setTold((times) => times + 1);
    const ends = [
      box.onConfirmation(({ booking_id }) => booking_id === bookingId && again()),
      box.onShowing(({ showing_id }) => showing_id === remembered.get(bookingId)?.confirmation.showing_id && again()),
    ];
    // Whoever has only the key is told of nothing that happens to the booking.
    const clock = setInterval(again, ASKED_EVERY);
    return () => {
      clearInterval(clock);
      for (const end of ends) end();
    };
  }, [bookingId]);
  useEffect(() => {
    let isWanted = true;
    box.http.ticket(bookingId, bookingKey).then(
      ({ showing, seats, ...confirmation }) => {
        if (!isWanted) return;
        const isNew = remembered.get(bookingId)?.isNew ?? false;
        remembered.set(bookingId, { confirmation, showing, seats, isNew });
        setKnown({ confirmation, showing, seats, isNew });
        setError(null);
      },
      (failure: unknown) => isWanted && setError(failure),
    );
    return () => {
      isWanted = false;
    };
  }, [bookingId, bookingKey, renewed, told]);

  const said = texts.value;
  const cinema = box.cinema.value;
  if (known === null || cinema === null) {
    const isUnknown = error instanceof RefusedError && error.status === 404;
    return (
      <div class="wide booking-view stack">
        <Heading key={String(isUnknown)} title={isUnknown ? said.unknown : said.title} />
        {isUnknown && <p class="soft">{said.unknownMore}</p>}
        {!isUnknown && error !== null && <p class="notice bad">{failureText(error)}</p>}
        {error === null && (
          <div class="skeleton ticket-skeleton" aria-busy="true">
            <span class="unseen">{said.loading}</span>
          </div>
        )}
        <p>
          <a href={addressOf.programme}>{said.programme}</a>
        </p>
      </div>
    );
  }
  const isCancelled = known.confirmation.status === "cancelled";
  const isNew = known.isNew === true && !isCancelled;
  const title = isCancelled ? said.cancelled : isNew ? said.new : said.title;
  return (
    <div class="wide booking-view stack loose">
      <div class="stack tight">
        <Heading title={title} />
        {isNew && <p class="soft">{said.newMore}</p>}
      </div>
      <Ticket cinema={cinema} confirmation={known.confirmation} showing={known.showing} seats={known.seats}>
        {!isCancelled && (
          <button class="button" type="button" onClick={() => print()}>
            {said.print}
          </button>
        )}
        {box.session.value !== null && (
          <a class="button" href={addressOf.bookings}>
            {said.bookings}
          </a>
        )}
      </Ticket>
    </div>
  );
}
