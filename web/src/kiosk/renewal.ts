/** Beginning anew: when the box serves another version of the page, and when the page has failed. */

import { effect, signal } from "@preact/signals";
import type { Box } from "../box/box";
import { Memory } from "../box/memory";
import type { Kiosk } from "./kiosk";
import { afterFault, Faults, isHarmless } from "./recovery";
import { UNTOUCHED } from "./times";
import { isOutdated, partsOf } from "./version";

const LOOK_EVERY = 2_000;
const TRY_AGAIN = 5_000;
const PATIENCE = 10_000;

const served = async (): Promise<string | null> => {
  try {
    const response = await fetch(location.pathname, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    return response.ok ? await response.text() : null;
  } catch {
    return null;
  }
};

/** After each cut, which may have been an update, and then only while nobody is there: the page as it is served now. */
export function renewWhenUpdated(kiosk: Pick<Kiosk, "flow" | "quietFor">, box: Pick<Box, "link">): void {
  const parts = partsOf(document);
  let isDue = false;
  let wasAway = false;
  effect(() => {
    const link = box.link.value;
    if (link === "reconnecting") wasAway = true;
    if (wasAway && (link === "live" || link === "polling")) [isDue, wasAway] = [true, false];
  });
  setInterval(async () => {
    const isFree = () => kiosk.flow.peek().screen === "start" && kiosk.quietFor() >= UNTOUCHED;
    if (!isDue || !isFree()) return;
    isDue = false;
    const html = await served();
    if (html === null) isDue = true;
    else if (isOutdated(html, parts)) {
      if (isFree()) location.reload();
      else isDue = true;
    }
  }, LOOK_EVERY);
}

const _hasFailed = signal(false);
/** Whether the page has failed, and will begin anew in a moment. */
export const hasFailed = _hasFailed;

/** Whatever goes wrong in the page itself leads to a new beginning, once the box is there to serve it. */
export function renewWhenFailed(): void {
  const memory = new Memory("kiosk", () => sessionStorage);
  const failed = () => {
    if (_hasFailed.value) return;
    _hasFailed.value = true;
    const { faults, delay } = afterFault(memory.get("faults", Faults), Date.now());
    memory.set("faults", faults);
    const begin = async () => {
      // A page that nobody serves now would leave the screen to the browser's own error.
      if ((await served()) === null) setTimeout(begin, TRY_AGAIN);
      else location.reload();
    };
    setTimeout(begin, delay);
  };
  addEventListener("error", (event) => {
    if (!isHarmless(event.message)) failed();
  });
  addEventListener("unhandledrejection", failed);
}
