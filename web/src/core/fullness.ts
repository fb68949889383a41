/** How full a showing is: the same on all pages. */

import type { Showing } from "../box/wire";

export type Fullness = "sold out" | "last seats" | "filling up" | "plenty";

/** A tenth of a room is little, and so are three seats of the smallest. */
export function fullness({ seats_available, seats_total }: Pick<Showing, "seats_available" | "seats_total">): Fullness {
  if (seats_available <= 0) return "sold out";
  if (seats_available <= Math.max(3, seats_total / 10)) return "last seats";
  return seats_available * 2 < seats_total ? "filling up" : "plenty";
}
