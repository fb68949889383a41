"""Runs the loads: on each system in turn, round by round, each round by a load generator of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

from bench import systems
from bench.rows import Load, Scale
from bench.stage import Order, Result
from bench.systems import System

ROUND_SECONDS = 180.0

Tell = Callable[[str, Result], None]
"""Told of each round: which system, and what it gave."""


def measure(
    load: Load, keys: Sequence[str], *, rounds: int, scale: Scale, websocket: bool, tell: Tell
) -> dict[str, list[Result]]:
    """The results of each system's rounds. The systems take turns. Raises StartFailed."""
    results: dict[str, list[Result]] = {key: [] for key in keys}
    if load.anew:
        for number in range(rounds):
            with _started(load, keys, 1, scale, websocket) as running:
                _round(load, running, results, number, 0, scale, tell)
        return results
    with _started(load, keys, rounds, scale, websocket) as running:
        for number in range(rounds):
            _round(load, running, results, number, number, scale, tell)
    return results


def _round(
    load: Load,
    running: Sequence[System],
    results: dict[str, list[Result]],
    number: int,
    share: int,
    scale: Scale,
    tell: Tell,
) -> None:
    """``share`` says whose showings these are among the system's."""
    first = share * len(load.seats(scale))
    for system in running:
        if number < load.rounds.get(system.key, number + 1):
            result = drive(load.order(system, scale, first))
            results[system.key].append(result)
            tell(system.key, result)


@contextmanager
def _started(load: Load, keys: Sequence[str], rounds: int, scale: Scale, websocket: bool) -> Iterator[list[System]]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
        seats = [*load.seats(scale)] * rounds
        yield [
            stack.enter_context(
                systems.start(key, Path(name), seats=seats, websocket=websocket, visitors=load.visitors(scale))
            )
            for key in keys
        ]


def drive(order: Order) -> Result:
    """One round, by the load generator in a process of its own."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "bench.load"],
            cwd=systems.ROOT,
            input=json.dumps(asdict(order)),
            capture_output=True,
            text=True,
            timeout=ROUND_SECONDS,
            check=True,
        )
    except subprocess.TimeoutExpired:
        return Result(failure="the load generator did not end")
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        return Result(failure=f"the load generator failed: {last[0]}")
    return Result(**json.loads(done.stdout))
