"""For tests by plain calls: a loop whose clock the test turns, and a wire that keeps what was written."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any, cast

from raw_mqtt import Packet, cut

from broker.connection import Connection, Outbox
from broker.fanout import Fanout
from broker.plugin import Action, Command, Identity
from broker.rates import Rate
from config import load_settings


class Handle:
    def __init__(self, callback: Callable[..., object], arguments: tuple[object, ...]) -> None:
        self._callback: Callable[..., object] | None = callback
        self._arguments = arguments

    def cancel(self) -> None:
        self._callback = None

    def run(self) -> None:
        if self._callback is not None:
            self._callback(*self._arguments)


class TurnedLoop:
    """What the fan-out uses of an event loop, in its order: what is ready, then what has become ready meanwhile."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._ready: list[Handle] = []
        self._timers: list[tuple[float, int, Handle]] = []
        self._order = count()

    def time(self) -> float:
        return self._now

    def call_soon(self, callback: Callable[..., object], *arguments: object) -> Handle:
        handle = Handle(callback, arguments)
        self._ready.append(handle)
        return handle

    def call_later(self, delay: float, callback: Callable[..., object], *arguments: object) -> Handle:
        return self.call_at(self._now + delay, callback, *arguments)

    def call_at(self, when: float, callback: Callable[..., object], *arguments: object) -> Handle:
        handle = Handle(callback, arguments)
        heapq.heappush(self._timers, (when, next(self._order), handle))
        return handle

    def step(self) -> None:
        """One step of the loop."""
        while self._timers and self._timers[0][0] <= self._now:
            self._ready.append(heapq.heappop(self._timers)[2])
        ready, self._ready = self._ready, []
        for handle in ready:
            handle.run()

    def settle(self) -> None:
        """Steps until nothing is left to do but wait."""
        self.step()
        while self._ready:
            self.step()

    def advance(self, seconds: float) -> None:
        """Let the time pass, with all that it brings."""
        until = self._now + seconds
        self.settle()
        while self._timers and self._timers[0][0] <= until:
            self._now = max(self._now, self._timers[0][0])
            self.settle()
        self._now = until


class MemoryWire:
    """Keeps every write; a slow one holds the bytes until :meth:`take`."""

    address, port = "192.0.2.1", 1

    def __init__(self, seen: Callable[[Packet], None] | None = None) -> None:
        self.writes: list[bytes] = []
        self.is_slow = False
        self.is_open = True
        self.most_buffered = 0
        self._waiting = 0
        self._seen = seen

    def time_left(self, seconds: float) -> float:
        return seconds

    async def read(self) -> bytes:
        return b""

    def frame(self, packet: bytes) -> bytes:
        return packet

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        if self.is_slow:
            self._waiting += len(data)
            self.most_buffered = max(self.most_buffered, self._waiting)
        if self._seen is not None:
            for packet in cut(data):
                self._seen(packet)

    def buffered(self) -> int:
        return self._waiting

    def has_hung_up(self) -> bool:
        return not self.is_open

    def take(self, size: int) -> None:
        self._waiting = max(0, self._waiting - size)

    def close(self, *, again: bool) -> None:
        self.is_open = False

    def abort(self) -> None:
        self.is_open = False

    @property
    def packets(self) -> list[Packet]:
        return cut(b"".join(self.writes))


class Bench:
    """A fan-out with its connections, without a box around it; everything is allowed. ``limits`` as in settings."""

    def __init__(
        self,
        *,
        window_seconds: float = 0.02,
        stuck_seconds: float = 30,
        written: Callable[[float], None] = lambda seconds: None,
        **limits: Any,
    ) -> None:
        self.loop = TurnedLoop()
        self.limits = load_settings().limits.model_copy(update=limits)
        self.commands: dict[str, Callable[[Command], None]] = {}
        self.packets_received = [0] * 16
        self.messages = Rate(10**6, 1)
        loop = cast(Any, self.loop)
        self.outbox = Outbox(loop)
        self.fanout = Fanout(
            loop,
            window_seconds=window_seconds,
            outbound_bytes=self.limits.outbound_bytes,
            stuck_seconds=stuck_seconds,
            users_of_role=lambda role: [],
            written=written,
        )

    def join(self, user: str | None = "ann", wire: MemoryWire | None = None) -> tuple[Connection, MemoryWire]:
        wire = wire or MemoryWire()
        connection = Connection(cast(Any, wire), cast(Any, self))
        connection.identity = Identity(user, user, "customer")
        connection.user = user
        return connection, wire

    def subscribe(self, connection: Connection, *filters: str, qos: int = 0) -> None:
        """As one SUBSCRIBE does."""
        for topic_filter in filters:
            self.fanout.subscribe(connection, topic_filter, qos)
        for topic_filter in filters:
            self.fanout.present(connection, topic_filter)

    # What a connection asks of the box

    def refused(self, reason: str) -> None: ...

    def allows(self, connection: Connection, action: Action, topic: str) -> bool:
        return True

    def forbidden(self, connection: Connection, topic: str) -> None: ...

    def wait_for_drain(self, connection: Connection) -> None:
        self.fanout.wait_for_drain(connection)
