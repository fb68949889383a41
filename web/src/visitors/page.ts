/** What all views of the audience's page share. */

import { useEffect, useState } from "preact/hooks";
import { Box } from "../box/box";
import type { Showing } from "../box/wire";
import { dayAfter, dayOf } from "../core/days";
import { isOnSale as isOnSaleUntil } from "../core/onsale";
import { dateText, inLanguage } from "../shared/language";
import { MyBookings } from "./mine";
import { Orders } from "./orders";

export const box = new Box({ page: "visitors" });
export const orders = new Orders(box);
export const mine = new MyBookings(box);

/** Until the cinema is known, its clock is the reader's. */
export const timezone = (): string =>
  box.cinema.value?.timezone ?? Intl.DateTimeFormat().resolvedOptions().timeZone ?? "UTC";

/** The box's clock, drawn anew every few seconds: milliseconds since 1970. */
export function useNow(every = 5_000): number {
  const [now, setNow] = useState(() => box.now());
  useEffect(() => {
    const clock = setInterval(() => setNow(box.now()), every);
    return () => clearInterval(clock);
  }, [every]);
  return now;
}

/** Whether a showing can still be booked at a moment. */
export function isOnSale(showing: Showing, now: number): boolean {
  return isOnSaleUntil(showing, box.cinema.value?.booking.sales_close_minutes ?? 0, now);
}

const texts = inLanguage({
  en: { today: "Today", tomorrow: "Tomorrow" },
  nl: { today: "Vandaag", tomorrow: "Morgen" },
});

/** “Today”, “Tomorrow”, or null for another day. */
export function nearDayText(day: string, now: number): string | null {
  const today = dayOf(now, timezone());
  if (day === today) return texts.value.today;
  return day === dayAfter(today) ? texts.value.tomorrow : null;
}

/** “Tomorrow, Friday 1 February”. */
export function fullDayText(day: string, now: number): string {
  const near = nearDayText(day, now);
  return near === null ? dateText(day) : `${near}, ${dateText(day)}`;
}
