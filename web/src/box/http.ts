/** The box over HTTP: each call asks once, and says what came of it. Nothing here is repeated or remembered. */

import * as v from "valibot";
import {
  Booking,
  Cinema,
  type Command,
  Confirmation,
  HoldNotice,
  ListedUser,
  type Payment,
  Refusal,
  Room,
  SeatPlan,
  Session,
  Showing,
  type ShowingRequest,
  Ticket,
  User,
} from "./wire";

/** The box refused, and changed nothing. `retryAfter` is in seconds, 0 where time changes nothing. */
export class RefusedError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly retryAfter = 0,
  ) {
    super(message);
  }

  /** Whether the same request may be sent again as it is: the box could not, or would not yet, look at it. */
  get mayPass(): boolean {
    return this.status === 429 || this.status >= 500;
  }
}

/** Nobody answered, or not the box: whether the request arrived is not known. */
export class UnreachableError extends Error {}

/** How long a call may take: milliseconds. A booking waits for the disk, so this is long. */
const PATIENCE = 10_000;

const NOTHING = v.any();

/** Who asks: a token, a name and password, or a booking's key. */
export type Credentials = { token: string } | { username: string; password: string } | { key: string } | null;

export interface BookingFilter {
  showing_id?: string;
  number?: string;
  name?: string;
  seat?: string;
  from?: string;
  to?: string;
  /** How many, of those that were made or cancelled last. */
  latest?: string;
}

export class Http {
  /** `heard` is told the box's clock, in milliseconds since 1970, with every answer; `ended`, that a token is void. */
  constructor(
    private readonly credentials: () => Credentials,
    private readonly heard: (boxTime: number) => void = () => {},
    private readonly ended: (token: string) => void = () => {},
  ) {}

  cinema = () => this.get("/api/cinema", Cinema);
  showings = () => this.get("/api/showings", v.array(Showing));
  /** The browser keeps them, and asks whether they have changed. */
  seats = (showingId: string) => this.call("GET", `/api/showings/${showingId}/seats`, SeatPlan, { cache: "no-cache" });

  // Who one is

  signIn = (username: string, password: string) =>
    this.call("POST", "/api/session", Session, { as: { username, password } });
  visit = (name: string, email: string) =>
    this.call("POST", "/api/session", Session, { body: { name, email }, as: null });
  renew = () => this.call("POST", "/api/session", Session);
  signOut = () => this.call("DELETE", "/api/session", NOTHING);
  register = (account: { username: string; password: string; name: string; email: string }) =>
    this.call("POST", "/api/users", User, { body: account, as: null });
  changeMe = (changes: { name?: string; email?: string; password?: string; old_password?: string }) =>
    this.call("PATCH", "/api/me", User, { body: changes });

  // Bookings

  holds = () => this.get("/api/holds", v.array(HoldNotice));
  bookings = (filter: BookingFilter = {}) =>
    this.get(`/api/bookings?${new URLSearchParams(filter as Record<string, string>)}`, v.array(Booking));
  booking = (bookingId: string) => this.get(`/api/bookings/${bookingId}`, Confirmation);
  /** With its key nobody need be signed in. */
  ticket = (bookingId: string, key?: string) =>
    this.call("GET", `/api/bookings/${bookingId}/ticket`, Ticket, key === undefined ? {} : { as: { key } });
  pay = (bookingId: string, paid: Payment | null) =>
    this.call("PATCH", `/api/bookings/${bookingId}`, Booking, { body: { paid } });

  /** A command: what MQTT would answer. A stored failure (409 with its outcome) is an answer, not a refusal. */
  async command(command: Command): Promise<Confirmation | HoldNotice> {
    switch (command.topic) {
      case "booking/request":
        return this.call("POST", "/api/bookings", Confirmation, { body: command.body, failed: Confirmation });
      case "seats/hold":
        return this.call("POST", "/api/holds", HoldNotice, { body: command.body, failed: HoldNotice });
      case "seats/release":
        return this.call("POST", "/api/holds/release", HoldNotice, { body: command.body, failed: HoldNotice });
      case "booking/cancel":
        return this.call("DELETE", `/api/bookings/${command.body.booking_id}`, Confirmation, { failed: Confirmation });
    }
  }

  // The manager's

  rooms = () => this.get("/api/rooms", v.array(Room));
  showingsBetween = (from: string, to: string) =>
    this.get(`/api/showings?${new URLSearchParams({ from, to })}`, v.array(Showing));
  changeShowing = (request: ShowingRequest) => this.call("POST", "/api/showings", Showing, { body: request });
  users = () => this.get("/api/users", v.array(ListedUser));
  addUser = (account: { username: string; password: string; role: string; name?: string; email?: string }) =>
    this.call("POST", "/api/users", User, { body: account });
  changeUser = (
    userId: string,
    changes: { role?: string; password?: string; is_active?: boolean; cancel_bookings?: boolean },
  ) => this.call("PATCH", `/api/users/${userId}`, ListedUser, { body: changes });

  private get<S extends v.GenericSchema>(path: string, schema: S) {
    return this.call("GET", path, schema);
  }

  /** Raises RefusedError where the box said no, UnreachableError where it said nothing that could be understood. */
  private async call<S extends v.GenericSchema>(
    method: string,
    path: string,
    schema: S,
    options: { body?: unknown; as?: Credentials; failed?: v.GenericSchema; cache?: RequestCache } = {},
  ): Promise<v.InferOutput<S>> {
    const as = options.as === undefined ? this.credentials() : options.as;
    const headers: Record<string, string> = as === null ? {} : { Authorization: authorization(as) };
    if (options.body !== undefined) headers["Content-Type"] = "application/json";
    let response: Response;
    let said: unknown;
    try {
      response = await fetch(path, {
        method,
        headers,
        body: options.body === undefined ? null : JSON.stringify(options.body),
        cache: options.cache ?? "no-store",
        credentials: "omit",
        signal: AbortSignal.timeout(PATIENCE),
      });
      const text = await response.text();
      said = text === "" ? null : JSON.parse(text);
    } catch {
      throw new UnreachableError(`${method} ${path}`);
    }
    const date = Date.parse(response.headers.get("Date") ?? "");
    if (!Number.isNaN(date)) this.heard(date);
    if (response.status === 409 && options.failed !== undefined) {
      const outcome = v.safeParse(options.failed, said);
      if (outcome.success) return outcome.output as v.InferOutput<S>;
    }
    if (!response.ok) {
      const refusal = v.safeParse(Refusal, said);
      if (!refusal.success) throw new UnreachableError(`${method} ${path}: ${response.status}`);
      if (response.status === 401 && as !== null && "token" in as) this.ended(as.token);
      const { code, message } = refusal.output;
      throw new RefusedError(response.status, code, message, Number(response.headers.get("Retry-After") ?? 0));
    }
    const answer = v.safeParse(schema, said);
    if (!answer.success) throw new UnreachableError(`${method} ${path}: not the box's answer`);
    return answer.output;
  }
}

/** The `Authorization` header's value. */
function authorization(as: NonNullable<Credentials>): string {
  if ("token" in as) return `Bearer ${as.token}`;
  if ("key" in as) return `Key ${as.key}`;
  const bytes = new TextEncoder().encode(`${as.username}:${as.password}`);
  return `Basic ${btoa(String.fromCharCode(...bytes))}`;
}
