/** What happens, live: all of it to be seen, and a summary read aloud now and then. */

import { useEffect, useRef, useState } from "preact/hooks";
import { cents } from "../core/money";
import { counted, dayText, priceText, timeText } from "../shared/language";
import { seatsText } from "../shared/seats";
import { useDesk } from "./context";
import type { Happening } from "./happenings";
import { Go } from "./parts";
import type { Route } from "./route";
import { texts } from "./texts";

/** How often it is said aloud at most what has happened: milliseconds. */
const CALM = 15_000;

export function Feed() {
  const { news } = useDesk();
  const happenings = news.happenings.value;
  const said = texts.value.feed;
  return (
    <section class="feed card" aria-labelledby="feed-title">
      <h2 id="feed-title">{said.title}</h2>
      {happenings.length === 0 && <p class="soft">{said.none}</p>}
      {/* Entry by entry it would talk all evening: it is off, and summed up below. */}
      <div role="log" aria-live="off" aria-label={said.title}>
        <ol class="lines">
          {happenings.map((happening) => (
            <Entry key={keyOf(happening)} happening={happening} />
          ))}
        </ol>
      </div>
      <SpokenNews happenings={happenings} />
    </section>
  );
}

function Entry({ happening }: { happening: Happening }) {
  const { cinema } = useDesk();
  const said = texts.value.feed;
  const { timezone } = cinema;
  const isBad = happening.kind === "given back" || happening.kind === "cancelled showing";
  const when =
    happening.startsAt === null
      ? ""
      : `${dayText(happening.startsAt, timezone, "short")} ${timeText(happening.startsAt, timezone)}`;
  return (
    <li class="feed-entry" data-kind={happening.kind}>
      <time class="figures soft" dateTime={new Date(happening.at).toISOString()}>
        {timeText(happening.at, timezone)}
      </time>
      <div>
        <span class={`tag ${isBad ? "bad" : "good"}`}>{said[happening.kind]}</span>{" "}
        <Go to={leadsTo(happening)}>{"number" in happening ? happening.number : happening.title}</Go>
        <p class="small">
          {"number" in happening && (
            <>
              {seatsText(happening.seats)}, {priceText(cents(happening.total), happening.currency)}
              {happening.title !== "" && `, ${happening.title}`}
              <br />
            </>
          )}
          <span class="soft">
            {when}
            {happening.kind === "changed showing" &&
              ` · ${happening.changes.map((change) => said.changes[change]).join(", ")}`}
          </span>
        </p>
      </div>
    </li>
  );
}

/** What has happened since it was last said, in one sentence; not what had happened before anybody listened. */
function SpokenNews({ happenings }: { happenings: readonly Happening[] }) {
  const [sentence, setSentence] = useState("");
  const { box } = useDesk();
  const latest = useRef(happenings);
  latest.current = happenings;
  useEffect(() => {
    const since = box.now();
    let known = new Set(latest.current.map(keyOf));
    const clock = setInterval(() => {
      const fresh = latest.current.filter((happening) => happening.at >= since && !known.has(keyOf(happening)));
      known = new Set(latest.current.map(keyOf));
      setSentence(fresh.length === 0 ? "" : summary(fresh));
    }, CALM);
    return () => clearInterval(clock);
  }, []);
  return (
    <p class="unseen" aria-live="polite">
      {sentence}
    </p>
  );
}

function summary(fresh: readonly Happening[]): string {
  const said = texts.value.feed;
  const count = (isMeant: (kind: Happening["kind"]) => boolean, forms: { one: string; other: string }) => {
    const number = fresh.filter(({ kind }) => isMeant(kind)).length;
    return number === 0 ? "" : counted(number, forms);
  };
  return said.news(
    count((kind) => kind === "booked", said.newsBooked),
    count((kind) => kind === "given back", said.newsGivenBack),
    count((kind) => kind.endsWith("showing"), said.newsShowings),
  );
}

function leadsTo(happening: Happening): Route {
  return {
    view: "showing",
    showingId: happening.showingId,
    bookingId: "bookingId" in happening ? happening.bookingId : null,
  };
}

function keyOf(happening: Happening): string {
  return `${happening.kind} ${"bookingId" in happening ? happening.bookingId : `${happening.showingId} ${happening.at}`}`;
}
