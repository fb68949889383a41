/** What happens, as it is told: found out from one present of the showings to the next, and from bookings' outcomes. */

import type { Booking, Confirmation, Showing } from "../box/wire";

/** More than this is not kept. */
export const KEPT = 100;

export type Happening = { at: number; showingId: string; title: string; startsAt: string | null } & (
  | { kind: "booked" | "given back"; bookingId: string; number: string; seats: number; total: string; currency: string }
  | { kind: "new showing" | "cancelled showing" }
  | { kind: "changed showing"; changes: readonly ShowingChange[] }
);

export type ShowingChange = "title" | "time" | "room" | "price";

/** The latest first; what was told already is not told again. */
export function withNews(told: readonly Happening[], news: readonly Happening[]): readonly Happening[] {
  const fresh = news.filter((one) => !told.some((other) => sameThing(one, other)));
  if (fresh.length === 0) return told;
  return [...fresh.reverse(), ...told].sort((one, other) => other.at - one.at).slice(0, KEPT);
}

/** A booking is told again whenever somebody asks for it; nothing else is told twice. */
function sameThing(one: Happening, other: Happening): boolean {
  return "bookingId" in one && "bookingId" in other && one.bookingId === other.bookingId && one.kind === other.kind;
}

/** What a booking's outcome means; null for one that failed: then nothing has changed. */
export function happeningOf(
  confirmation: Confirmation,
  showing: Pick<Showing, "title" | "starts_at"> | undefined,
): Happening | null {
  const { status, booking_id, showing_id, number, total, currency, seat_ids, timestamp } = confirmation;
  if (status === "failed" || showing_id === undefined) return null;
  return {
    kind: status === "confirmed" ? "booked" : "given back",
    at: Date.parse(timestamp),
    showingId: showing_id,
    title: showing?.title ?? "",
    startsAt: showing?.starts_at ?? null,
    bookingId: booking_id,
    number: number ?? "",
    seats: seat_ids.length,
    total: total ?? "0",
    currency: currency ?? "EUR",
  };
}

/** What happened within `milliseconds` of `now`, of the bookings that were made or cancelled last. */
export function happeningsOf(bookings: readonly Booking[], now: number, milliseconds: number): Happening[] {
  return bookings
    .map((booking) => happeningOf(booking, booking.showing))
    .filter((happening) => happening !== null)
    .filter(({ at }) => at > now - milliseconds)
    .reverse();
}

/** What is different between two presents of the showings to come. What is over by now has merely gone. */
export function happeningsBetween(before: readonly Showing[], after: readonly Showing[], now: number): Happening[] {
  const known = new Map(before.map((showing) => [showing.showing_id, showing]));
  const present = new Set(after.map(({ showing_id }) => showing_id));
  const news: Happening[] = [];
  for (const showing of after) {
    const old = known.get(showing.showing_id);
    if (old === undefined) news.push({ kind: "new showing", ...about(showing, now) });
    else {
      const changes = changesBetween(old, showing);
      if (changes.length > 0) news.push({ kind: "changed showing", changes, ...about(showing, now) });
    }
  }
  for (const old of before) {
    if (!present.has(old.showing_id) && Date.parse(old.ends_at) > now) {
      news.push({ kind: "cancelled showing", ...about(old, now) });
    }
  }
  return news;
}

const about = (showing: Showing, now: number) => ({
  at: now,
  showingId: showing.showing_id,
  title: showing.title,
  startsAt: showing.starts_at,
});

function changesBetween(old: Showing, showing: Showing): ShowingChange[] {
  const changes: ShowingChange[] = [];
  if (old.title !== showing.title) changes.push("title");
  if (old.starts_at !== showing.starts_at || old.ends_at !== showing.ends_at) changes.push("time");
  if (old.room_id !== showing.room_id) changes.push("room");
  const prices = ({ price, prices }: Showing) => JSON.stringify([price, Object.entries(prices).sort()]);
  if (prices(old) !== prices(showing)) changes.push("price");
  return changes;
}
