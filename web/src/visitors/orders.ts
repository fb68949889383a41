/**
 * The orders of this page: that of the showing which is looked at, and those whose booking is under way while somebody
 * looks at something else, or since before the page was loaded anew.
 */

import { type ReadonlySignal, signal } from "@preact/signals";
import type { Box } from "../box/box";
import { Order } from "../box/order";

export class Orders {
  private readonly _background = signal<readonly Order[]>([]);
  /** Whose outcome has not been seen. */
  readonly background: ReadonlySignal<readonly Order[]> = this._background;

  constructor(private readonly box: Box) {}

  /** Take up what a former load of the page has left. */
  begin(entersShowing: boolean): void {
    this._background.value = this.box.unresolved.map((request) => Order.resumed(this.box, request));
    if (this._background.value.length > 0) return;
    if (!entersShowing && this.box.session.value !== null) void Order.abandon(this.box);
  }

  /** The order for a showing: the one that is under way, or a new one. */
  enter(showingId: string): Order {
    const known = this._background.value.find((order) => order.showingId === showingId && order.stage.value !== "done");
    if (known === undefined) return Order.begun(this.box, showingId);
    this.forget(known, { isKept: true });
    return known;
  }

  /** Look at something else: what was chosen is given back, what is being booked goes on. */
  leave(order: Order): void {
    if (order.stage.value === "booking") this._background.value = [...this._background.value, order];
    else order.dispose();
  }

  /** Its outcome has been seen. */
  forget(order: Order, { isKept = false } = {}): void {
    this._background.value = this._background.value.filter((other) => other !== order);
    if (!isKept) order.dispose();
  }
}
