"""What all kinds of load are made of: the order for a round, what it gives, and who is on stage."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from bench import usage
from bench.kiosks import Account, Desk, Sales
from bench.sockets import Door, Loop, RoundFailed
from bench.watching import Audience, SeatPlan

READY_SECONDS = 60.0
DELIVERY_SECONDS = 30.0
QUIET_SECONDS = 10.0
QUIET_SHARE = 0.05
LOOK_SECONDS = 0.1
MAX_SECONDS = 60.0
MAX_CONNECTIONS = 5_000
LOST = "a watcher never got an update that was due"


@dataclass(frozen=True, slots=True)
class Order:
    """One round: what to do, to whom, how hard and how long."""

    kind: str
    """One of ``load.KINDS``."""
    door: Door
    pids: list[int]
    """The system's processes."""
    has_present: bool
    """Whether subscribing brings all seats."""
    account: Account
    showing_id: str
    seat_ids: list[str]
    """Empty where subscribing brings the present; else the seats, all of them available at version 0."""
    seats: int
    kiosks: int = 0
    seats_per_booking: int = 2
    seconds: float = 0.0
    rate: float = 0.0
    """Bookings a second at fixed times; 0 is a closed loop."""
    bookings: int = 1_000_000
    """At most so many."""
    slices: int = 1
    """In how many parts they are measured."""
    watchers: int = 0
    crowd: int = 0
    """How many others connect: to watch another showing, to return, or to be idle."""
    crowd_first: bool = False
    other_showing_id: str = ""
    other_seats: int = 0
    waves: int = 0
    """How often the crowd returns at least; it does so until the seconds are over."""
    visitors: list[list[str]] = field(default_factory=list)
    """Username and token of each of the crowd; without them it is nobody."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one round gave."""

    measures: dict[str, float] = field(default_factory=dict)
    """By name: latencies in milliseconds, from when the request was due until its confirmation was received; CPU in
    microseconds, memory in KiB, shares of one core."""
    failure: str = ""
    """Empty, or why the round does not count."""


class Stage:
    """What all kinds of load are made of."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.loop = Loop()

    def audience(self, showing_id: str | None = None) -> Audience:
        order = self.order
        return Audience(self.loop, order.door, showing_id or order.showing_id, order.seat_ids)

    def desk(self) -> Desk:
        """The kiosks, signed in and subscribed to their first confirmations."""
        order = self.order
        desk = Desk(
            self.loop,
            order.door,
            order.account,
            showing_id=order.showing_id,
            seats_per_booking=order.seats_per_booking,
            kiosks=order.kiosks,
        )
        self.loop.run(lambda: all(kiosk.is_in for kiosk in desk.kiosks), READY_SECONDS, "not every kiosk got in")
        return desk

    def plan(self, audience: Audience) -> SeatPlan:
        """The seats as they are now: as the watchers see them, else as a scout does, who leaves again."""
        if not audience.watchers:
            audience.enter(1, seats=self.order.seats)
            audience.leave()
        return audience.leader.plan

    def calm_down(self) -> None:
        """Wait until the system has nothing left to do, and keep the collector's pauses out of what is measured."""
        gc.collect()
        gc.freeze()
        gc.disable()
        until = time.perf_counter() + QUIET_SECONDS
        while time.perf_counter() < until:
            cpu, began = usage.cpu_seconds(self.order.pids), time.perf_counter()
            self.loop.run_for(LOOK_SECONDS)
            if usage.cpu_seconds(self.order.pids) - cpu < QUIET_SHARE * (time.perf_counter() - began):
                return


class Meter:
    """CPU from here on: the system's and our own."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._began = time.perf_counter()
        self._own = time.process_time()
        self._system = usage.cpu_seconds(pids)

    def system_microseconds(self) -> float:
        return (usage.cpu_seconds(self._pids) - self._system) * 1e6

    def shares(self) -> dict[str, float]:
        """Of one core."""
        seconds = time.perf_counter() - self._began
        return {
            "generator_share": (time.process_time() - self._own) / seconds,
            "system_share": self.system_microseconds() / 1e6 / seconds,
        }


def free_seats(plan: SeatPlan) -> list[str]:
    return [seat_id for seat_id, status in plan.status.items() if status == "available"]


def all_booked(seat_ids: Sequence[str]) -> Callable[[SeatPlan], bool]:
    return lambda plan: all(plan.status.get(seat_id) == "booked" for seat_id in seat_ids)


def sold(sales: Sales) -> dict[str, float]:
    latencies = sales.latencies
    if not latencies:
        raise RoundFailed("nothing was booked")
    return {
        "bookings": len(latencies),
        "bookings_per_second": len(latencies) / (sales.last - sales.began),
        **percentiles(latencies),
    }


def percentiles(milliseconds: Iterable[float], prefix: str = "") -> dict[str, float]:
    ordered = sorted(milliseconds)
    return {
        f"{prefix}p50": ordered[len(ordered) // 2],
        f"{prefix}p99": ordered[len(ordered) * 99 // 100],
    }
