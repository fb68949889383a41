import { expect, test } from "vitest";
import { addressOf, routeOf } from "../../src/visitors/address";

const ID = "57827427-deec-4d1d-bfee-6404ff9f95b1";

test("an address leads back to the view that it was made for", () => {
  expect(routeOf(addressOf.programme)).toEqual({ view: "programme" });
  expect(routeOf(addressOf.showing(ID))).toEqual({ view: "showing", showingId: ID });
  expect(routeOf(addressOf.booking(ID, "k3y"))).toEqual({ view: "booking", bookingId: ID, key: "k3y" });
  expect(routeOf(addressOf.bookings)).toEqual({ view: "bookings" });
  expect(routeOf(addressOf.account)).toEqual({ view: "account" });
});

test.each(["", "#", "#/", "#/nothing", "#/showing/", "#/showing/../x", `#/booking/${ID}`, `#/booking/${ID}/`])(
  "%j means the programme",
  (hash) => {
    expect(routeOf(hash)).toEqual({ view: "programme" });
  },
);
