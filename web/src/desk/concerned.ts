/** Whom a change of a showing concerns. */

import type { Booking, User } from "../box/wire";
import { seatNames } from "../core/room";

export interface Person {
  booking_id: string;
  number: string;
  name: string | null;
  email: string | null;
  seats: string;
}

export interface Concerned {
  bookings: number;
  seats: number;
  people: readonly Person[];
  /** Each address once. */
  emails: readonly string[];
}

/** Whose a booking is. What a manager booked for somebody at the counter is theirs by name; who it is for has at most
 * left an address. */
export function whoseIs(
  { user_id, name, email }: Pick<Booking, "user_id" | "name" | "email">,
  manager: Pick<User, "user_id" | "email">,
): { name: string | null; email: string | null } {
  if (user_id !== manager.user_id) return { name: name || null, email: email || null };
  return { name: null, email: email === manager.email ? null : email || null };
}

export function concernedBy(bookings: readonly Booking[], manager: Pick<User, "user_id" | "email">): Concerned {
  const confirmed = bookings
    .filter(({ status }) => status === "confirmed")
    .map((booking) => ({ ...booking, ...whoseIs(booking, manager) }));
  const emails = new Map<string, string>();
  for (const { email } of confirmed)
    if (email) emails.set(email.toLowerCase(), emails.get(email.toLowerCase()) ?? email);
  return {
    bookings: confirmed.length,
    seats: confirmed.reduce((sum, { seats }) => sum + seats.length, 0),
    people: confirmed
      .map(({ booking_id, number, name, email, seats }) => ({
        booking_id,
        number: number ?? "",
        name,
        email,
        seats: seatNames(seats),
      }))
      .sort((one, other) => (one.name ?? one.email ?? "").localeCompare(other.name ?? other.email ?? "")),
    emails: [...emails.values()],
  };
}
