"""Python's garbage collector, set for a process that serves: its pauses are everybody's waiting.

A connection that ends is freed at once but for a few hundred bytes that asyncio leaves in a cycle, so there is little
to collect, and a look at everything may wait for a quiet moment.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

THRESHOLDS = (5_000, 5, 1_000)
"""Containers made and still alive before the youngest are looked at; how many such looks until the older ones follow,
and of these until all do. So that a thousand browsers coming in at once cost pauses of some 10 ms each, and a look at
all, which took up to 660 ms with them, is left to the quiet: it comes by itself after 25 million containers alone."""

QUIET_LOOK_SECONDS = 60.0


def settle() -> None:
    """Look no more at what the start has made: it stays as long as the process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


async def collect_in_quiet(is_quiet: Callable[[], bool]) -> None:
    """Look at everything now and then, when nobody waits; to be run as a task for as long as the box serves."""
    while True:
        await asyncio.sleep(QUIET_LOOK_SECONDS)
        if is_quiet():
            gc.collect()
