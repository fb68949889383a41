import { signal } from "@preact/signals";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Counter, Order } from "../../src/box/order";
import type { Command, Confirmation, HoldNotice, SeatPlan } from "../../src/box/wire";
import type { Outcome } from "../../src/core/outbox";

const START = Date.parse("2030-01-01T12:00:00Z");
const ME = "me";

/** A box that answers when it is told to, and notes what it is asked. */
class Told implements Counter {
  readonly isAlone: boolean = false;
  readonly renewed = signal(0);
  readonly plan = signal<SeatPlan | null>(null);
  readonly session = signal<{ user: { user_id: string } } | null>({ user: { user_id: ME } });
  held: HoldNotice[] = [];
  readonly sent: Command[] = [];
  private readonly waiting: ((outcome: Outcome) => void)[] = [];
  private readonly notices = new Set<(notice: HoldNotice) => void>();
  private readonly leaving = new Set<() => void>();
  private readonly remembered = new Map<string, unknown>();
  readonly http = { holds: async () => this.held };
  readonly tab = {
    get: (name: string) => (this.remembered.get(name) ?? null) as never,
    set: (name: string, value: unknown) => void this.remembered.set(name, value),
  };

  now = () => Date.now();
  refresh = async () => {};
  send = (command: Command) => {
    this.sent.push(command);
    return new Promise<Outcome>((resolve) => void this.waiting.push(resolve));
  };
  onNotice = (listener: (notice: HoldNotice) => void) => {
    this.notices.add(listener);
    return () => this.notices.delete(listener);
  };
  onConfirmation = () => () => true;
  onLeave = (listener: () => void) => {
    this.leaving.add(listener);
    return () => this.leaving.delete(listener);
  };

  /** What was asked for last: `hold a b`. */
  get last(): string {
    const command = this.sent.at(-1);
    if (command === undefined) return "nothing";
    const seats = "seat_ids" in command.body ? command.body.seat_ids : [];
    return [command.topic.split("/")[1], ...seats].join(" ");
  }

  get id(): string {
    return this.sent.at(-1)?.body.booking_id ?? "";
  }

  notice(status: HoldNotice["status"], seat_ids: string[], more: Partial<HoldNotice> = {}): HoldNotice {
    const expires_at = new Date(Date.now() + 300_000).toISOString();
    const message = { showing_id: "s", seat_ids, status, message: "", timestamp: expires_at, booking_id: this.id };
    return { ...message, ...(status === "held" ? { expires_at } : {}), ...more };
  }

  async answer(outcome: Outcome): Promise<void> {
    this.waiting.shift()?.(outcome);
    await vi.advanceTimersByTimeAsync(0);
  }

  async answerHold(status: HoldNotice["status"], seats: string[], more: Partial<HoldNotice> = {}): Promise<void> {
    await this.answer({ kind: "notice", notice: this.notice(status, seats, more) });
  }

  async answerBooking(status: Confirmation["status"], seat_ids: string[], code?: string): Promise<void> {
    const outcome = { booking_id: this.id, status, message: "", timestamp: "", seat_ids };
    await this.answer({ kind: "confirmation", confirmation: code === undefined ? outcome : { ...outcome, code } });
  }

  tell(notice: HoldNotice): void {
    for (const listener of this.notices) listener(notice);
  }

  leave(): void {
    for (const listener of this.leaving) listener();
  }
}

let box: Told;
beforeEach(() => {
  vi.useFakeTimers({ now: START });
  box = new Told();
});
afterEach(() => vi.useRealTimers());

/** An order with seats that are kept. */
async function keeping(...seats: string[]): Promise<Order> {
  const order = new Order(box, "s");
  for (const seat of seats) order.toggle(seat);
  while (!order.isSettled.value)
    await box.answerHold(
      "held",
      (box.last.match(/ \w/g) ?? []).map((name) => name.trim()),
    );
  return order;
}

describe("an order", () => {
  it("has an id that no other has, also of the same showing", async () => {
    await keeping("a");
    const first = box.id;
    await keeping("b");
    expect(box.id).not.toBe(first);
  });

  it("is booked once, with what is chosen", async () => {
    const order = await keeping("a", "b");
    void order.book({ email: "vic@example.org" });
    expect(box.last).toBe("request a b");
    expect(box.sent.at(-1)?.body).toMatchObject({ email: "vic@example.org" });
    void order.book();
    order.toggle("c");
    expect(box.last).toBe("request a b");
    await box.answerBooking("confirmed", ["a", "b"]);
    expect(order.stage.value).toBe("done");
    expect(order.confirmation.value?.status).toBe("confirmed");
    order.dispose();
    expect(box.last).toBe("request a b");
  });

  it("that could not be booked goes on under another id with what is left, once the old one's seats are back", async () => {
    const order = await keeping("a", "b");
    const before = box.id;
    void order.book();
    await box.answerBooking("failed", ["b"], "seats_unavailable");
    expect(box.last).toBe("release a b");
    expect(box.id).toBe(before);
    await box.answerHold("released", ["a"]);
    expect(box.last).toBe("hold a");
    expect(box.id).not.toBe(before);
    expect(order.loss.value).toEqual({ why: "taken", seat_ids: ["b"] });
    expect(order.stage.value).toBe("choosing");
  });

  it("that could not be booked at all is no longer remembered under the id that failed", async () => {
    const order = await keeping("a");
    const before = box.id;
    void order.book();
    await box.answerBooking("failed", ["a"], "seats_unavailable");
    await box.answerHold("released", []);
    expect(order.seats.value).toEqual([]);
    order.toggle("a");
    expect(box.last).toBe("hold a");
    expect(box.id).not.toBe(before);
  });

  it("that is left while it is being booked takes no seats again", async () => {
    const order = await keeping("a", "b");
    void order.book();
    order.dispose();
    await box.answerBooking("failed", ["b"], "seats_unavailable");
    expect(box.last).toBe("release a b");
    await box.answerHold("released", ["a"]);
    expect(box.last).toBe("release a b");
  });

  it("gives back what it has when it is left", async () => {
    const order = await keeping("a");
    order.dispose();
    expect(box.last).toBe("release a");
  });

  it("cares only for the outcome while it is being booked", async () => {
    const order = await keeping("a");
    void order.book();
    box.tell(box.notice("expired", ["a"]));
    expect(order.seats.value).toEqual(["a"]);
  });

  it("hears of what runs out", async () => {
    const order = await keeping("a");
    box.tell(box.notice("expired", ["a"]));
    expect(order.loss.value).toEqual({ why: "expired", seat_ids: ["a"] });
  });

  it("notices by the clock that its time is up", async () => {
    const order = await keeping("a");
    await vi.advanceTimersByTimeAsync(299_000);
    expect(order.loss.value).toBeNull();
    await vi.advanceTimersByTimeAsync(2_000);
    expect(order.loss.value).toEqual({ why: "expired", seat_ids: ["a"] });
  });

  it("asks again for what was given back behind its back", async () => {
    await keeping("a");
    const asked = box.sent.length;
    box.tell(box.notice("released", ["a"]));
    expect(box.sent).toHaveLength(asked + 1);
    expect(box.last).toBe("hold a");
  });

  it("compares what it has with what the box keeps after a cut", async () => {
    await keeping("a");
    const asked = box.sent.length;
    box.held = [];
    box.renewed.value += 1;
    await vi.advanceTimersByTimeAsync(0);
    expect(box.sent).toHaveLength(asked + 1);
    expect(box.last).toBe("hold a");
  });

  it("loses seats that its showing's new room does not have", async () => {
    const order = await keeping("a");
    box.plan.value = { showing_id: "other", version: 1, seats: [] };
    expect(order.loss.value).toBeNull();
    box.plan.value = { showing_id: "s", version: 1, seats: [] };
    expect(order.loss.value).toEqual({ why: "refused", code: "unknown_seat", seat_ids: ["a"] });
    expect(order.seats.value).toEqual([]);
  });
});

describe("what a tab had chosen", () => {
  it("is taken up by the page that is loaded next in it", async () => {
    await keeping("a");
    const before = box.id;
    box.held = [box.notice("held", ["a"])];
    box.leave();
    const order = Order.begun(box, "s");
    await vi.advanceTimersByTimeAsync(0);
    expect(order.seats.value).toEqual(["a"]);
    expect(order.id).toBe(before);
  });

  it("is not taken up by a copy of the tab, nor by somebody else, nor twice", async () => {
    await keeping("a");
    box.held = [box.notice("held", ["a"])];
    const copied = Order.begun(box, "s");
    await vi.advanceTimersByTimeAsync(0);
    expect(copied.seats.value).toEqual([]);

    await keeping("b");
    box.held = [box.notice("held", ["b"])];
    box.leave();
    box.session.value = { user: { user_id: "somebody else" } };
    const others = Order.begun(box, "s");
    await vi.advanceTimersByTimeAsync(0);
    expect(others.seats.value).toEqual([]);
  });

  it("is given back where nobody goes on with it", async () => {
    await keeping("a");
    const before = box.id;
    box.held = [box.notice("held", ["a"])];
    box.leave();
    await Order.abandon(box);
    expect(box.last).toBe("release a");
    expect(box.id).toBe(before);
  });
});
