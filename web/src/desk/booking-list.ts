/** The bookings of one showing, asked for again whenever one of them changes. */

import { effect, type ReadonlySignal, signal } from "@preact/signals";
import type { Box } from "../box/box";
import type { Booking } from "../box/wire";

/** Milliseconds: what changes together is asked for once. */
const TOGETHER = 250;

export class BookingList {
  private readonly _bookings = signal<readonly Booking[] | null>(null);
  private readonly _failure = signal<unknown>(null);
  /** By the number; null until they are known. */
  readonly bookings: ReadonlySignal<readonly Booking[] | null> = this._bookings;
  /** Why they could not be asked for, until they could. */
  readonly failure: ReadonlySignal<unknown> = this._failure;
  private readonly ends: (() => void)[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;
  private turn = 0;

  constructor(
    private readonly box: Box,
    private readonly showingId: string,
  ) {
    this.ends.push(
      effect(() => {
        if (box.renewed.value >= 0) this.askSoon(0);
      }),
      box.onConfirmation(({ showing_id, status }) => {
        if (showing_id === showingId && status !== "failed") this.askSoon();
      }),
    );
  }

  /** Whose a seat is; undefined where it is nobody's, as far as is known. */
  ofSeat(seatId: string): Booking | undefined {
    return this.bookings.value?.find(
      ({ status, seats }) => status === "confirmed" && seats.some((seat) => seat.seat_id === seatId),
    );
  }

  /** Raises what {@link Http.bookings} does. */
  async ask(): Promise<readonly Booking[]> {
    this.turn += 1;
    const turn = this.turn;
    try {
      const bookings = await this.box.http.bookings({ showing_id: this.showingId });
      if (turn === this.turn) {
        this._bookings.value = bookings;
        this._failure.value = null;
      }
      return bookings;
    } catch (failure) {
      if (turn === this.turn) this._failure.value = failure;
      throw failure;
    }
  }

  askSoon(within = TOGETHER): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.ask().catch(() => {}), within);
  }

  /** A booking as it is now, answered to a change of it. */
  changed(booking: Booking): void {
    const known = this._bookings.peek();
    if (known !== null) {
      this._bookings.value = known.map((other) => (other.booking_id === booking.booking_id ? booking : other));
    }
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.turn += 1;
    for (const end of this.ends) end();
  }
}
