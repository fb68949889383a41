import { expect, it } from "vitest";
import { concernedBy } from "../../src/desk/concerned";
import { booking } from "./fixtures";

const manager = { user_id: "manager", email: "manager@example.org" };

it("A change concerns whoever has a confirmed booking, and each address once", () => {
  const concerned = concernedBy(
    [
      booking({ booking_id: "1" }),
      booking({ booking_id: "2", email: "Alice@example.org" }),
      booking({ booking_id: "3", name: null, email: null, number: "XYZ789" }),
      booking({ booking_id: "4", email: "gone@example.org", status: "cancelled" }),
    ],
    manager,
  );
  expect([concerned.bookings, concerned.seats]).toEqual([3, 6]);
  expect(concerned.emails).toEqual(["alice@example.org"]);
  expect(concerned.people.map(({ seats }) => seats)).toEqual(["C7, C8", "C7, C8", "C7, C8"]);
});

it("What a manager booked at the counter concerns whoever left an address, not the manager", () => {
  const concerned = concernedBy(
    [
      booking({ booking_id: "1", user_id: "manager", name: "Manager", email: "group@example.org" }),
      booking({ booking_id: "2", user_id: "manager", name: "Manager", email: "manager@example.org" }),
    ],
    manager,
  );
  expect(concerned.bookings).toBe(2);
  expect(concerned.people.map(({ name, email }) => [name, email])).toEqual([
    [null, null],
    [null, "group@example.org"],
  ]);
  expect(concerned.emails).toEqual(["group@example.org"]);
});
