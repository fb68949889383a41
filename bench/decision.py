"""How the systems beside the box decide a booking: SQLite, and one durable transaction each.

They keep no present for those who subscribe later: MQTT retains one message per topic, and all seats of a showing
share one.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime

SCHEMA = """
CREATE TABLE bookings (id TEXT PRIMARY KEY, showing_id TEXT NOT NULL);
CREATE TABLE booked_seats (
    showing_id TEXT NOT NULL, seat_id TEXT NOT NULL, booking_id TEXT NOT NULL REFERENCES bookings (id),
    UNIQUE (showing_id, seat_id)
);
"""


class Decisions:
    """The bookings of one database. Its payloads have the box's fields, in the box's form."""

    def __init__(self, database: str) -> None:
        self._db = sqlite3.connect(database, isolation_level=None, cached_statements=64)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(SCHEMA)
        self._versions: defaultdict[str, int] = defaultdict(int)

    def decide(self, payload: bytes) -> Iterator[tuple[str, bytes, int]]:
        """Commit the booking that was requested; then each message to publish: topic, payload and QoS.

        The confirmation is first, as the box's is: whoever asked does not wait until all who watch are told.
        """
        request = json.loads(payload)
        booking_id, showing_id, seat_ids = request["booking_id"], request["showing_id"], request["seat_ids"]
        confirmed = self._commit(booking_id, showing_id, seat_ids)
        timestamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        confirmation = {"booking_id": booking_id, "status": "failed", "message": "Taken.", "timestamp": timestamp}
        if confirmed:
            confirmation |= {
                "status": "confirmed",
                "message": "Booked.",
                "number": booking_id[:6].upper(),
                "total": f"{10 * len(seat_ids)}.00",
                "currency": "EUR",
                "showing_id": showing_id,
                "seat_ids": seat_ids,
                "key": secrets.token_urlsafe(16),
            }
        yield f"booking/confirm/{booking_id}", _json(confirmation), 1
        for seat_id in seat_ids if confirmed else ():
            self._versions[showing_id] += 1
            status = {
                "showing_id": showing_id,
                "seat_id": seat_id,
                "status": "booked",
                "version": self._versions[showing_id],
                "timestamp": timestamp,
            }
            yield f"seats/status/{showing_id}", _json(status), 0

    def _commit(self, booking_id: str, showing_id: str, seat_ids: list[str]) -> bool:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("INSERT INTO bookings VALUES (?, ?)", (booking_id, showing_id))
            self._db.executemany(
                "INSERT INTO booked_seats VALUES (?, ?, ?)",
                [(showing_id, seat_id, booking_id) for seat_id in seat_ids],
            )
            self._db.execute("COMMIT")
        except sqlite3.IntegrityError:
            self._db.execute("ROLLBACK")
            return False
        return True


def _json(payload: dict[str, object]) -> bytes:
    return json.dumps(payload, separators=(",", ":")).encode()
