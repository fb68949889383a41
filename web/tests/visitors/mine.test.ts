import { beforeEach, describe, expect, it, vi } from "vitest";
import { Box } from "../../src/box/box";
import { MyBookings } from "../../src/visitors/mine";
import {
  type Answer,
  answers,
  asked,
  endSession,
  joins,
  latest,
  pass,
  say,
  session,
  showing,
  signsIn,
  surrounded,
} from "../box/surroundings";
import { booking } from "../desk/fixtures";

vi.mock("../../src/box/mqtt", () => import("../box/surroundings"));
surrounded();

const CALL = "GET /api/bookings?";
const mineAre = (...numbers: string[]) =>
  numbers.map((number) => booking({ number, showing: { ...booking().showing, showing_id: "s" } }));

let box: Box;
let mine: MyBookings;
beforeEach(async () => {
  answers.set(CALL, () => [200, mineAre("ONE234")]);
  box = new Box({ page: "visitors" });
  mine = new MyBookings(box);
  await joins(box);
  await pass(1_000);
});
const numbers = () => mine.list.value?.map(({ number }) => number) ?? null;

describe("my bookings", () => {
  it("are one's own, also a manager's, who is told everybody's", async () => {
    answers.set(CALL, () => [200, [...mineAre("ONE234"), booking({ user_id: "bob" })]]);
    await box.refresh();
    await pass(1_000);
    expect(numbers()).toEqual(["ONE234"]);
  });

  it("are asked for again after a cut", async () => {
    answers.set(CALL, () => [200, mineAre("ONE234", "TWO234")]);
    latest().ended();
    await pass(1_000);
    latest().opened();
    await pass(1_000);
    expect(numbers()).toEqual(["ONE234", "TWO234"]);
  });

  it("are asked for again where one of them, or its showing, changes; once for what comes together", async () => {
    const before = asked(CALL);
    const told = { booking_id: "b", status: "cancelled", message: "", timestamp: "2030-01-01T12:00:00Z" };
    say("booking/confirm/b", told);
    await pass(100);
    say("showing/update/s", showing("A film, moved"));
    await pass(1_000);
    expect(asked(CALL)).toBe(before + 1);
    say("showing/update/s", showing("A film, moved again"));
    await pass(1_000);
    expect(asked(CALL)).toBe(before + 2);
    say("showing/update/other", showing("Another film", { showing_id: "other" }));
    await pass(1_000);
    expect(asked(CALL)).toBe(before + 2);
    say("booking/confirm/b", told);
    await pass(1_000);
    expect(asked(CALL)).toBe(before + 3);
  });

  it("stay as they were where nobody answers, and say so until somebody does", async () => {
    answers.delete(CALL);
    await box.refresh();
    await pass(1_000);
    expect(mine.isFailing.value).toBe(true);
    expect(numbers()).toEqual(["ONE234"]);
    answers.set(CALL, () => [200, mineAre("ONE234")]);
    await box.refresh();
    await pass(1_000);
    expect(mine.isFailing.value).toBe(false);
  });

  it("are nobody's once one is signed out, nor is that they could not be had", async () => {
    answers.delete(CALL);
    await box.refresh();
    await pass(1_000);
    const before = asked(CALL);
    await endSession(box);
    expect(numbers()).toBeNull();
    expect(mine.isFailing.value).toBe(false);
    await pass(1_000);
    expect(asked(CALL)).toBe(before);
  });

  it("are those of the latest answer that was asked for, and of who is signed in by then", async () => {
    let answer = (_: Answer) => {};
    const slowly = () => new Promise<Answer>((resolve) => (answer = resolve));
    for (const [slow, expected] of [
      [[200, mineAre("OLD234")], ["NEW234"]],
      [[503, { code: "unavailable", message: "" }], ["NEW234"]],
    ] as [Answer, string[]][]) {
      answers.set(CALL, slowly);
      await box.refresh();
      await pass(1_000);
      const first = answer;
      answers.set(CALL, () => [200, mineAre("NEW234")]);
      await box.refresh();
      await pass(1_000);
      first(slow);
      await pass();
      expect(numbers()).toEqual(expected);
      expect(mine.isFailing.value).toBe(false);
    }

    answers.set(CALL, slowly);
    await box.refresh();
    await pass(1_000);
    answers.set("POST /api/session", () => [200, session("bob")]);
    await signsIn(box);
    answer([200, mineAre("OLD234")]);
    await pass();
    expect(numbers()).toBeNull();
  });
});
