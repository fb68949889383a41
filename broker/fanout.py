"""One message to many: everything that leaves the box for a subscriber leaves through here.

Live messages of the box itself at QoS 0 are coalesced: the first change leaves with the current step of the event
loop, what follows within the window leaves together, encoded and framed once for all subscribers. Every
subscription begins with the present of its topics, one topic at a time as the connection drains; a topic joins
the live messages in the same step in which its present is written. A connection that does not keep up gets no
more of the messages that the present replaces until it has drained, and then the present.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from broker import packets
from broker.connection import MAX_UNACKNOWLEDGED, Connection, End
from broker.plugin import Audience, Message, Present
from broker.subscriptions import SubscriptionIndex
from broker.topics import matches

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 0.02
"""How often a connection whose buffer is full is looked at again."""

ROOM_BYTES = 65536
"""A present is written while less than this waits in the connection's buffer."""

TOPICS_PER_TURN = 8
"""Presents written to one connection before others have their turn."""

PRESENT_AGAIN_SECONDS = 1.0
"""A filter's present comes at most this often to one connection (protocol.md)."""

MAX_PRESENTED = 256
"""Filters whose last present one connection remembers."""

SHARED_PRESENT_BYTES = 64 * 1024 * 1024
"""Encoded presents kept for others who ask for the same, framed for both kinds of wire: those of 600 showings of 200
seats, or of 25 of 5,000."""

PRESENT_KEPT_SECONDS = 60.0
"""How long one is kept after it was last asked for: that of a showing that is over nobody asks for again."""


class _Shared:
    """Packets encoded once for all; framed once for each kind of wire."""

    __slots__ = ("_framed", "asked_at", "packets")

    def __init__(self, packets: bytes) -> None:
        self.packets = packets
        self.asked_at = 0.0
        """By the loop's clock, where it is kept for others."""
        self._framed: dict[type, bytes] = {}

    @property
    def kept_bytes(self) -> int:
        """How large it may become: once as packets, once framed."""
        return 2 * len(self.packets)

    def for_wire(self, connection: Connection) -> bytes:
        kind = type(connection.wire)
        framed = self._framed.get(kind)
        if framed is None:
            framed = self._framed[kind] = connection.wire.frame(self.packets)
        return framed


class Fanout:
    """The topic index, the live messages, and the present. Everything runs in the loop.

    ``written`` is told after each gathered write how many seconds before it the first of its messages was published.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        window_seconds: float,
        outbound_bytes: int,
        stuck_seconds: float,
        users_of_role: Callable[[str], Iterable[str]],
        written: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._loop = loop
        self._window_seconds = window_seconds
        self._outbound_bytes = outbound_bytes
        self._stuck_seconds = stuck_seconds
        self.index: SubscriptionIndex[Connection] = SubscriptionIndex()
        self.presents: list[Present] = []
        self._users_of_role = users_of_role
        self._written = written
        self._waiting: dict[str, list[bytes]] = {}
        self._waiting_since = 0.0
        """When the first of those that wait was published, by the loop's clock."""
        self.live_messages = 0
        self.present_messages = 0
        """How many messages connections were sent as they came, and as the present."""
        self._joined_at: dict[str, dict[Connection, int]] = {}
        self._window: asyncio.TimerHandle | asyncio.Handle | None = None
        self._shared_presents: dict[str, tuple[Sequence[Message], _Shared]] = {}
        self._shared_present_bytes = 0
        self._draining: dict[Connection, None] = {}
        self._drain_timer: asyncio.TimerHandle | None = None

    # Joining and leaving

    async def prepare(self, connection: Connection, topic_filter: str) -> None:
        """Let the presents bring into memory what the subscription will need."""
        for present in self.presents:
            await present.prepare(topic_filter, connection.identity)

    def subscribe(self, connection: Connection, topic_filter: str, qos: int) -> None:
        """Join the live messages. :meth:`present` must follow; until it has come, a topic with a present that
        replaces its messages stays silent."""
        if topic_filter not in connection.subscriptions:
            for present in self.presents:
                for topic in present.topics(topic_filter, connection.identity):
                    if present.replaces_backlog(topic) and self._granted(connection, topic) is None:
                        connection.joining.add(topic)
        connection.subscriptions[topic_filter] = qos
        self.index.add(topic_filter, connection, connection.user, qos)

    def unsubscribe(self, connection: Connection, topic_filter: str) -> None:
        if connection.subscriptions.pop(topic_filter, None) is not None:
            self.index.remove(topic_filter, connection, connection.user)
            connection.joining = {t for t in connection.joining if self._granted(connection, t) is not None}
            for topic in [t for t in connection.pending if self._granted(connection, t) is None]:
                del connection.pending[topic]

    def leave(self, connection: Connection) -> None:
        """The connection has ended: nothing of it stays behind."""
        for topic_filter in connection.subscriptions:
            self.index.remove(topic_filter, connection, connection.user)
        connection.subscriptions.clear()
        connection.joining.clear()
        connection.pending.clear()
        self._draining.pop(connection, None)

    def present(self, connection: Connection, topic_filter: str) -> None:
        """Begin the subscription's present; at most once a second for one filter."""
        now = self._loop.time()
        due = connection.presented.get(topic_filter, 0.0) + PRESENT_AGAIN_SECONDS
        if topic_filter in connection.presented and due > now:
            if due <= now + PRESENT_AGAIN_SECONDS:  # else it is on its way already
                connection.presented[topic_filter] = due
                self._loop.call_at(due, self._present_again, connection, topic_filter)
            return
        self._note_presented(connection, topic_filter, now)
        self._begin(connection, topic_filter)

    @staticmethod
    def _note_presented(connection: Connection, topic_filter: str, now: float) -> None:
        presented = connection.presented
        presented.pop(topic_filter, None)  # so that the order is that of time
        while presented and (len(presented) >= MAX_PRESENTED or next(iter(presented.values())) <= now - 1.0):
            del presented[next(iter(presented))]
        presented[topic_filter] = now

    def _present_again(self, connection: Connection, topic_filter: str) -> None:
        if connection.ended is None and topic_filter in connection.subscriptions:
            self._begin(connection, topic_filter)

    def _begin(self, connection: Connection, topic_filter: str) -> None:
        connection.joining = {topic for topic in connection.joining if not matches(topic_filter, topic)}
        for present in self.presents:
            for topic in present.topics(topic_filter, connection.identity):
                if connection.may_receive(topic):
                    connection.pending[topic] = present
        self._pump(connection)

    def renew(self, topic: str) -> None:
        """Give all subscribers of a topic its present anew."""
        self._flush_topic(topic)
        for connection in self.index.subscribers(topic):
            present = self._present_of(topic, connection)
            if present is not None and connection.may_receive(topic):
                connection.pending[topic] = present
                self._pump(connection)

    def _present_of(self, topic: str, connection: Connection) -> Present | None:
        for present in self.presents:
            if any(True for _ in present.topics(topic, connection.identity)):
                return present
        return None

    # Live messages

    def publish(self, topic: str, payload: bytes, qos: int, audience: Audience | None) -> None:
        """A message of the box itself."""
        if qos == 0 and audience is None:
            if not self._waiting:
                self._waiting_since = self._loop.time()
            self._waiting.setdefault(topic, []).append(packets.publish(topic.encode(), payload))
            if self._window is None:
                self._window = self._loop.call_soon(self._flush)
            return
        users: set[str] | None = None
        if audience is not None:
            users = set(audience.users)
            for role in audience.roles:
                users.update(self._users_of_role(role))
        self._send_now(topic, payload, qos, users, audience)

    def forward(self, topic: str, payload: bytes, qos: int) -> None:
        """A message from one client to others: at once, so that messages to one topic keep their order
        (MQTT-4.6.0-2), whatever their QoS."""
        self._send_now(topic, payload, qos, None, None)

    def _send_now(
        self, topic: str, payload: bytes, qos: int, users: set[str] | None, audience: Audience | None
    ) -> None:
        name = topic.encode()
        shared: _Shared | None = None
        for connection, granted in self.index.subscribers(topic, users).items():
            if audience is not None and not audience.includes(connection.identity):
                continue
            if not connection.may_receive(topic):
                continue
            effective = min(qos, granted)
            if topic in connection.joining:
                continue
            if topic in connection.pending and not self._overtake(connection, topic, payload):
                continue
            # At most once is for what anybody may see; a message for few eyes is never dropped.
            may_be_lost = effective == 0 and audience is None
            if connection.congested and (self._replaced_by_present(connection, topic) or may_be_lost):
                continue
            self.live_messages += 1
            if effective == 0:
                if shared is None:
                    shared = _Shared(packets.publish(name, payload))
                framed = shared.for_wire(connection)
                connection.send_framed(framed)
                size = len(framed)
            else:
                size = connection.send_publish(name, payload, effective, False)
            if connection.congested:
                connection.must_deliver_bytes += size
                if connection.must_deliver_bytes > self._outbound_bytes:
                    connection.end(End.SLOW)

    def _overtake(self, connection: Connection, topic: str, payload: bytes) -> bool:
        """A live message met a present that is still to come. One that replaces the backlog is left to come in its
        turn, for it contains the message. Any other goes first. True if the message is to follow it."""
        present = connection.pending[topic]
        if present.replaces_backlog(topic):
            return False
        del connection.pending[topic]
        given = self._give_present(connection, topic, present)
        return isinstance(present, RetainedPresent) or all(message.payload != payload for message in given)

    def _replaced_by_present(self, connection: Connection, topic: str) -> bool:
        present = next((p for p in self.presents if p.replaces_backlog(topic)), None)
        if present is None:
            return False
        connection.pending[topic] = present
        return True

    def _flush(self) -> None:
        if not self._waiting:
            self._window = None
            return
        before, since = self.live_messages, self._waiting_since
        for topic in list(self._waiting):
            self._flush_topic(topic)
        if self.live_messages != before:
            self._loop.call_soon(self._note_delay, since)  # which is after the connections have written
        if self._window_seconds > 0:
            self._window = self._loop.call_later(self._window_seconds, self._flush)
        else:
            self._window = None

    def _note_delay(self, since: float) -> None:
        self._written(self._loop.time() - since)

    def _flush_topic(self, topic: str) -> None:
        messages = self._waiting.pop(topic, None)
        if messages is None:
            return
        joined_at = self._joined_at.pop(topic, None)
        shared, reached = _Shared(b"".join(messages)), 0
        for connection in self.index.subscribers(topic):
            if topic in connection.pending or topic in connection.joining or not connection.may_receive(topic):
                continue
            if connection.congested:
                self._replaced_by_present(connection, topic)  # QoS 0 is at most once
            elif joined_at is not None and connection in joined_at:
                # Its present contained the first of these already.
                if rest := messages[joined_at[connection] :]:
                    self.live_messages += len(rest)
                    connection.send(b"".join(rest))
            else:
                reached += 1
                connection.send_framed(shared.for_wire(connection))
        self.live_messages += reached * len(messages)

    # The present

    def _pump(self, connection: Connection) -> None:
        """Write what is due of the present, as far as the connection has room."""
        if connection.pumping:
            return
        connection.pumping = True
        self._continue(connection)

    def _continue(self, connection: Connection) -> None:
        for _ in range(TOPICS_PER_TURN):
            if connection.ended is not None or not connection.pending:
                connection.pumping = False
                return
            if (
                connection.congested
                or connection.wire.buffered() > ROOM_BYTES
                or connection.unacknowledged > MAX_UNACKNOWLEDGED // 4
            ):
                connection.pumping = False
                self.wait_for_drain(connection)
                return
            topic = next(iter(connection.pending))
            self._give_present(connection, topic, connection.pending.pop(topic))
        self._loop.call_soon(self._continue, connection)

    def _give_present(self, connection: Connection, topic: str, present: Present) -> Sequence[Message]:
        """Write it; returns what was written."""
        try:
            return self._write_present(connection, topic, present)
        except Exception:  # a plugin's fault with one topic or connection is not the others'
            logger.exception("The present of a topic could not be given")
            return ()

    def _write_present(self, connection: Connection, topic: str, present: Present) -> Sequence[Message]:
        granted = self._granted(connection, topic)
        if granted is None:
            return ()
        if topic in self._waiting:
            self._joined_at.setdefault(topic, {})[connection] = len(self._waiting[topic])
        messages = present.messages(topic, connection.identity)
        if not messages:
            return ()
        self.present_messages += len(messages)
        if granted == 0 or all(message.qos == 0 for message in messages):
            framed = self._shared_present(topic, messages).for_wire(connection)
            connection.send_framed(framed)
            if len(framed) > ROOM_BYTES // TOPICS_PER_TURN:
                connection.spared_bytes = len(framed)  # while it is under way it is no backlog
                connection.flush()
                self.wait_for_drain(connection)
            return messages
        name = topic.encode()
        for message in messages:
            connection.send_publish(name, message.payload, min(message.qos, granted), True)
        return messages

    def _shared_present(self, topic: str, messages: Sequence[Message]) -> _Shared:
        kept = self._let_go_of_shared_present(topic)
        if kept is not None and kept[0] is messages:
            shared = kept[1]
        else:
            name = topic.encode()
            shared = _Shared(b"".join(packets.publish(name, m.payload, retain=True) for m in messages))
        shared.asked_at = self._loop.time()
        self._shared_presents[topic] = (messages, shared)  # at the end: the one that was asked for longest ago is first
        self._shared_present_bytes += shared.kept_bytes
        self._let_go_of_unasked(shared.asked_at - PRESENT_KEPT_SECONDS)
        return shared

    def _let_go_of_shared_present(self, topic: str) -> tuple[Sequence[Message], _Shared] | None:
        kept = self._shared_presents.pop(topic, None)
        if kept is not None:
            self._shared_present_bytes -= kept[1].kept_bytes
        return kept

    def _let_go_of_unasked(self, since: float) -> None:
        """Forget presents that nobody has asked for since; where there are too many, those unasked for longest."""
        presents = self._shared_presents
        while presents:
            topic, (_, oldest) = next(iter(presents.items()))
            if oldest.asked_at >= since and self._shared_present_bytes <= SHARED_PRESENT_BYTES:
                return
            self._let_go_of_shared_present(topic)

    @staticmethod
    def _granted(connection: Connection, topic: str) -> int | None:
        return max(
            (qos for topic_filter, qos in connection.subscriptions.items() if matches(topic_filter, topic)),
            default=None,
        )

    # Slow and stuck connections

    def wait_for_drain(self, connection: Connection) -> None:
        """Look after a connection until its buffer has drained."""
        if connection not in self._draining:
            connection.progress = (connection.taken_bytes, self._loop.time())
            self._draining[connection] = None
            if self._drain_timer is None:
                self._drain_timer = self._loop.call_later(DRAIN_SECONDS, self._look_at_draining)

    def _look_at_draining(self) -> None:
        now = self._loop.time()
        for connection in list(self._draining):
            try:
                self._look_at(connection, now)
            except Exception:  # one connection's fault is not the others', who would wait for ever
                logger.exception("A connection that drains could not be looked at")
                self._draining.pop(connection, None)
                connection.end(End.LOST)
        self._drain_timer = self._loop.call_later(DRAIN_SECONDS, self._look_at_draining) if self._draining else None

    def _look_at(self, connection: Connection, now: float) -> None:
        before, since = connection.progress
        if connection.ended is not None:
            del self._draining[connection]
        elif connection.wire.buffered() <= min(ROOM_BYTES, self._outbound_bytes // 2):
            del self._draining[connection]
            connection.drained()
            self._pump(connection)
        elif connection.taken_bytes > before:
            connection.progress = (connection.taken_bytes, now)
        elif now - since >= self._stuck_seconds:
            connection.end(End.STUCK)

    def close(self) -> None:
        """Send what waits and stop the timers."""
        for topic in list(self._waiting):
            self._flush_topic(topic)
        for timer in (self._window, self._drain_timer):
            if timer is not None:
                timer.cancel()


class RetainedPresent:
    """Plain retained messages (MQTT 3.1.1 §3.3.1.3), as a present. ``retained`` has a topic's under its name, as the
    same object until it changes."""

    def __init__(self, retained: Mapping[str, Sequence[Message]]) -> None:
        self._retained = retained

    async def prepare(self, topic_filter: str, identity: object) -> None:
        """Everything is in memory."""

    def topics(self, topic_filter: str, identity: object) -> list[str]:
        return [topic for topic in self._retained if matches(topic_filter, topic)]

    def messages(self, topic: str, identity: object) -> Sequence[Message]:
        return self._retained.get(topic, ())

    def replaces_backlog(self, topic: str) -> bool:
        return False
