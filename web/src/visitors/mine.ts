/** The bookings of who is signed in, asked for anew whenever something may have changed. */

import { effect, type ReadonlySignal, signal } from "@preact/signals";
import type { Box } from "../box/box";
import type { Booking } from "../box/wire";

/** What changes together is asked for once: milliseconds. */
const TOGETHER = 250;

export class MyBookings {
  private readonly _list = signal<readonly Booking[] | null>(null);
  private readonly _isFailing = signal(false);
  /** Null until they are known, and while nobody is signed in. */
  readonly list: ReadonlySignal<readonly Booking[] | null> = this._list;
  /** Whether they were asked for in vain. */
  readonly isFailing: ReadonlySignal<boolean> = this._isFailing;
  private timer: ReturnType<typeof setTimeout> | undefined;
  /** Counts the times that were asked, so that a late answer does not stand over a newer one. */
  private turn = 0;

  constructor(private readonly box: Box) {
    let who: string | undefined;
    effect(() => {
      const now = box.session.value?.user.user_id;
      box.renewed.value;
      if (now !== who) {
        this._list.value = null;
        this._isFailing.value = false;
      }
      who = now;
      this.soon();
    });
    box.onConfirmation(() => this.soon());
    box.onShowing(({ showing_id }) => {
      if (this._list.peek()?.some(({ showing }) => showing.showing_id === showing_id)) this.soon();
    });
  }

  private soon(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.ask(), TOGETHER);
  }

  private async ask(): Promise<void> {
    const who = this.box.session.value?.user.user_id;
    if (who === undefined) return;
    this.turn += 1;
    const { turn } = this;
    try {
      const all = await this.box.http.bookings();
      if (turn !== this.turn || who !== this.box.session.value?.user.user_id) return;
      // A manager is told everybody's.
      this._list.value = all.filter((booking) => booking.user_id === who);
      this._isFailing.value = false;
    } catch {
      if (turn === this.turn) this._isFailing.value = true;
    }
  }
}
