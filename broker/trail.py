"""The audit trail for its readers: names in the place of ids, and times by the cinema's clocks."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import sqlite_utils

from broker.audit import Row, find
from broker.moments import local
from broker.plugin import BoxPlugin
from broker.storage.backup import read_only
from broker.storage.database import DatabaseError
from broker.storage.outage import describe

COLUMNS = ("time", "until", "times", "account", "for", "address", "action", "outcome", "about", "id")
GIVE_WAY = ("id", "until", "for", "about")
"""The columns that a narrow terminal goes without, the first of them first."""

COMMAND_LINE = "command line"
MANY = "many"
"""The address of what came in such a flood that the addresses were not told apart."""

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class UnknownNameError(Exception):
    """Nothing is called so; the message is one sentence for the owner."""


class Question(NamedTuple):
    """What is asked for: the ``last`` rows of those that concern a user, and are about one thing, in a span of time
    (seconds since 1970, the end not included). Both are names as people use them, or ids."""

    last: int
    user: str | None = None
    about: str | None = None
    since: float | None = None
    until: float | None = None


def read(path: Path, plugins: Sequence[type], zone: ZoneInfo, question: Question) -> list[tuple[str, ...]]:
    """The rows as texts by :data:`COLUMNS`, the latest last. The box may be serving the file; nothing is changed.

    Raises DatabaseError, UnknownNameError.
    """
    if not path.is_file():
        raise DatabaseError(f"there is no database {path} yet")
    contributors = [plugin for plugin in plugins if issubclass(plugin, BoxPlugin)]
    try:
        with contextlib.closing(read_only(path)) as connection:
            db = sqlite_utils.Database(connection)
            if not db.table("audit").exists():  # of an older box; the next start makes it
                return []
            rows = find(
                db,
                last=question.last,
                users=_ids(db, contributors, question.user),
                subjects=_ids(db, contributors, question.about),
                since=question.since,
                until=question.until,
            )
            return _lines(rows, _names(db, contributors, rows), zone)
    except sqlite3.Error as error:
        raise DatabaseError(f"{path}: {describe(error, use='reading')}") from error


def _ids(db: sqlite_utils.Database, plugins: Sequence[type[BoxPlugin]], name: str | None) -> Collection[str] | None:
    if name is None:
        return None
    try:
        name.encode()
    except UnicodeEncodeError:  # what a terminal made of bytes that are no text
        raise UnknownNameError(f"Nothing is called {name!r}.") from None
    ids = [found for plugin in plugins for found in plugin.ids_of(db, name)]
    if _ID.fullmatch(name):
        ids.append(name)  # whatever it is the id of, or was
    if not ids:
        raise UnknownNameError(f"Nothing is called {name}.")
    return ids


def _names(db: sqlite_utils.Database, plugins: Sequence[type[BoxPlugin]], rows: Sequence[Row]) -> dict[str, str]:
    ids = {one for row in rows for one in (row.entry.account, row.entry.on_behalf_of, row.entry.subject) if one}
    return {one: name for plugin in plugins for one, name in plugin.names(db, ids).items()}


def _lines(rows: Sequence[Row], names: dict[str, str], zone: ZoneInfo) -> list[tuple[str, ...]]:
    def named(one: str | None) -> str:
        return names.get(one, one) if one else ""

    return [
        (
            local(row.at, zone),
            "" if row.until is None else local(row.until, zone),
            str(row.times),
            named(row.entry.account),
            named(row.entry.on_behalf_of),
            row.entry.address or (COMMAND_LINE if row.until is None else MANY),
            row.entry.action,
            row.entry.outcome,
            names.get(row.entry.subject or "", ""),
            row.entry.subject or "",
        )
        for row in rows
    ]
