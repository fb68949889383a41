"""Backups: a copy that is whole and sound under its name, or is not there; and a folder of them.

A copy is made by SQLite's own backup, from one moment of a database that others go on writing to, into a ``.part``
file that its owner alone may read. It takes its name when ``PRAGMA integrity_check`` has found nothing and it is on
disk. So what stands in a folder under a backup's name can be restored.

The names sort by time: ``cinema-20301231T235959Z.db`` is a backup of ``cinema.db``, in UTC.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlite_utils

from broker.storage.companions import SUFFIXES, companions, remove_with_companions
from broker.storage.outage import Reason, describe, reason_of

logger = logging.getLogger(__name__)

PAGES_PER_STEP = 512
"""After so many pages a backup asks whether it is still wanted."""

STEPS_PER_QUESTION = 100_000
"""After so many steps of SQLite's machine a check asks the same."""

RESERVE_BYTES = 32 * 1024 * 1024
"""What an automatic backup leaves free on its disk: it must not be what fills it."""

PARTIAL = ".part"
"""What a copy's name ends with until it is whole."""

_TIME = "%Y%m%dT%H%M%SZ"
_MAGIC = b"SQLite format 3\0"


class BackupError(Exception):
    """No backup was made, or this is none; the message is one sentence for the owner."""


class StoppedError(BackupError):
    """The backup is not wanted any more: the box stops."""


def never() -> bool:
    """The answer of somebody who does not stop."""
    return False


# Names and times


def stamp(seconds: float) -> str:
    """A moment (seconds since 1970) as it stands in names of files."""
    return datetime.fromtimestamp(seconds, UTC).strftime(_TIME)


def in_words(seconds: float) -> str:
    """A moment (seconds since 1970) for the owner."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


@dataclass(frozen=True, slots=True, order=True)
class Backup:
    """A file with a backup's name. ``made_at`` is in seconds since 1970, by its name."""

    made_at: float
    path: Path
    is_whole: bool = True
    """Whether it is as long as it says itself, which what was cut off is not."""


def backup_name(database: Path, made_at: float) -> str:
    return f"{database.stem}-{stamp(made_at)}.db"


def made_at(name: str, database: Path) -> float | None:
    """When the backup of this name was made, in seconds since 1970; None if the name is not one of this database's."""
    match = re.fullmatch(rf"{re.escape(database.stem)}-(\d{{8}}T\d{{6}}Z)\.db", name, re.ASCII)
    if match is None:
        return None
    try:
        return datetime.strptime(match[1], _TIME).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


# What is to be done: no clock and no file


def seconds_until_due(newest: float | None, now: float, interval: float) -> float:
    """When the first backup after a start is due: at once where there is none, or one from a time to come, which only
    says that the clock was wrong then or is now."""
    if newest is None or newest > now:
        return 0.0
    return max(0.0, newest + interval - now)


def next_made_at(newest: float | None, now: float) -> float:
    """The time in the next backup's name: also where the clock was set back it sorts behind those that there are."""
    return max(float(int(now)), 0.0 if newest is None else newest + 1)


def surplus(backups: Iterable[Backup], keep: int, made: Backup) -> list[Backup]:
    """What is to be removed so that the ``keep`` newest whole ones stay, beginning with the one just ``made``: those
    with a later name were made while the clock was wrong, and must not push out what is made since. One that is not
    whole stays while it is newer than those: it may be the best that there is, for somebody who knows how to save
    what is in it."""
    newest_first = sorted((backup for backup in backups if backup.made_at <= made.made_at), reverse=True)
    kept = [backup for backup in newest_first if backup.is_whole][:keep]
    if len(kept) < keep:
        return []
    return [backup for backup in newest_first if backup < kept[-1]]


# One backup


def copy_database(
    source: sqlite3.Connection, target: Path, *, is_stopped: Callable[[], bool] = never
) -> sqlite_utils.Database:
    """Copy what ``source`` holds at this moment into the new file ``target``, and check it; open, for who goes on.

    The copy is one file alone: it is in no need of a ``-wal`` beside it. Raises BackupError; sqlite3.Error; OSError.
    """
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    copy = sqlite3.connect(target, isolation_level=None)
    try:
        copy.execute("PRAGMA journal_mode = OFF")  # what is not finished is thrown away
        copy.execute("PRAGMA synchronous = OFF")  # see put_on_disk

        def ask(status: int, remaining: int, total: int) -> None:
            if is_stopped():
                raise StoppedError("the box stops")

        with contextlib.closing(source.cursor()) as reading:
            # All steps see what the first one saw, so that none begins anew because somebody writes meanwhile.
            reading.execute("BEGIN")
            reading.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            source.backup(copy, pages=PAGES_PER_STEP, progress=ask)
            reading.execute("ROLLBACK")
        copy.execute("PRAGMA journal_mode = DELETE")
        require_sound(copy, is_stopped=is_stopped)
    except BaseException:
        copy.close()
        if source.in_transaction:
            source.rollback()
        raise
    return sqlite_utils.Database(copy)


def require_sound(connection: sqlite3.Connection, *, is_stopped: Callable[[], bool] = never) -> None:
    """Look at all that is in the file. Raises BackupError; StoppedError; sqlite3.Error where it cannot be read."""
    connection.set_progress_handler(is_stopped, STEPS_PER_QUESTION)
    try:
        found = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
        broken = connection.execute("PRAGMA foreign_key_check").fetchone() if found == "ok" else None
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            raise StoppedError("the box stops") from None
        raise
    finally:
        connection.set_progress_handler(None, 0)
    if found != "ok":
        raise BackupError(f"the database is damaged ({one_line(found)})")
    if broken is not None:
        raise BackupError(f"the database is damaged (a row of “{broken[0]}” refers to one that is not there)")


def one_line(text: str) -> str:
    """What SQLite says of damage, of which it may say much."""
    return " ".join(text.replace("*** in database main ***", "").split())


def put_on_disk(file: Path) -> None:
    """Return when the file's content is on disk."""
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def put_names_on_disk(folder: Path) -> None:
    """Return when what was made, renamed and removed in the folder is on disk. Where that cannot be had it is told, and
    no failure: what was done is done, and not every file system can say more."""
    try:
        put_on_disk(folder)
    except OSError as error:
        logger.warning("What was made or renamed in %s may not outlast a power cut: %s", folder, error.strerror)


def read_only(path: Path) -> sqlite3.Connection:
    """A connection that does not change the file, not even by closing it. Raises sqlite3.Error."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)


def take_backup(database: Path, target: Path, *, is_stopped: Callable[[], bool] = never) -> int:
    """Make ``target`` a backup of a database, which a box may be serving, and return its size in bytes.

    Raises BackupError: then there is no ``target``, and nothing is left of it.
    """
    _require_new(target)
    if not database.is_file():
        raise BackupError(f"there is no database {database}")
    # Of this process alone: another may be making a backup of the same name, and only one of them gets it.
    partial = target.with_name(f"{target.name}.{os.getpid()}{PARTIAL}")
    try:
        remove_with_companions(partial)
        with contextlib.closing(read_only(database)) as source:
            copy_database(source, partial, is_stopped=is_stopped).conn.close()
        put_on_disk(partial)
        size = partial.stat().st_size
        _require_new(target)
        partial.rename(target)
        put_names_on_disk(target.absolute().parent)
        return size
    except sqlite3.Error as error:
        # The copy is a new file of this process alone: what is closed, locked or damaged is what it is made from.
        of = target if reason_of(error) in (Reason.FULL, Reason.STORAGE) else database
        raise BackupError(f"{of}: {describe(error, use='reading')}") from error
    except OSError as error:
        raise BackupError(f"{target}: {describe(error)}") from error
    except StoppedError:
        raise
    except BackupError as error:
        raise BackupError(f"{database}: {error}") from None
    finally:
        with contextlib.suppress(OSError):
            remove_with_companions(partial)


def _require_new(target: Path) -> None:
    if target.exists() or target.is_symlink():
        raise BackupError(f"{target} is there already; name another file")


def is_sound(path: Path, *, is_stopped: Callable[[], bool] = never) -> bool:
    """Whether a backup can be restored, as far as SQLite can say."""
    try:
        with contextlib.closing(read_only(path)) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone():
                return False
            require_sound(connection, is_stopped=is_stopped)
    except StoppedError:
        raise
    except (sqlite3.Error, BackupError):
        return False
    return True


# A folder of them


class BackupFolder:
    """The backups of one database in one folder. Other files there are left alone."""

    def __init__(self, folder: Path, database: Path) -> None:
        self.path = folder
        self.database = database

    def backups(self) -> list[Backup]:
        """The newest first; none where there is no such folder. Raises OSError where it cannot be read."""
        try:
            found = list(self.path.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        named = ((made_at(path.name, self.database), path) for path in found)
        return sorted(
            (Backup(moment, path, _is_whole(path)) for moment, path in named if moment is not None and path.is_file()),
            reverse=True,
        )

    def newest(self) -> Backup | None:
        return next((backup for backup in self.backups() if backup.is_whole), None)

    def newest_sound(self) -> Backup | None:
        """The newest one that can be restored; looks into each until one can."""
        return next((backup for backup in self.backups() if backup.is_whole and is_sound(backup.path)), None)

    def take(self, now: float, *, is_stopped: Callable[[], bool] = never) -> Backup:
        """Add a backup; ``now`` is in seconds since 1970. Raises BackupError."""
        try:
            newest = max((backup.made_at for backup in self.backups()), default=None)
            self._require_space()
            moment = next_made_at(newest, now)
            target = self.path / backup_name(self.database, moment)
            take_backup(self.database, target, is_stopped=is_stopped)
        except OSError as error:
            raise BackupError(f"{self.path}: {describe(error)}") from error
        return Backup(moment, target)

    def copy_from(self, backup: Backup, *, is_stopped: Callable[[], bool] = never) -> Backup:
        """Add a copy of a backup of another folder, in the place of what is left of it here. Raises BackupError."""
        target = self.path / backup.path.name
        try:
            target.unlink(missing_ok=True)  # what a stick that was pulled out kept of it
            take_backup(backup.path, target, is_stopped=is_stopped)
        except OSError as error:
            raise BackupError(f"{target}: {describe(error)}") from error
        return Backup(backup.made_at, target)

    def tidy(self, keep: int, made: Backup) -> None:
        """Remove what is more than ``keep`` with the one just ``made``, and what a backup that was cut off has left.
        Raises BackupError."""
        try:
            for backup in surplus(self.backups(), keep, made):
                backup.path.unlink(missing_ok=True)
            for path in list(self.path.iterdir()):
                name, cut_off, companion = path.name.rpartition(PARTIAL)
                name = re.sub(r"\.\d+$", "", name)  # without the process
                if cut_off and companion in ("", *SUFFIXES) and made_at(name, self.database) is not None:
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise BackupError(f"{self.path}: old backups cannot be removed: {describe(error)}") from error

    def _require_space(self) -> None:
        space = os.statvfs(self.path)
        free = space.f_bavail * space.f_frsize
        needed = sum(_size(path) for path in (self.database, companions(self.database).wal))
        if free < needed + RESERVE_BYTES:
            raise BackupError(
                f"{self.path}: too little space is free, {megabytes(free)}, for a backup of {megabytes(needed)} that "
                f"leaves {megabytes(RESERVE_BYTES)} free; make space, or set a smaller backup.keep"
            )


def folders_of(database: Path, path: Path, second_path: Path | None) -> Sequence[BackupFolder]:
    """Where backups are kept, as ``[backup]`` says: relative to the database's folder."""
    beside = database.absolute().parent
    return [BackupFolder(beside / folder, database) for folder in (path, second_path) if folder is not None]


def newest_sound(folders: Iterable[BackupFolder]) -> Backup | None:
    """The newest of all that can be restored."""
    found: list[Backup] = []
    for folder in folders:
        with contextlib.suppress(OSError):  # what cannot be read holds none
            if (backup := folder.newest_sound()) is not None:
                found.append(backup)
    # Of two of the same moment the first folder's: a stick may be taken out.
    return max(found, key=lambda backup: backup.made_at, default=None)


def megabytes(size: int) -> str:
    return f"{size / 1_000_000:.1f} MB"


def age(seconds: float) -> str:
    """How long ago something was, for the owner."""
    if seconds < 2 * 3600:
        minutes = int(seconds // 60)
        return f"{minutes} minute{'' if minutes == 1 else 's'}"
    return f"{int(seconds // 3600)} hours" if seconds < 2 * 86400 else f"{int(seconds // 86400)} days"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _is_whole(path: Path) -> bool:
    """As far as a database's first page says how long the file should be."""
    try:
        with path.open("rb") as file:
            header = file.read(100)
        page = int.from_bytes(header[16:18])
        length = (65536 if page == 1 else page) * int.from_bytes(header[28:32])
        return header.startswith(_MAGIC) and 0 < length <= path.stat().st_size
    except OSError:
        return False
