/** What can be booked, as it is offered: by the cinema's days. */

import type { Showing } from "../box/wire";
import { byDay } from "../core/days";
import { isOnSale } from "../core/on-sale";

export interface ProgrammeDay {
  /** As `2030-01-31`. */
  day: string;
  showings: readonly Showing[];
}

/** The days on which something is still sold, in order. `now` is the box's; sales end `closeMinutes` after the start. */
export function programmeOf(
  showings: readonly Showing[],
  timezone: string,
  now: number,
  closeMinutes: number,
): readonly ProgrammeDay[] {
  const onSale = showings.filter((showing) => isOnSale(showing, closeMinutes, now));
  return byDay(onSale, timezone).map(([day, shown]) => ({ day, showings: shown }));
}

/** The chosen day while something is on, else the first. */
export function dayShown(days: readonly ProgrammeDay[], chosen: string | null): ProgrammeDay | null {
  return days.find(({ day }) => day === chosen) ?? days[0] ?? null;
}

/** Whether a title is so long that it is better set smaller than cut. */
export const isLong = (title: string): boolean => title.length > 40;
