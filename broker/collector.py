"""Python's garbage collector, set for a process that serves: its pauses are everybody's waiting."""

from __future__ import annotations

import gc

THRESHOLDS = (5_000, 5, 16)
"""Containers made and still alive before the youngest are looked at; how many such looks until the older ones follow,
and of these until all do. Small steps: of a thousand browsers that come in at once each pause is some 10 ms."""


def settle() -> None:
    """Look no more at what the start has made: it stays as long as the process. A look at all of it took 110–150 ms,
    and came about once a second in a rush."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
