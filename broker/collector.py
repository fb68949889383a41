"""Python's garbage collector, set for a process that serves: its pauses are everybody's waiting.

The doors see to it that a connection that ends is freed at once, for what is left to the collector adds up: 41
containers of each of 70,000 connections took it six seconds. So it finds little, and need not look often at everything,
which takes 70 to 100 ms with a thousand browsers connected.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

THRESHOLDS = (1_000, 8, 200)
"""Containers made and still alive before the youngest are looked at, for a few milliseconds; how many such looks until
the older ones follow, for some ten; and how many of these until all do: after some 14,000 connections. A quiet moment
comes before that (:func:`collect_in_quiet`)."""

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
