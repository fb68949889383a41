/** One box to search in: a booking's number, a seat and a name are told apart by how they look, and where they cannot
 * be, all are looked for. */

import type { BookingFilter } from "../box/http";
import type { Booking } from "../box/wire";

const NUMBER = /^[2-9A-HJKMNP-Z]{6}$/;
const SEAT = /^[A-Z]{1,2}\d{1,3}$/;
const NAME_AT_LEAST = 2;

export interface Narrowing {
  showingId?: string | null;
  /** Days, such as `2030-01-31`, both included. */
  from?: string;
  to?: string;
}

/** What to ask the box for: several questions, whose answers belong together. A number is somebody's whatever the day. */
export function questionsFor(text: string, narrowing: Narrowing): readonly BookingFilter[] {
  const words = text.trim();
  const joined = words.replace(/[\s-]/g, "").toUpperCase();
  const within: BookingFilter = {
    ...(narrowing.showingId ? { showing_id: narrowing.showingId } : {}),
    ...(narrowing.from ? { from: narrowing.from } : {}),
    ...(narrowing.to ? { to: narrowing.to } : {}),
  };
  if (words === "") return narrowing.showingId || narrowing.from || narrowing.to ? [within] : [];
  const questions: BookingFilter[] = [];
  if (NUMBER.test(joined)) questions.push({ number: joined });
  if (SEAT.test(joined)) questions.push({ ...within, seat: joined });
  if (words.length >= NAME_AT_LEAST && !/^\d+$/.test(words)) questions.push({ ...within, name: words });
  return questions;
}

/** All that was found, once each: what is to come by its start, then what is over, the latest first. */
export function together(answers: readonly (readonly Booking[])[], now: number): readonly Booking[] {
  const all = [...new Map(answers.flat().map((booking) => [booking.booking_id, booking])).values()];
  const isOver = (booking: Booking) => Date.parse(booking.showing.ends_at) <= now;
  const start = (booking: Booking) => Date.parse(booking.showing.starts_at);
  return all.sort(
    (one, other) =>
      Number(isOver(one)) - Number(isOver(other)) ||
      (isOver(one) ? start(other) - start(one) : start(one) - start(other)) ||
      (one.number ?? "").localeCompare(other.number ?? ""),
  );
}

/** Of the bookings at hand those in which all that was typed is found: number, name, e-mail, or a seat. */
export function narrowedTo(bookings: readonly Booking[], text: string): readonly Booking[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const isIn = (booking: Booking, word: string) =>
    [booking.number, booking.name, booking.email].some((said) => said?.toLowerCase().includes(word)) ||
    booking.seats.some(({ row, number }) => `${row}${number}`.toLowerCase() === word);
  return words.length === 0 ? bookings : bookings.filter((booking) => words.every((word) => isIn(booking, word)));
}
