/**
 * How long something is still kept. Needs the box, whose clock counts, and `until` in milliseconds of that clock. It is
 * seen all the time and read aloud once, as its last minute begins: `warning` is that sentence.
 */

import { useEffect, useRef, useState } from "preact/hooks";
import type { Box } from "../box/box";
import { remaining } from "../core/days";

const WARNING = 60_000;

export function Countdown({ box, until, warning }: { box: Box; until: number; warning: string }) {
  const [left, setLeft] = useState(() => until - box.now());
  /** Something that is kept for less than a minute has no last one to speak of. */
  const wasLong = useRef(false);
  if (left > WARNING) wasLong.current = true;
  useEffect(() => {
    const look = () => setLeft(until - box.now());
    look();
    const clock = setInterval(look, 250);
    return () => clearInterval(clock);
  }, [box, until]);
  const isShort = left <= WARNING;
  return (
    <>
      <span class={`countdown figures${isShort ? " short" : ""}`} role="timer" aria-live="off">
        {remaining(left)}
      </span>
      <span class="unseen" role="status">
        {isShort && wasLong.current && left > 0 ? warning : ""}
      </span>
    </>
  );
}
