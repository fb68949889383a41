/** Where somebody is on the page, as the browser's address has it. */

import { type ReadonlySignal, signal } from "@preact/signals";
import { type Route, routeOf } from "./address";

const current = signal<Route>(routeOf(location.hash));
const moved = signal(false);

export const route: ReadonlySignal<Route> = current;
/** Whether another view than the first has been gone to: then its heading takes the focus. */
export const hasMoved: ReadonlySignal<boolean> = moved;

addEventListener("hashchange", () => {
  moved.value = true;
  current.value = routeOf(location.hash);
});

/** Go to a view; `instead` of the present one where there is no way back. */
export function go(address: string, { instead = false } = {}): void {
  if (!instead) location.hash = address;
  else {
    history.replaceState(null, "", address);
    moved.value = true;
    current.value = routeOf(address);
  }
}
