/** What can be booked, as it is offered: by the cinema's days, each showing with what it costs and how full it is. */

import type { Showing } from "../box/wire";
import { byDay, dayAfter, dayOf } from "../core/days";
import { cents } from "../core/money";
import { isOnSale } from "../core/onsale";

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

/** How a day is called: today, tomorrow, or by its date. */
export function nearness(day: string, timezone: string, now: number): "today" | "tomorrow" | "later" {
  const today = dayOf(now, timezone);
  if (day === today) return "today";
  return day === dayAfter(today) ? "tomorrow" : "later";
}

/** How much room is left: a word tells more from afar than a number, until few are left. */
export type Fullness = "sold out" | "last seats" | "filling up" | "plenty";

const LAST = 8;

export function fullness({ seats_available, seats_total }: Pick<Showing, "seats_available" | "seats_total">): Fullness {
  if (seats_available <= 0) return "sold out";
  if (seats_available <= LAST) return "last seats";
  return seats_available * 2 < seats_total ? "filling up" : "plenty";
}

/** The least that a seat costs, in cents, and whether others cost more. */
export function leastPrice(showing: Pick<Showing, "price" | "prices">): { cents: number; isOnly: boolean } {
  const all = [showing.price, ...Object.values(showing.prices)].map(cents);
  const least = Math.min(...all);
  return { cents: least, isOnly: all.every((one) => one === least) };
}

/** Whether a title is so long that it is better set smaller than cut. */
export const isLong = (title: string): boolean => title.length > 40;
