/** What is on, by the cinema's own days. */

import { useRef } from "preact/hooks";
import type { Showing } from "../box/wire";
import { byDay } from "../core/days";
import { leastPrice } from "../core/money";
import { capitalised, dateText, inLanguage, priceText, timeText } from "../shared/language";
import { useLater } from "../shared/link-notice";
import { nearDayText } from "../shared/near";
import { addressOf } from "./address";
import { Fullness } from "./fullness";
import { Heading } from "./heading";
import { box, isOnSale, timezone, useNow } from "./page";

const texts = inLanguage({
  en: {
    title: "What’s on",
    days: "Days",
    from: (price: string) => `from ${price}`,
    started: "Has started",
    empty: "There’s nothing on the programme yet.",
    emptyMore: "New showings appear here as soon as they are announced.",
    unreachable: "There’s no connection right now.",
    unreachableMore: "The programme appears here as soon as it is back.",
    loading: "Fetching the programme…",
  },
  nl: {
    title: "Programma",
    days: "Dagen",
    from: (price: string) => `vanaf ${price}`,
    started: "Al begonnen",
    empty: "Er staat nog niets op het programma.",
    emptyMore: "Nieuwe voorstellingen verschijnen hier vanzelf.",
    unreachable: "Er is even geen verbinding.",
    unreachableMore: "Het programma verschijnt hier zodra die terug is.",
    loading: "Het programma wordt opgehaald…",
  },
});

export function Programme() {
  const showings = box.showings.value;
  const said = texts.value;
  return (
    <div class="programme wide">
      <Heading title={said.title} />
      {showings === null ? <Waiting /> : showings.length === 0 ? <Empty /> : <Days showings={showings} />}
    </div>
  );
}

function Days({ showings }: { showings: readonly Showing[] }) {
  const now = useNow();
  const headings = useRef(new Map<string, HTMLHeadingElement>());
  const days = byDay(showings, timezone());
  const goTo = (day: string) => {
    const heading = headings.current.get(day);
    heading?.scrollIntoView({ block: "start", behavior: "smooth" });
    heading?.focus({ preventScroll: true });
  };
  return (
    <>
      {days.length > 1 && (
        <nav class="days" aria-label={texts.value.days}>
          {days.map(([day]) => (
            <button key={day} type="button" onClick={() => goTo(day)}>
              {nearDayText(day, now, timezone()) ?? capitalised(dateText(day, "short"))}
            </button>
          ))}
        </nav>
      )}
      {days.map(([day, ofDay]) => (
        <section key={day} class="day" aria-labelledby={`day-${day}`}>
          <h2
            id={`day-${day}`}
            tabIndex={-1}
            ref={(heading) => {
              if (heading !== null) headings.current.set(day, heading);
            }}
          >
            <DayName day={day} now={now} />
          </h2>
          <ul class="showings">
            {ofDay.map((showing) => (
              <li key={showing.showing_id}>
                <ShowingLine showing={showing} now={now} />
              </li>
            ))}
          </ul>
        </section>
      ))}
    </>
  );
}

function DayName({ day, now }: { day: string; now: number }) {
  const near = nearDayText(day, now, timezone());
  if (near === null) {
    const [weekday, ...rest] = dateText(day).split(" ");
    return (
      <>
        {capitalised(weekday ?? "")} <small>{rest.join(" ")}</small>
      </>
    );
  }
  return (
    <>
      {near} <small>{dateText(day)}</small>
    </>
  );
}

function ShowingLine({ showing, now }: { showing: Showing; now: number }) {
  const zone = timezone();
  const said = texts.value;
  const least = leastPrice(showing);
  const price = priceText(least.cents, showing.currency);
  const canBook = isOnSale(showing, now);
  return (
    <a
      class="showing-line"
      href={addressOf.showing(showing.showing_id)}
      data-sold-out={showing.seats_available === 0 ? "" : undefined}
    >
      <span class="showing-time figures">
        {timeText(showing.starts_at, zone)}
        <small>–{timeText(showing.ends_at, zone)}</small>
      </span>
      <span class="showing-what">
        <span class="display">{showing.title}</span>
        <span class="soft small figures">
          {showing.room} · {least.isOnly ? price : said.from(price)}
        </span>
      </span>
      {canBook ? <Fullness showing={showing} /> : <span class="fullness">{said.started}</span>}
    </a>
  );
}

function Empty() {
  return (
    <div class="empty">
      <p class="display">{texts.value.empty}</p>
      <p class="soft">{texts.value.emptyMore}</p>
    </div>
  );
}

function Waiting() {
  const said = texts.value;
  const isLate = useLater(box.link.value === "reconnecting", 0);
  if (isLate) {
    return (
      <div class="empty">
        <p class="display">{said.unreachable}</p>
        <p class="soft">{said.unreachableMore}</p>
      </div>
    );
  }
  return (
    <div class="stack" aria-busy="true">
      <p class="unseen">{said.loading}</p>
      {[0, 1, 2, 3, 4].map((line) => (
        <div key={line} class="skeleton showing-skeleton" />
      ))}
    </div>
  );
}
