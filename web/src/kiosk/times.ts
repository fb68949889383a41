/** How long the kiosk waits for what: milliseconds. */

/** Without a touch in the middle of an order, before it asks whether anybody is there. */
export const QUIET = 45_000;
/** How long that question stands before the seats are given back. */
export const QUESTION = 15_000;
/** How long the number of a booking is shown. */
export const SHOWN = 60_000;
/** After which the start screen is as it was for whoever comes next: language and day. */
export const RESET = 60_000;
/** The start screen is renewed to a newer version of the page only when it has been left alone for so long. */
export const UNTOUCHED = 10_000;
/** A connection that is back sooner than this was not worth a word. */
export const GRACE = 1_500;
/** How often the clock is looked at. */
export const TICK = 250;
