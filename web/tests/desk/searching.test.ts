import { describe, expect, it } from "vitest";
import { narrowedTo, questionsFor, together } from "../../src/desk/searching";
import { booking } from "./fixtures";

const from = { from: "2030-01-01" };

describe("what is typed to find a booking", () => {
  it("is a number however it is written, and then of any day; a name may look the same", () => {
    expect(questionsFor("abc-2 34", from)).toEqual([{ number: "ABC234" }, { from: "2030-01-01", name: "abc-2 34" }]);
    expect(questionsFor("Meyers", {})).toEqual([{ number: "MEYERS" }, { name: "Meyers" }]);
  });

  it("is a seat", () => {
    expect(questionsFor(" c 7 ", from)).toEqual([
      { from: "2030-01-01", seat: "C7" },
      { from: "2030-01-01", name: "c 7" },
    ]);
  });

  it("is a name or a part of one", () => {
    expect(questionsFor("de Vries", { showingId: "s", to: "2030-01-31" })).toEqual([
      { showing_id: "s", to: "2030-01-31", name: "de Vries" },
    ]);
  });

  it("may be nothing, where a showing or a day says enough", () => {
    expect(questionsFor("", { showingId: "s" })).toEqual([{ showing_id: "s" }]);
    expect(questionsFor("", {})).toEqual([]);
    expect(questionsFor("a", {})).toEqual([]);
    expect(questionsFor("Jo", {})).toEqual([{ name: "Jo" }]);
    expect(questionsFor("1234", {})).toEqual([]);
  });
});

describe("what is found", () => {
  const at = (booking_id: string, day: string) =>
    booking({
      booking_id,
      showing: { ...booking().showing, starts_at: `${day}T19:00:00Z`, ends_at: `${day}T21:00:00Z` },
    });

  it("comes once, first what is to come by its start, then what is over by how lately it was", () => {
    const [old, older, soon, late] = [
      at("old", "2029-12-02"),
      at("older", "2029-12-01"),
      at("soon", "2030-01-01"),
      at("late", "2030-01-02"),
    ];
    const found = together([[late, older], [soon, late], [old]], Date.parse("2029-12-31T00:00:00Z"));
    expect(found.map(({ booking_id }) => booking_id)).toEqual(["soon", "late", "old", "older"]);
    const ends = Date.parse("2030-01-01T21:00:00Z");
    expect(together([[soon, late]], ends)[0]).toBe(late);
    expect(together([[soon, late]], ends - 1)[0]).toBe(soon);
  });

  it("goes by its number where it is for the same time", () => {
    const [first, second] = [{ ...at("one", "2030-01-01"), number: "AAA222" }, at("two", "2030-01-01")];
    expect(together([[second], [first]], 0).map(({ number }) => number)).toEqual(["AAA222", "ABC234"]);
  });
});

describe("the bookings at hand", () => {
  const other = booking({ booking_id: "other", number: "XYZ789", name: "Bob", email: null, seats: [] });

  it("are narrowed to those in which all is found", () => {
    const both = [booking(), other];
    expect(narrowedTo(both, " ")).toEqual(both);
    for (const text of ["abc2", "alice example", "c8", "ALICE c7"])
      expect(narrowedTo(both, text), text).toEqual([booking()]);
    expect(narrowedTo(both, "alice bob")).toEqual([]);
    expect(narrowedTo(both, "c")).toEqual([booking()]);
  });
});
