"""What the box counts and measures of itself, for Prometheus.

What happens often is counted in plain integers, by whoever does it, and read when somebody asks: an increment of a
``prometheus_client.Counter`` costs as much as encoding a packet does. The library measures what happens once for many:
a commit, a gathered write. No label comes from a client: each is one of a set that the code or the settings name.
"""

from __future__ import annotations

import asyncio
import logging
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Literal, get_args

import prometheus_client
from prometheus_client import CollectorRegistry, GCCollector, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

logger = logging.getLogger(__name__)

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # when each began says nothing here

SHARED_SECONDS = (0.25, 5.0)
"""Who asks so soon after somebody else is given the same: however many ask, the metrics are collected at most four
times a second, and seldomer, at most every five seconds, where that is more than :data:`SHARE_OF_TIME`."""

SHARE_OF_TIME = 0.05
"""How much of the time may go into collecting, with thousands of connections."""

COMMIT_BUCKETS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds: an fsync takes 0.2 ms on a server's disk, 5 to 100 ms on a memory card."""

BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Jobs, up to :data:`broker.storage.database.BATCH`."""

FANOUT_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Seconds: up to the window of 20 ms, and what writing to some hundred connections takes."""

Reason = Literal[
    # Before anybody is let in
    "max_connections",  # no place is left
    "max_connections_per_address",  # the address has all of its places
    "guest_places",  # the last places are kept for users who sign in
    "connections_per_second",  # the address comes too often
    "connect_seconds",  # no whole CONNECT or HTTP request came in time
    "origin",  # a page of another site
    "host",  # a name that is not the box's
    "protocol_level",  # another MQTT than 3.1.1
    "client_id",  # too long, with control characters, or none for a session that was to last
    "credentials",  # a wrong username, password or token, or a disabled user
    "guests",  # somebody who has not signed in, where one must
    "login_failures",  # too many wrong passwords: refused unchecked
    "password_queue",  # too many passwords wait for their check
    "will",  # a Last Will to a topic that is not the client's
    # Of those who are in
    "malformed",  # bytes that are neither MQTT 3.1.1 nor HTTP
    "max_packet_bytes",  # a packet or a body that is too large
    "messages_per_second",  # the user sends too often: read on later, or HTTP 429
    "keep_alive",  # silence
    "forbidden",  # the policy does not allow it: to publish, to subscribe, an HTTP call
    "subscriptions",  # too many of one connection, or a filter too long or too deep
    "subscriptions_per_packet",
    "retained_messages",  # no place is left for one more
    "outbound_bytes",  # does not read, or not acknowledge, what it must not lose
    "stuck_seconds",  # stopped reading
    "registrations",  # too many new accounts, of the address or in all
    "visitors",  # likewise visitors
    "storage_unavailable",  # nothing can be written or read at the moment
]
"""Why something is refused or closed: all words that there are, named after their limit where they have one
(protocol.md, “Refusals at the door”). docs/metrics.md has them for the owner."""

REASONS: tuple[str, ...] = get_args(Reason)

OTHER = "other"
"""The label of what has none of the names that are known beforehand."""


class Tally:
    """Counts by name. The names are those given at first, and :data:`OTHER` for all else; so it never grows."""

    __slots__ = ("_numbers",)

    def __init__(self, names: Iterable[str]) -> None:
        self._numbers = dict.fromkeys((*names, OTHER), 0)

    def add(self, name: str, number: int = 1) -> None:
        self._numbers[name if name in self._numbers else OTHER] += number

    def counter(self, metric: str, text: str, label: str) -> CounterMetricFamily:
        """For a collector: all of them, each under its name as ``label``."""
        return counter(metric, text, (label,), {(name,): number for name, number in self._numbers.items()})


def counter(
    metric: str, text: str, labels: Sequence[str], numbers: Mapping[tuple[str, ...], float]
) -> CounterMetricFamily:
    """A counter as a collector yields it: ``numbers`` by the labels' values. The library adds ``_total``."""
    family = CounterMetricFamily(metric, text, labels=labels)
    for values, number in numbers.items():
        family.add_metric(values, number)
    return family


def gauge(metric: str, text: str, labels: Sequence[str], numbers: Mapping[tuple[str, ...], float]) -> GaugeMetricFamily:
    """A gauge as a collector yields it: ``numbers`` by the labels' values."""
    family = GaugeMetricFamily(metric, text, labels=labels)
    for values, number in numbers.items():
        family.add_metric(values, number)
    return family


class Metrics(Collector):
    """One box's metrics. :meth:`add` takes further collectors; ``monotonic`` is a clock in seconds."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._refusals = Tally(REASONS)
        self._failures = 0
        self._shared = b""
        self._shared_until = 0.0
        self._collecting: asyncio.Future[None] | None = None
        self._process = ProcessCollector(registry=None)
        self._commit_seconds = Histogram(
            "lynrie_commit_seconds", "How long SQLite took to commit a batch.", registry=None, buckets=COMMIT_BUCKETS
        )
        self._batch_jobs = Histogram(
            "lynrie_batch_jobs",
            "How many changes were committed together with one fsync.",
            registry=None,
            buckets=BATCH_BUCKETS,
        )
        self._fanout_delay = Histogram(
            "lynrie_fanout_delay_seconds",
            "How long after its publication the first of the gathered messages was written to all of its subscribers.",
            registry=None,
            buckets=FANOUT_BUCKETS,
        )
        self._collectors: list[Collector] = [
            self,
            self._commit_seconds,
            self._batch_jobs,
            self._fanout_delay,
            self._process,
            GCCollector(CollectorRegistry()),  # it insists on one; which is asked is this list
        ]

    def add(self, *collectors: Collector) -> None:
        """Ask these, too. One that raises, or yields what another yields already, is left out and logged."""
        self._collectors.extend(collectors)

    # What is counted here

    def refused(self, reason: Reason) -> None:
        """Count something that was refused or closed. Costs some 0.1 µs."""
        self._refusals.add(reason)

    def committed(self, jobs: int, seconds: float) -> None:
        """A batch is on disk. May be called by any thread."""
        self._batch_jobs.observe(jobs)
        self._commit_seconds.observe(seconds)

    def fanned_out(self, seconds: float) -> None:
        """Gathered messages were written, so long after the first of them was published."""
        self._fanout_delay.observe(seconds)

    def collect(self) -> Iterable[Metric]:
        yield gauge(
            "lynrie_build_info",
            "Which version of the box runs, on which Python.",
            ("version", "python"),
            {(_version(), platform.python_version()): 1},
        )
        yield self._refusals.counter("lynrie_refusals", "What was refused or closed, by reason.", "reason")
        yield CounterMetricFamily(
            "lynrie_collector_failures", "Collectors that were left out of an answer.", self._failures
        )

    # Answering

    async def shared(self) -> bytes:
        """All metrics in Prometheus' text format. For strangers: up to :data:`SHARED_SECONDS` old, and collected once
        for all who wait."""
        if self._monotonic() >= self._shared_until:
            if self._collecting is None:
                self._collecting = asyncio.ensure_future(self._collect_for_all())
            await asyncio.shield(self._collecting)
        return self._shared

    async def _collect_for_all(self) -> None:
        begun = self._monotonic()
        taken: set[str] = set()
        texts = []
        try:
            for collector in self._collectors:
                if collector is self._process:  # the system lists each open file
                    texts.append(await asyncio.to_thread(self._text, collector, taken))
                else:
                    texts.append(self._text(collector, taken))
                    await asyncio.sleep(0)  # others have their turn
        finally:
            self._collecting = None
        self._shared = b"".join(texts)
        now = self._monotonic()
        least, most = SHARED_SECONDS
        self._shared_until = now + min(max(least, (now - begun) / SHARE_OF_TIME), most)

    def _text(self, collector: Collector, taken: set[str]) -> bytes:
        """One collector's. ``taken`` are the names of those before it, to which its own are added."""
        try:
            families = _Families(collector.collect())
            if twice := taken & families.names:
                raise ValueError(f"there are two of {', '.join(sorted(twice))}")
            text = prometheus_client.generate_latest(families)
        except Exception:  # whatever a plugin's collector does, the others are heard
            self._failures += 1
            logger.exception("The metrics of %s were left out", type(collector).__name__)
            return b""
        taken |= families.names
        return text


class _Families(Collector):
    """What one collector yielded, in the place of a registry of the library's, which one that fails would break."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families

    @property
    def names(self) -> set[str]:
        return {family.name for family in self._families}


@cache
def _version() -> str:
    try:
        return version("lynrie-box")
    except PackageNotFoundError:  # run from its folder, without having been installed
        return "unknown"
