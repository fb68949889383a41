import { beforeEach, describe, expect, it, vi } from "vitest";
import { Box } from "../../src/box/box";
import type { BookingRequest, Command } from "../../src/box/wire";
import {
  type Answer,
  answers,
  asked,
  endSession,
  HOUR,
  happens,
  joins,
  kept,
  latest,
  mqtt,
  pass,
  START,
  say,
  session,
  showing,
  surrounded,
} from "./surroundings";

const body: BookingRequest = {
  showing_id: "s",
  seat_ids: ["a"],
  booking_id: "b",
  timestamp: new Date(START).toISOString(),
};
const booking: Command = { topic: "booking/request", body };
const confirmed = { booking_id: "b", status: "confirmed", message: "", timestamp: "2030-01-01T12:00:01.000Z" };

vi.mock("../../src/box/mqtt", () => import("./surroundings"));
surrounded();

let box: Box;
beforeEach(() => {
  answers.set("POST /api/bookings", () => [200, confirmed]);
  box = new Box({ page: "visitors" });
});

const joined = () => joins(box);

describe("a command", () => {
  it("goes out once, and its outcome ends it", async () => {
    await joined();
    const outcome = box.send(booking);
    expect(mqtt.published).toEqual([`booking/request ${JSON.stringify(body)}`]);
    expect(box.waiting.value).toBe(1);
    say("booking/confirm/b", confirmed);
    expect(await outcome).toMatchObject({ kind: "confirmation" });
    expect(box.waiting.value).toBe(0);
  });

  it("waits while nobody answers, and goes out as it was once the box is back", async () => {
    await joined();
    answers.clear();
    latest().ended();
    await pass();
    expect(box.link.value).toBe("reconnecting");
    void box.send(booking);
    await pass(100);
    expect(mqtt.published).toEqual([]);
    await pass(1_000);
    latest().opened();
    expect(mqtt.published).toEqual([`booking/request ${JSON.stringify(body)}`]);
  });

  it("is sent again after a cut, in the same words", async () => {
    await joined();
    void box.send(booking);
    answers.clear();
    latest().ended();
    await pass(1_000);
    latest().opened();
    expect(mqtt.published).toEqual(Array(2).fill(`booking/request ${JSON.stringify(body)}`));
  });

  it("goes over HTTP where no WebSocket is to be had", async () => {
    await joined();
    latest().ended();
    await pass();
    expect(box.link.value).toBe("polling");
    expect(await box.send(booking)).toMatchObject({ kind: "confirmation" });
    expect(mqtt.published).toEqual([]);
  });

  it("that is on its way over HTTP is not sent by MQTT as well", async () => {
    await joined();
    latest().ended();
    await pass();
    let answer = (_: Answer) => {};
    answers.set("POST /api/bookings", () => new Promise<Answer>((resolve) => (answer = resolve)));
    const outcome = box.send(booking);
    await pass(1_000);
    latest().opened();
    expect(mqtt.published).toEqual([]);
    answer([200, confirmed]);
    expect(await outcome).toMatchObject({ kind: "confirmation" });
  });

  it("is asked for over HTTP where MQTT does not answer", async () => {
    await joined();
    const outcome = box.send(booking);
    await pass(7_000);
    expect(asked("POST /api/bookings")).toBe(0);
    await pass(2_000);
    expect(await outcome).toMatchObject({ kind: "confirmation" });
  });

  it("waits out what will pass, and says why", async () => {
    await joined();
    latest().ended();
    await pass();
    answers.set("POST /api/bookings", () => [503, { code: "storage_unavailable", message: "" }]);
    void box.send(booking);
    await pass();
    expect(box.hindrance.value).toBe("storage_unavailable");
    answers.set("POST /api/bookings", () => [200, confirmed]);
    await pass(3_000);
    expect(box.waiting.value).toBe(0);
    expect(box.hindrance.value).toBeNull();
  });

  it("does not wait for what lasts longer than anybody does", async () => {
    await joined();
    latest().ended();
    await pass();
    answers.set("POST /api/bookings", () => [429, { code: "rate_limited", message: "" }, { "Retry-After": "3600" }]);
    expect(await box.send(booking)).toEqual({ kind: "refusal", code: "rate_limited" });
  });

  it("is nobody else's: who signs in next does not send it", async () => {
    await joined();
    void box.send(booking);
    answers.set("POST /api/session", () => [200, session("bob")]);
    await box.signIn("bob", "password");
    await pass();
    latest().opened();
    expect(mqtt.published).toHaveLength(1);
  });
});

describe("a booking whose outcome nobody has seen", () => {
  it("is taken up by the next page, for ten minutes", async () => {
    await joined();
    answers.delete("POST /api/bookings");
    void box.send(booking);
    expect(new Box({ page: "visitors" }).unresolved).toEqual([body]);
    await pass(600_000);
    expect(new Box({ page: "visitors" }).unresolved).toEqual([]);
  });

  it("goes with whoever signs out, and is not somebody else's", async () => {
    await joined();
    void box.send(booking);
    await box.signOut();
    answers.set("POST /api/session", () => [200, session("bob")]);
    await box.signIn("bob", "password");
    expect(box.unresolved).toEqual([]);
    answers.set("POST /api/session", () => [200, session("alice")]);
    await box.signIn("alice", "password");
    expect(box.unresolved).toEqual([]);
  });
});

describe("what somebody had under way when their session ended", () => {
  it("waits for them, and for nobody else", async () => {
    await joined();
    void box.send(booking);
    await endSession(box);
    answers.set("POST /api/session", () => [200, session("bob")]);
    await box.signIn("bob", "password");
    expect(box.unresolved).toEqual([]);
    answers.set("POST /api/session", () => [200, session("alice")]);
    await box.signIn("alice", "password");
    expect(box.unresolved).toEqual([body]);
  });
});

describe("a session", () => {
  it("that the box has ended is over, and the page goes on as a guest's", async () => {
    await joined();
    await endSession(box);
    await pass();
    expect(box.session.value).toBeNull();
    expect(box.signedOut.value).toBe(true);
    expect(mqtt.as.at(-1)).toBeNull();
    expect(kept.has("lynrie.visitors.session")).toBe(false);
  });

  it("is that of all tabs: who signs in or out in one does so in this one", async () => {
    await joined();
    const other = JSON.stringify({ ...session("bob"), issued_at: Date.now() });
    kept.set("lynrie.visitors.session", other);
    happens("storage", { key: "lynrie.visitors.session" });
    await pass();
    expect(box.session.value?.user.user_id).toBe("bob");
    expect(mqtt.as.at(-1)).toBe("bob");
    kept.delete("lynrie.visitors.session");
    happens("storage", { key: "lynrie.visitors.session" });
    expect(box.session.value).toBeNull();
    expect(box.signedOut.value).toBe(false);
  });

  it("that ended here does not take another tab's along", async () => {
    await joined();
    kept.set("lynrie.visitors.session", JSON.stringify({ ...session("bob"), issued_at: Date.now() }));
    await endSession(box);
    expect(JSON.parse(kept.get("lynrie.visitors.session") ?? "{}").user.user_id).toBe("bob");
    expect(box.session.value?.user.user_id).toBe("bob");
  });

  it("is renewed in the second half of its life", async () => {
    await joined();
    await pass(5 * HOUR);
    expect(asked("POST /api/session")).toBe(1);
    answers.set("POST /api/session", () => [200, { ...session("alice"), token: "a new one" }]);
    await pass(2 * HOUR);
    expect(box.session.value?.token).toBe("a new one");
    expect(kept.get("lynrie.visitors.session")).toContain("a new one");
  });
});

describe("the present", () => {
  it("is not undone by a list that was asked for before", async () => {
    await joined();
    let answer = (_: Answer) => {};
    answers.set("GET /api/showings", () => new Promise<Answer>((resolve) => (answer = resolve)));
    const refreshed = box.refresh();
    await pass();
    say("showing/update/s", showing("A film", { status: "cancelled" }));
    answer([200, [showing("A film")]]);
    await refreshed;
    expect(box.showings.value).toEqual([]);

    const again = box.refresh();
    await pass();
    say("showing/update/s", showing("Another title"));
    answer([200, [showing("A film")]]);
    await again;
    expect(box.showings.value?.map(({ title }) => title)).toEqual(["Another title"]);
  });

  it("is not known while a part of it is", async () => {
    answers.delete("GET /api/showings");
    box.start();
    await pass();
    latest().opened();
    say("showing/update/s", showing("A film"), true);
    expect(box.showings.value).toBeNull();
    answers.set("GET /api/showings", () => [200, [showing("A film")]]);
    await pass(6_000);
    expect(box.showings.value).toHaveLength(1);
  });

  it("is asked for after a minute of silence, and when the page is seen again", async () => {
    await joined();
    const before = asked("GET /api/showings");
    await pass(55_000);
    expect(asked("GET /api/showings")).toBe(before);
    await pass(11_000);
    expect(asked("GET /api/showings")).toBe(before + 1);
    happens("visibilitychange", {});
    await pass();
    expect(asked("GET /api/showings")).toBe(before + 2);
  });

  it("loses what is over, without being told", async () => {
    await joined();
    expect(box.showings.value).toHaveLength(1);
    answers.delete("GET /api/showings");
    await pass(9 * HOUR);
    expect(box.showings.value).toEqual([]);
  });
});

describe("the box's clock", () => {
  it("is the box's own, however wrong the browser's is", async () => {
    answers.set("GET /api/showings", () => [200, [], { Date: "Tue, 01 Jan 2030 07:00:00 GMT" }]);
    await joined();
    expect(Math.abs(box.now() - Date.parse("2030-01-01T07:00:00Z"))).toBeLessThan(1_500);
  });

  it("does not jump where somebody sets the browser's", async () => {
    await joined();
    const before = box.now();
    vi.setSystemTime(START + 5 * HOUR);
    expect(box.now() - before).toBeLessThan(1_000);
  });
});
