/**
 * Somebody's seats from the first touch to the booking: chosen, kept by the box while they decide, booked once. What is
 * asked for is decided by {@link Selection}; here it is sent, and what happens meanwhile is turned into signals.
 */

import { computed, effect, type ReadonlySignal, signal } from "@preact/signals";
import { v4 as newId } from "uuid";
import * as v from "valibot";
import type { Outcome } from "../core/outbox";
import { type Loss, Selection } from "../core/selection";
import type { Box } from "./box";
import type { BookingRequest, Confirmation } from "./wire";

/**
 * - `choosing`: seats are chosen, kept and given back.
 * - `booking`: the booking was asked for; what became of it is not known yet.
 * - `done`: `confirmation` says what became of it.
 */
export type Stage = "choosing" | "booking" | "done";

/** What a tab remembers of the order in it: whose, for which showing, under which id. */
const KeptOrder = v.object({ user_id: v.string(), showing_id: v.string(), booking_id: v.string() });

export class Order {
  private bookingId: string = newId();
  private selection = new Selection();
  private readonly changed = signal(0);
  private readonly _stage = signal<Stage>("choosing");
  private readonly _loss = signal<Loss | null>(null);
  private readonly _confirmation = signal<Confirmation | null>(null);
  private readonly _refusal = signal<string | null>(null);
  private readonly ends: (() => void)[] = [];
  private isOver = false;

  readonly stage: ReadonlySignal<Stage> = this._stage;
  /** The ids of the seats that are chosen, in the order in which they were. */
  readonly seats: ReadonlySignal<readonly string[]> = this.read(() => this.selection.seats);
  /** Those of them that the box keeps. */
  readonly kept: ReadonlySignal<ReadonlySet<string>> = this.read(() => new Set(this.selection.kept));
  /** When the first of them is given up, by the box's clock in milliseconds; null while none is kept. */
  readonly expiresAt: ReadonlySignal<number | null> = this.read(() => this.selection.expiresAt);
  /** Whether the box keeps exactly what is chosen. */
  readonly isSettled: ReadonlySignal<boolean> = this.read(() => this.selection.isSettled);
  /** What was lost last, until it is {@link forgive}n. */
  readonly loss: ReadonlySignal<Loss | null> = this._loss;
  /** The booking's outcome, once it is known and not `failed`. */
  readonly confirmation: ReadonlySignal<Confirmation | null> = this._confirmation;
  /** The code with which the booking was refused or failed, until seats are chosen again. */
  readonly refusal: ReadonlySignal<string | null> = this._refusal;

  constructor(
    private readonly box: Box,
    readonly showingId: string,
  ) {
    this.ends.push(
      box.onNotice((notice) => {
        if (notice.booking_id === this.bookingId) this.lost(this.selection.told(notice));
      }),
      box.onConfirmation((confirmation) => {
        if (confirmation.booking_id === this.bookingId && this._confirmation.value !== null) {
          this._confirmation.value = confirmation;
        }
      }),
      // After a cut, and while polling, what is kept is asked for.
      effect(() => {
        if (box.renewed.value > 0) void this.compare();
      }),
    );
    const clock = setInterval(() => this.tick(), 250);
    this.ends.push(() => clearInterval(clock));
  }

  /** Begin to choose seats of a showing; or go on, where the page was reloaded meanwhile. */
  static begun(box: Box, showingId: string): Order {
    const order = new Order(box, showingId);
    const kept = box.tab.get("order", KeptOrder);
    if (kept?.showing_id === showingId && kept.user_id === box.session.value?.user.user_id) {
      order.bookingId = kept.booking_id;
      void order.takeUp();
    }
    return order;
  }

  /** Give back what this tab had chosen before it was reloaded. */
  static async abandon(box: Box): Promise<void> {
    const kept = box.tab.get("order", KeptOrder);
    if (kept === null || kept.user_id !== box.session.value?.user.user_id) return;
    const order = new Order(box, kept.showing_id);
    order.bookingId = kept.booking_id;
    await order.takeUp();
    order.dispose();
  }

  /** Go on with a booking that was asked for before the page was reloaded. */
  static resumed(box: Box, request: BookingRequest): Order {
    const order = new Order(box, request.showing_id);
    order.bookingId = request.booking_id;
    for (const seatId of request.seat_ids) order.selection.toggle(seatId);
    void order.ask(request);
    return order;
  }

  /** Choose a seat, or give it back. */
  toggle(seatId: string): void {
    if (this._stage.value !== "choosing") return;
    this._refusal.value = null;
    this.selection.toggle(seatId);
    this.step();
  }

  /** Give back all. */
  clear(): void {
    if (this._stage.value !== "choosing") return;
    this.selection.clear();
    this.step();
  }

  /** Book what is chosen. */
  async book(details: { email?: string; user_id?: string } = {}): Promise<void> {
    if (this._stage.value !== "choosing" || this.selection.seats.length === 0) return;
    await this.ask({
      showing_id: this.showingId,
      seat_ids: this.selection.seats,
      booking_id: this.bookingId,
      timestamp: new Date().toISOString(),
      ...details,
    });
  }

  /** What was lost has been read. */
  forgive(): void {
    this._loss.value = null;
  }

  /** Leave: what is kept is given back, unless it is being booked. */
  dispose(): void {
    for (const end of this.ends) end();
    this.ends.length = 0;
    if (this._stage.value === "choosing") {
      this.selection.clear();
      this.isOver = true;
      this.step();
    }
  }

  /** The booking's id. One that was not made has no other outcome: what is left of it goes on under another. */
  get id(): string {
    return this.bookingId;
  }

  private read<T>(what: () => T): ReadonlySignal<T> {
    return computed(() => {
      this.changed.value;
      return what();
    });
  }

  private touch(): void {
    this.changed.value += 1;
  }

  /** Send what is to be asked for next, until nothing is. */
  private step(): void {
    const { bookingId, selection } = this;
    const next = selection.next();
    if (next !== null) {
      selection.sent(next);
      const user_id = this.box.session.value?.user.user_id ?? "";
      this.box.tab.set("order", { user_id, showing_id: this.showingId, booking_id: bookingId });
      const body = {
        showing_id: this.showingId,
        seat_ids: next.seat_ids,
        booking_id: bookingId,
        timestamp: new Date().toISOString(),
      };
      void this.box.send({ topic: next.topic, body }).then((outcome) => {
        const loss =
          outcome.kind === "notice" ? selection.answered(outcome.notice) : selection.refused(codeOf(outcome));
        if (selection !== this.selection) return;
        if (!this.isOver) this.lost(loss);
        this.step();
      });
    }
    this.touch();
  }

  private async ask(request: BookingRequest): Promise<void> {
    this._stage.value = "booking";
    this._refusal.value = null;
    const outcome = await this.box.send({ topic: "booking/request", body: request });
    if (outcome.kind === "confirmation" && outcome.confirmation.status !== "failed") {
      this.selection.over();
      this._confirmation.value = outcome.confirmation;
      this._stage.value = "done";
      this.box.tab.set("order", null);
    } else {
      this.failed(outcome);
    }
    this.touch();
  }

  /** Not booked. A booking's id has one outcome for ever, so what is left goes on under another. */
  private failed(outcome: Outcome): void {
    const inTheWay = outcome.kind === "confirmation" ? outcome.confirmation.seat_ids : [];
    const left = this.selection.seats.filter((seatId) => !inTheWay.includes(seatId));
    const code = codeOf(outcome);
    this.selection.clear();
    this.step(); // gives back what was kept for the old one
    this.bookingId = newId();
    this.selection = new Selection();
    this._stage.value = "choosing";
    if (inTheWay.length > 0) this.lost({ why: "taken", seat_ids: inTheWay });
    else this._refusal.value = code;
    for (const seatId of left) this.selection.toggle(seatId);
    this.step();
  }

  private lost(loss: Loss | null): void {
    if (loss !== null) this._loss.value = loss;
    // Somebody was quicker than what this page had been told.
    if (loss?.why === "taken") void this.box.refresh().catch(() => {});
    this.touch();
  }

  private tick(): void {
    const ends = this.selection.expiresAt;
    if (ends !== null && ends <= this.box.now() && this._stage.value === "choosing") this.lost(this.selection.ranOut());
  }

  /** What the box still keeps under this order's id is chosen again. */
  private async takeUp(): Promise<void> {
    const { bookingId, selection } = this;
    const notice = await this.box.http.holds().then(
      (holds) => holds.find((hold) => hold.booking_id === bookingId),
      () => undefined,
    );
    if (notice === undefined || selection !== this.selection || selection.seats.length > 0) return;
    for (const seatId of notice.seat_ids) selection.toggle(seatId);
    selection.present(notice);
    this.touch();
  }

  private async compare(): Promise<void> {
    const { bookingId, selection } = this;
    if (selection.kept.size === 0 || this._stage.value !== "choosing") return;
    try {
      const holds = await this.box.http.holds();
      if (bookingId !== this.bookingId || !selection.isSettled) return;
      selection.present(holds.find((notice) => notice.booking_id === bookingId));
      this.step();
    } catch {
      // Nobody answers; it is asked again when somebody does.
    }
  }
}

function codeOf(outcome: Outcome): string {
  if (outcome.kind === "refusal") return outcome.code;
  return (outcome.kind === "confirmation" ? outcome.confirmation.code : outcome.notice.code) ?? "";
}
