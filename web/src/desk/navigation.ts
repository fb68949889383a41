/** Where one is, and what was said on the way there. */

import { type ReadonlySignal, signal } from "@preact/signals";
import { addressOf, type Route, routeOf } from "./route";

const current = signal<Route>(routeOf(location.hash));
const flashed = signal<string | null>(null);

export const route: ReadonlySignal<Route> = current;
/** What came of what was done in the view before; until one goes on. */
export const flash: ReadonlySignal<string | null> = flashed;

/** Follow the address from now on. */
export function startNavigation(): void {
  addEventListener("hashchange", () => {
    const next = routeOf(location.hash);
    if (addressOf(next) === addressOf(current.value)) return;
    flashed.value = null;
    current.value = next;
  });
}

/** Go to a view, and say there what came of the one before. */
export function go(next: Route, said: string | null = null): void {
  history.pushState(null, "", addressOf(next));
  current.value = next;
  flashed.value = said;
}

/** The same view with something else in it: going back does not come by here again. */
export function replace(next: Route): void {
  history.replaceState(null, "", addressOf(next));
  current.value = next;
}

export function say(what: string | null): void {
  flashed.value = what;
}
