import { describe, expect, it } from "vitest";
import { conflictsOf, type Made, MOST_DAYS, planned, repeatedDays, toBeMade, WEEKDAYS } from "../../src/desk/repeating";
import { AMSTERDAM, showing } from "./fixtures";

const every = new Set(WEEKDAYS);
let drawn = 0;
const newId = () => `id ${++drawn}`;

describe("repeating a showing", () => {
  it("goes on every day up to the last", () => {
    expect(repeatedDays("2030-02-27", "2030-03-02", every)).toEqual([
      "2030-02-27",
      "2030-02-28",
      "2030-03-01",
      "2030-03-02",
    ]);
  });

  it("keeps to the weekdays, and to the first day whatever it is", () => {
    // 1 January 2030 is a Tuesday.
    expect(repeatedDays("2030-01-01", "2030-01-14", new Set([5, 7] as const))).toEqual([
      "2030-01-01",
      "2030-01-04",
      "2030-01-06",
      "2030-01-11",
      "2030-01-13",
    ]);
  });

  it("is once where the last day is before the first or none", () => {
    expect(repeatedDays("2030-01-01", "2029-12-31", every)).toEqual(["2030-01-01"]);
    expect(repeatedDays("2030-01-01", "", every)).toEqual(["2030-01-01"]);
  });

  it("ends somewhere", () => {
    expect(repeatedDays("2030-01-01", "2040-01-01", every)).toHaveLength(MOST_DAYS);
  });

  it("begins at the same time of the clock, also when the clocks were changed", () => {
    const plan = planned(["2030-03-30", "2030-03-31"], { time: "20:00", minutes: 90 }, AMSTERDAM, newId);
    expect(plan.map(({ starts_at }) => starts_at)).toEqual(["2030-03-30T19:00:00.000Z", "2030-03-31T18:00:00.000Z"]);
    expect(plan[1]?.ends_at).toBe("2030-03-31T19:30:00.000Z");
  });

  it("keeps the id of a day, so that what is tried again is made once", () => {
    const first = planned(["2030-01-01", "2030-01-02"], { time: "20:00", minutes: 90 }, AMSTERDAM, newId);
    const again = planned(["2030-01-02", "2030-01-03"], { time: "21:00", minutes: 90 }, AMSTERDAM, newId, first);
    expect(again[0]?.showing_id).toBe(first[1]?.showing_id);
    expect(first.map(({ showing_id }) => showing_id)).not.toContain(again[1]?.showing_id);
  });

  it("leaves out what is made already, and what nobody wants", () => {
    const plan = planned(["2030-01-01", "2030-01-02", "2030-01-03"], { time: "20:00", minutes: 90 }, AMSTERDAM, newId);
    const made = new Map<string, Made>([
      [plan[0]?.showing_id ?? "", "made"],
      [plan[2]?.showing_id ?? "", { failed: new Error() }],
    ]);
    expect(toBeMade(plan, made, new Set(["2030-01-02"]))).toEqual([plan[2]]);
  });
});

describe("a conflict", () => {
  const at = (starts_at: string, ends_at: string) => ({ showing_id: "new", starts_at, ends_at });

  it("is another showing of the room at the same time", () => {
    const during = at("2030-01-01T20:30:00Z", "2030-01-01T22:00:00Z");
    expect(conflictsOf(during, "lumiere", [showing()])).toEqual([showing()]);
    expect(conflictsOf(during, "melies", [showing()])).toEqual([]);
    expect(conflictsOf(during, "lumiere", [showing({ status: "cancelled" })])).toEqual([]);
  });

  it("is not the showing that begins when another ends, nor the showing itself", () => {
    expect(conflictsOf(at("2030-01-01T20:34:00Z", "2030-01-01T22:00:00Z"), "lumiere", [showing()])).toEqual([]);
    expect(conflictsOf(at("2030-01-01T17:00:00Z", "2030-01-01T19:00:00Z"), "lumiere", [showing()])).toEqual([]);
    expect(conflictsOf(showing(), "lumiere", [showing()])).toEqual([]);
  });
});
