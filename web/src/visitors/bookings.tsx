/** The bookings of who is signed in: what is to come first, then what is over or cancelled. */

import { useState } from "preact/hooks";
import type { Booking } from "../box/wire";
import { dayOf } from "../core/days";
import { cents } from "../core/money";
import { seatNames } from "../core/room";
import { Dialog } from "../shared/dialog";
import { dayText, inLanguage, priceText, timeText } from "../shared/language";
import { fullDayText } from "../shared/near";
import { refusalText } from "../shared/refusals";
import { calledOffText } from "../shared/ticket";
import { addressOf } from "./address";
import { focusHeading, Heading } from "./heading";
import { remembered } from "./known";
import { box, mine, timezone, useNow } from "./page";
import { type Way, WhoAreYou } from "./who-are-you";

const texts = inLanguage({
  en: {
    title: "My bookings",
    coming: "Coming up",
    past: "Past or cancelled",
    none: "You have no bookings yet.",
    noneMore: "See what’s on",
    signIn: "Sign in to see your bookings.",
    loading: "Fetching your bookings…",
    failing: "We can’t fetch your bookings right now. They’ll appear here as soon as the connection is back.",
    number: (number: string) => `No. ${number}`,
    ticket: "Ticket",
    cancel: "Cancel booking",
    cancelled: "Cancelled",
    paid: "Paid",
    until: (day: string, time: string) => `You can cancel until ${day} at ${time}.`,
    tooLate: (day: string, time: string) => `Cancelling was possible until ${day} at ${time}. Ask at the desk.`,
    sure: "Cancel this booking?",
    sureMore: (title: string, seats: string) => `${seats} for “${title}” will go back on sale.`,
    keep: "Keep it",
    doCancel: "Yes, cancel it",
    cancelling: "Cancelling your booking…",
    waiting: "We’ll cancel it as soon as the connection is back.",
  },
  nl: {
    title: "Mijn boekingen",
    coming: "Binnenkort",
    past: "Geweest of geannuleerd",
    none: "Je hebt nog geen boekingen.",
    noneMore: "Bekijk het programma",
    signIn: "Log in om je boekingen te zien.",
    loading: "Je boekingen worden opgehaald…",
    failing: "We kunnen je boekingen nu niet ophalen. Ze verschijnen hier zodra de verbinding terug is.",
    number: (number: string) => `Nr. ${number}`,
    ticket: "Kaartje",
    cancel: "Boeking annuleren",
    cancelled: "Geannuleerd",
    paid: "Betaald",
    until: (day: string, time: string) => `Annuleren kan tot ${day} om ${time} uur.`,
    tooLate: (day: string, time: string) => `Annuleren kon tot ${day} om ${time} uur. Vraag het aan de kassa.`,
    sure: "Deze boeking annuleren?",
    sureMore: (title: string, seats: string) => `Hiermee geef je ${seats} (‘${title}’) vrij voor anderen.`,
    keep: "Toch niet",
    doCancel: "Ja, annuleren",
    cancelling: "Je boeking wordt geannuleerd…",
    waiting: "Je boeking wordt geannuleerd zodra de verbinding terug is.",
  },
});

export function Bookings() {
  const said = texts.value;
  return (
    <div class="wide bookings-view stack loose">
      <Heading title={said.title} />
      {box.session.value === null ? <SignInFirst /> : <List />}
    </div>
  );
}

function SignInFirst() {
  const [way, setWay] = useState<Way>("signIn");
  return (
    <div class="narrow stack">
      <p class="soft">{texts.value.signIn}</p>
      <WhoAreYou way={way} onWay={setWay} />
    </div>
  );
}

function List() {
  const now = useNow();
  const said = texts.value;
  const all = mine.list.value;
  if (all === null) {
    return mine.isFailing.value ? (
      <p class="notice">{said.failing}</p>
    ) : (
      <div class="stack" aria-busy="true">
        <p class="unseen">{said.loading}</p>
        <div class="skeleton booking-skeleton" />
        <div class="skeleton booking-skeleton" />
      </div>
    );
  }
  const made = all.filter(({ status }) => status !== "failed");
  if (made.length === 0) {
    return (
      <div class="empty">
        <p class="display">{said.none}</p>
        <p>
          <a href={addressOf.programme}>{said.noneMore}</a>
        </p>
      </div>
    );
  }
  const isComing = ({ status, showing }: Booking) => status === "confirmed" && Date.parse(showing.ends_at) > now;
  const byStart = (one: Booking, other: Booking) =>
    Date.parse(one.showing.starts_at) - Date.parse(other.showing.starts_at);
  const coming = made.filter(isComing).sort(byStart);
  const past = made
    .filter((booking) => !isComing(booking))
    .sort(byStart)
    .reverse();
  return (
    <>
      {mine.isFailing.value && <p class="notice">{said.failing}</p>}
      {coming.length > 0 && <Group title={said.coming} bookings={coming} now={now} />}
      {past.length > 0 && <Group title={said.past} bookings={past} now={now} />}
    </>
  );
}

function Group({ title, bookings, now }: { title: string; bookings: readonly Booking[]; now: number }) {
  return (
    <section class="stack">
      <h2>{title}</h2>
      <ul class="stack">
        {bookings.map((booking) => (
          <li key={booking.booking_id}>
            <One booking={booking} now={now} />
          </li>
        ))}
      </ul>
    </section>
  );
}

function One({ booking, now }: { booking: Booking; now: number }) {
  const [isAsked, setAsked] = useState(false);
  const [isUnderWay, setUnderWay] = useState(false);
  const [refusal, setRefusal] = useState<string | null>(null);
  const said = texts.value;
  const zone = timezone();
  const { showing } = booking;
  const isConfirmed = booking.status === "confirmed";
  const isToCome = Date.parse(showing.starts_at) > now;
  const until = Date.parse(showing.starts_at) - (box.cinema.value?.booking.cancel_until_minutes ?? 30) * 60_000;
  const canCancel = isConfirmed && now < until;
  const seats = seatNames(booking.seats);

  const cancel = async () => {
    setAsked(false);
    focusHeading();
    setUnderWay(true);
    setRefusal(null);
    const outcome = await box.send({
      topic: "booking/cancel",
      body: { booking_id: booking.booking_id, timestamp: new Date().toISOString() },
    });
    setUnderWay(false);
    if (outcome.kind === "refusal") setRefusal(outcome.code);
  };

  return (
    <article class="booking card" data-status={booking.status}>
      <div class="booking-what">
        <p class="eyebrow">{fullDayText(dayOf(Date.parse(showing.starts_at), zone), now, zone)}</p>
        <h3>{showing.title}</h3>
        <p class="figures">
          {timeText(showing.starts_at, zone)}–{timeText(showing.ends_at, zone)} · {showing.room} · {seats}
        </p>
        <p class="soft small figures">
          {booking.number !== undefined && said.number(booking.number)}
          {booking.total !== undefined &&
            ` · ${priceText(cents(booking.total), booking.currency ?? box.cinema.value?.currency ?? "EUR")}`}
          {booking.paid !== null && ` · ${said.paid}`}
        </p>
      </div>
      <div class="booking-do">
        {!isConfirmed && <span class="tag bad">{said.cancelled}</span>}
        {booking.key !== undefined && isConfirmed && (
          <a
            class="button main"
            href={addressOf.booking(booking.booking_id, booking.key)}
            onClick={() => remembered.set(booking.booking_id, { confirmation: booking, showing, seats: booking.seats })}
          >
            {said.ticket}
          </a>
        )}
        {canCancel && !isUnderWay && (
          <button class="button" type="button" onClick={() => setAsked(true)}>
            {said.cancel}
          </button>
        )}
      </div>
      <div class="booking-notes small" role="status">
        {isUnderWay && <p>{box.link.value === "reconnecting" ? said.waiting : said.cancelling}</p>}
        {refusal !== null && <p class="notice bad">{refusalText(refusal)}</p>}
        {showing.status === "cancelled" && <p>{calledOffText()}</p>}
        {isConfirmed && isToCome && !isUnderWay && (
          <p class="soft">{(canCancel ? said.until : said.tooLate)(dayText(until, zone), timeText(until, zone))}</p>
        )}
      </div>
      {isAsked && (
        <Dialog title={said.sure} onClose={() => setAsked(false)}>
          <p>{said.sureMore(showing.title, seats)}</p>
          <div class="dialog-foot">
            <button class="button" type="button" onClick={() => setAsked(false)}>
              {said.keep}
            </button>
            <button class="button bad" type="button" onClick={() => void cancel()}>
              {said.doCancel}
            </button>
          </div>
        </Dialog>
      )}
    </article>
  );
}
