"""The cinema's nouns: what the ledger keeps, the rules decide about and the present shows.

Times are seconds since 1970 in UTC, money is integer cents, ids are lower-case UUIDs with hyphens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from plugins.booking.wire import BookingStatus, HoldStatus, Payment, SeatState, ShowingStatus

T = TypeVar("T")

FailureCode = Literal["unknown_showing", "unknown_seat", "seats_unavailable", "too_many_seats", "sales_closed"]


@dataclass(frozen=True, slots=True)
class Sender:
    """Who commands, and from which address: an IPv4 address or an IPv6 /64."""

    user_id: str
    role: str
    address: str = ""

    @property
    def is_of_the_house(self) -> bool:
        """Whether the account acts for others, and outside a customer's limits."""
        return self.role in ("kiosk", "manager")

    @property
    def counted_address(self) -> str | None:
        """The address whose share this sender's seats are of; None for the house, which has none."""
        return None if self.is_of_the_house else self.address

    @property
    def is_manager(self) -> bool:
        return self.role == "manager"


@dataclass(frozen=True, slots=True)
class Order:
    """A booking that is asked for; ``user_id`` is whom it is for."""

    sender: Sender
    user_id: str
    booking_id: str
    showing_id: str
    seat_ids: tuple[str, ...]
    email: str | None = None


@dataclass(frozen=True, slots=True)
class HoldOrder:
    """A hold, or a release, that is asked for; ``user_id`` is whom it is for."""

    sender: Sender
    user_id: str
    booking_id: str | None
    showing_id: str
    seat_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Seat:
    """A seat of a room; ``x`` counts the places to its left, ``y`` the rows in front of it."""

    seat_id: str
    row: str
    number: int
    type: str
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Room:
    """A room with how many seats it has, and of which types, in the order of their names."""

    room_id: str
    name: str
    seats_total: int
    types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Showing:
    """A showing as it stands. ``prices`` are those by seat type that differ from ``price_cents``."""

    showing_id: str
    title: str
    room_id: str
    room: str
    starts_at: int
    ends_at: int
    price_cents: int
    prices: Mapping[str, int]
    currency: str
    status: ShowingStatus
    version: int

    def is_over(self, now: float) -> bool:
        return self.ends_at <= now

    def is_open_to_view(self, now: float) -> bool:
        """Whether it has a present: scheduled and not over."""
        return self.status == "scheduled" and not self.is_over(now)


@dataclass(frozen=True, slots=True)
class Hold:
    """A held seat: for whom, placed by whom, for which booking (None: any of that user's), and how long.

    ``run`` names the account or booking whose time is counted, and ``since`` is that run's first moment.
    """

    showing_id: str
    seat_id: str
    user_id: str
    placed_by: str
    booking_id: str | None
    run: str
    since: float
    until: float
    address: str | None = None

    def concerns(self, user_id: str) -> bool:
        return user_id in (self.user_id, self.placed_by)


@dataclass(frozen=True, slots=True)
class AskedSeat:
    """A seat that a command names, as it is now: sold to ``booking_id``, held, or neither."""

    seat_id: str
    type: str
    booking_id: str | None
    hold: Hold | None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a booking or hold was not to be had, and which seats were in the way."""

    code: FailureCode
    message: str
    seat_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a booking request. ``at`` is when it became so.

    ``seat_ids`` are the booking's, or of a failed one those in the way. ``ends_at`` is the showing's end, None where
    there is no such showing; ``created_at`` is when it was decided first.
    """

    booking_id: str
    user_id: str
    requested_by: str
    status: BookingStatus
    message: str
    at: float
    created_at: float
    showing_id: str
    seat_ids: tuple[str, ...] = ()
    number: str | None = None
    total_cents: int | None = None
    currency: str | None = None
    key: str | None = None
    code: str | None = None

    def is_visible_to(self, user_id: str | None, role: str) -> bool:
        return role == "manager" or (user_id is not None and user_id in (self.user_id, self.requested_by))


@dataclass(frozen=True, slots=True)
class SeatChange:
    """One live message: a seat's new state, and the showing's version that it made."""

    showing_id: str
    seat_id: str
    status: SeatState
    version: int
    hold: Hold | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """What to tell of a hold, and in whose inboxes. ``expires_at`` is the earliest of its seats'."""

    inboxes: tuple[str, ...]
    showing_id: str
    seat_ids: tuple[str, ...]
    status: HoldStatus
    message: str
    booking_id: str | None = None
    expires_at: float | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class ShowingChange:
    """A showing that is new or changed. ``plan`` is its seats where these are new too, all of them available."""

    showing: Showing
    plan: Sequence[Seat] | None = None


@dataclass(slots=True)
class Effects:
    """What a transaction changed: to be taken into the present and told, in this order, once it is on disk.

    ``forgotten`` are the ids of failed bookings that are kept no longer.
    ``stale`` says that more changed than is listed, so that the present must be read anew.
    """

    at: float
    seats: list[SeatChange] = field(default_factory=list)
    extended: list[Hold] = field(default_factory=list)
    showings: list[ShowingChange] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Decided(Generic[T]):
    """A transaction's answer to its sender, and its effects on all others.

    ``repeated``: nothing changed, because it had been decided before; only the sender is to be told.
    """

    answer: T
    effects: Effects
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class BookingRecord:
    """A booking with what surrounds it, for lists."""

    outcome: Outcome
    showing: Showing
    seats: Sequence[tuple[Seat, int]]
    name: str | None
    email: str | None
    paid: Payment | None


@dataclass(frozen=True, slots=True)
class Fullness:
    """A showing as it is in the books, also one that is over or cancelled. ``taken`` are held or sold."""

    showing: Showing
    seats: int
    taken: int


@dataclass(frozen=True, slots=True)
class SeatsOf:
    """A showing with its room's seats, as they are in the books; ``sold`` and ``held`` are seats' ids."""

    showing: Showing
    plan: Sequence[Seat]
    sold: frozenset[str]
    held: frozenset[str]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that the present shows: showings not over with their rooms' plans, claims, and bookings' outcomes.

    ``sold`` are the sold seats' ids by showing. ``outcomes`` are those of these showings, and the failures kept;
    ``old_bookings`` are the ids of all others.
    """

    at: float
    showings: Sequence[Showing]
    plans: Mapping[str, Sequence[Seat]]
    sold: Mapping[str, frozenset[str]]
    holds: Sequence[Hold]
    outcomes: Sequence[Outcome]
    old_bookings: Sequence[str] = ()
