"""The plot of docs/soak.svg: what the box was made of over the evening."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

from endurance.flatness import WARM_UP, lower_envelope, theil_sen

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from endurance.flatness import Verdict
    from endurance.soak import Soak

PLAIN = {"axes.spines.top": False, "axes.spines.right": False}
COLOURS = ("#0b6e4f", "#1f5fa8", "#b4531a", "#6b3fa0", "#7a6a00", "#a8324a")


def svg(soak: Soak) -> str:
    """The plot as SVG, the same for the same samples."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    shown = [verdict for verdict in soak.verdicts if verdict.series.name not in ("threads", "subscriptions")]
    with mpl.rc_context({"svg.hashsalt": "soak", "font.size": 10, **PLAIN}):
        figure = Figure(figsize=(11, 5.2), layout="constrained")
        for axes, verdict, colour in zip(figure.subplots(2, 3).flat, shown, COLOURS, strict=True):
            _panel(axes, verdict, colour)
        figure.supxlabel(
            f"minutes; grey is warm-up. {soak.counts.get('bookings', 0):,} bookings and "
            f"{soak.counts.get('connections', 0):,} connections; seats' updates p99.9 {soak.delay:.0f} ms "
            "after their confirmation"
        )
        written = StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines()) + "\n"


def _panel(axes: Axes, verdict: Verdict, colour: str) -> None:
    series = verdict.series
    minutes = [at / 60 for at in series.times]
    begin = series.times[0] + WARM_UP * (series.times[-1] - series.times[0])
    axes.axvspan(minutes[0], begin / 60, color="#eeeeee")
    axes.plot(minutes, series.values, color=colour, linewidth=0.9)
    rest = [(at, value) for at, value in zip(series.times, series.values, strict=True) if at >= begin]
    envelope = lower_envelope([at for at, _ in rest], [value for _, value in rest])
    slope = theil_sen(envelope)
    middle = sorted(value - slope * at for at, value in envelope)[len(envelope) // 2]
    ends = (begin, series.times[-1])
    axes.plot([at / 60 for at in ends], [middle + slope * at for at in ends], color="#333333", linestyle="--")
    axes.set_title(f"{series.name} {f'({series.unit})' if series.unit else ''}", loc="left", fontweight="bold")
    axes.annotate(
        f"{verdict.growth:+,.2f} of {series.allowance:,.2f} allowed",
        (0.98, 0.04),
        xycoords="axes fraction",
        ha="right",
    )
    axes.set_ylim(bottom=min(0, *series.values), top=max(1.0, *series.values) * 1.15)
    axes.grid(visible=True, color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
