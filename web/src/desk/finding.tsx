/** Finding a booking by whatever is known of it. */

import { useEffect, useRef, useState } from "preact/hooks";
import type { Booking, Showing } from "../box/wire";
import { dayOf } from "../core/days";
import { Field } from "../shared/field";
import { counted, dayText, timeText } from "../shared/language";
import { useLater } from "../shared/link-notice";
import { BookingTable } from "./bookings";
import { useDesk } from "./context";
import { useAsked } from "./lasting";
import { replace } from "./navigation";
import { Action, Failure, Heading } from "./parts";
import { isDay } from "./route";
import { questionsFor, together } from "./searching";
import { texts } from "./texts";

const SHOWN = 50;
/** How long somebody is waited for who goes on typing: milliseconds. */
const PAUSE = 250;

export function FindView({ text: first, isNew }: { text: string; isNew: boolean }) {
  const { box, cinema } = useDesk();
  const today = dayOf(box.now(), cinema.timezone);
  const [text, setText] = useState(first);
  const [from, setFrom] = useState(today);
  const [to, setTo] = useState("");
  const [showingId, setShowingId] = useState("");
  const [changed, setChanged] = useState<ReadonlyMap<string, Booking>>(new Map());
  const said = texts.value.find;

  // The address says what is looked for, so that one comes back to it. It is followed where somebody goes to another;
  // what it says because of what was typed is no news, and less than what is in the field by then.
  const addressed = useRef(first);
  const settled = useSettled(text, PAUSE);
  useEffect(() => {
    if (first === addressed.current) return;
    addressed.current = first;
    setText(first);
  }, [first]);
  useEffect(() => {
    addressed.current = settled.trim();
    replace({ view: "find", text: addressed.current });
  }, [settled]);

  const questions = questionsFor(settled, {
    showingId: showingId || null,
    ...(isDay(from) && showingId === "" ? { from } : {}),
    ...(isDay(to) && showingId === "" ? { to } : {}),
  });
  // A day alone is no question here: every booking of the future would be the answer.
  const isAsked = questions.length > 0 && (settled.trim() !== "" || showingId !== "" || to !== "");
  const asked = useAsked(
    async () => {
      const answers = isAsked ? await Promise.all(questions.map((question) => box.http.bookings(question))) : [];
      setChanged(new Map());
      return together(answers, box.now());
    },
    JSON.stringify([isAsked, questions]),
    box.link.value === "live" ? box.renewed.value : 0,
  );
  const isLate = useLater(asked.value === null && asked.failure === null, 400);
  const found = (asked.value ?? []).map((booking) => changed.get(booking.booking_id) ?? booking);
  return (
    <div class="stack">
      <Heading name={said.title} isNew={isNew}>
        {said.title}
      </Heading>
      <search class="stack">
        <div class="search-field">
          {" "}
          <Field
            label={said.label}
            hint={said.hint}
            type="search"
            autocomplete="off"
            autocapitalize="none"
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
          />
        </div>
        <div class="fields-row">
          <ShowingFilter value={showingId} onChosen={setShowingId} />
          <Field
            label={said.from}
            type="date"
            value={from}
            disabled={showingId !== ""}
            onInput={(event) => setFrom(event.currentTarget.value)}
          />
          <Field
            label={said.to}
            type="date"
            value={to}
            disabled={showingId !== ""}
            onInput={(event) => setTo(event.currentTarget.value)}
          />
          <Action
            kind="bare"
            onClick={() => {
              setFrom("");
              setTo("");
              setShowingId("");
            }}
          >
            {said.allDays}
          </Action>
        </div>
      </search>
      <Failure of={asked.failure} again={asked.again} />
      <p class="soft" role="status">
        {!isAsked && said.empty}
        {isAsked && isLate && said.asking}
        {isAsked && asked.value !== null && (found.length === 0 ? said.none : counted(found.length, said.results))}
        {found.length > SHOWN && ` ${said.first(SHOWN)}`}
      </p>
      {isAsked && found.length > 0 && (
        <BookingTable
          caption={counted(found.length, said.results)}
          bookings={found.slice(0, SHOWN)}
          onChanged={(booking) => setChanged(new Map(changed).set(booking.booking_id, booking))}
          hasShowings
        />
      )}
    </div>
  );
}

function ShowingFilter({ value, onChosen }: { value: string; onChosen: (showingId: string) => void }) {
  const { box, cinema } = useDesk();
  const said = texts.value.find;
  const name = (showing: Showing) =>
    `${dayText(showing.starts_at, cinema.timezone, "short")} ${timeText(showing.starts_at, cinema.timezone)} · ${showing.title} · ${showing.room}`;
  return (
    <Field label={said.showing}>
      {(tied) => (
        <select {...tied} value={value} onChange={(event) => onChosen(event.currentTarget.value)}>
          <option value="">{said.anyShowing}</option>
          {(box.showings.value ?? []).map((showing) => (
            <option key={showing.showing_id} value={showing.showing_id}>
              {name(showing)}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

/** What somebody typed, once they pause. */
function useSettled(text: string, after: number): string {
  const [settled, setSettled] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(text), after);
    return () => clearTimeout(timer);
  }, [text, after]);
  return settled;
}
