"""A small cinema in a real SQLite file, for tests by plain calls: two rooms, two showings, one user of each kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import sqlite_utils

from broker.storage.database import connect, migrate
from config.settings import BookingSettings
from plugins.booking.cinema import HoldOrder, Order, Sender
from plugins.booking.ledger import Ledger, migrations

NOW = 1_900_000_000.0
HOUR = 3600


def an_id(number: int) -> str:
    """A readable UUID for the same thing in every test."""
    return str(UUID(int=number))


ALICE, BOB, VISITOR, KIOSK, OTHER_KIOSK, MANAGER, DISABLED = (an_id(0xA0 + n) for n in range(7))
ROLES = {
    ALICE: "customer",
    BOB: "customer",
    VISITOR: "visitor",
    KIOSK: "kiosk",
    OTHER_KIOSK: "kiosk",
    MANAGER: "manager",
    DISABLED: "customer",
}
ROOM, OTHER_ROOM = an_id(0x100), an_id(0x200)
SHOWING, LATE_SHOWING = an_id(0x1000), an_id(0x2000)
SEATS = tuple(an_id(0x10000 + n) for n in range(30))
OTHER_SEATS = tuple(an_id(0x20000 + n) for n in range(6))


def terms(**changed: int) -> BookingSettings:
    defaults = {
        "hold_seconds": 300,
        "hold_max_seconds": 900,
        "max_seats": 10,
        "max_held_seats": 10,
        "max_seats_per_showing": 20,
        "max_held_per_address": 30,
        "max_share_per_address": 50,
        "sales_close_minutes": 0,
        "cancel_until_minutes": 30,
    }
    return BookingSettings.model_validate(defaults | changed)


def make_users(db: sqlite_utils.Database) -> None:
    """The table as the auth plugin has it, as far as bookings look at it."""
    db.conn.execute(
        "CREATE TABLE users (user_id TEXT PRIMARY KEY, username TEXT, role TEXT NOT NULL, is_active INTEGER NOT NULL, "
        "name TEXT, email TEXT) STRICT"
    )
    for number, (user_id, role) in enumerate(ROLES.items()):
        db.conn.execute(
            "INSERT INTO users VALUES (?, ?, ?, ?, ?, ?)",
            (user_id, f"user{number}", role, user_id != DISABLED, f"User {number}", f"user{number}@example.org"),
        )


def add_room(db: sqlite_utils.Database, room_id: str, name: str, seats: tuple[str, ...]) -> None:
    db.conn.execute("INSERT INTO rooms VALUES (?, ?)", (room_id, name))
    for position, seat_id in enumerate(seats):
        row, number = divmod(position, 10)
        db.conn.execute(
            'INSERT INTO seats (seat_id, room_id, "row", number, type, x, y, position) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
            (
                seat_id,
                room_id,
                "ABCDEFGH"[row],
                number + 1,
                "premium" if row == 2 else "standard",
                number,
                row,
                position,
            ),
        )


def add_showing(
    db: sqlite_utils.Database, showing_id: str, starts_at: float, room_id: str = ROOM, title: str = "A film"
) -> None:
    db.conn.execute(
        "INSERT INTO showings (showing_id, title, room_id, starts_at, ends_at, price_cents, prices, currency) "
        "VALUES (?, ?, ?, ?, ?, 950, '{\"premium\": 1200}', 'EUR')",
        (showing_id, title, room_id, int(starts_at), int(starts_at) + 2 * HOUR),
    )


def open_cinema(path: Path) -> sqlite_utils.Database:
    """The file, made and filled if it is new."""
    new = not path.exists()
    db = connect(path)
    if new:
        migrate(db, [migrations])
        make_users(db)
        add_room(db, ROOM, "Room 1", SEATS)
        add_room(db, OTHER_ROOM, "Room 2", OTHER_SEATS)
        add_showing(db, SHOWING, NOW + 10 * HOUR)
        add_showing(db, LATE_SHOWING, NOW + 20 * HOUR, title="A late film")
    return db


class Desk:
    """A ledger on one file with a clock of its own: each call is one transaction, as the writer thread makes it."""

    def __init__(self, path: Path, **changed_terms: int) -> None:
        self.db = open_cinema(path)
        self.ledger = Ledger(terms(**changed_terms), "EUR")
        self.now = NOW

    def run(self, job: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        execute = self.db.conn.execute
        execute("BEGIN IMMEDIATE")
        try:
            decided = job(self.db, *args, now=self.now, **kwargs)
        except BaseException:
            execute("ROLLBACK")
            raise
        execute("COMMIT")
        return decided

    def book(self, sender: str, seats: Any, *, booking_id: str | None = None, **more: Any) -> Any:
        return self.run(self.ledger.book, order(sender, seats, booking_id=booking_id or str(uuid4()), **more))

    def hold(self, sender: str, seats: Any, **more: Any) -> Any:
        return self.run(self.ledger.hold, hold_order(sender, seats, **more))

    def release(self, sender: str, seats: Any, **more: Any) -> Any:
        return self.run(self.ledger.release, hold_order(sender, seats, **more))

    def cancel(self, sender: str, booking_id: str, user_id: str | None = None) -> Any:
        return self.run(self.ledger.cancel, sender_of(sender), booking_id, user_id)

    def expire(self) -> Any:
        return self.run(self.ledger.expire)


def sender_of(user_id: str, address: str = "192.0.2.1") -> Sender:
    return Sender(user_id, ROLES[user_id], address)


def order(
    sender: str,
    seats: Any,
    *,
    booking_id: str,
    user_id: str | None = None,
    showing_id: str = SHOWING,
    address: str = "192.0.2.1",
) -> Order:
    return Order(sender_of(sender, address), user_id or sender, booking_id, showing_id, tuple(seats))


def hold_order(
    sender: str,
    seats: Any,
    *,
    booking_id: str | None = None,
    user_id: str | None = None,
    showing_id: str = SHOWING,
    address: str = "192.0.2.1",
) -> HoldOrder:
    return HoldOrder(sender_of(sender, address), user_id or sender, booking_id, showing_id, tuple(seats))
