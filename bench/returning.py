"""A thousand browsers that lost their connection come back at once, while those already in go on booking."""

from __future__ import annotations

import statistics
import time
import uuid
from collections import deque
from collections.abc import Callable
from functools import partial

from bench import framing
from bench.sockets import HANDFUL, KEEP_ALIVE, Connection, Loop, RoundFailed, all_leave
from bench.stage import (
    DELIVERY_SECONDS,
    LOST,
    MAX_SECONDS,
    READY_SECONDS,
    Meter,
    Order,
    Stage,
    all_booked,
    free_seats,
    sold,
)
from bench.watching import SeatPlan

AT_ONCE = 64
"""So many are between their TCP connection and their WebSocket at a time: fewer than the backlog of any system."""
LAST_SECONDS = 0.5
"""So long bookings go on when all are in: each then gets at least one update."""


class Visitor:
    """Signs in and subscribes at once; has returned when every seat has come. What came is judged later."""

    def __init__(self, loop: Loop, order: Order, number: int, opened: Callable[[], None]) -> None:
        self._order = order
        self._number = number
        self._is_open = opened
        self._packets = framing.PacketReader()
        self._seats = 0
        self._subscribed = False
        self.stream = bytearray()
        self.returned = 0.0
        """When, by ``time.perf_counter``; 0 until then."""
        name = f"visitor {number + 1}"
        self.connection = Connection(loop, order.door, name, opened=self._enter, received=self._received)

    def _enter(self) -> None:
        order = self._order
        username, token = order.visitors[self._number] if order.visitors else ("", "")
        self.connection.send(
            framing.connect(f"visitor-{uuid.uuid4()}", username=username, password=token, keep_alive=KEEP_ALIVE)
            + framing.subscribe(1, [f"seats/status/{order.showing_id}"], qos=0)
        )
        self._is_open()

    def _received(self, data: bytes) -> None:
        self.stream += data
        if self.returned:
            return
        for first, _ in self._packets.feed(data):
            self._subscribed |= first >> 4 == framing.SUBACK
            self._seats += first >> 4 == framing.PUBLISH and first & 0x01
        if self._subscribed and self._seats >= (self._order.seats if self._order.has_present else 0):
            self.returned = time.perf_counter()


class Wave:
    """All return, each as soon as the system has taken the ones before."""

    def __init__(self, loop: Loop, order: Order) -> None:
        self._loop = loop
        self._order = order
        self._coming = deque(range(order.crowd))
        self.visitors: list[Visitor] = []
        self.began = time.perf_counter()
        for _ in range(min(AT_ONCE, order.crowd)):
            self._next()

    def _next(self) -> None:
        if self._coming:
            self.visitors.append(Visitor(self._loop, self._order, self._coming.popleft(), self._next))

    def is_in(self) -> bool:
        return len(self.visitors) == self._order.crowd and all(visitor.returned for visitor in self.visitors)

    def per_second(self) -> float:
        return len(self.visitors) / (max(visitor.returned for visitor in self.visitors) - self.began)

    def streams(self) -> set[bytes]:
        """What the visitors were sent: few differ, for many came between the same two bookings."""
        streams = set()
        for number, visitor in enumerate(self.visitors, start=1):
            streams.add(bytes(visitor.stream))
            if number % HANDFUL == 0:
                self._loop.breathe()
        return streams

    def leave(self) -> None:
        all_leave(self._loop, [visitor.connection for visitor in self.visitors])


def come_back(stage: Stage) -> dict[str, float]:
    """The crowd returns some times; meanwhile bookings go on at a fixed rate, where there is one."""
    order, loop = stage.order, stage.loop
    desk = stage.desk()
    if order.rate:
        desk.free_seats = free_seats(stage.plan(stage.audience()))
    stage.calm_down()
    began = time.perf_counter()
    if order.rate:
        desk.begin(seconds=MAX_SECONDS, rate=order.rate)
    joins: list[float] = []
    streams: set[bytes] = set()
    meter = Meter(order.pids)
    while True:
        wave = Wave(loop, order)
        loop.run(partial(Wave.is_in, wave), READY_SECONDS, "not everybody returned and saw every seat")
        joins.append(wave.per_second())
        if len(joins) >= order.waves and time.perf_counter() - began >= order.seconds:
            break
        wave.leave()
        streams |= wave.streams()
    shares = meter.shares()
    if order.rate:
        loop.run_for(LAST_SECONDS)
        desk.stop()
        loop.run(lambda: desk.is_done, DELIVERY_SECONDS, "a request was never confirmed")
    judge = Judge(order, desk.sales.seat_ids)
    loop.run(lambda: all(judge.has_all(stream) for stream in wave.streams()), DELIVERY_SECONDS, LOST)
    for stream in streams:
        judge.plan(stream)
    if judge.fault:
        raise RoundFailed(judge.fault)
    wave.leave()
    desk.leave()
    return {
        "joins_per_second": statistics.median(joins),
        "waves": len(joins),
        **(sold(desk.sales) if order.rate else {}),
        **shares,
        "late": loop.late * 1000,
    }


class Judge:
    """Reads what the visitors were sent. Many were sent the same, and that is read once."""

    def __init__(self, order: Order, booked: list[str]) -> None:
        self._order = order
        self._all_booked = all_booked(booked)
        self._version = len(booked)
        self._plans: dict[bytes, SeatPlan] = {}
        self.fault = ""

    def plan(self, stream: bytes) -> SeatPlan:
        if (plan := self._plans.get(stream)) is None:
            plan = SeatPlan(self._order.showing_id, self._order.seat_ids)
            if not self._order.has_present:
                plan.version = None  # Only the first update tells where this visitor came in.
            plan.feed(stream)
            self._plans[stream] = plan
            few = "" if len(plan.status) >= self._order.seats else "a visitor was not shown every seat"
            self.fault = self.fault or plan.fault or few
        return plan

    def has_all(self, stream: bytes) -> bool:
        """Whether this visitor knows every booking; without a present, the last one."""
        plan = self.plan(stream)
        if self._order.has_present or plan.fault:
            return self._all_booked(plan)
        return not self._version or plan.version == self._version
