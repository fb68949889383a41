import { beforeEach, describe, expect, it, vi } from "vitest";
import { Box } from "../../src/box/box";
import { Orders } from "../../src/visitors/orders";
import {
  answerBooking,
  answerHold,
  answers,
  asked,
  bodyOf,
  commanded,
  endSession,
  happens,
  joins,
  latest,
  mqtt,
  pass,
  session,
  signsIn,
  surrounded,
} from "../box/surroundings";

vi.mock("../../src/box/mqtt", () => import("../box/surroundings"));
surrounded();

let box: Box;
let orders: Orders;

async function load(entersShowing = true): Promise<void> {
  box = new Box({ page: "visitors" });
  orders = new Orders(box);
  orders.begin(entersShowing);
  box.start();
  await pass();
}

beforeEach(async () => {
  answers.set("GET /api/holds", () => [200, []]);
  box = new Box({ page: "visitors" });
  orders = new Orders(box);
  orders.begin(true);
  await joins(box);
});

const background = () => orders.background.value;

/** Seats of a showing are chosen and kept. */
async function chooses(showingId: string, ...seats: string[]) {
  const order = orders.enter(showingId);
  for (const seat of seats) {
    order.toggle(seat);
    await answerHold("held");
  }
  return order;
}

async function books(showingId: string) {
  const order = await chooses(showingId, "a");
  void order.book();
  return order;
}

const bob = () => answers.set("POST /api/session", () => [200, session("bob")]);

describe("an order that is left", () => {
  it("gives back what was merely chosen", async () => {
    const order = await chooses("s", "a");
    orders.leave(order);
    expect(commanded()).toBe("release a");
    expect(background()).toEqual([]);
  });

  it("goes on while it is being booked, and is the showing's own again when that is looked at", async () => {
    const order = await books("s");
    orders.leave(order);
    expect(background()).toEqual([order]);
    const other = orders.enter("other");
    expect(other).not.toBe(order);
    orders.leave(other);
    expect(orders.enter("s")).toBe(order);
    expect(background()).toEqual([]);
    await answerBooking("failed", { seat_ids: [], code: "sales_closed" });
    await answerHold("released");
    expect(commanded()).toBe("hold a"); // it still has what it had
  });

  it("stays told once it is booked, until that has been seen, and the showing has a new one", async () => {
    const order = await books("s");
    orders.leave(order);
    await answerBooking("confirmed");
    expect(orders.enter("s")).not.toBe(order);
    expect(background()).toEqual([order]);
    orders.forget(order);
    expect(background()).toEqual([]);
  });

  it("that failed gives back what it took again, once that has been seen", async () => {
    const order = await books("s");
    orders.leave(order);
    await answerBooking("failed", { seat_ids: [], code: "sales_closed" });
    await answerHold("released");
    await answerHold("held");
    orders.forget(order);
    expect(commanded()).toBe("release a");
  });
});

describe("after a reload", () => {
  const reload = async (entersShowing: boolean) => {
    happens("pagehide");
    latest().ended();
    await load(entersShowing);
  };
  const keeps = () => {
    const held = { ...bodyOf(), status: "held", message: "", expires_at: new Date(Date.now() + 9e4).toISOString() };
    answers.set("GET /api/holds", () => [200, [held]]);
    answers.set("POST /api/holds/release", () => [200, { ...held, status: "released" }]);
  };

  it("what was chosen is chosen again where its showing is looked at", async () => {
    await chooses("s", "a");
    keeps();
    await reload(true);
    const order = orders.enter("s");
    await pass();
    expect(order.seats.value).toEqual(["a"]);
    expect(asked("POST /api/holds/release")).toBe(0);
  });

  it("it is given back where something else is", async () => {
    await chooses("s", "a");
    keeps();
    const before = mqtt.published.length;
    await reload(false);
    latest().opened();
    await pass();
    expect(asked("POST /api/holds/release") + mqtt.published.slice(before).length).toBe(1);
  });

  it("a booking goes on, and is shown where its showing is looked at", async () => {
    await books("s");
    const request = bodyOf();
    await reload(true);
    expect(background().map(({ id }) => id)).toEqual([request.booking_id]);
    latest().opened();
    expect(bodyOf()).toEqual(request);
    expect(orders.enter("s").id).toBe(request.booking_id);
    expect(background()).toEqual([]);
  });
});

describe("who signs in", () => {
  it("has what they had under way when their session ended, and nobody else has", async () => {
    const order = await books("s");
    const request = bodyOf();
    orders.leave(order);
    await endSession(box);
    expect(background()).toEqual([]);
    bob();
    await signsIn(box);
    expect(background()).toEqual([]);
    answers.set("POST /api/session", () => [200, session("alice")]);
    await signsIn(box);
    expect(background().map(({ id }) => id)).toEqual([request.booking_id]);
    expect(bodyOf()).toEqual(request);
  });

  it("chooses nothing of what somebody else had under way, and had to leave", async () => {
    const order = await books("s");
    orders.leave(order);
    bob();
    await signsIn(box);
    await answerHold("released");
    expect(mqtt.published.filter((published) => published.startsWith("seats/hold"))).toHaveLength(1);
  });

  it("finds what they had chosen in this tab, also where it was loaded anew before", async () => {
    await chooses("s", "a");
    const held = { ...bodyOf(), status: "held", message: "", expires_at: new Date(Date.now() + 9e4).toISOString() };
    answers.set("GET /api/holds", () => [200, [held]]);
    happens("pagehide");
    await endSession(box);
    await load(false);
    await signsIn(box);
    const order = orders.enter("s");
    await pass();
    expect(order.seats.value).toEqual(["a"]);
  });

  it("does not see what became of somebody else's", async () => {
    const order = await books("s");
    orders.leave(order);
    await answerBooking("confirmed");
    bob();
    await signsIn(box);
    expect(background()).toEqual([]);
  });

  it("does not have an order that somebody else leaves behind", async () => {
    const order = await books("s");
    bob();
    await signsIn(box);
    orders.leave(order);
    expect(background()).toEqual([]);
  });

  it("by another name keeps what is told", async () => {
    const order = await books("s");
    orders.leave(order);
    await answerBooking("confirmed");
    answers.set("PATCH /api/me", () => [200, { ...session("alice").user, name: "Alice de Vries" }]);
    await box.changeMe({ name: "Alice de Vries" });
    expect(box.session.value?.user.name).toBe("Alice de Vries");
    expect(background()).toEqual([order]);
  });
});
