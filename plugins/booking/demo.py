"""The demo cinema: a made-up one to look at, in a database that is marked as such.

Its users' passwords are known to everybody, so a marked database is served on loopback alone, and one that is not
marked is never filled by it.
"""

from __future__ import annotations

import os
import sqlite3
import tomllib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5
from zoneinfo import ZoneInfo

import sqlite_utils

from config import Bind, Settings
from plugins.auth import passwords, users
from plugins.booking.imports import CinemaFile, RoomEntry, RowEntry, ShowingEntry, add, transaction

DATABASE = Path("data/demo.db")
"""Where the demo lives, unless a path is set."""

USERS = {"alice": "customer", "bob": "customer", "kiosk": "kiosk", "manager": "manager"}
"""The demo's users and their roles."""

DAYS = 7


class DemoRefusedError(Exception):
    """The demo would touch what is not a demo, or be open to strangers; the message is one sentence."""


def password_of(username: str) -> str:
    """The password of one of :data:`USERS`."""
    return f"{username}-demo"


# The cinema


def _row(row: str, seats: int, **plan: object) -> RowEntry:
    return RowEntry.model_validate({"row": row, "seats": seats, **plan})


def _id(name: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"urn:lynrie-box:demo:{name}"))


LUMIERE = RoomEntry(
    room_id=_id("Lumière"),
    name="Lumière",
    rows=[
        _row("A", 8, offset=2, aisles_after=[1, 7], types={1: "wheelchair", 8: "wheelchair"}),
        *(_row(row, 12, aisles_after=[3, 9]) for row in "BCDEFG"),
        *(_row(row, 12, aisles_after=[3, 9], type="premium") for row in "HI"),
    ],
)

STUDIO = RoomEntry(
    room_id=_id("Studio"),
    name="Studio",
    rows=[
        _row("A", 8, offset=2, aisles_after=[4], types={4: "wheelchair", 5: "wheelchair"}),
        _row("B", 10, offset=1, aisles_after=[5]),
        _row("C", 12, aisles_after=[6]),
        _row("D", 12, aisles_after=[6], blocked=[1, 12]),  # two pillars
        _row("E", 12, aisles_after=[6]),
        _row("F", 12, aisles_after=[6], type="premium"),
    ],
)

FILMS = (
    ("The Lighthouse Keeper's Daughter", 112),
    ("Night Train to Tallinn", 126),
    ("A Field of Tin Soldiers", 98),
    ("The Clockmaker", 134),
    ("Salt and Snow", 104),
    ("Seven Bridges", 117),
    ("The Last Projectionist", 109),
)

PROGRAMME = (
    (LUMIERE, time(18, 30), "11.50", "14.50"),
    (LUMIERE, time(21, 15), "11.50", "14.50"),
    (STUDIO, time(19, 0), "9.50", "12.00"),
    (STUDIO, time(21, 30), "9.50", "12.00"),
)
"""Each evening's showings: room, start by the cinema's clock, price, and that of a premium seat."""


def _evenings(timezone: ZoneInfo, now: float) -> Iterator[ShowingEntry]:
    """The showings of the seven days from tomorrow. Which film plays follows from the date alone."""
    today = datetime.fromtimestamp(now, UTC).astimezone(timezone).date()
    for day in (today + timedelta(days=ahead) for ahead in range(1, DAYS + 1)):
        for place, (room, start, price, premium) in enumerate(PROGRAMME):
            title, minutes = FILMS[(day.toordinal() + 2 * place) % len(FILMS)]
            yield ShowingEntry(
                title=title,
                room_id=room.room_id,
                starts_at=datetime.combine(day, start).isoformat(timespec="minutes"),
                minutes=minutes,
                price=price,
                prices={"premium": premium},
            )


# The database


def database_is_chosen(config: Path | None) -> bool:
    """Whether the owner set a database path, in the configuration file or the environment."""
    if any(name.upper() in ("LYNRIE_DATABASE__PATH", "LYNRIE_DATABASE") for name in os.environ):
        return True
    return config is not None and "path" in tomllib.loads(config.read_text(encoding="utf-8")).get("database", {})


def prepare(settings: Settings, plugins: Sequence[type], *, now: float) -> None:
    """Fill the configured database and mark it, or bring a marked one's showings up to date.

    ``now`` is in seconds since 1970. Raises DemoRefusedError, DatabaseError.
    """
    timezone = ZoneInfo(settings.cinema.timezone)
    with transaction(settings, plugins) as db:
        if not is_marked(db):
            if _is_filled(db):
                raise DemoRefusedError(
                    f"{settings.database.path} holds a cinema that is not a demo: start without --demo, "
                    "or set another database.path"
                )
            _mark(db, now)
            _fill(db, settings, now)
        wanted = [entry for entry in _evenings(timezone, now) if not _is_taken(db, entry, timezone)]
        add(db, CinemaFile(showings=wanted), settings, password_hashes={}, now=now)


def refuse_beyond_loopback(settings: Settings, *, demo: bool) -> None:
    """Raises DemoRefusedError if a door is open to other machines and the database is marked or (``demo``) will be."""
    open_doors = beyond_loopback(settings)
    if open_doors and (demo or _file_is_marked(settings.database.path)):
        raise DemoRefusedError(
            f"{settings.database.path} is a demo, whose passwords everybody knows, and {open_doors[0]} is beyond "
            "loopback: set listeners.….bind to localhost, or database.path to a database of your own"
        )


def beyond_loopback(settings: Settings) -> list[Bind]:
    """Where the doors listen for other machines."""
    binds = (settings.listeners.web.bind, settings.listeners.tcp.bind)
    return [bind for bind in binds if bind is not None and not bind.is_loopback]


def is_marked(db: sqlite_utils.Database) -> bool:
    return db.table("demo").exists()


def _file_is_marked(path: Path) -> bool:
    """Also False for what is no database: opening it says why."""
    if not path.is_file():
        return False
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            return is_marked(sqlite_utils.Database(connection))
        finally:
            connection.close()
    except sqlite3.Error:
        return False


def _mark(db: sqlite_utils.Database, now: float) -> None:
    db.conn.execute("CREATE TABLE demo (marked_at REAL NOT NULL) STRICT")
    db.conn.execute("INSERT INTO demo VALUES (?)", (now,))


def _is_filled(db: sqlite_utils.Database) -> bool:
    filled = "SELECT EXISTS (SELECT 1 FROM rooms) OR EXISTS (SELECT 1 FROM showings) OR EXISTS (SELECT 1 FROM users)"
    return bool(db.conn.execute(filled).fetchone()[0])


def _fill(db: sqlite_utils.Database, settings: Settings, now: float) -> None:
    for username, role in USERS.items():
        # Not as users of a file, whose passwords must be longer than bob's.
        users.add_account(
            db,
            username=username,
            password_hash=passwords.hash_password(password_of(username)),
            role=role,
            email=f"{username}@example.org",
            name=username.capitalize(),
            now=now,
        )
    add(db, CinemaFile(rooms=[LUMIERE, STUDIO]), settings, password_hashes={}, now=now)


def _is_taken(db: sqlite_utils.Database, entry: ShowingEntry, timezone: ZoneInfo) -> bool:
    """Whether the room is in use then, be it by what a manager made of this showing: moved, renamed or cancelled."""
    starts_at = entry.starts(timezone)
    query = "SELECT 1 FROM showings WHERE room_id = ? AND starts_at < ? AND ends_at > ? LIMIT 1"
    return bool(db.conn.execute(query, (entry.room_id, starts_at + entry.minutes * 60, starts_at)).fetchone())
