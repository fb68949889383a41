/** A showing's seats, kept right by their version: no change is missed, taken twice, or taken in the wrong order. */

import type { Seat, SeatMessage, SeatPlan } from "../box/wire";

/** The seats of one showing as far as they are known. */
export class LivePlan {
  /** Of the last change that is in `seats`; -1 while nothing is known. */
  version = -1;
  private seats = new Map<string, Seat>();
  private early: SeatMessage[] = [];

  constructor(readonly showingId: string) {}

  /** Whether changes were missed, so that the present must be fetched. */
  get hasGap(): boolean {
    return this.early.length > 0;
  }

  /** All seats in room order. */
  get present(): SeatPlan {
    return { showing_id: this.showingId, version: this.version, seats: [...this.seats.values()] };
  }

  /** A seat as the box told it first, with RETAIN: all seats of a present have its version. */
  seen(seat: Seat, version: number): void {
    if (version < this.version) return;
    this.version = version;
    this.seats.set(seat.seat_id, seat);
    this.settle();
  }

  /** One live change. What is older than what is known changes nothing; what comes too early waits for the present. */
  changed(message: SeatMessage): void {
    this.early.push(message);
    this.settle();
  }

  /** The whole present, fetched. One that is older than what is known is not taken. */
  replaced(plan: SeatPlan): void {
    if (plan.version < this.version) return;
    this.version = plan.version;
    this.seats = new Map(plan.seats.map((seat) => [seat.seat_id, seat]));
    this.settle();
  }

  /** There is no present to be had: what waits for one is let go. */
  settled(): void {
    this.early = [];
  }

  /** Take in what follows on the present without a gap; keep the rest. */
  private settle(): void {
    this.early = this.early.filter((message) => message.version > this.version);
    this.early.sort((one, other) => one.version - other.version);
    while (this.early[0]?.version === this.version + 1) {
      const message = this.early.shift() as SeatMessage;
      this.version = message.version;
      const seat = this.seats.get(message.seat_id);
      if (seat !== undefined) this.seats.set(seat.seat_id, { ...seat, status: message.status });
    }
  }
}
