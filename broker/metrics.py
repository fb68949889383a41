"""What the box counts and measures of itself, for Prometheus.

What happens often is counted in plain integers, which are read when somebody asks: an increment of a
``prometheus_client.Counter`` costs as much as encoding a packet does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

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
    "unacknowledged",  # too many messages without their acknowledgement
    "outbound_bytes",  # does not read what it must not lose
    "stuck_seconds",  # stopped reading
    "registrations",  # too many new accounts, of the address or in all
    "visitors",  # likewise visitors
    "storage_unavailable",  # nothing can be written or read at the moment
]
"""Why something is refused or closed: all words that there are, named after their limit where they have one
(protocol.md, “Refusals at the door”). docs/metrics.md has them for the owner."""

REASONS: tuple[str, ...] = get_args(Reason)

OTHER = "other"
"""What is counted in the place of a reason that is not one of :data:`REASONS`: a label never grows by what comes in."""


class Metrics(Collector):
    """One box's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._refusals = dict.fromkeys((*REASONS, OTHER), 0)
        self.registry.register(self)

    def refused(self, reason: Reason) -> None:
        """Count something that was refused or closed. Costs some 0.1 µs."""
        self._refusals[reason if reason in self._refusals else OTHER] += 1

    def collect(self) -> Iterable[Metric]:
        refusals = CounterMetricFamily("lynrie_refusals", "What was refused or closed, by reason.", labels=["reason"])
        for reason, number in self._refusals.items():
            refusals.add_metric([reason], number)
        yield refusals
