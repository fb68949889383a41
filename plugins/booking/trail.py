"""What the cinema's commands leave in the audit trail: in the transaction that decides them.

Bookings that were confirmed or cancelled, payments and showings have a row each; holds, releases, stored failures and
refusals are gathered, for they come in floods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import sqlite_utils

from broker.plugin import Actor, Audit, Entry, Refusal
from plugins.booking.cinema import Decided, Notice, Outcome, Sender

T = TypeVar("T")
Decide = Callable[[sqlite_utils.Database], Decided[T]]

REQUEST, CANCEL = "booking/request", "booking/cancel"


class Trailed(Generic[T]):
    """A command as a job that leaves its trail: who sent it, from where, for whom, at which moment.

    ``action`` is its topic. ``done`` is the outcome's word of what has one of its own and changes what stays: a
    payment, a showing; and ``subject`` what that was done to.
    """

    __slots__ = ("_action", "_at", "_audit", "_decide", "_done", "_sender", "_subject", "_user_id")

    def __init__(
        self,
        audit: Audit,
        decide: Decide[T],
        sender: Sender,
        action: str,
        at: float,
        *,
        user_id: str | None = None,
        done: str = "",
        subject: str | None = None,
    ) -> None:
        self._audit = audit
        self._decide = decide
        self._sender = sender
        self._action = action
        self._at = at
        self._user_id = user_id
        self._done = done
        self._subject = subject

    def __call__(self, db: sqlite_utils.Database) -> Decided[T]:
        decided = self._decide(db)
        sender, answer = self._sender, decided.answer
        record_bookings(db, self._audit, Actor(sender.user_id, sender.address), decided.effects.outcomes)
        if decided.repeated:
            return decided
        if self._done:
            self._audit.record(db, self._at, self._entry(self._done, self._subject))
        elif isinstance(answer, Notice):
            if answer.seat_ids or answer.code:  # a release that found nothing has done nothing
                self._gather(db, answer.code or answer.status, answer.showing_id)
        elif isinstance(answer, Outcome) and answer.code is not None:
            self._gather(db, answer.code, answer.booking_id)
        return decided

    def undone(self, db: sqlite_utils.Database, error: BaseException) -> None:
        """It was refused."""
        if isinstance(error, Refusal):
            self._audit.gather(db, self._at, refused(error, self._sender, self._action, self._user_id))

    def _gather(self, db: sqlite_utils.Database, outcome: str, subject: str) -> None:
        self._audit.gather(db, self._at, self._entry(outcome, subject))

    def _entry(self, outcome: str, subject: str | None) -> Entry:
        return _entry(self._sender, self._action, outcome, subject, self._user_id)


def record_bookings(db: sqlite_utils.Database, audit: Audit, by: Actor, outcomes: Iterable[Outcome]) -> None:
    """A row for each booking that was confirmed or cancelled, be it with its showing or its owner's account."""
    for outcome in outcomes:
        if outcome.status != "failed":
            action = REQUEST if outcome.status == "confirmed" else CANCEL
            owner = None if outcome.user_id == by.account else outcome.user_id
            audit.record(db, outcome.at, Entry(*by, action, outcome.status, outcome.booking_id, owner))


def refused(refusal: Refusal, sender: Sender, action: str, user_id: str | None = None) -> Entry:
    """Of a refusal; about what, its details say."""
    subject = refusal.details.get("booking_id") or refusal.details.get("showing_id")
    return _entry(sender, action, refusal.code, subject, user_id)


def _entry(sender: Sender, action: str, outcome: str, subject: str | None, user_id: str | None) -> Entry:
    behalf = None if user_id == sender.user_id else user_id
    return Entry(sender.user_id, sender.address, action, outcome, subject, behalf)
