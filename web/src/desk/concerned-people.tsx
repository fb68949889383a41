/** Whom a change concerns: how many, who, and their addresses to be copied. */

import { useRef, useState } from "preact/hooks";
import { counted } from "../shared/language";
import { seatsText } from "../shared/seats";
import type { Concerned } from "./concerned";
import { Action } from "./parts";
import { texts } from "./texts";

export function ConcernedPeople({ concerned }: { concerned: Concerned }) {
  const said = texts.value.concerned;
  if (concerned.bookings === 0) return <p>{said.nobody}</p>;
  return (
    <div class="stack tight">
      <p>
        <strong>{said.count(counted(concerned.bookings, said.bookings), seatsText(concerned.seats))}</strong>
      </p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a list that is longer than its place is scrolled by keyboard. */}
      <ul class="lines people" aria-label={said.people} tabIndex={0}>
        {concerned.people.map((person) => (
          <li key={person.booking_id}>
            {person.name ?? person.email ?? texts.value.booking.nobody}{" "}
            <span class="soft small">
              {[person.name === null ? null : person.email, person.seats, person.number].filter(Boolean).join(" · ")}
            </span>
          </li>
        ))}
      </ul>
      <CopyEmails emails={concerned.emails} />
    </div>
  );
}

/** Where the browser does not let a page copy, as without TLS, they are there to be copied by hand. */
export function CopyEmails({ emails }: { emails: readonly string[] }) {
  const [state, setState] = useState<"" | "copied" | "by hand">("");
  const area = useRef<HTMLTextAreaElement>(null);
  const said = texts.value.concerned;
  const text = emails.join(", ");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setState("copied");
    } catch {
      setState("by hand");
      requestAnimationFrame(() => area.current?.select());
    }
  };
  if (emails.length === 0) return <p class="soft">{said.noEmails}</p>;
  return (
    <div class="stack tight">
      <p class="row">
        <Action isSmall onClick={() => void copy()}>
          {counted(emails.length, said.copy)}
        </Action>
        <span role="status">{state === "copied" && said.copied}</span>
      </p>
      {state === "by hand" && (
        <label>
          {said.copyByHand}
          <textarea class="input" ref={area} readOnly rows={3} value={text} />
        </label>
      )}
    </div>
  );
}
