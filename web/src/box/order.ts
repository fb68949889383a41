/**
 * Somebody's seats from the first touch to the booking: chosen, kept by the box while they decide, booked once. What is
 * asked for is decided by {@link Selection}; here it is sent, and what happens meanwhile is turned into signals.
 *
 * A booking's id has one outcome for ever (protocol.md, Commands), and what is kept under it is given back under it. So
 * each order has an id of its own that no other ever had, and takes a new one where its booking was not made.
 */

import { computed, effect, type ReadonlySignal, signal, untracked } from "@preact/signals";
import { v4 as newId } from "uuid";
import * as v from "valibot";
import type { Outcome } from "../core/outbox";
import { type Loss, Selection } from "../core/selection";
import type { Box } from "./box";
import type { BookingRequest, Confirmation, HoldNotice } from "./wire";

/**
 * - `choosing`: seats are chosen, kept and given back.
 * - `booking`: the booking was asked for; what became of it is not known yet.
 * - `done`: `confirmation` says what became of it.
 */
export type Stage = "choosing" | "booking" | "done";

/** What an order needs of the box. */
export type Counter = Pick<
  Box,
  "now" | "send" | "onNotice" | "onConfirmation" | "onLeave" | "renewed" | "plan" | "refresh" | "isAlone"
> & {
  session: ReadonlySignal<{ user: { user_id: string } } | null>;
  http: Pick<Box["http"], "holds">;
  tab: Pick<Box["tab"], "get" | "set">;
};

/** What a tab remembers of the order in it: whose, for which showing, under which id; and that the page was left, for a
 * tab that is a copy of another has the other's memory. */
const KeptOrder = v.object({
  user_id: v.string(),
  showing_id: v.string(),
  booking_id: v.string(),
  is_left: v.optional(v.boolean(), false),
});
type KeptOrder = v.InferOutput<typeof KeptOrder>;

export class Order {
  private bookingId: string = newId();
  private selection = new Selection();
  /** What was sent last has been answered. */
  private answered: Promise<void> = Promise.resolve();
  private readonly changed = signal(0);
  private readonly _stage = signal<Stage>("choosing");
  private readonly _loss = signal<Loss | null>(null);
  private readonly _confirmation = signal<Confirmation | null>(null);
  private readonly _refusal = signal<string | null>(null);
  private readonly ends: (() => void)[] = [];
  private isOver = false;

  /** Whose it is; undefined for nobody's. */
  readonly userId: string | undefined;
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
    private readonly box: Counter,
    readonly showingId: string,
  ) {
    this.userId = box.session.peek()?.user.user_id;
    const clock = setInterval(() => this.tick(), 250);
    this.ends.push(
      () => clearInterval(clock),
      box.onNotice((notice) => this.noticed(notice)),
      box.onConfirmation((confirmation) => {
        if (confirmation.booking_id === this.bookingId && this._confirmation.value !== null) {
          this._confirmation.value = confirmation;
        }
      }),
      box.onLeave(() => this.remember(true)),
      // After a cut, and while polling, what is kept is asked for.
      effect(() => {
        if (box.renewed.value > 0) untracked(() => void this.compare());
      }),
      effect(() => {
        const plan = box.plan.value;
        if (plan?.showing_id === showingId)
          untracked(() => this.measure(new Set(plan.seats.map((seat) => seat.seat_id))));
      }),
    );
  }

  /** This order's id at the moment: the booking's. */
  get id(): string {
    return this.bookingId;
  }

  /** Begin to choose seats of a showing; or go on, where the page was loaded anew meanwhile. */
  static begun(box: Counter, showingId: string): Order {
    const order = new Order(box, showingId);
    const kept = Order.left(box);
    if (kept?.showing_id === showingId) {
      order.bookingId = kept.booking_id;
      void order.takeUp();
    } else if (kept !== null) void Order.giveBack(box, kept);
    return order;
  }

  /** What the page that was in this tab before had chosen. */
  private static left(box: Counter): KeptOrder | null {
    const kept = box.tab.get("order", KeptOrder);
    box.tab.set("order", null);
    const isOwn = kept?.user_id === box.session.peek()?.user.user_id && (kept?.is_left || box.isAlone);
    return isOwn ? kept : null;
  }

  /** Give back what the page that was in this tab before had chosen, once `isReachable`. */
  static async abandon(box: Counter, isReachable: Promise<void> = Promise.resolve()): Promise<void> {
    const kept = Order.left(box);
    if (kept === null) return;
    await isReachable;
    await Order.giveBack(box, kept);
  }

  /** By an order that is over from its beginning: the tab may remember another one by now. */
  private static async giveBack(box: Counter, kept: KeptOrder): Promise<void> {
    const order = new Order(box, kept.showing_id);
    order.bookingId = kept.booking_id;
    order.end();
    if (await order.takeUp()) order.clear();
    else if (box.tab.get("order", KeptOrder) === null) box.tab.set("order", kept); // for whoever can ask the box
  }

  /** Go on with a booking that was asked for before the page was loaded anew. */
  static resumed(box: Counter, request: BookingRequest): Order {
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

  /** Leave: what is kept is given back, as soon as it is not being booked. */
  dispose(): void {
    if (this.isOver) return;
    this.end();
    if (this._stage.value !== "choosing") return;
    this.box.tab.set("order", null);
    this.clear();
  }

  private end(): void {
    this.isOver = true;
    for (const end of this.ends) end();
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

  private body(seatIds: readonly string[]) {
    const booking_id = this.bookingId;
    return { showing_id: this.showingId, seat_ids: seatIds, booking_id, timestamp: new Date().toISOString() };
  }

  /** Send what is to be asked for next, until nothing is. */
  private step(): void {
    const { selection } = this;
    const next = selection.next();
    if (next !== null) {
      selection.sent(next);
      if (!this.isOver) this.remember();
      this.answered = this.box.send({ topic: next.topic, body: this.body(next.seat_ids) }).then((outcome) => {
        const loss =
          outcome.kind === "notice" ? selection.answered(outcome.notice) : selection.refused(codeOf(outcome));
        if (this._stage.value === "choosing") {
          if (!this.isOver) this.lost(loss);
          this.step();
        }
      });
    }
    this.touch();
  }

  private remember(is_left = false): void {
    if (this.selection.seats.length === 0 && this.selection.kept.size === 0) return;
    this.box.tab.set("order", {
      user_id: this.userId ?? "",
      showing_id: this.showingId,
      booking_id: this.bookingId,
      is_left,
    });
  }

  private async ask(request: BookingRequest): Promise<void> {
    this._stage.value = "booking";
    this._refusal.value = null;
    const outcome = await this.box.send({ topic: "booking/request", body: request });
    if (outcome.kind === "confirmation" && outcome.confirmation.status !== "failed") {
      this.selection.over();
      this._confirmation.value = outcome.confirmation;
      this._stage.value = "done";
      if (!this.isOver) this.box.tab.set("order", null);
      this.touch();
    } else {
      await this.failed(outcome);
    }
  }

  /** Not booked. What was kept for it is given back, and what is left is asked for again, under another id. */
  private async failed(outcome: Outcome): Promise<void> {
    const inTheWay = outcome.kind === "confirmation" ? outcome.confirmation.seat_ids : [];
    const left = this.selection.seats.filter((seatId) => !inTheWay.includes(seatId));
    await this.answered;
    const kept = [...this.selection.kept];
    if (kept.length > 0) await this.box.send({ topic: "seats/release", body: this.body(kept) });
    this.bookingId = newId();
    this.selection = new Selection();
    this._stage.value = "choosing";
    if (this.isOver) return;
    this.box.tab.set("order", null);
    if (inTheWay.length > 0) this.lost({ why: "taken", seat_ids: inTheWay });
    else this._refusal.value = codeOf(outcome);
    for (const seatId of left) this.selection.toggle(seatId);
    this.step();
  }

  /** What is told of this order unasked. While it is being booked, only the outcome counts. */
  private noticed(notice: HoldNotice): void {
    if (notice.booking_id !== this.bookingId || this._stage.value !== "choosing") return;
    this.lost(this.selection.told(notice));
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

  /** The showing has moved to a room without some of the seats: they are gone. */
  private measure(room: ReadonlySet<string>): void {
    if (this._stage.value !== "choosing") return;
    const gone = this.selection.seats.filter((seatId) => !room.has(seatId));
    if (gone.length > 0) this.lost(this.selection.gone(gone));
  }

  /** What the box still keeps under this order's id is chosen again. */
  /** Choose what the box keeps for this order. Returns whether it could be asked. */
  private async takeUp(): Promise<boolean> {
    const { selection } = this;
    const notice = await this.askKept();
    if (notice === null) return false;
    if (notice === undefined || selection !== this.selection || selection.seats.length > 0) return true;
    for (const seatId of notice.seat_ids) selection.toggle(seatId);
    selection.present(notice);
    if (!this.isOver) this.remember();
    this.touch();
    return true;
  }

  private async compare(): Promise<void> {
    const { bookingId, selection } = this;
    if (selection.kept.size === 0 || this._stage.value !== "choosing") return;
    const notice = await this.askKept();
    if (notice === null || bookingId !== this.bookingId || !selection.isSettled || this._stage.value !== "choosing")
      return;
    selection.present(notice);
    this.step();
  }

  /** What the box keeps for this order; undefined where it is nothing, null where nobody answers. */
  private async askKept(): Promise<HoldNotice | undefined | null> {
    const id = this.bookingId;
    return this.box.http.holds().then(
      (holds) => holds.find((notice) => notice.booking_id === id),
      () => null,
    );
  }
}

function codeOf(outcome: Outcome): string {
  if (outcome.kind === "refusal") return outcome.code;
  return (outcome.kind === "confirmation" ? outcome.confirmation.code : outcome.notice.code) ?? "";
}
