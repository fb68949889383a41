/** What is around a page's box, as a test says it is: the browser, MQTT and HTTP. A test file begins with
 * `vi.mock("../../src/box/mqtt", () => import("./surroundings"))` and `surrounded()`. */

import { afterEach, beforeEach, vi } from "vitest";
import type { Box } from "../../src/box/box";
import type { Handlers } from "../../src/box/mqtt";
import type { Confirmation, HoldNotice, HoldRequest, Role, Showing } from "../../src/box/wire";

export const START = Date.parse("2030-01-01T12:00:00Z");
export const HOUR = 3_600_000;
export const CINEMA = {
  name: "Rialto",
  timezone: "Europe/Amsterdam",
  currency: "EUR",
  languages: ["en"],
  booking: { hold_seconds: 300, max_seats: 10, cancel_until_minutes: 30, sales_close_minutes: 0 },
};
export const user = (name: string, role: Role = "customer") => ({
  user_id: name,
  username: name,
  role,
  name,
  email: null,
});
export const session = (name: string, { hours = 12, role = "customer" as Role } = {}) => ({
  token: `token of ${name}`,
  expires_at: new Date(Date.now() + hours * HOUR).toISOString(),
  user: user(name, role),
});
export const showing = (title: string, more: Partial<Showing> = {}) => ({
  showing_id: "s",
  title,
  starts_at: "2030-01-01T19:00:00Z",
  ends_at: "2030-01-01T21:00:00Z",
  room_id: "r",
  room: "Room",
  price: "9.50",
  currency: "EUR",
  status: "scheduled",
  seats_total: 2,
  seats_available: 2,
  version: 1,
  ...more,
});

/** MQTT: connections that were begun, as whom, and what was done on the latest. */
export const mqtt = { begun: [] as Handlers[], done: [] as string[], published: [] as string[], as: [] as unknown[] };
/** What stands in for {@link import("../../src/box/mqtt").connect}. */
export async function connect(_url: string, as: { userId: string } | null, handlers: Handlers) {
  mqtt.begun.push(handlers);
  mqtt.as.push(as?.userId ?? null);
  const number = mqtt.begun.length;
  return {
    subscribe: (filters: readonly string[]) => void mqtt.done.push(`subscribe ${filters.join(" ")}`),
    unsubscribe: (filter: string) => void mqtt.done.push(`unsubscribe ${filter}`),
    publish: (topic: string, payload: string) => void mqtt.published.push(`${topic} ${payload}`),
    end: () => void mqtt.done.push(`end ${number}`),
  };
}
export const latest = () => mqtt.begun.at(-1) as Handlers;
export const say = (topic: string, message: unknown, isKept = false) =>
  latest().said(topic, JSON.stringify(message), isKept);

/** HTTP: what each call answers to what was sent, as status and body; and which calls there were. */
export type Answer = [status: number, body: unknown, headers?: Record<string, string>];
export const answers = new Map<string, (sent: unknown) => Answer | Promise<Answer>>();
export const calls: string[] = [];
export const asked = (call: string) => calls.filter((one) => one === call).length;

/** What the browser keeps, of a page and of a tab, and who listens to it. */
export const kept = new Map<string, string>();
export const keptByTab = new Map<string, string>();
export const listeners = new Map<string, Set<(event: unknown) => void>>();
export const happens = (name: string, event: unknown = {}) => {
  for (const listener of listeners.get(name) ?? []) listener(event);
};

const storage = (map: Map<string, string>) => ({
  getItem: (name: string) => map.get(name) ?? null,
  setItem: (name: string, value: string) => void map.set(name, value),
  removeItem: (name: string) => void map.delete(name),
});

export const pass = (milliseconds = 0) => vi.advanceTimersByTimeAsync(milliseconds);

export function surrounded(): void {
  beforeEach(() => {
    vi.useFakeTimers({ now: START });
    Object.assign(mqtt, { begun: [], done: [], published: [], as: [] });
    for (const map of [kept, keptByTab, listeners, answers]) map.clear();
    calls.length = 0;
    answers.set("GET /api/cinema", () => [200, CINEMA]);
    answers.set("GET /api/showings", () => [200, [showing("A film")]]);
    answers.set("POST /api/session", () => [200, session("alice")]);
    answers.set("DELETE /api/session", () => [204, null]);
    const listen = (name: string, listener: (event: unknown) => void) =>
      void listeners.set(name, (listeners.get(name) ?? new Set()).add(listener));
    vi.stubGlobal("localStorage", storage(kept));
    vi.stubGlobal("sessionStorage", storage(keptByTab));
    vi.stubGlobal("location", { protocol: "http:", host: "box", pathname: "/" });
    const seen = { hidden: false, visibilityState: "visible", documentElement: { lang: "" } };
    vi.stubGlobal("document", { addEventListener: listen, ...seen });
    vi.stubGlobal("addEventListener", listen);
    vi.stubGlobal("requestAnimationFrame", (draw: () => void) => setTimeout(draw, 16));
    vi.stubGlobal("fetch", async (path: string, { method = "GET", body = null as string | null }) => {
      calls.push(`${method} ${path}`);
      const answer = answers.get(`${method} ${path}`);
      if (answer === undefined) throw new TypeError("nobody answers");
      const [status, said, headers] = await answer(body === null ? null : JSON.parse(body));
      const text = said === null || typeof said === "string" ? said : JSON.stringify(said);
      return new Response(text, { status, ...(headers ? { headers } : {}) });
    });
  });
  afterEach(() => {
    vi.unstubAllGlobals();
    vi.useRealTimers();
  });
}

/** The page joins the box, and somebody signs in: alice, unless the test says otherwise. */
export async function joins(box: Box): Promise<void> {
  box.start();
  await pass();
  await signsIn(box);
}

export async function signsIn(box: Box): Promise<void> {
  await box.signIn("alice", "password");
  await pass();
  latest().opened();
  await pass();
}

/** The box ends the session. */
export async function endSession(box: Box): Promise<void> {
  const before = answers.get("GET /api/showings");
  answers.set("GET /api/showings", () => [401, { code: "unauthorized", message: "" }]);
  await box.refresh().catch(() => {});
  if (before !== undefined) answers.set("GET /api/showings", before);
  await pass();
}

/** What was commanded last by MQTT: `hold a b`. */
export function commanded(): string {
  const [, topic = "", payload = "{}"] = /^\w+\/(\w+) (.*)$/.exec(mqtt.published.at(-1) ?? "") ?? [];
  return [topic, ...((JSON.parse(payload) as HoldRequest).seat_ids ?? [])].join(" ");
}

export function bodyOf(published = mqtt.published.at(-1)): Record<string, unknown> {
  return JSON.parse((published ?? " {}").replace(/^\S* /, ""));
}

/** The box answers what was commanded last: seats are kept or given back. */
export async function answerHold(status: HoldNotice["status"], more: Partial<HoldNotice> = {}): Promise<void> {
  const { booking_id, showing_id, seat_ids } = bodyOf();
  const moment = (later = 0) => new Date(Date.now() + later).toISOString();
  const notice = { showing_id, seat_ids, status, message: "", timestamp: moment(), booking_id };
  say("users/alice/holds", { ...notice, ...(status === "held" ? { expires_at: moment(300_000) } : {}), ...more });
  await pass();
}

/** The box says what became of the booking that was commanded last. */
export async function answerBooking(
  status: Confirmation["status"],
  more: Partial<Confirmation> = {},
  of = bodyOf(),
): Promise<void> {
  const { booking_id, showing_id, seat_ids } = of;
  const timestamp = new Date().toISOString();
  const made = { number: "ABC234", total: "9.50", currency: "EUR", key: "key", showing_id };
  const message = { booking_id, seat_ids, status, message: "", timestamp, ...(status === "failed" ? {} : made) };
  say(`booking/confirm/${booking_id}`, { ...message, ...more });
  await pass();
}
