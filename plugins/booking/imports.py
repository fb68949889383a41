"""A cinema from a JSON file: its rooms, showings and users.

What the file names and the database has is updated (by id, else rooms by name, showings by room and time, users by
username), the rest is added, nothing is removed; a wrong file changes nothing, for all of it is one transaction. A
room's plan becomes the file's, so a seat that it no longer names is taken out of the room, unless it was ever sold. A
cancelled showing stays cancelled, and a disabled user disabled.

How a row becomes seats: seat numbers run from 1 to ``seats``; those in ``blocked`` do not exist (a pillar, a door), and
their place stays empty. A seat's ``x`` counts the places to its left: ``offset`` (the row begins so many places further
in), the seat numbers before its own, and one more for every aisle passed (``aisles_after`` names the seats after which
an aisle runs). ``y`` counts the rows in front of its own. ``type`` is the row's type of seat, ``types`` names those
that differ, by number.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import sqlite_utils
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from broker.plugin import NOBODY, Entry, migrations_of, record
from broker.storage.damage import make_place
from broker.storage.database import DatabaseError, connect, migrate
from broker.storage.outage import describe
from config import Settings
from plugins.auth import passwords, users
from plugins.auth.wire import AccountRole, Email, Name, Password
from plugins.booking.wire import Id, Money, Prices, RoomName, SeatType, Title, cents_of, is_in_time

MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_SEATS_PER_ROW = 100
MAX_SEATS_PER_ROOM = 5_000
MAX_OFFSET = 100


class ImportFileError(Exception):
    """The file cannot be imported, and nothing was changed; one line per finding, each with the path to its field."""


# The file


def _a_start(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("must be a date and a time, such as 2030-01-01T20:00") from None
    if len(text) <= len("2030-01-01"):
        raise ValueError("must have a time too, such as 2030-01-01T20:00")
    return text


RowName = Annotated[RoomName, Field(max_length=20)]
SeatNumber = Annotated[int, Field(ge=1, le=MAX_SEATS_PER_ROW)]
Start = Annotated[str, Field(max_length=40), AfterValidator(_a_start)]
# Not held to the length that strangers' must have: the file is the owner's, and so is the choice.
Username = Annotated[str, StringConstraints(pattern=r"^[a-z0-9._-]{1,32}$")]


class _Entry(BaseModel):
    # A mistyped field is refused: it would be a wish that nobody hears.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


@dataclass(frozen=True, slots=True)
class SeatPlace:
    """A seat as the file describes it; ``x`` counts the places to its left, ``y`` the rows in front of it."""

    row: str
    number: int
    type: str
    x: int
    y: int


class RowEntry(_Entry):
    row: RowName
    seats: SeatNumber
    offset: Annotated[int, Field(ge=0, le=MAX_OFFSET)] = 0
    aisles_after: list[SeatNumber] = []
    type: SeatType = "standard"
    types: dict[SeatNumber, SeatType] = {}
    blocked: list[SeatNumber] = []

    @model_validator(mode="after")
    def _names_its_own_seats(self) -> RowEntry:
        named = {"aisles_after": self.aisles_after, "types": list(self.types), "blocked": self.blocked}
        for field, numbers in named.items():
            if beyond := [number for number in numbers if number > self.seats]:
                raise ValueError(f"{field} names seat {beyond[0]}, but the row has {self.seats}")
            if (twice := _first_repeated(numbers)) is not None:
                raise ValueError(f"{field} names seat {twice} twice")
        if both := sorted(self.types.keys() & set(self.blocked)):
            raise ValueError(f"types names seat {both[0]}, which is blocked")
        return self

    def places(self, y: int) -> Iterator[SeatPlace]:
        """The row's seats by number; ``y`` is how many rows are in front of it."""
        for number in range(1, self.seats + 1):
            if number not in self.blocked:
                aisles = sum(after < number for after in self.aisles_after)
                x = self.offset + number - 1 + aisles
                yield SeatPlace(self.row, number, self.types.get(number, self.type), x, y)


class RoomEntry(_Entry):
    room_id: Annotated[Id | None, Field(validation_alias=AliasChoices("room_id", "id"))] = None
    name: RoomName
    rows: Annotated[list[RowEntry], Field(min_length=1, max_length=MAX_SEATS_PER_ROOM)]

    @model_validator(mode="after")
    def _has_rows_and_seats(self) -> RoomEntry:
        if (twice := _first_repeated([row.row for row in self.rows])) is not None:
            raise ValueError(f"row {twice} is there twice")
        seats = len(self.places())
        if not 1 <= seats <= MAX_SEATS_PER_ROOM:
            raise ValueError(f"the room has {seats} seats; it must have 1 to {MAX_SEATS_PER_ROOM}")
        return self

    def places(self) -> list[SeatPlace]:
        """The room's seats in room order: row by row from the front, each by number."""
        return [place for y, row in enumerate(self.rows) for place in row.places(y)]


class ShowingEntry(_Entry):
    showing_id: Annotated[Id | None, Field(validation_alias=AliasChoices("showing_id", "id"))] = None
    title: Title
    room: RoomName | None = None
    room_id: Id | None = None
    starts_at: Start
    minutes: Annotated[int, Field(ge=1, le=1440)] = 120
    price: Money
    prices: Prices = {}

    @model_validator(mode="after")
    def _has_one_room(self) -> ShowingEntry:
        if (self.room is None) == (self.room_id is None):
            raise ValueError("must name its room, either by room or by room_id")
        return self

    def starts(self, timezone: ZoneInfo) -> int:
        """Its start in seconds since 1970; without an offset the file means the cinema's ``timezone``.

        Raises ValueError where that clock never shows this time, or the showing begins or ends beyond the calendar.
        """
        moment = datetime.fromisoformat(self.starts_at)
        if moment.tzinfo is None:
            local = moment.replace(tzinfo=timezone)
            moment = local.astimezone(UTC)
            if moment.astimezone(timezone).replace(tzinfo=None) != local.replace(tzinfo=None):
                raise ValueError(f"is left out by {timezone.key}'s clocks on that day: they go to summer time")
        seconds = int(moment.timestamp())
        if not (is_in_time(seconds) and is_in_time(seconds + self.minutes * 60)):
            raise ValueError("must be in a year from 1970 to 9998, as must the end")
        return seconds


class UserEntry(_Entry):
    user_id: Annotated[Id | None, Field(validation_alias=AliasChoices("user_id", "id"))] = None
    username: Username
    password: Password
    role: AccountRole = "customer"
    email: Email | None = None
    name: Name | None = None


class CinemaFile(_Entry):
    rooms: list[RoomEntry] = []
    showings: list[ShowingEntry] = []
    users: list[UserEntry] = []


def _first_repeated(values: Sequence[Any]) -> Any:
    seen = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None


def parse(content: bytes) -> CinemaFile:
    """Read a file's content. Raises ImportFileError with a line per finding, each with the path to its field."""
    try:
        return CinemaFile.model_validate_json(content.removeprefix(b"\xef\xbb\xbf"))
    except ValidationError as error:
        findings = error.errors(include_url=False, include_context=False, include_input=False)
        raise ImportFileError("\n".join(_sentence(finding) for finding in findings)) from None


_ALLOWED = {
    "price": 'must be a decimal in a string, such as "9.50"',
    "prices": 'must be an object of prices by seat type, such as {"premium": "12.00"}',
    "username": "must be 1 to 32 of a-z, 0-9, dot, dash and underscore",
    "room_id": "must be a lower-case UUID with hyphens",
    "showing_id": "must be a lower-case UUID with hyphens",
    "user_id": "must be a lower-case UUID with hyphens",
    "id": "must be a lower-case UUID with hyphens",
}


def _sentence(finding: Any) -> str:
    path = _path(finding["loc"])
    if finding["type"] == "json_invalid":
        return f"this is not JSON: {finding['msg'].removeprefix('Invalid JSON: ')}"
    if finding["type"] == "extra_forbidden":
        return f"{path}: there is no such field"
    if finding["type"] == "missing":
        return f"{path}: this field is missing"
    names = [part for part in finding["loc"] if isinstance(part, str)]
    for name in reversed(names):
        if name in _ALLOWED:
            return f"{path}: {_ALLOWED[name]}"
    if finding["type"] == "string_pattern_mismatch":
        return f"{path}: must be text without control characters and invisible ones"
    message = str(finding["msg"]).removeprefix("Value error, ").replace("Input should", "must")
    message = message.replace("String should", "must").replace("List should", "must")
    return f"{path or 'the file'}: {message}"


def _path(location: Sequence[int | str]) -> str:
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part != "[key]":
            path += f".{part}" if path else part
    return path


# Into the database


@dataclass(frozen=True, slots=True)
class Count:
    """How many of a kind were in the file, and how many of those are new."""

    all: int
    added: int

    def of(self, one: str, many: str) -> str:
        return f"{self.all} {one if self.all == 1 else many} ({self.added} new)"


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did; as text a sentence's worth."""

    rooms: Count
    seats: int
    showings: Count
    users: Count
    notices: tuple[str, ...] = ()
    """What the owner may not have meant, and what changed in rooms that were there; a sentence each."""

    def __str__(self) -> str:
        return (
            f"{self.rooms.of('room', 'rooms')} with {self.seats} seats, {self.showings.of('showing', 'showings')} "
            f"and {self.users.of('user', 'users')} imported"
        )


def import_file(path: Path, settings: Settings, plugins: Sequence[type], *, now: float) -> Imported:
    """Import a file into the configured database, which is made if it is missing.

    ``now`` is in seconds since 1970. Raises ImportFileError, DatabaseError; OSError if the file cannot be read.
    """
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ImportFileError(f"{path}: the file is larger than {MAX_FILE_BYTES // 2**20} MiB")
    try:
        cinema = parse(path.read_bytes())
        with transaction(settings, plugins) as db:
            present = {entry.username: _password_hash(db, entry.username) for entry in cinema.users}
        # Between the transactions, for each takes a while and the box may want to write meanwhile.
        hashes = {
            entry.username: passwords.hash_unless_same(entry.password, present[entry.username])
            for entry in cinema.users
        }
        with transaction(settings, plugins) as db:
            imported = add(db, cinema, settings, password_hashes=hashes, now=now)
            record(db, now, Entry(*NOBODY, "import", "imported"))
        return imported
    except ImportFileError as error:
        raise ImportFileError("\n".join(f"{path}: {line}" for line in str(error).splitlines())) from None


@contextmanager
def transaction(settings: Settings, plugins: Sequence[type]) -> Iterator[sqlite_utils.Database]:
    """The configured database with all plugins' tables, in one transaction; the box may be running beside it.

    Raises DatabaseError.
    """
    path = settings.database.path
    try:
        make_place(path)
        db = connect(path)
        try:
            migrate(db, migrations_of(plugins))
            db.conn.execute("BEGIN IMMEDIATE")
            yield db
            db.conn.execute("COMMIT")
        finally:
            db.conn.close()  # which takes back what was not committed
    except DatabaseError as error:
        raise DatabaseError(f"{path}: {error}") from error
    except (sqlite3.Error, OSError) as error:
        raise DatabaseError(f"{path}: {describe(error)}") from error


def add(
    db: sqlite_utils.Database,
    cinema: CinemaFile,
    settings: Settings,
    *,
    password_hashes: dict[str, str],
    now: float,
) -> Imported:
    """Add the file's cinema, or update it, in the transaction under way. Raises ImportFileError."""
    notices: list[str] = []
    rooms = [_add_room(db, f"rooms[{index}]", entry, notices) for index, entry in enumerate(cinema.rooms)]
    _require_different("rooms", [room_id for room_id, _ in rooms])
    showings = [_add_showing(db, f"showings[{index}]", entry, settings) for index, entry in enumerate(cinema.showings)]
    _require_different("showings", [showing_id for showing_id, _ in showings])
    notices += _doubtful(db, {showing_id for showing_id, _ in showings}, ZoneInfo(settings.cinema.timezone), now)
    accounts = [
        _add_user(db, f"users[{index}]", entry, password_hashes[entry.username], now)
        for index, entry in enumerate(cinema.users)
    ]
    _require_different("users", [user_id for user_id, _ in accounts])
    return Imported(
        rooms=Count(len(rooms), sum(new for _, new in rooms)),
        seats=sum(len(entry.places()) for entry in cinema.rooms),
        showings=Count(len(showings), sum(new for _, new in showings)),
        users=Count(len(accounts), sum(new for _, new in accounts)),
        notices=tuple(notices),
    )


MAX_OVERLAPS_TOLD = 10


def _doubtful(db: sqlite_utils.Database, imported: set[str], timezone: ZoneInfo, now: float) -> Iterator[str]:
    """Imported showings that are over, or overlap with another in their room."""

    def named(title: str, starts_at: int) -> str:
        return f"“{title}” at {datetime.fromtimestamp(starts_at, timezone).strftime('%Y-%m-%d %H:%M')}"

    over, overlaps = [], []
    before: tuple[str, str, int, int] | None = None  # the one that ends last so far: id, room, end, place in rows
    rows = db.conn.execute(
        "SELECT showing_id, rooms.name, title, starts_at, ends_at FROM showings JOIN rooms USING (room_id) "
        "WHERE status = 'scheduled' ORDER BY room_id, starts_at"
    ).fetchall()
    for place, (showing_id, room, title, starts_at, ends_at) in enumerate(rows):
        if showing_id in imported and ends_at <= now:
            over.append(named(title, starts_at))
        if before is None or before[1] != room:
            before = showing_id, room, ends_at, place
            continue
        if starts_at < before[2] and imported & {showing_id, before[0]}:
            other = rows[before[3]]
            overlaps.append(f"{room}: {named(title, starts_at)} overlaps with {named(other[2], other[3])}")
        if ends_at > before[2]:
            before = showing_id, room, ends_at, place
    yield from overlaps[:MAX_OVERLAPS_TOLD]
    if more := overlaps[MAX_OVERLAPS_TOLD:]:
        yield f"{len(more)} more showings overlap with another"
    if over:
        yield f"{over[0]} is over already" if len(over) == 1 else f"{len(over)} showings are over already, as {over[0]}"


def _require_different(kind: str, ids: Sequence[str]) -> None:
    if (twice := _first_repeated(ids)) is not None:
        first, second = [index for index, one in enumerate(ids) if one == twice][:2]
        raise ImportFileError(f"{kind}[{second}]: this is the same as {kind}[{first}]")


def _add_room(db: sqlite_utils.Database, path: str, entry: RoomEntry, notices: list[str]) -> tuple[str, bool]:
    """The room's id, and whether it is new."""
    by_name = _one(db, "SELECT room_id FROM rooms WHERE name = ?", entry.name)
    room_id = _one(db, "SELECT room_id FROM rooms WHERE room_id = ?", entry.room_id) or by_name
    if room_id is None:
        room_id = entry.room_id or str(uuid4())
        db.conn.execute("INSERT INTO rooms (room_id, name) VALUES (?, ?)", (room_id, entry.name))
        _set_plan(db, path, room_id, entry.places())
        return room_id, True
    if by_name not in (None, room_id):
        raise ImportFileError(f"{path}.name: another room has this name")
    db.conn.execute("UPDATE rooms SET name = ? WHERE room_id = ?", (entry.name, room_id))
    added, removed = _set_plan(db, path, room_id, entry.places())
    changes = [f"{_seats(number)} {what}" for number, what in ((added, "added"), (removed, "removed")) if number]
    if changes:
        notices.append(f"{entry.name}: {', '.join(changes)}")
    return room_id, False


def _seats(number: int) -> str:
    return "1 seat" if number == 1 else f"{number} seats"


def _set_plan(db: sqlite_utils.Database, path: str, room_id: str, places: Sequence[SeatPlace]) -> tuple[int, int]:
    """Give the room these seats, in this order; how many are new, and how many were taken out.

    A seat is the same as before if its row and number are.
    """
    added = 0
    present = {
        (row, number): (seat_id, tuple(rest))
        for seat_id, row, number, *rest in db.conn.execute(
            'SELECT seat_id, "row", number, type, x, y, position FROM seats WHERE room_id = ?', (room_id,)
        )
    }
    for position, place in enumerate(places):
        wanted = (place.type, place.x, place.y, position)
        seat_id, found = present.pop((place.row, place.number), (None, None))
        if seat_id is None:
            added += 1
            db.conn.execute(
                'INSERT INTO seats (seat_id, room_id, "row", number, type, x, y, position) '
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (str(uuid4()), room_id, place.row, place.number, *wanted),
            )
        elif found != wanted:
            db.conn.execute(
                "UPDATE seats SET type = ?, x = ?, y = ?, position = ? WHERE seat_id = ?", (*wanted, seat_id)
            )
    if present:
        _remove_seats(db, path, {place: seat_id for place, (seat_id, _) in present.items()})
    return added, len(present)


def _remove_seats(db: sqlite_utils.Database, path: str, lost: Mapping[tuple[str, int], str]) -> None:
    """Take out the seats, given by row and number, unless one was ever sold."""
    # Else each is looked for among all sales there ever were, by the foreign key too.
    db.conn.execute("CREATE INDEX sales_of_a_seat ON booking_seats (seat_id)")
    for (row, number), seat_id in lost.items():
        if _one(db, "SELECT 1 FROM booking_seats WHERE seat_id = ?", seat_id):
            raise ImportFileError(
                f"{path}.rows: seat {number} of row {row} was sold, and a sold seat cannot be taken out of its room"
            )
        db.conn.execute("DELETE FROM seat_claims WHERE seat_id = ?", (seat_id,))
        db.conn.execute("DELETE FROM hold_runs WHERE seat_id = ?", (seat_id,))
        db.conn.execute("DELETE FROM seats WHERE seat_id = ?", (seat_id,))
    db.conn.execute("DROP INDEX sales_of_a_seat")


def _add_showing(db: sqlite_utils.Database, path: str, entry: ShowingEntry, settings: Settings) -> tuple[str, bool]:
    """The showing's id, and whether it is new."""
    room_id = _one(db, "SELECT room_id FROM rooms WHERE room_id = ? OR name = ?", entry.room_id, entry.room)
    if room_id is None:
        raise ImportFileError(f"{path}.{'room' if entry.room else 'room_id'}: there is no such room")
    types = [kind for (kind,) in db.conn.execute("SELECT DISTINCT type FROM seats WHERE room_id = ?", (room_id,))]
    for kind in entry.prices:
        if kind not in types:
            there_are = ", ".join(sorted(types))
            raise ImportFileError(f"{path}.prices.{kind}: no seat of the room is of this type; there are {there_are}")
    try:
        starts_at = entry.starts(ZoneInfo(settings.cinema.timezone))
    except (ValueError, OverflowError) as error:
        raise ImportFileError(f"{path}.starts_at: {error}") from error
    fields = {
        "title": entry.title,
        "starts_at": starts_at,
        "ends_at": starts_at + entry.minutes * 60,
        "price_cents": cents_of(entry.price),
        "prices": json.dumps({seat_type: cents_of(price) for seat_type, price in entry.prices.items()}),
        "currency": settings.cinema.currency,
    }
    showing_id = _one(db, "SELECT showing_id FROM showings WHERE showing_id = ?", entry.showing_id) or _one(
        db,
        # A cancelled one too, so that importing again does not bring it back; but it makes way for one that plays.
        "SELECT showing_id FROM showings WHERE room_id = ? AND starts_at = ? ORDER BY status = 'cancelled' LIMIT 1",
        room_id,
        starts_at,
    )
    if showing_id is None:
        showing_id = entry.showing_id or str(uuid4())
        db.table("showings").insert({"showing_id": showing_id, "room_id": room_id, **fields})
        return showing_id, True
    if room_id != _one(db, "SELECT room_id FROM showings WHERE showing_id = ?", showing_id):
        _move(db, path, showing_id, room_id)
    db.conn.execute(
        f"UPDATE showings SET {', '.join(f'{name} = ?' for name in fields)} WHERE showing_id = ?",  # noqa: S608  # our names
        (*fields.values(), showing_id),
    )
    return showing_id, False


def _move(db: sqlite_utils.Database, path: str, showing_id: str, room_id: str) -> None:
    if _one(db, "SELECT 1 FROM seat_claims WHERE showing_id = ? AND booking_id IS NOT NULL", showing_id):
        raise ImportFileError(f"{path}.room: seats of this showing are sold, so it stays in its room")
    db.conn.execute("DELETE FROM seat_claims WHERE showing_id = ?", (showing_id,))
    db.conn.execute("DELETE FROM hold_runs WHERE showing_id = ?", (showing_id,))
    db.conn.execute(
        "UPDATE showings SET room_id = ?, version = version + 1 WHERE showing_id = ?", (room_id, showing_id)
    )


def _add_user(
    db: sqlite_utils.Database, path: str, entry: UserEntry, password_hash: str, now: float
) -> tuple[str, bool]:
    """The user's id, and whether the account is new."""
    known = users.by_id(db, entry.user_id) if entry.user_id else None
    if known is not None and known.username != entry.username:
        raise ImportFileError(f"{path}.user_id: this user has another username, and a username stays")
    is_new = users.by_username(db, entry.username) is None
    try:
        user_id = users.upsert_account(
            db,
            username=entry.username,
            password_hash=password_hash,
            role=entry.role,
            email=entry.email,
            name=entry.name,
            now=now,
            user_id=entry.user_id,
        )
    except users.LastManagerError:
        raise ImportFileError(f"{path}.role: this is the last active manager, and one must stay") from None
    return user_id, is_new


def _password_hash(db: sqlite_utils.Database, username: str) -> str | None:
    user = users.by_username(db, username)
    return None if user is None else user.password_hash


def _one(db: sqlite_utils.Database, query: str, *parameters: object) -> Any:
    row = db.conn.execute(query, parameters).fetchone()
    return None if row is None else row[0]
