"""Everything that must hold before a client is let in: protocol, client id, identity, Last Will.

All of it is decided here, once, before amqtt knows of the client (amqtt.md, facts 1 to 3).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from enum import IntEnum

from broker.connection import Connection
from broker.overrides import HardenedBroker, LightSession
from broker.packets import Connect
from broker.plugin import IDENTITY_ATTRIBUTE, Action, Identity, Reason, Refusal
from broker.subscriptions import is_bounded
from broker.topics import matches

MAX_CLIENT_ID_BYTES = 128


class Refused(Exception):  # noqa: N818  # an answer, not a failure of the program
    """The client is not let in. ``code`` is the CONNACK return code (MQTT 3.1.1 §3.2.2.3), None to close without
    one, so that a browser's client comes back. ``reason`` is what it counts as, None where it was counted already."""

    def __init__(self, code: ConnackCode | None, reason: Reason | None, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.reason = reason


class ConnackCode(IntEnum):
    """MQTT 3.1.1 §3.2.2.3."""

    ACCEPTED = 0
    PROTOCOL_LEVEL = 1
    CLIENT_ID = 2
    CREDENTIALS = 4
    NOT_AUTHORIZED = 5


class Gate:
    """``closed_topics`` are filters of topics to which no Last Will may go, whatever the policy says."""

    def __init__(self, broker: HardenedBroker, *, default_role: str, closed_topics: Sequence[str]) -> None:
        self._broker = broker
        self._default_role = default_role
        self._closed_topics = closed_topics

    async def admit(self, connection: Connection, connect: Connect) -> None:
        """Establish who the client is and prepare its session. Raises Refused."""
        client_id = connect.client_id
        if len(client_id.encode()) > MAX_CLIENT_ID_BYTES or not client_id.isprintable():
            raise Refused(
                ConnackCode.CLIENT_ID, "client_id", "a client id is at most 128 bytes without control characters"
            )
        if not client_id and not connect.clean_session:
            raise Refused(ConnackCode.CLIENT_ID, "client_id", "MQTT-3.1.3-8: no client id, yet no clean session")
        try:
            password = None if connect.password is None else connect.password.decode()
        except UnicodeDecodeError:
            raise Refused(ConnackCode.CREDENTIALS, "credentials", "the password is not UTF-8") from None
        wire = connection.wire
        try:
            session = await self.identify(connect.username, password, wire.address, wire.port)
        except Refusal as refusal:  # it was not decided: the client is to come back
            raise Refused(None, None, refusal.message) from None
        if session is None:
            if connect.username is None:
                raise Refused(ConnackCode.NOT_AUTHORIZED, "guests", "guests are not allowed")
            raise Refused(ConnackCode.CREDENTIALS, "credentials", "wrong username or password")
        identity: Identity = session.attributes[IDENTITY_ATTRIBUTE]
        self._check_will(connect, session)
        # Scoped to its user: another user's client of the same id is another, and so is each guest.
        scope = identity.user_id or f"guest {uuid.uuid4()}"
        session.client_id = f"{scope}/{client_id or uuid.uuid4()}"
        session.clean_session = connect.clean_session
        session.keep_alive = connect.keep_alive
        connection.session = session
        connection.identity = identity
        connection.user = identity.user_id
        if identity.user_id is not None:
            connection.switchboard.messages.forget(connection.rate_key)  # of pings before the CONNECT
            connection.rate_key = identity.user_id
        connection.client_id = session.client_id
        connection.keep_alive(connect.keep_alive)

    async def identify(
        self, username: str | None, password: str | None, address: str, port: int = 0
    ) -> LightSession | None:
        """Ask amqtt's auth plugins: joined by “and”, None abstains, at least one must agree.

        Returns a session with the identity in its attributes and without the password (fact 18), or None.
        """
        session = LightSession(username, password, address, port)
        # Not through amqtt's gathering of tasks: nothing may come between the last answer and what is made of it.
        answers = [await plugin.authenticate(session=session) for plugin in self._broker.auth_plugins]
        session.password = None
        decided = [answer for answer in answers if answer is not None]
        if not decided or not all(decided):
            return None
        session.attributes.setdefault(IDENTITY_ATTRIBUTE, self._identity_of(username))
        return session

    def _identity_of(self, username: str | None) -> Identity:
        """Of a user whom an auth plugin vouched for without saying who it is, as amqtt's own do."""
        if username is None:
            return Identity(None, None, "guest")
        return Identity(str(uuid.uuid5(uuid.NAMESPACE_OID, username)), username, self._default_role)

    def _check_will(self, connect: Connect, session: LightSession) -> None:
        will = connect.will
        if will is None:
            return
        closed = any(matches(topic_filter, will.topic) for topic_filter in self._closed_topics)
        if closed or not is_bounded(will.topic) or not self._broker.allows(session, Action.PUBLISH, will.topic):
            raise Refused(ConnackCode.NOT_AUTHORIZED, "will", "the Last Will goes to a topic that is not the client's")
        session.will_flag = True
        session.will_topic = will.topic
        session.will_message = will.payload
        session.will_qos = will.qos
        session.will_retain = will.retain
