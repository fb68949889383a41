"""Whether bookings can be written, found out by writing."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import sqlite_utils

from broker.storage.database import StorageUnavailableError
from broker.storage.outage import Reason

SHARED_SECONDS = 1.0
"""An answer is everybody's for so long: whoever asks, and however often, the disk is written to no more than that."""

PROBE_BYTES = 8192
"""What is written takes pages of its own, as a booking does: a file that cannot grow shows itself."""

migrations = sqlite_utils.Migrations("box")


@migrations()
def what_health_writes(db: sqlite_utils.Database) -> None:
    db.conn.execute("CREATE TABLE box_health (probe INTEGER PRIMARY KEY, written TEXT NOT NULL, filler BLOB NOT NULL)")


def probe(db: sqlite_utils.Database) -> None:
    """A quick job that is on disk when it has succeeded; the table keeps its last row alone."""
    execute = db.conn.execute
    added = execute(
        "INSERT INTO box_health (written, filler) VALUES (datetime('now'), zeroblob(?))", (PROBE_BYTES,)
    ).lastrowid
    execute("DELETE FROM box_health WHERE probe < ?", (added,))


class Health:
    """``write`` puts a probe on disk, or raises StorageUnavailableError; who waits for it longer than
    ``patience_seconds`` is told that the database is locked. ``clock`` is monotonic, in seconds."""

    def __init__(
        self,
        write: Callable[[], Awaitable[None]],
        *,
        patience_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._patience_seconds = patience_seconds
        self._clock = clock
        self._asking: asyncio.Task[Reason | None] | None = None
        self._answered_at = -SHARED_SECONDS
        self._answer: Reason | None = None

    async def trouble(self) -> Reason | None:
        """Why nothing can be written; None if it can. Shares the last answer, or the one that is under way."""
        if self._asking is None:
            if self._clock() - self._answered_at < SHARED_SECONDS:
                return self._answer
            self._asking = asyncio.create_task(self._ask())
        try:
            # Who asks may go; the probe goes on, and is not doubled by who asks next.
            return await asyncio.wait_for(asyncio.shield(self._asking), self._patience_seconds)
        except TimeoutError:
            return Reason.LOCKED

    async def close(self) -> None:
        """Wait for the probe that is under way."""
        if self._asking is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._asking

    async def _ask(self) -> Reason | None:
        try:
            await self._write()
            self._answer = None
        except StorageUnavailableError as error:
            self._answer = error.reason
        finally:
            self._answered_at = self._clock()
            self._asking = None
        return self._answer
