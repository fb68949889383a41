"""amqtt, hardened: the only place that touches a private member of amqtt.

Each override names the fact of amqtt.md that it answers. amqtt keeps what is its own: plugins and their events,
sessions, the way of a SUBSCRIBE, the Last Will, retained messages. The door owns the connection, the gate has decided
who it is, and everything that leaves goes through the fan-out.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from amqtt.adapters import ReaderAdapter, WriterAdapter
from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType
from amqtt.events import BrokerEvents
from amqtt.mqtt.disconnect import DisconnectPacket
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler, Subscription, UnSubscription
from amqtt.mqtt.publish import PublishPacket
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin
from amqtt.session import IncomingApplicationMessage, Session

from broker.connection import Connection, End
from broker.packets import MalformedPacketError, Publish
from broker.plugin import IDENTITY_ATTRIBUTE, Action, Identity, Message, Reason, StorageUnavailableError
from broker.subscriptions import is_bounded
from broker.topics import is_topic_filter

if TYPE_CHECKING:
    from broker.fanout import Fanout
    from config.settings import LimitsSettings

logger = logging.getLogger(__name__)

LISTENER = "default"
SUBSCRIPTION_REFUSED = 0x80


class _State:
    """A session's state without the machine that amqtt builds for each (fact 21: 248 µs and 23 KiB)."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = "new"

    def connect(self) -> None:
        self.state = "connected"

    def disconnect(self) -> None:
        self.state = "disconnected"

    def is_connected(self) -> bool:
        return self.state == "connected"


class LightSession(Session):
    """The gate's own Session: what amqtt and its plugins read, without queues that nobody fills (fact 21)."""

    publish_retry_delay = 0
    broker_uri = cafile = capath = cadata = None
    parent = 0  # session present, always 0: no session outlives its connection
    last_connect_time = last_disconnect_time = None
    will_flag = False
    will_topic: str | None = None
    will_message: bytes | None = None
    will_qos: int | None = None
    will_retain: bool | None = None
    ssl_object = None

    def __init__(self, username: str | None, password: str | None, address: str, port: int = 0) -> None:
        # Not amqtt's own, which builds all that this class leaves out.
        self.transitions = _State()
        self.client_id: str | None = None
        self.clean_session = True
        self.keep_alive = 0
        self.username = username
        self.password = password
        self.remote_address = address
        self.remote_port = port
        self.is_anonymous = username is None
        self.attributes: dict[str, Any] = {}

    # Always empty: the connection keeps what is in flight, and nothing waits for a session that has ended.

    @property
    def inflight_in(self) -> OrderedDict[int, Any]:
        return OrderedDict()

    inflight_out = inflight_in

    @property
    def retained_messages(self) -> asyncio.Queue[Any]:
        return asyncio.Queue()

    delivered_message_queue = retained_messages

    def clear_queues(self) -> None:
        """There are none."""


class _Ends(ReaderAdapter, WriterAdapter):
    """What amqtt holds in the place of a stream: the connection. It reads nothing, for the door has read already."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def read(self, n: int = -1) -> bytes:
        return b""

    def feed_eof(self) -> None:
        """There is nothing to feed."""

    def write(self, data: bytes) -> None:
        self.connection.send(data)

    async def drain(self) -> None:
        """The fan-out watches over the outbound buffer."""

    def get_peer_info(self) -> tuple[str, int]:
        return self.connection.wire.address, self.connection.wire.port

    def get_ssl_info(self) -> None:
        return None

    async def close(self) -> None:
        self.connection.end(End.LOST)


class LightHandler(BrokerProtocolHandler):
    """The gate's own Handler: no reader task, no waiters, no queues (facts 20 and 21)."""

    def __init__(self, broker: HardenedBroker, connection: Connection) -> None:
        # Not amqtt's own, which builds all that this class leaves out.
        self.broker = broker
        self.connection = connection
        self.plugins_manager = broker.plugins_manager
        self.logger = logger
        self.session: LightSession | None = None
        self.reader = self.writer = None

    def attach(self, session: LightSession, reader: ReaderAdapter, writer: WriterAdapter) -> None:
        self.session = session

    async def start(self) -> None:
        """Reading is the message loop's own."""

    async def stop(self) -> None:
        """Nothing runs beside the message loop."""

    async def handle_connection_closed(self) -> None:
        self.connection.end(End.LOST)

    async def _send_packet(self, packet: Any) -> None:
        self.connection.send(packet.to_bytes())

    async def mqtt_publish(
        self, topic: str, data: bytes | bytearray, qos: int | None, retain: bool, ack_timeout: int | None = None
    ) -> None:
        self.connection.send_publish(topic.encode(), bytes(data), min(qos or 0, 1), retain)

    # connection.Handover

    async def subscribe(self, packet_id: int, filters: list[tuple[str, int]]) -> None:
        await self.broker._handle_subscription(self.session, self, _done(Subscription(packet_id, filters)))

    async def unsubscribe(self, packet_id: int, filters: list[str]) -> None:
        await self.broker._handle_unsubscription(self.session, self, _done(UnSubscription(packet_id, filters)))

    async def publish(self, publish: Publish) -> None:
        await self.broker.publish_from(self.session, publish)


def _done(result: object) -> asyncio.Future[Any]:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.set_result(result)
    return future


class HardenedBroker(Broker):
    """amqtt's broker behind our doors.

    ``plugins`` maps dotted paths to their options, as in amqtt's configuration; ``refused`` counts what is refused.
    Raises what amqtt raises for a plugin that cannot be loaded.
    """

    fanout: Fanout

    def __init__(
        self, plugins: dict[str, dict[str, Any]], limits: LimitsSettings, *, refused: Callable[[Reason], None]
    ) -> None:
        self._limits = limits
        self.refused = refused
        # The default listener is mandatory and would open 0.0.0.0:1883 (fact 16): ours is external, and the only one.
        listeners = {LISTENER: ListenerConfig(type=ListenerType.EXTERNAL, bind="the doors")}
        super().__init__(BrokerConfig(listeners=listeners, plugins=plugins))
        self.topic_plugins = [p for p in self.plugins_manager.plugins if isinstance(p, BaseTopicPlugin)]
        self.auth_plugins = [p for p in self.plugins_manager.plugins if isinstance(p, BaseAuthPlugin)]
        self._by_session: dict[int, Connection] = {}
        self.retained: dict[str, tuple[Message, ...]] = {}
        """Plain retained messages by their topics, one for each, as a present has them."""
        self._retained_by: dict[str, Identity] = {}

    # Serving

    async def serve(self, connection: Connection) -> None:
        """Serve an admitted connection until its end. Leaves no session, task or key of it, whatever is raised."""
        session: LightSession = connection.session  # type: ignore[assignment]  # the gate made it
        ends = _Ends(connection)
        self._by_session[id(session)] = connection
        try:
            await self.external_connected(ends, ends, LISTENER)
        finally:
            self.fanout.leave(connection)
            del self._by_session[id(session)]
            if self._sessions.get(session.client_id, (None,))[0] is session:
                del self._sessions[session.client_id]

    async def _initialize_client_session(
        self, reader: ReaderAdapter, writer: WriterAdapter, remote_address: str, remote_port: int
    ) -> tuple[BrokerProtocolHandler, Session]:
        """Facts 1, 2 and 17: the gate has read the CONNECT and decided; nothing of it is done again."""
        connection: Connection = reader.connection
        return LightHandler(self, connection), connection.session

    async def _authenticate(self, session: Session, _: ListenerConfig) -> bool:
        """Fact 17: only a session that the gate admitted gets here."""
        return id(session) in self._by_session

    async def _client_message_loop(self, client_session: Session, handler: BrokerProtocolHandler) -> None:
        """Facts 11, 14 and 20: reading, in the connection's own task; the end is handled whatever was raised."""
        connection: Connection = handler.connection
        how = End.LOST
        try:
            how = await connection.receive(handler)
        except MalformedPacketError as error:
            logger.info("Bytes from %s: %s", connection.wire.address, error)
            how = End.by(error)
        finally:
            connection.end(how)
            is_silent = how is End.DISCONNECT or not self._may_send_will(connection, client_session)
            await self._handle_disconnect(client_session, handler, _done(DisconnectPacket() if is_silent else None))

    def _may_send_will(self, connection: Connection, session: Session) -> bool:
        """Fact 3: a Last Will is held against the policy at the gate, and again when it is sent. That of a revoked
        connection is nobody's: its user is no longer who the gate let in."""
        if session.will_topic is None or connection.ended is End.REVOKED:
            return False
        return self.allows(session, Action.PUBLISH, session.will_topic)

    # Subscribing

    async def _handle_subscription(
        self, client_session: Session, handler: BrokerProtocolHandler, subscribe_waiter: asyncio.Future[Any]
    ) -> None:
        """As amqtt's, with a limit per packet. The presents follow the SUBACK."""
        subscription = subscribe_waiter.result()
        filters: list[tuple[str, int]] = subscription.topics
        if len(filters) > self._limits.subscriptions_per_packet:
            self._refused("subscriptions_per_packet")
            codes = [SUBSCRIPTION_REFUSED] * len(filters)
        else:
            codes = await self._join(filters, client_session)
        await handler.mqtt_acknowledge_subscription(subscription.packet_id, codes)
        for (topic_filter, qos), code in zip(filters, codes, strict=True):
            if code != SUBSCRIPTION_REFUSED:
                await self.plugins_manager.fire_event(
                    BrokerEvents.CLIENT_SUBSCRIBED, client_id=client_session.client_id, topic=topic_filter, qos=qos
                )
                await self._publish_retained_messages_for_subscription((topic_filter, qos), client_session)

    async def add_subscription(self, subscription: tuple[str, int], session: Session) -> int:
        """Subscribe a client on a plugin's behalf; it gets the present as by its own SUBSCRIBE. Returns the SUBACK
        byte."""
        (code,) = await self._join([subscription], session)
        await self._publish_retained_messages_for_subscription(subscription, session)
        return code

    async def _join(self, filters: list[tuple[str, int]], session: Session) -> list[int]:
        """Facts 15 and 19: a repeated SUBSCRIBE takes the new QoS, at most 1 is granted, and filters live in the
        fan-out's index. The present is still to be given. Returns the SUBACK bytes.

        All that waits is done before the first filter joins: what it brings is live from then on, and would come once
        more in a present that is made later."""
        connection = self._by_session.get(id(session))
        if connection is None:
            return [SUBSCRIPTION_REFUSED] * len(filters)
        joining = set(connection.subscriptions)
        codes = [await self._admit(topic_filter, qos, joining, connection) for topic_filter, qos in filters]
        if connection.ended is None:
            for (topic_filter, _), code in zip(filters, codes, strict=True):
                if code != SUBSCRIPTION_REFUSED:
                    self.fanout.subscribe(connection, topic_filter, code)
        return codes

    async def _admit(self, topic_filter: str, qos: int, joining: set[str], connection: Connection) -> int:
        """Whether a filter may join those that the connection has or is about to have, to which it is added then.
        Returns the SUBACK byte."""
        if topic_filter not in joining and len(joining) >= self._limits.subscriptions:
            return self._refused("subscriptions")
        if not is_topic_filter(topic_filter):
            return self._refused("malformed")
        if not is_bounded(topic_filter):
            return self._refused("subscriptions")
        if not await self._topic_filtering(connection.session, topic_filter, Action.SUBSCRIBE):
            return self._refused("forbidden")
        try:
            await self.fanout.prepare(connection, topic_filter)
        except StorageUnavailableError:
            return self._refused("storage_unavailable")
        joining.add(topic_filter)
        return min(qos, 1)

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        """Fact 4: the present comes from the fan-out, held against the policy, and only to who subscribed."""
        connection = self._by_session.get(id(session))
        if connection is not None and subscription[0] in connection.subscriptions:
            self.fanout.present(connection, subscription[0])

    async def _publish_session_retained_messages(self, session: Session) -> None:
        """No session outlives its connection, so nothing waits for it."""

    def _del_subscription(self, a_filter: str, session: Session) -> int:
        connection = self._by_session.get(id(session))
        if connection is None or a_filter not in connection.subscriptions:
            return 0
        self.fanout.unsubscribe(connection, a_filter)
        return 1

    async def _del_all_subscriptions(self, session: Session) -> None:
        connection = self._by_session.get(id(session))
        if connection is not None:
            self.fanout.leave(connection)

    @property
    def subscriptions(self) -> dict[str, list[tuple[Session, int]]]:
        """As amqtt's plugins expect them. amqtt's own table stays empty: nothing walks it (fact 19)."""
        return {
            topic_filter: [(connection.session, qos) for connection, qos in subscribers.items()]
            for topic_filter, subscribers in self.fanout.index.filters().items()
        }

    # The policy

    async def _topic_filtering(self, session: Session, topic: str, action: Any) -> bool:
        """Facts 10 and 14: no topic plugin allows nothing, None abstains, and what raises refuses."""
        verdicts = []
        for plugin in self.topic_plugins:
            try:
                verdicts.append(await plugin.topic_filtering(session=session, topic=topic, action=action))
            except Exception:
                logger.exception("%s could not decide on a topic, so it is refused", type(plugin).__name__)
                return False
        return _allowed(verdicts)

    def allows(self, session: Session, action: Action, topic: str) -> bool:
        """The same, at once: for each delivery and each PUBLISH. A plugin that would wait refuses."""
        verdicts = []
        for plugin in self.topic_plugins:
            decision = plugin.topic_filtering(session=session, topic=topic, action=action)
            try:
                decision.send(None)
            except StopIteration as answer:
                verdicts.append(answer.value)
            except Exception:
                logger.exception("%s could not decide on a topic, so it is refused", type(plugin).__name__)
                return False
            else:
                decision.close()
                logger.error("%s waits before it decides on a %s; refused", type(plugin).__name__, action)
                return False
        return _allowed(verdicts)

    # Publishing

    async def publish_from(self, session: Session | None, publish: Publish) -> None:
        """A client's plain PUBLISH, allowed by the policy already: the part of amqtt's message delivery that is left,
        with the publisher's QoS (fact 15)."""
        message = IncomingApplicationMessage(
            publish.packet_id or None, publish.topic, publish.qos, publish.payload, publish.retain
        )
        client_id = session.client_id if session is not None else None
        for event in (BrokerEvents.MESSAGE_RECEIVED, BrokerEvents.MESSAGE_BROADCAST):
            if event in self.plugins_manager._event_plugin_callbacks:
                if message.publish_packet is None:
                    message.publish_packet = _amqtt_packet(publish)
                await self.plugins_manager.fire_event(event, client_id=client_id, message=message)
        self.fanout.forward(publish.topic, publish.payload, publish.qos)
        if publish.retain:
            await self.retain_message(session, publish.topic, publish.payload, publish.qos)

    async def _broadcast_message(
        self,
        session: Session | None,
        topic: str | None,
        data: bytes | bytearray | None,
        force_qos: int | None = None,
    ) -> None:
        """Facts 15 and 19: everything leaves through the fan-out, no task per delivery. What amqtt itself sends: Last
        Wills (held against the policy already) and the broadcasts of its plugins."""
        if topic is not None:
            self.fanout.forward(topic, bytes(data or b""), force_qos or 0)

    async def retain_message(
        self,
        source_session: Session | None,
        topic_name: str | None,
        data: bytes | bytearray | None,
        qos: int | None = None,
    ) -> None:
        """Fact 6: retained messages are bounded in number."""
        retained = self._retained_messages
        if data and topic_name not in retained and len(retained) >= self._limits.retained_messages:
            logger.warning("A retained message was not kept: there are %d already", len(retained))
            self.refused("retained_messages")
            return
        # Topic, payload and whose it is are all that is kept of a client that may be gone.
        await super().retain_message(None, topic_name, data, qos)
        if topic_name is not None:
            self._retained_by.pop(topic_name, None)
            self.retained.pop(topic_name, None)
            if topic_name in retained:
                self.retained[topic_name] = (Message(bytes(data or b""), min(qos or 0, 1)),)
                if source_session is not None:
                    self._retained_by[topic_name] = source_session.attributes[IDENTITY_ATTRIBUTE]

    def forget_retained(self, user_id: str, still_may: Callable[[Identity, str], bool]) -> None:
        """Forget what a user has retained on topics that they may no longer publish to: else it would reach every new
        subscriber until a restart. ``still_may`` is asked with the identity that retained it, and the topic."""
        for topic, identity in list(self._retained_by.items()):
            if identity.user_id == user_id and not still_may(identity, topic):
                del self._retained_by[topic], self._retained_messages[topic], self.retained[topic]

    def _refused(self, reason: Reason) -> int:
        """Count a refusal; returns the SUBACK byte that says so."""
        self.refused(reason)
        return SUBSCRIPTION_REFUSED

    @asynccontextmanager
    async def running(self) -> AsyncIterator[HardenedBroker]:
        """Start amqtt, and shut it down afterwards."""
        await self.start()
        try:
            yield self
        finally:
            await self.shutdown()


def _allowed(verdicts: list[bool | None]) -> bool:
    decided = [verdict for verdict in verdicts if verdict is not None]
    return bool(decided) and all(decided)


def _amqtt_packet(publish: Publish) -> PublishPacket:
    return PublishPacket.build(
        publish.topic, publish.payload, publish.packet_id or None, False, publish.qos, publish.retain
    )
