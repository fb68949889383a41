"""A busy evening: who comes to the box, good people and others, each from an address of their own.

Good clients note whatever must not happen: a refusal without reason, a lost update, a connection that the box closed, a
command without its outcome. Of the others it is only seen that they come. All of them are asyncio tasks that end when
they are cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import ssl
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from contract.house import new_id
from raw_mqtt import (
    CONNACK,
    PINGREQ,
    PUBACK,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    Packet,
    RawClient,
    TcpTransport,
    Transport,
    acknowledgement,
    connect,
    packet,
    publish,
    subscribe,
)
from raw_mqtt import field as text

from bench.framing import FrameReader, client_frame, upgrade
from endurance.storm import CALLS, GONE

ANSWER_SECONDS = 30.0
"""Whoever waits longer for an answer has lost it."""
PING_SECONDS = 30.0
LOOK_SECONDS = 0.02
SALE_ENDS_SECONDS = 15.0
"""So long before its start nobody begins to book a showing any more."""

OWN_TOPICS = ("booking/confirm/+", "users/+/holds", "users/+/errors")


@dataclass(frozen=True)
class Place:
    """Where the box is, and how it is reached."""

    web: tuple[str, int]
    tcp: tuple[str, int]
    trust: ssl.SSLContext
    """The devices' door speaks TLS."""

    @property
    def url(self) -> str:
        return f"http://{self.web[0]}:{self.web[1]}"


@dataclass
class Account:
    """Somebody with a token."""

    username: str
    user_id: str
    token: str


@dataclass
class Delays:
    """How long after a booking's confirmation a watcher sees its seats booked, in milliseconds.

    A watcher who sees it before the confirmation has no delay. When a seat is free again, everybody must have seen it.
    """

    watchers: int = 0
    counts: Counter[int] = field(default_factory=Counter)
    late: list[str] = field(default_factory=list)
    _seen: dict[tuple[str, str], tuple[float | None, int, int]] = field(default_factory=dict)
    """By seat: when it was confirmed, by how many it was seen, and how many watched then."""

    def confirmed(self, seat: tuple[str, str], now: float) -> None:
        _, seen, _ = self._seen.get(seat, (None, 0, 0))
        self._seen[seat] = now, seen, self.watchers

    def seen(self, seat: tuple[str, str], now: float) -> None:
        at, seen, watchers = self._seen.get(seat, (None, 0, 0))
        self._seen[seat] = at, seen + 1, watchers
        self.counts[0 if at is None else round((now - at) * 1000)] += 1

    def free_again(self, seat: tuple[str, str]) -> None:
        at, seen, watchers = self._seen.pop(seat, (None, 0, 0))
        if at is not None and seen < watchers:
            self.late.append(f"only {seen} of {watchers} watchers saw that the seat {seat} was booked")

    def quantile(self, share: float) -> float:
        """In milliseconds; 0 where nothing was seen."""
        return quantile(self.counts, share)


def quantile(counts: Counter[int], share: float) -> float:
    """The least value that this share of what was counted does not exceed; 0 where nothing was."""
    wanted, passed = share * counts.total(), 0
    for value in sorted(counts):
        passed += counts[value]
        if passed >= wanted:
            return value
    return 0.0


@dataclass
class Showing:
    """One that is on sale. ``taken`` is what sellers have asked for, so that they seldom want the same."""

    showing_id: str
    starts_at: float
    seat_ids: tuple[str, ...]
    taken: set[str] = field(default_factory=set)


@dataclass
class Evening:
    """What all who come share."""

    place: Place
    chance: random.Random
    showings: list[Showing] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    delays: Delays = field(default_factory=Delays)
    faults: list[str] = field(default_factory=list)
    own_lateness: Counter[int] = field(default_factory=Counter)
    """How often the one who lets them all come was so many milliseconds late itself."""
    lines: set[Line] = field(default_factory=set)
    """Good clients' connections that are kept alive."""
    all_watch: asyncio.Event = field(default_factory=asyncio.Event)
    """Every screen is in: from now on it is known who must see what is booked."""

    def on_sale(self) -> list[Showing]:
        return [one for one in self.showings if one.starts_at > time.time() + SALE_ENDS_SECONDS]

    def choose_seats(self) -> tuple[Showing, list[str]] | None:
        if not (some := self.on_sale()):
            return None
        showing = self.chance.choice(some)
        free = [seat_id for seat_id in showing.seat_ids if seat_id not in showing.taken]
        if len(free) < 2:
            return None
        seat_ids = self.chance.sample(free, 2)
        showing.taken.update(seat_ids)
        return showing, seat_ids

    def address(self, street: int, houses: int = 200) -> str:
        """One of a street's addresses; each kind of client lives in a street of its own."""
        return f"127.{street}.{self.chance.randrange(houses) // 100}.{1 + self.chance.randrange(100)}"

    def fault(self, what: str) -> None:
        self.counts["faults"] += 1
        if len(self.faults) < 20:
            self.faults.append(what)

    async def pause(self, seconds: float) -> None:
        """Think for about so long."""
        await asyncio.sleep(self.chance.uniform(0.5, 1.5) * seconds)

    async def notice_own_lateness(self) -> None:
        """By how much this process, and not the box, is late."""
        while True:
            due = time.perf_counter() + LOOK_SECONDS
            await asyncio.sleep(LOOK_SECONDS)
            late = round((time.perf_counter() - due) * 1000)
            self.own_lateness[late] += 1

    async def ping(self) -> None:
        """Keep the good ones' connections alive."""
        while True:
            await asyncio.sleep(PING_SECONDS)
            for line in list(self.lines):
                with contextlib.suppress(*GONE):  # its own reader says so
                    await line.send(PINGREQ)


# Ways in


class StreamTransport:
    """TLS, from an address of one's choice."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, address: tuple[str, int], trust: ssl.SSLContext, source: str) -> StreamTransport:
        return cls(*await asyncio.open_connection(*address, ssl=trust, local_addr=(source, 0)))

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def read(self) -> bytes:
        try:
            return await self._reader.read(65536)
        except OSError:
            return b""

    async def close(self) -> None:
        self._writer.transport.abort()


class BrowserTransport:
    """A browser's way in: frames by hand, for aiohttp's client costs more than the box does."""

    def __init__(self, transport: TcpTransport) -> None:
        self._transport = transport
        self._frames = FrameReader()

    @classmethod
    async def open(cls, address: tuple[str, int], source: str, receive_buffer: int | None = None) -> BrowserTransport:
        transport = await TcpTransport.open(address, receive_buffer, source=source)
        await transport.send(upgrade(*address))
        head = b""
        while b"\r\n\r\n" not in head:
            if not (data := await transport.read()):
                raise ConnectionResetError("the box closed before the upgrade")
            head += data
        if b" 101 " not in head.split(b"\r\n")[0]:
            await transport.close()
            raise ConnectionRefusedError(head.split(b"\r\n")[0].decode("latin-1"))
        return cls(transport)

    async def send(self, data: bytes) -> None:
        await self._transport.send(client_frame(data))

    async def read(self) -> bytes:
        while data := await self._transport.read():
            payload = self._frames.feed(data)
            for ping in self._frames.pings:
                await self._transport.send(client_frame(ping, opcode=10))
            self._frames.pings.clear()
            if self._frames.closed:
                return b""
            if payload:
                return payload
        return b""

    async def close(self) -> None:
        await self._transport.close()


class Line(RawClient):
    """A connection that is read as it comes."""

    async def listen(self) -> list[Packet]:
        """All packets that came at once; none when the box has closed."""
        while data := await self.transport.read():
            self._buffer += data
            found = []
            while (one := self._cut()) is not None:
                found.append(one)
            if found:
                return found
        return []


async def way_in(evening: Evening, door: str, source: str, receive_buffer: int | None = None) -> Transport:
    if door == "web":
        return await BrowserTransport.open(evening.place.web, source, receive_buffer)
    return await StreamTransport.open(evening.place.tcp, evening.place.trust, source)


async def enter(
    evening: Evening, door: str, source: str, account: Account | None, *topics: str
) -> tuple[Line, list[Packet]]:
    """Sign in and subscribe; also what came with it. Raises OSError where the box does not let one in."""
    line = Line(await way_in(evening, door, source))
    credentials = (account.username, account.token) if account is not None else (None, None)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await line.send(connect(*credentials), subscribe(*topics, qos=1 if account is not None else 0))
            first: list[Packet] = []
            while not any(one.kind == SUBACK for one in first):
                if not (more := await line.listen()):
                    raise ConnectionResetError("the box closed at the CONNECT")
                first += more
        if first[0].kind != CONNACK or first[0].body[1]:
            raise ConnectionRefusedError(f"CONNACK {first[0].body!r}")
        if any(0x80 in one.body[2:] for one in first if one.kind == SUBACK):
            raise ConnectionRefusedError("a subscription was refused")
    except BaseException:
        await line.close()
        raise
    evening.counts["connections"] += 1
    return line, first


# Those who watch


class Eyes:
    """What a watcher knows of the showings: their versions, one after the other."""

    def __init__(self, evening: Evening, name: str, *, counted: bool) -> None:
        self._evening = evening
        self._name = name
        self._counted = counted
        self._versions: dict[str, int] = {}

    def take(self, packets: list[Packet]) -> None:
        now = time.perf_counter()
        for one in packets:
            if one.kind == PUBLISH and one.topic.startswith("seats/"):
                self._seat(json.loads(one.payload), one.retain, now)

    def _seat(self, body: dict[str, Any], retain: bool, now: float) -> None:
        showing_id, version = body["showing_id"], body["version"]
        before = self._versions.get(showing_id)
        if before is not None and version != before + 1 and not (retain and version >= before):
            self._evening.fault(f"{self._name}: version {version} of {showing_id} came after {before}")
        self._versions[showing_id] = version
        self._evening.counts["updates"] += 1
        if self._counted and not retain and body["status"] == "booked":
            self._evening.delays.seen((showing_id, body["seat_id"]), now)


async def watch_all_evening(evening: Evening, number: int, screens: int, seconds: float) -> None:
    """A screen in the foyer, one of so many that come within ``seconds``: it sees every seat of every showing, without
    a gap."""
    name = f"screen {number}"
    await asyncio.sleep(seconds * number / screens)
    line, first = await enter(evening, "web" if number % 4 else "tcp", evening.address(20), None, "seats/status/#")
    eyes = Eyes(evening, name, counted=True)
    eyes.take(first)
    evening.lines.add(line)
    evening.delays.watchers += 1
    if evening.delays.watchers == screens:
        evening.all_watch.set()
    try:
        while packets := await line.listen():
            eyes.take(packets)
        evening.fault(f"{name}: the box closed the connection")
    finally:
        evening.delays.watchers -= 1
        evening.lines.discard(line)
        await line.close()


async def browse(evening: Evening, number: int) -> None:
    """A browser that comes, looks at one showing for a while, and goes, with a word or without."""
    while True:
        await evening.pause(1.0)
        if not (some := evening.on_sale()):
            continue
        topic = f"seats/status/{evening.chance.choice(some).showing_id}"
        door = "tcp" if evening.chance.random() < 0.1 else "web"
        line, first = await enter(evening, door, evening.address(21), None, topic, "showing/update/#")
        eyes = Eyes(evening, "a browser", counted=False)
        eyes.take(first)
        evening.lines.add(line)
        try:
            async with asyncio.timeout(evening.chance.expovariate(1 / 15)):
                while packets := await line.listen():
                    eyes.take(packets)
            evening.fault("a browser: the box closed the connection")
        except TimeoutError:
            if evening.chance.random() < 0.5:
                await line.send(b"\xe0\x00")
        finally:
            evening.lines.discard(line)
            await line.close()


# Those who book


class Seller:
    """Somebody who books over MQTT, and cancels the oldest of more than ``keep`` bookings; a customer may do so only so
    many times a day (``cancels``), and only holds and thinks better of it from then on."""

    def __init__(
        self, evening: Evening, account: Account, *, door: str, keep: int, every: float, cancels: float = float("inf")
    ) -> None:
        self.evening = evening
        self.account = account
        self.door = door
        self.keep = keep
        self.cancels = cancels
        self.every = every
        self.bookings: deque[tuple[str, Showing, list[str]]] = deque()
        self._packet_id = 0
        self._waiting: dict[object, asyncio.Future[dict[str, Any]]] = {}

    async def work(self) -> None:
        """Until cancelled; now and then with another connection."""
        source = self.evening.address(22, 100)
        while True:
            self._line, first = await enter(self.evening, self.door, source, self.account, *OWN_TOPICS)
            self.evening.lines.add(self._line)
            listening = asyncio.create_task(self._listen(first))
            try:
                for _ in range(self.evening.chance.randint(20, 60)):
                    await self.evening.pause(self.every)
                    await self._sell()
            finally:
                listening.cancel()
                await asyncio.wait({listening})
                self.evening.lines.discard(self._line)
                await self._line.close()

    async def _sell(self) -> None:
        if (chosen := self.evening.choose_seats()) is None:
            return
        showing, seat_ids = chosen
        chance = self.evening.chance
        booking_id = new_id()
        seats = {"showing_id": showing.showing_id, "seat_ids": seat_ids, "booking_id": booking_id, "timestamp": "t"}
        only_looks = self.cancels <= 0
        if only_looks or chance.random() < 0.4:
            held = await self._command("seats/hold", seats, ("hold", booking_id))
            self.evening.counts["holds"] += 1
            if held.get("status") == "rejected":
                self.evening.counts["rejected"] += 1
                return
            await self.evening.pause(0.3)
            if only_looks or chance.random() < 0.25:
                await self._command("seats/release", seats, ("hold", booking_id))
                showing.taken.difference_update(seat_ids)
                return
        outcome = await self._command("booking/request", seats, ("booking", booking_id))
        now = time.perf_counter()
        if outcome.get("status") != "confirmed":
            self.evening.counts[f"failed: {outcome.get('code')}"] += 1
            return
        booked(self.evening, showing, seat_ids, now)
        self.bookings.append((booking_id, showing, seat_ids))
        await self._cancel_the_oldest()

    async def _cancel_the_oldest(self) -> None:
        while self.bookings and self.bookings[0][1].starts_at <= time.time() + SALE_ENDS_SECONDS / 2:
            self.bookings.popleft()  # too late to cancel it
        if len(self.bookings) <= self.keep:
            return
        booking_id, showing, seat_ids = self.bookings.popleft()
        self.cancels -= 1
        body = {"booking_id": booking_id, "timestamp": "t"}
        outcome = await self._command("booking/cancel", body, ("booking", booking_id))
        if outcome.get("status") != "cancelled":
            self.evening.fault(f"{self.account.username}: a cancellation was answered {outcome}")
        cancelled(self.evening, showing, seat_ids)

    async def _command(self, topic: str, body: dict[str, Any], answer: object) -> dict[str, Any]:
        """Send a command, and wait for what comes of it and for its acknowledgement."""
        self._packet_id = self._packet_id % 65535 + 1
        loop = asyncio.get_running_loop()
        acknowledged = self._waiting[self._packet_id] = loop.create_future()
        told = self._waiting[answer] = loop.create_future()
        qos = self.evening.chance.choice((1, 2))
        await self._line.send(publish(topic, json.dumps(body).encode(), qos=qos, packet_id=self._packet_id))
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await acknowledged
                return await told
        except TimeoutError:
            self.evening.fault(f"{self.account.username}: {topic} was not answered: {acknowledged}, {told}")
            return {}
        finally:
            self.evening.counts["commands"] += 1
            self._waiting.pop(answer, None)

    async def _listen(self, packets: list[Packet]) -> None:
        while packets:
            for one in packets:
                await self._take(one)
            packets = await self._line.listen()
        self.evening.fault(f"{self.account.username}: the box closed the connection")

    async def _take(self, one: Packet) -> None:
        if one.kind in (PUBACK, PUBREC):
            if one.kind == PUBREC:
                await self._line.send(acknowledgement(PUBREL, one.packet_id))
            self._resolve(one.packet_id, {})
            self._waiting.pop(one.packet_id, None)
        elif one.kind == PUBLISH:
            if one.qos:
                await self._line.send(acknowledgement(PUBACK, one.packet_id))
            if one.retain:
                return
            body = json.loads(one.payload)
            if one.topic.endswith("/errors"):
                self.evening.fault(f"{self.account.username} was refused: {body}")
                self._resolve(("booking", body.get("booking_id")), body)
            elif one.topic.endswith("/holds"):
                self._resolve(("hold", body.get("booking_id")), body)
            else:
                self._resolve(("booking", body["booking_id"]), body)

    def _resolve(self, key: object, body: dict[str, Any]) -> None:
        future = self._waiting.get(key)
        if future is not None and not future.done():
            future.set_result(body)


class Caller:
    """Somebody who books over HTTP, likewise."""

    def __init__(self, evening: Evening, account: Account, *, keep: int, every: float, cancels: float) -> None:
        self.evening = evening
        self.account = account
        self.keep = keep
        self.cancels = cancels
        self.every = every
        self.bookings: deque[tuple[str, Showing, list[str]]] = deque()

    async def work(self) -> None:
        source = self.evening.address(23, 100)
        headers = {"Authorization": f"Bearer {self.account.token}"}
        while True:
            connector = aiohttp.TCPConnector(local_addr=(source, 0))
            self.evening.counts["connections"] += 1
            async with aiohttp.ClientSession(self.evening.place.url, connector=connector, headers=headers) as session:
                for _ in range(self.evening.chance.randint(5, 30)):
                    await self.evening.pause(self.every)
                    await self._sell(session)

    async def _sell(self, session: aiohttp.ClientSession) -> None:
        if (chosen := self.evening.choose_seats()) is None:
            return
        showing, seat_ids = chosen
        body = {"showing_id": showing.showing_id, "seat_ids": seat_ids, "booking_id": new_id(), "timestamp": "t"}
        only_looks = self.cancels <= 0
        if only_looks or self.evening.chance.random() < 0.3:
            await self._call(session, "POST", CALLS["seats/hold"], (200, 409), body)
            self.evening.counts["holds"] += 1
        if only_looks:
            await self._call(session, "POST", CALLS["seats/release"], (200,), body)
            showing.taken.difference_update(seat_ids)
            return
        status, outcome = await self._call(session, "POST", CALLS["booking/request"], (200, 409), body)
        if status != 200:
            self.evening.counts[f"failed: {outcome.get('code')}"] += 1
            return
        booked(self.evening, showing, seat_ids, time.perf_counter())
        self.bookings.append((body["booking_id"], showing, seat_ids))
        await self._call(session, "GET", f"/api/showings/{showing.showing_id}/seats", (200,))
        while self.bookings and self.bookings[0][1].starts_at <= time.time() + SALE_ENDS_SECONDS / 2:
            self.bookings.popleft()
        if len(self.bookings) > self.keep:
            booking_id, showing, seat_ids = self.bookings.popleft()
            self.cancels -= 1
            await self._call(session, "DELETE", f"/api/bookings/{booking_id}", (200,))
            cancelled(self.evening, showing, seat_ids)

    async def _call(
        self, session: aiohttp.ClientSession, method: str, path: str, expected: tuple[int, ...], body: Any = None
    ) -> tuple[int, dict[str, Any]]:
        async with session.request(method, path, json=body) as response:
            told: dict[str, Any] = await response.json()
        self.evening.counts["calls"] += 1
        if response.status not in expected:
            self.evening.fault(f"{self.account.username}: {method} {path} was answered {response.status}: {told}")
        return response.status, told


def booked(evening: Evening, showing: Showing, seat_ids: list[str], now: float) -> None:
    evening.counts["bookings"] += 1
    for seat_id in seat_ids:
        evening.delays.confirmed((showing.showing_id, seat_id), now)


def cancelled(evening: Evening, showing: Showing, seat_ids: list[str]) -> None:
    evening.counts["cancellations"] += 1
    showing.taken.difference_update(seat_ids)
    for seat_id in seat_ids:
        evening.delays.free_again((showing.showing_id, seat_id))


async def visit(evening: Evening) -> None:
    """Visitors sign up, hold two seats, and think better of it; a few make an account."""
    while True:
        await evening.pause(12.0)
        connector = aiohttp.TCPConnector(local_addr=(evening.address(24), 0))
        async with aiohttp.ClientSession(evening.place.url, connector=connector) as session:
            evening.counts["connections"] += 1
            who = {"name": "A visitor", "email": "visitor@example.org"}
            async with session.post("/api/session", json=who) as response:
                signed_up = await response.json()
            if response.status != 200:
                evening.counts[f"visitors: {response.status}"] += 1
                continue
            evening.counts["visitors"] += 1
            if (chosen := evening.choose_seats()) is not None:
                showing, seat_ids = chosen
                headers = {"Authorization": f"Bearer {signed_up['token']}"}
                body = {"showing_id": showing.showing_id, "seat_ids": seat_ids, "timestamp": "t"}
                for path in ("/api/holds", "/api/holds/release"):
                    async with session.post(path, json=body, headers=headers) as response:
                        await response.read()
                showing.taken.difference_update(seat_ids)
                evening.counts["holds"] += 1
            if evening.chance.random() < 0.1:
                account = {
                    "username": f"u-{new_id()[:8]}",
                    "password": "a long enough one",
                    "email": "u@example.org",
                    "name": "U",
                }
                async with session.post("/api/users", json=account) as response:
                    evening.counts[f"registrations: {response.status}"] += 1


# Those who mean no good


async def hostile(evening: Evening, attack: Callable[[Evening, str], Awaitable[None]], every: float) -> None:
    """The same attack again and again, each time from another address; that the box closes it is its right."""
    while True:
        await evening.pause(every)
        evening.counts[attack.__name__.replace("_", " ")] += 1
        with contextlib.suppress(*GONE, TimeoutError, AssertionError):
            await attack(evening, evening.address(66))


async def _until_closed(line: RawClient, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            while await line.transport.read():
                pass
    finally:
        await line.close()


async def malformed_packets(evening: Evening, source: str) -> None:
    """What is no MQTT, at either door, before or after the CONNECT."""
    line = Line(await way_in(evening, evening.chance.choice(("web", "web", "tcp")), source))
    evening.counts["connections"] += 1
    garbage = (
        b"\x10\xff\xff\xff\xff\x01",
        packet(0x10, text("MQTT") + b"\x05\x02\x00\x3c" + text("x")),
        connect() + b"\x36\x03\x00\x01\xff",
        connect() + packet(0x80, b""),
        connect() + packet(0x30, text("a/\0b")),
        connect() + b"\x30" + b"\xff\xff\x7f" + bytes(4096),
        evening.chance.randbytes(64),
    )
    await line.send(evening.chance.choice(garbage))
    await _until_closed(line, 2.0)


async def no_http(evening: Evening, source: str) -> None:
    transport = await TcpTransport.open(evening.place.web, None, source=source)
    evening.counts["connections"] += 1
    line = Line(transport)
    some = (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n",
        b"POST /api/session HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET /mqtt HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://evil.example\r\nUpgrade: websocket\r\n\r\n",
    )
    await line.send(evening.chance.choice(some))
    await _until_closed(line, 1.0)


async def wrong_passwords(evening: Evening, source: str) -> None:
    line = Line(await way_in(evening, "web", source))
    evening.counts["connections"] += 1
    await line.send(connect(evening.chance.choice(("kiosk-1", "nobody")), "a wrong one"))
    await _until_closed(line, 10.0)


async def forbidden_topics(evening: Evening, source: str) -> None:
    """A guest who wants to see and say what is not for guests."""
    line, _ = await enter(evening, "web", source, None, "seats/status/#")
    await line.send(subscribe("#", "booking/confirm/+", "users/#", packet_id=2))
    await line.send(publish("seats/status/x", b"{}", qos=1, packet_id=3))
    await _until_closed(line, 5.0)


async def half_open(evening: Evening, source: str) -> None:
    """Nothing more comes: in the middle of TLS, of an HTTP header, or of a CONNECT."""
    doors = (evening.place.web, evening.place.tcp)
    line = Line(await TcpTransport.open(evening.chance.choice(doors), None, source=source))
    evening.counts["connections"] += 1
    await line.send(evening.chance.choice((b"", b"GET / HT", b"\x16\x03\x01")))
    await _until_closed(line, 20.0)


async def slow_readers(evening: Evening, source: str) -> None:
    """Reads a little now and then, of everything that there is."""
    line = Line(await way_in(evening, "web", source, 4096))
    evening.counts["connections"] += 1
    try:
        await line.send(connect(), subscribe("seats/status/#", "showing/update/#"))
        for _ in range(100):
            await asyncio.sleep(0.3)
            if not await line.transport.read():
                break
    finally:
        await line.close()


async def stuck_readers(evening: Evening, source: str) -> None:
    """Subscribes to everything and never reads again."""
    line = Line(await way_in(evening, "web", source, 4096))
    evening.counts["connections"] += 1
    try:
        await line.send(connect(), subscribe("seats/status/#"))
        await asyncio.sleep(45.0)
    finally:
        await line.close()


async def doors_slammed(evening: Evening, source: str) -> None:
    """In and out at once, in any state, with a reset."""
    transport = await TcpTransport.open(
        evening.chance.choice((evening.place.web, evening.place.tcp)), None, source=source
    )
    evening.counts["connections"] += 1
    try:
        await transport.send(evening.chance.choice((b"", b"GET /mq", connect()[:9], upgrade(*evening.place.web))))
        transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    finally:
        await transport.close()


ATTACKS: tuple[tuple[Callable[[Evening, str], Awaitable[None]], float], ...] = (
    (malformed_packets, 0.7),
    (no_http, 0.7),
    (wrong_passwords, 5.0),
    (forbidden_topics, 1.0),
    (half_open, 1.0),
    (slow_readers, 1.0),
    (slow_readers, 1.0),
    (slow_readers, 1.0),
    (stuck_readers, 1.0),
    (stuck_readers, 1.0),
    (doors_slammed, 0.2),
    (doors_slammed, 0.2),
)
"""Each with about how many seconds pass between two of them."""
