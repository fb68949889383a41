"""A database file that cannot be served: recognised before anybody is, set aside untouched, and the way back told.

A box never begins an empty cinema in a damaged one's place: as long as there is no database but one that was set
aside beside it, nothing makes a new one.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlite_utils

from broker.storage.backup import (
    BackupFolder,
    folders_of,
    in_words,
    newest_sound,
    one_line,
    put_names_on_disk,
    read_only,
    stamp,
)
from broker.storage.companions import SUFFIXES, companions, left_of
from broker.storage.database import DatabaseError, damage_of
from broker.storage.lock import FileLock, HeldError
from broker.storage.outage import describe
from config import Settings

DAMAGED = "damaged"
REPLACED = "replaced"


@dataclass(frozen=True)
class Missing:
    """That a database is not where it was, and what to do."""

    text: str
    advice: str
    is_by_backups_alone: bool = False
    """Whether nothing else tells of it."""


@dataclass(frozen=True)
class WayBack:
    """One database, where its backups are, and how the owner calls this program."""

    database: Path
    folders: Sequence[BackupFolder]
    command: str = "run_broker.py"

    @classmethod
    def of(cls, settings: Settings, command: str = "run_broker.py") -> WayBack:
        path = settings.database.path
        return cls(path, folders_of(path, settings.backup.path, settings.backup.second_path), command)

    def advice(self) -> str:
        """The command that restores the newest sound backup, or that there is none."""
        backup = newest_sound(self.folders)
        if backup is not None:
            return f"the newest sound backup is of {in_words(backup.made_at)}; bring it back with: " + (
                f"{self.command} restore {_shown(backup.path)}"
            )
        places = " and ".join(str(folder.path) for folder in self.folders)
        return f"there is no sound backup in {places}"

    def missing(self) -> Missing | None:
        """Why nothing may begin an empty database here; None if one is there, or there never was one."""
        if trace := trace_of(self.database):
            anew = "what was set aside, and the backups," if files_aside(self.database) else "what is left of it"
            advice = (
                self.advice() if files_aside(self.database) else f"put it back; or stop the box, and {self.advice()}"
            )
            return Missing(trace, f"{advice} (to begin anew instead, move {anew} to another folder)")
        if self.database.exists() or newest_sound(self.folders) is None:
            return None
        advice = f"{self.advice()} (to begin anew instead, move the backups to another folder)"
        return Missing("there is no database, but there are backups of one", advice, is_by_backups_alone=True)

    def damage(self) -> str:
        """What is wrong with the file, in SQLite's words; empty if it is sound, or is not there.

        The file is not changed. Raises sqlite3.Error where it cannot be looked at.
        """
        if not self.database.is_file():
            return ""
        if self.database.stat().st_size == 0 and newest_sound(self.folders) is not None:
            return "it is empty, and there are backups of what it was"
        with contextlib.closing(read_only(self.database)) as connection:
            return one_line(damage_of(sqlite_utils.Database(connection)))

    def require_sound(self, now: float, *, may_begin_anew: bool = False) -> None:
        """Set a damaged file aside, and say so. Only for who holds the box's lock on the file.

        ``now`` is in seconds since 1970; ``may_begin_anew``: a file that is gone was removed on purpose. Raises
        DatabaseError.
        """
        if (missing := self.missing()) and not (may_begin_anew and missing.is_by_backups_alone):
            raise DatabaseError(f"{self.database}: {missing.text}; {missing.advice}")
        try:
            damage = self.damage()
        except (sqlite3.Error, OSError) as error:
            raise DatabaseError(f"{self.database}: {describe(error)}") from error
        if not damage:
            return
        told = f"{self.database}: the file is damaged or is not a database ({damage})"
        try:
            moved = set_aside(self.database, DAMAGED, now)
        except OSError as error:
            raise DatabaseError(f"{told}, and cannot be set aside: {describe(error)}") from error
        raise DatabaseError(f"{told}; it was set aside, untouched, as {moved}; {self.advice()}")


def make_place(database: Path) -> None:
    """Make the folder for a database that the command line may be the first to write to.

    Raises DatabaseError where there was one: who adds to it would begin an empty one in its place.
    """
    if trace := trace_of(database):
        raise DatabaseError(f"{trace}; “check” says what to do")
    database.parent.mkdir(parents=True, exist_ok=True)


def trace_of(database: Path) -> str:
    """What tells, beside the place of a database that is not there, that it was; empty if nothing does.

    An empty one in its place would be worse than none: SQLite throws a ``-wal`` away that belongs to another file, and
    in it the last bookings.
    """
    if database.exists():
        return ""
    if aside := files_aside(database):
        return f"there is no database, but one that was set aside, {aside[-1]}"
    if left := left_of(database):
        return f"the database was moved or removed, but {left[0].name} is there"
    return "the database was moved or removed while a box serves it" if is_served(database) else ""


def is_served(database: Path) -> bool:
    """Whether a box of another process holds the database's lock. Raises OSError."""
    lock = FileLock(database)
    if not lock.path.exists():  # nor is one made by looking
        return False
    try:
        with lock:
            return False
    except HeldError as held:
        return held.process != os.getpid()


def files_aside(database: Path) -> list[Path]:
    """What was set aside from this place, the oldest first: databases, and what was left of one that was gone."""
    real = database.resolve()
    found = [path for why in (DAMAGED, REPLACED) for path in real.parent.glob(f"{_escaped(real.name)}.{why}-*")]
    own = filter(_tells_itself, found)
    return sorted(own, key=lambda path: path.name.removeprefix(f"{real.name}.").partition("-")[2])  # its moment


def _tells_itself(path: Path) -> bool:
    """Whether it is no companion of a database that was set aside with it."""
    owner = path.with_name(re.sub(f"({'|'.join(SUFFIXES)})$", "", path.name))
    return path == owner or path in left_of(owner)


def set_aside(database: Path, why: str, now: float) -> Path:
    """Rename a database with what SQLite keeps beside it, and return its new path. Raises OSError.

    The database goes first: what is cut off in between leaves no database that could be opened without its ``-wal``,
    in which its last changes may be.
    """
    real = database.resolve()
    aside = free_path(real, why, now)
    real.rename(aside)
    for beside, wanted in zip(companions(real), companions(aside), strict=True):
        if beside.exists():
            beside.rename(wanted)
    put_names_on_disk(real.parent)
    return aside


def set_aside_what_is_left(database: Path, why: str, now: float) -> Path | None:
    """Rename what SQLite kept beside a database that is gone: it would take it for the next one's. Raises OSError.

    Returns where that is, None if it held nothing. It gets a name of its own, also where it may be of a database that
    was set aside and cut off before this was renamed after it. Nothing in either file says so, and a log that is
    put beside another's database spoils it, while one that lies apart can be put there by hand.
    """
    real = database.resolve()
    aside = free_path(real, why, now)
    kept = [path.rename(aside.with_name(aside.name + path.name.removeprefix(real.name))) for path in left_of(real)]
    for path in companions(real):
        path.unlink(missing_ok=True)  # what held nothing
    put_names_on_disk(real.parent)
    return kept[0] if kept else None


def free_path(database: Path, why: str, now: float) -> Path:
    """Where it can be set aside; not where something is: two may be within a second."""
    path = candidate = database.with_name(f"{database.name}.{why}-{stamp(now)}")
    number = 1
    while any(taken.exists() for taken in (candidate, *companions(candidate))):
        number += 1
        candidate = path.with_name(f"{path.name}.{number}")
    return candidate


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _shown(path: Path) -> str:
    """A path as it is typed into a shell, relative where that is shorter."""
    with contextlib.suppress(ValueError):
        path = path.relative_to(Path.cwd())
    return shlex.quote(str(path))
