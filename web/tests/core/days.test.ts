import { describe, expect, it } from "vitest";
import {
  byDay,
  clockTime,
  dayAfter,
  dayInWords,
  dayOf,
  momentOf,
  nearness,
  remaining,
  timeOf,
} from "../../src/core/days";

const AMSTERDAM = "Europe/Amsterdam";
const at = (iso: string) => Date.parse(iso);

describe("moments, by the cinema's clock", () => {
  it("belong to the cinema's day, not to the reader's or to UTC's", () => {
    expect(dayOf(at("2030-01-01T23:30:00Z"), AMSTERDAM)).toBe("2030-01-02");
    expect(dayOf(at("2030-01-01T23:30:00Z"), "America/New_York")).toBe("2030-01-01");
  });

  it("are written as people of the language write them", () => {
    expect(clockTime(at("2030-01-01T19:05:00Z"), "en", AMSTERDAM)).toBe("20:05");
    expect(clockTime(at("2029-12-31T23:05:00Z"), "nl", AMSTERDAM)).toBe("00:05");
    expect(dayInWords("2030-01-31", "en")).toBe("Thursday 31 January");
    expect(dayInWords("2030-01-31", "nl")).toBe("donderdag 31 januari");
  });

  it("are found from what a clock shows, on both sides of daylight saving", () => {
    for (const [day, time, moment] of [
      ["2030-01-15", "20:00", "2030-01-15T19:00:00Z"],
      ["2030-07-15", "20:00", "2030-07-15T18:00:00Z"],
      ["2030-03-30", "23:30", "2030-03-30T22:30:00Z"],
      ["2030-03-31", "20:00", "2030-03-31T18:00:00Z"],
      ["2030-10-27", "20:00", "2030-10-27T19:00:00Z"],
      ["2030-10-26", "23:30", "2030-10-26T21:30:00Z"],
    ] as const) {
      expect(momentOf(day, time, AMSTERDAM), `${day} ${time}`).toBe(at(moment));
      expect(timeOf(at(moment), AMSTERDAM)).toBe(time);
    }
  });

  it("are decided where a clock shows a time twice, or never", () => {
    expect(momentOf("2030-10-27", "02:30", AMSTERDAM)).toBe(at("2030-10-27T01:30:00Z"));
    expect(momentOf("2030-03-31", "02:30", AMSTERDAM)).toBe(at("2030-03-31T01:30:00Z"));
  });

  it("follow day by day, whatever the clocks do", () => {
    expect(dayAfter("2030-03-30")).toBe("2030-03-31");
    expect(dayAfter("2030-03-31")).toBe("2030-04-01");
    expect(dayAfter("2030-01-01", -1)).toBe("2029-12-31");
  });

  it("are gathered by day, each in its order", () => {
    const showing = (starts_at: string) => ({ starts_at });
    const [late, early, next] = ["2030-01-01T20:00:00Z", "2030-01-01T18:00:00Z", "2030-01-01T23:15:00Z"].map(showing);
    expect(byDay([late, next, early] as { starts_at: string }[], AMSTERDAM)).toEqual([
      ["2030-01-01", [early, late]],
      ["2030-01-02", [next]],
    ]);
  });
});

describe("a countdown", () => {
  it("shows the seconds that have begun, and never less than nothing", () => {
    expect(remaining(300_000)).toBe("5:00");
    expect(remaining(59_001)).toBe("1:00");
    expect(remaining(1)).toBe("0:01");
    expect(remaining(-5_000)).toBe("0:00");
  });
});

describe("days", () => {
  it("are near to a moment by the cinema's clock", () => {
    const lateEvening = at("2030-01-31T23:15:00Z"); // already 1 February there
    expect(nearness("2030-02-01", AMSTERDAM, lateEvening)).toBe("today");
    expect(nearness("2030-02-02", AMSTERDAM, lateEvening)).toBe("tomorrow");
    expect(nearness("2030-02-03", AMSTERDAM, lateEvening)).toBe("later");
  });
});
