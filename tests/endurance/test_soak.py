"""The soak in its shortest form, and its decision: a leak is found, noise is not."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest

from endurance.evening import Delays
from endurance.flatness import Series, judge, smallest_leak, theil_sen
from endurance.premises import Premises
from endurance.sampling import MIB, Sample
from endurance.soak import MEMORY_NOISE, Soak, evening, sentences, series_of, table
from endurance.soak_plot import svg

SECONDS = 20 * 60
CONNECTIONS_PER_SECOND = 20


def evening_of(leak: float = 0.0, *, seed: int = 1, **others: float) -> list[Sample]:
    """Samples of 20 minutes with made-up noise. So many objects of 100 bytes a second are never let go; others grow by
    a number an hour."""
    chance = random.Random(seed)
    grows = {
        name: others.get(name, 0.0) for name in ("descriptors", "threads", "tasks", "connections", "subscriptions")
    }

    def noisy(at: float) -> float:
        warming = 6 * MIB * (1 - math.exp(-at / 60))
        garbage = 0.8 * MIB * ((at % 70) / 70)
        peak = 64 * MIB if chance.random() < 0.05 else 0  # a password's check
        return 90 * MIB + warming + garbage + peak + chance.gauss(0, 0.2 * MIB) + 100 * leak * at

    samples = []
    for at in (2.5 * number for number in range(int(SECONDS / 2.5))):
        around = {
            name: int(chance.gauss(7, 0.5) if name == "threads" else chance.gauss(200, 8)) + int(per_hour * at / 3600)
            for name, per_hour in grows.items()
        }
        around["tasks"] += 2 * around["connections"]
        blocks = int(480_000 + 15_000 * (at % 60) / 60 + chance.gauss(0, 3_000) + leak * at)
        around |= {"blocks": blocks, "memory": int(noisy(at)), "resident": 0}
        samples.append(Sample(at=at, database=10 * MIB, log=4 * MIB, **around))
    return samples


def not_flat(samples: list[Sample]) -> list[str]:
    return [series.name for series in series_of(samples) if not judge(series).is_flat]


@pytest.mark.parametrize("seed", range(10))
def test_noise_is_flat(seed: int) -> None:
    assert not_flat(evening_of(seed=seed)) == []


@pytest.mark.parametrize("seed", range(10))
def test_a_leak_of_a_hundred_bytes_per_connection_is_found_in_20_minutes(seed: int) -> None:
    assert not_flat(evening_of(CONNECTIONS_PER_SECOND, seed=seed)) == ["blocks in use"]


def test_a_leak_beside_pythons_objects_is_found_by_the_processs_memory() -> None:
    samples = [replace(one, memory=int(one.memory + 10_000 * one.at)) for one in evening_of()]
    assert not_flat(samples) == ["memory"]


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("descriptors", "file descriptors"),
        ("threads", "threads"),
        ("tasks", "tasks beyond connections"),
        ("connections", "connections"),
        ("subscriptions", "subscriptions"),
    ],
)
def test_one_that_stays_of_each_two_hundred_connections_is_found(what: str, name: str) -> None:
    per_hour = 3600 * CONNECTIONS_PER_SECOND / 200
    assert name in not_flat(evening_of(**{what: per_hour}))


def test_what_is_bounded_may_not_pass_its_bound_though_it_is_flat() -> None:
    series = Series("log", "MiB", range(100), [3.0] * 100, allowance=1.0, most=2.0)
    assert judge(series).growth == 0
    assert not judge(series).is_flat


def test_warm_up_does_not_count() -> None:
    values = [float(at) for at in range(20)] + [20.0] * 80
    assert judge(Series("memory", "MiB", range(100), values, allowance=0.1)).growth == 0


def test_the_slope_is_that_of_the_line_though_a_quarter_of_the_points_is_far_away() -> None:
    points = [(float(at), 2.0 * at + (10_000 if at % 4 == 0 else 0)) for at in range(40)]
    assert theil_sen(points) == pytest.approx(2.0)


def test_too_few_samples_are_no_verdict() -> None:
    with pytest.raises(ValueError, match="too few"):
        judge(Series("memory", "MiB", [0.0, 1.0], [1.0, 1.0], allowance=1.0))


def test_the_smallest_leak_that_is_found_is_told() -> None:
    assert smallest_leak(1000, 10) == 100
    assert smallest_leak(1000, 0) == math.inf


def test_a_delay_counts_from_the_confirmation_and_who_saw_it_before_had_none() -> None:
    delays, seat = Delays(watchers=3), ("s", "1")
    delays.seen(seat, 9.9)
    delays.confirmed(seat, 10.0)
    delays.seen(seat, 10.1)
    delays.seen(seat, 10.3)
    assert delays.counts == {0: 1, 100: 1, 300: 1}
    assert delays.quantile(0.5) == 100
    assert delays.quantile(1) == 300
    delays.free_again(seat)
    assert delays.late == []


def test_a_watcher_who_never_saw_it_is_told_of() -> None:
    delays, seat = Delays(watchers=2), ("s", "1")
    delays.confirmed(seat, 10.0)
    delays.seen(seat, 10.1)
    delays.free_again(seat)
    assert "only 1 of 2" in delays.late[0]


def test_why_an_evening_failed_is_told() -> None:
    soak = Soak(20, evening_of(CONNECTIONS_PER_SECOND), faults=["a client was closed"], delay=251)
    soak.verdicts = [judge(series) for series in series_of(soak.samples)]
    closed, memory, delay = soak.failures
    assert closed == "a client was closed"
    assert "blocks in use is not flat" in memory
    assert "251 ms" in delay


async def test_a_short_evening_leaves_nothing_behind_and_nobody_loses_anything(tmp_path: Path) -> None:
    premises = await Premises.open(tmp_path, old_bookings=300)
    try:
        soak = await evening(premises, 0.12, 1, print)
    finally:
        await premises.close()
    assert soak.faults == []
    assert soak.counts["bookings"] > 0
    assert soak.delays > 0
    assert premises.box.said.partition("Traceback")[2] == ""
    soak.verdicts = [judge(series) for series in series_of(soak.samples)]
    assert table(soak).row_count == len(soak.verdicts)
    assert len(sentences(soak)) == 4
    assert MEMORY_NOISE > 0
    assert svg(soak) == svg(soak)
