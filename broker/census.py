"""Who is connected, what passed, and what waits: the box's own metrics, counted where it happens and read here."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from broker.connection import Connection, End
from broker.metrics import OTHER, Reason, counter, gauge
from broker.packets import FROM_CLIENT, PacketType

if TYPE_CHECKING:
    from broker.host import Host

DOORS = ("web", "tcp")

UNIDENTIFIED = "unidentified"
"""In the place of a role, of a connection that the gate has not let in yet."""

REASONS_OF_ENDS: Mapping[End, Reason] = {
    End.LATE: "connect_seconds",
    End.SILENT: "keep_alive",
    End.MALFORMED: "malformed",
    End.TOO_LARGE: "max_packet_bytes",
    End.SLOW: "outbound_bytes",
    End.STUCK: "stuck_seconds",
}
"""The ends that are a limit's doing. A guest who published and who was not let in are counted where it is decided."""


class Census(Collector):
    """Of one box. Reading costs some microseconds for each connection; ``opened`` and ``ended`` frame every one."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._roles = ("guest", *(role for role in host.settings.policy if role != "guest"), UNIDENTIFIED, OTHER)
        self._opened = dict.fromkeys(DOORS, 0)
        self._ended = dict.fromkeys(End, 0)
        self._read_bytes = dict.fromkeys(DOORS, 0)
        self._written_bytes = dict.fromkeys(DOORS, 0)

    def opened(self, connection: Connection) -> None:
        self._opened[connection.wire.door] += 1

    def ended(self, connection: Connection) -> None:
        """Nothing more is read of it or written to it."""
        how = connection.ended or End.LOST
        self._ended[how] += 1
        if (reason := REASONS_OF_ENDS.get(how)) is not None:
            self._host.refused(reason)
        self._read_bytes[connection.wire.door] += connection.read_bytes
        self._written_bytes[connection.wire.door] += connection.written_bytes

    # Reading

    def collect(self) -> Iterable[Metric]:
        yield from self._connections()
        yield from self._messages()
        yield from self._storage()

    def _connections(self) -> Iterable[Metric]:
        connected: Counter[tuple[str, ...]] = Counter({(door, role): 0 for door in DOORS for role in self._roles})
        read, written = Counter(self._read_bytes), Counter(self._written_bytes)
        waiting = subscriptions = 0
        for connection in self._host.clients:
            wire = connection.wire
            door = wire.door
            connected[door, self._role(connection)] += 1
            read[door] += connection.read_bytes
            written[door] += connection.written_bytes
            waiting += wire.buffered()
            subscriptions += len(connection.subscriptions)
        yield gauge(
            "lynrie_connections", "MQTT clients that are connected, by door and role.", ("door", "role"), connected
        )
        yield _by_door("lynrie_connections_opened", "MQTT connections that came, by door.", self._opened)
        yield counter(
            "lynrie_connections_ended",
            "MQTT connections that ended, by how.",
            ("how",),
            {(how.name.lower(),): number for how, number in self._ended.items()},
        )
        yield _number("lynrie_places_taken", "Connections of all kinds that have a place.", len(self._host.places))
        yield _by_door("lynrie_received_bytes", "Bytes that MQTT clients sent, by door, without TLS and framing.", read)
        yield _by_door("lynrie_sent_bytes", "Bytes that were written for MQTT clients, by door, without TLS.", written)
        yield _number("lynrie_outbound_waiting_bytes", "Bytes written that the system has not taken yet.", waiting)
        yield _number("lynrie_tasks", "Tasks of the event loop that have not ended.", _tasks())
        blocks = sys.getallocatedblocks()  # without what the allocator keeps for later, unlike the process's memory
        yield _number("lynrie_memory_blocks", "Blocks of memory that Python's objects are in.", blocks)
        yield _number("lynrie_subscriptions", "Topic filters that are subscribed to, each connection's.", subscriptions)

    def _role(self, connection: Connection) -> str:
        if connection.session is None:
            return UNIDENTIFIED
        return connection.identity.role if connection.identity.role in self._roles else OTHER

    def _messages(self) -> Iterable[Metric]:
        received = self._host.packets_received
        yield counter(
            "lynrie_packets_received",
            "MQTT packets that clients sent, by type.",
            ("type",),
            {(kind.name.lower(),): received[kind] for kind in PacketType if kind in FROM_CLIENT},
        )
        fanout = self._host.fanout
        yield counter(
            "lynrie_messages_sent",
            "Messages that subscribers were sent, by whether they are live or of the present.",
            ("kind",),
            {("live",): fanout.live_messages, ("present",): fanout.present_messages},
        )
        retained = len(self._host.broker.retained)
        yield _number("lynrie_retained_messages", "Plain retained messages that are kept in memory.", retained)

    def _storage(self) -> Iterable[Metric]:
        database = self._host.database
        yield _number("lynrie_jobs_waiting", "Changes that wait for their batch.", database.waiting_jobs)
        files = {("database",): database.path, ("log",): database.path.with_name(database.path.name + "-wal")}
        yield gauge(
            "lynrie_database_bytes",
            "Sizes of the database file and of its write-ahead log.",
            ("file",),
            {labels: _size(path) for labels, path in files.items()},
        )


def _tasks() -> int:
    """None are told where it is not the loop that asks."""
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return 0


def _by_door(metric: str, text: str, numbers: Mapping[str, int]) -> CounterMetricFamily:
    return counter(metric, text, ("door",), {(door,): number for door, number in numbers.items()})


def _number(metric: str, text: str, number: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(metric, text, number)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # a log that is not there is empty; of a database that is gone /healthz tells
        return 0
