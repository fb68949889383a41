import { signal } from "@preact/signals";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Counter, Order } from "../../src/box/order";
import type { Command, Confirmation, HoldNotice, SeatPlan } from "../../src/box/wire";
import type { Outcome } from "../../src/core/outbox";

const START = Date.parse("2030-01-01T12:00:00Z");
const ME = "me";

/** A box that answers when it is told to, and notes what it is asked. */
class Told implements Counter {
  isAlone = false;
  readonly renewed = signal(0);
  readonly plan = signal<SeatPlan | null>(null);
  readonly session = signal<{ user: { user_id: string } } | null>({ user: { user_id: ME } });
  /** What it keeps, as far as it can be asked. */
  held: HoldNotice[] | null = [];
  readonly sent: Command[] = [];
  /** How often each was asked for. */
  readonly asked = { holds: 0, refresh: 0 };
  private waiting: { topic: Command["topic"]; resolve: (outcome: Outcome) => void }[] = [];
  private readonly notices = new Set<(notice: HoldNotice) => void>();
  private readonly confirmations = new Set<(confirmation: Confirmation) => void>();
  private readonly leaving = new Set<() => void>();
  readonly remembered = new Map<string, unknown>();
  readonly http = {
    holds: async () => {
      this.asked.holds += 1;
      if (this.held === null) throw new Error("nobody answers");
      return this.held;
    },
  };
  readonly tab = {
    get: (name: string) => (this.remembered.get(name) ?? null) as never,
    set: (name: string, value: unknown) => void this.remembered.set(name, value),
  };

  now = () => Date.now();
  refresh = async () => {
    this.asked.refresh += 1;
  };
  send = (command: Command) => {
    this.sent.push(command);
    return new Promise<Outcome>((resolve) => void this.waiting.push({ topic: command.topic, resolve }));
  };
  onNotice = (listener: (notice: HoldNotice) => void) => {
    this.notices.add(listener);
    return () => this.notices.delete(listener);
  };
  onConfirmation = (listener: (confirmation: Confirmation) => void) => {
    this.confirmations.add(listener);
    return () => this.confirmations.delete(listener);
  };
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

  /** Answer what has waited longest, of holds or of bookings. */
  private async answer(room: "seats/" | "booking/", outcome: Outcome): Promise<void> {
    const first = this.waiting.find(({ topic }) => topic.startsWith(room));
    this.waiting = this.waiting.filter((other) => other !== first);
    first?.resolve(outcome);
    await vi.advanceTimersByTimeAsync(0);
  }

  async answerHold(status: HoldNotice["status"], seats: string[], more: Partial<HoldNotice> = {}): Promise<void> {
    await this.answer("seats/", { kind: "notice", notice: this.notice(status, seats, more) });
  }

  confirmation(status: Confirmation["status"], seat_ids: string[], code?: string): Confirmation {
    const outcome = { booking_id: this.id, status, message: "", timestamp: "", seat_ids };
    return code === undefined ? outcome : { ...outcome, code };
  }

  async answerBooking(status: Confirmation["status"], seats: string[], code?: string): Promise<void> {
    await this.answer("booking/", { kind: "confirmation", confirmation: this.confirmation(status, seats, code) });
  }

  tell(notice: HoldNotice): void {
    for (const listener of this.notices) listener(notice);
  }

  confirm(confirmation: Confirmation): void {
    for (const listener of this.confirmations) listener(confirmation);
  }

  /** What this tab remembers of an order: the booking's id. */
  get tabs(): string | null {
    return (this.remembered.get("order") as { booking_id: string } | null | undefined)?.booking_id ?? null;
  }

  get listeners(): number {
    return this.notices.size + this.confirmations.size + this.leaving.size;
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

  it("that is refused says why until seats are chosen again", async () => {
    const order = await keeping("a");
    void order.book();
    await box.answerBooking("failed", [], "sales_closed");
    await box.answerHold("released", ["a"]);
    expect(order.refusal.value).toBe("sales_closed");
    expect(order.loss.value).toBeNull();
    order.toggle("b");
    expect(order.refusal.value).toBeNull();
  });

  it("that fails while seats are still asked for gives back these too", async () => {
    const order = await keeping("a");
    const before = box.id;
    order.toggle("b");
    void order.book();
    await box.answerBooking("failed", ["c"], "seats_unavailable");
    expect(box.last).toBe("request a b");
    await box.answerHold("held", ["a", "b"]);
    expect(box.last).toBe("release a b");
    expect(box.id).toBe(before);
  });

  it("that fails with nothing kept has nothing to give back", async () => {
    const order = new Order(box, "s");
    order.toggle("a");
    void order.book();
    await box.answerHold("rejected", ["a"], { code: "seats_unavailable" });
    await box.answerBooking("failed", ["a"], "seats_unavailable");
    expect(box.sent.map(({ topic }) => topic)).toEqual(["seats/hold", "booking/request"]);
    expect(order.stage.value).toBe("choosing");
  });

  it("has nothing that runs out once it is booked", async () => {
    const order = await keeping("a");
    void order.book();
    await box.answerBooking("confirmed", ["a"]);
    expect(order.expiresAt.value).toBeNull();
    expect(order.kept.value.size).toBe(0);
  });

  it("hears what becomes of its booking later, and of no other", async () => {
    const order = await keeping("a");
    void order.book();
    box.confirm(box.confirmation("failed", ["a"])); // said again of an attempt before: not this one's outcome
    expect(order.confirmation.value).toBeNull();
    await box.answerBooking("confirmed", ["a"]);
    box.confirm({ ...box.confirmation("cancelled", ["a"]), booking_id: "another" });
    expect(order.confirmation.value?.status).toBe("confirmed");
    box.confirm(box.confirmation("cancelled", ["a"]));
    expect(order.confirmation.value?.status).toBe("cancelled");
  });

  it("is not booked with nothing in it", async () => {
    const order = new Order(box, "s");
    await order.book();
    expect(box.sent).toEqual([]);
  });

  it("gives all back at once, but not while it is being booked", async () => {
    const order = await keeping("a", "b");
    void order.book();
    order.clear();
    expect(order.seats.value).toEqual(["a", "b"]);
    await box.answerBooking("failed", [], "rate_limited");
    await box.answerHold("released", ["a", "b"]);
    await box.answerHold("held", ["a", "b"]);
    order.clear();
    expect(order.seats.value).toEqual([]);
    expect(box.last).toBe("release a b");
  });

  it("that is left while seats are asked for gives them back once they are kept", async () => {
    const order = new Order(box, "s");
    order.toggle("a");
    order.dispose();
    expect(box.last).toBe("hold a");
    await box.answerHold("held", ["a"]);
    expect(box.last).toBe("release a");
  });

  it("that is left hears and does nothing any more", async () => {
    const order = await keeping("a");
    order.dispose();
    await box.answerHold("released", ["a"]);
    expect(box.listeners).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
    box.renewed.value += 1;
    await vi.advanceTimersByTimeAsync(0);
    expect(box.asked.holds).toBe(0);
    expect(box.last).toBe("release a");
  });

  it("forgets what was lost once it has been read", async () => {
    const order = await keeping("a");
    box.tell(box.notice("expired", ["a"]));
    order.forgive();
    expect(order.loss.value).toBeNull();
  });

  it("asks for the plan where somebody was quicker than it was told", async () => {
    const order = new Order(box, "s");
    order.toggle("a");
    expect(box.asked.refresh).toBe(0);
    await box.answerHold("rejected", ["a"], { code: "seats_unavailable" });
    expect(order.loss.value).toEqual({ why: "taken", seat_ids: ["a"] });
    expect(box.asked.refresh).toBe(1);
  });

  it("keeps its seats while it is being booked, whatever time or room do meanwhile", async () => {
    const order = await keeping("a");
    void order.book();
    await vi.advanceTimersByTimeAsync(400_000);
    box.plan.value = { showing_id: "s", version: 1, seats: [] };
    expect(order.seats.value).toEqual(["a"]);
    expect(order.loss.value).toBeNull();
  });

  it("is told nothing by what concerns another order", async () => {
    const order = await keeping("a");
    box.tell(box.notice("expired", ["a"], { booking_id: "another" }));
    expect(order.loss.value).toBeNull();
  });
});

describe("what an order has after a cut", () => {
  /** The connection is back; `meanwhile` happens before the box has answered what it keeps. */
  async function renewed(meanwhile = () => {}): Promise<void> {
    box.renewed.value += 1;
    meanwhile();
    await vi.advanceTimersByTimeAsync(0);
  }

  it("is not asked for where it has nothing", async () => {
    new Order(box, "s");
    await renewed();
    expect(box.asked.holds).toBe(0);
  });

  it("stays as it is known where nobody answers", async () => {
    const order = await keeping("a");
    box.held = null;
    await renewed();
    expect([...order.kept.value]).toEqual(["a"]);
    expect(box.last).toBe("hold a");
  });

  it("is told by a newer answer than that", async () => {
    const order = await keeping("a");
    box.held = [];
    await renewed(() => order.toggle("b"));
    expect([...order.kept.value]).toEqual(["a"]);
    expect(box.last).toBe("hold a b");
  });

  it("matters no more while it is being booked", async () => {
    const order = await keeping("a");
    box.held = [];
    await renewed(() => void order.book());
    expect(box.last).toBe("request a");
    await box.answerBooking("failed", [], "sales_closed");
    expect(box.last).toBe("release a");
  });
});

describe("what a tab remembers of an order", () => {
  it("is under which id it has seats, and nothing of one that has none", async () => {
    new Order(box, "s");
    box.leave();
    expect(box.tabs).toBeNull();
    const order = await keeping("a");
    expect(box.tabs).toBe(order.id);
  });

  it("is gone as soon as it is left, booked, or failed for good", async () => {
    const left = await keeping("a");
    left.dispose();
    expect(box.tabs).toBeNull();
    await box.answerHold("released", ["a"]);
    expect(box.tabs).toBeNull();

    const booked = await keeping("a");
    void booked.book();
    await box.answerBooking("confirmed", ["a"]);
    expect(box.tabs).toBeNull();

    const failed = await keeping("a");
    void failed.book();
    await box.answerBooking("failed", ["a"], "seats_unavailable");
    await box.answerHold("released", ["a"]);
    expect(box.tabs).toBeNull();
  });

  it("is not lost with one that was left before, and is booked now", async () => {
    const order = await keeping("a");
    void order.book();
    order.dispose();
    const next = await keeping("b");
    await box.answerBooking("confirmed", ["a"]);
    expect(order.stage.value).toBe("done");
    expect(box.tabs).toBe(next.id);
  });
});

describe("a booking that was asked for before the page was loaded anew", () => {
  const request = { showing_id: "s", seat_ids: ["a", "b"], booking_id: "before", timestamp: "then" };

  it("is asked for again as it was", async () => {
    const order = Order.resumed(box, request);
    expect(box.sent).toEqual([{ topic: "booking/request", body: request }]);
    expect(order.stage.value).toBe("booking");
    expect(order.seats.value).toEqual(["a", "b"]);
    box.confirm({ ...box.confirmation("confirmed", ["a", "b"]) });
    await box.answerBooking("confirmed", ["a", "b"]);
    expect(order.id).toBe("before");
    expect(order.confirmation.value?.status).toBe("confirmed");
  });

  it("goes on with what is left of it where it fails", async () => {
    const order = Order.resumed(box, request);
    await box.answerBooking("failed", ["b"], "seats_unavailable");
    expect(box.last).toBe("hold a");
    expect(box.id).not.toBe("before");
    expect(order.loss.value).toEqual({ why: "taken", seat_ids: ["b"] });
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

  it("is taken up once", async () => {
    await keeping("a");
    box.held = [box.notice("held", ["a"])];
    box.leave();
    Order.begun(box, "other");
    const order = Order.begun(box, "s");
    await vi.advanceTimersByTimeAsync(0);
    expect(order.seats.value).toEqual([]);
  });

  it("is given back by whoever looks at another showing, and not chosen there", async () => {
    await keeping("a");
    box.held = [box.notice("held", ["a"])];
    box.leave();
    const order = Order.begun(box, "other");
    order.toggle("b");
    const remembered = box.tab.get("order");
    await vi.advanceTimersByTimeAsync(0);
    expect(order.seats.value).toEqual(["b"]);
    expect(box.last).toBe("release a");
    expect(box.tab.get("order")).toEqual(remembered);
  });

  it("is given back later where the box could not be asked", async () => {
    await keeping("a");
    const held = [box.notice("held", ["a"])];
    box.leave();
    box.held = null;
    await Order.abandon(box);
    expect(box.last).toBe("hold a");
    box.held = held;
    await Order.abandon(box);
    expect(box.last).toBe("release a");
  });

  it("does not mix with what is chosen before the box has answered", async () => {
    await keeping("a");
    box.held = [box.notice("held", ["a"])];
    box.leave();
    const order = Order.begun(box, "s");
    order.toggle("b");
    await vi.advanceTimersByTimeAsync(0);
    expect(order.seats.value).toEqual(["b"]);
  });

  it("is remembered on, for the page after the next", async () => {
    await keeping("a");
    box.held = [box.notice("held", ["a"])];
    box.leave();
    const order = Order.begun(box, "s");
    expect(box.tabs).toBeNull();
    await vi.advanceTimersByTimeAsync(0);
    expect(box.tabs).toBe(order.id);
    expect(order.isSettled.value).toBe(true);
  });

  it("outlives a power cut where no other page is open in the browser", async () => {
    box.isAlone = true;
    await keeping("a");
    box.held = [box.notice("held", ["a"])];
    await Order.abandon(box);
    expect(box.last).toBe("release a");
  });

  it("is given back once the box can be reached", async () => {
    await keeping("a");
    box.held = [box.notice("held", ["a"])];
    box.leave();
    let reach = () => {};
    const abandoned = Order.abandon(box, new Promise((resolve) => (reach = resolve)));
    await vi.advanceTimersByTimeAsync(0);
    expect(box.asked.holds).toBe(0);
    reach();
    await abandoned;
    expect(box.last).toBe("release a");
  });
});
