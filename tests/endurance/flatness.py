"""Flat or not: the decision about a soak's series, without a clock or a process.

Of each series the first fifth is warm-up and does not count. The rest is cut into windows of equal length, of each of
which the least value stands for it (a garbage collector's and an allocator's peaks are above what is kept). The
Theil–Sen slope through these, the median of the slopes between all pairs of windows, gives the growth over the whole
rest; up to 29 of 100 windows may be as wrong as they like. A series is flat when it grows by no more than its
allowance.

A leak of so many bytes per event is found when events times bytes are more than the allowance: :func:`smallest_leak`.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

WARM_UP = 0.2
"""Share of the time."""
WINDOWS = 48


Points = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Series:
    """What was sampled of one thing: ``values`` in ``unit`` at ``times`` in seconds since the beginning."""

    name: str
    unit: str
    times: Sequence[float]
    values: Sequence[float]
    allowance: float
    """By how much it may grow in the time after warm-up."""
    most: float = float("inf")
    """What it may never exceed."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a series. ``growth`` is over the time after warm-up, ``per_hour`` the same as a rate."""

    series: Series
    start: float
    highest: float
    growth: float
    per_hour: float

    @property
    def is_flat(self) -> bool:
        return self.growth <= self.series.allowance and self.highest <= self.series.most


def judge(series: Series) -> Verdict:
    """Raises ValueError where there are fewer than three samples after warm-up."""
    times, values = after_warm_up(series.times, series.values)
    if len(times) < 3:
        raise ValueError(f"{series.name}: {len(times)} samples after warm-up are too few")
    lasted = times[-1] - times[0]
    envelope = lower_envelope(times, values)
    slope = theil_sen(envelope)
    return Verdict(
        series,
        start=envelope[0][1],
        highest=max(values),
        growth=slope * lasted,
        per_hour=slope * 3600,
    )


def after_warm_up(times: Sequence[float], values: Sequence[float]) -> tuple[list[float], list[float]]:
    if not times:
        return [], []
    begin = times[0] + WARM_UP * (times[-1] - times[0])
    kept = [(at, value) for at, value in zip(times, values, strict=True) if at >= begin]
    return [at for at, _ in kept], [value for _, value in kept]


def lower_envelope(
    times: Sequence[float], values: Sequence[float], windows: int = WINDOWS
) -> list[tuple[float, float]]:
    """The least value of each window, and the middle of the window."""
    begin, length = times[0], (times[-1] - times[0]) / windows or 1.0
    least: dict[int, float] = {}
    for at, value in zip(times, values, strict=True):
        window = min(int((at - begin) / length), windows - 1)
        least[window] = min(value, least.get(window, value))
    return [(begin + (window + 0.5) * length, value) for window, value in sorted(least.items())]


def theil_sen(points: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes between all pairs; 0 for one point."""
    slopes = [(later - earlier) / (then - at) for (at, earlier), (then, later) in combinations(points, 2)]
    return statistics.median(slopes) if slopes else 0.0


def smallest_leak(allowance: float, events: float) -> float:
    """What each event would have to leave behind for the series to grow by more than its allowance."""
    return float("inf") if events <= 0 else allowance / events
