/**
 * The box as a page knows it: the present as signals, commands that are answered whatever is cut meanwhile, and by which
 * way all this comes. MQTT tells everything at once; where no WebSocket is to be had, the same is asked over HTTP.
 */

import { batch, type ReadonlySignal, signal } from "@preact/signals";
import * as v from "valibot";
import { Link, type LinkState } from "../core/link";
import { Outbox, type Outcome } from "../core/outbox";
import { LivePlan } from "../core/plan";
import { Http, RefusedError, UnreachableError } from "./http";
import { Memory } from "./memory";
import { type Connection, connect } from "./mqtt";
import * as wire from "./wire";

/** Milliseconds. */
const POLL_EVERY = 3_000;
const SILENCE = 60_000;
const ANSWER_PATIENCE = 8_000;
const RETRY_AFTER = 2_000;
const LOOK_EVERY = 5_000;
const BETWEEN_FETCHES = 300;
/** How long the seats of a showing may take to come by MQTT before they are asked for. */
const PLAN_PATIENCE = 2_500;
/** For a booking that was asked for longer ago than this nobody waits any more. */
const STALE_REQUEST = 600_000;
/** A refusal that would pass only after longer than this is told, and not waited for. */
const LONGEST_WAIT = 30_000;
/** Seat changes are drawn together, at most once a frame; a page that is not seen draws none. */
const HIDDEN_FRAME = 250;

const KeptSession = v.object({ ...wire.Session.entries, issued_at: v.number() });
const KeptRequests = v.array(
  v.object({
    user_id: v.string(),
    body: v.object({
      showing_id: v.string(),
      seat_ids: v.array(v.string()),
      booking_id: v.string(),
      timestamp: v.string(),
      email: v.exactOptional(v.string()),
      user_id: v.exactOptional(v.string()),
    }),
  }),
);

type Timer = ReturnType<typeof setTimeout>;

export type Listener<T> = (value: T) => void;

class Listeners<T> {
  private readonly all = new Set<Listener<T>>();

  /** Returns what takes the listener off again. */
  readonly add = (listener: Listener<T>): (() => void) => {
    this.all.add(listener);
    return () => this.all.delete(listener);
  };

  tell(value: T): void {
    for (const listener of [...this.all]) listener(value);
  }
}

export interface PageOptions {
  /** The page's name, under which the browser keeps what is its own. */
  page: "visitors" | "kiosk" | "desk";
  /** Topic filters beyond the showings and one's own bookings and inbox. */
  also?: (user: wire.User) => readonly string[];
  /** Whether no other page of its kind is open in this browser, as on a kiosk: what its tab knows then outlives a power
   * cut. */
  isAlone?: boolean;
}

export class Box {
  private readonly _link = signal<LinkState>("connecting");
  private readonly _nextTry = signal<number | null>(null);
  private readonly _cinema = signal<wire.Cinema | null>(null);
  private readonly _session = signal<wire.Session | null>(null);
  private readonly _showings = signal<readonly wire.Showing[] | null>(null);
  private readonly _plan = signal<wire.SeatPlan | null>(null);
  private readonly _renewed = signal(0);
  private readonly _waiting = signal(0);
  private readonly _signedOut = signal(false);
  private readonly _hindrance = signal<string | null>(null);

  /** How the page is joined to the box. */
  readonly link: ReadonlySignal<LinkState> = this._link;
  /** When the next attempt is made, by `performance.now()`; null while one is under way or none is needed. */
  readonly nextTry: ReadonlySignal<number | null> = this._nextTry;
  readonly cinema: ReadonlySignal<wire.Cinema | null> = this._cinema;
  readonly session: ReadonlySignal<wire.Session | null> = this._session;
  /** Showings to come by their start; null until they are known. */
  readonly showings: ReadonlySignal<readonly wire.Showing[] | null> = this._showings;
  /** The watched showing's seats; null until they are known. */
  readonly plan: ReadonlySignal<wire.SeatPlan | null> = this._plan;
  /** Grows whenever something may have changed unseen: whoever shows a list asks for it anew. */
  readonly renewed: ReadonlySignal<number> = this._renewed;
  /** How many commands have no outcome yet. */
  readonly waiting: ReadonlySignal<number> = this._waiting;
  /** The code with which the box puts off what waits, and which will pass; null where nothing does. */
  readonly hindrance: ReadonlySignal<string | null> = this._hindrance;
  /** Whether the session was ended by the box, not by whoever used it. */
  readonly signedOut: ReadonlySignal<boolean> = this._signedOut;

  readonly isAlone: boolean;
  readonly http: Http;
  /** What this page keeps in the browser, and what in this tab alone. */
  readonly memory: Memory;
  readonly tab: Memory;

  private readonly confirmations = new Listeners<wire.Confirmation>();
  private readonly notices = new Listeners<wire.HoldNotice>();
  private readonly changes = new Listeners<wire.Showing>();
  private readonly leaving = new Listeners<void>();
  /** Called with each booking's outcome that is told, one's own and, for a manager, everybody's. */
  readonly onConfirmation = this.confirmations.add;
  /** Called with each notice about holds that answers no command: what runs out, and what is kept. */
  readonly onNotice = this.notices.add;
  /** Called with each showing that is told live, also one that was cancelled. */
  readonly onShowing = this.changes.add;

  /** Called when the page is about to go: loaded anew, closed or left. */
  readonly onLeave = this.leaving.add;

  private readonly linking = new Link();
  private readonly outbox = new Outbox();
  private connection: Connection | null = null;
  /** Whether the present connection has been let in. */
  private isJoined = false;
  /** Counts connections, so that what an old one still says is not taken for the present one's. */
  private attempt = 0;
  private watched: string | null = null;
  private live: LivePlan | null = null;
  /** Showings that were told live since they were last asked for. */
  private readonly told = new Map<string, wire.Showing>();
  /** What the box's clock was at a moment of the browser's own, which nobody sets: `performance.now()`. */
  private clock = { box: Date.now(), at: performance.now() };
  private heardAt = 0;
  private drawing = false;
  private retryTimer: Timer | undefined;
  private pollTimer: Timer | undefined;
  private isChangingPassword = false;
  private seatsUnderWay: Promise<void> | null = null;

  constructor(private readonly options: PageOptions) {
    this.isAlone = options.isAlone === true;
    this.memory = new Memory(options.page, () => localStorage);
    this.tab = new Memory(options.page, () => (this.isAlone ? localStorage : sessionStorage));
    const kept = this.memory.get("session", KeptSession);
    this._session.value = kept;
    this.http = new Http(
      () => (this._session.value === null ? null : { token: this._session.value.token }),
      (boxTime) => this.clockSeen(boxTime + 500, 1_500),
      (token) => {
        if (this._session.value?.token === token && !this.isChangingPassword) this.ended();
      },
    );
  }

  /** Begin: from now on the signals change by themselves. */
  start(): void {
    void this.refresh().catch(() => {});
    void this.renewSession();
    this.open();
    setInterval(() => this.look(), LOOK_EVERY);
    setInterval(() => void this.renewSession(), 600_000);
    addEventListener("online", () => this.retryNow());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.wake();
    });
    addEventListener("pagehide", () => this.leaving.tell());
    addEventListener("storage", (event) => {
      if (event.key === null || event.key === this.memory.key("session")) this.follow();
    });
    addEventListener("pageshow", (event) => {
      if (event.persisted) this.wake();
    });
  }

  /** The box's clock, as far as it is known: milliseconds since 1970. */
  now(): number {
    return this.clock.box + performance.now() - this.clock.at;
  }

  // Who one is

  /** Raises RefusedError and UnreachableError, as all that ask. */
  async signIn(username: string, password: string): Promise<wire.User> {
    return this.joined(await this.http.signIn(username, password));
  }

  async visit(name: string, email: string): Promise<wire.User> {
    return this.joined(await this.http.visit(name, email));
  }

  async register(account: { username: string; password: string; name: string; email: string }): Promise<wire.User> {
    await this.http.register(account);
    return this.signIn(account.username, account.password);
  }

  /** Change one's own name or e-mail. */
  async changeMe(changes: { name?: string; email?: string }): Promise<void> {
    const user = await this.http.changeMe(changes);
    const session = this._session.value;
    if (session?.user.user_id === user.user_id) this.keep({ ...session, user });
  }

  /** Change one's own password, and stay signed in, though all tokens of before are void. */
  async changePassword(username: string, present: string, next: string): Promise<void> {
    this.isChangingPassword = true;
    try {
      await this.http.changeMe({ old_password: present, password: next });
      await this.signIn(username, next);
    } finally {
      this.isChangingPassword = false;
    }
  }

  async signOut(): Promise<void> {
    const userId = this._session.value?.user.user_id;
    const gone = this.http.signOut();
    this.memory.set(
      "requests",
      this.kept.filter(({ user_id }) => user_id !== userId),
    );
    this.memory.set("session", null);
    this.become(null);
    await gone.catch(() => {});
  }

  private joined(session: wire.Session): wire.User {
    this._signedOut.value = false;
    this.memory.set("session", { ...session, issued_at: Date.now() });
    this.become(session);
    return session.user;
  }

  /** From now on this page is somebody else's, or nobody's. */
  private become(session: wire.Session | null): void {
    // Nobody else sends what somebody asked for, least of all a guest, whose connection it would end.
    if (session?.user.user_id !== this._session.value?.user.user_id) {
      for (const command of this.outbox.commands) this.outbox.drop(command);
    }
    this._session.value = session;
    this.reopen();
  }

  /** The box has ended the session. */
  private ended(): void {
    const kept = this.keptSession;
    if (kept !== null && kept.token !== this._session.value?.token) {
      this.follow(); // somebody has signed in in another tab meanwhile
      return;
    }
    batch(() => {
      this._signedOut.value = true;
      this.memory.set("session", null);
      this.become(null);
    });
  }

  /** All tabs of a page are one person's: who signs in or out in another does so here. */
  private follow(): void {
    const kept = this.keptSession;
    const session = this._session.value;
    if (kept?.token === session?.token) return;
    if (kept !== null) this._signedOut.value = false;
    if (kept === null || kept.user.user_id !== session?.user.user_id) this.become(kept);
    else this._session.value = kept;
  }

  private get keptSession() {
    return this.memory.get("session", KeptSession);
  }

  /** Keep the session as it has become, unless it is another's by now. */
  private keep(session: wire.Session, issued_at = this.keptSession?.issued_at): void {
    if (this.keptSession?.token !== this._session.value?.token) {
      this.follow();
      return;
    }
    this._session.value = session;
    this.memory.set("session", { ...session, issued_at: issued_at ?? Date.now() });
  }

  /** A token is renewed in the second half of its life. */
  private async renewSession(): Promise<void> {
    const kept = this.keptSession;
    const session = this._session.value;
    if (kept === null || session === null || kept.token !== session.token) return;
    if (Date.now() < (kept.issued_at + Date.parse(session.expires_at)) / 2) return;
    try {
      const renewed = await this.http.renew();
      if (this._session.value?.token === session.token) this.keep(renewed, Date.now());
    } catch {
      // Later; the connection lives on without.
    }
  }

  // What is watched

  /** Whose seats to keep in `plan`. */
  watch(showingId: string | null): void {
    if (showingId === this.watched) return;
    if (this.watched !== null && this.isJoined) this.connection?.unsubscribe(`seats/status/${this.watched}`);
    this.watched = showingId;
    this.live = showingId === null ? null : new LivePlan(showingId);
    this._plan.value = null;
    if (showingId === null) return;
    if (this.isJoined) {
      this.connection?.subscribe([`seats/status/${showingId}`]);
      const { live } = this;
      setTimeout(
        () => live === this.live && live?.version === -1 && void this.askSeats().catch(() => {}),
        PLAN_PATIENCE,
      );
    } else {
      void this.refresh().catch(() => {});
    }
  }

  // Commands

  /** Send a command, now or once the box is to be had, and resolve with what became of it. It is sent again as often as
   * needed; the box takes it once. */
  async send(command: wire.Command): Promise<Outcome> {
    if (this._session.value === null) return { kind: "refusal", code: "unauthorized" };
    if (command.topic === "booking/request") this.remember(command.body);
    const outcome = this.outbox.add(command);
    this._waiting.value = this.outbox.commands.length;
    this.deliver(command);
    const became = await outcome;
    this._waiting.value = this.outbox.commands.length;
    if (this._waiting.value === 0) this._hindrance.value = null;
    // One that was dropped may have arrived: whoever asked for it asks again when they are back.
    const isDropped = became.kind === "refusal" && became.code === "dropped";
    if (command.topic === "booking/request" && !isDropped) this.forget(command.body.booking_id);
    return became;
  }

  /** Bookings of whoever is signed in that were asked for a while ago, before the page was loaded anew or the session
   * ended, and whose outcome nobody has seen. Older ones are forgotten: nobody waits for them. */
  get unresolved(): readonly wire.BookingRequest[] {
    const fresh = this.kept.filter(({ body }) => Math.abs(Date.now() - Date.parse(body.timestamp)) < STALE_REQUEST);
    this.memory.set("requests", fresh);
    const userId = this._session.peek()?.user.user_id;
    const underWay = new Set(this.outbox.commands.map(({ body }) => body.booking_id));
    return fresh
      .filter(({ user_id, body }) => user_id === userId && !underWay.has(body.booking_id))
      .map(({ body }) => body);
  }

  /** Whether a booking was asked for whose outcome is not known yet, in this page or in one before it. */
  isAwaited(bookingId: string): boolean {
    return this.kept.some(({ body }) => body.booking_id === bookingId);
  }

  /** Nobody waits for a booking's outcome any more. */
  forget(bookingId: string): void {
    this.memory.set(
      "requests",
      this.kept.filter(({ body }) => body.booking_id !== bookingId),
    );
  }

  private get kept() {
    return this.memory.get("requests", KeptRequests) ?? [];
  }

  private remember(body: wire.BookingRequest): void {
    this.forget(body.booking_id);
    this.memory.set("requests", [...this.kept, { user_id: this._session.value?.user.user_id ?? "", body }]);
  }

  private deliver(command: wire.Command): void {
    if (this.asking.has(command)) return;
    if (this.isJoined) {
      this.connection?.publish(command.topic, JSON.stringify(command.body));
      // An answer that does not come by one way is asked for by the other.
      setTimeout(() => this.outbox.has(command) && void this.deliverOverHttp(command), ANSWER_PATIENCE);
    } else if (this._link.value === "polling" || this._link.value === "connecting") {
      void this.deliverOverHttp(command);
    }
  }

  private readonly asking = new Set<wire.Command>();

  private async deliverOverHttp(command: wire.Command): Promise<void> {
    if (this.asking.has(command)) return;
    this.asking.add(command);
    try {
      const answer = await this.http.command(command);
      this.outbox.settle(
        command,
        command.topic === "seats/hold" || command.topic === "seats/release"
          ? { kind: "notice", notice: answer as wire.HoldNotice }
          : { kind: "confirmation", confirmation: answer as wire.Confirmation },
      );
      if (command.topic === "booking/request" || command.topic === "booking/cancel") {
        this.confirmations.tell(answer as wire.Confirmation);
      }
    } catch (error) {
      if (error instanceof RefusedError && (!error.mayPass || error.retryAfter * 1000 > LONGEST_WAIT)) {
        this.outbox.settle(command, { kind: "refusal", code: error.code });
      } else {
        if (error instanceof RefusedError) this._hindrance.value = error.code;
        this.retryLater(command, error instanceof RefusedError ? error.retryAfter * 1000 : 0);
      }
    } finally {
      this.asking.delete(command);
    }
  }

  private retryLater(command: wire.Command, milliseconds = 0): void {
    setTimeout(() => this.outbox.has(command) && this.deliver(command), Math.max(milliseconds, RETRY_AFTER));
  }

  // The connection

  /** Try at once, because somebody asked or the network is back. */
  retryNow(): void {
    if (this._link.value === "live") return;
    clearTimeout(this.retryTimer);
    this.open();
  }

  private reopen(): void {
    clearTimeout(this.retryTimer);
    this.open();
  }

  private open(): void {
    this.attempt += 1;
    const attempt = this.attempt;
    this.leave();
    this._nextTry.value = null;
    const session = this._session.value;
    const isCurrent = () => attempt === this.attempt;
    const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/mqtt`;
    connect(url, session === null ? null : { userId: session.user.user_id, token: session.token }, {
      opened: () => isCurrent() && this.opened(),
      said: (topic, payload, kept) => isCurrent() && this.said(topic, payload, kept),
      ended: () => isCurrent() && this.lost(),
    }).then(
      (connection) => {
        if (isCurrent()) this.connection = connection;
        else connection.end();
      },
      () => isCurrent() && this.lost(),
    );
  }

  private leave(): void {
    this.connection?.end();
    this.connection = null;
    this.isJoined = false;
  }

  private opened(): void {
    this.isJoined = true;
    this.heardAt = performance.now();
    const user = this._session.value?.user;
    const filters = ["showing/update/#"];
    if (user !== undefined) filters.push("booking/confirm/+", `users/${user.user_id}/+`);
    if (user !== undefined && this.options.also !== undefined) filters.push(...this.options.also(user));
    if (this.watched !== null) filters.push(`seats/status/${this.watched}`);
    this.connection?.subscribe(filters);
    this.linking.opened();
    clearTimeout(this.pollTimer);
    this._link.value = "live";
    for (const command of this.outbox.commands) this.deliver(command);
    // Showings that have gone meanwhile are not in a subscription's present.
    void this.askShowings().catch(() => {});
  }

  private lost(): void {
    this.attempt += 1;
    this.leave();
    const delay = this.linking.lost(Math.random());
    this._link.value = this.linking.state;
    this._nextTry.value = performance.now() + delay;
    clearTimeout(this.retryTimer);
    this.retryTimer = setTimeout(() => this.open(), delay);
    void this.poll();
  }

  private async poll(): Promise<void> {
    clearTimeout(this.pollTimer);
    if (!this.linking.shouldPoll) return;
    let isAnswered = true;
    try {
      await this.refresh();
    } catch (error) {
      isAnswered = error instanceof RefusedError;
    }
    const before = this.linking.state;
    this.linking.asked(isAnswered);
    this._link.value = this.linking.state;
    if (this.linking.state === "polling" && before !== "polling") {
      for (const command of this.outbox.commands) this.deliver(command);
    }
    clearTimeout(this.pollTimer);
    if (this.linking.shouldPoll && isAnswered) this.pollTimer = setTimeout(() => void this.poll(), POLL_EVERY);
  }

  /** What is over goes; a minute of silence is answered by asking for the present. */
  private look(): void {
    const now = this.now();
    const known = this._showings.value;
    if (known?.some((showing) => Date.parse(showing.ends_at) <= now)) this.setShowings(known);
    const isIncomplete = this._cinema.value === null || known === null;
    if (this._link.value === "live" && (isIncomplete || performance.now() - this.heardAt > SILENCE)) this.wake();
  }

  private wake(): void {
    if (this._link.value !== "live") {
      this.retryNow();
      return;
    }
    this.heardAt = performance.now();
    this.refresh().catch((error) => {
      if (error instanceof UnreachableError && this._link.value === "live") this.connection?.end();
    });
  }

  // The present, over HTTP

  /** Ask for all that is shown. Raises UnreachableError, or RefusedError. */
  async refresh(): Promise<void> {
    await this.askShowings();
    await this.askSeats();
  }

  private async askShowings(): Promise<void> {
    if (this._cinema.value === null) this._cinema.value = await this.http.cinema();
    this.told.clear();
    const asked = await this.http.showings();
    // What was told while the answer was on its way is newer than it.
    this.setShowings([...asked.filter(({ showing_id }) => !this.told.has(showing_id)), ...this.told.values()]);
    this._renewed.value += 1;
  }

  private askSeats(): Promise<void> {
    this.seatsUnderWay ??= this.fetchSeats().finally(() => {
      this.seatsUnderWay = null;
    });
    return this.seatsUnderWay;
  }

  private async fetchSeats(): Promise<void> {
    for (let live = this.live; live !== null; ) {
      try {
        live.replaced(await this.http.seats(live.showingId));
      } catch (error) {
        // There is nothing to see of a showing that is over or cancelled; its seats stay as they were.
        if (!(error instanceof RefusedError && error.status === 404)) throw error;
        live.settled();
      }
      this.draw();
      // Another showing is watched by now, or a change came while this was under way that does not follow on it.
      const isDone = live === this.live && !live.hasGap;
      live = isDone ? null : this.live;
      if (!isDone) await new Promise((resolve) => setTimeout(resolve, BETWEEN_FETCHES));
    }
  }

  private setShowings(showings: readonly wire.Showing[]): void {
    const now = this.now();
    this._showings.value = showings
      .filter((showing) => showing.status === "scheduled" && Date.parse(showing.ends_at) > now)
      .sort((one, other) => one.starts_at.localeCompare(other.starts_at) || one.room.localeCompare(other.room));
  }

  // What is said by MQTT

  private said(topic: string, payload: string, kept: boolean): void {
    this.heardAt = performance.now();
    let message: unknown;
    try {
      message = JSON.parse(payload);
    } catch {
      return;
    }
    const [first, second, third] = topic.split("/");
    if (first === "seats" && second === "status") this.seatSaid(message, kept);
    else if (first === "showing") this.take(wire.Showing, message, (showing) => this.showingSaid(showing, kept));
    else if (first === "booking") this.take(wire.Confirmation, message, (confirmation) => this.confirmed(confirmation));
    else if (first === "users" && third === "holds")
      this.take(wire.HoldNotice, message, (notice) => this.noticed(notice, kept));
    else if (first === "users" && third === "errors")
      this.take(wire.ErrorNotice, message, (error) => this.refused(error));
  }

  private take<S extends v.GenericSchema>(schema: S, message: unknown, use: (output: v.InferOutput<S>) => void): void {
    const parsed = v.safeParse(schema, message);
    if (parsed.success) use(parsed.output);
  }

  private seatSaid(message: unknown, kept: boolean): void {
    const live = this.live;
    if (live === null) return;
    if (kept) {
      this.take(wire.PresentSeat, message, ({ showing_id, version, ...seat }) => {
        if (showing_id !== live.showingId) return;
        // A present that comes again may be that of a room with fewer seats.
        if (live.version >= 0 && version > live.version) void this.askSeats().catch(() => {});
        live.seen(seat, version);
      });
    } else {
      this.take(wire.SeatMessage, message, (change) => {
        if (change.showing_id === live.showingId) live.changed(change);
      });
    }
    if (live.hasGap) void this.askSeats().catch(() => {});
    this.drawSoon();
  }

  private drawSoon(): void {
    if (this.drawing) return;
    this.drawing = true;
    const draw = () => {
      this.drawing = false;
      this.draw();
    };
    if (document.hidden) setTimeout(draw, HIDDEN_FRAME);
    else requestAnimationFrame(draw);
  }

  private draw(): void {
    if (this.live !== null && this.live.version >= 0) this._plan.value = this.live.present;
  }

  private showingSaid(showing: wire.Showing, kept: boolean): void {
    if (!kept) this.told.set(showing.showing_id, showing);
    const known = this._showings.value;
    if (known === null) return;
    const before = known.find(({ showing_id }) => showing_id === showing.showing_id);
    this.setShowings([...known.filter((other) => other !== before), showing]);
    if (before !== undefined && before.room_id !== showing.room_id) void this.askSeats().catch(() => {});
    if (!kept) this.changes.tell(showing);
  }

  private confirmed(confirmation: wire.Confirmation): void {
    this.outbox.confirmed(confirmation);
    this.confirmations.tell(confirmation);
  }

  private noticed(notice: wire.HoldNotice, kept: boolean): void {
    if (!kept) this.clockSeen(Date.parse(notice.timestamp), 250);
    if (kept || !this.outbox.noticed(notice)) this.notices.tell(notice);
  }

  private refused(error: wire.ErrorNotice): void {
    // Over HTTP the box also says how long it will last.
    for (const command of this.outbox.refused(error)) {
      this._hindrance.value = error.code;
      setTimeout(() => this.outbox.has(command) && void this.deliverOverHttp(command), RETRY_AFTER);
    }
  }

  /** The box's clock was seen, to within so many milliseconds. */
  private clockSeen(boxTime: number, within: number): void {
    if (Math.abs(boxTime - this.now()) > within) this.clock = { box: boxTime, at: performance.now() };
  }
}
