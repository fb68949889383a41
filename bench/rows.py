"""What is measured, and what is wanted of it: one list for the table, the JSON and the documentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bench.stage import Order
from bench.systems import System

BOX, MOSQUITTO, STOCK = "box", "mosquitto", "stock"


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything. The defaults are the benchmark; the tests take less."""

    watchers: int = 500
    kiosks: int = 50
    seats: int = 5_000
    rush_seconds: float = 3.0
    calm_rate: float = 10.0
    calm_seconds: float = 12.0
    elsewhere: int = 2_000
    elsewhere_kiosks: int = 20
    elsewhere_bookings: int = 2_000
    elsewhere_slices: int = 20
    other_seats: int = 200
    returning: int = 1_000
    returning_kiosks: int = 10
    returning_seconds: float = 12.0
    waves: int = 3
    idle: int = 1_000


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: the median of a measure."""

    label: str
    measure: str
    form: str
    unit: str = ""
    against: str = MOSQUITTO
    """The system whose measure the ratio divides the box's by; empty where the row has no ratio."""
    at_least: float | None = None
    at_most: float | None = None
    """What is wanted of the ratio, or of the box's own measure where that ``is_absolute``."""
    absolute: bool = False
    """Whether the ratio is shown for information, and the target is of the box's own measure."""

    @property
    def is_absolute(self) -> bool:
        return self.absolute or not self.against

    @property
    def target(self) -> str:
        unit = f" {self.unit}" if self.is_absolute else " ×"
        if self.at_least is not None:
            return f"≥ {self.at_least:g}{unit}".rstrip()
        return f"≤ {self.at_most:g}{unit}".rstrip() if self.at_most is not None else ""

    def is_met(self, value: float) -> bool:
        """``value`` is the ratio, or the box's measure where the target ``is_absolute``."""
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)


@dataclass(frozen=True, slots=True)
class Load:
    """One kind of load, and the rows that it gives."""

    name: str
    title: str
    rows: Sequence[Row]
    seats: Callable[[Scale], Sequence[int]]
    """Of each showing that one round needs."""
    order: Callable[[System, Scale, int, int], Order]
    """The round's order; the last arguments are the number of its first showing, and its own."""
    visitors: Callable[[Scale], int] = lambda scale: 0
    rounds: Mapping[str, int] = field(default_factory=dict)
    """At most so many of a system that takes long."""
    anew: bool = False
    """Whether each round needs a system just started."""
    notes: Sequence[str] = ()


def _order(kind: str, system: System, first: int, **how: object) -> Order:
    showing = system.showings[first]
    return Order(
        kind=kind,
        door=system.door,
        pids=system.pids,
        has_present=system.has_present,
        account=system.account,
        showing_id=showing.showing_id,
        seat_ids=system.seat_ids(showing),
        seats=showing.seats,
        **how,  # type: ignore[arg-type]  # the fields of Order
    )


def rush_order(system: System, scale: Scale, first: int, number: int) -> Order:
    return _order("book", system, first, watchers=scale.watchers, kiosks=scale.kiosks, seconds=scale.rush_seconds)


def unwatched_order(system: System, scale: Scale, first: int, number: int) -> Order:
    return _order("book", system, first, kiosks=scale.kiosks, seconds=scale.rush_seconds)


def calm_order(system: System, scale: Scale, first: int, number: int) -> Order:
    return _order(
        "book",
        system,
        first,
        watchers=scale.watchers,
        kiosks=scale.kiosks,
        seconds=scale.calm_seconds,
        rate=scale.calm_rate,
    )


def elsewhere_order(system: System, scale: Scale, first: int, number: int) -> Order:
    bookings, slices = scale.elsewhere_bookings, scale.elsewhere_slices
    if not system.account.again:
        slices = 2
        bookings = min(bookings, scale.elsewhere_kiosks * system.account.confirmations_ahead // 2)
    return _order(
        "elsewhere",
        system,
        first,
        watchers=1,
        kiosks=scale.elsewhere_kiosks,
        seats_per_booking=1,
        seconds=30.0,
        bookings=bookings,
        slices=slices,
        crowd=scale.elsewhere,
        crowd_first=number % 2 == 1,
        other_showing_id=system.showings[first + 1].showing_id,
        other_seats=0 if not system.has_present else system.showings[first + 1].seats,
    )


def returning_order(system: System, scale: Scale, first: int, number: int) -> Order:
    books = system.key != STOCK
    return _order(
        "return",
        system,
        first,
        kiosks=scale.returning_kiosks if books else 0,
        seats_per_booking=1,
        seconds=scale.returning_seconds,
        rate=scale.calm_rate if books else 0.0,
        crowd=scale.returning,
        waves=scale.waves,
        visitors=[list(visitor) for visitor in system.visitors],
    )


def idle_order(system: System, scale: Scale, first: int, number: int) -> Order:
    return _order("idle", system, first, crowd=scale.idle)


UPDATE_ROWS = (
    Row("update at the first watcher p50", "update_p50", "{:,.1f}", "ms"),
    Row("update at the first watcher p99", "update_p99", "{:,.1f}", "ms"),
)
RUSH_ENDS = "it ends after 3 s, or when the 2,500 bookings of its room are sold, whichever is first."
STOCK_STOPS = (
    "stock amqtt takes at most 4 bookings of each kiosk, 200 in all: its kiosks subscribe once, for subscribing "
    "while it publishes breaks it."
)
FEW = "at least 120 bookings a round: p99 is the second slowest; the median over the rounds is shown."
UPDATES = (
    "an update's time is from when the booking was requested (at fixed times: was due) until the first watcher that "
    "came has the seat as booked. The box gathers changes for up to 20 ms; the others send each at once."
)

LOADS: Sequence[Load] = (
    Load(
        "rush",
        "Rush: 500 watchers, 50 kiosks, closed loop",
        (
            Row("bookings per second", "bookings_per_second", "{:,.0f}", at_least=15),
            Row("confirmation p50", "p50", "{:,.1f}", "ms"),
            Row("confirmation p99", "p99", "{:,.1f}", "ms", at_most=0.1),
            *UPDATE_ROWS,
            Row("server CPU per delivered seat update", "cpu_per_delivery", "{:,.2f}", "µs", at_most=0.1),
        ),
        seats=lambda scale: [scale.seats],
        order=rush_order,
        rounds={STOCK: 1},
        notes=(RUSH_ENDS, STOCK_STOPS, UPDATES),
    ),
    Load(
        "unwatched",
        "Rush, nobody watches: 50 kiosks, closed loop",
        (
            Row("bookings per second", "bookings_per_second", "{:,.0f}", at_least=2),
            Row("confirmation p50", "p50", "{:,.1f}", "ms"),
            Row("confirmation p99", "p99", "{:,.1f}", "ms"),
        ),
        seats=lambda scale: [scale.seats],
        order=unwatched_order,
        notes=(RUSH_ENDS, STOCK_STOPS),
    ),
    Load(
        "calm",
        "Calm evening: 500 watchers, 10 bookings a second at fixed times",
        (
            Row("confirmation p50", "p50", "{:,.1f}", "ms", at_most=1),
            Row("confirmation p99", "p99", "{:,.1f}", "ms", at_most=1),
            *UPDATE_ROWS,
        ),
        seats=lambda scale: [scale.seats],
        order=calm_order,
        rounds={STOCK: 1},
        notes=(FEW, UPDATES),
    ),
    Load(
        "elsewhere",
        "A booking's server CPU while others watch another showing",
        (
            Row("nobody elsewhere", "cpu_alone", "{:,.0f}", "µs"),
            Row("2,000 connections elsewhere", "cpu_crowded", "{:,.0f}", "µs"),
            Row("the second to the first", "cpu_ratio", "{:.2f}", "×", against="", at_most=1.1),
        ),
        seats=lambda scale: [scale.seats, scale.other_seats],
        order=elsewhere_order,
        rounds={STOCK: 1},
        notes=(
            "20 kiosks in a closed loop, one seat each, and one watcher; in turns without the others and with them. "
            "For the box and mosquitto each is the median of 20 slices of 100 bookings, for stock amqtt of 2 slices of "
            "20: its kiosks subscribe once, for subscribing while it publishes breaks it.",
        ),
    ),
    Load(
        "returning",
        "1,000 browsers return, while 10 bookings a second go on",
        (
            Row(
                "joins per second (the box's each with the present of 200 seats)",
                "joins_per_second",
                "{:,.0f}",
                against=STOCK,
                at_least=2.5,
            ),
            Row("confirmation p99 of those already in", "p99", "{:,.1f}", "ms", at_most=250, absolute=True),
        ),
        seats=lambda scale: [scale.other_seats],
        order=returning_order,
        notes=(
            "the box's visitors sign in by token; the other systems have no present to give: there a visitor is "
            "nobody, and has joined with the SUBACK.",
            FEW,
            "stock amqtt takes no bookings meanwhile: its broadcast fails when somebody subscribes during it.",
        ),
        visitors=lambda scale: scale.returning,
        rounds={STOCK: 1},
    ),
    Load(
        "idle",
        "1,000 connections that watch and are idle",
        (Row("memory per connection", "memory", "{:,.1f}", "KiB", against="", at_most=40),),
        seats=lambda scale: [scale.other_seats],
        order=idle_order,
        anew=True,
        rounds={STOCK: 1},
    ),
)

SWEEP = {BOX: (0, 50, 100, 200, 500, 1_000), MOSQUITTO: (0, 50, 100, 200, 500, 1_000), STOCK: (0, 50, 200, 500)}
"""How many watch in the rushes that are plotted."""
SWEEP_SECONDS = 2.0


def sweep_load(watchers: int) -> Load:
    """The rush with so many watchers, for the plot alone."""

    def order(system: System, scale: Scale, first: int, number: int) -> Order:
        how = replace(scale, watchers=watchers, rush_seconds=SWEEP_SECONDS)
        return (rush_order if watchers else unwatched_order)(system, how, first, number)

    return Load(
        f"{watchers} watchers",
        f"Rush, {watchers} watchers",
        (),
        seats=lambda scale: [scale.seats],
        order=order,
        rounds={STOCK: 1},
    )
