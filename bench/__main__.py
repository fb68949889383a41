"""``python -m bench``: everything side by side in one go, and one table."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench import machine, plot, report, systems
from bench.measuring import measure, sweep
from bench.report import Results
from bench.rows import LOADS, MOSQUITTO, Load, Scale
from bench.stage import Result
from bench.systems import TITLES, StartFailed

SWEEP_ROUNDS = 3
"""At most so many for the plot."""
WIDTH = 160
"""Of the table in a file or a pipe."""
DOCS = systems.ROOT / "docs"
LOAD_NAMES = [load.name for load in LOADS]


def bench(
    rounds: Annotated[int, typer.Option(min=1, max=20, help="Rounds per system; medians are shown.")] = 5,
    rows: Annotated[str, typer.Option(help=f"Only these, with commas: {', '.join(LOAD_NAMES)}.")] = "",
    only: Annotated[str, typer.Option("--systems", help=f"Only these, with commas: {', '.join(TITLES)}.")] = "",
    tcp: Annotated[bool, typer.Option("--tcp", help="Clients over TCP; else over WebSocket.")] = False,
    docs: Annotated[
        bool, typer.Option("--docs", help="Write the table and, of further runs, the plot into docs/performance.md.")
    ] = False,
    results_file: Annotated[Path | None, typer.Option("--json", help="Write all rounds' results here.")] = None,
) -> None:
    """Measure the box, mosquitto with a worker, and stock amqtt, side by side on loopback. It takes some minutes.

    Ends with status 1 if any round failed: a request never confirmed, or an update that a watcher never got.
    """
    if docs and (rows or only or tcp):
        raise typer.BadParameter("the page shows everything: without --rows, --systems and --tcp", param_hint="--docs")
    if docs and systems.mosquitto_program() is None:
        raise StartFailed(f"{systems.NO_MOSQUITTO}: the page shows it.")
    if results_file is not None and (results_file.is_dir() or not results_file.absolute().parent.is_dir()):
        raise typer.BadParameter(f"{results_file} is not a file in a folder that exists", param_hint="--json")
    try:
        _run(
            rounds,
            _chosen(rows, LOAD_NAMES, "--rows"),
            _chosen(only, list(TITLES), "--systems"),
            tcp,
            docs,
            results_file,
        )
    except KeyboardInterrupt:
        print("Stopped; nothing was written.", file=sys.stderr)
        raise typer.Exit(130) from None


def _run(
    rounds: int, load_names: Sequence[str], keys: list[str], tcp: bool, docs: bool, results_file: Path | None
) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    loads = [load for load in LOADS if load.name in load_names]
    if MOSQUITTO in keys and systems.mosquitto_program() is None:
        if keys == [MOSQUITTO]:
            raise StartFailed(f"{systems.NO_MOSQUITTO}.")
        console.print(f"{systems.NO_MOSQUITTO}: without it.", soft_wrap=True)
        keys.remove(MOSQUITTO)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        where = machine.sentence(Path(folder))
    console.print(f"{where}\n", markup=False, soft_wrap=True)

    def tell(name: str, key: str, result: Result) -> None:
        console.print(f"{name}, {TITLES[key]}: {_sentence(result)}", markup=False, soft_wrap=True)

    measurements: list[tuple[Load, Results]] = []
    for load in loads:
        results = measure(load, keys, rounds=rounds, scale=Scale(), websocket=not tcp, tell=partial(tell, load.name))
        measurements.append((load, results))
    console.print()
    console.print(report.terminal(measurements, rounds))
    for note in report.notes(measurements, rounds):
        console.print(f"- {note}", markup=False, soft_wrap=True)
    failed = [failure for _, results in measurements for failure in report.failures(results)]
    swept = {}
    if docs:
        swept = sweep(keys, rounds=min(rounds, SWEEP_ROUNDS), scale=Scale(), websocket=not tcp, tell=tell)
        failed += [
            failure for by_watchers in swept.values() for some in by_watchers.values() for failure in _reasons(some)
        ]
    if results_file is not None:
        results_file.write_text(_json(where, measurements), encoding="utf-8")
    if failed and docs:
        console.print("A round failed: docs/performance.md stays as it was.", soft_wrap=True)
    elif docs:
        (DOCS / "performance.svg").write_text(plot.svg(swept), encoding="utf-8")
        page = DOCS / "performance.md"
        section = report.markdown(measurements, rounds, where)
        page.write_text(report.replace_section(page.read_text(encoding="utf-8"), section), encoding="utf-8")
    if failed:
        raise typer.Exit(1)


def _reasons(results: Sequence[Result]) -> list[str]:
    return [result.failure for result in results if result.failure]


def _chosen(given: str, all_of_them: list[str], option: str) -> list[str]:
    names = [name.strip() for name in given.split(",") if name.strip()]
    for name in names:
        if name not in all_of_them:
            raise typer.BadParameter(f"{name} is none of {', '.join(all_of_them)}", param_hint=option)
    return [name for name in all_of_them if name in names] if names else list(all_of_them)


def _sentence(result: Result) -> str:
    if result.failure:
        return f"failed: {result.failure}"
    return ", ".join(f"{name} {value:,.2f}" for name, value in result.measures.items())


def _json(where: str, measurements: list[tuple[Load, Results]]) -> str:
    rounds = {
        load.name: {key: [asdict(result) for result in some] for key, some in results.items()}
        for load, results in measurements
    }
    return json.dumps({"machine": where, "rounds": rounds}, indent=2) + "\n"


def _end(*_: object) -> None:
    """End as Ctrl-C does, so that nothing is left behind."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> None:
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(bench)
    signal.signal(signal.SIGTERM, _end)
    try:
        app()
    except StartFailed as error:
        print(error, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
