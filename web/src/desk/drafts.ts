/** A showing as it is being written down, before the box knows it: what was typed, what is wrong with it, what it says. */

import type { Room, Showing, ShowingRequest } from "../box/wire";
import { dayOf, momentOf, timeOf } from "../core/days";
import { cents } from "../core/money";
import { centsTyped, decimal, typed } from "./amounts";
import { isDay } from "./route";

/** All as typed. `prices` is by seat type; an empty one means that the type costs `price`. */
export interface Draft {
  title: string;
  day: string;
  time: string;
  minutes: string;
  roomId: string;
  price: string;
  prices: Readonly<Record<string, string>>;
}

export type DraftField = Exclude<keyof Draft, "prices"> | `prices.${string}`;

/** What a field needs; which sentence says so is decided where it is shown. */
export type Problem = "missing" | "day" | "time" | "minutes" | "amount";

export type Problems = ReadonlyMap<DraftField, Problem>;

/** What a draft without problems says, but for its day. */
export interface Details {
  title: string;
  time: string;
  minutes: number;
  room_id: string;
  price: string;
  prices: Record<string, string>;
}

export const LONGEST_TITLE = 200;
const LONGEST_MINUTES = 1440;

export function emptyDraft(day: string): Draft {
  return { title: "", day, time: "20:00", minutes: "120", roomId: "", price: "", prices: {} };
}

export function draftOf(showing: Showing, timezone: string, language: string): Draft {
  const [starts, ends] = [Date.parse(showing.starts_at), Date.parse(showing.ends_at)];
  return {
    title: showing.title,
    day: dayOf(starts, timezone),
    time: timeOf(starts, timezone),
    minutes: String(Math.round((ends - starts) / 60_000)),
    roomId: showing.room_id,
    price: typed(showing.price, language),
    prices: Object.fromEntries(Object.entries(showing.prices).map(([type, price]) => [type, typed(price, language)])),
  };
}

/** What is wrong with a draft, by field, in the order of the form. Prices of seats that the room has not got are not
 * looked at: they are not seen either. */
export function problemsOf(draft: Draft, room?: Room): Problems {
  const problems = new Map<DraftField, Problem>();
  if (draft.title.trim() === "") problems.set("title", "missing");
  if (!isDay(draft.day)) problems.set("day", "day");
  if (timeTyped(draft.time) === null) problems.set("time", "time");
  const minutes = Number(draft.minutes.trim() || "x");
  if (!Number.isInteger(minutes) || minutes < 1 || minutes > LONGEST_MINUTES) problems.set("minutes", "minutes");
  if (draft.roomId === "") problems.set("roomId", "missing");
  if (centsTyped(draft.price) === null) problems.set("price", "amount");
  for (const [type, price] of Object.entries(draft.prices)) {
    const isSeen = room === undefined || room.types.includes(type);
    if (isSeen && price.trim() !== "" && centsTyped(price) === null) problems.set(`prices.${type}`, "amount");
  }
  return problems;
}

/** What the draft says; it must have no problems. Of the prices those of the room's own seat types and those that the
 * showing had before; where the room's types are not known, all. */
export function detailsOf(draft: Draft, room?: Room, before: Showing["prices"] = {}): Details {
  const prices: Record<string, string> = {};
  for (const [type, price] of Object.entries(draft.prices)) {
    const inCents = centsTyped(price);
    if (inCents !== null && (room === undefined || room.types.includes(type) || type in before))
      prices[type] = decimal(inCents);
  }
  return {
    title: draft.title.trim(),
    time: timeTyped(draft.time) ?? "",
    minutes: Number(draft.minutes),
    room_id: draft.roomId,
    price: decimal(centsTyped(draft.price) ?? 0),
    prices,
  };
}

/** `20:00`, however it is typed: `20.00`, `2000`, `20u00` or `20`; null for what is no time of the day. */
export function timeTyped(text: string): string | null {
  const time = /^(\d{1,2})(?:[:.uh ](\d{2}))?$|^(\d{2})(\d{2})$/i.exec(text.trim());
  if (time === null) return null;
  const [hours, minutes] = [Number(time[1] ?? time[3]), Number(time[2] ?? time[4] ?? "0")];
  return hours > 23 || minutes > 59 ? null : `${String(hours).padStart(2, "0")}:${String(minutes).padStart(2, "0")}`;
}

/** The start, as it is sent. `time` is such as `20:00`. */
export function startOf(day: string, time: string, timezone: string): string {
  return new Date(momentOf(day, time, timezone)).toISOString();
}

export type Change = "title" | "time" | "room" | "price";

/** What an edited showing is changed in. */
export function changesIn(showing: Showing, details: Details, startsAt: string): ReadonlySet<Change> {
  const changes = new Set<Change>();
  const minutes = Math.round((Date.parse(showing.ends_at) - Date.parse(showing.starts_at)) / 60_000);
  if (details.title !== showing.title) changes.add("title");
  if (Date.parse(startsAt) !== Date.parse(showing.starts_at) || details.minutes !== minutes) changes.add("time");
  if (details.room_id !== showing.room_id) changes.add("room");
  if (cents(details.price) !== cents(showing.price) || !arePricesSame(details.prices, showing.prices)) {
    changes.add("price");
  }
  return changes;
}

/** What is sent to change a showing: nothing that stays as it is, so that nobody else's change is undone. */
export function updateOf(showing: Showing, details: Details, startsAt: string): ShowingRequest {
  const changes = changesIn(showing, details, startsAt);
  return {
    action: "update",
    showing: {
      showing_id: showing.showing_id,
      ...(changes.has("title") ? { title: details.title } : {}),
      ...(changes.has("time") ? { starts_at: startsAt, minutes: details.minutes } : {}),
      ...(changes.has("room") ? { room_id: details.room_id } : {}),
      ...(changes.has("price") ? { price: details.price, prices: details.prices } : {}),
    },
  };
}

function arePricesSame(one: Readonly<Record<string, string>>, other: Readonly<Record<string, string>>): boolean {
  const types = new Set([...Object.keys(one), ...Object.keys(other)]);
  return [...types].every(
    (type) =>
      one[type] !== undefined && other[type] !== undefined && cents(one[type] ?? "") === cents(other[type] ?? ""),
  );
}
