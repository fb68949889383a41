/**
 * The seats that somebody wants, beside those that the box keeps for them: what to ask for next so that both become the
 * same. One request is under way at a time. Seats are named by their ids; moments are the box's, in milliseconds.
 */

import type { HoldNotice } from "../box/wire";

/** What to ask the box for: keep all of these, or give these back. */
export interface Step {
  topic: "seats/hold" | "seats/release";
  seat_ids: readonly string[];
}

/** What somebody must be told, because it was not their doing. */
export type Loss =
  | { why: "taken"; seat_ids: readonly string[] }
  | { why: "expired"; seat_ids: readonly string[] }
  | { why: "refused"; code: string; seat_ids: readonly string[] };

export class Selection {
  private readonly wanted = new Set<string>();
  private readonly held = new Set<string>();
  private underWay: Step | null = null;
  private ends: number | null = null;

  /** What is chosen, in the order in which it was. */
  get seats(): readonly string[] {
    return [...this.wanted];
  }

  /** What the box keeps. */
  get kept(): ReadonlySet<string> {
    return this.held;
  }

  /** When the first of the kept seats is given up; null while none is kept. */
  get expiresAt(): number | null {
    return this.held.size === 0 ? null : this.ends;
  }

  /** Whether all that is chosen is kept, and nothing else. */
  get isSettled(): boolean {
    return this.underWay === null && this.next() === null;
  }

  toggle(seatId: string): void {
    if (!this.wanted.delete(seatId)) this.wanted.add(seatId);
  }

  clear(): void {
    this.wanted.clear();
  }

  /** What to ask for now; null while an answer is awaited, or nothing is to be changed. */
  next(): Step | null {
    if (this.underWay !== null) return null;
    const dropped = [...this.held].filter((seatId) => !this.wanted.has(seatId));
    if (dropped.length > 0) return { topic: "seats/release", seat_ids: dropped };
    // All of them, not the new ones alone: they then run out together.
    if (this.seats.some((seatId) => !this.held.has(seatId))) return { topic: "seats/hold", seat_ids: this.seats };
    return null;
  }

  sent(step: Step): void {
    this.underWay = step;
  }

  /** The box's answer to what was sent. */
  answered(notice: HoldNotice): Loss | null {
    const step = this.underWay;
    this.underWay = null;
    if (step?.topic === "seats/release") {
      // What it had not to give back any more was not kept any more.
      this.forget(step.seat_ids);
      return null;
    }
    if (notice.status !== "rejected") {
      this.keep(notice);
      return null;
    }
    if (notice.code === "seats_unavailable") return this.lose({ why: "taken", seat_ids: notice.seat_ids });
    return this.refused(notice.code ?? "", step);
  }

  /** The box would not do what was sent, and changed nothing. */
  refused(code: string, step: Step | null = this.underWay): Loss | null {
    this.underWay = null;
    if (step?.topic === "seats/release") {
      this.forget(step.seat_ids);
      return null;
    }
    const unkept = (step?.seat_ids ?? this.seats).filter((seatId) => !this.held.has(seatId));
    return this.lose({ why: "refused", code, seat_ids: unkept });
  }

  /** What the box tells unasked: what runs out, or what it keeps according to its present. */
  told(notice: HoldNotice): Loss | null {
    if (notice.status === "held") this.keep(notice);
    if (notice.status === "released") this.forget(notice.seat_ids);
    return notice.status === "expired" ? this.expired(notice.seat_ids) : null;
  }

  /** All that the box keeps for this booking, asked for after a cut: what is not there is kept no longer. */
  present(notice: HoldNotice | undefined): void {
    this.held.clear();
    this.ends = null;
    if (notice !== undefined) this.keep(notice);
  }

  /** The moment has come at which the kept seats are given up, whether or not the box could say so. */
  ranOut(): Loss | null {
    return this.expired([...this.held]);
  }

  /** These seats are not in the room any more, and nothing is kept of them. */
  gone(seatIds: readonly string[]): Loss {
    return this.lose({ why: "refused", code: "unknown_seat", seat_ids: seatIds });
  }

  /** The seats are sold, or the showing is gone: there is nothing to give back. */
  over(): void {
    this.wanted.clear();
    this.held.clear();
    this.underWay = null;
  }

  private expired(seatIds: readonly string[]): Loss | null {
    const mine = seatIds.filter((seatId) => this.held.has(seatId));
    return mine.length === 0 ? null : this.lose({ why: "expired", seat_ids: mine });
  }

  private keep(notice: HoldNotice): void {
    for (const seatId of notice.seat_ids) this.held.add(seatId);
    if (notice.expires_at !== undefined) this.ends = Date.parse(notice.expires_at);
  }

  private forget(seatIds: readonly string[]): void {
    for (const seatId of seatIds) this.held.delete(seatId);
  }

  private lose(loss: Loss): Loss {
    for (const seatId of loss.seat_ids) {
      this.wanted.delete(seatId);
      this.held.delete(seatId);
    }
    return loss;
  }
}
