/**
 * A kiosk at work: whoever stands before it, what they have chosen, and what happens when nobody does. What follows on
 * what is decided in flow.ts and idle.ts; here it is joined to the box and to the clock.
 */

import { batch, computed, effect, type ReadonlySignal, signal, untracked } from "@preact/signals";
import type { Box } from "../box/box";
import { Order } from "../box/order";
import type { Seat, Showing, Ticket, User } from "../box/wire";
import { isOnSale } from "../core/on-sale";
import { language, speak, spoken } from "../shared/language";
import { type Flow, START, type Step, stepped, whenAlone } from "./flow";
import { Idleness } from "./idle";
import { RESET, SHOWN, TICK } from "./times";

/** Who may sign in to a kiosk: it books for others, under ids of its own. */
export const mayServe = ({ role }: User): boolean => role === "kiosk" || role === "manager";

/** What is drawn anew each second, not at each look at the clock. */
const wholeSeconds = (milliseconds: number): number => Math.ceil(milliseconds / 1000) * 1000;

export class Kiosk {
  private readonly _flow = signal<Flow>(START);
  private readonly _order = signal<Order | null>(null);
  private readonly _showing = signal<Showing | null>(null);
  private readonly _seats = signal<readonly Seat[]>([]);
  private readonly _ticket = signal<Ticket | null>(null);
  private readonly _asked = signal<number | null>(null);
  private readonly _leavesIn = signal(SHOWN);
  private readonly _now = signal(0);

  readonly flow: ReadonlySignal<Flow> = this._flow;
  readonly order: ReadonlySignal<Order | null> = this._order;
  /** The showing that somebody chose, as it was known last; it stays when the programme has it no more. */
  readonly showing: ReadonlySignal<Showing | null> = this._showing;
  /** Their seats in room order, as they were known last. */
  readonly seats: ReadonlySignal<readonly Seat[]> = this._seats;
  /** What the booking is for, where the box had to be asked: after a reload, nothing else is known of it. */
  readonly ticket: ReadonlySignal<Ticket | null> = this._ticket;
  /** Milliseconds that are left to answer whether anybody is there; null while that is not asked. */
  readonly asked: ReadonlySignal<number | null> = this._asked;
  /** Milliseconds after which the last screen goes by itself. */
  readonly leavesIn: ReadonlySignal<number> = this._leavesIn;
  /** Whether the chosen showing can still be booked. */
  readonly isOnSale: ReadonlySignal<boolean>;
  /** Whether somebody of the house has signed in who may book for others. */
  readonly isStaffed: ReadonlySignal<boolean>;
  /** The box's clock, to the quarter of a minute: milliseconds since 1970. */
  readonly now: ReadonlySignal<number> = this._now;
  /** The day that somebody looks at; null for the first. */
  readonly day = signal<string | null>(null);
  /** The address as far as it is typed. */
  readonly email = signal("");

  private readonly idle = new Idleness(performance.now());

  constructor(readonly box: Box) {
    this._now.value = box.now();
    this.isStaffed = computed(() => {
      const user = box.session.value?.user;
      return user !== undefined && mayServe(user);
    });
    this.isOnSale = computed(() => {
      const flow = this._flow.value;
      const known = box.showings.value;
      if (flow.screen === "start" || known === null) return true;
      const showing = known.find(({ showing_id }) => showing_id === flow.showingId);
      const closes = box.cinema.value?.booking.sales_close_minutes ?? 0;
      return showing !== undefined && isOnSale(showing, closes, this._now.value);
    });
  }

  /** Begin: from now on the signals change by themselves. */
  start(): void {
    effect(() => this.remember());
    effect(() => this.follow());
    effect(() => {
      const isStaffed = this.isStaffed.value;
      untracked(() => {
        if (isStaffed) this.pickUp();
        else this.go({ step: "signed out" });
      });
    });
    effect(() => {
      if (this.box.cinema.value !== null) this.speakDefault();
    });
    const options = { capture: true, passive: true };
    addEventListener("pointerdown", () => this.idle.pressed(performance.now()), options);
    for (const end of ["pointerup", "pointercancel", "keydown"]) {
      addEventListener(end, () => this.idle.released(performance.now()), options);
    }
    setInterval(() => this.tick(), TICK);
  }

  /** How long nobody has touched anything: milliseconds. */
  quietFor(): number {
    return this.idle.quietFor(performance.now());
  }

  /** Somebody is there, however they said so. */
  touched(): void {
    this.idle.released(performance.now());
  }

  choose(showingId: string): void {
    this.go({ step: "choose", showingId });
    if (this._flow.value.screen !== "seats" || this._order.value !== null) return;
    this._order.value = new Order(this.box, showingId);
    this.box.watch(showingId);
  }

  toggle(seatId: string): void {
    this._order.value?.forgive();
    this._order.value?.toggle(seatId);
  }

  goOn(): void {
    if ((this._order.value?.seats.value.length ?? 0) === 0) return;
    this._order.value?.forgive();
    this.go({ step: "go on" });
  }

  goBack(): void {
    this.go({ step: "go back" });
  }

  /** Book what is chosen, with an address or without. */
  book(email: string | null): void {
    const order = this._order.value;
    if (order === null || this._flow.value.screen !== "email") return;
    batch(() => {
      void order.book(email === null ? {} : { email });
      this.go({ step: "book" });
    });
  }

  /** Whoever was there goes, or begins anew: what they had is given back. */
  leave(): void {
    this.go({ step: "leave" });
  }

  private go(step: Step): void {
    const before = this._flow.peek();
    const next = stepped(before, step);
    if (next === before) return;
    batch(() => {
      this._flow.value = next;
      this._asked.value = null;
      this._leavesIn.value = SHOWN;
      this.idle.restart(performance.now());
      if (next.screen === "start") this.forget();
    });
  }

  private forget(): void {
    this._order.peek()?.dispose();
    this._order.value = null;
    this._showing.value = null;
    this._seats.value = [];
    this._ticket.value = null;
    this.email.value = "";
    this.box.watch(null);
  }

  /** Keep what is shown of a showing, also when the programme or the plan has it no more. */
  private remember(): void {
    const flow = this._flow.value;
    const order = this._order.value;
    if (flow.screen === "start" || order === null) return;
    const showing = this.box.showings.value?.find(({ showing_id }) => showing_id === flow.showingId);
    if (showing !== undefined) this._showing.value = showing;
    const ids = order.confirmation.value?.seat_ids ?? order.seats.value;
    const plan = this.box.plan.value;
    if (plan?.showing_id === flow.showingId) {
      this._seats.value = plan.seats.filter(({ seat_id }) => ids.includes(seat_id));
    }
  }

  /** Go on as the order does. */
  private follow(): void {
    const order = this._order.value;
    const { screen } = this._flow.value;
    if (order === null) return;
    const stage = order.stage.value;
    const isLost = order.loss.value !== null || order.seats.value.length === 0;
    if (screen === "booking" && stage === "done") {
      this.go({ step: "booked" });
      void this.askTicket(order);
    } else if (screen === "booking" && stage === "choosing") this.go({ step: "refused" });
    else if (screen === "email" && stage === "choosing" && isLost) this.go({ step: "seats lost" });
  }

  private async askTicket(order: Order): Promise<void> {
    const confirmation = order.confirmation.peek();
    if (confirmation === null || (this._showing.peek() !== null && this._seats.peek().length > 0)) return;
    try {
      const ticket = await this.box.http.ticket(confirmation.booking_id);
      if (order === this._order.peek()) this._ticket.value = ticket;
    } catch {
      // The number is what matters, and it is known.
    }
  }

  private tick(): void {
    const now = performance.now();
    const quiet = this.idle.quietFor(now);
    const clock = Math.floor(this.box.now() / 15_000) * 15_000;
    if (this._now.peek() !== clock) this._now.value = clock;
    switch (whenAlone(this._flow.peek())) {
      case "ask": {
        const presence = this.idle.look(now);
        this._asked.value = presence.kind === "asked" ? wholeSeconds(presence.left) : null;
        if (presence.kind === "gone") this.abandoned();
        break;
      }
      case "leave":
        this._leavesIn.value = wholeSeconds(Math.max(0, SHOWN - quiet));
        if (quiet >= SHOWN) this.abandoned();
        break;
      case "nothing":
        if (this._flow.peek().screen === "start" && quiet >= RESET) this.abandoned();
    }
  }

  /** Nobody is there: everything is as the next one expects it. */
  private abandoned(): void {
    batch(() => {
      this.leave();
      this.day.value = null;
      this.speakDefault();
    });
  }

  private speakDefault(): void {
    const first = spoken.peek()[0];
    if (first !== undefined && first !== language.peek()) speak(first);
  }

  // What was before the page was loaded

  /** Give back the seats that were chosen before a reload; go on with a booking that was asked for just before it. */
  private pickUp(): void {
    const request = this.box.unresolved.at(-1);
    if (request === undefined) {
      void Order.abandon(this.box, this.reachable());
      return;
    }
    this.go({ step: "resume", showingId: request.showing_id });
    this._order.value = Order.resumed(this.box, request);
    this.box.watch(request.showing_id);
  }

  private reachable(): Promise<void> {
    return new Promise((resolve) => {
      const end = effect(() => {
        const link = this.box.link.value;
        if (link !== "live" && link !== "polling") return;
        resolve();
        queueMicrotask(() => end());
      });
    });
  }
}
