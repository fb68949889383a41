/** What all views of the audience's page share. */

import { useEffect, useState } from "preact/hooks";
import { Box } from "../box/box";
import type { Showing } from "../box/wire";
import { isOnSale as isOnSaleUntil } from "../core/on-sale";
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
