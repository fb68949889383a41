"""The cinema's rules: decisions over what is known, without SQL, sockets or clocks.

``now`` and randomness come in as arguments. A function named ``why_not_…`` answers None when nothing stands against it;
one named ``require_…`` raises Refusal.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from broker.plugin import Refusal
from config.settings import BookingSettings
from plugins.booking.cinema import AskedSeat, Failure, Hold, HoldOrder, Order, Outcome, Sender, Showing

KIOSK_CANCELS_SECONDS = 15 * 60
DAY_SECONDS = 24 * 3600
FAILURES_KEPT_SECONDS = DAY_SECONDS
FAILURES_KEPT_PER_CUSTOMER = 200
KIOSK_MINE_SECONDS = 3600


class Most(NamedTuple):
    """How many within how many seconds."""

    number: int
    seconds: int


CANCELLATIONS = Most(100, DAY_SECONDS)
CANCELLATIONS_PER_ADDRESS = Most(200, 3600)
"""Bookings that a visitor or customer, and all of one address, may give back: each stays in the books for ever."""

# Without 0 and O, 1, I and L, which people confuse when they read a number aloud.
NUMBER_ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
NUMBER_LENGTH = 6


# Ids, numbers and keys


def new_number() -> str:
    """A booking's number for people: short and unambiguous. Not a secret, and not yet known to be unused."""
    drawn = secrets.randbelow(len(NUMBER_ALPHABET) ** NUMBER_LENGTH)
    letters = []
    for _ in range(NUMBER_LENGTH):
        drawn, letter = divmod(drawn, len(NUMBER_ALPHABET))
        letters.append(NUMBER_ALPHABET[letter])
    return "".join(letters)


def new_key() -> str:
    """128 random bits, fit for an address, that open a booking without signing in."""
    return secrets.token_urlsafe(16)


def derived_booking_id(
    secret: bytes, user_id: str, showing_id: str, seat_ids: Iterable[str], timestamp: str | float
) -> str:
    """The id of a booking whose client sent none: the same for a message delivered again, and nobody's guess."""
    said = json.dumps([user_id, showing_id, sorted(seat_ids), timestamp], separators=(",", ":"))
    return str(UUID(bytes=hmac.digest(secret, said.encode(), "sha256")[:16], version=4))


def asked_digest(seat_ids: Iterable[str]) -> bytes:
    """What remains of the seats of a failed request: enough to recognise the same set."""
    return hashlib.sha256(",".join(sorted(seat_ids)).encode()).digest()[:16]


# On whose behalf


def on_whose_behalf(sender: Sender, user_id: str | None) -> str:
    """The user whom a command is for. Raises Refusal ``forbidden`` to those who may act for themselves alone.

    Whether the user exists is not looked at, so that nobody learns it from the answer.
    """
    if user_id is None or user_id == sender.user_id:
        return sender.user_id
    if not sender.is_of_the_house:
        raise Refusal("forbidden", "You can do this for yourself only.", status=403)
    return user_id


def require_active(sender: Sender, user_id: str, roles: Mapping[str, str]) -> None:
    """Refuse a sender who was disabled or got another role since, and a user who is absent or disabled.

    ``roles`` are those of the active users, as they are in the transaction that decides.
    """
    if roles.get(sender.user_id) != sender.role:
        raise Refusal("forbidden", "This account may not do this any more.", status=403)
    if user_id not in roles:
        raise Refusal("unknown_user", "There is no such user.", status=404)


# Bookings


def require_same_booking(known: Outcome, same_seats: bool, order: Order | HoldOrder) -> None:
    """Raise Refusal ``conflict`` unless the known booking is the one that is asked for again, by one who may see it."""
    if not known.is_visible_to(order.sender.user_id, order.sender.role) or not (
        known.user_id == order.user_id and known.showing_id == order.showing_id and same_seats
    ):
        raise Refusal(
            "conflict",
            "This booking_id belongs to another booking.",
            status=409,
            details={"booking_id": order.booking_id, "showing_id": order.showing_id},
        )


def sales_close_at(showing: Showing, terms: BookingSettings) -> float:
    """When the sales end: seconds since 1970."""
    return showing.starts_at + 60 * terms.sales_close_minutes


def why_not_sell(
    showing: Showing | None, seat_ids: Sequence[str], now: float, terms: BookingSettings
) -> Failure | None:
    """What stands against a booking or hold before its seats are looked at."""
    if showing is None:
        return Failure("unknown_showing", "There is no such showing.")
    if showing.status == "cancelled":
        return Failure("sales_closed", "The showing was cancelled.")
    if now >= sales_close_at(showing, terms):
        return Failure("sales_closed", "The sales for this showing have ended.")
    if len(seat_ids) > terms.max_seats:
        return Failure("too_many_seats", f"At most {terms.max_seats} seats at once.")
    return None


def why_not_these(seats: Mapping[str, AskedSeat], order: Order | HoldOrder) -> Failure | None:
    """Which of the seats asked for are not in the room, or not to be had. ``seats`` has those in the room."""
    if unknown := tuple(seat_id for seat_id in order.seat_ids if seat_id not in seats):
        return Failure("unknown_seat", "There is no such seat in this showing's room.", unknown)
    if taken := tuple(seat_id for seat_id in order.seat_ids if not is_free_for(seats[seat_id], order)):
        return Failure("seats_unavailable", "Some of these seats are taken.", taken)
    return None


def is_free_for(seat: AskedSeat, order: Order | HoldOrder) -> bool:
    """Whether a seat is available, or held for just this."""
    if seat.booking_id is not None:
        return False
    return seat.hold is None or is_held_for(seat.hold, order)


def is_held_for(hold: Hold, order: Order | HoldOrder) -> bool:
    """Whether a hold may be booked or extended by this command.

    One that names a booking is for that booking alone, however the user was changed meanwhile; one that names none is
    for its user. Either way only by who placed it, or whom it is for.
    """
    if not hold.concerns(order.sender.user_id):
        return False
    if hold.booking_id is not None:
        return hold.booking_id == order.booking_id
    return hold.user_id == order.user_id


def is_released_by(hold: Hold, order: HoldOrder) -> bool:
    """Whether a hold may be released by this command: by who placed it, also when it is for another, or whom it is
    for; with a ``booking_id`` only that booking's, without one only holds that name none."""
    return (
        hold.concerns(order.sender.user_id)
        and hold.booking_id == order.booking_id
        and order.user_id in (hold.user_id, order.sender.user_id)
    )


def price_cents(showing: Showing, seat_type: str) -> int:
    """What a seat of this type costs, in cents."""
    return showing.prices.get(seat_type, showing.price_cents)


# Caps on visitors and customers


@dataclass(frozen=True, slots=True)
class Belongings:
    """What a user, and an address, has already, without the seats that are asked for.

    ``held`` over all showings, ``in_showing`` held or booked in this one, ``from_address`` held by visitors and
    customers of the sender's address, ``address_in_showing`` held or booked by them in this one.
    """

    held: int = 0
    in_showing: int = 0
    from_address: int = 0
    address_in_showing: int = 0


def why_not_more(order: Order | HoldOrder, belongings: Belongings, terms: BookingSettings) -> Failure | None:
    """Whether a visitor's or customer's command would pass a cap; the house's own commands pass none."""
    if order.sender.is_of_the_house:
        return None
    asked = len(order.seat_ids)
    if belongings.in_showing + asked > terms.max_seats_per_showing:
        return Failure("too_many_seats", f"At most {terms.max_seats_per_showing} seats of one showing for one person.")
    if isinstance(order, Order):
        return None
    if belongings.held + asked > terms.max_held_seats:
        return Failure("too_many_seats", f"At most {terms.max_held_seats} seats held at a time.")
    if belongings.from_address + asked > terms.max_held_per_address:
        return Failure("too_many_seats", f"At most {terms.max_held_per_address} seats held from one address.")
    return None


def is_within_anybodys_share(seats: int, terms: BookingSettings) -> bool:
    """Whether one address may have so many seats of a showing however small its room is."""
    return seats <= terms.max_seats_per_showing or terms.max_share_per_address == 100


def why_not_this_share(seats: int, room_seats: int, terms: BookingSettings) -> Failure | None:
    """Whether visitors and customers of one address would have more seats of a showing than their share of its room."""
    share = max(room_seats * terms.max_share_per_address // 100, terms.max_seats_per_showing)
    if is_within_anybodys_share(seats, terms) or seats <= share:
        return None
    return Failure(
        "too_many_seats",
        f"At most {share} seats of this showing for all who book from one address. Ask at the desk or kiosk for more.",
    )


# Holds


def hold_run(order: HoldOrder) -> str:
    """Whose time a hold counts: the account's, but a kiosk's or manager's for each booking anew."""
    if order.sender.is_of_the_house and order.booking_id is not None:
        return order.booking_id
    return order.sender.user_id


@dataclass(frozen=True, slots=True)
class Run:
    """Holds of one seat on end: from the first moment to the end of the last one."""

    since: float
    ended: float


def hold_times(run: Run | None, now: float, terms: BookingSettings) -> tuple[float, float] | None:
    """From when and until when a hold counts that begins, or is extended, now; None once the maximum is reached.

    ``run`` is the memory of it; of a hold that is running, it ends now.
    """
    since = now if run is None or now - run.ended >= terms.hold_seconds else run.since
    until = min(now + terms.hold_seconds, since + terms.hold_max_seconds)
    return (since, until) if until > now else None


# Cancelling


def cancelled_too_often(most: Most, oldest: float, now: float) -> Refusal:
    """Why nobody books here for now. ``oldest`` is when the first of so many was cancelled."""
    return Refusal(
        "rate_limited",
        f"{most.number} bookings were cancelled within {most.seconds // 3600} h. Come back later, or ask at the desk.",
        status=429,
        retry_after=oldest + most.seconds - now,
    )


def require_cancellable(outcome: Outcome, starts_at: float, sender: Sender, now: float, terms: BookingSettings) -> None:
    """Raise Refusal unless the sender, who may see the confirmed booking, may cancel it now."""
    details = {"booking_id": outcome.booking_id}
    if outcome.status == "failed":
        raise Refusal("conflict", "This booking failed: there is nothing to cancel.", status=409, details=details)
    if sender.is_manager:
        return
    if sender.role == "kiosk":
        if outcome.requested_by != sender.user_id or now - outcome.created_at > KIOSK_CANCELS_SECONDS:
            raise Refusal(
                "forbidden",
                f"A kiosk cancels what it booked within {KIOSK_CANCELS_SECONDS // 60} minutes.",
                status=403,
                details=details,
            )
        return
    if outcome.user_id != sender.user_id:
        raise Refusal("forbidden", "Only its owner can cancel a booking.", status=403, details=details)
    if now > starts_at - 60 * terms.cancel_until_minutes:
        raise Refusal(
            "sales_closed",
            f"A booking can be cancelled until {terms.cancel_until_minutes} minutes before the start.",
            status=409,
            details=details,
        )
