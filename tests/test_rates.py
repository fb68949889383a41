"""How often something may happen, by a clock that the test turns."""

from __future__ import annotations

import pytest

from broker import rates
from broker.rates import Rate


class Monotonic:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Monotonic:
    return Monotonic()


def taken(rate: Rate, key: str, times: int) -> int:
    return sum(rate.take(key) == 0.0 for _ in range(times))


def test_so_many_at_once_and_then_so_many_per_second(clock: Monotonic) -> None:
    rate = Rate(50, 1, burst=200, clock=clock)
    assert taken(rate, "ann", 300) == 200
    clock.seconds += 1
    assert taken(rate, "ann", 300) == 50
    clock.seconds += 100
    assert taken(rate, "ann", 300) == 200


def test_who_is_told_to_wait_has_room_after_that_and_not_before(clock: Monotonic) -> None:
    rate = Rate(20, 3600, clock=clock)
    assert taken(rate, "ann", 20) == 20
    seconds = rate.take("ann")
    assert seconds == pytest.approx(180, abs=0.01)
    clock.seconds += seconds - 1
    assert rate.take("ann") == pytest.approx(1, abs=0.01)
    clock.seconds += 1.01
    assert rate.take("ann") == 0.0


def test_each_key_counts_by_itself(clock: Monotonic) -> None:
    rate = Rate(1, 60, clock=clock)
    assert rate.take("ann") == 0.0
    assert rate.take("ben") == 0.0
    assert rate.take("ann") > 0


def test_looking_whether_there_is_room_takes_none(clock: Monotonic) -> None:
    rate = Rate(1, 60, clock=clock)
    assert all(rate.has_room("ann") for _ in range(10))
    assert rate.take("ann") == 0.0
    assert not any(rate.has_room("ann") for _ in range(10))
    clock.seconds += 61
    assert rate.has_room("ann")


def test_of_a_key_that_is_forgotten_nothing_is_kept(clock: Monotonic) -> None:
    rate = Rate(1, 60, clock=clock)
    for number in range(100):
        rate.take(f"guest {number}")
        rate.forget(f"guest {number}")
        rate.forget(f"never seen {number}")
    assert len(rate) == 0
    assert rate.take("guest 1") == 0.0


def test_of_too_many_keys_the_one_used_longest_ago_is_forgotten(
    clock: Monotonic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "KEYS_AT_MOST", 3)
    rate = Rate(1, 60, clock=clock)
    for number in range(100):
        rate.take(f"address {number}")
    assert len(rate) == 3
    assert rate.take("address 99") > 0
