"""What processes have used of the machine, from /proc."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")


def cpu_seconds(pids: Iterable[int]) -> float:
    """What all threads of these processes have run so far, in the kernel and outside, to the nanosecond.

    A thread that ended no longer counts: measure where none ends.
    """
    nanoseconds = 0
    for pid in pids:
        for thread in (PROC / str(pid) / "task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):  # a thread that ended since it was listed
                nanoseconds += int((thread / "schedstat").read_text(encoding="ascii").split()[0])
    return nanoseconds / 1e9


def memory_kib(pids: Iterable[int]) -> int:
    """Their memory: what is shared between processes counts in proportion (PSS)."""
    kib = 0
    for pid in pids:
        for line in (PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                kib += int(line.split()[1])
    return kib
