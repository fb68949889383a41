"""One client's bytes and life: packets whole and valid, limits, acknowledgements, the outbound buffer, the end.

A connection is fed by its door through a :class:`Wire` and runs in one task. It takes commands, acknowledgements and
pings itself and hands everything else over to the broker, in the order of arrival.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from broker import packets
from broker.addresses import network_of
from broker.packets import Framer, MalformedPacketError, PacketTooLargeError, PacketType, Publish
from broker.plugin import Action, Command, Identity, Present, Reason
from broker.rates import Rate
from broker.subscriptions import is_bounded

if TYPE_CHECKING:
    from config.settings import LimitsSettings

logger = logging.getLogger(__name__)

MAX_WAITING_COMMANDS = 256
"""Commands of one connection that may wait for their outcome; then it is not read until some have theirs."""

MAX_UNACKNOWLEDGED = 4096
"""QoS 1 messages that one client may leave without PUBACK, and QoS 2 messages without PUBREL, before it is closed."""

MAX_VERDICTS = 256
"""Verdicts of the policy that one connection remembers, for each of publishing and receiving."""

PACKETS_PER_TURN = 64
"""Packets of one connection that are handled before others have their turn."""

NOTHING = b""
"""What is sent for a message at QoS 0 in the place of an acknowledgement."""

GOODBYE_SECONDS = 5.0
"""How long a DISCONNECT waits for the outcomes of commands sent before it, so that they are still acknowledged; and how
long what a client has sent too fast is still taken after it has left."""


class Wire(Protocol):
    """A door's transport as a connection needs it."""

    address: str
    port: int
    door: str
    """Which door it came by: ``web`` or ``tcp``."""

    def time_left(self, seconds: float) -> float:
        """How many of these seconds since the connection was accepted are left."""

    async def read(self) -> bytes | None:
        """The next bytes, ``b""`` at the end, however it came; None for what holds nothing of MQTT and is work all the
        same, as a WebSocket's ping. Raises MalformedPacketError for what the transport itself does not allow."""

    def frame(self, packet: bytes) -> bytes:
        """A packet as this transport carries it."""

    def write(self, data: bytes) -> None:
        """Send framed bytes; never waits."""

    def buffered(self) -> int:
        """Bytes written that the kernel has not taken yet."""

    def has_hung_up(self) -> bool:
        """Whether the peer has closed the connection, also where what it sent before is not read yet."""

    def close(self, *, again: bool) -> None:
        """Close without waiting for the peer; ``again`` tells a browser that it may come back."""

    def abort(self) -> None:
        """Drop the connection and everything that waits to be sent."""


class End(Enum):
    """How a connection ended."""

    DISCONNECT = "the client said goodbye"
    LOST = "the network connection ended"
    LATE = "no whole CONNECT came in time"
    REFUSED = "it was not let in"
    TAKEN_OVER = "the same client connected again"
    SILENT = "nothing was heard for one and a half keep-alives"
    MALFORMED = "it broke the protocol"
    TOO_LARGE = "it sent a packet that is too large"
    FORBIDDEN = "a guest published"
    SLOW = "it does not read what it must not lose"
    STUCK = "it stopped reading"
    REVOKED = "its user may no longer be here"
    SHUTDOWN = "the box stops"

    @classmethod
    def by(cls, error: MalformedPacketError) -> End:
        return cls.TOO_LARGE if isinstance(error, PacketTooLargeError) else cls.MALFORMED


class Handover(Protocol):
    """What a connection cannot answer itself."""

    async def subscribe(self, packet_id: int, filters: list[tuple[str, int]]) -> None: ...

    async def unsubscribe(self, packet_id: int, filters: list[str]) -> None: ...

    async def publish(self, publish: Publish) -> None: ...


class Switchboard(Protocol):
    """What a connection asks of the box."""

    limits: LimitsSettings
    commands: dict[str, Callable[[Command], None]]
    outbox: Outbox
    packets_received: list[int]
    """How many packets came from clients, by their type (MQTT 3.1.1 §2.2.1)."""
    messages: Rate

    def refused(self, reason: Reason) -> None: ...

    def allows(self, connection: Connection, action: Action, topic: str) -> bool: ...

    def forbidden(self, connection: Connection, topic: str) -> None: ...

    def wait_for_drain(self, connection: Connection) -> None: ...


class Outbox:
    """Collects what is to be sent within one step of the event loop, so that each connection is written to once."""

    __slots__ = ("_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[Connection] = []

    def add(self, connection: Connection) -> None:
        if not self._waiting:
            self._loop.call_soon(self.flush)
        self._waiting.append(connection)

    def flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for connection in waiting:
            try:
                connection.flush()
            except Exception:  # one connection's fault is not the others'
                logger.exception("Writing to %s failed", connection.wire.address)
                connection.end(End.LOST)


class _Acknowledgement:
    """A command's place in its connection's order of acknowledgements; calling it says that it may leave."""

    __slots__ = ("connection", "done", "packet")

    def __init__(self, connection: Connection, packet: bytes) -> None:
        self.connection = connection
        self.packet = packet
        self.done = False

    def __call__(self) -> None:
        self.done = True
        self.connection.release_acknowledgements()


_numbers = itertools.count(1)


class Connection:
    """One client, from its CONNECT to its end. ``user`` keys its subscriptions: its user id, None for a guest.

    ``rate_key`` is by what its packets are counted: its user on all doors, a guest by the connection.
    """

    __slots__ = (
        "__weakref__",
        "_acknowledgements",
        "_alive_timer",
        "_end_waiters",
        "_inflight",
        "_is_finished",
        "_keep_alive",
        "_last_heard",
        "_left_at",
        "_may_publish",
        "_may_receive",
        "_next_packet_id",
        "_outgoing",
        "_qos2",
        "_reading",
        "_room_waiter",
        "_unread",
        "client_id",
        "congested",
        "ended",
        "framer",
        "identity",
        "joining",
        "must_deliver_bytes",
        "network",
        "pending",
        "presented",
        "progress",
        "pumping",
        "rate_key",
        "read_bytes",
        "session",
        "spared_bytes",
        "subscriptions",
        "switchboard",
        "user",
        "wire",
        "written_bytes",
    )

    def __init__(self, wire: Wire, switchboard: Switchboard) -> None:
        self.wire = wire
        self.network = network_of(wire.address)
        self.switchboard = switchboard
        self.framer = Framer(switchboard.limits.max_packet_bytes)
        self._unread: list[tuple[int, bytes]] = []
        self.ended: End | None = None
        self._end_waiters: list[asyncio.Future[None]] | None = None
        self._is_finished = False
        # Who: set by the gate
        self.identity = Identity(None, None, "guest")
        self.user: str | None = None
        self.client_id = ""
        self.rate_key = f"guest {next(_numbers)}"
        self.session: object = None
        self._keep_alive = 0.0
        self._last_heard = 0.0
        self._left_at = 0.0
        self._alive_timer: asyncio.TimerHandle | None = None
        # Inbound
        self.read_bytes = 0
        self._acknowledgements: deque[_Acknowledgement] = deque()
        self._reading: asyncio.Task[object] | None = None
        self._room_waiter: asyncio.Future[None] | None = None
        self._qos2: set[int] = set()
        # Outbound
        self._outgoing: list[bytes] = []
        self.written_bytes = 0
        self._next_packet_id = 0
        self._inflight: set[int] = set()
        self._may_receive: dict[str, bool] = {}
        self._may_publish: dict[str, bool] = {}
        # The fan-out's notes on this connection
        self.subscriptions: dict[str, int] = {}
        self.joining: set[str] = set()
        self.pending: dict[str, Present] = {}
        self.presented: dict[str, float] = {}
        self.pumping = False
        self.congested = False
        self.must_deliver_bytes = 0
        self.spared_bytes = 0
        self.progress = (0, 0.0)

    # Life

    async def read_connect(self) -> packets.Connect | None:
        """The first packet, which must be a CONNECT (MQTT-3.1.0-1), within ``limits.connect_seconds``.

        None if none came in time or the peer left. Raises MalformedPacketError.
        """
        try:
            async with asyncio.timeout(self.wire.time_left(self.switchboard.limits.connect_seconds)):
                while not self._unread:
                    data = await self._read()
                    if not data or self.ended is not None:
                        return None
                    self._unread = self.framer.feed(data)
        except TimeoutError:
            self.end(End.LATE)
            return None
        first, body = self._unread.pop(0)
        if first >> 4 != PacketType.CONNECT:
            raise MalformedPacketError("MQTT-3.1.0-1: the first packet is not a CONNECT")
        self.switchboard.packets_received[first >> 4] += 1
        return packets.parse_connect(body)

    def keep_alive(self, seconds: int) -> None:
        """Watch over silence: one and a half keep-alives (MQTT-3.1.2-24), of ``limits.max_keep_alive_seconds`` where
        the client asked for none or for more."""
        longest = self.switchboard.limits.max_keep_alive_seconds
        self._keep_alive = 1.5 * (min(seconds, longest) or longest)
        loop = asyncio.get_running_loop()
        self._last_heard = loop.time()
        self._alive_timer = loop.call_later(self._keep_alive, self._check_alive)

    def _check_alive(self) -> None:
        loop = asyncio.get_running_loop()
        # While nobody reads it is the box that is silent.
        silent = loop.time() - self._last_heard if self._reading is not None else 0.0
        if silent >= self._keep_alive:
            self.end(End.SILENT)
        else:
            self._alive_timer = loop.call_later(self._keep_alive - silent, self._check_alive)

    def end(self, how: End) -> None:
        """End the connection now, without waiting for the peer. The task that runs it notices by itself."""
        if self.ended is not None:
            return
        self.flush()
        self.ended = how
        if self._alive_timer is not None:
            self._alive_timer.cancel()
            self._alive_timer = None
        if how not in (End.DISCONNECT, End.LOST, End.REFUSED):  # of the last its reason is told
            # Not by the client id, in which people put their names and addresses.
            logger.info("A client from %s (%s) is closed: %s", self.wire.address, self.user or "a guest", how.value)
        if how in (End.STUCK, End.SLOW):
            self.wire.abort()
        else:
            self.wire.close(again=how not in (End.MALFORMED, End.TOO_LARGE, End.FORBIDDEN))
        self._wake()
        if self._reading is not None:
            self._reading.cancel()

    async def wait_ended(self) -> None:
        """Return when nothing of this connection is left in the box."""
        if self._is_finished:
            return
        waiter = asyncio.get_running_loop().create_future()
        if self._end_waiters is None:
            self._end_waiters = []
        self._end_waiters.append(waiter)
        await waiter

    def finished(self) -> None:
        """Everything of this connection has been taken down."""
        self._is_finished = True
        self._acknowledgements.clear()  # those that cannot leave any more keep the connection
        for waiter in self._end_waiters or ():
            if not waiter.done():
                waiter.set_result(None)
        self._end_waiters = None

    # Inbound

    async def receive(self, handover: Handover) -> End:
        """Read and answer until the end; returns how it came. Raises MalformedPacketError."""
        received = self.switchboard.packets_received
        while True:
            for number, (first, body) in enumerate(self._unread, 1):
                if number % PACKETS_PER_TURN == 0:
                    await asyncio.sleep(0)
                kind = first >> 4
                if not self._is_awaited(kind, body) and self.switchboard.messages.take(self.rate_key):
                    await self._slow_down()
                if self.ended is not None:
                    return self.ended
                received[kind] += 1
                if kind == PacketType.PUBLISH:
                    await self._take_publish(packets.parse_publish(first, body), handover)
                elif kind == PacketType.PUBACK:
                    self._inflight.discard(packets.parse_packet_id(body))
                elif kind == PacketType.PINGREQ:
                    packets.check_empty(body)
                    self.send(packets.PINGRESP)
                elif kind == PacketType.SUBSCRIBE:
                    await handover.subscribe(*packets.parse_subscribe(body))
                elif kind == PacketType.UNSUBSCRIBE:
                    await handover.unsubscribe(*packets.parse_unsubscribe(body))
                elif kind == PacketType.PUBREL:
                    packet_id = packets.parse_packet_id(body)
                    self._qos2.discard(packet_id)
                    # Also for one that is unknown: mqtt.js otherwise hangs for good (amqtt.md, fact 12).
                    self._in_order(packets.pubcomp(packet_id))()
                elif kind == PacketType.DISCONNECT:
                    packets.check_empty(body)
                    await self._acknowledge_before_goodbye()
                    return End.DISCONNECT
                elif kind in (PacketType.PUBREC, PacketType.PUBCOMP):
                    packets.parse_packet_id(body)  # nothing is sent at QoS 2, so there is nothing to acknowledge
                else:
                    raise MalformedPacketError("MQTT-3.1.0-2: a second CONNECT")
                if len(self._acknowledgements) >= MAX_WAITING_COMMANDS:
                    await self._room()
            if self._unread:
                # Heard is a whole packet, not a byte of one. The time that answering it took is not silence.
                self._last_heard = asyncio.get_running_loop().time()
                self._unread = []
            if self.congested:
                await self._until_taken()
            self._unread = self.framer.feed()  # what came together with them
            if self._unread:
                continue
            data = await self._read()
            if self.ended is not None:
                return self.ended
            if not data:
                return End.LOST
            self._unread = self.framer.feed(data)

    async def _read(self) -> bytes:
        """The next bytes; ``b""`` at once when the connection is ended from outside: a peer that does not take what
        waits for it would otherwise keep the transport, and with it this task, for as long as it likes."""
        while self.ended is None:
            self._reading = asyncio.current_task()
            try:
                data = await self.wire.read()
            except asyncio.CancelledError:
                if self.ended is None or self._reading is None or self._reading.uncancel() > 0:
                    raise
                break
            finally:
                self._reading = None
            if data is not None:
                self.read_bytes += len(data)
                return data
            if self.switchboard.messages.take(self.rate_key):
                await self._slow_down()
        return b""

    async def _take_publish(self, publish: Publish, handover: Handover) -> None:
        if publish.qos == 2:
            if publish.packet_id in self._qos2:
                # A repetition of what was taken already (MQTT-4.3.3-2): only acknowledged.
                self._in_order(packets.pubrec(publish.packet_id))()
                return
            if len(self._qos2) >= MAX_UNACKNOWLEDGED:
                raise MalformedPacketError("too many QoS 2 messages without PUBREL")
            self._qos2.add(publish.packet_id)
            done = self._in_order(packets.pubrec(publish.packet_id))
        elif publish.qos == 1:
            done = self._in_order(packets.puback(publish.packet_id))
        else:
            done = self._in_order(NOTHING)  # not acknowledged, but counted among the commands that wait
        topic, switchboard = publish.topic, self.switchboard
        if not self.may_publish(topic):
            switchboard.refused("forbidden")
            if self.identity.is_guest:
                self.end(End.FORBIDDEN)
                return
            switchboard.forbidden(self, topic)
            done()
        elif (handler := switchboard.commands.get(topic)) is not None:
            handler(Command(topic, publish.payload, self.identity, self.network, done))
        else:
            await handover.publish(publish)
            done()

    def _in_order(self, packet: bytes) -> Callable[[], None]:
        acknowledgement = _Acknowledgement(self, packet)
        self._acknowledgements.append(acknowledgement)
        return acknowledgement

    def release_acknowledgements(self) -> None:
        """Send what may leave: acknowledgements leave in the order of what they acknowledge."""
        waiting = self._acknowledgements
        while waiting and waiting[0].done:
            packet = waiting.popleft().packet
            if packet:
                self.send(packet)
        if len(waiting) < MAX_WAITING_COMMANDS:
            self._wake()

    async def _room(self) -> None:
        while len(self._acknowledgements) >= MAX_WAITING_COMMANDS and self.ended is None:
            await self._wait()

    def _is_awaited(self, kind: int, body: bytes) -> bool:
        """Whether a packet answers one of the box's, or says goodbye, and so is no message to be counted."""
        if kind == PacketType.DISCONNECT:
            return True
        if kind == PacketType.PUBACK:
            return int.from_bytes(body) in self._inflight
        return kind == PacketType.PUBREL and int.from_bytes(body) in self._qos2

    async def _slow_down(self) -> None:
        """Read on only when the user may send another message. That is not silence, for nobody reads meanwhile; nor
        would anybody notice that the client has left, whose last packets are still taken for GOODBYE_SECONDS."""
        self.switchboard.refused("messages_per_second")
        loop = asyncio.get_running_loop()
        while self.ended is None and (seconds := self.switchboard.messages.take(self.rate_key)):
            if self.wire.has_hung_up():
                self._left_at = self._left_at or loop.time()
                if loop.time() - self._left_at >= GOODBYE_SECONDS:
                    self.end(End.LOST)
                    return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wait()

    async def _until_taken(self) -> None:
        """Read on only when the client takes what it is answered. It would else make as much wait as it likes, for what
        answers it is not held back by the fan-out."""
        most = 2 * self.switchboard.limits.outbound_bytes
        while self.ended is None and self.congested and self.wire.buffered() > most + self.spared_bytes:
            await self._wait()

    async def _acknowledge_before_goodbye(self) -> None:
        if self._acknowledgements:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_SECONDS):
                    while self._acknowledgements and self.ended is None:
                        await self._wait()

    async def _wait(self) -> None:
        self._room_waiter = asyncio.get_running_loop().create_future()
        try:
            await self._room_waiter
        finally:
            self._room_waiter = None

    def _wake(self) -> None:
        if self._room_waiter is not None and not self._room_waiter.done():
            self._room_waiter.set_result(None)

    # Outbound

    def send(self, packet: bytes) -> None:
        """Send one packet, together with whatever else this step of the event loop has for this client."""
        self.send_framed(self.wire.frame(packet))

    def send_framed(self, data: bytes) -> None:
        """Send bytes that are framed for this connection's wire already."""
        if self.ended is None:
            if not self._outgoing:
                self.switchboard.outbox.add(self)
            self._outgoing.append(data)

    def send_publish(self, topic: bytes, payload: bytes, qos: int, retain: bool) -> int:
        """Send a PUBLISH of this connection's own; at QoS 1 with a packet identifier. Returns its size in bytes."""
        packet_id = self._allot_packet_id() if qos else 0
        packet = packets.publish(topic, payload, qos=qos, retain=retain, packet_id=packet_id)
        self.send(packet)
        return len(packet)

    def flush(self) -> None:
        """Write what was collected, in one call."""
        outgoing = self._outgoing
        if outgoing and self.ended is None:
            self._outgoing = []
            data = outgoing[0] if len(outgoing) == 1 else b"".join(outgoing)
            self.written_bytes += len(data)
            self.wire.write(data)
            limit = self.switchboard.limits.outbound_bytes
            if not self.congested and self.wire.buffered() > limit + self.spared_bytes:
                self.congested = True
                self.switchboard.wait_for_drain(self)

    def drained(self) -> None:
        """What waited has been taken."""
        self.congested = False
        self.must_deliver_bytes = 0
        self.spared_bytes = 0
        self._wake()

    @property
    def taken_bytes(self) -> int:
        """How many bytes the kernel has taken for the client since it connected."""
        return self.written_bytes - self.wire.buffered()

    @property
    def unacknowledged(self) -> int:
        """How many QoS 1 messages the client has not acknowledged."""
        return len(self._inflight)

    def _allot_packet_id(self) -> int:
        if len(self._inflight) >= MAX_UNACKNOWLEDGED:
            self.end(End.SLOW)
        packet_id = self._next_packet_id
        while True:
            packet_id = packet_id % 65535 + 1
            if packet_id not in self._inflight:
                break
        self._next_packet_id = packet_id
        self._inflight.add(packet_id)
        return packet_id

    # The policy's verdicts, remembered: who the client is does not change while it lives.

    def may_receive(self, topic: str) -> bool:
        return self._verdict(self._may_receive, Action.RECEIVE, topic)

    def may_publish(self, topic: str) -> bool:
        return is_bounded(topic) and self._verdict(self._may_publish, Action.PUBLISH, topic)

    def _verdict(self, remembered: dict[str, bool], action: Action, topic: str) -> bool:
        verdict = remembered.get(topic)
        if verdict is None:
            verdict = self.switchboard.allows(self, action, topic)
            if len(remembered) >= MAX_VERDICTS:
                remembered.clear()
            remembered[topic] = verdict
        return verdict
