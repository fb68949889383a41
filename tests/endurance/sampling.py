"""What a box is made of while it serves: its memory, descriptors, threads, connections and file, seen from outside."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

PROC = Path("/proc")
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Sample:
    """Bytes and counts at a moment, in seconds since the beginning."""

    at: float
    memory: int
    """Anonymous memory: without what the kernel keeps of files."""
    resident: int
    blocks: int
    """In which Python's objects are: what is alive, without what the allocator keeps for later."""
    descriptors: int
    threads: int
    tasks: int
    connections: int
    """As the box counts them in ``/metrics``."""
    subscriptions: int
    database: int
    log: int
    """The write-ahead log's size."""


@dataclass(frozen=True, slots=True)
class Rows:
    """How many rows there are of what is sold, and of what must not add up."""

    bookings: int
    seats: int
    claims: int
    failures: int
    hold_runs: int
    users: int
    tokens: int


def memory(pid: int) -> tuple[int, int]:
    """Anonymous and resident memory in bytes, shared pages in proportion."""
    fields = {}
    for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]:
        name, value, *_ = line.split()
        fields[name] = int(value) * 1024
    return fields["Anonymous:"], fields["Pss:"]


def descriptors(pid: int) -> Counter[str]:
    """What they are, files by name."""
    found: Counter[str] = Counter()
    for fd in (PROC / str(pid) / "fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            found[os.readlink(fd).partition(":[")[0]] += 1
    return found


def threads(pid: int) -> int:
    return len(os.listdir(PROC / str(pid) / "task"))


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


async def sample(pid: int, path: Path, at: float, session: aiohttp.ClientSession) -> Sample:
    """``session`` may call ``/metrics``."""
    async with session.get("/metrics") as response:
        text = await response.text()
    totals: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        if family.type == "gauge":
            totals[family.name] = sum(one.value for one in family.samples)
    anonymous, resident = memory(pid)
    return Sample(
        at=at,
        memory=anonymous,
        resident=resident,
        blocks=int(totals["lynrie_memory_blocks"]),
        descriptors=descriptors(pid).total(),
        threads=threads(pid),
        tasks=int(totals["lynrie_tasks"]),
        connections=int(totals["lynrie_connections"]),
        subscriptions=int(totals["lynrie_subscriptions"]),
        database=size(path),
        log=size(path.with_name(f"{path.name}-wal")),
    )


def rows(path: Path) -> Rows:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        tables = ("bookings", "booking_seats", "seat_claims", "booking_failures", "hold_runs", "users", "tokens")
        return Rows(*(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables))
