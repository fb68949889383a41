"""The load generator: one round of one kind of load on one system.

Runs as its own process (``python -m bench.load``): an :class:`Order` as JSON on standard input, a :class:`Result` as
JSON on standard output. Bounded in count and time, towards loopback alone, and it stops by itself.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from bench import usage
from bench.kiosks import Account, Desk
from bench.returning import come_back
from bench.sockets import Door, RoundFailed
from bench.stage import (
    DELIVERY_SECONDS,
    LOST,
    MAX_CONNECTIONS,
    MAX_SECONDS,
    Meter,
    Order,
    Result,
    Stage,
    all_booked,
    free_seats,
    percentiles,
    sold,
)
from bench.watching import Audience

WARM_UP = 50
"""So many connections there are before the memory of one is measured."""
STABLE_KIB = 64
STABLE_READINGS = 40
STABLE_SECONDS = 0.25


def book(stage: Stage) -> dict[str, float]:
    """Kiosks book while watchers look on: the rush, in a closed loop, or a calm evening, at fixed times."""
    order = stage.order
    audience, desk = stage.audience(), stage.desk()
    audience.enter(order.watchers, seats=order.seats)
    desk.free_seats = free_seats(stage.plan(audience))
    stage.calm_down()
    audience.settle()
    live = sum(plan.live for plan in audience.plans())
    meter = Meter(order.pids)
    desk.begin(seconds=order.seconds, rate=order.rate, bookings=order.bookings)
    stage.loop.run(lambda: desk.is_done, order.seconds + DELIVERY_SECONDS, "a request was never confirmed")
    shares = meter.shares()
    stage.loop.run(partial(audience.has_all, all_booked(desk.sales.seat_ids)), DELIVERY_SECONDS, LOST)
    cpu = meter.system_microseconds()
    plans = audience.plans()
    deliveries = sum(plan.live for plan in plans) - live
    measures = {
        **sold(desk.sales),
        **shares,
        "late": stage.loop.late * 1000,
        "deliveries": deliveries,
        "presents_anew": sum(plan.presents > 1 for plan in plans),
        "parsed": sum(watcher.eyes.plan is not None for watcher in audience.watchers),
        "cpu_per_booking": cpu / len(desk.sales.latencies),
    }
    if deliveries:
        measures["cpu_per_delivery"] = cpu / deliveries
        booked_at = audience.leader.plan.booked_at
        delays = [(booked_at[seat_id] - since) * 1000 for seat_id, since in desk.sales.requested.items()]
        measures |= percentiles(delays, "update_")
    audience.leave()
    desk.leave()
    return measures


def elsewhere(stage: Stage) -> dict[str, float]:
    """What a booking costs while a crowd watches another showing, beside what it costs while nobody does."""
    order = stage.order
    audience, desk = stage.audience(), stage.desk()
    audience.enter(order.watchers, seats=order.seats)
    desk.free_seats = free_seats(stage.plan(audience))
    measures: dict[str, float] = {}
    halves = {"alone": 0, "crowded": order.crowd}
    for name in sorted(halves, reverse=order.crowd_first):
        crowd = stage.audience(order.other_showing_id)
        crowd.enter(halves[name], seats=order.other_seats)
        stage.calm_down()
        # A machine that others share changes its speed now and then: of many short slices the median stays.
        slices = [_booking_cost(stage, desk, audience) for _ in range(order.slices)]
        measures[f"cpu_{name}"] = statistics.median(slices)
        crowd.leave()
    measures["cpu_ratio"] = measures["cpu_crowded"] / measures["cpu_alone"]
    audience.leave()
    desk.leave()
    return measures


def _booking_cost(stage: Stage, desk: Desk, audience: Audience) -> float:
    """The system's CPU per booking, in microseconds, over a slice of the bookings."""
    order = stage.order
    meter = Meter(order.pids)
    desk.begin(seconds=order.seconds, bookings=order.bookings // order.slices)
    stage.loop.run(lambda: desk.is_done, order.seconds + DELIVERY_SECONDS, "a request was never confirmed")
    stage.loop.run(partial(audience.has_all, all_booked(desk.sales.seat_ids)), DELIVERY_SECONDS, LOST)
    return meter.system_microseconds() / len(desk.sales.latencies)


def idle(stage: Stage) -> dict[str, float]:
    """What a connection that only watches takes of the system's memory, in KiB."""
    order = stage.order
    audience = stage.audience()
    audience.enter(WARM_UP, seats=order.seats)
    before = _stable_memory(stage)
    audience.enter(order.crowd, seats=order.seats)
    after = _stable_memory(stage)
    audience.leave()
    return {"memory": (after - before) / order.crowd}


def _stable_memory(stage: Stage) -> int:
    """In KiB, once two readings agree."""
    last = usage.memory_kib(stage.order.pids)
    for _ in range(STABLE_READINGS):
        stage.loop.run_for(STABLE_SECONDS)
        now = usage.memory_kib(stage.order.pids)
        if abs(now - last) <= STABLE_KIB:
            return now
        last = now
    raise RoundFailed("the system's memory did not come to rest")


KINDS: dict[str, Callable[[Stage], dict[str, float]]] = {
    "book": book,
    "elsewhere": elsewhere,
    "return": come_back,
    "idle": idle,
}


def drive(order: Order) -> Result:
    """Drive one round. Whatever goes wrong makes it a failed one."""
    if order.watchers + order.kiosks + order.crowd > MAX_CONNECTIONS or order.seconds > MAX_SECONDS:
        raise ValueError(f"at most {MAX_CONNECTIONS} connections and {MAX_SECONDS:.0f} seconds")
    try:
        return Result(KINDS[order.kind](Stage(order)))
    except RoundFailed as error:
        return Result(failure=str(error))
    finally:
        gc.enable()
        gc.unfreeze()


def read_order(text: str) -> Order:
    fields: dict[str, Any] = json.loads(text)
    return Order(**{**fields, "door": Door(**fields["door"]), "account": Account(**fields["account"])})


def main() -> None:
    json.dump(asdict(drive(read_order(sys.stdin.read()))), sys.stdout)


if __name__ == "__main__":
    main()
