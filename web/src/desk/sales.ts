/**
 * The sales of this page: that of the showing which is looked at, and those whose booking is under way while the manager
 * looks at something else, or since before the page was loaded anew. What was chosen to be noted as paid belongs to the
 * booking, and is noted once there is one, whoever looks.
 */

import { effect, type ReadonlySignal, signal, untracked } from "@preact/signals";
import * as v from "valibot";
import type { Box } from "../box/box";
import { RefusedError } from "../box/http";
import { Order } from "../box/order";
import type { BookingRequest, ListedUser, Payment } from "../box/wire";
import { isEmail } from "../core/email";

const KeptPayment = v.picklist(["none", "cash", "card", "other"]);
/** By the booking, until it is noted or known that it was not made. */
const KeptPayments = v.record(v.string(), KeptPayment);

export type PaymentChoice = v.InferOutput<typeof KeptPayment>;

const paymentsIn = (box: Box) => box.memory.get("payments", KeptPayments) ?? {};

/** It has been noted, or there is nothing to be noted. */
function settled(box: Box, bookingId: string): void {
  const { [bookingId]: _, ...others } = paymentsIn(box);
  box.memory.set("payments", others);
}

export class Sale {
  readonly customer = signal<ListedUser | null>(null);
  readonly email = signal("");
  /** Whether it was to be booked for an address that is none; until that is typed anew. */
  readonly isEmailWrong = signal(false);
  readonly paid = signal<PaymentChoice>("none");
  private readonly _noted = signal<Payment | null>(null);
  private readonly _isPaying = signal(false);
  private readonly _failure = signal<unknown>(null);
  /** What has been paid for the booking, once it has been noted. */
  readonly noted: ReadonlySignal<Payment | null> = this._noted;
  readonly isPaying: ReadonlySignal<boolean> = this._isPaying;
  /** Why a payment could not be noted, until it is tried again. */
  readonly failure: ReadonlySignal<unknown> = this._failure;
  private readonly end: () => void;

  constructor(
    private readonly box: Box,
    readonly order: Order,
  ) {
    this.paid.value = box.memory.get("payment", KeptPayment) ?? "none";
    let isTold = false;
    this.end = effect(() => {
      if (isTold || order.confirmation.value === null) return;
      isTold = true;
      untracked(() => this.booked());
    });
  }

  /** Go on with one whose booking was asked for before the page was loaded anew. */
  static resumed(box: Box, request: BookingRequest): Sale {
    const sale = new Sale(box, Order.resumed(box, request));
    sale.paid.value = paymentsIn(box)[request.booking_id] ?? "none";
    sale.email.value = request.email ?? "";
    if (request.user_id !== undefined) {
      box.http.users().then(
        (users) => {
          sale.customer.value = users.find(({ user_id }) => user_id === request.user_id) ?? null;
        },
        () => {},
      );
    }
    return sale;
  }

  /** Whether something was asked for of which the outcome is not known yet. */
  get isUnderWay(): boolean {
    return this.order.stage.value === "booking" || this._isPaying.value;
  }

  async book(): Promise<void> {
    const address = this.email.value.trim();
    const customer = this.customer.value;
    this.isEmailWrong.value = address !== "" && !isEmail(address);
    if (this.isEmailWrong.value) return;
    this.box.memory.set("payment", this.paid.value);
    this.keepPayment(this.order.id, this.paid.value);
    await this.order.book({
      ...(address === "" ? {} : { email: address }),
      ...(customer === null ? {} : { user_id: customer.user_id }),
    });
  }

  /** Note how the booking was paid. */
  async pay(payment: Payment): Promise<void> {
    const confirmation = this.order.confirmation.value;
    if (confirmation?.status !== "confirmed" || this._isPaying.value) return;
    this._isPaying.value = true;
    this._failure.value = null;
    try {
      await this.box.http.pay(confirmation.booking_id, payment);
      this._noted.value = payment;
      settled(this.box, confirmation.booking_id);
    } catch (failure) {
      this._failure.value = failure;
    } finally {
      this._isPaying.value = false;
    }
  }

  dispose(): void {
    this.end();
    this.order.dispose();
  }

  private booked(): void {
    const payment = this.paid.value;
    if (payment !== "none") void this.pay(payment);
  }

  private keepPayment(bookingId: string, payment: PaymentChoice): void {
    this.box.memory.set("payments", { ...paymentsIn(this.box), [bookingId]: payment });
  }
}

export class Sales {
  private readonly _current = signal<Sale | null>(null);
  private readonly _background = signal<readonly Sale[]>([]);
  /** That of the showing which is looked at; null where none is. */
  readonly current: ReadonlySignal<Sale | null> = this._current;
  /** Whose outcome has not been seen. */
  readonly background: ReadonlySignal<readonly Sale[]> = this._background;
  private userId: string | undefined;
  private lookedAt: string | null = null;
  private end: (() => void) | null = null;

  constructor(private readonly box: Box) {}

  /** Take up what a former load of the page has left, and from now on what was under way when a session ended. */
  takeUp(): void {
    this.end ??= effect(() => {
      const userId = this.box.session.value?.user.user_id;
      untracked(() => this.isNow(userId));
    });
  }

  /** Where the session ends, what is being booked waits for whoever asked for it; what is being chosen stays, unless
   * somebody else signs in. */
  private isNow(userId: string | undefined): void {
    if (userId === this.userId) return;
    this.userId = userId;
    const isGoing = ({ order }: Sale) =>
      userId === undefined ? order.stage.value === "booking" : order.userId !== userId;
    for (const sale of this._background.value.filter(isGoing)) this.forget(sale);
    const sale = this._current.value;
    if (sale !== null && isGoing(sale)) {
      this._current.value = null;
      sale.dispose();
    }
    if (userId === undefined) return;
    void this.noteLeft();
    const resumed = this.box.unresolved.map((request) => Sale.resumed(this.box, request));
    this._background.value = [...this._background.value, ...resumed];
    if (this._current.value === null && this.lookedAt !== null) this.begin(this.lookedAt);
  }

  /** Note the payments of bookings that were made when the page went: nobody looks at these any more. */
  private async noteLeft(): Promise<void> {
    for (const [id, payment] of Object.entries(paymentsIn(this.box))) {
      if (this.box.isAwaited(id)) continue;
      try {
        // Somebody may have noted another one since.
        if (payment !== "none" && (await this.box.http.ticket(id)).paid === null) await this.box.http.pay(id, payment);
        settled(this.box, id);
      } catch (failure) {
        if (failure instanceof RefusedError && !failure.mayPass) settled(this.box, id); // it was not made
      }
    }
  }

  /** Look at a showing: its sale is the one that is under way, or a new one. Returns what leaves it again. */
  enter(showingId: string): () => void {
    this.takeUp();
    this.leave();
    this.lookedAt = showingId;
    this.begin(showingId);
    return () => {
      if (this.lookedAt === showingId) this.leave();
    };
  }

  private begin(showingId: string): void {
    const known = this._background.value.find(
      ({ order }) => order.showingId === showingId && order.stage.value !== "done",
    );
    if (known !== undefined) this._background.value = this._background.value.filter((other) => other !== known);
    this._current.value = known ?? new Sale(this.box, Order.begun(this.box, showingId));
  }

  /** Begin another one, with a seat that was touched for it. */
  next(showingId: string, seatId?: string): void {
    this.leave();
    this.lookedAt = showingId;
    const order = new Order(this.box, showingId);
    this._current.value = new Sale(this.box, order);
    if (seatId !== undefined) order.toggle(seatId);
  }

  /** The outcome of one in the background has been seen. */
  forget(sale: Sale): void {
    this._background.value = this._background.value.filter((other) => other !== sale);
    sale.dispose();
  }

  dispose(): void {
    this.end?.();
    for (const sale of this._background.value) sale.dispose();
    this._background.value = [];
    this._current.value?.dispose();
    this._current.value = null;
  }

  /** What was chosen is given back, what is being booked or paid goes on. */
  private leave(): void {
    this.lookedAt = null;
    const sale = this._current.value;
    if (sale === null) return;
    this._current.value = null;
    if (sale.isUnderWay) this._background.value = [...this._background.value, sale];
    else sale.dispose();
  }
}
