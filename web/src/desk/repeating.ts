/** One showing on many days: on which, when exactly, and what stands in their way. */

import type { Showing } from "../box/wire";
import { dayAfter, momentOf } from "../core/days";
import type { Details } from "./drafts";
import { isDay } from "./route";

/** More showings than this are not made in one go. */
export const MOST_DAYS = 100;

/** From Monday, 1, to Sunday, 7. */
export type Weekday = 1 | 2 | 3 | 4 | 5 | 6 | 7;
export const WEEKDAYS: readonly Weekday[] = [1, 2, 3, 4, 5, 6, 7];

export function weekdayOf(day: string): Weekday {
  return (new Date(`${day}T12:00:00Z`).getUTCDay() || 7) as Weekday;
}

/** The first day, which was chosen by itself, and then those up to the last one that fall on the weekdays; at most
 * {@link MOST_DAYS}. */
export function repeatedDays(first: string, last: string, weekdays: ReadonlySet<Weekday>): readonly string[] {
  const days = [first];
  if (!isDay(first) || !isDay(last)) return days;
  for (let day = dayAfter(first); day <= last && days.length < MOST_DAYS; day = dayAfter(day)) {
    if (weekdays.has(weekdayOf(day))) days.push(day);
  }
  return days;
}

/** A showing to be made. Its id is its own from the beginning, so that it can be asked for again and is made once. */
export interface Planned {
  showing_id: string;
  day: string;
  starts_at: string;
  ends_at: string;
}

/** The same time of the clock on every day, also across a change of the clock. `known` are those planned before, whose
 * ids go on. */
export function planned(
  days: readonly string[],
  details: Pick<Details, "time" | "minutes">,
  timezone: string,
  newId: () => string,
  known: readonly Planned[] = [],
): readonly Planned[] {
  return days.map((day) => {
    const starts = momentOf(day, details.time, timezone);
    return {
      showing_id: known.find((other) => other.day === day)?.showing_id ?? newId(),
      day,
      starts_at: new Date(starts).toISOString(),
      ends_at: new Date(starts + details.minutes * 60_000).toISOString(),
    };
  });
}

interface Period {
  showing_id: string;
  starts_at: string;
  ends_at: string;
}

/** The scheduled showings of the room that run at the same time. One may begin when another ends. */
export function conflictsOf(period: Period, roomId: string, showings: readonly Showing[]): readonly Showing[] {
  const [starts, ends] = [Date.parse(period.starts_at), Date.parse(period.ends_at)];
  return showings.filter(
    (showing) =>
      showing.room_id === roomId &&
      showing.status === "scheduled" &&
      showing.showing_id !== period.showing_id &&
      Date.parse(showing.starts_at) < ends &&
      Date.parse(showing.ends_at) > starts,
  );
}

/** What became of a planned showing. */
export type Made = "waiting" | "making" | "made" | { failed: unknown };

/** Which of those planned are still to be asked for: none that is made or left out. */
export function toBeMade(
  plan: readonly Planned[],
  made: ReadonlyMap<string, Made>,
  leftOut: ReadonlySet<string>,
): readonly Planned[] {
  return plan.filter(({ showing_id, day }) => made.get(showing_id) !== "made" && !leftOut.has(day));
}
