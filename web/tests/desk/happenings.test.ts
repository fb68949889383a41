import { describe, expect, it } from "vitest";
import {
  type Happening,
  happeningOf,
  happeningsBetween,
  happeningsOf,
  KEPT,
  withNews,
} from "../../src/desk/happenings";
import { booking, showing } from "./fixtures";

const NOW = Date.parse("2029-12-31T00:00:00Z");
const kinds = (happenings: readonly Happening[]) => happenings.map(({ kind }) => kind);

describe("what happens to showings", () => {
  it("is that they are made, changed and cancelled", () => {
    const other = showing({ showing_id: "other" });
    expect(kinds(happeningsBetween([], [showing()], NOW))).toEqual(["new showing"]);
    expect(kinds(happeningsBetween([showing(), other], [other], NOW))).toEqual(["cancelled showing"]);
    const changed = showing({ starts_at: "2030-01-01T20:00:00Z", room_id: "melies", prices: {} });
    expect(happeningsBetween([showing()], [changed], NOW)).toMatchObject([
      { kind: "changed showing", changes: ["time", "room", "price"] },
    ]);
  });

  it("is not that seats are sold, nor that time passes", () => {
    const longer = showing({ ends_at: "2030-01-01T21:00:00Z" });
    expect(happeningsBetween([showing()], [longer], NOW)).toMatchObject([{ changes: ["time"] }]);
    const [priced, same] = [
      showing({ prices: { a: "1.00", b: "2.00" } }),
      showing({ prices: { b: "2.00", a: "1.00" } }),
    ];
    expect(happeningsBetween([priced], [same], NOW)).toEqual([]);
    expect(happeningsBetween([showing()], [showing({ seats_available: 3, version: 9 })], NOW)).toEqual([]);
    expect(happeningsBetween([showing()], [], Date.parse(showing().ends_at))).toEqual([]);
  });
});

describe("what happens to bookings", () => {
  it("is that they are confirmed and cancelled, not that they failed", () => {
    expect(happeningOf(booking(), showing())).toMatchObject({ kind: "booked", seats: 2, title: "Nosferatu" });
    expect(happeningOf(booking({ status: "cancelled" }), undefined)).toMatchObject({ kind: "given back", title: "" });
    expect(happeningOf(booking({ status: "failed" }), showing())).toBeNull();
  });
});

describe("what happened before anybody looked", () => {
  it("is of the last hours, and stands below what came after it", () => {
    const at = (timestamp: string, fields = {}) => booking({ booking_id: timestamp, timestamp, ...fields });
    const bookings = [
      at("2029-12-30T23:50:00Z", { status: "cancelled" }),
      at("2029-12-30T23:40:00Z"),
      at("2029-12-30T11:59:00Z"),
    ];
    const before = happeningsOf(bookings, NOW, 12 * 60 * 60 * 1000);
    expect(before.map(({ at }) => new Date(at).getUTCMinutes())).toEqual([40, 50]);
    const live = happeningsBetween([], [showing()], NOW);
    expect(kinds(withNews(withNews([], live), before))).toEqual(["new showing", "given back", "booked"]);
  });
});

describe("the list of what happened", () => {
  const booked = happeningOf(booking(), showing()) as Happening;

  it("begins with the latest, and says nothing twice", () => {
    const givenBack = happeningOf(booking({ status: "cancelled" }), showing()) as Happening;
    expect(kinds(withNews(withNews([booked], [booked]), [givenBack]))).toEqual(["given back", "booked"]);
  });

  it("has the last first also of what comes together", () => {
    const later = { ...booked, bookingId: "later" } as Happening;
    expect(withNews([], [booked, later])).toEqual([later, booked]);
  });

  it("does not grow for ever", () => {
    const many = Array.from({ length: KEPT + 5 }, (_, at) => ({ ...booked, bookingId: `${at}` }) as Happening);
    expect(withNews([], many)).toHaveLength(KEPT);
  });
});
