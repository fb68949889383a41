"""What the box office counts, for ``/metrics``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import get_args

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from broker.metrics import Tally
from plugins.booking.cinema import Effects, FailureCode
from plugins.booking.wire import HoldStatus

OUTCOMES = ("confirmed", "cancelled", *get_args(FailureCode))
"""What can become of a booking; a failed one is counted under its code."""

ERRORS = (
    "invalid_json",
    "invalid_request",
    "forbidden",
    "unknown_user",
    "unknown_booking",
    "conflict",
    "rate_limited",
    "storage_unavailable",
    *get_args(FailureCode),
)
"""The codes of commands that changed nothing (protocol.md, Answers)."""


class BookingMetrics(Collector):
    """Bookings and holds as they are told. ``holds`` says how many seats are held at the moment."""

    def __init__(self, holds: Callable[[], int]) -> None:
        self._holds = holds
        self._outcomes = Tally(OUTCOMES)
        self._notices = Tally(get_args(HoldStatus))
        self._errors = Tally(ERRORS)

    def told(self, effects: Effects) -> None:
        """A transaction is on disk. A booking that was repeated is none of its effects, and counts once."""
        for outcome in effects.outcomes:
            self._outcomes.add(outcome.code or outcome.status)
        for notice in effects.notices:
            self._notices.add(notice.status)

    def refused(self, code: str) -> None:
        """A command changed nothing."""
        self._errors.add(code)

    def collect(self) -> Iterable[Metric]:
        yield self._outcomes.counter("lynrie_bookings", "What became of bookings, a failure by its code.", "outcome")
        yield GaugeMetricFamily("lynrie_holds", "Seats that are held at the moment.", self._holds())
        yield self._notices.counter("lynrie_hold_notices", "What was told of holds.", "status")
        yield self._errors.counter("lynrie_command_errors", "Commands that changed nothing, by their code.", "code")
