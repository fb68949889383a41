import { beforeEach, describe, expect, it, vi } from "vitest";
import { Box } from "../../src/box/box";
import type { BookingRequest, Command } from "../../src/box/wire";
import {
  type Answer,
  answers,
  asked,
  calls,
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

describe("what somebody else's command, or nobody's, would be", () => {
  it("is not sent for a guest", async () => {
    box.start();
    await pass();
    latest().opened();
    expect(await box.send(booking)).toEqual({ kind: "refusal", code: "unauthorized" });
    expect(mqtt.published).toEqual([]);
    expect(box.waiting.value).toBe(0);
  });

  it("is sent on where the same user signs in anew, as with another password", async () => {
    await joined();
    void box.send(booking);
    answers.set("PATCH /api/me", () => [200, session("alice").user]);
    answers.set("POST /api/session", () => [200, { ...session("alice"), token: "after the change" }]);
    const changing = box.changePassword("alice", "password", "another one");
    await box.refresh();
    await changing;
    await pass();
    expect(box.session.value?.token).toBe("after the change");
    expect(mqtt.begun.length).toBeGreaterThan(2);
    latest().opened();
    expect(mqtt.published).toEqual(Array(2).fill(`booking/request ${JSON.stringify(body)}`));
  });
});

describe("a command over HTTP", () => {
  const polling = async () => {
    await joined();
    latest().ended();
    await pass();
    expect(box.link.value).toBe("polling");
  };

  it("is told as an outcome to whoever listens, too", async () => {
    await polling();
    const told: string[] = [];
    box.onConfirmation(({ booking_id, status }) => told.push(`${booking_id} ${status}`));
    await box.send(booking);
    expect(told).toEqual(["b confirmed"]);
  });

  it("goes out while the page still begins", async () => {
    await joined();
    box = new Box({ page: "visitors" });
    expect(box.link.value).toBe("connecting");
    expect(await box.send(booking)).toMatchObject({ kind: "confirmation" });
  });

  it("that waited is sent as soon as the box answers that way", async () => {
    await joined();
    const all = new Map(answers);
    answers.clear();
    latest().ended();
    await pass();
    const outcome = box.send(booking);
    expect(box.link.value).toBe("reconnecting");
    for (const [call, answer] of all) answers.set(call, answer);
    latest().ended();
    await pass(1_000);
    latest().ended();
    await pass(1_000);
    expect(await outcome).toMatchObject({ kind: "confirmation" });
  });

  it("is not sent again before the box wants it", async () => {
    await polling();
    answers.set("POST /api/bookings", () => [429, { code: "rate_limited", message: "" }, { "Retry-After": "20" }]);
    void box.send(booking);
    await pass(19_000);
    expect(asked("POST /api/bookings")).toBe(1);
    await pass(2_000);
    expect(asked("POST /api/bookings")).toBe(2);
  });

  it("that fails for good has that as its outcome", async () => {
    await polling();
    answers.set("POST /api/bookings", () => [409, { ...confirmed, status: "failed", code: "seats_unavailable" }]);
    expect(await box.send(booking)).toMatchObject({
      kind: "confirmation",
      confirmation: { status: "failed", code: "seats_unavailable" },
    });
  });

  it("is not taken for refused where somebody in between says no", async () => {
    await polling();
    answers.set("POST /api/bookings", () => [403, { error: "forbidden by a proxy" }]);
    void box.send(booking);
    await pass();
    expect(box.waiting.value).toBe(1);
    answers.set("POST /api/bookings", () => [403, "<p>Forbidden by a proxy"]);
    await pass(3_000);
    expect(box.waiting.value).toBe(1);
    answers.set("POST /api/bookings", () => [200, { portal: "please sign in" }]);
    await pass(3_000);
    expect(box.waiting.value).toBe(1);
    answers.set("POST /api/bookings", () => [200, confirmed]);
    await pass(3_000);
    expect(box.waiting.value).toBe(0);
  });
});

describe("a booking that was asked for", () => {
  it("is awaited until its outcome is known, and nobody else's business meanwhile", async () => {
    await joined();
    void box.send(booking);
    expect(box.isAwaited("b")).toBe(true);
    expect(box.unresolved).toEqual([]);
    say("booking/confirm/b", confirmed);
    await pass();
    expect(box.isAwaited("b")).toBe(false);
    expect(new Box({ page: "visitors" }).unresolved).toEqual([]);
  });

  it("by somebody else in this browser stays theirs when one signs out", async () => {
    await joined();
    void box.send(booking);
    await endSession(box);
    answers.set("POST /api/session", () => [200, session("bob")]);
    await box.signIn("bob", "password");
    await box.signOut();
    answers.set("POST /api/session", () => [200, session("alice")]);
    await box.signIn("alice", "password");
    expect(box.unresolved).toEqual([body]);
  });

  it("by a clock that was far ahead then waits no longer than any other", async () => {
    await joined();
    answers.delete("POST /api/bookings");
    void box.send({ ...booking, body: { ...body, timestamp: new Date(START + 24 * HOUR).toISOString() } });
    expect(new Box({ page: "visitors" }).unresolved).toEqual([]);
  });
});

describe("that the box has ended the session", () => {
  it("is not said by an old token, nor while the password is being changed", async () => {
    await joined();
    let refuse = () => {};
    const refused = new Promise<Answer>((resolve) => {
      refuse = () => resolve([401, { code: "unauthorized", message: "" }]);
    });
    answers.set("GET /api/holds", () => refused);
    const asking = box.http.holds().catch(() => {});
    answers.set("POST /api/session", () => [200, { ...session("alice"), token: "a new one" }]);
    await box.signIn("alice", "password");
    refuse();
    await asking;
    expect(box.session.value?.token).toBe("a new one");

    answers.set("GET /api/holds", () => [401, { code: "unauthorized", message: "" }]);
    const wasSaid: boolean[] = [];
    answers.set("PATCH /api/me", async () => {
      await box.http.holds().catch(() => {});
      wasSaid.push(box.signedOut.value);
      return [200, session("alice").user];
    });
    await box.changePassword("alice", "password", "another one");
    expect(box.session.value).not.toBeNull();
    expect([...wasSaid, box.signedOut.value]).toEqual([false, false]);
  });

  it("is no news any more once somebody has signed in, here or in another tab", async () => {
    await joined();
    await endSession(box);
    expect(box.signedOut.value).toBe(true);
    await box.signIn("alice", "password");
    expect(box.signedOut.value).toBe(false);
    await endSession(box);
    kept.set("lynrie.visitors.session", JSON.stringify({ ...session("bob"), issued_at: Date.now() }));
    happens("storage", { key: "lynrie.visitors.session" });
    expect(box.signedOut.value).toBe(false);
  });
});

describe("a session that another tab", () => {
  it("has renewed is this one's, without a new connection", async () => {
    await joined();
    const connections = mqtt.begun.length;
    const renewed = { ...session("alice"), token: "renewed there", issued_at: Date.now() };
    kept.set("lynrie.visitors.session", JSON.stringify(renewed));
    happens("storage", { key: "lynrie.visitors.session" });
    expect(box.session.value?.token).toBe("renewed there");
    expect(mqtt.begun).toHaveLength(connections);
  });

  it("has ended while this one renewed it is not begun again", async () => {
    await joined();
    answers.set("POST /api/session", async () => {
      await box.signOut();
      return [200, { ...session("alice"), token: "too late" }];
    });
    await pass(7 * HOUR);
    expect(box.session.value).toBeNull();
    expect(kept.has("lynrie.visitors.session")).toBe(false);
  });

  it("has removed with all that the browser kept is over here, too", async () => {
    await joined();
    kept.clear();
    happens("storage", { key: null });
    expect(box.session.value).toBeNull();
  });
});

describe("the connection", () => {
  it("is tried at once when the network is back, and not where it is live", async () => {
    await joined();
    const before = mqtt.begun.length;
    happens("online");
    expect(mqtt.begun).toHaveLength(before);
    latest().ended();
    happens("online");
    await pass();
    expect(mqtt.begun).toHaveLength(before + 1);
  });

  it("that was given up is heard no more", async () => {
    await joined();
    const old = latest();
    old.ended();
    await pass(1_000);
    const begun = mqtt.begun.length;
    expect(latest()).not.toBe(old);
    old.opened();
    expect(box.link.value).toBe("polling");
    latest().opened();
    old.said("showing/update/s", JSON.stringify(showing("Long ago")), false);
    old.ended();
    expect(box.link.value).toBe("live");
    expect(box.showings.value?.map(({ title }) => title)).toEqual(["A film"]);
    expect(mqtt.begun).toHaveLength(begun);
  });

  it("that comes too late is ended", async () => {
    box.start();
    happens("online"); // before the first is there
    await pass();
    expect(mqtt.begun).toHaveLength(2);
    expect(mqtt.done).toEqual(["end 1"]);
  });

  it("brings all that is shown, and the seats that are looked at", async () => {
    await joined();
    box.watch("s");
    const [before, renewed] = [asked("GET /api/showings"), box.renewed.value];
    latest().ended();
    await pass();
    expect(asked("GET /api/showings")).toBe(before + 1); // over HTTP meanwhile
    await pass(1_000);
    latest().opened();
    await pass();
    expect(mqtt.done.at(-1)).toBe("subscribe showing/update/# booking/confirm/+ users/alice/+ seats/status/s");
    expect(asked("GET /api/showings")).toBe(before + 2);
    expect(box.renewed.value).toBe(renewed + 2);
    await pass(10_000); // and HTTP is left alone again
    expect(asked("GET /api/showings")).toBe(before + 2);
  });

  it("that is back while HTTP was still asked leaves HTTP alone", async () => {
    await joined();
    let answer = (_: Answer) => {};
    answers.set("GET /api/showings", () => new Promise<Answer>((resolve) => (answer = resolve)));
    latest().ended();
    await pass(1_000);
    const slow = answer;
    answers.set("GET /api/showings", () => [200, []]);
    latest().opened();
    slow([200, []]);
    await pass();
    const before = asked("GET /api/showings");
    await pass(10_000);
    expect(asked("GET /api/showings")).toBe(before);
  });

  it("is all that is tried where nobody answers", async () => {
    await joined();
    answers.clear();
    const before = asked("GET /api/showings");
    latest().ended();
    await pass(10_000);
    expect(asked("GET /api/showings")).toBe(before + 1);
  });

  it("is to be had only by signing in where a cinema shows nothing to guests", async () => {
    answers.set("GET /api/showings", () => [401, { code: "unauthorized", message: "" }]);
    box.start();
    await pass();
    latest().ended();
    await pass();
    expect(box.link.value).toBe("polling");
  });

  it("is ended where nobody answers what is asked after a minute of silence", async () => {
    await joined();
    answers.delete("GET /api/showings");
    const before = mqtt.begun.length;
    await pass(66_000);
    expect(mqtt.done.at(-1)).toBe(`end ${before}`);
  });

  it("is looked at when the page is seen again, not when it goes out of sight", async () => {
    await joined();
    const before = asked("GET /api/showings");
    Object.assign(document, { visibilityState: "hidden" });
    happens("visibilitychange");
    happens("pageshow", { persisted: false });
    await pass();
    expect(asked("GET /api/showings")).toBe(before);
    happens("pageshow", { persisted: true });
    await pass();
    expect(asked("GET /api/showings")).toBe(before + 1);
  });
});

describe("the seats that are watched", () => {
  const SEATS = "GET /api/showings/s/seats";
  const seat = (seat_id: string, status = "available") => ({
    ...{ seat_id, status, row: "A", number: 1, type: "standard", x: 0, y: 0 },
  });
  const present = (version: number, ...ids: string[]) => {
    for (const id of ids) say("seats/status/s", { showing_id: "s", version, ...seat(id) }, true);
  };
  const change = (seat_id: string, status: string, version: number, showing_id = "s") =>
    say(`seats/status/${showing_id}`, { showing_id, seat_id, status, version });
  const states = () => box.plan.value?.seats.map(({ seat_id, status }) => `${seat_id} ${status}`);

  beforeEach(async () => {
    answers.set(SEATS, () => [200, { showing_id: "s", version: 5, seats: [seat("a", "booked"), seat("b")] }]);
    await joined();
    box.watch("s");
  });

  it("are asked for where they do not come", async () => {
    await pass(2_000);
    expect(box.plan.value).toBeNull();
    await pass(1_000);
    expect(states()).toEqual(["a booked", "b available"]);
  });

  it("are not asked for where they have come, or another showing is watched by then", async () => {
    present(1, "a", "b");
    await pass(3_000);
    expect(states()).toEqual(["a available", "b available"]);
    box.watch("other");
    expect(box.plan.value).toBeNull();
    box.watch(null);
    await pass(3_000);
    expect(calls.filter((call) => call.endsWith("/seats"))).toEqual([]);
    expect(mqtt.done.slice(-3)).toEqual([
      "unsubscribe seats/status/s",
      "subscribe seats/status/other",
      "unsubscribe seats/status/other",
    ]);
  });

  it("are not asked for where somebody looks elsewhere before they came", async () => {
    box.watch("x");
    say("seats/status/x", { showing_id: "x", version: 1, ...seat("z") }, true);
    await pass(5_000);
    expect(calls.filter((call) => call.endsWith("/seats"))).toEqual([]);
  });

  it("are not known by a change of one of them", async () => {
    answers.delete(SEATS);
    change("a", "booked", 2);
    await pass(20);
    expect(box.plan.value).toBeNull();
  });

  it("are watched once, however often that is said", async () => {
    present(1, "a");
    await pass(20);
    box.watch("s");
    expect(box.plan.value).not.toBeNull();
    expect(mqtt.done.at(-1)).toBe("subscribe seats/status/s");
  });

  it("are fetched where a change was missed, until nothing is missing", async () => {
    present(1, "a", "b");
    change("a", "booked", 2);
    await pass(20);
    expect(states()).toEqual(["a booked", "b available"]);
    change("b", "reserved", 7);
    await pass(20);
    expect(asked(SEATS)).toBe(1); // which knows only of the fifth
    answers.set(SEATS, () => [200, { showing_id: "s", version: 7, seats: [seat("a"), seat("b", "reserved")] }]);
    await pass(1_000);
    expect(asked(SEATS)).toBe(2);
    expect(states()).toEqual(["a available", "b reserved"]);
  });

  it("stay as they were of a showing that is gone", async () => {
    present(1, "a", "b");
    answers.set(SEATS, () => [404, { code: "unknown_showing", message: "" }]);
    change("a", "booked", 4);
    await pass(5_000);
    expect(asked(SEATS)).toBe(1);
    expect(states()).toEqual(["a available", "b available"]);
  });

  it("are asked for again where the box could not say", async () => {
    present(1, "a", "b");
    answers.set(SEATS, () => [503, { code: "unavailable", message: "" }]);
    change("a", "booked", 4);
    await pass(5_000);
    answers.set(SEATS, () => [200, { showing_id: "s", version: 5, seats: [seat("a", "booked"), seat("b")] }]);
    change("b", "booked", 5);
    await pass(20);
    expect(states()).toEqual(["a booked", "b available"]);
  });

  it("are those of the room that a showing has moved to", async () => {
    present(1, "a", "b", "c");
    await pass(20);
    say("showing/update/s", showing("A film", { room_id: "smaller" }));
    await pass(20);
    expect(states()).toEqual(["a booked", "b available"]);
    answers.set(SEATS, () => [200, { showing_id: "s", version: 6, seats: [seat("b")] }]);
    present(6, "b");
    await pass(20);
    expect(states()).toEqual(["b available"]);
  });

  it("are no other showing's", async () => {
    present(1, "a");
    say("seats/status/x", { showing_id: "x", version: 1, ...seat("z") }, true);
    change("a", "booked", 2, "x");
    await pass(20);
    expect(states()).toEqual(["a available"]);
  });

  it("are fetched for whoever watches by the time the answer comes", async () => {
    let answer = (_: Answer) => {};
    answers.set(SEATS, () => new Promise<Answer>((resolve) => (answer = resolve)));
    answers.set("GET /api/showings/x/seats", () => [200, { showing_id: "x", version: 1, seats: [seat("z")] }]);
    const refreshed = box.refresh();
    await pass();
    box.watch("x");
    answer([200, { showing_id: "s", version: 5, seats: [seat("a")] }]);
    await pass(1_000);
    await refreshed;
    expect(states()).toEqual(["z available"]);
  });

  it("are drawn where nobody sees the page, too", async () => {
    vi.stubGlobal("requestAnimationFrame", () => {});
    Object.assign(document, { hidden: true });
    present(1, "a");
    await pass(300);
    expect(states()).toEqual(["a available"]);
  });
});

describe("what is told", () => {
  const notice = { showing_id: "s", seat_ids: ["a"], status: "held", message: "", booking_id: "b" };
  const hold: Command = { topic: "seats/hold", body };

  it("of showings is news where it comes live", async () => {
    await joined();
    const told: string[] = [];
    box.onShowing(({ title }) => told.push(title));
    say("showing/update/s", showing("As it was"), true);
    say("showing/update/s", showing("As it is"));
    expect(told).toEqual(["As it is"]);
  });

  it("of a showing before all were asked for again is not newer than what came with them", async () => {
    await joined();
    say("showing/update/s", showing("Told before"));
    answers.set("GET /api/showings", () => [200, [showing("Asked for since")]]);
    await box.refresh();
    expect(box.showings.value?.map(({ title }) => title)).toEqual(["Asked for since"]);
  });

  it("of what is kept answers who asked for it; only the rest is news, and so is the present", async () => {
    await joined();
    const told: string[] = [];
    box.onNotice(({ status }) => told.push(status));
    const timestamp = new Date(START).toISOString();
    const outcome = box.send(hold);
    say("users/alice/holds", { ...notice, timestamp }, true);
    expect(told).toEqual(["held"]);
    expect(box.waiting.value).toBe(1);
    say("users/alice/holds", { ...notice, timestamp });
    expect(await outcome).toMatchObject({ kind: "notice" });
    expect(told).toEqual(["held"]);
    say("users/alice/holds", { ...notice, status: "expired", timestamp });
    expect(told).toEqual(["held", "expired"]);
  });

  it("of the past does not set the clock", async () => {
    await joined();
    say("users/alice/holds", { ...notice, timestamp: "2029-12-31T12:00:00Z" }, true);
    expect(Math.abs(box.now() - Date.now())).toBeLessThan(1_000);
    say("users/alice/holds", { ...notice, timestamp: "2030-01-01T13:00:00Z" });
    expect(box.now() - Date.now()).toBeGreaterThan(HOUR - 1_000);
  });

  it("as a refusal that will pass says why, and is asked over HTTP", async () => {
    await joined();
    const outcome = box.send(booking);
    const error = { topic: "booking/request", code: "storage_unavailable", message: "", booking_id: "b" };
    say("users/alice/errors", error);
    expect(box.hindrance.value).toBe("storage_unavailable");
    await pass(3_000);
    expect(await outcome).toMatchObject({ kind: "confirmation" });
  });
});
