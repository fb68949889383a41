"""The cinema's tables.

The schema itself keeps the one promise that matters: a seat of a showing belongs to at most one booking or hold.
Every claim on a seat is a row of ``seat_claims``, whose primary key is showing and seat; selling a seat claims it, by a
trigger, and a sold seat's claim can be neither taken, changed nor dropped while its booking stands. However wrong the
code that writes, it can sell no seat twice.

Times are seconds since 1970 in UTC, money is integer cents. ``users`` is another plugin's table, made before these:
``users (user_id TEXT PRIMARY KEY, role, is_active, username, name, email, …)``.
"""

from __future__ import annotations

import secrets

import sqlite_utils
from sqlite_utils import Migrations

migrations = Migrations("booking")


@migrations()
def the_cinema(db: sqlite_utils.Database) -> None:
    for statement in (ROOMS, SEATS, SHOWINGS, BOOKINGS, BOOKING_SEATS, SEAT_CLAIMS, HOLD_RUNS, FAILURES, SECRETS):
        db.conn.execute(statement)
    for statement in (*INDEXES, *TRIGGERS):
        db.conn.execute(statement)


@migrations()
def a_secret_for_booking_ids(db: sqlite_utils.Database) -> None:
    db.conn.execute("INSERT INTO booking_secrets VALUES ('booking_id', ?)", (secrets.token_bytes(32),))


@migrations()
def no_index_of_sold_seats(db: sqlite_utils.Database) -> None:
    # Each sale paid for it with a page of its own, and only a room that loses seats needs it: imports.py makes it then.
    db.conn.execute("DROP INDEX IF EXISTS sales_of_a_seat")


@migrations()
def where_bookings_come_from(db: sqlite_utils.Database) -> None:
    # The address that a visitor or customer booked from, NULL for the house; seats is how many the booking has, so that
    # one index counts an address's share of a showing. The second index finds who books and cancels in a loop.
    for statement in (
        "ALTER TABLE bookings ADD COLUMN address TEXT",
        "ALTER TABLE bookings ADD COLUMN seats INTEGER",
        "CREATE INDEX bookings_of_an_address ON bookings (showing_id, address, status, seats) "
        "WHERE address IS NOT NULL AND status = 'confirmed'",
        "CREATE INDEX cancellations_of_a_user ON bookings (user_id, cancelled_at) "
        "WHERE status = 'cancelled' AND requested_by = user_id",
    ):
        db.conn.execute(statement)


@migrations()
def who_cancelled(db: sqlite_utils.Database) -> None:
    # NULL where nobody did: the showing was cancelled, or the account closed.
    for statement in (
        "ALTER TABLE bookings ADD COLUMN cancelled_by TEXT",
        "DROP INDEX cancellations_of_a_user",
        "CREATE INDEX cancellations_by_a_user ON bookings (cancelled_by, cancelled_at) WHERE cancelled_by IS NOT NULL",
        "CREATE INDEX cancellations_of_an_address ON bookings (address, cancelled_at) "
        "WHERE address IS NOT NULL AND cancelled_by = user_id",
    ):
        db.conn.execute(statement)


@migrations()
def what_happened_last(db: sqlite_utils.Database) -> None:
    # A booking was made or cancelled: the desk asks for the latest again and again.
    db.conn.execute("CREATE INDEX bookings_by_change ON bookings (coalesce(cancelled_at, created_at))")


ROOMS = """
CREATE TABLE rooms (
    room_id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT
"""

# position is the room order: row by row from the front, each by number.
SEATS = """
CREATE TABLE seats (
    seat_id TEXT PRIMARY KEY,
    room_id TEXT NOT NULL REFERENCES rooms (room_id),
    "row" TEXT NOT NULL,
    number INTEGER NOT NULL,
    type TEXT NOT NULL DEFAULT 'standard',
    x INTEGER NOT NULL,
    y INTEGER NOT NULL,
    position INTEGER NOT NULL,
    UNIQUE (room_id, "row", number),
    UNIQUE (seat_id, room_id)
) STRICT
"""

# prices is a JSON object of cents by seat type: those that differ from price_cents.
SHOWINGS = """
CREATE TABLE showings (
    showing_id TEXT PRIMARY KEY,
    title TEXT NOT NULL,
    room_id TEXT NOT NULL REFERENCES rooms (room_id),
    starts_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL,
    price_cents INTEGER NOT NULL CHECK (price_cents >= 0),
    prices TEXT NOT NULL DEFAULT '{}' CHECK (json_type(prices) = 'object'),
    currency TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'scheduled' CHECK (status IN ('scheduled', 'cancelled')),
    version INTEGER NOT NULL DEFAULT 0,
    CHECK (ends_at > starts_at),
    UNIQUE (showing_id, room_id)
) STRICT
"""

# key opens the booking without signing in; it stands here in clear because a repeated request is answered with it.
BOOKINGS = """
CREATE TABLE bookings (
    booking_id TEXT PRIMARY KEY,
    number TEXT NOT NULL UNIQUE,
    showing_id TEXT NOT NULL REFERENCES showings (showing_id),
    user_id TEXT NOT NULL REFERENCES users (user_id),
    requested_by TEXT NOT NULL REFERENCES users (user_id),
    status TEXT NOT NULL CHECK (status IN ('confirmed', 'cancelled')),
    message TEXT NOT NULL,
    total_cents INTEGER NOT NULL,
    currency TEXT NOT NULL,
    email TEXT,
    key TEXT NOT NULL,
    paid TEXT CHECK (paid IN ('cash', 'card', 'other')),
    created_at REAL NOT NULL,
    cancelled_at REAL,
    CHECK ((status = 'cancelled') = (cancelled_at IS NOT NULL))
) STRICT
"""

# What was sold, and at which price; it stays when the booking is cancelled. place is the order in the request.
BOOKING_SEATS = """
CREATE TABLE booking_seats (
    booking_id TEXT NOT NULL REFERENCES bookings (booking_id),
    seat_id TEXT NOT NULL REFERENCES seats (seat_id),
    place INTEGER NOT NULL,
    price_cents INTEGER NOT NULL,
    PRIMARY KEY (booking_id, seat_id)
) STRICT, WITHOUT ROWID
"""

# Either sold (booking_id) or held (held_…): for whom, by whom, for which booking alone, from where, and how long.
# held_run is whose time is counted, held_since that run's first moment.
SEAT_CLAIMS = """
CREATE TABLE seat_claims (
    showing_id TEXT NOT NULL,
    seat_id TEXT NOT NULL,
    room_id TEXT NOT NULL,
    booking_id TEXT,
    held_for TEXT,
    held_by TEXT,
    held_booking_id TEXT,
    held_run TEXT,
    held_address TEXT,
    held_since REAL,
    held_until REAL,
    PRIMARY KEY (showing_id, seat_id),
    FOREIGN KEY (showing_id, room_id) REFERENCES showings (showing_id, room_id),
    FOREIGN KEY (seat_id, room_id) REFERENCES seats (seat_id, room_id),
    FOREIGN KEY (booking_id, seat_id) REFERENCES booking_seats (booking_id, seat_id),
    CHECK ((booking_id IS NULL) = (held_until IS NOT NULL)),
    CHECK ((held_until IS NULL) = (held_for IS NULL)),
    CHECK ((held_until IS NULL) = (held_by IS NULL)),
    CHECK ((held_until IS NULL) = (held_run IS NULL)),
    CHECK ((held_until IS NULL) = (held_since IS NULL))
) STRICT, WITHOUT ROWID
"""

# Holds that ended lately: one begun again soon after goes on counting from the first moment.
HOLD_RUNS = """
CREATE TABLE hold_runs (
    run TEXT NOT NULL,
    showing_id TEXT NOT NULL,
    seat_id TEXT NOT NULL,
    since REAL NOT NULL,
    ended REAL NOT NULL,
    PRIMARY KEY (run, showing_id, seat_id)
) STRICT, WITHOUT ROWID
"""

# Requests whose outcome was a refusal. The showing is as it was sent; of the seats asked for a digest is enough to
# recognise the request, seat_ids (JSON) are those that were in the way.
FAILURES = """
CREATE TABLE booking_failures (
    booking_id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    showing_id TEXT NOT NULL,
    asked_digest BLOB NOT NULL,
    code TEXT NOT NULL,
    message TEXT NOT NULL,
    seat_ids TEXT NOT NULL,
    at REAL NOT NULL
) STRICT
"""

SECRETS = "CREATE TABLE booking_secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT"

INDEXES = (
    "CREATE INDEX seats_of_a_room ON seats (room_id, position)",
    "CREATE INDEX showings_by_end ON showings (ends_at)",
    "CREATE INDEX showings_of_a_room ON showings (room_id)",
    "CREATE INDEX bookings_of_a_showing ON bookings (showing_id, user_id)",
    "CREATE INDEX bookings_of_a_user ON bookings (user_id)",
    "CREATE INDEX bookings_of_a_requester ON bookings (requested_by) WHERE requested_by <> user_id",
    "CREATE INDEX holds_by_end ON seat_claims (held_until) WHERE held_until IS NOT NULL",
    "CREATE INDEX holds_of_a_user ON seat_claims (held_for) WHERE held_for IS NOT NULL",
    "CREATE INDEX holds_of_an_address ON seat_claims (held_address) WHERE held_address IS NOT NULL",
    "CREATE INDEX hold_runs_by_end ON hold_runs (ended)",
    "CREATE INDEX failures_of_a_requester ON booking_failures (requested_by, at)",
    "CREATE INDEX failures_by_age ON booking_failures (at)",
)

TRIGGERS = (
    """
    CREATE TRIGGER selling_a_seat_claims_it AFTER INSERT ON booking_seats BEGIN
        INSERT INTO seat_claims (showing_id, seat_id, room_id, booking_id)
        SELECT showing_id, NEW.seat_id, (SELECT room_id FROM seats WHERE seat_id = NEW.seat_id), NEW.booking_id
        FROM bookings WHERE booking_id = NEW.booking_id;
    END
    """,
    """
    CREATE TRIGGER cancelling_frees_the_seats AFTER UPDATE OF status ON bookings WHEN NEW.status = 'cancelled' BEGIN
        DELETE FROM seat_claims WHERE showing_id = NEW.showing_id AND booking_id = NEW.booking_id
            AND seat_id IN (SELECT seat_id FROM booking_seats WHERE booking_id = NEW.booking_id);
    END
    """,
    """
    CREATE TRIGGER cancelled_stays_cancelled BEFORE UPDATE OF status ON bookings WHEN OLD.status = 'cancelled' BEGIN
        SELECT RAISE(ABORT, 'a cancelled booking stays cancelled');
    END
    """,
    """
    CREATE TRIGGER a_booking_keeps_its_showing BEFORE UPDATE OF booking_id, showing_id ON bookings BEGIN
        SELECT RAISE(ABORT, 'a booking keeps its showing');
    END
    """,
    """
    CREATE TRIGGER a_sale_stays_what_it_was BEFORE UPDATE ON booking_seats BEGIN
        SELECT RAISE(ABORT, 'what was sold stays what it was');
    END
    """,
    """
    CREATE TRIGGER a_sold_seat_is_not_dropped BEFORE DELETE ON seat_claims WHEN OLD.booking_id IS NOT NULL
        AND (SELECT status FROM bookings WHERE booking_id = OLD.booking_id) = 'confirmed'
    BEGIN
        SELECT RAISE(ABORT, 'a sold seat stays sold until its booking is cancelled');
    END
    """,
    """
    CREATE TRIGGER a_sold_seat_is_not_changed BEFORE UPDATE ON seat_claims WHEN OLD.booking_id IS NOT NULL BEGIN
        SELECT RAISE(ABORT, 'a sold seat stays sold until its booking is cancelled');
    END
    """,
    # A room whose plan changes is another present for its showings' subscribers: the version says so.
    """
    CREATE TRIGGER a_new_seat_is_a_new_plan AFTER INSERT ON seats BEGIN
        UPDATE showings SET version = version + 1 WHERE room_id = NEW.room_id;
    END
    """,
    """
    CREATE TRIGGER a_lost_seat_is_a_new_plan AFTER DELETE ON seats BEGIN
        UPDATE showings SET version = version + 1 WHERE room_id = OLD.room_id;
    END
    """,
    """
    CREATE TRIGGER a_changed_seat_is_a_new_plan AFTER UPDATE ON seats
        WHEN (OLD.room_id, OLD."row", OLD.number, OLD.type, OLD.x, OLD.y, OLD.position)
            IS NOT (NEW.room_id, NEW."row", NEW.number, NEW.type, NEW.x, NEW.y, NEW.position)
    BEGIN
        UPDATE showings SET version = version + 1 WHERE room_id IN (OLD.room_id, NEW.room_id);
    END
    """,
)
