import { beforeEach, describe, expect, test, vi } from "vitest";

// The reader's language is written on the page as soon as it is known.
vi.hoisted(() => vi.stubGlobal("document", { documentElement: { lang: "" } }));
vi.mock("../../src/box/mqtt", () => import("../box/surroundings"));

import { Box } from "../../src/box/box";
import { Kiosk, mayServe } from "../../src/kiosk/kiosk";
import { QUESTION, QUIET, RESET, SHOWN } from "../../src/kiosk/times";
import { language, speak, speakAs } from "../../src/shared/language";
import {
  answerBooking,
  answerHold,
  answers,
  asked,
  bodyOf,
  CINEMA,
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
  showing,
  signsIn,
  surrounded,
  user,
} from "../box/surroundings";

surrounded();

let box: Box;
let kiosk: Kiosk;

/** The page is loaded. */
async function load(): Promise<void> {
  box = new Box({ page: "kiosk", isAlone: true });
  speakAs(box.cinema);
  kiosk = new Kiosk(box);
  box.start();
  kiosk.start();
  await pass();
}

beforeEach(async () => {
  answers.set("POST /api/session", () => [200, session("alice", { role: "kiosk" })]);
  answers.set("GET /api/cinema", () => [200, { ...CINEMA, languages: ["nl", "en"] }]);
  answers.set("GET /api/holds", () => [200, []]);
  speak("en");
  await load();
  await signsIn(box);
});

/** The box tells the seats of the showing that is watched. */
async function tells(...seats: string[]): Promise<void> {
  for (const [x, seat_id] of seats.entries()) {
    const place = { row: "A", number: x + 1, type: "standard", x, y: 0 };
    say("seats/status/s", { showing_id: "s", seat_id, status: "available", version: 1, ...place }, true);
  }
  await pass(20);
}

async function chooses(...seats: string[]): Promise<void> {
  kiosk.choose("s");
  await tells("a", "b");
  for (const seat of seats) {
    kiosk.toggle(seat);
    await answerHold("held");
  }
}

async function books(): Promise<Record<string, unknown>> {
  await chooses("a");
  kiosk.goOn();
  kiosk.book(null);
  expect(commanded()).toBe("request a");
  return bodyOf();
}

const screen = () => kiosk.flow.value.screen;

describe("who may sign in to a kiosk", () => {
  test("is who may book for others", () => {
    const roles = (["visitor", "customer", "kiosk", "manager"] as const).filter((role) => mayServe(user("x", role)));
    expect(roles).toEqual(["kiosk", "manager"]);
  });
});

describe("whoever comes next", () => {
  const foreign = () => {
    speak("en");
    kiosk.day.value = "2030-01-02";
  };
  const isAsTheyExpectIt = () => language.value === "nl" && kiosk.day.value === null;

  test("is greeted in the cinema's own first language", () => {
    expect(language.value).toBe("nl");
  });

  test("finds nothing of somebody who walked away in the middle", async () => {
    foreign();
    await chooses("a");
    kiosk.email.value = "vic@example.org";
    await pass(QUIET + 500);
    expect(kiosk.asked.value).toBe(QUESTION);
    await pass(1_000);
    expect(kiosk.asked.value).toBe(QUESTION - 1_000);
    await pass(QUESTION);
    expect(screen()).toBe("start");
    expect(kiosk.asked.value).toBeNull();
    expect(commanded()).toBe("release a");
    expect(isAsTheyExpectIt()).toBe(true);
    expect([kiosk.email.value, kiosk.showing.value, kiosk.seats.value, kiosk.order.value]).toEqual([
      "",
      null,
      [],
      null,
    ]);
    expect(mqtt.done.at(-1)).toBe("unsubscribe seats/status/s");
  });

  test("finds nothing of somebody who went with their number", async () => {
    foreign();
    await books();
    await answerBooking("confirmed");
    await pass(SHOWN - 10_500);
    expect(screen()).toBe("done");
    expect(kiosk.leavesIn.value).toBe(11_000);
    await pass(11_000);
    expect(screen()).toBe("start");
    expect(isAsTheyExpectIt()).toBe(true);
  });

  test("finds nothing of somebody who only looked, once they have been gone for long", async () => {
    foreign();
    kiosk.touched();
    await pass(RESET - 1_000);
    expect(language.value).toBe("en");
    await pass(1_500);
    expect(isAsTheyExpectIt()).toBe(true);
  });

  test("has as much time as the one before", async () => {
    await books();
    await answerBooking("confirmed");
    await pass(SHOWN - 5_000);
    kiosk.leave();
    expect(kiosk.leavesIn.value).toBe(SHOWN);
    await chooses("b");
    await pass(QUIET - 1_000);
    expect(kiosk.asked.value).toBeNull();
    expect(screen()).toBe("seats");
  });

  test("does not come while a booking is under way, however long that takes", async () => {
    foreign();
    await books();
    await pass(RESET + 1_000);
    expect(screen()).toBe("booking");
    expect(language.value).toBe("en");
  });
});

describe("somebody who touches the screen", () => {
  test("is there", async () => {
    await chooses("a");
    await pass(QUIET - 1_000);
    happens("pointerdown");
    happens("pointerup");
    await pass(2_000);
    expect(kiosk.asked.value).toBeNull();
    expect(kiosk.quietFor()).toBe(2_000);
    await pass(QUIET);
    expect(kiosk.asked.value).not.toBeNull();
    kiosk.touched();
    await pass(500);
    expect(kiosk.asked.value).toBeNull();
  });

  test("begins one order, however often they touch a film", async () => {
    kiosk.choose("s");
    const order = kiosk.order.value;
    kiosk.choose("s");
    kiosk.choose("other");
    expect(kiosk.order.value).toBe(order);
    expect(mqtt.done.filter((done) => done.startsWith("subscribe seats"))).toEqual(["subscribe seats/status/s"]);
  });

  test("goes on with seats, not without", async () => {
    await chooses();
    kiosk.goOn();
    expect(screen()).toBe("seats");
    kiosk.toggle("a");
    kiosk.goOn();
    expect(screen()).toBe("email");
    kiosk.goBack();
    expect(screen()).toBe("seats");
    expect(kiosk.order.value?.seats.value).toEqual(["a"]);
  });

  test("books where that is asked, with an address or without", async () => {
    await chooses("a");
    kiosk.book("vic@example.org");
    expect(commanded()).toBe("hold a");
    kiosk.goOn();
    kiosk.book("vic@example.org");
    expect(bodyOf()).toMatchObject({ seat_ids: ["a"], email: "vic@example.org" });
    expect(screen()).toBe("booking");
  });

  test("is told what they lost, until they touch the next seat or go on", async () => {
    await chooses("a", "b");
    kiosk.goOn();
    const expired = { ...bodyOf(), seat_ids: ["a"], status: "expired", message: "" };
    say("users/alice/holds", expired);
    expect(screen()).toBe("seats");
    expect(kiosk.order.value?.loss.value?.why).toBe("expired");
    kiosk.goOn();
    expect(screen()).toBe("email");
    kiosk.goBack();
    say("users/alice/holds", { ...expired, seat_ids: ["b"] });
    expect(kiosk.order.value?.loss.value).not.toBeNull();
    kiosk.toggle("a");
    expect(kiosk.order.value?.loss.value).toBeNull();
  });

  test("is led back to the seats where none is left", async () => {
    await chooses("a");
    kiosk.goOn();
    kiosk.order.value?.clear();
    expect(screen()).toBe("seats");
  });

  test("is led back to the seats where the booking fails, and to the number where it does not", async () => {
    await books();
    await answerBooking("failed", { code: "seats_unavailable" });
    await answerHold("released");
    expect(screen()).toBe("seats");
    kiosk.toggle("b");
    await answerHold("held");
    kiosk.goOn();
    kiosk.book(null);
    await answerBooking("confirmed");
    expect(screen()).toBe("done");
    expect(calls.filter((call) => call.endsWith("/ticket"))).toEqual([]);
  });
});

describe("what somebody chose", () => {
  test("stays on the screen when the programme or the plan has it no more", async () => {
    await chooses("a");
    expect(kiosk.showing.value?.title).toBe("A film");
    say("showing/update/s", showing("A film, moved"));
    expect(kiosk.showing.value?.title).toBe("A film, moved");
    expect(kiosk.seats.value.map(({ seat_id }) => seat_id)).toEqual(["a"]);
    say("showing/update/s", showing("A film, moved", { status: "cancelled" }));
    expect(kiosk.isOnSale.value).toBe(false);
    box.watch("other");
    expect(kiosk.showing.value?.title).toBe("A film, moved");
    expect(kiosk.seats.value).toHaveLength(1);
  });

  test("is what was booked, once it is", async () => {
    await books();
    await answerBooking("confirmed", { seat_ids: ["a", "b"] });
    expect(kiosk.seats.value.map(({ seat_id }) => seat_id)).toEqual(["a", "b"]);
  });

  test.each([
    [0, false],
    [2, true],
  ])("is sold until %i minutes after it began", async (sales_close_minutes, isSold) => {
    const soon = { starts_at: "2030-01-01T12:01:00Z" };
    answers.set("GET /api/cinema", () => [200, { ...CINEMA, booking: { ...CINEMA.booking, sales_close_minutes } }]);
    answers.set("GET /api/showings", () => [200, [showing("A film", soon)]]);
    await load();
    await joins(box);
    kiosk.choose("s");
    expect(kiosk.isOnSale.value).toBe(true);
    for (let at = 0; at < 60; at += 15) {
      happens("keydown");
      await pass(15_250);
    }
    expect(kiosk.isOnSale.value).toBe(isSold);
  });

  test("is on sale as far as is known", async () => {
    answers.delete("GET /api/showings");
    await load();
    kiosk.choose("s");
    expect(kiosk.isOnSale.value).toBe(true);
  });
});

describe("after a reload", () => {
  const reload = async () => {
    latest().ended();
    await load();
    latest().opened();
    await pass();
  };
  const ticket = { ...showing("A film"), showing: showing("A film"), seats: [], message: "", timestamp: "" };

  test("what was merely chosen is given back, as soon as the box answers", async () => {
    const order = { user_id: "alice", showing_id: "s", booking_id: "before" };
    kept.set("lynrie.kiosk.order", JSON.stringify(order));
    const held = { ...order, seat_ids: ["a"], status: "held", message: "", timestamp: new Date().toISOString() };
    answers.set("GET /api/holds", () => [200, [held]]);
    await load();
    expect(asked("GET /api/holds")).toBe(0);
    latest().opened();
    await pass();
    expect(commanded()).toBe("release a");
    expect(screen()).toBe("start");
  });

  test("so is it where no WebSocket is to be had", async () => {
    await chooses("a");
    const held = { ...bodyOf(), status: "held", message: "", expires_at: new Date(Date.now() + 9e4).toISOString() };
    answers.set("GET /api/holds", () => [200, [held]]);
    latest().ended();
    await load();
    latest().ended();
    await pass();
    expect(box.link.value).toBe("polling");
    expect(asked("POST /api/holds/release")).toBe(1);
  });

  test("a booking that was asked for is seen to its end, and the box is asked what it is for", async () => {
    const request = await books();
    const path = `GET /api/bookings/${request.booking_id}/ticket`;
    const timestamp = new Date().toISOString();
    const made = { booking_id: request.booking_id, status: "confirmed", number: "ABC234", timestamp };
    answers.set(path, () => [200, { ...ticket, ...made }]);
    await reload();
    expect(screen()).toBe("booking");
    expect(bodyOf()).toEqual(request);
    expect(mqtt.done.at(-1)).toContain("seats/status/s");
    await answerBooking("confirmed");
    expect(screen()).toBe("done");
    expect(asked(path)).toBe(1); // the plan has not come yet
    expect(kiosk.ticket.value?.number).toBe("ABC234");
    kiosk.leave();
    expect(kiosk.ticket.value).toBeNull();
  });

  test("a ticket that comes late is not the next one's", async () => {
    const request = await books();
    let answer = () => {};
    const timestamp = new Date().toISOString();
    const made = { booking_id: request.booking_id, status: "confirmed", timestamp };
    answers.set(
      `GET /api/bookings/${request.booking_id}/ticket`,
      () => new Promise((resolve) => (answer = () => resolve([200, { ...ticket, ...made }]))),
    );
    await reload();
    await answerBooking("confirmed");
    kiosk.leave();
    answer();
    await pass();
    expect(kiosk.ticket.value).toBeNull();
  });
});

describe("where the house is signed out", () => {
  test("the screen is as at the start, and what was merely chosen is gone", async () => {
    await chooses("a");
    await endSession(box);
    expect(kiosk.isStaffed.value).toBe(false);
    expect(screen()).toBe("start");
    expect(kiosk.order.value).toBeNull();
  });

  test("nobody is asked any more whether they are there", async () => {
    await chooses("a");
    await pass(QUIET + 500);
    expect(kiosk.asked.value).not.toBeNull();
    await endSession(box);
    expect(kiosk.asked.value).toBeNull();
  });

  test("a booking under way goes on once the same account is back", async () => {
    const request = await books();
    await endSession(box);
    expect(screen()).toBe("start");
    await signsIn(box);
    expect(screen()).toBe("booking");
    expect(bodyOf()).toEqual(request);
    await answerBooking("confirmed");
    expect(screen()).toBe("done");
  });
});
