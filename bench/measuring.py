"""Runs the loads: on each system in turn, round by round, each round by a load generator of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

from bench import machine, systems
from bench.rows import SWEEP, Load, Scale, sweep_load
from bench.stage import Order, Result
from bench.systems import System

ROUND_SECONDS = 180.0

Tell = Callable[[str, Result], None]
"""Told of each round: which system, and what it gave."""


def measure(
    load: Load, keys: Sequence[str], *, rounds: int, scale: Scale, websocket: bool, tell: Tell
) -> dict[str, list[Result]]:
    """The results of each system's rounds. The systems take turns, another first in each round. Raises StartFailed."""
    results: dict[str, list[Result]] = {key: [] for key in keys}
    servings = [1] * rounds if load.anew else [rounds]
    number = 0
    for serving in servings:
        with _started(load, keys, serving, scale, websocket) as running:
            for share in range(serving):
                some = [system for system in running if number < load.rounds.get(system.key, rounds)]
                first = share * len(load.seats(scale))
                for key, result in play(load, some, scale, first, number, tell).items():
                    results[key].append(result)
                number += 1
    return results


def play(load: Load, running: Sequence[System], scale: Scale, first: int, number: int, tell: Tell) -> dict[str, Result]:
    """The round of this ``number`` on each of these; ``first`` is the number of the first showing that it takes."""
    results: dict[str, Result] = {}
    turns = deque(running)
    turns.rotate(-number)
    for system in turns:
        work = machine.work_milliseconds()
        result = drive(load.order(system, scale, first, number))
        result.measures["work"] = work
        results[system.key] = result
        tell(system.key, result)
    return results


def sweep(
    keys: Sequence[str], *, rounds: int, scale: Scale, websocket: bool, tell: Callable[[str, str, Result], None]
) -> dict[str, dict[int, list[Result]]]:
    """The rush with more and more watchers: each system's rounds by their number."""
    results: dict[str, dict[int, list[Result]]] = {key: {} for key in keys}
    for watchers in sorted({watchers for key in keys for watchers in SWEEP[key]}):
        load = sweep_load(watchers)
        some = [key for key in keys if watchers in SWEEP[key]]
        measured = measure(load, some, rounds=rounds, scale=scale, websocket=websocket, tell=partial(tell, load.name))
        for key, outcomes in measured.items():
            results[key][watchers] = outcomes
    return results


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
