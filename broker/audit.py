"""The audit trail: who did what, on whose behalf, from where, and what came of it.

Rows are only ever added; the table itself refuses anything else. A change that stays has a row of its own
(:func:`record`), written in the transaction of the change. What can be repeated without end, such as refusals, holds,
wrong passwords and one's own name, is gathered (:meth:`Audit.gather`): the first of its kind is written at once, what
follows within a minute is counted in memory, and becomes one row when the minute is over.

A row holds ids, addresses and the box's own words alone: no name, no secret, nothing that somebody typed.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import sqlite_utils

from broker.storage.database import Database, StorageUnavailableError

MIGRATIONS = sqlite_utils.Migrations("audit")

GATHER_SECONDS = 60.0
"""How long what repeats itself is counted before it is written."""

LOOK_SECONDS = 10.0
"""How often is looked for what is to be written."""

KINDS_TOLD_APART = ((60, 100), (24 * 3600, 3000))
"""Seconds, and how many kinds of one action and outcome are told apart in them; of more only the number is kept."""

SHARE_OF_ADDRESS = 2
"""One in so many of these may be of one address: who floods the trail takes the others' names out of it no sooner."""


@MIGRATIONS()
def the_audit_trail(db: sqlite_utils.Database) -> None:
    # at and until are seconds since 1970; until is that of the last, where more than one was gathered.
    db.conn.execute("""
        CREATE TABLE audit (
            id INTEGER PRIMARY KEY,
            at REAL NOT NULL,
            until REAL,
            account TEXT,
            address TEXT,
            action TEXT NOT NULL,
            outcome TEXT NOT NULL,
            subject TEXT,
            on_behalf_of TEXT,
            count INTEGER NOT NULL DEFAULT 1
        ) STRICT
    """)
    for name, event in (
        ("audit_is_not_changed", "UPDATE ON audit"),
        ("audit_is_not_deleted", "DELETE ON audit"),
        # INSERT OR REPLACE deletes without the trigger above.
        ("audit_is_not_replaced", "INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)"),
    ):
        db.conn.execute(
            f"CREATE TRIGGER {name} BEFORE {event} BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
        )


class Actor(NamedTuple):
    """Who does something, and from where: a user_id, and an IPv4 address or an IPv6 /64.

    On the command line both are None; without having signed in, ``account`` is.
    """

    account: str | None
    address: str | None


NOBODY = Actor(None, None)


class Entry(NamedTuple):
    """What happened, but for when. ``action`` and ``outcome`` are words of ours; all else but the address are ids.

    ``subject`` is what it was done to, ``on_behalf_of`` the user for whom, where that is not the account itself.
    """

    account: str | None
    address: str | None
    action: str
    outcome: str
    subject: str | None = None
    on_behalf_of: str | None = None


class Row(NamedTuple):
    """A row of the trail: what happened at ``at``; or, gathered, so many ``times`` from ``at`` to ``until``."""

    at: float
    until: float | None
    entry: Entry
    times: int = 1


def record(db: sqlite_utils.Database, at: float, entry: Entry) -> None:
    """Add a row in the present transaction, which shall be that of what it tells of. ``at``: seconds since 1970."""
    db.conn.execute(
        "INSERT INTO audit (at, account, address, action, outcome, subject, on_behalf_of) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (at, *entry),
    )


def find(
    db: sqlite_utils.Database,
    *,
    last: int,
    users: Collection[str] | None = None,
    subjects: Collection[str] | None = None,
    since: float | None = None,
    until: float | None = None,
) -> list[Row]:
    """The latest rows, the latest last: those that concern one of ``users``, and are about one of ``subjects``.

    ``since`` and ``until`` (seconds since 1970) bound when it happened, the end not included.
    """
    conditions, values = ["true"], list[object]()
    if users is not None:
        marks = ", ".join("?" * len(users))
        conditions.append(f"(account IN ({marks}) OR on_behalf_of IN ({marks}) OR subject IN ({marks}))")
        values += [*users] * 3
    if subjects is not None:
        conditions.append(f"subject IN ({', '.join('?' * len(subjects))})")
        values += subjects
    if since is not None:
        conditions.append("coalesce(until, at) >= ?")
        values.append(since)
    if until is not None:
        conditions.append("at < ?")
        values.append(until)
    rows = db.conn.execute(
        "SELECT at, until, count, account, address, action, outcome, subject, on_behalf_of FROM audit "  # noqa: S608  # marks alone
        f"WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT ?",
        (*values, last),
    )
    return [Row(at, end, Entry(*entry), times) for at, end, times, *entry in rows][::-1]


# What repeats itself


class _Repeated(NamedTuple):
    """A kind that is being gathered since ``began``: how often it has come again, when first and when last.

    ``subject`` is what all of them are about, None where they differ.
    """

    began: float
    subject: str | None
    times: int = 0
    at: float = 0.0
    until: float = 0.0

    def again(self, subject: str | None, at: float) -> _Repeated:
        same = subject if subject == self.subject else None
        return _Repeated(self.began, same, self.times + 1, self.at if self.times else at, at)

    def is_over(self, now: float) -> bool:
        """Also where the clock was set back: else it would be gathered until that time has come again."""
        return not self.began <= now < self.began + GATHER_SECONDS


@dataclass(slots=True)
class _Span:
    """How many kinds have begun in the span of that number since 1970, in all and by address."""

    number: float
    begun: int = 0
    by_address: Counter[str | None] = field(default_factory=Counter)


class Floods:
    """Decides what is written of what repeats itself. A kind is an entry but for its subject.

    The first of a kind is to be written at once, those of the next :data:`GATHER_SECONDS` as one row. Of an action and
    outcome no more kinds are told apart than :data:`KINDS_TOLD_APART`: the others become one row without account and
    address. So neither memory nor disk grows with those who knock. Times are seconds since 1970.

    What was noted within a transaction holds once that is on disk, and else is taken back (:meth:`settled`).
    """

    def __init__(self) -> None:
        self._gathered: dict[Entry, _Repeated] = {}
        self._begun: dict[tuple[str, str, int], _Span] = {}
        """By action, outcome and a span's seconds."""
        self._before: list[tuple[Entry, _Repeated | None]] = []
        """What the present transaction replaced."""

    def __len__(self) -> int:
        """How many kinds are being gathered."""
        return len(self._gathered)

    def note(self, entry: Entry, at: float) -> list[Row]:
        """What is to be written now that this has happened."""
        kind = entry._replace(subject=None)
        written = self._when_over(kind, at)
        if kind not in self._gathered:
            if self._may_begin(kind, at):
                self._set(kind, _Repeated(at, entry.subject))
                return [*written, Row(at, None, entry)]
            kind = Entry(None, None, entry.action, entry.outcome)
            written += self._when_over(kind, at)
        repeated = self._gathered.get(kind) or _Repeated(at, None)
        self._set(kind, repeated.again(entry.subject if kind.address else None, at))
        return written

    def due(self, now: float) -> list[Row]:
        """What is to be written because its time is over."""
        return [row for kind in list(self._gathered) for row in self._when_over(kind, now)]

    def rest(self) -> list[Row]:
        """What is to be written because the box closes."""
        return [row for kind in list(self._gathered) for row in self._end(kind)]

    def settled(self, on_disk: bool) -> None:
        """The transaction has ended."""
        if not on_disk:
            for kind, before in reversed(self._before):
                self._replace(kind, before)
        self._before.clear()

    def _when_over(self, kind: Entry, now: float) -> list[Row]:
        repeated = self._gathered.get(kind)
        return self._end(kind) if repeated is not None and repeated.is_over(now) else []

    def _end(self, kind: Entry) -> list[Row]:
        repeated = self._gathered[kind]
        self._set(kind, None)
        if not repeated.times:
            return []
        return [Row(repeated.at, repeated.until, kind._replace(subject=repeated.subject), repeated.times)]

    def _may_begin(self, kind: Entry, at: float) -> bool:
        """Whether one more kind may be told apart; counts it."""
        spans = []
        for seconds, most in KINDS_TOLD_APART:
            key, number = (kind.action, kind.outcome, seconds), at // seconds
            span = self._begun.get(key)
            if span is None or span.number != number:
                span = self._begun[key] = _Span(number)
            if span.begun >= most or span.by_address[kind.address] >= most // SHARE_OF_ADDRESS:
                return False
            spans.append(span)
        for span in spans:
            span.begun += 1
            span.by_address[kind.address] += 1
        return True

    def _set(self, kind: Entry, repeated: _Repeated | None) -> None:
        self._before.append((kind, self._gathered.get(kind)))
        self._replace(kind, repeated)

    def _replace(self, kind: Entry, repeated: _Repeated | None) -> None:
        if repeated is None:
            self._gathered.pop(kind, None)
        else:
            self._gathered[kind] = repeated


# In the box


class Timer(Protocol):
    """What ``call_later`` of an event loop answers with."""

    def cancel(self) -> None: ...


class Audit:
    """The box's audit trail. ``now`` is the wall clock (seconds since 1970), ``call_later`` the event loop's.

    What is gathered belongs to whoever has the connection that writes: it is touched within jobs alone.
    """

    def __init__(
        self,
        database: Database,
        *,
        now: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], Timer],
    ) -> None:
        self._database = database
        self._now = now
        self._call_later = call_later
        self._floods = Floods()
        self._timer: Timer | None = None

    def open(self) -> None:
        """Begin to look for what is to be written. The database must be told of :meth:`settled`."""
        self._timer = self._call_later(LOOK_SECONDS, self._look)

    async def close(self) -> None:
        """Write what is still being gathered."""
        if self._timer is not None:
            self._timer.cancel()
        with contextlib.suppress(StorageUnavailableError):
            await self._database.write(lambda db: _add(db, self._floods.rest()), quick=True)

    def settled(self, on_disk: bool) -> None:
        """A transaction has ended (:meth:`Database.open`)."""
        self._floods.settled(on_disk)

    def record(self, db: sqlite_utils.Database, at: float, entry: Entry) -> None:
        """Add a row of its own, within the job that makes the change."""
        record(db, at, entry)

    def gather(self, db: sqlite_utils.Database, at: float, entry: Entry) -> None:
        """Add what may come in floods: the last thing that a job does, or what it does when it was undone."""
        if rows := self._floods.note(entry, at):
            _add(db, rows)

    def gather_alone(self, entry: Entry) -> None:
        """Add what may come in floods and belongs to no transaction; from the loop, and nobody waits for it."""
        at = self._now()
        self._database.submit(lambda db: self.gather(db, at, entry), _say_nothing, quick=True)

    def _look(self) -> None:
        if self._floods:
            now = self._now()
            self._database.submit(lambda db: _add(db, self._floods.due(now)), _say_nothing, quick=True)
        self._timer = self._call_later(LOOK_SECONDS, self._look)


def _add(db: sqlite_utils.Database, rows: Iterable[Row]) -> None:
    for row in rows:
        db.conn.execute(
            "INSERT INTO audit (at, until, count, account, address, action, outcome, subject, on_behalf_of) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (row.at, row.until, row.times, *row.entry),
        )


def _say_nothing(result: object, error: BaseException | None) -> None:
    """What cannot be written was logged, and is not counted."""
