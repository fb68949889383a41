"""``make soak``: a busy evening against a box in a process of its own, and whether it left anything behind."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import aiohttp
import typer
from rich.console import Console
from rich.table import Table

from bench.usage import cpu_seconds
from endurance import sampling
from endurance.evening import (
    ATTACKS,
    Caller,
    Evening,
    Seller,
    browse,
    hostile,
    quantile,
    visit,
    watch_all_evening,
)
from endurance.flatness import Series, Verdict, judge, smallest_leak
from endurance.premises import CALLERS, CUSTOMERS, KIOSKS, Premises
from endurance.sampling import MIB, Rows, Sample
from endurance.storm import GONE

SCREENS, BROWSERS, VISITORS = 40, 120, 1
CANCELS = 90
"""Of each customer; of the hundred that they may cancel in a day."""
ENTER_SECONDS = 10.0
"""Within which the screens come."""
SAMPLES = 480
"""About so many, but at most one a second."""
LONGEST_DELAY = 250.0
"""Milliseconds from a booking's confirmation to its seats' update, of 999 in 1000."""
LEAVE_SECONDS = 60.0
BYTES_PER_BOOKING = 3 * 1024
"""The file's growth per booking: its rows, their indexes, its share of what else is stored (audit, accounts)."""
LONGEST_LOG = 32 * MIB

BLOCKS = 10_000
"""By so many the blocks of memory that are in use may grow by chance: of half a million."""
MEMORY_NOISE = 8 * MIB
"""What the allocators come to keep for later, in pieces, within an evening; blocks are what is alive."""


@dataclass
class Soak:
    """What an evening gave."""

    minutes: float
    samples: list[Sample] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    delay: float = 0.0
    longest_delay: float = 0.0
    delays: int = 0
    own_lateness: float = 0.0
    """In milliseconds, of 999 in 1000 looks: this process's own, which is in the delays, too."""
    shares: tuple[float, float] = (0.0, 0.0)
    """Of one core: what the box used, and this process."""
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        """Why it did not go well, each a sentence; empty where it did."""
        found = list(self.faults)
        for verdict in self.verdicts:
            series = verdict.series
            if not verdict.is_flat:
                found.append(
                    f"{series.name} is not flat: {verdict.growth:+,.2f} {series.unit} after warm-up, "
                    f"{series.allowance:,.2f} are allowed (at most {verdict.highest:,.2f} of {series.most:,.2f})"
                )
        if self.delay > LONGEST_DELAY:
            found.append(
                f"an update came {self.delay:.0f} ms (p99.9) after its confirmation; "
                f"who measured this was itself {self.own_lateness:.0f} ms late"
            )
        return found


def series_of(samples: Sequence[Sample]) -> list[Series]:
    """What must be flat, and by how much each may grow within the time after warm-up."""
    times = [one.at for one in samples]

    def one_of(name: str, unit: str, of: Callable[[Sample], float], allowance: float, most: float = 1e12) -> Series:
        return Series(name, unit, times, [of(sample) for sample in samples], allowance, most)

    return [
        one_of("blocks in use", "thousand", lambda one: one.blocks / 1000, BLOCKS / 1000),
        one_of("memory", "MiB", lambda one: one.memory / MIB, MEMORY_NOISE / MIB),
        # People come and go by chance; what stays of each thousand connections would be more than this.
        one_of("tasks beyond connections", "", lambda one: one.tasks - 2 * one.connections, 15),
        one_of("connections", "", lambda one: one.connections, 15),
        one_of("subscriptions", "", lambda one: one.subscriptions, 30),
        one_of("file descriptors", "", lambda one: one.descriptors, 15),
        one_of("threads", "", lambda one: one.threads, 2),
        one_of("write-ahead log", "MiB", lambda one: one.log / MIB, 4, LONGEST_LOG / MIB),
    ]


async def evening(premises: Premises, minutes: float, seed: int, tell: Callable[[str], None]) -> Soak:
    """Let everybody come, sample the box, and see everybody off. Loads go to loopback, and end after ``minutes``."""
    tonight = Evening(premises.place, random.Random(seed))
    soak, began = Soak(minutes), time.monotonic()
    before = sampling.rows(premises.path)
    headers = {"Authorization": f"Bearer {premises.accounts['manager'].token}"}
    async with aiohttp.ClientSession(premises.place.url, headers=headers) as session:
        pid = premises.box.process.pid
        empty, opened = await sampling.sample(pid, premises.path, 0.0, session), sampling.descriptors(pid)
        used, own = cpu_seconds([pid]), time.process_time()
        tasks = [asyncio.create_task(work) for work in _everybody(premises, tonight, min(ENTER_SECONDS, minutes * 6))]
        pause = max(1.0, minutes * 60 / SAMPLES) if minutes >= 1 else 0.25
        while (now := time.monotonic() - began) < minutes * 60:
            soak.samples.append(await sampling.sample(pid, premises.path, now, session))
            if int(now / 60) > int((now - pause) / 60):
                tell(_progress(soak.samples[-1], tonight))
            await asyncio.sleep(pause)
        lasted = time.monotonic() - began
        soak.shares = (cpu_seconds([pid]) - used) / lasted, (time.process_time() - own) / lasted
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        soak.faults = tonight.faults + tonight.delays.late[:5]
        soak.faults += await _left_behind(premises, empty, opened, session)
    soak.counts = dict(tonight.counts)
    soak.delay, soak.longest_delay = tonight.delays.quantile(0.999), max(tonight.delays.counts, default=0)
    soak.own_lateness = quantile(tonight.own_lateness, 0.999)
    soak.delays = tonight.delays.counts.total()
    soak.faults += _not_in_the_books(before, sampling.rows(premises.path), soak)
    return soak


def _everybody(premises: Premises, tonight: Evening, enter_seconds: float) -> list[Awaitable[None]]:
    """All that happens tonight; each ends when it is cancelled."""

    async def good(work: Awaitable[None], who: str) -> None:
        try:
            await work
        except (*GONE, TimeoutError) as error:
            tonight.fault(f"{who}: {type(error).__name__}: {error}")

    async def again(work: Callable[[], Awaitable[None]], who: str) -> None:
        while True:
            await good(work(), who)
            await asyncio.sleep(1)

    def sellers() -> list[Seller]:
        accounts = premises.accounts
        some = [
            Seller(tonight, accounts[f"kiosk-{number + 1}"], door="tcp" if number % 2 else "web", keep=10, every=0.9)
            for number in range(KIOSKS)
        ]
        return some + [
            Seller(tonight, accounts[f"customer-{number + 1}"], door="web", keep=3, every=4.0, cancels=CANCELS)
            for number in range(CUSTOMERS)
        ]

    async def after_the_screens(work: Callable[[], Awaitable[None]]) -> None:
        await tonight.all_watch.wait()  # so that it is known who must see a booking
        await work()

    callers = [
        Caller(tonight, premises.accounts[f"customer-{CUSTOMERS + number + 1}"], keep=3, every=3.0, cancels=CANCELS)
        for number in range(CALLERS)
    ]
    work = [premises.programme(tonight.showings), premises.office(tonight.counts), tonight.ping()]
    work += [tonight.notice_own_lateness()]
    work += [watch_all_evening(tonight, one, SCREENS, enter_seconds) for one in range(SCREENS)]
    work += [again(lambda one=one: browse(tonight, one), "a browser") for one in range(BROWSERS)]
    work += [again(lambda one=seller: after_the_screens(one.work), seller.account.username) for seller in sellers()]
    work += [again(lambda one=caller: after_the_screens(one.work), caller.account.username) for caller in callers]
    work += [again(lambda: visit(tonight), "a visitor") for _ in range(VISITORS)]
    work += [hostile(tonight, attack, every) for attack, every in ATTACKS]
    return [good(one, "the house") for one in work]


async def _left_behind(
    premises: Premises, empty: Sample, opened: Counter[str], session: aiohttp.ClientSession
) -> list[str]:
    """When all have gone: no connection, subscription, task or descriptor more than before they came.

    Of its own file SQLite keeps a descriptor that it cannot close without giving up its locks, and uses it again.
    """
    until, left = time.monotonic() + LEAVE_SECONDS, []
    while time.monotonic() < until:
        now = await sampling.sample(premises.box.process.pid, premises.path, 0.0, session)
        more = sampling.descriptors(premises.box.process.pid) - opened
        left = [
            f"{getattr(now, name) - getattr(empty, name)} {name} are left behind"
            for name in ("connections", "subscriptions", "tasks")
            if getattr(now, name) > getattr(empty, name)
        ]
        left += [f"{number} of {what} are left open" for what, number in more.items() if what != str(premises.path)]
        if not left:
            return []
        await asyncio.sleep(0.5)
    return left


def _not_in_the_books(before: Rows, after: Rows, soak: Soak) -> list[str]:
    """The file has what was sold, and grew by no more than that."""
    sold = after.bookings - before.bookings
    # Whoever was interrupted at the end has perhaps booked and was not told.
    interrupted = KIOSKS + CUSTOMERS + CALLERS
    faults = []
    if not soak.counts.get("bookings", 0) <= sold <= soak.counts.get("bookings", 0) + interrupted:
        faults.append(f"{soak.counts.get('bookings', 0)} bookings were confirmed, {sold} are in the file")
    if after.seats - before.seats != 2 * sold:
        faults.append(f"{sold} bookings of two seats have {after.seats - before.seats} seats")
    growth = soak.samples[-1].database + soak.samples[-1].log - soak.samples[0].database - soak.samples[0].log
    if sold > 100 and growth > sold * BYTES_PER_BOOKING + LONGEST_LOG:
        faults.append(f"the file grew by {growth / sold:,.0f} bytes for each booking")
    return faults


def _progress(last: Sample, tonight: Evening) -> str:
    counts = tonight.counts
    return (
        f"{last.at / 60:.0f} min: {counts['bookings']:,} bookings, {counts['connections']:,} connections came, "
        f"{last.connections} are there; {last.memory / MIB:.1f} MiB, {last.tasks} tasks, "
        f"{last.descriptors} descriptors; p99.9 {tonight.delays.quantile(0.999):.0f} ms; {counts['faults']} faults"
    )


def table(soak: Soak) -> Table:
    """What is flat, and how it is known."""
    shown = Table(title=f"A busy evening of {soak.minutes:g} minutes, after the first fifth")
    for column in ("", "at first", "at most", "growth", "allowed", "per hour", ""):
        shown.add_column(column, justify="left" if not column else "right")
    for verdict in soak.verdicts:
        series = verdict.series
        shown.add_row(
            f"{series.name} {series.unit}".strip(),
            f"{verdict.start:,.1f}",
            f"{verdict.highest:,.1f}",
            f"{verdict.growth:+,.2f}",
            f"{series.allowance:,.2f}",
            f"{verdict.per_hour:+,.1f}",
            "flat" if verdict.is_flat else "NOT FLAT",
        )
    return shown


def sentences(soak: Soak) -> list[str]:
    """What happened, in words."""
    counts = soak.counts
    rest = 0.8
    each = [
        f"{smallest_leak(BLOCKS, rest * counts.get(name, 0)):,.1f} blocks (or "
        f"{smallest_leak(MEMORY_NOISE, rest * counts.get(name, 0)):,.0f} bytes beside them) per {thing}"
        for name, thing in (("connections", "connection"), ("bookings", "booking"))
    ]
    happened = ", ".join(f"{name} {number:,}" for name, number in sorted(counts.items()))
    return [
        f"What happened: {happened}.",
        f"From a confirmation to its seats' update: p99.9 {soak.delay:.0f} ms, at most {soak.longest_delay:.0f} ms, "
        f"of {soak.delays:,}; who measured this was itself {soak.own_lateness:.0f} ms late (p99.9).",
        f"The box used {soak.shares[0]:.0%} of a core, those who came {soak.shares[1]:.0%}.",
        f"A leak of {' or '.join(each)} would have been found.",
    ]


def main(
    minutes: Annotated[float, typer.Option(min=0.05, max=600, help="How long the evening is.")] = 20,
    seed: Annotated[int, typer.Option(help="What chance begins with.")] = 1,
    plot: Annotated[Path, typer.Option(help="Where the plot goes, as SVG.")] = Path("build/soak.svg"),
) -> None:
    """A busy evening with reconnecting, slow and hostile clients among good ones; is everything flat?"""
    console = Console(highlight=False, soft_wrap=True)

    def tell(text: str) -> None:
        console.print(text, markup=False)

    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        soak, said = asyncio.run(_soak(Path(folder), minutes, seed, tell))
    soak.verdicts = [judge(series) for series in series_of(soak.samples)]
    console.print(table(soak))
    for sentence in sentences(soak):
        tell(sentence)
    from endurance.soak_plot import svg  # only here is matplotlib needed

    plot.parent.mkdir(parents=True, exist_ok=True)
    plot.write_text(svg(soak), encoding="utf-8")
    plot.with_suffix(".json").write_text(json.dumps([asdict(one) for one in soak.samples]), encoding="utf-8")
    plot.with_suffix(".log").write_text(said, encoding="utf-8")
    tell(f"The plot: {plot}; beside it, the samples (.json) and what the box said (.log).")
    if failures := soak.failures:
        for failure in failures:
            print(failure, file=sys.stderr)
        sys.exit(1)
    tell("Everything is flat, nobody lost anything.")


async def _soak(folder: Path, minutes: float, seed: int, tell: Callable[[str], None]) -> tuple[Soak, str]:
    premises = await Premises.open(folder)
    try:
        return await evening(premises, minutes, seed, tell), premises.box.said
    finally:
        await premises.close()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        typer.run(main)
