import { expect, it } from "vitest";
import { concernedBy } from "../../src/desk/concerned";
import { booking } from "./fixtures";

it("A change concerns whoever has a confirmed booking, and each address once", () => {
  const concerned = concernedBy([
    booking({ booking_id: "1" }),
    booking({ booking_id: "2", email: "Alice@example.org" }),
    booking({ booking_id: "3", name: null, email: null, number: "XYZ789" }),
    booking({ booking_id: "4", email: "gone@example.org", status: "cancelled" }),
  ]);
  expect([concerned.bookings, concerned.seats]).toEqual([3, 6]);
  expect(concerned.emails).toEqual(["alice@example.org"]);
  expect(concerned.people.map(({ seats }) => seats)).toEqual(["C7, C8", "C7, C8", "C7, C8"]);
});
