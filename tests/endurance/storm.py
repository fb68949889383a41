"""A storm: clients on both doors and over HTTP who hold, book and cancel as fast as they can until the box is gone.

Whatever they were told before that is in their :class:`Diary`. They stop by themselves: each after so many commands.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from contract.house import House, new_id
from contract.process import BoxProcess
from raw_mqtt import (
    CONNACK,
    PUBACK,
    PUBLISH,
    PUBREC,
    PUBREL,
    Packet,
    RawClient,
    TcpTransport,
    WebSocketTransport,
    acknowledgement,
    connect,
    publish,
)

from endurance.diary import Diary, Request, seconds_of, title_of

BY_TCP = ("alice", "vera", "kiosk")
BY_WEBSOCKET = ("bob", "carol", "kiosk2")
BY_HTTP = ("dave", "victor")
BY_MQTT = BY_TCP + BY_WEBSOCKET
MANAGER = "manager"

COMMANDS_EACH = 90
"""Fewer than the failed outcomes that are kept of one customer."""
BURST = 12
PAUSE_SECONDS = 0.03
"""A client sends at most so many commands at once, and then thinks for at most so long."""

CALLS = {"booking/request": "/api/bookings", "seats/hold": "/api/holds", "seats/release": "/api/holds/release"}

GONE = (OSError, aiohttp.ClientError, asyncio.IncompleteReadError)
"""What it is to a client when the plug is pulled."""


@dataclass
class Progress:
    """How far a storm has come: for who waits for the moment to pull the plug."""

    acknowledged: int = 0
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """The first command was sent."""
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def count(self) -> None:
        self.acknowledged += 1
        self.news.set()

    async def reaches(self, acknowledged: int) -> None:
        while self.acknowledged < acknowledged:
            self.news.clear()
            await self.news.wait()


@dataclass(frozen=True)
class Cinema:
    """Where a storm breaks out: who comes, and what is on sale. The first showing sells most."""

    house: House
    showing_ids: Sequence[str]
    seat_ids: Sequence[str]

    def wish(self, chance: random.Random) -> dict[str, Any]:
        """One to three seats: half of the wishes are for the same few, the best ones."""
        some = self.seat_ids[:40] if chance.random() < 0.5 else self.seat_ids
        showing_id = self.showing_ids[0] if chance.random() < 0.85 else chance.choice(self.showing_ids)
        return {"showing_id": showing_id, "seat_ids": chance.sample(some, chance.randint(1, 3)), "timestamp": "t"}


async def storm(box: BoxProcess, cinema: Cinema, seed: str, progress: Progress) -> Diary:
    """Everybody's diary, once the box is gone or all have sent what they had to."""
    clients: list[Awaitable[Diary]] = [
        MqttCustomer(box, cinema, name, random.Random(f"{seed} {name}"), progress).rush() for name in BY_MQTT
    ]
    for name in BY_HTTP:
        clients.append(HttpCustomer(box, cinema, name, random.Random(f"{seed} {name}"), progress).rush())
    clients.append(Office(box, cinema, MANAGER, random.Random(f"{seed} {MANAGER}"), progress).rush())
    clients.append(watch(box, cinema.showing_ids[0]))
    whole = Diary()
    for diary in await asyncio.gather(*clients):
        whole.merge(diary)
    return whole


async def sign_in(box: BoxProcess, house: House, name: str, *topics: str) -> RawClient:
    """Somebody at an MQTT client, subscribed to these topics, by default to their own answers."""
    in_a_browser = name in BY_WEBSOCKET
    client = RawClient(await (WebSocketTransport.open(box.web) if in_a_browser else TcpTransport.open(box.tcp)))
    try:
        await client.send(connect(*house.credentials(name)))
        connack = await client.next(CONNACK)
        assert connack.body[1] == 0, f"{name} got CONNACK {connack.body[1]}"
        await client.subscribe(*(topics or ("booking/confirm/+", "users/+/holds", "users/+/errors")), qos=1)
    except BaseException:
        await client.close()
        raise
    return client


class Customer:
    """Somebody with wishes. Seats that one has asked to hold one names again only to book or release what was told as
    held: so it is known of each hold in the diary that nothing was sent since that could end it."""

    def __init__(self, box: BoxProcess, cinema: Cinema, name: str, chance: random.Random, progress: Progress) -> None:
        self.box = box
        self.cinema = cinema
        self.name = name
        self.chance = chance
        self.progress = progress
        self.diary = Diary()
        self._asked: set[tuple[str, str]] = set()

    def invent(self) -> tuple[str, dict[str, Any]]:
        """The next command's topic and body; it is in the diary as sent."""
        kind = self.chance.choices(
            ("book", "book held", "hold", "release", "cancel", "nonsense"), weights=(40, 8, 22, 6, 20, 4)
        )[0]
        sold = [booking_id for booking_id in self.diary.requests if booking_id not in self.diary.cancels]
        if kind == "cancel" and sold:
            booking_id = self.chance.choice(sold)
            self.diary.cancels[booking_id] = False
            return "booking/cancel", {"booking_id": booking_id, "timestamp": "t"}
        if kind in ("book held", "release") and self.diary.holds:
            (_, showing_id, seat_id), _ = self.diary.holds.popitem()
            body = {"showing_id": showing_id, "seat_ids": [seat_id], "timestamp": "t"}
            return ("seats/release", body) if kind == "release" else self._request(body)
        if kind == "nonsense":
            return "booking/request", {"showing_id": "no showing", "seat_ids": []}
        body = self.cinema.wish(self.chance)
        asked = {(body["showing_id"], seat_id) for seat_id in body["seat_ids"]}
        if asked & self._asked:
            return self.invent()
        if kind == "hold":
            self._asked |= asked
            return "seats/hold", body
        return self._request(body)

    def _request(self, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        body["booking_id"] = new_id()
        self.diary.requests[body["booking_id"]] = Request(self.name, body)
        return "booking/request", body

    def take_token(self, told: dict[str, Any], whose: str) -> str:
        """What signing in was answered: a token that is to outlive the restart."""
        if "token" not in told:
            self.diary.faults.append(f"{whose} asked for a token and was answered {told}")
            return ""
        self.diary.tokens[told["token"]] = whose
        return str(told["token"])

    def hear_hold(self, body: dict[str, Any]) -> None:
        for seat_id in body["seat_ids"]:
            key = (self.name, body["showing_id"], seat_id)
            if body["status"] == "held":
                self.diary.holds[key] = seconds_of(body["expires_at"])
            elif body["status"] == "expired":
                self.diary.holds.pop(key, None)


class MqttCustomer(Customer):
    """One who sends bursts of commands at QoS 1 and 2, without waiting for an answer."""

    async def rush(self) -> Diary:
        try:
            self.client = await sign_in(self.box, self.cinema.house, self.name)
        except (*GONE, AssertionError):  # the box was gone before the client was in
            return self.diary
        self._waiting: dict[int, tuple[str, str]] = {}
        reading = asyncio.create_task(self._read())
        with contextlib.suppress(*GONE):
            await self._send_all()
        await reading  # also what had arrived before
        await self.client.close()
        return self.diary

    async def _send_all(self) -> None:
        number = 0
        while number < COMMANDS_EACH:
            packets = []
            for _ in range(self.chance.randint(1, BURST)):
                number += 1
                topic, body = self.invent()
                self._waiting[number] = (topic, body.get("booking_id", ""))
                payload = json.dumps(body).encode()
                packets.append(publish(topic, payload, qos=self.chance.choice((1, 2)), packet_id=number))
            await self.client.send(*packets)
            self.progress.begun.set()
            await asyncio.sleep(self.chance.random() * PAUSE_SECONDS)

    async def _read(self) -> None:
        """Until the box is gone, or everything was acknowledged."""
        with contextlib.suppress(*GONE, TimeoutError):
            while (packet := await self.client.packet()) is not None:
                if packet.kind == PUBLISH:
                    await self._hear(packet)
                elif packet.kind in (PUBACK, PUBREC):
                    self._acknowledged(*self._waiting.pop(packet.packet_id))
                    if packet.kind == PUBREC:
                        await self.client.send(acknowledgement(PUBREL, packet.packet_id))

    async def _hear(self, packet: Packet) -> None:
        body = json.loads(packet.payload)
        if packet.retain:
            pass  # from an earlier storm
        elif packet.topic.endswith("/holds"):
            self.hear_hold(body)
        elif packet.topic.endswith("/errors"):
            if body["code"] == "storage_unavailable":
                self.diary.faults.append(f"{self.name} was refused: {body}")
            if (booking_id := body.get("booking_id")) in self.diary.requests:
                self.diary.requests[booking_id].refused = body["code"]
        else:
            self.diary.told(body)
        if packet.qos:
            await self.client.send(acknowledgement(PUBACK, packet.packet_id))

    def _acknowledged(self, topic: str, booking_id: str) -> None:
        self.progress.count()
        if topic == "booking/cancel":
            self.diary.cancels[booking_id] = True
        elif topic == "booking/request" and booking_id:
            self.diary.requests[booking_id].acknowledged = True


class HttpCustomer(Customer):
    """One without MQTT: an answer is the acknowledgement. Tokens come and go, too."""

    async def rush(self) -> Diary:
        token = self.cinema.house.tokens[self.name]
        headers = {"Authorization": f"Bearer {token}"}
        with contextlib.suppress(*GONE):
            async with aiohttp.ClientSession(url_of(self.box), headers=headers) as self.session:
                for number in range(COMMANDS_EACH):
                    if number % 10 == 9:
                        await self._renew()
                    else:
                        await self._command(*self.invent())
                    self.progress.begun.set()
        return self.diary

    async def _command(self, topic: str, body: dict[str, Any]) -> None:
        if topic == "booking/cancel":
            async with self.session.delete(f"/api/bookings/{body['booking_id']}") as response:
                told = await answer(response)
            self.diary.cancels[body["booking_id"]] = True
        else:
            async with self.session.post(CALLS[topic], json=body) as response:
                told = await answer(response)
            if "expires_at" in told or told.get("status") in ("released", "rejected"):
                self.hear_hold(told)
        self.progress.count()
        if response.status >= 500:
            self.diary.faults.append(f"{self.name} was answered {response.status}: {told}")
        if (request := self.diary.requests.get(body.get("booking_id", ""))) and topic == "booking/request":
            request.acknowledged = True
            if "status" in told:
                self.diary.told(told)
            else:
                request.refused = told["code"]

    async def _renew(self) -> None:
        """A token more; every second one is taken back at once."""
        async with self.session.post("/api/session") as response:
            token = self.take_token(await answer(response), self.name)
        self.progress.count()
        if token and self.chance.random() < 0.5:
            del self.diary.tokens[token]  # until it is known that it is void
            headers = {"Authorization": f"Bearer {token}"}
            async with self.session.delete("/api/session", headers=headers) as response:
                await answer(response)
                self.diary.void_tokens.add(token)


class Office(Customer):
    """The manager, who gives the showing a new title again and again, and lets visitors in."""

    async def rush(self) -> Diary:
        headers = {"Authorization": f"Bearer {self.cinema.house.tokens[self.name]}"}
        with contextlib.suppress(*GONE):
            async with aiohttp.ClientSession(url_of(self.box)) as session:
                for number in range(1, COMMANDS_EACH):
                    showing = {"showing_id": self.cinema.showing_ids[0], "title": title_of(number)}
                    body = {"action": "update", "showing": showing}
                    async with session.post("/api/showings", json=body, headers=headers) as response:
                        told = await answer(response)
                    if response.status != 200:
                        self.diary.faults.append(f"the manager was answered {response.status}: {told}")
                    self.diary.titles[showing["showing_id"]] = number
                    visitor = {"name": f"Visitor {number}", "email": "visitor@example.org"}
                    async with session.post("/api/session", json=visitor) as response:
                        self.take_token(await answer(response), "a visitor")
                    self.progress.count()
                    await asyncio.sleep(self.chance.random() * PAUSE_SECONDS)
        return self.diary


async def answer(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """An answer's body. A box that stops takes nothing more: to its clients it is gone. Raises ConnectionResetError."""
    told: dict[str, Any] = await response.json() if response.status != 204 else {}
    if response.status == 503 and told["code"] == "unavailable":
        raise ConnectionResetError(told["message"])
    return told


async def watch(box: BoxProcess, showing_id: str) -> Diary:
    """A guest who looks on, and notes the versions, one after the other without a gap."""
    diary = Diary()
    async with contextlib.AsyncExitStack() as closing:
        closing.enter_context(contextlib.suppress(*GONE, AssertionError, TimeoutError))
        client = RawClient(await TcpTransport.open(box.tcp))
        closing.push_async_callback(client.close)
        await client.send(connect())
        await client.next(CONNACK)
        await client.subscribe(f"seats/status/{showing_id}")
        while (packet := await client.packet()) is not None:
            version, before = json.loads(packet.payload)["version"], diary.versions.get(showing_id)
            if before is not None and version != before + (not packet.retain):
                diary.faults.append(f"version {version} of {showing_id} came after {before}")
            diary.versions[showing_id] = version
    return diary


def url_of(box: BoxProcess) -> str:
    return f"http://{box.web[0]}:{box.web[1]}"
