import { beforeEach, describe, expect, it, vi } from "vitest";
import { Box } from "../../src/box/box";
import { BookingList } from "../../src/desk/booking-list";
import { type Answer, answers, asked, joins, latest, pass, say, session, surrounded } from "../box/surroundings";
import { booking } from "./fixtures";

vi.mock("../../src/box/mqtt", () => import("../box/surroundings"));
surrounded();

const CALL = "GET /api/bookings?showing_id=s";
const alices = booking({ booking_id: "alices", showing_id: "s" });
const bobs = booking({ booking_id: "bobs", showing_id: "s", status: "cancelled", name: "Bob" });

let box: Box;
let list: BookingList;
beforeEach(async () => {
  answers.set("POST /api/session", () => [200, session("alice", { role: "manager" })]);
  answers.set(CALL, () => [200, [alices]]);
  box = new Box({ page: "desk" });
  await joins(box);
  list = new BookingList(box, "s");
  await pass();
});

const names = () => list.bookings.value?.map(({ name }) => name);
const tells = (status: string, showing_id = "s") =>
  say("booking/confirm/x", { booking_id: "x", status, message: "", timestamp: "2030-01-01T12:00:00Z", showing_id });

describe("the bookings of a showing", () => {
  it("are known at once, and asked for again after a cut", async () => {
    expect(names()).toEqual(["Alice"]);
    answers.set(CALL, () => [200, [alices, bobs]]);
    latest().ended();
    await pass(1_000);
    latest().opened();
    await pass(1_000);
    expect(names()).toEqual(["Alice", "Bob"]);
  });

  it("are asked for again where one of them is made or cancelled, once for what comes together", async () => {
    const before = asked(CALL);
    tells("confirmed");
    await pass(100);
    tells("cancelled");
    await pass(1_000);
    expect(asked(CALL)).toBe(before + 1);
    tells("failed");
    tells("confirmed", "another");
    await pass(1_000);
    expect(asked(CALL)).toBe(before + 1);
  });

  it("say whose a seat is: nobody's whose booking was cancelled", async () => {
    answers.set(CALL, () => [200, [bobs, alices]]);
    await list.ask();
    expect(list.ofSeat("c7")?.name).toBe("Alice");
    list.changed({ ...alices, status: "cancelled" });
    expect(list.ofSeat("c7")).toBeUndefined();
    expect(list.ofSeat("a1")).toBeUndefined();
  });

  it("change where one was changed here", () => {
    list.changed({ ...alices, paid: "card" });
    list.changed({ ...bobs, paid: "cash" }); // not in it
    expect(list.bookings.value?.map(({ paid }) => paid)).toEqual(["card"]);
  });

  it("stay as they were where nobody answers, and say so until somebody does", async () => {
    answers.delete(CALL);
    await expect(list.ask()).rejects.toThrow();
    expect(list.failure.value).toBeInstanceOf(Error);
    expect(names()).toEqual(["Alice"]);
    answers.set(CALL, () => [200, [bobs]]);
    await list.ask();
    expect(list.failure.value).toBeNull();
    expect(names()).toEqual(["Bob"]);
  });

  it("are those of the latest answer that was asked for, whenever it comes", async () => {
    let answer = (_: Answer) => {};
    answers.set(CALL, () => new Promise((resolve) => (answer = resolve)));
    const slow = list.ask();
    await pass();
    answers.set(CALL, () => [200, [alices, bobs]]);
    await list.ask();
    answer([200, []]);
    expect(await slow).toEqual([]);
    expect(names()).toEqual(["Alice", "Bob"]);

    answers.set(CALL, () => new Promise((resolve) => (answer = resolve)));
    const failing = list.ask().catch(() => {});
    await pass();
    answers.set(CALL, () => [200, [alices]]);
    await list.ask();
    answer([503, { code: "unavailable", message: "" }]);
    await failing;
    expect(list.failure.value).toBeNull();
  });

  it("are asked for by nobody who has gone", async () => {
    let answer = (_: Answer) => {};
    answers.set(CALL, () => new Promise((resolve) => (answer = resolve)));
    const last = list.ask();
    tells("confirmed");
    const before = asked(CALL);
    list.dispose();
    answer([200, []]);
    await last;
    tells("confirmed");
    await box.refresh();
    await pass(1_000);
    expect(asked(CALL)).toBe(before);
    expect(names()).toEqual(["Alice"]);
  });
});
