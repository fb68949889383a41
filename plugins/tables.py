"""Lists on the command line: a table for people at a terminal, and for programs tabs between the cells."""

from __future__ import annotations

from collections.abc import Sequence

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

NARROWEST = 60
"""A terminal of fewer columns gets what programs get."""


def show(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, give_way: Sequence[str], whole: Sequence[str] = ()
) -> None:
    """Print the rows, each with a cell for each column; see :func:`table_of`."""
    console = Console()
    if not console.is_terminal or console.width < NARROWEST:
        for row in (columns, *rows):
            typer.echo("\t".join(printable(cell) for cell in row))
        return
    console.print(table_of(columns, rows, console.width, give_way=give_way, whole=whole))


def table_of(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int,
    *,
    give_way: Sequence[str],
    whole: Sequence[str] = (),
) -> Table:
    """A table for a terminal of this width in which no cell is cut: columns give way instead, the first of
    ``give_way`` first, and cells are folded, but for those of the columns ``whole``."""
    shown = list(range(len(columns)))
    longest = [max(len(row[column]) for row in (columns, *rows)) for column in shown]
    for name in give_way:
        if sum(longest[column] + 3 for column in shown) + 1 > width:
            shown.remove(columns.index(name))
    table = Table()
    for column in shown:
        table.add_column(columns[column], no_wrap=columns[column] in whole, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(row[column])) for column in shown))
    return table


def printable(text: str) -> str:
    """The text without what a terminal would obey: the box lets no control characters in, but another program may."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
