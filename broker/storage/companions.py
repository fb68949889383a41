"""What SQLite keeps beside a database: beside the file itself, also where the path is a link to it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

SUFFIXES = ("-wal", "-shm", "-journal")


class Companions(NamedTuple):
    """Where they are, if they are."""

    wal: Path
    """The log: what was committed last."""
    shm: Path
    """The log's index, and the locks of all who use the database; it holds nothing that the log does not."""
    journal: Path
    """What undoes a change that was cut off, where there is no log."""


def companions(database: Path) -> Companions:
    real = database.resolve()
    return Companions(*(real.with_name(real.name + suffix) for suffix in SUFFIXES))


def left_of(database: Path) -> list[Path]:
    """What holds something of a database that is gone. An empty log does not, nor does an index: a command that only
    reads leaves both beside a database that nobody else uses."""
    if database.exists():
        return []
    beside = companions(database)
    return [path for path in (beside.wal, beside.journal) if path.is_file() and path.stat().st_size]


def remove_with_companions(database: Path) -> None:
    database.unlink(missing_ok=True)  # first: were it a link, what lies beside its target is not ours
    for path in companions(database):
        path.unlink(missing_ok=True)
