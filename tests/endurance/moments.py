"""Moments at which the plug is pulled. Each is random within its kind; together they cover the life of a box."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from contract.process import BoxProcess

from endurance.storm import Progress

STORM_SECONDS = 0.8
"""About how long a storm lasts."""
START_SECONDS = 0.8
"""About how long a start takes."""
STOP_SECONDS = 0.1
"""About how long a stop takes."""
LOOK_SECONDS = 0.0002
"""How often it is looked whether a file has grown."""
PATIENCE_SECONDS = 5.0

Strike = Callable[[BoxProcess, Path, Progress, random.Random], Awaitable[None]]


async def before_the_first_acknowledgement(
    box: BoxProcess, path: Path, progress: Progress, chance: random.Random
) -> None:
    await _at_most(PATIENCE_SECONDS, progress.begun.wait())
    await asyncio.sleep(chance.random() * 0.004)
    await box.cut_the_power()


async def at_an_acknowledgement(box: BoxProcess, path: Path, progress: Progress, chance: random.Random) -> None:
    await _at_most(STORM_SECONDS, progress.reaches(chance.randint(1, 400)))
    await box.cut_the_power()


async def at_any_time(box: BoxProcess, path: Path, progress: Progress, chance: random.Random) -> None:
    await progress.begun.wait()
    await asyncio.sleep(chance.random() * STORM_SECONDS)
    await box.cut_the_power()


async def as_the_log_is_written(box: BoxProcess, path: Path, progress: Progress, chance: random.Random) -> None:
    """Between the write of a transaction and its acknowledgements, or in the middle of that write."""
    times, delay = chance.randint(1, 60), chance.choice((0.0, 0.0, chance.random() * 0.001))
    await asyncio.to_thread(_kill_as_it_grows, box.process.pid, _log(path), times, delay, STORM_SECONDS)
    await box.cut_the_power()


async def while_stopping(box: BoxProcess, path: Path, progress: Progress, chance: random.Random) -> None:
    await progress.begun.wait()
    await asyncio.sleep(chance.random() * STORM_SECONDS / 2)
    box.process.send_signal(signal.SIGTERM)
    await asyncio.sleep(chance.random() * STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):  # the stop was faster
        await box.cut_the_power()


async def while_starting(box: BoxProcess, path: Path, progress: Progress, chance: random.Random) -> None:
    """In the middle of a storm, and once more in the middle of the next start."""
    await at_any_time(box, path, progress, chance)
    await _cut_a_start(path, chance.random() * START_SECONDS)


async def while_migrating(box: BoxProcess, path: Path, progress: Progress, chance: random.Random) -> None:
    """In the middle of a storm; then the file is an older version's, and the next start ends as it is brought up."""
    await at_any_time(box, path, progress, chance)
    make_older(path)
    process = await BoxProcess.spawn(path)
    await asyncio.to_thread(_kill_as_it_grows, process.pid, _log(path), 1, chance.random() * 0.02, PATIENCE_SECONDS)
    await process.wait()


MOMENTS: dict[str, Strike] = {
    strike.__name__.replace("_", " "): strike
    for strike in (
        before_the_first_acknowledgement,
        at_an_acknowledgement,
        at_any_time,
        as_the_log_is_written,
        while_stopping,
        while_starting,
        while_migrating,
    )
}


def make_older(path: Path) -> None:
    """Take the last migration of the bookings back, so that it is to be applied again."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE INDEX IF NOT EXISTS sales_of_a_seat ON booking_seats (seat_id)")
        db.execute("DELETE FROM _sqlite_migrations WHERE name = 'no_index_of_sold_seats'")


async def _cut_a_start(path: Path, seconds: float) -> None:
    process = await BoxProcess.spawn(path)
    await asyncio.sleep(seconds)
    process.kill()
    await process.wait()


async def _at_most(seconds: float, waiting: Awaitable[Any]) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(waiting, seconds)


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _kill_as_it_grows(pid: int, log: Path, times: int, delay: float, patience: float) -> None:
    """kill -9 when the file has been written to so many times, and so many seconds later; at the latest after
    ``patience`` seconds."""
    until = time.monotonic() + patience
    last, seen = _stamp(log), 0
    while seen < times and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)
        if (now := _stamp(log)) != last:
            last, seen = now, seen + 1
    time.sleep(delay)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _stamp(log: Path) -> tuple[int, int] | None:
    try:
        status = log.stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns
