"""From results to one table: on the terminal and in Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from bench.rows import BOX, Load, Row
from bench.stage import Result
from bench.systems import TITLES

Results = Mapping[str, Sequence[Result]]
"""Each system's rounds."""

NOTHING = "–"
BEGIN, END = "<!-- measured: make bench writes from here -->", "<!-- measured: to here -->"


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table, in words."""

    label: str
    cells: Sequence[str]
    """Each system's median, and from where to where its rounds were."""
    ratio: str
    target: str
    verdict: str
    """``met``, ``missed``, or empty where nothing is wanted or nothing was measured."""


def lines(load: Load, results: Results) -> Iterator[Line]:
    for row in load.rows:
        values = {key: measured(row.measure, rounds) for key, rounds in results.items()}
        medians = {key: statistics.median(some) for key, some in values.items() if some}
        own, other = medians.get(BOX), medians.get(row.against)
        ratio = own / other if own is not None and other else None
        judged = own if row.is_absolute else ratio
        yield Line(
            label=row.label + (f", {row.unit}" if row.unit else ""),
            cells=[_cell(row, some) for some in values.values()],
            ratio=_ratio(row, ratio),
            target=row.target,
            verdict="" if not row.target or judged is None else "met" if row.is_met(judged) else "missed",
        )


def measured(measure: str, rounds: Sequence[Result]) -> list[float]:
    """Of the rounds that count."""
    return [result.measures[measure] for result in rounds if not result.failure and measure in result.measures]


def _cell(row: Row, values: Sequence[float]) -> str:
    if not values:
        return NOTHING
    median, least, most = (row.form.format(value) for value in (statistics.median(values), min(values), max(values)))
    return median if least == most else f"{median} ({least}–{most})"


def _ratio(row: Row, ratio: float | None) -> str:
    if not row.against or ratio is None:
        return ""
    digits = 3 if ratio < 0.1 else 2 if ratio < 10 else 1
    return f"{ratio:.{digits}f} × {TITLES[row.against].partition(' + ')[0]}"


def failures(results: Results) -> list[str]:
    return [
        f"{TITLES[key]}: a round failed: {result.failure}"
        for key, rounds in results.items()
        for result in rounds
        if result.failure
    ]


def columns(keys: Sequence[str]) -> list[str]:
    return ["", *(TITLES[key] for key in keys), "ratio", "target", ""]


def notes(measurements: Sequence[tuple[Load, Results]], rounds: int) -> list[str]:
    """What the reader has to know beside the numbers."""
    of_loads: dict[str, list[str]] = {}
    for load, results in measurements:
        for note in _notes(load, results, rounds):
            of_loads.setdefault(note, []).append(load.title.partition(":")[0])
    told = [f"{'; '.join(titles)}: {note}" for note, titles in of_loads.items()]
    work = [ms for _, results in measurements for some in results.values() for ms in measured("work", some)]
    if work:
        told.append(
            f"The machine's own speed: before each round the same piece of work took {statistics.median(work):.0f} ms "
            f"({min(work):.0f}–{max(work):.0f})."
        )
    return told


def _notes(load: Load, results: Results, rounds: int) -> Iterator[str]:
    yield from load.notes
    for key, some in results.items():
        if len(some) < rounds:
            yield f"{TITLES[key]} in {len(some)} round{'s' * (len(some) != 1)} only."
    box = results.get(BOX, ())
    if any(measured("deliveries", box)):
        anew = sum(measured("presents_anew", box))
        yield f"watchers of the box that were too slow and got the present instead: {anew:,.0f} in all its rounds."
    for failure in failures(results):
        yield f"{failure}."


def terminal(measurements: Sequence[tuple[Load, Results]], rounds: int) -> Table:
    keys = _keys(measurements)
    table = Table(title=heading(rounds), title_justify="left", title_style="bold")
    for number, name in enumerate(columns(keys)):
        table.add_column(name, justify="right" if 0 < number <= len(keys) + 1 else "left", no_wrap=True)
    for load, results in measurements:
        table.add_row(load.title, style="bold")
        for line in lines(load, results):
            style = {"met": "green", "missed": "red"}.get(line.verdict, "")
            verdict = f"[{style}]{line.verdict}[/]" if style else ""
            table.add_row(f"  {line.label}", *line.cells, line.ratio, line.target, verdict)
        table.add_section()
    return table


def markdown(measurements: Sequence[tuple[Load, Results]], rounds: int, machine: str) -> str:
    keys = _keys(measurements)
    head = columns(keys)
    rows = [head, ["---", *["---:"] * (len(keys) + 1), "---:", "---"]]
    for load, results in measurements:
        rows.append([f"**{load.title}**", *[""] * (len(head) - 1)])
        rows += [[line.label, *line.cells, line.ratio, line.target, line.verdict] for line in lines(load, results)]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    told = [f"- {note}" for note in notes(measurements, rounds)]
    return "\n".join([f"{machine}. {heading(rounds)}.", "", table, *([""] if told else []), *told, ""])


def replace_section(page: str, section: str) -> str:
    """The page with what was measured between its two comments."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no place for the table, between {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{section}\n{END}{after}"


def heading(rounds: int) -> str:
    return f"Medians of {rounds} rounds (least–most)" if rounds > 1 else "One round"


def _keys(measurements: Sequence[tuple[Load, Results]]) -> list[str]:
    return list(measurements[0][1]) if measurements else []
