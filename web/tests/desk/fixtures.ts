import type { Booking, ListedUser, Showing } from "../../src/box/wire";

export const AMSTERDAM = "Europe/Amsterdam";

export function showing(fields: Partial<Showing> = {}): Showing {
  return {
    showing_id: "00000000-0000-4000-8000-000000000001",
    title: "Nosferatu",
    starts_at: "2030-01-01T19:00:00Z",
    ends_at: "2030-01-01T20:34:00Z",
    room_id: "lumiere",
    room: "Lumière",
    price: "9.50",
    prices: { premium: "12.00" },
    currency: "EUR",
    status: "scheduled",
    seats_total: 60,
    seats_available: 50,
    version: 1,
    ...fields,
  };
}

export function booking(fields: Partial<Booking> = {}): Booking {
  return {
    booking_id: "00000000-0000-4000-8000-0000000000b1",
    status: "confirmed",
    message: "",
    timestamp: "2029-12-01T10:00:00Z",
    number: "ABC234",
    total: "19.00",
    currency: "EUR",
    showing_id: "00000000-0000-4000-8000-000000000001",
    seat_ids: ["c7", "c8"],
    user_id: "alice",
    name: "Alice",
    email: "alice@example.org",
    paid: null,
    showing: {
      showing_id: "00000000-0000-4000-8000-000000000001",
      title: "Nosferatu",
      starts_at: "2030-01-01T19:00:00Z",
      ends_at: "2030-01-01T20:34:00Z",
      room: "Lumière",
      status: "scheduled",
    },
    seats: [
      { seat_id: "c7", row: "C", number: 7, type: "standard", price: "9.50" },
      { seat_id: "c8", row: "C", number: 8, type: "standard", price: "9.50" },
    ],
    ...fields,
  };
}

export function user(fields: Partial<ListedUser> = {}): ListedUser {
  return {
    user_id: "alice",
    username: "alice",
    role: "customer",
    name: "Alice de Vries",
    email: "alice@example.org",
    is_active: true,
    created_at: "2029-01-01T10:00:00Z",
    ...fields,
  };
}
