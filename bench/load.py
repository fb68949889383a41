"""The load generator: watchers of one showing, and kiosks that book its seats in a closed loop.

Runs as its own process (``python -m bench.load``): an :class:`Order` as JSON on standard input, a :class:`Result` as
JSON on standard output. Bounded in count and time, towards loopback alone, and it stops by itself.

All watchers are to receive the same bytes, so only the first one's stream is parsed while the rush is on; the others'
are compared with it, and parsed where they differ. That is what lets one core watch some hundred thousand
deliveries a second.
"""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import json
import socket
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from bench import framing

CONNECT_AT_ONCE = 20
CONFIRMATIONS_AHEAD = 16
"""How many confirmations a kiosk subscribes to at once: as many filters as the box takes in one SUBSCRIBE."""
READY_SECONDS = 60.0
DELIVERY_SECONDS = 30.0
MAX_SECONDS = 60.0
MAX_CONNECTIONS = 5_000


@dataclass(frozen=True, slots=True)
class Order:
    """One round: whom to drive, how hard and how long."""

    host: str
    port: int
    websocket: bool
    showing_id: str
    seats: int
    seat_ids: list[str]
    """Empty where subscribing brings the present; else the seats, all of them available at version 0."""
    watchers: int
    kiosks: int
    seats_per_booking: int
    seconds: float
    username: str
    password: str


@dataclass(frozen=True, slots=True)
class Result:
    """What one round gave. Latencies in milliseconds, from publishing the request to receiving its confirmation."""

    bookings: int
    seconds: float
    p50: float
    p99: float
    deliveries: int
    presents_anew: int
    """Watchers that were given the present instead of a backlog."""
    failure: str
    """Empty, or why the round does not count."""

    @property
    def per_second(self) -> float:
        return self.bookings / self.seconds if self.seconds else 0.0


class RoundFailed(Exception):  # noqa: N818  # a round's outcome
    """The round does not count; the message says why."""


class Client(asyncio.Protocol):
    """One connection's bytes, over TCP or WebSocket; ``received`` gets MQTT bytes."""

    def __init__(self, order: Order, received: Callable[[bytes], None]) -> None:
        self._order = order
        self._received = received
        self._frames = framing.FrameReader() if order.websocket else None
        self._upgrade = b""
        self._transport: asyncio.Transport | None = None
        self.open: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.leaving = False
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._frames is None:
            self.open.set_result(None)
        else:
            transport.write(framing.upgrade(self._order.host, self._order.port))

    def data_received(self, data: bytes) -> None:
        if self._frames is None:
            self._received(data)
            return
        if not self.open.done():
            self._upgrade += data
            head, end, data = self._upgrade.partition(b"\r\n\r\n")
            if not end:
                return
            if b" 101 " not in head.split(b"\r\n")[0]:
                self.open.set_exception(RoundFailed(f"no WebSocket: {head.splitlines()[0].decode('latin-1')}"))
                return
            self.open.set_result(None)
        if payload := self._frames.feed(data):
            self._received(payload)
        for ping in self._frames.pings:
            self._write(framing.client_frame(ping, opcode=10))
        self._frames.pings.clear()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = not self.leaving
        if not self.open.done():
            self.open.set_exception(RoundFailed("a connection was refused"))

    def send(self, packets: bytes) -> None:
        self._write(packets if self._frames is None else framing.client_frame(packets))

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def leave(self) -> None:
        self.leaving = True
        if self._transport is not None:
            self.send(framing.DISCONNECT)
            self._transport.close()


class SeatPlan:
    """What one watcher knows of the showing, and whether it missed anything."""

    def __init__(self, order: Order) -> None:
        self._topic = f"seats/status/{order.showing_id}".encode()
        self._packets = framing.PacketReader()
        self.status = dict.fromkeys(order.seat_ids, "available")
        self.version = 0
        self.subscribed = False
        self.live = 0
        self.presents = 0
        self._in_present = False
        self.fault = ""

    def feed(self, received: bytes) -> None:
        for first, body in self._packets.feed(received):
            kind = first >> 4
            if kind == framing.CONNACK and body[1] != 0:
                self.fault = f"CONNACK {body[1]}"
            elif kind == framing.SUBACK:
                self.subscribed = True
                self.fault = "the subscription was refused" if body[2] == 0x80 else self.fault
            elif kind == framing.PUBLISH:
                self._take(first, body)

    def _take(self, first: int, body: bytes) -> None:
        topic, _, payload = framing.published(first, body)
        if topic != self._topic:
            return
        seat: dict[str, Any] = json.loads(payload)
        version = int(seat["version"])
        if first & 0x01:
            if not self._in_present:
                self._in_present = True
                self.presents += 1
            self.version = max(version, self.version)
        else:
            self._in_present = False
            self.live += 1
            if version != self.version + 1:
                self.fault = self.fault or f"version {version} came after {self.version}"
            self.version = version
        self.status[seat["seat_id"]] = seat["status"]


class Watcher:
    """A browser that looks at the showing. The first one's stream is parsed; it is the others' model."""

    def __init__(self, order: Order, number: int, model: Watcher | None) -> None:
        self.client = Client(order, self._received)
        self.number = number
        self._order = order
        self._model = model
        self.plan: SeatPlan | None = SeatPlan(order) if model is None else None
        self.stream = bytearray()
        """The model: everything received. Another: what is not yet compared."""
        self.compared = 0

    def _received(self, data: bytes) -> None:
        if self.plan is not None:
            if self._model is None:
                self.stream += data
            self.plan.feed(data)
        else:
            self.stream += data
            self.compare()

    def compare(self) -> None:
        """Compare what came with the model's stream as far as that has come; parse from where they differ."""
        if self.plan is not None or self._model is None or not self.stream:
            return
        model = self._model.stream
        length = min(len(self.stream), len(model) - self.compared)
        if memoryview(self.stream)[:length] == memoryview(model)[self.compared : self.compared + length]:
            self.compared += length
            del self.stream[:length]
            return
        self.plan = SeatPlan(self._order)
        self.plan.feed(bytes(model[: self.compared]) + bytes(self.stream))
        self.stream.clear()

    def has_all(self, wanted: Callable[[SeatPlan], bool]) -> bool:
        """Whether this watcher's plan satisfies ``wanted``, as the model's does or by its own."""
        if self.plan is not None:
            return wanted(self.plan)
        self.compare()
        assert self._model is not None
        if self.plan is not None:
            return wanted(self.plan)
        return not self.stream and self.compared == len(self._model.stream)

    @property
    def fault(self) -> str:
        if self.client.lost:
            return f"watcher {self.number} was disconnected"
        return f"watcher {self.number}: {self.plan.fault}" if self.plan is not None and self.plan.fault else ""


class Kiosk:
    """Books the next free seats, waits for the confirmation, and books again."""

    def __init__(self, order: Order, rush: Rush) -> None:
        self._order = order
        self._rush = rush
        self.client = Client(order, self._received)
        self._packets = framing.PacketReader()
        self.ready = False
        self._packet_id = 0
        self._ids: list[str] = []
        self._subscribed: list[str] = []
        self._booking_id = ""
        self._seat_ids: list[str] = []
        self._sent = 0.0
        self.busy = False
        self.latencies: list[float] = []
        self.booked: list[str] = []
        self.fault = ""

    def sign_in(self) -> None:
        self.client.send(
            framing.connect(f"kiosk-{uuid.uuid4()}", username=self._order.username, password=self._order.password)
        )

    def book(self) -> None:
        if not self._ids:
            self._subscribe_ahead()  # and book when that is granted, so that a latency is a booking's alone
            return
        seat_ids = self._rush.next_seats()
        if not seat_ids:
            self.busy = False
            return
        self._booking_id, self._seat_ids = self._ids.pop(), seat_ids
        request = {
            "booking_id": self._booking_id,
            "showing_id": self._order.showing_id,
            "seat_ids": seat_ids,
            "timestamp": "2030-01-01T00:00:00Z",
        }
        packet = framing.publish("booking/request", json.dumps(request).encode(), packet_id=self._next_packet_id())
        self._sent = time.perf_counter()
        self.client.send(packet)

    def _subscribe_ahead(self) -> None:
        packets = framing.unsubscribe(self._next_packet_id(), self._subscribed) if self._subscribed else b""
        self._ids = [str(uuid.uuid4()) for _ in range(CONFIRMATIONS_AHEAD)]
        self._subscribed = [f"booking/confirm/{booking_id}" for booking_id in self._ids]
        self.client.send(packets + framing.subscribe(self._next_packet_id(), self._subscribed, qos=1))

    def _next_packet_id(self) -> int:
        self._packet_id = self._packet_id % 65535 + 1
        return self._packet_id

    def _received(self, data: bytes) -> None:
        for first, body in self._packets.feed(data):
            kind = first >> 4
            if kind == framing.CONNACK:
                self.ready = body[1] == 0
                self.fault = self.fault or ("" if self.ready else f"a kiosk got CONNACK {body[1]}")
            elif kind == framing.SUBACK and 0x80 in body[2:]:
                self.fault = "a confirmation's subscription was refused"
            elif kind == framing.SUBACK:
                self.book()
            elif kind == framing.PUBLISH:
                self._confirmed(*framing.published(first, body))

    def _confirmed(self, topic: bytes, packet_id: int, payload: bytes) -> None:
        now = time.perf_counter()
        if packet_id:
            self.client.send(framing.puback(packet_id))
        if not self._booking_id or topic.decode() != f"booking/confirm/{self._booking_id}":
            return  # told twice, at QoS 1
        confirmation = json.loads(payload)
        if confirmation["status"] != "confirmed":
            self.fault = f"a booking was refused: {confirmation.get('code') or confirmation.get('message')}"
            self.busy = False
            return
        self.latencies.append((now - self._sent) * 1000)
        self.booked += self._seat_ids
        self._booking_id = ""
        self._rush.confirmed(now)
        self.book()


class Rush:
    """One round: everybody in, the doors to the seats open, and afterwards the books are compared."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._free: list[str] = []
        self._until = 0.0
        self._last = 0.0
        self.sold_out = asyncio.Event()

    def next_seats(self) -> list[str]:
        count = self._order.seats_per_booking
        if time.perf_counter() >= self._until or len(self._free) < count:
            self.sold_out.set()
            return []
        seat_ids = self._free[-count:]
        del self._free[-count:]
        return seat_ids

    def confirmed(self, now: float) -> None:
        self._last = now

    async def run(self) -> Result:
        order = self._order
        model = Watcher(order, 1, None)
        watchers = [model] + [Watcher(order, number, model) for number in range(2, order.watchers + 1)]
        kiosks = [Kiosk(order, self) for _ in range(order.kiosks)]
        try:
            return await self._run(watchers, kiosks)
        finally:
            for client in [party.client for party in watchers] + [party.client for party in kiosks]:
                client.leave()

    async def _run(self, watchers: list[Watcher], kiosks: list[Kiosk]) -> Result:
        order = self._order
        await self._all_in(watchers, kiosks)
        plan = watchers[0].plan
        assert plan is not None
        self._free = [seat_id for seat_id, status in plan.status.items() if status == "available"]

        # The watchers need no collector's pauses in the middle of a latency.
        gc.collect()
        gc.freeze()
        gc.disable()
        began = time.perf_counter()
        self._until = began + order.seconds
        for kiosk in kiosks:
            kiosk.busy = True
            kiosk.book()
        await self._wait(
            lambda: not any(kiosk.busy for kiosk in kiosks),
            order.seconds + DELIVERY_SECONDS,
            "a request was never confirmed",
            [*watchers, *kiosks],
        )
        seconds = self._last - began

        booked = [seat_id for kiosk in kiosks for seat_id in kiosk.booked]

        def complete(plan: SeatPlan) -> bool:
            return all(plan.status.get(seat_id) == "booked" for seat_id in booked)

        await self._wait(
            lambda: all(watcher.has_all(complete) for watcher in watchers),
            DELIVERY_SECONDS,
            "a watcher never got an update that was due",
            [*watchers, *kiosks],
        )
        latencies = sorted(latency for kiosk in kiosks for latency in kiosk.latencies)
        if not latencies:
            raise RoundFailed("nothing was booked")
        return Result(
            bookings=len(latencies),
            seconds=seconds,
            p50=latencies[len(latencies) // 2],
            p99=latencies[min(len(latencies) - 1, len(latencies) * 99 // 100)],
            deliveries=sum((watcher.plan or plan).live for watcher in watchers),
            presents_anew=sum((watcher.plan or plan).presents > 1 for watcher in watchers),
            failure="",
        )

    async def _all_in(self, watchers: list[Watcher], kiosks: list[Kiosk]) -> None:
        order, loop = self._order, asyncio.get_running_loop()
        parties: list[Watcher | Kiosk] = [*watchers, *kiosks]
        for start in range(0, len(parties), CONNECT_AT_ONCE):
            some = parties[start : start + CONNECT_AT_ONCE]
            for party in some:
                await loop.create_connection(partial(_itself, party.client), order.host, order.port)
            await asyncio.wait_for(asyncio.gather(*(party.client.open for party in some)), READY_SECONDS)
        for kiosk in kiosks:
            kiosk.sign_in()
        for watcher in watchers:
            watcher.client.send(
                framing.connect(f"watcher-{uuid.uuid4()}")
                + framing.subscribe(1, [f"seats/status/{order.showing_id}"], qos=0)
            )

        def knows_all(plan: SeatPlan) -> bool:
            return plan.subscribed and len(plan.status) >= order.seats

        await self._wait(
            lambda: all(kiosk.ready for kiosk in kiosks) and all(watcher.has_all(knows_all) for watcher in watchers),
            READY_SECONDS,
            "not everybody got in and saw every seat",
            parties,
        )

    @staticmethod
    async def _wait(done: Callable[[], bool], seconds: float, otherwise: str, parties: list[Watcher | Kiosk]) -> None:
        """Look every few milliseconds, for the parties' own receiving is what is measured and stays undisturbed."""
        until = time.perf_counter() + seconds
        while not done():
            for party in parties:
                if party.fault or party.client.lost:
                    raise RoundFailed(party.fault or "a kiosk was disconnected")
            if time.perf_counter() > until:
                raise RoundFailed(f"{otherwise}, in {seconds:.0f} s")
            await asyncio.sleep(0.02)
        for party in parties:
            if party.fault:
                raise RoundFailed(party.fault)


def _itself(client: Client) -> Client:
    return client


async def drive(order: Order) -> Result:
    """Drive one round. Whatever goes wrong makes it a failed one."""
    if not ipaddress.ip_address(order.host).is_loopback:
        raise ValueError("the load goes to loopback alone")
    if order.watchers + order.kiosks > MAX_CONNECTIONS or order.seconds > MAX_SECONDS:
        raise ValueError(f"at most {MAX_CONNECTIONS} connections and {MAX_SECONDS:.0f} seconds")
    if order.watchers < 1 or order.kiosks < 1:
        raise ValueError("at least one watcher and one kiosk")
    try:
        return await asyncio.wait_for(Rush(order).run(), READY_SECONDS + order.seconds + 2 * DELIVERY_SECONDS)
    except (RoundFailed, OSError, TimeoutError) as error:
        return Result(0, 0.0, 0.0, 0.0, 0, 0, failure=str(error) or "out of time")


def main() -> None:
    order = Order(**json.load(sys.stdin))
    json.dump(asdict(asyncio.run(drive(order))), sys.stdout)


if __name__ == "__main__":
    main()
