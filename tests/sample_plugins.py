"""Small real plugins for tests of the box itself: who you are, what you may, and a counter as the business.

The counter takes the command ``add``, whose payload names a counter; each command is one row in SQLite, one more
in ``count/{name}`` (QoS 0, with a present) and one ``answer/{user_id}`` (QoS 1, for that user and managers alone).
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlite_utils
from aiohttp import web
from amqtt.contexts import BaseContext
from amqtt.plugins.base import BaseAuthPlugin, BasePlugin, BaseTopicPlugin
from amqtt.session import Session
from pydantic import BaseModel
from sqlite_utils import Migrations

from broker.doors.bodies import answer, read_body
from broker.plugin import (
    CALLER,
    IDENTITY_ATTRIBUTE,
    Action,
    Audience,
    BoxPlugin,
    Command,
    Identity,
    Message,
    Present,
)
from broker.topics import matches

COMMAND = "add"


def user_id(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def identity_of(name: str) -> Identity:
    """``manager`` and ``kiosk`` are what they are called; everybody else is a customer."""
    return Identity(user_id(name), name, name if name in ("manager", "kiosk") else "customer")


class DemoAuth(BaseAuthPlugin):
    """The password is the name and ``-demo``, the bearer token the name and ``-token``; guests are let in."""

    def __init__(self, context: BaseContext) -> None:
        super().__init__(context)
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.has_decided = asyncio.Event()

    async def authenticate(self, *, session: Session) -> bool | None:
        answer = self.decide(session)
        self.has_decided.set()
        await self.may_answer.wait()
        return answer

    def decide(self, session: Session) -> bool:
        name, password = session.username, session.password
        if name is None and password is None:
            session.attributes[IDENTITY_ATTRIBUTE] = Identity(None, None, "guest")
            return True
        if name is None and password.endswith("-token"):
            name = password.removesuffix("-token")
        elif password != f"{name}-demo":
            return False
        session.attributes[IDENTITY_ATTRIBUTE] = identity_of(name)
        return True


class Rules(BaseTopicPlugin):
    """Guests publish nothing; ``closed/…`` is nobody's, ``secret/…`` the managers', ``broken/…`` raises. A test may
    close further topics while the box runs."""

    closed_now: frozenset[str] = frozenset()

    async def topic_filtering(
        self, *, session: Session | None = None, topic: str | None = None, action: str | None = None
    ) -> bool | None:
        assert session is not None
        assert topic is not None
        identity = session.attributes[IDENTITY_ATTRIBUTE]
        if topic.startswith("broken/"):
            raise RuntimeError("the rules cannot be read")
        if topic.startswith("closed/") or topic in self.closed_now:
            return False
        if topic.startswith("secret/"):
            return bool(identity.role == "manager")
        return action != Action.PUBLISH or not identity.is_guest


class Slowpoke(BaseTopicPlugin):
    """Waits before it answers, as a topic plugin that asks a database would."""

    async def topic_filtering(self, *, session: Any = None, topic: Any = None, action: Any = None) -> bool | None:
        await asyncio.sleep(0)
        return True


class Recorder(BasePlugin[BaseContext]):
    """Writes down what amqtt tells its plugins of messages and clients."""

    def __init__(self, context: BaseContext) -> None:
        super().__init__(context)
        self.received: list[tuple[str, bytes]] = []
        self.clients: Tally[str] = Tally()
        self.events: list[str] = []

    async def on_broker_message_received(self, *, client_id: str, message: Any) -> None:
        self.received.append((message.topic, bytes(message.data)))

    async def on_broker_client_connected(self, *, client_id: str, client_session: Session) -> None:
        self.clients[client_id] += 1
        self.events.append("connected")

    async def on_broker_client_disconnected(self, *, client_id: str, client_session: Session) -> None:
        self.clients[client_id] -= 1
        self.events.append("disconnected")


class Echo(BaseModel):
    text: str


class Counter(BasePlugin[BaseContext], BoxPlugin):
    """The business. ``padding`` spaces behind each number make the messages as large as a test wants them."""

    @dataclass
    class Config:
        padding: int = 0

    def __init__(self, context: BaseContext) -> None:
        super().__init__(context)
        self.padding: int = context.config.padding
        self.values: Tally[str] = Tally()
        self.refused: list[tuple[str | None, str]] = []
        self.foreign_changes = asyncio.Event()
        self.may_prepare = asyncio.Event()
        self.may_prepare.set()
        self.preparing = asyncio.Event()
        self._messages: dict[str, tuple[Message, ...]] = {}

    @classmethod
    def migrations(cls) -> Migrations:
        migrations = Migrations("counter")

        @migrations()
        def create(db: sqlite_utils.Database) -> None:
            db["counted"].create({"id": int, "name": str}, pk="id")

        return migrations

    def server_topics(self) -> Sequence[str]:
        return ["count/#", "answer/#"]

    # Commands

    def commands(self) -> Mapping[str, Callable[[Command], None]]:
        return {COMMAND: self.add}

    def add(self, command: Command) -> None:
        name = command.payload.decode()

        def done(result: object, error: BaseException | None) -> None:
            if error is None:
                self.bump(name)
                self.answer(command.identity.user_id or "", command.payload)
            command.acknowledge()

        self.box.database.submit(lambda db: db["counted"].insert({"name": name}), done)

    def forbidden(self, identity: Identity, topic: str) -> None:
        self.refused.append((identity.username, topic))

    def bump(self, name: str) -> None:
        """One more, told to all who watch."""
        self.values[name] += 1
        self._messages.pop(name, None)
        self.box.publish(f"count/{name}", self.payload(name))

    def answer(self, user: str, payload: bytes) -> None:
        self.box.publish(f"answer/{user}", payload, qos=1, audience=Audience(frozenset({user}), frozenset({"manager"})))

    def payload(self, name: str) -> bytes:
        return b"%d" % self.values[name] + b" " * self.padding

    async def counted(self) -> list[str]:
        """The names in the database, in the order of their rows."""
        return await self.box.database.read(lambda db: [row["name"] for row in db["counted"].rows_where(order_by="id")])

    async def database_changed(self) -> None:
        self.foreign_changes.set()

    # The present of the counters

    def presents(self) -> Sequence[Present]:
        return [self]

    async def prepare(self, topic_filter: str, identity: Identity) -> None:
        self.preparing.set()
        await self.may_prepare.wait()

    def topics(self, topic_filter: str, identity: Identity) -> Iterable[str]:
        return [f"count/{name}" for name in self.values if matches(topic_filter, f"count/{name}")]

    def messages(self, topic: str, identity: Identity) -> Sequence[Message]:
        name = topic.removeprefix("count/")
        if name not in self._messages:
            self._messages[name] = (Message(self.payload(name)),)
        return self._messages[name]

    def replaces_backlog(self, topic: str) -> bool:
        return topic.startswith("count/")

    # HTTP

    def routes(self) -> Sequence[web.RouteDef]:
        return [web.post("/api/echo", self.echo), web.get("/api/whoami", self.whoami)]

    async def echo(self, request: web.Request) -> web.Response:
        return answer(await read_body(request, Echo))

    async def whoami(self, request: web.Request) -> web.Response:
        caller = request[CALLER]
        return answer({"user": caller.identity.username, "address": caller.address})


class Page(BasePlugin[BaseContext], BoxPlugin):
    """A page of the box, at ``/page``, which may ask the box at whatever address."""

    def routes(self) -> Sequence[web.RouteDef]:
        return [web.get("/page", self.page)]

    async def page(self, request: web.Request) -> web.Response:
        policy = {"Content-Security-Policy": "default-src 'self'; connect-src *"}
        return web.Response(text="<!doctype html><title>a page</title>", content_type="text/html", headers=policy)


class FirstPage(BasePlugin[BaseContext], BoxPlugin):
    """A page at ``/``, where MQTT is spoken too; it may be kept."""

    def routes(self) -> Sequence[web.RouteDef]:
        return [web.get("/", self.page)]

    async def page(self, request: web.Request) -> web.Response:
        kept = {"Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        return web.Response(text="<!doctype html><title>first</title>", content_type="text/html", headers=kept)


class Stumbling(BasePlugin[BaseContext], BoxPlugin):
    """Fails at whatever it is asked, with what would talk to a terminal."""

    def commands(self) -> Mapping[str, Callable[[Command], None]]:
        return {"stumble": self.stumble}

    def stumble(self, command: Command) -> None:
        raise RuntimeError("\x1b[2Jover\nforged line \u202e")

    def routes(self) -> Sequence[web.RouteDef]:
        return [web.post("/api/stumble", self.fall)]

    async def fall(self, request: web.Request) -> web.Response:
        raise RuntimeError("\x1b[2Jover\nforged line \u202e")
