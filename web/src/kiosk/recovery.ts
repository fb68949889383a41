/** When the page itself has failed: after how long it begins anew. */

import * as v from "valibot";

/** What a tab remembers of its failures, so that a page that fails at once does not begin anew all the time. */
export const Faults = v.object({ count: v.number(), at: v.number() });
export type Faults = v.InferOutput<typeof Faults>;

const FIRST = 3_000;
const LONGEST = 5 * 60_000;
/** A page that went well for so long has no past. */
const FORGIVEN = 10 * 60_000;

/** The delay before the page begins anew, in milliseconds, and what to remember. `now` is milliseconds since 1970. */
export function afterFault(before: Faults | null, now: number): { faults: Faults; delay: number } {
  const count = before === null || Math.abs(now - before.at) > FORGIVEN ? 1 : before.count + 1;
  const delay = Math.min(LONGEST, FIRST * 2 ** (count - 1));
  // Counted from the new beginning, or the longest delay would pass for a time that went well.
  return { faults: { count, at: now + delay }, delay };
}

/** Browsers tell also what is no fault of the page. */
export const isHarmless = (message: string): boolean => message.startsWith("ResizeObserver loop");
