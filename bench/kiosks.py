"""Those who book, and the desk that tells them what and when: in a closed loop or at fixed times."""

from __future__ import annotations

import json
import time
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench import framing
from bench.sockets import KEEP_ALIVE, Connection, Door, Loop, all_leave


@dataclass(frozen=True, slots=True)
class Account:
    """With whom the kiosks sign in, and how many confirmations each subscribes to at once."""

    username: str
    password: str
    confirmations_ahead: int
    again: bool
    """Whether to subscribe again when these are used up; else the kiosk books no more."""


@dataclass(slots=True)
class Sales:
    """What became of the requests. Latencies in milliseconds, times of ``time.perf_counter``."""

    began: float
    last: float = 0.0
    latencies: list[float] = field(default_factory=list)
    seat_ids: list[str] = field(default_factory=list)
    requested: dict[str, float] = field(default_factory=dict)
    """When each of the seats was: what its latency counts from."""


class Desk:
    """Gives the kiosks their seats, each seat once."""

    def __init__(
        self, loop: Loop, door: Door, account: Account, *, showing_id: str, seats_per_booking: int, kiosks: int
    ) -> None:
        self._loop = loop
        self.showing_id = showing_id
        self._seats_per_booking = seats_per_booking
        self.free_seats: list[str] = []
        self.sales = Sales(0.0)
        self._until = 0.0
        self._bookings = 0
        """So many may still begin."""
        self._interval = 0.0
        self._next = 0.0
        self._scheduled: deque[float] = deque()
        self._busy = 0
        """Kiosks with a request on its way, or between two subscriptions."""
        self.kiosks = [Kiosk(loop, door, account, self, number + 1) for number in range(kiosks)]
        self._idle = deque(self.kiosks)

    def begin(self, *, seconds: float, rate: float = 0.0, bookings: int = 1_000_000) -> None:
        """Begin to sell: in a closed loop, or ``rate`` bookings a second whether or not the ones before are confirmed.

        It ends after ``seconds``, after so many ``bookings``, or when too few seats are left.
        """
        now = time.perf_counter()
        self.sales = Sales(now)
        self._until, self._bookings = now + seconds, bookings
        if rate:
            self._interval, self._next = 1 / rate, now
            self._schedule()
            return
        self._interval = 0.0
        for _ in range(len(self._idle)):
            self._book(self._idle.popleft(), time.perf_counter())

    def stop(self) -> None:
        """Begin nothing more."""
        self._until = 0.0

    def leave(self) -> None:
        all_leave(self._loop, [kiosk.connection for kiosk in self.kiosks])

    @property
    def is_done(self) -> bool:
        """Nothing more begins, and everything sent is confirmed and acknowledged."""
        over = not self._interval or time.perf_counter() >= self._until or self._bookings <= 0
        return over and not self._busy and not self._scheduled and not any(kiosk.waits_for for kiosk in self.kiosks)

    def confirmed(self, latency: float, now: float, seat_ids: Sequence[str]) -> None:
        self.sales.latencies.append(latency * 1000)
        self.sales.seat_ids += seat_ids
        self.sales.requested.update(dict.fromkeys(seat_ids, now - latency))
        self.sales.last = now

    def is_free(self, kiosk: Kiosk, now: float) -> None:
        """A kiosk that can book again."""
        self._busy -= 1
        if self._interval:
            self._idle.append(kiosk)
            self._hand_out()
        else:
            self._book(kiosk, now)

    def closes(self) -> None:
        """A kiosk that books no more."""
        self._busy -= 1

    def _schedule(self) -> None:
        now = time.perf_counter()
        while self._next <= now and now < self._until and self._bookings > 0:
            self._scheduled.append(self._next)
            self._bookings -= 1
            self._next += self._interval
        self._hand_out()
        if now < self._until and self._bookings > 0:
            self._loop.at(self._next, self._schedule)

    def _hand_out(self) -> None:
        while self._scheduled and self._idle:
            if not self._sell(self._idle[0], self._scheduled[0]):
                self._loop.fail("there were too few seats to book for so long")
                return
            self._idle.popleft()
            self._scheduled.popleft()

    def _book(self, kiosk: Kiosk, now: float) -> None:
        """In the closed loop."""
        if now < self._until and self._bookings > 0 and self._sell(kiosk, now):
            self._bookings -= 1
        else:
            self._idle.append(kiosk)

    def _sell(self, kiosk: Kiosk, since: float) -> bool:
        count = self._seats_per_booking
        if len(self.free_seats) < count:
            return False
        seat_ids = self.free_seats[-count:]
        del self.free_seats[-count:]
        self._busy += 1
        kiosk.book(seat_ids, since)
        return True


class Kiosk:
    """Publishes a request, waits for its confirmation, and is free again."""

    def __init__(self, loop: Loop, door: Door, account: Account, desk: Desk, number: int) -> None:
        self._loop = loop
        self._number = number
        self._name = f"kiosk {number}"
        self._account = account
        self._desk = desk
        self._packets = framing.PacketReader()
        self._packet_id = 0
        self._ids: list[str] = []
        self._filters: list[str] = []
        self._booking_id = ""
        self._seat_ids: list[str] = []
        self._since = 0.0
        self.is_in = False
        self.waits_for: set[int] = set()
        """Packet ids of the requests not yet acknowledged."""
        self.connection = Connection(loop, door, self._name, opened=self._sign_in, received=self._received, urgent=True)

    def book(self, seat_ids: list[str], since: float) -> None:
        """Book; the latency counts from ``since``."""
        self._booking_id, self._seat_ids, self._since = self._ids.pop(), seat_ids, since
        request = {
            "booking_id": self._booking_id,
            "showing_id": self._desk.showing_id,
            "seat_ids": seat_ids,
            "timestamp": "2030-01-01T00:00:00Z",
        }
        packet_id = self._next_packet_id()
        self.waits_for.add(packet_id)
        self.connection.send(framing.publish("booking/request", json.dumps(request).encode(), packet_id=packet_id))

    def _sign_in(self) -> None:
        account = self._account
        self.connection.send(
            framing.connect(
                f"kiosk-{uuid.uuid4()}", username=account.username, password=account.password, keep_alive=KEEP_ALIVE
            )
        )

    def _subscribe(self) -> None:
        """To the next confirmations, and no longer to the last ones."""
        packets = framing.unsubscribe(self._next_packet_id(), self._filters) if self._filters else b""
        count = self._account.confirmations_ahead
        if not self._filters and self._account.again:
            count = 1 + self._number % count  # at first, so that not all subscribe again at the same time
        self._ids = [str(uuid.uuid4()) for _ in range(count)]
        self._filters = [f"booking/confirm/{booking_id}" for booking_id in self._ids]
        self.connection.send(packets + framing.subscribe(self._next_packet_id(), self._filters, qos=1))

    def _next_packet_id(self) -> int:
        self._packet_id = self._packet_id % 65535 + 1
        return self._packet_id

    def _received(self, data: bytes) -> None:
        now = time.perf_counter()
        for first, body in self._packets.feed(data):
            kind = first >> 4
            if kind == framing.PUBLISH:
                self._confirmed(now, *framing.published(first, body))
            elif kind == framing.PUBACK:
                self.waits_for.discard(int.from_bytes(body[:2]))
            elif kind == framing.CONNACK:
                if body[1] != 0:
                    self._loop.fail(f"{self._name} got CONNACK {body[1]}")
                self._subscribe()
            elif kind == framing.SUBACK:
                self._subscribed(now, body)

    def _subscribed(self, now: float, body: bytes) -> None:
        if 0x80 in body[2:]:
            self._loop.fail(f"{self._name}: a confirmation's subscription was refused")
        elif self.is_in:
            self._desk.is_free(self, now)
        self.is_in = True

    def _confirmed(self, now: float, topic: bytes, packet_id: int, payload: bytes) -> None:
        if packet_id:
            self.connection.send(framing.puback(packet_id))
        if not self._booking_id or topic.decode() != f"booking/confirm/{self._booking_id}":
            return  # told twice, at QoS 1
        confirmation = json.loads(payload)
        if confirmation["status"] != "confirmed":
            reason = confirmation.get("code") or confirmation.get("message")
            self._loop.fail(f"{self._name}: a booking was refused: {reason}")
            return
        self._booking_id = ""
        self._desk.confirmed(now - self._since, now, self._seat_ids)
        if self._ids:
            self._desk.is_free(self, now)
        elif self._account.again:
            self._subscribe()
        else:
            self._desk.closes()
