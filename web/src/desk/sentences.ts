/** Showings, and what did not work, in words. */

import { RefusedError } from "../box/http";
import { dayOf } from "../core/days";
import { capitalised, dayText, timeText } from "../shared/language";
import { failureText } from "../shared/refusals";
import { texts } from "./texts";

interface When {
  starts_at: string;
  ends_at: string;
  room: string;
}

/** “Thursday 31 January, 20:00–21:34, Lumière”. */
export function whenText({ starts_at, ends_at, room }: When, timezone: string): string {
  return `${dayText(starts_at, timezone)}, ${timeText(starts_at, timezone)}–${timeText(ends_at, timezone)}, ${room}`;
}

/** “Nosferatu, 20:00–21:34”. */
export function briefText(showing: { title: string; starts_at: string; ends_at: string }, timezone: string): string {
  return `${showing.title}, ${timeText(showing.starts_at, timezone)}–${timeText(showing.ends_at, timezone)}`;
}

/** “Thursday 31 January, 20:00–21:34”, and whether it ends on another day. */
export function periodText(starts: number, minutes: number, timezone: string): string {
  const ends = starts + minutes * 60_000;
  const period = `${capitalised(dayText(starts, timezone))}, ${timeText(starts, timezone)}–${timeText(ends, timezone)}`;
  return dayOf(starts, timezone) === dayOf(ends, timezone) ? period : texts.value.form.nextDay(period);
}

/** Why something did not work that is asked for once, and not again by itself. */
export function whyText(failure: unknown): string {
  if (failure instanceof RefusedError) {
    if (failure.code === "storage_unavailable") return texts.value.frame.notStored;
    if (failure.status === 401) return texts.value.frame.endedBriefly;
  }
  return failureText(failure);
}
