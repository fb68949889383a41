"""Putting a backup in the database's place, so that at each moment one of the two is there, or nothing is served."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from broker.plugin import NOBODY, BoxPlugin, Entry, migrations_of, record
from broker.storage.backup import BackupError, copy_database, made_at, put_names_on_disk, put_on_disk, read_only
from broker.storage.companions import companions, remove_with_companions
from broker.storage.damage import REPLACED, free_path, set_aside, set_aside_what_is_left
from broker.storage.database import BUSY_TIMEOUT_SECONDS, DatabaseError, require_known
from broker.storage.lock import FileLock, HeldError
from broker.storage.outage import Reason, describe, reason_of


class RestoreError(Exception):
    """Nothing was restored, and the database is what it was; the message is one sentence for the owner."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was done. ``made_at`` is in seconds since 1970, None where the backup's name does not tell it."""

    made_at: float | None
    aside: Path | None
    """Where the database is that was there before, or what was left of one; None where there was nothing."""
    contents: Mapping[str, int] = field(default_factory=dict)


def restore(file: Path, database: Path, plugins: Sequence[type], *, now: float) -> Restored:
    """Put the backup ``file`` in the place of ``database``, which is set aside; what ends with a restore has ended.

    ``now`` is in seconds since 1970. Raises RestoreError: also while a box serves the database.
    """
    real = database.resolve()
    if not file.is_file():
        raise RestoreError(f"there is no file {file}")
    if real.exists() and file.samefile(real):
        raise RestoreError(f"{file} is the database itself")
    new = real.with_name(f"{real.name}.restoring")
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(real) as lock:
            try:
                contents = _prepare(file, new, plugins, now)
                _give_to_the_box(real, new, lock.path)
                aside = _replace(real, new, now)
            finally:
                remove_with_companions(new)
    except HeldError:
        raise RestoreError(f"a box serves {database}; stop it, then restore") from None
    except (BackupError, DatabaseError) as error:
        raise RestoreError(f"{file} cannot be restored: {error}") from error
    except (sqlite3.Error, OSError) as error:
        raise RestoreError(f"{file} cannot be restored to {database}: {describe(error)}") from error
    return Restored(made_at(file.name, database), aside, contents)


def _prepare(file: Path, new: Path, plugins: Sequence[type], now: float) -> Mapping[str, int]:
    """Make of the backup what will be the database, on disk under another name."""
    remove_with_companions(new)
    with contextlib.closing(read_only(file)) as source:
        copy = copy_database(source, new)
    try:
        if not copy.table_names():
            raise BackupError("it is empty")
        require_known(copy, migrations_of(plugins))
        contents: dict[str, int] = {}
        copy.conn.execute("BEGIN IMMEDIATE")
        for plugin in plugins:
            if issubclass(plugin, BoxPlugin):
                plugin.restored(copy)
                contents.update(plugin.contents(copy))
        if copy.table("audit").exists():  # one of an older box has none
            record(copy, now, Entry(*NOBODY, "restore", "restored"))
        copy.conn.execute("COMMIT")
    finally:
        copy.conn.close()
    put_on_disk(new)
    return contents


def _give_to_the_box(database: Path, *files: Path) -> None:
    """What root makes, the box's own user could not open: it becomes the old database's owner's, or the folder's."""
    if os.geteuid() == 0:
        owner = (database if database.exists() else database.parent).stat()
        for file in files:
            with contextlib.suppress(OSError):  # a file system without owners
                os.chown(file, owner.st_uid, owner.st_gid)


def _replace(database: Path, new: Path, now: float) -> Path | None:
    """Set aside what is there, and give the new one its name. Raises OSError; RestoreError."""
    if database.exists():
        with contextlib.closing(_in_one_file(database)):
            aside: Path | None = _keep_beside(database, now)
    else:
        aside = set_aside_what_is_left(database, REPLACED, now)
    os.replace(new, database)
    put_names_on_disk(database.parent)
    return aside


def _in_one_file(database: Path) -> sqlite3.Connection:
    """A connection that keeps others out, to the database without a ``-wal``, where that can be had.

    A damaged one, or one on a full disk, stays what it is. Raises RestoreError if another program uses it.
    """
    connection = sqlite3.connect(
        f"{database.as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_SECONDS
    )
    try:
        connection.execute("PRAGMA journal_mode = DELETE")  # which only the last one who uses it can set
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        if reason_of(error) is Reason.LOCKED:
            connection.close()
            raise RestoreError(f"another program uses {database}; end it, then restore") from None
    return connection


def _keep_beside(database: Path, now: float) -> Path:
    """A second name for a database that is one file, so that its own name is never without one; else set it aside."""
    if not any(path.exists() for path in companions(database)):
        aside = free_path(database, REPLACED, now)
        with contextlib.suppress(OSError):  # a file system without second names
            os.link(database, aside)
            return aside
    return set_aside(database, REPLACED, now)
