"""Clients that note all they are sent. They wait for what a test is about, never for time to pass.

The box tells what came of a command before it acknowledges it, on the connection that sent it; and what it has written
to a connection comes before its answer to that connection's next packet. So :meth:`Person.send` and
:meth:`Person.settle` are enough to know that all has arrived which was due: but for the seats' and showings' changes,
which may be gathered for a moment, and are waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import aiohttp
import aiomqtt

from broker.topics import matches
from contract.house import SHOWING, Premises, new_id

DEADLINE = 10.0
"""Only guards against a box that never answers: seconds."""

TIMESTAMP = "2030-01-01T20:00:00Z"


@dataclass(frozen=True)
class Heard:
    """One message as it came."""

    topic: str
    payload: bytes
    retain: bool
    qos: int

    @property
    def body(self) -> dict[str, Any]:
        body = json.loads(self.payload)
        assert isinstance(body, dict)
        return body

    def __getitem__(self, name: str) -> Any:
        return self.body[name]

    def get(self, name: str) -> Any:
        return self.body.get(name)


class Person:
    """Somebody at a client. ``heard`` is all that has come so far; ``hears`` takes what comes next of a topic."""

    def __init__(
        self, premises: Premises, name: str | None, client: aiomqtt.Client, heard: list[Heard], news: asyncio.Event
    ) -> None:
        self.premises = premises
        self.name = name
        self.client = client
        self.heard = heard
        self.closed = asyncio.Event()
        self._taken: dict[str, int] = {}
        self._news = news
        self._listening: asyncio.Task[None] | None = None
        self._requests = 0

    @classmethod
    async def join(
        cls,
        premises: Premises,
        name: str | None = None,
        *,
        door: str = "tcp",
        password: str | None = None,
        **options: Any,
    ) -> Person:
        username, token = premises.house.credentials(name)
        addresses = premises.host.tcp_addresses if door == "tcp" else premises.host.web_addresses
        if door == "web":
            options |= {"transport": "websockets", "websocket_path": "/mqtt"}
        heard: list[Heard] = []
        news = asyncio.Event()

        class Notes(asyncio.Queue[aiomqtt.Message]):
            """Notes a message in the moment in which the client reads it, before what it reads next."""

            def put_nowait(self, message: aiomqtt.Message) -> None:
                assert isinstance(message.payload, bytes)
                heard.append(Heard(str(message.topic), message.payload, message.retain, message.qos))
                news.set()
                super().put_nowait(message)

        client = aiomqtt.Client(
            addresses[0][0],
            addresses[0][1],
            username=username,
            password=password or token,
            protocol=aiomqtt.ProtocolVersion.V311,
            timeout=DEADLINE,
            queue_type=Notes,
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],  # nobody waits for Nagle
            **options,
        )
        person = cls(premises, name, client, heard, news)
        await client.__aenter__()
        person._listening = asyncio.create_task(person._listen())
        return person

    @property
    def user_id(self) -> str:
        assert self.name is not None
        return self.premises.user_id(self.name)

    async def is_closed(self) -> bool:
        """Wait until the box has closed the connection."""
        async with asyncio.timeout(DEADLINE):
            return await self.closed.wait()

    async def leave(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait({self._listening})
        with contextlib.suppress(aiomqtt.MqttError):
            await self.client.__aexit__(None, None, None)

    async def _listen(self) -> None:
        try:
            async for _ in self.client.messages:
                pass
        except aiomqtt.MqttError:
            self.closed.set()

    # Sending

    async def subscribe(self, *topic_filters: str, qos: int = 1) -> list[int]:
        """What was granted for each. The present is on its way then, or here."""
        granted = await self.client.subscribe([(topic_filter, qos) for topic_filter in topic_filters])
        return [code if isinstance(code, int) else code.value for code in granted]

    async def send(
        self, topic: str, payload: dict[str, Any] | bytes | str, *, qos: int = 1, retain: bool = False
    ) -> None:
        """Publish, and return when the box has acknowledged it."""
        if isinstance(payload, dict):
            payload = json.dumps(payload)
        await self.client.publish(topic, payload, qos=qos, retain=retain)

    async def settle(self) -> None:
        """Return when all that the box had for this client has come: the answer to a packet comes behind it."""
        await self.client.unsubscribe("nothing/of/the/kind")

    # Hearing

    async def hears(self, topic_filter: str, which: Callable[[Heard], object] = lambda _: True) -> Heard:
        """The next message on the topics, from those that were not taken so, for which ``which`` holds."""
        return (await self.hear(topic_filter, 1, which))[0]

    async def hear(
        self, topic_filter: str, number: int, which: Callable[[Heard], object] = lambda _: True
    ) -> list[Heard]:
        """The next so many messages on the topics for which ``which`` holds; those between are passed over."""
        found: list[Heard] = []
        place = self._taken.get(topic_filter, 0)
        try:
            async with asyncio.timeout(DEADLINE):
                while True:
                    self._news.clear()
                    while place < len(self.heard) and len(found) < number:
                        message = self.heard[place]
                        place += 1
                        if matches(topic_filter, message.topic) and which(message):
                            found.append(message)
                    self._taken[topic_filter] = place
                    if len(found) == number:
                        return found
                    await self._news.wait()
        except TimeoutError:
            told = [(message.topic, message.payload, message.retain) for message in self.heard[-20:]]
            raise AssertionError(
                f"{self.name} waited for {number} of {topic_filter} and has {found}; last: {told}"
            ) from None

    async def nothing_on(self, topic_filter: str) -> bool:
        """Whether nothing has come on the topics; all that was due has been waited for."""
        await self.settle()
        return self.all_on(topic_filter) == []

    def all_on(self, topic_filter: str) -> list[Heard]:
        return [message for message in self.heard if matches(topic_filter, message.topic)]

    def forget(self) -> None:
        """Begin anew with what comes from now on."""
        self.heard.clear()
        self._taken.clear()

    # What people do. Each answers with what they were told of it.

    async def watch(self, *topic_filters: str) -> None:
        """Subscribe to one's own answers, or to these topics, and leave their present behind."""
        await self.subscribe(*(topic_filters or ("booking/confirm/+", "users/+/holds", "users/+/errors")))
        await self.settle()
        self.forget()

    async def request(self, topic: str, **fields: Any) -> None:
        """Send a command with a timestamp of its own, unless it brings one."""
        self._requests += 1
        fields.setdefault("timestamp", f"{TIMESTAMP} {self._requests}")
        await self.send(topic, {name: value for name, value in fields.items() if value is not None})

    async def book(self, seat_ids: Iterable[str], showing_id: str = SHOWING, **fields: Any) -> Heard:
        """What came of a booking request: its outcome, or the refusal."""
        if "booking_id" not in fields:
            fields["booking_id"] = new_id()
        await self.request("booking/request", showing_id=showing_id, seat_ids=list(seat_ids), **fields)
        return await self.answer()

    async def hold(self, seat_ids: Iterable[str], showing_id: str = SHOWING, **fields: Any) -> Heard:
        await self.request("seats/hold", showing_id=showing_id, seat_ids=list(seat_ids), **fields)
        return await self.answer()

    async def release(self, seat_ids: Iterable[str], showing_id: str = SHOWING, **fields: Any) -> Heard:
        await self.request("seats/release", showing_id=showing_id, seat_ids=list(seat_ids), **fields)
        return await self.answer()

    async def cancel(self, booking_id: str, **fields: Any) -> Heard:
        await self.request("booking/cancel", booking_id=booking_id, **fields)
        return await self.answer()

    async def answer(self) -> Heard:
        """The last that was told on a topic of one's own, once the command was acknowledged."""
        await self.settle()
        own = [message for message in self.heard if message.topic.startswith(("booking/confirm/", "users/"))]
        assert own, f"{self.name} was told nothing"
        self.heard.remove(own[-1])
        self._taken.clear()
        return own[-1]


@dataclass(frozen=True)
class Reply:
    """What an HTTP call was answered with."""

    status: int
    body: Any
    headers: Any

    @property
    def code(self) -> str:
        assert set(self.body) >= {"code", "message"}, self.body
        return str(self.body["code"])


class Caller:
    """Somebody who calls by HTTP, as anybody, with a token or as told."""

    def __init__(self, premises: Premises, session: aiohttp.ClientSession) -> None:
        self.premises = premises
        self.session = session

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        who: str | None = None,
        headers: dict[str, str] | None = None,
        data: bytes | None = None,
    ) -> Reply:
        """Call with a JSON body, or with bytes as they are."""
        sent = dict(headers or {})
        if who is not None:
            sent.setdefault("Authorization", f"Bearer {self.premises.house.tokens[who]}")
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
            data = json.dumps(body).encode()
        elif data is None:
            sent.setdefault("Content-Type", "")
        async with self.session.request(method, self.premises.url(path), data=data, headers=sent) as response:
            content = await response.read()
            is_json = response.content_type == "application/json"
            return Reply(response.status, json.loads(content) if is_json else content, response.headers)
