"""The plot of docs/performance.md: bookings per second and p99 against the number of watchers."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import TYPE_CHECKING

from bench.report import measured
from bench.stage import Result
from bench.systems import TITLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Sweep = Mapping[str, Mapping[int, Sequence[Result]]]
"""Each system's rounds with so many watchers."""

LOOKS = {"box": ("#0b6e4f", "o", "-"), "mosquitto": ("#1f5fa8", "s", "--"), "stock": ("#b4531a", "^", ":")}
"""Colour, marker and line: each tells the systems apart by itself."""
PANELS = (
    ("Bookings per second (log scale)", "bookings_per_second", "{:,.0f}"),
    ("Confirmation p99, ms (log scale)", "p99", "{:,.0f}"),
)
WATCHERS_APART = 50
"""Up to so many watchers the axis is linear, for it begins with none; beyond it is logarithmic."""


ROOM_FOR_LABELS = 7
"""So many times the most watchers is where the axis ends: the systems' names stand there."""


def svg(sweep: Sweep) -> str:
    """The plot as SVG, the same for the same numbers."""
    # Only whoever writes the documentation needs it.
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(
        {
            "svg.hashsalt": "performance",
            "font.size": 10.5,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": "#888888",
        }
    ):
        figure = Figure(figsize=(11, 4.6), layout="constrained")
        for axes, (title, measure, form) in zip(figure.subplots(1, 2), PANELS, strict=True):
            _panel(axes, sweep, measure, form)
            axes.set_title(title, loc="left", fontweight="bold")
        written = StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines()) + "\n"


def _panel(axes: Axes, sweep: Sweep, measure: str, form: str) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    everywhere = sorted({watchers for by_watchers in sweep.values() for watchers in by_watchers})
    for key, by_watchers in sweep.items():
        values = {watchers: measured(measure, rounds) for watchers, rounds in sorted(by_watchers.items())}
        points = {watchers: statistics.median(some) for watchers, some in values.items() if some}
        if not points:
            continue
        colour, marker, line = LOOKS[key]
        axes.plot(list(points), list(points.values()), color=colour, marker=marker, linestyle=line, linewidth=2)
        last = max(points)
        axes.annotate(
            f"{TITLES[key]}\n{form.format(points[last])}",
            (last, points[last]),
            xytext=(9, 0),
            textcoords="offset points",
            color=colour,
            va="center",
        )
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
    axes.set_xscale("symlog", linthresh=WATCHERS_APART, linscale=0.4)
    axes.set_xticks(everywhere, [f"{watchers:,}" for watchers in everywhere])
    axes.set_xticks([], minor=True)
    axes.set_xlim(-4, max(everywhere) * ROOM_FOR_LABELS)
    axes.set_xlabel("watchers of the showing")
    axes.grid(visible=True, color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
