/**
 * The orders of this page: that of the showing which is looked at, and those whose booking is under way while somebody
 * looks at something else, or since before the page was loaded anew or the session ended.
 */

import { effect, type ReadonlySignal, signal, untracked } from "@preact/signals";
import type { Box } from "../box/box";
import { Order } from "../box/order";

export class Orders {
  private readonly _background = signal<readonly Order[]>([]);
  /** Whose outcome has not been seen. */
  readonly background: ReadonlySignal<readonly Order[]> = this._background;
  private userId: string | undefined;

  constructor(private readonly box: Box) {}

  /** Take up what a former load of the page has left, and what whoever signs in had under way. */
  begin(entersShowing: boolean): void {
    if (!entersShowing && this.box.session.peek() !== null) void Order.abandon(this.box);
    effect(() => {
      const userId = this.box.session.value?.user.user_id;
      untracked(() => this.isNow(userId));
    });
  }

  private isNow(userId: string | undefined): void {
    if (userId === this.userId) return;
    this.userId = userId;
    for (const order of this._background.value) order.dispose();
    this._background.value = this.box.unresolved.map((request) => Order.resumed(this.box, request));
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
    if (order.stage.value === "booking" && order.userId === this.box.session.peek()?.user.user_id) {
      this._background.value = [...this._background.value, order];
    } else {
      order.dispose();
    }
  }

  /** Its outcome has been seen. */
  forget(order: Order, { isKept = false } = {}): void {
    this._background.value = this._background.value.filter((other) => other !== order);
    if (!isKept) order.dispose();
  }
}
