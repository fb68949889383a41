import { describe, expect, test } from "vitest";
import type { Showing } from "../../src/box/wire";
import { dayShown, programmeOf } from "../../src/kiosk/programme";

const ZONE = "Europe/Amsterdam";

function showing(id: string, starts_at: string, more: Partial<Showing> = {}): Showing {
  return {
    showing_id: id,
    title: id,
    starts_at,
    ends_at: new Date(Date.parse(starts_at) + 7_200_000).toISOString(),
    room_id: "r",
    room: "Room",
    price: "9.50",
    prices: {},
    currency: "EUR",
    status: "scheduled",
    seats_total: 60,
    seats_available: 60,
    version: 1,
    ...more,
  };
}

describe("the programme", () => {
  const late = showing("late", "2030-01-31T22:30:00Z"); // 23:30 in Amsterdam
  const night = showing("night", "2030-01-31T23:30:00Z"); // 00:30 the day after
  const now = Date.parse("2030-01-31T20:00:00Z");

  test("goes by the cinema's own days", () => {
    expect(programmeOf([night, late], ZONE, now, 0).map(({ day, showings }) => [day, showings.length])).toEqual([
      ["2030-01-31", 1],
      ["2030-02-01", 1],
    ]);
  });

  test("leaves out what is sold no more", () => {
    const begun = showing("begun", "2030-01-31T19:50:00Z");
    const ids = (closeMinutes: number) =>
      programmeOf([begun, late], ZONE, now, closeMinutes).flatMap(({ showings }) =>
        showings.map(({ showing_id }) => showing_id),
      );
    expect(ids(0)).toEqual(["late"]);
    expect(ids(15)).toEqual(["begun", "late"]);
    expect(programmeOf([showing("off", late.starts_at, { status: "cancelled" })], ZONE, now, 0)).toEqual([]);
  });

  test("shows the chosen day, else the first on which something is on", () => {
    const days = programmeOf([late, night], ZONE, now, 0);
    expect(dayShown(days, "2030-02-01")?.day).toBe("2030-02-01");
    expect(dayShown(days, "2029-01-01")?.day).toBe("2030-01-31");
    expect(dayShown([], null)).toBe(null);
  });
});
