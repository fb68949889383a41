/**
 * What the box says: one schema for each of its messages and answers, the mirror of the box's own models. What does not
 * fit is not used. Times are ISO 8601 in UTC; money is a decimal in a string; fields that are not here are ignored.
 */

import * as v from "valibot";

const seatStatus = v.picklist(["available", "reserved", "booked"]);
const time = v.pipe(v.string(), v.isoTimestamp());

/** `seats/status/{showing_id}`, live; with RETAIN also where the seat is. */
export const SeatMessage = v.object({
  showing_id: v.string(),
  seat_id: v.string(),
  status: seatStatus,
  version: v.number(),
});

const place = { row: v.string(), number: v.number(), type: v.string(), x: v.number(), y: v.number() };

export const PresentSeat = v.object({ ...SeatMessage.entries, ...place });

/** `GET /api/showings/{showing_id}/seats`. `x` counts the places to a seat's left, `y` the rows in front of it. */
export const SeatPlan = v.object({
  showing_id: v.string(),
  version: v.number(),
  seats: v.array(v.object({ seat_id: v.string(), status: seatStatus, ...place })),
});

/** `showing/update/{showing_id}`. `seats_available` counts the seats that are neither held nor sold. */
export const Showing = v.object({
  showing_id: v.string(),
  title: v.string(),
  starts_at: time,
  ends_at: time,
  room_id: v.string(),
  room: v.string(),
  price: v.string(),
  prices: v.optional(v.record(v.string(), v.string()), {}),
  currency: v.string(),
  status: v.picklist(["scheduled", "cancelled"]),
  seats_total: v.number(),
  seats_available: v.number(),
  version: v.number(),
});

/** `booking/confirm/{booking_id}`: a booking's outcome. Of a failed one `seat_ids` are those in the way. */
export const Confirmation = v.object({
  booking_id: v.string(),
  status: v.picklist(["confirmed", "failed", "cancelled"]),
  message: v.string(),
  timestamp: time,
  number: v.optional(v.string()),
  total: v.optional(v.string()),
  currency: v.optional(v.string()),
  showing_id: v.optional(v.string()),
  seat_ids: v.optional(v.array(v.string()), []),
  key: v.optional(v.string()),
  code: v.optional(v.string()),
});

/** `users/{user_id}/holds`. `expires_at` is the earliest of its seats'. */
export const HoldNotice = v.object({
  showing_id: v.string(),
  seat_ids: v.array(v.string()),
  status: v.picklist(["held", "rejected", "released", "expired"]),
  message: v.string(),
  timestamp: time,
  booking_id: v.optional(v.string()),
  expires_at: v.optional(time),
  code: v.optional(v.string()),
});

/** `users/{user_id}/errors`: a refusal that changed nothing, with the ids of what was asked for. */
export const ErrorNotice = v.object({
  topic: v.string(),
  code: v.string(),
  message: v.string(),
  booking_id: v.optional(v.string()),
  showing_id: v.optional(v.string()),
});

/** `{"code", "message"}`: every refusal over HTTP. */
export const Refusal = v.object({ code: v.string(), message: v.string() });

/** `GET /api/cinema`. */
export const Cinema = v.object({
  name: v.string(),
  timezone: v.string(),
  currency: v.string(),
  languages: v.array(v.string()),
  allow_guests: v.optional(v.boolean(), true),
  allow_registration: v.optional(v.boolean(), true),
  public_url: v.optional(v.string()),
  booking: v.object({
    hold_seconds: v.number(),
    max_seats: v.number(),
    cancel_until_minutes: v.number(),
    sales_close_minutes: v.number(),
  }),
});

const role = v.picklist(["visitor", "customer", "kiosk", "manager"]);

/** A visitor has no `username`. */
export const User = v.object({
  user_id: v.string(),
  username: v.nullish(v.string(), null),
  role,
  name: v.nullish(v.string(), null),
  email: v.nullish(v.string(), null),
});

/** `POST /api/session`. */
export const Session = v.object({ token: v.string(), expires_at: time, user: User });

/** `GET /api/users`, for a manager. */
export const ListedUser = v.object({ ...User.entries, is_active: v.boolean(), created_at: time });

/** `GET /api/rooms`, for a manager. */
export const Room = v.object({
  room_id: v.string(),
  name: v.string(),
  seats_total: v.number(),
  types: v.array(v.string()),
});

/** `GET /api/bookings/{booking_id}/ticket`: a booking that was made with what it is for. */
export const Ticket = v.object({
  ...Confirmation.entries,
  paid: v.nullish(v.picklist(["cash", "card", "other"]), null),
  showing: v.object({
    showing_id: v.string(),
    title: v.string(),
    starts_at: time,
    ends_at: time,
    room: v.string(),
    status: v.picklist(["scheduled", "cancelled"]),
  }),
  seats: v.array(
    v.object({ seat_id: v.string(), row: v.string(), number: v.number(), type: v.string(), price: v.string() }),
  ),
});

/** `GET /api/bookings`: a ticket with whose it is. */
export const Booking = v.object({
  ...Ticket.entries,
  user_id: v.string(),
  name: v.nullish(v.string(), null),
  email: v.nullish(v.string(), null),
});

export type SeatMessage = v.InferOutput<typeof SeatMessage>;
export type SeatPlan = v.InferOutput<typeof SeatPlan>;
export type Seat = SeatPlan["seats"][number];
export type Showing = v.InferOutput<typeof Showing>;
export type Confirmation = v.InferOutput<typeof Confirmation>;
export type HoldNotice = v.InferOutput<typeof HoldNotice>;
export type ErrorNotice = v.InferOutput<typeof ErrorNotice>;
export type Cinema = v.InferOutput<typeof Cinema>;
export type Role = v.InferOutput<typeof role>;
export type User = v.InferOutput<typeof User>;
export type Session = v.InferOutput<typeof Session>;
export type ListedUser = v.InferOutput<typeof ListedUser>;
export type Room = v.InferOutput<typeof Room>;
export type Ticket = v.InferOutput<typeof Ticket>;
export type Booking = v.InferOutput<typeof Booking>;
export type Payment = NonNullable<Booking["paid"]>;

/** What a client commands: the topic, and the fields that belong there. */
export type Command =
  | { topic: "booking/request"; body: BookingRequest }
  | { topic: "seats/hold" | "seats/release"; body: HoldRequest }
  | { topic: "booking/cancel"; body: CancelRequest };

export interface HoldRequest {
  showing_id: string;
  seat_ids: readonly string[];
  booking_id: string;
  timestamp: string;
}

export interface BookingRequest extends HoldRequest {
  email?: string;
  user_id?: string;
}

export interface CancelRequest {
  booking_id: string;
  timestamp: string;
}

/** What a manager sets of a showing; `showing_id` is made up by who creates it. */
export interface ShowingRequest {
  action: "create" | "update" | "cancel";
  showing: {
    showing_id: string;
    title?: string;
    starts_at?: string;
    minutes?: number;
    room_id?: string;
    price?: string;
    prices?: Record<string, string>;
  };
}
