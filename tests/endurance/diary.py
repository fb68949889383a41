"""What the clients of a storm sent and were told, and how that is held against the database file.

Nothing here has a socket or a clock: a :class:`Diary` is written by the clients, a :class:`Books` is read from the
file, and each judgement is a list of sentences about what is wrong with the two, empty where nothing is.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

Seat = tuple[str, str]
"""``showing_id`` and ``seat_id``."""

MILLISECOND = 0.001
"""Times are told in milliseconds: so much earlier than told a hold may end."""


@dataclass
class Request:
    """One booking request. ``body`` is what was sent; of what came back the first counts."""

    sender: str
    body: dict[str, Any]
    acknowledged: bool = False
    outcome: dict[str, Any] | None = None
    """The ``booking/confirm`` payload."""
    refused: str = ""
    """The code of a refusal that stores nothing."""


@dataclass
class Diary:
    """What clients know: each writes its own, and all are merged when the box is gone."""

    requests: dict[str, Request] = field(default_factory=dict)
    """By ``booking_id``."""
    cancels: dict[str, bool] = field(default_factory=dict)
    """Bookings whose cancellation was asked for, and whether that was acknowledged."""
    holds: dict[tuple[str, str, str], float] = field(default_factory=dict)
    """Until when (seconds since 1970) a user holds a showing's seat, where nothing was sent since that may end it."""
    versions: dict[str, int] = field(default_factory=dict)
    """The highest version of each showing that anybody was told."""
    tokens: dict[str, str] = field(default_factory=dict)
    """Tokens that were given out, and to whom."""
    void_tokens: set[str] = field(default_factory=set)
    """Tokens that were taken back, and this was acknowledged."""
    titles: dict[str, int] = field(default_factory=dict)
    """The number in the last title of each showing that was acknowledged."""
    faults: list[str] = field(default_factory=list)
    """What a client saw that must not be."""

    def merge(self, other: Diary) -> None:
        """Take another client's notes in."""
        for showing_id, version in other.versions.items():
            self.versions[showing_id] = max(version, self.versions.get(showing_id, 0))
        for mine, theirs in (
            (self.requests, other.requests),
            (self.cancels, other.cancels),
            (self.holds, other.holds),
            (self.tokens, other.tokens),
            (self.titles, other.titles),
        ):
            mine.update(theirs)  # type: ignore[attr-defined]  # each with its own kind
        self.void_tokens |= other.void_tokens
        self.faults += other.faults

    def told(self, body: Mapping[str, Any]) -> None:
        """A booking's outcome came."""
        request = self.requests.get(body["booking_id"])
        if request is not None and request.outcome is None and body["status"] != "cancelled":
            request.outcome = dict(body)

    @property
    def acknowledged(self) -> int:
        """Booking requests and cancellations that were acknowledged."""
        return sum(request.acknowledged for request in self.requests.values()) + sum(self.cancels.values())


@dataclass(frozen=True, slots=True)
class Booking:
    """A booking as the file has it."""

    status: str
    number: str = ""
    key: str = ""
    total_cents: int = 0
    showing_id: str = ""
    seat_ids: tuple[str, ...] = ()
    code: str = ""

    @property
    def is_sold(self) -> bool:
        return self.status == "confirmed"


@dataclass(frozen=True, slots=True)
class Claim:
    """Who has a seat: a booking, or a user until a moment."""

    booking_id: str | None
    held_for: str | None
    held_until: float | None

    @property
    def status(self) -> str:
        return "booked" if self.booking_id is not None else "reserved"


@dataclass
class Books:
    """What the database file says."""

    bookings: dict[str, Booking]
    failures: dict[str, Booking]
    claims: dict[Seat, Claim]
    versions: dict[str, int]
    titles: dict[str, str]
    audited: set[str] | None
    """Bookings with a row in the audit trail; None where there is no such table."""
    faults: list[str]
    """What SQLite itself finds wrong."""

    @classmethod
    def read(cls, path: Path) -> Books:
        """Read the file in one transaction; a box may be running on it."""
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("BEGIN")
            return cls._read(db)

    @classmethod
    def _read(cls, db: sqlite3.Connection) -> Books:
        faults = [f"integrity_check: {row[0]}" for row in db.execute("PRAGMA integrity_check") if row[0] != "ok"]
        faults += [f"foreign_key_check: {row}" for row in db.execute("PRAGMA foreign_key_check")]
        seats: dict[str, list[str]] = {}
        for booking_id, seat_id in db.execute("SELECT booking_id, seat_id FROM booking_seats ORDER BY place"):
            seats.setdefault(booking_id, []).append(seat_id)
        bookings = {
            row[0]: Booking(*row[1:], seat_ids=tuple(seats.get(row[0], ())))
            for row in db.execute("SELECT booking_id, status, number, key, total_cents, showing_id FROM bookings")
        }
        failures = {
            booking_id: Booking("failed", showing_id=showing_id, code=code)
            for booking_id, showing_id, code in db.execute("SELECT booking_id, showing_id, code FROM booking_failures")
        }
        claims = {
            (showing_id, seat_id): Claim(*rest)
            for showing_id, seat_id, *rest in db.execute(
                "SELECT showing_id, seat_id, booking_id, held_for, held_until FROM seat_claims"
            )
        }
        showings = list(db.execute("SELECT showing_id, version, title FROM showings"))
        return cls(
            bookings,
            failures,
            claims,
            versions={showing_id: version for showing_id, version, _ in showings},
            titles={showing_id: title for showing_id, _, title in showings},
            audited=_audited(db),
            faults=faults,
        )

    def outcome(self, booking_id: str) -> Booking | None:
        return self.bookings.get(booking_id) or self.failures.get(booking_id)

    def status(self, showing_id: str, seat_id: str) -> str:
        claim = self.claims.get((showing_id, seat_id))
        return "available" if claim is None else claim.status

    def confirmed(self, showing_ids: Iterable[str]) -> int:
        """How many bookings of these showings stand."""
        wanted = set(showing_ids)
        return sum(one.is_sold and one.showing_id in wanted for one in self.bookings.values())


def _audited(db: sqlite3.Connection) -> set[str] | None:
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'audit'").fetchone():
        return None
    return {row[0] for row in db.execute("SELECT DISTINCT subject FROM audit WHERE outcome = 'confirmed'")}


# What is wrong


def unsound(books: Books) -> Iterator[str]:
    """What contradicts itself: the file, or two bookings of one seat."""
    yield from books.faults
    sold = Counter(
        (booking.showing_id, seat_id)
        for booking in books.bookings.values()
        if booking.is_sold
        for seat_id in booking.seat_ids
    )
    for seat, times in sold.items():
        if times > 1:
            yield f"the seat {seat} is sold {times} times"
    claimed = {seat for seat, claim in books.claims.items() if claim.status == "booked"}
    for seat in claimed - set(sold):
        yield f"the seat {seat} is booked by nobody"
    for seat in set(sold) - claimed:
        yield f"the seat {seat} is sold and can be sold again"
    for booking_id, booking in books.bookings.items():
        if not booking.seat_ids:
            yield f"the booking {booking_id} has no seats"
        if booking_id in books.failures:
            yield f"the booking {booking_id} both failed and did not"
    if books.audited is not None:
        for booking_id in set(books.bookings) - books.audited:
            yield f"the booking {booking_id} is missing in the audit trail"


def forgotten(books: Books, diary: Diary) -> Iterator[str]:
    """What somebody was told or had acknowledged, and does not stand."""
    for booking_id, request in diary.requests.items():
        stored = books.outcome(booking_id)
        if request.refused == "storage_unavailable":
            yield f"the request {booking_id} of {request.sender} was refused as storage_unavailable"
        if request.acknowledged and not request.refused and stored is None:
            yield f"the request {booking_id} of {request.sender} was acknowledged and has no outcome"
        if request.outcome is not None:
            yield from contradicted(booking_id, request.outcome, stored, may_be_cancelled=booking_id in diary.cancels)
    for booking_id, acknowledged in diary.cancels.items():
        stored = books.bookings.get(booking_id)
        if acknowledged and stored is not None and stored.is_sold:
            yield f"the cancellation of {booking_id} was acknowledged and the booking stands"
    for showing_id, version in diary.versions.items():
        if books.versions[showing_id] < version:
            yield f"the showing {showing_id} was told at version {version} and is at {books.versions[showing_id]}"
    for showing_id, number in diary.titles.items():
        if number > title_number(books.titles[showing_id]):
            yield f"the title {number} of {showing_id} was acknowledged, it is “{books.titles[showing_id]}”"


def contradicted(
    booking_id: str, told: Mapping[str, Any], stored: Booking | None, *, may_be_cancelled: bool
) -> Iterator[str]:
    """What of an outcome that was told is not as stored."""
    if stored is None:
        yield f"the booking {booking_id} was told as {told['status']} and is gone"
        return
    allowed = {told["status"]} | ({"cancelled"} if may_be_cancelled and told["status"] == "confirmed" else set())
    if stored.status not in allowed:
        yield f"the booking {booking_id} was told as {told['status']} and is {stored.status}"
    elif told["status"] == "failed":
        if told["code"] != stored.code:
            yield f"the booking {booking_id} failed as {told['code']}, and now as {stored.code}"
    elif (told["number"], told["key"]) != (stored.number, stored.key):
        yield f"the booking {booking_id} has another number or key than was told"
    elif sorted(told["seat_ids"]) != sorted(stored.seat_ids):
        yield f"the booking {booking_id} has other seats than was told"


def lost_holds(books: Books, diary: Diary, user_ids: Mapping[str, str], at: float) -> Iterator[str]:
    """Holds that were told and had not run out at this moment, and that the file does not have."""
    for (name, showing_id, seat_id), until in diary.holds.items():
        if until <= at:
            continue
        claim = books.claims.get((showing_id, seat_id))
        if claim is None or claim.held_until is None or claim.held_for != user_ids[name]:
            yield f"{name}'s hold of {seat_id} was acknowledged until {until - at:.3f} s from the end, and is gone"
        elif claim.held_until < until - MILLISECOND:
            yield f"{name}'s hold of {seat_id} ends {until - claim.held_until:.3f} s earlier than was told"


def gone(before: Books, after: Books, cancels: Iterable[str] = ()) -> Iterator[str]:
    """Bookings that stood and do not, or are not what they were; versions that went back."""
    asked = set(cancels)
    for booking_id, booking in before.bookings.items():
        now = after.bookings.get(booking_id)
        if now is None:
            yield f"the booking {booking_id} is gone"
        elif (now.number, now.key, now.seat_ids) != (booking.number, booking.key, booking.seat_ids):
            yield f"the booking {booking_id} is not what it was"
        elif now.status != booking.status and (now.is_sold or booking_id not in asked):
            yield f"the booking {booking_id} was {booking.status} and is {now.status}"
    for showing_id, version in before.versions.items():
        if after.versions.get(showing_id, -1) < version:
            yield f"the version of {showing_id} went back from {version} to {after.versions.get(showing_id)}"


def title_of(number: int) -> str:
    return f"The film, cut {number}"


def title_number(title: str) -> int:
    return int(title.rpartition(" ")[2])


def seconds_of(moment: str) -> float:
    """A moment of the wire as seconds since 1970."""
    return datetime.fromisoformat(moment).timestamp()
