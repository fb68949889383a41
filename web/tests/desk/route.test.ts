import { describe, expect, it } from "vitest";
import { addressOf, isDay, type Route, routeOf } from "../../src/desk/route";

const ID = "6f1c2a52-0d0b-4f0e-9d8e-3f5b6a7c8d9e";

describe("an address", () => {
  it("leads to the view that it was made for", () => {
    const routes: Route[] = [
      { view: "today", day: null },
      { view: "today", day: "2030-01-31" },
      { view: "showing", showingId: ID, bookingId: null },
      { view: "showing", showingId: ID, bookingId: ID },
      { view: "change", showingId: ID },
      { view: "new", repeats: null },
      { view: "new", repeats: ID },
      { view: "find", text: "" },
      { view: "find", text: "de Vries / C7 100%" },
      { view: "users" },
      { view: "account" },
    ];
    for (const route of routes) expect(routeOf(addressOf(route))).toEqual(route);
  });

  it("that says nothing shows today", () => {
    for (const hash of ["", "#", "#/", "#/elsewhere", "#/showing/7", "#/day/2030-02-31", "#/%E0%A4%A"]) {
      expect(routeOf(hash), hash).toEqual({ view: "today", day: null });
    }
  });
});

describe("a day", () => {
  it("is one of the calendar", () => {
    expect(isDay("2028-02-29")).toBe(true);
    for (const text of ["2030-02-29", "2030-1-1", "", "tomorrow"]) expect(isDay(text), text).toBe(false);
  });
});
