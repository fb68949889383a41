"""The rush: many watch one showing while kiosks book its seats, on the box and on mosquitto with a worker.

``python -m bench.rush`` starts both systems, drives the same rounds on them in turn, and prints medians and ratios.
A round ends after its seconds, or earlier when the showing is sold out. It ends with status 1 if any round failed:
a request never confirmed, or an update that a watcher never got.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bench import systems
from bench.load import READY_SECONDS, Order, Result
from bench.systems import StartFailed, System

MAX_SEATS = 5_000


def rush(
    watchers: Annotated[int, typer.Option(min=1, max=4000, help="Browsers that watch the showing.")] = 100,
    kiosks: Annotated[int, typer.Option(min=1, max=500, help="Kiosks that book in a closed loop.")] = 20,
    seats_per_booking: Annotated[int, typer.Option(min=1, max=10)] = 2,
    rounds: Annotated[int, typer.Option(min=1, max=20, help="Rounds per system; medians are shown.")] = 3,
    seconds: Annotated[float, typer.Option(min=0.5, max=60, help="At most so long per round.")] = 4.0,
    seats: Annotated[int, typer.Option(min=10, max=MAX_SEATS, help="Seats of the showing.")] = MAX_SEATS,
    tcp: Annotated[bool, typer.Option("--tcp", help="Clients over TCP; else over WebSocket.")] = False,
    only: Annotated[str, typer.Option(help="Only this system: box or mosquitto.")] = "",
) -> None:
    """Measure bookings per second and how long a confirmation takes, on the box and on mosquitto with a worker."""
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="rush-") as name, ExitStack() as stack:
        folder = Path(name)
        console.print(f"{_machine(folder)}\n", markup=False, soft_wrap=True)
        running: list[System] = []
        if only in ("", "box"):
            place = folder / "box"
            place.mkdir()
            running.append(stack.enter_context(systems.box(place, rounds=rounds, seats=seats, websocket=not tcp)))
        if only in ("", "mosquitto"):
            if systems.mosquitto_program() is None:
                console.print(
                    "mosquitto is not installed (Debian: mosquitto, mosquitto-clients); the box runs alone.",
                    soft_wrap=True,
                )
            else:
                place = folder / "mosquitto"
                place.mkdir()
                running.append(stack.enter_context(systems.mosquitto(place, rounds=rounds, websocket=not tcp)))
        results: dict[str, list[Result]] = {system.name: [] for system in running}
        for number in range(rounds):
            for system in running:
                showing_id = system.showing_ids[number]
                order = Order(
                    host=system.host,
                    port=system.port,
                    websocket=not tcp,
                    showing_id=showing_id,
                    seats=seats,
                    seat_ids=system.seat_ids(showing_id, seats),
                    watchers=watchers,
                    kiosks=kiosks,
                    seats_per_booking=seats_per_booking,
                    seconds=seconds,
                    username=systems.KIOSK,
                    password=systems.KIOSK_PASSWORD,
                )
                result = _drive(order)
                results[system.name].append(result)
                console.print(f"round {number + 1}, {system.name}: {_sentence(result)}", markup=False, soft_wrap=True)
    title = (
        f"{watchers} watchers, {kiosks} kiosks, {seats_per_booking} seats a booking, "
        f"over {'TCP' if tcp else 'WebSocket'}; medians of {rounds}"
    )
    console.print()
    console.print(_table(title, results))
    if any(result.failure for outcomes in results.values() for result in outcomes):
        raise typer.Exit(1)


def _drive(order: Order) -> Result:
    """One round, by the load generator in a process of its own."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "bench.load"],
            cwd=systems.ROOT,
            input=json.dumps(asdict(order)),
            capture_output=True,
            text=True,
            timeout=2 * READY_SECONDS + order.seconds + 60,
            check=True,
        )
    except subprocess.TimeoutExpired:
        return Result(0, 0.0, 0.0, 0.0, 0, 0, failure="the load generator did not end")
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        return Result(0, 0.0, 0.0, 0.0, 0, 0, failure=f"the load generator failed: {last[0]}")
    return Result(**json.loads(done.stdout))


def _sentence(result: Result) -> str:
    if result.failure:
        return f"failed: {result.failure}"
    anew = f", {result.presents_anew} watchers given the present anew" if result.presents_anew else ""
    return (
        f"{result.bookings:,} bookings in {result.seconds:.2f} s, {result.per_second:,.0f} a second; "
        f"confirmed after {result.p50:.1f} ms (p99 {result.p99:.1f} ms); {result.deliveries:,} updates delivered{anew}"
    )


def _table(title: str, results: dict[str, list[Result]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("")
    for name in results:
        table.add_column(name, justify="right")
    both = len(results) == 2
    if both:
        table.add_column("ratio", justify="right")
    good = {name: [result for result in outcomes if not result.failure] for name, outcomes in results.items()}
    measures = (
        ("bookings per second", "{:,.0f}", [[r.per_second for r in some] for some in good.values()]),
        ("confirmation p50, ms", "{:,.1f}", [[r.p50 for r in some] for some in good.values()]),
        ("confirmation p99, ms", "{:,.1f}", [[r.p99 for r in some] for some in good.values()]),
    )
    for label, form, columns in measures:
        medians = [statistics.median(values) if values else None for values in columns]
        cells = ["–" if median is None else form.format(median) for median in medians]
        if both:
            first, second = medians
            cells.append("–" if not first or not second else f"{first / second:.2f}")
        table.add_row(label, *cells)
    failed = [sum(bool(result.failure) for result in outcomes) for outcomes in results.values()]
    table.add_row("rounds failed", *map(str, failed))
    return table


def _machine(folder: Path) -> str:
    """Where this ran, for numbers mean little without it."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line for line in cpuinfo.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        processor = names[0].partition(":")[2].strip() if names else processor
    return (
        f"{processor}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, mosquitto {systems.mosquitto_version()}; "
        f"one fsync takes {_fsync_milliseconds(folder):.2f} ms"
    )


def _fsync_milliseconds(folder: Path) -> float:
    times: list[float] = []
    with (folder / "fsync").open("wb") as file:
        for _ in range(50):
            file.write(b"x" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def main() -> None:
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(rush)
    try:
        app()
    except StartFailed as error:
        print(error, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
