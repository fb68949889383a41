import { beforeEach, describe, expect, it, vi } from "vitest";
import { Box } from "../../src/box/box";
import { type PaymentChoice, type Sale, Sales } from "../../src/desk/sales";
import {
  type Answer,
  answerBooking,
  answerHold,
  answers,
  bodyOf,
  calls,
  commanded,
  endSession,
  happens,
  joins,
  kept,
  latest,
  mqtt,
  pass,
  say,
  session,
  signsIn,
  surrounded,
} from "../box/surroundings";
import { booking, user } from "./fixtures";

vi.mock("../../src/box/mqtt", () => import("../box/surroundings"));
surrounded();

let box: Box;
let sales: Sales;
/** What was noted as paid: `card`, in the order in which it was. */
let paid: unknown[];
const desk = async () => {
  box = new Box({ page: "desk" });
  await joins(box);
  sales = new Sales(box);
};
beforeEach(async () => {
  paid = [];
  answers.set("POST /api/session", () => [200, session("alice", { role: "manager" })]);
  answers.set("GET /api/holds", () => [200, []]);
  await desk();
});

/** The box notes payments of the booking that was commanded last. */
function notes(answer?: () => Promise<Answer>): void {
  answers.set(`PATCH /api/bookings/${bodyOf().booking_id}`, (sent) => {
    paid.push((sent as { paid: unknown }).paid);
    return answer?.() ?? [200, booking()];
  });
}

const current = () => sales.current.value as Sale;
const background = () => sales.background.value;

/** A showing is looked at, and seats of it are chosen and kept. */
async function chooses(showingId: string, ...seats: string[]): Promise<Sale> {
  sales.enter(showingId);
  for (const seat of seats) {
    current().order.toggle(seat);
    await answerHold("held");
  }
  return current();
}

/** And they are being booked. */
async function books(showingId: string, payment: PaymentChoice = "none"): Promise<Sale> {
  const sale = await chooses(showingId, "a");
  sale.paid.value = payment;
  void sale.book();
  expect(commanded()).toBe("request a");
  notes();
  return sale;
}

describe("a sale", () => {
  it("is for whom it was said, and for nobody where nothing was", async () => {
    const sale = await chooses("s", "a");
    sale.email.value = " walk-in@example.org ";
    sale.customer.value = user({ user_id: "bob" });
    void sale.book();
    expect(bodyOf()).toMatchObject({ email: "walk-in@example.org", user_id: "bob", seat_ids: ["a"] });
    await answerBooking("confirmed");

    sales.next("s", "b");
    await answerHold("held");
    void current().book();
    expect(commanded()).toBe("request b");
    expect(Object.keys(bodyOf())).not.toContain("email");
    expect(Object.keys(bodyOf())).not.toContain("user_id");
  });

  it("is not booked for an address that is none", async () => {
    const sale = await chooses("s", "a");
    sale.email.value = "walk-in@";
    await sale.book();
    expect(sale.isEmailWrong.value).toBe(true);
    expect(commanded()).toBe("hold a");
    sale.email.value = "walk-in@example.org";
    void sale.book();
    expect(sale.isEmailWrong.value).toBe(false);
    expect(commanded()).toBe("request a");
  });

  it("is booked once, however often that is pressed", async () => {
    const sale = await books("s", "card");
    const before = mqtt.published.length;
    await sale.book();
    expect(mqtt.published).toHaveLength(before);
  });

  it("is noted as paid once it is booked, once", async () => {
    const sale = await books("s", "card");
    expect(paid).toEqual([]);
    await answerBooking("confirmed");
    await answerBooking("confirmed");
    expect(paid).toEqual(["card"]);
    expect(sale.noted.value).toBe("card");
    expect(sale.isPaying.value).toBe(false);
  });

  it("is noted as paid later where nothing was chosen, and not once it is cancelled", async () => {
    const sale = await books("s");
    await answerBooking("confirmed");
    expect(paid).toEqual([]);
    const first = sale.pay("cash");
    await sale.pay("card"); // pressed while the other is under way
    await first;
    expect(paid).toEqual(["cash"]);
    say("booking/confirm/b", { ...bodyOf(), status: "cancelled", message: "", timestamp: new Date().toISOString() });
    await sale.pay("card");
    expect(paid).toEqual(["cash"]);
  });

  it("is begun by how the one before was paid", async () => {
    await books("s", "card");
    await answerBooking("confirmed");
    sales.next("s");
    expect(current().paid.value).toBe("card");
  });

  it("says why a payment could not be noted, until it is tried again", async () => {
    const sale = await books("s", "card");
    answers.delete(`PATCH /api/bookings/${bodyOf().booking_id}`);
    await answerBooking("confirmed");
    expect(sale.failure.value).toBeInstanceOf(Error);
    expect(sale.noted.value).toBeNull();
    notes();
    const again = sale.pay("card");
    expect(sale.failure.value).toBeNull();
    await again;
    expect(sale.noted.value).toBe("card");
  });

  it("that was cancelled before anybody saw it is not noted as paid", async () => {
    await books("s", "card");
    await answerBooking("cancelled");
    expect(paid).toEqual([]);
  });
});

describe("a sale that is left", () => {
  it("gives back what was merely chosen", async () => {
    const leave = sales.enter("s");
    current().order.toggle("a");
    await answerHold("held");
    leave();
    expect(commanded()).toBe("release a");
    expect(sales.current.value).toBeNull();
    expect(background()).toEqual([]);
  });

  it("goes on while it is being booked, and is paid", async () => {
    const sale = await books("s", "card");
    const request = bodyOf();
    sales.enter("other");
    expect(background()).toEqual([sale]);
    expect(current()).not.toBe(sale);
    await answerBooking("confirmed", {}, request);
    expect(sale.noted.value).toBe("card");
    expect(background()).toEqual([sale]);
  });

  it("goes on while its payment is being noted, and is no news after that", async () => {
    const sale = await books("s", "card");
    let answer = (_: Answer) => {};
    notes(() => new Promise((resolve) => (answer = resolve)));
    await answerBooking("confirmed");
    sales.next("s");
    expect(current()).not.toBe(sale);
    expect(background()).toEqual([sale]);
    answer([200, booking()]);
    await pass();
    expect(sale.noted.value).toBe("card");
    sales.forget(sale);

    const seen = await books("s");
    await answerBooking("confirmed");
    sales.enter("other");
    expect(background()).not.toContain(seen);
  });

  it("is the showing's own again when that is looked at", async () => {
    const sale = await books("s");
    sales.enter("other");
    sales.enter("s");
    expect(current()).toBe(sale);
    expect(background()).toEqual([]);
  });

  it("stays told once it is booked, and the showing has a new one", async () => {
    const sale = await books("s");
    const request = bodyOf();
    sales.enter("other");
    await answerBooking("confirmed", {}, request);
    sales.enter("s");
    expect(current()).not.toBe(sale);
    expect(background()).toEqual([sale]);
  });

  it("is not left by a view that goes after the next has come", async () => {
    const leave = sales.enter("s");
    const sale = await chooses("other", "a");
    leave();
    expect(current()).toBe(sale);
    expect(commanded()).toBe("hold a");
  });

  it("leaves nothing behind once it has been seen, or the desk is left", async () => {
    const timers = vi.getTimerCount();
    const timestamp = new Date().toISOString();
    answers.set("POST /api/holds/release", (sent) => [200, { ...(sent as object), status: "released", message: "" }]);
    answers.set("POST /api/bookings", (sent) => [
      200,
      { ...(sent as object), status: "failed", message: "", timestamp },
    ]);
    const sale = await books("s");
    const request = bodyOf();
    await chooses("other", "b");
    await answerBooking("confirmed", {}, request);
    sales.forget(sale);
    expect(background()).toEqual([]);
    await books("third");
    await chooses("fourth", "c");
    sales.dispose();
    expect(commanded()).toBe("release c");
    expect(sales.current.value).toBeNull();
    expect(background()).toEqual([]);
    await pass(20_000); // in which HTTP answers what MQTT does not
    expect(vi.getTimerCount()).toBe(timers);
  });
});

describe("after a reload", () => {
  const reload = async () => {
    happens("pagehide");
    latest().ended();
    await desk();
  };

  it("a booking goes on as it was, with its payment and whom it is for", async () => {
    answers.set("GET /api/users", () => [200, [user({ user_id: "alice" }), user({ user_id: "bob" })]]);
    const sale = await chooses("s", "a");
    sale.paid.value = "card";
    sale.email.value = "walk-in@example.org";
    sale.customer.value = user({ user_id: "bob" });
    void sale.book();
    const request = bodyOf();
    await reload();
    sales.takeUp();
    await pass();
    const [resumed] = background();
    expect(bodyOf()).toEqual(request);
    expect(resumed?.email.value).toBe("walk-in@example.org");
    expect(resumed?.customer.value?.user_id).toBe("bob");
    notes();
    await answerBooking("confirmed");
    expect(paid).toEqual(["card"]);
  });

  it("a booking is not paid as another one was", async () => {
    await books("s", "none");
    kept.set("lynrie.desk.payment", '"cash"');
    await reload();
    sales.takeUp();
    notes();
    await answerBooking("confirmed");
    expect(paid).toEqual([]);
    expect(calls).not.toContain("GET /api/users");
  });

  it("a payment that was not noted before the page went is noted, unless somebody has meanwhile", async () => {
    await books("s", "card");
    const { booking_id } = bodyOf() as { booking_id: string };
    answers.set(`PATCH /api/bookings/${booking_id}`, () => Promise.reject(new TypeError("the network has gone")));
    await answerBooking("confirmed");
    await books("other", "cash");
    const other = bodyOf().booking_id as string;
    answers.set(`PATCH /api/bookings/${other}`, () => Promise.reject(new TypeError("the network has gone")));
    await answerBooking("confirmed");
    await reload();
    const noted: string[] = [];
    for (const [id, known] of [
      [booking_id, null],
      [other, "other"],
    ] as const) {
      answers.set(`GET /api/bookings/${id}/ticket`, () => [200, booking({ booking_id: id, paid: known })]);
      answers.set(`PATCH /api/bookings/${id}`, (sent) => {
        noted.push(`${id} ${(sent as { paid: string }).paid}`);
        return [200, booking()];
      });
    }
    sales.takeUp();
    await pass();
    expect(noted).toEqual([`${booking_id} card`]);
    expect(kept.get("lynrie.desk.payments")).toBe("{}");
  });

  it("each of several bookings is paid as was chosen for it, and no outcome keeps its payment", async () => {
    await books("seen", "other");
    await answerBooking("confirmed");
    await books("s", "card");
    await books("other", "cash");
    expect(Object.values(JSON.parse(kept.get("lynrie.desk.payments") ?? "{}"))).toEqual(["card", "cash"]);
    await reload();
    sales.takeUp();
    expect(background().map((sale) => [sale.order.showingId, sale.paid.value])).toEqual([
      ["s", "card"],
      ["other", "cash"],
    ]);
  });

  it("what was chosen is chosen again where the same showing is looked at, and its booking is shown there", async () => {
    await chooses("s", "a");
    answers.set("GET /api/holds", () => [
      200,
      [{ ...bodyOf(), status: "held", message: "", expires_at: new Date(Date.now() + 9e4).toISOString() }],
    ]);
    await reload();
    sales.enter("s");
    await pass();
    expect(current().order.seats.value).toEqual(["a"]);

    void current().book();
    await reload();
    sales.enter("s");
    expect(current().order.stage.value).toBe("booking");
    expect(background()).toEqual([]);
    sales.takeUp();
    expect(background()).toEqual([]);
  });
});

describe("where the session ends", () => {
  it("a booking under way goes on once the same manager is back", async () => {
    sales.enter("s");
    sales.next("s", "a");
    await answerHold("held");
    current().paid.value = "card";
    void current().book();
    const request = bodyOf();
    await endSession(box);
    expect(sales.current.value).toBeNull();
    const before = mqtt.published.length;
    await signsIn(box);
    expect(mqtt.published.slice(before).map(bodyOf)).toEqual([request]);
    expect(current().order.id).toBe(request.booking_id);
    notes();
    await answerBooking("confirmed");
    expect(paid).toEqual(["card"]);
  });

  it("so does one that was left, and what is told of another stays told", async () => {
    const done = await books("other");
    const other = bodyOf();
    await books("s");
    const request = bodyOf();
    const leave = sales.enter("third");
    leave();
    await answerBooking("confirmed", {}, other);
    await endSession(box);
    expect(background()).toEqual([done]);
    await signsIn(box);
    expect(background().map(({ order }) => order.id)).toEqual([done.order.id, request.booking_id]);
    expect(sales.current.value).toBeNull();
  });

  it("and nothing else of who is signed in changes, nothing is taken up; nor once the desk is left", async () => {
    sales.enter("s");
    const body = {
      showing_id: "s",
      seat_ids: ["a"],
      booking_id: "of another tab",
      timestamp: new Date().toISOString(),
    };
    kept.set("lynrie.desk.requests", JSON.stringify([{ user_id: "alice", body }]));
    answers.set("PATCH /api/me", () => [
      200,
      { ...session("alice", { role: "manager" }).user, name: "Alice de Vries" },
    ]);
    await box.changeMe({ name: "Alice de Vries" });
    expect(background()).toEqual([]);
    sales.dispose();
    await endSession(box);
    await signsIn(box);
    expect(sales.current.value).toBeNull();
    expect(background()).toEqual([]);
  });

  it("what is being chosen stays for the same manager, and for nobody else", async () => {
    const sale = await chooses("s", "a");
    await endSession(box);
    await signsIn(box);
    expect(current()).toBe(sale);
    await endSession(box);
    answers.set("POST /api/session", () => [200, session("bob", { role: "manager" })]);
    await signsIn(box);
    expect(current()).not.toBe(sale);
    expect(current().order.userId).toBe("bob");
    expect(current().order.seats.value).toEqual([]);
  });

  it("what a manager booked is not told to the next", async () => {
    await books("s", "card");
    const request = bodyOf();
    sales.enter("other");
    await answerBooking("confirmed", {}, request);
    expect(background()).toHaveLength(1);
    await endSession(box);
    expect(background()).toHaveLength(1);
    answers.set("POST /api/session", () => [200, session("bob", { role: "manager" })]);
    await signsIn(box);
    expect(background()).toEqual([]);
  });
});
