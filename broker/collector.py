"""Python's garbage collector, set for a process that serves: its pauses are everybody's waiting.

A connection that ends is freed at once, but for 1.5 KB that asyncio leaves in a cycle of seven containers (a TLS
handshake that is broken off leaves 256 KiB in one). So the young are looked at often, which takes a millisecond, and
all of them seldom: with a thousand browsers connected that takes up to 660 ms.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

THRESHOLDS = (1_000, 8, 1_000)
"""Containers made and still alive before the youngest are looked at; how many such looks until the older ones follow,
some 5 ms; and how many of these until all do: after some 70,000 connections, of which 100 MB are left until then.
A quiet moment comes before that (:func:`collect_in_quiet`)."""

QUIET_LOOK_SECONDS = 60.0


def settle() -> None:
    """Look no more at what the start has made: it stays as long as the process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


async def collect_in_quiet(is_quiet: Callable[[], bool], *, every_seconds: float = QUIET_LOOK_SECONDS) -> None:
    """Look at everything now and then, when nobody waits; to be run as a task for as long as the box serves."""
    while True:
        await asyncio.sleep(every_seconds)
        if is_quiet():
            gc.collect()
