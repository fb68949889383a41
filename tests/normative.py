"""The numbered statements of MQTT 3.1.1 (its appendix B), and which test shows which.

A test names the statements that it shows with :func:`shows`, a table of packets with :func:`shows_each`; both put
the numbers into the test's id, so that ``pytest -k MQTT-3.1.2-8`` runs what shows that statement. Run as a program,
this module writes the table of docs/mqtt.md anew; tests/test_normative.py fails when that is due.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "mqtt.md"
BEGINS, ENDS = "<!-- written by tests/normative.py -->\n", "<!-- until here -->"

# Section to how many statements it numbers. 3.1.2-7 and 3.8.3-4 are misprinted in the standard (3.1.2.7, 3-8.3-4).
_SECTIONS = {
    "1.5.3": 3, "2.2.2": 2, "2.3.1": 7,
    "3.1.0": 2, "3.1.2": 24, "3.1.3": 11, "3.1.4": 5, "3.2.0": 1, "3.2.2": 6,
    "3.3.1": 12, "3.3.2": 3, "3.3.4": 1, "3.3.5": 2, "3.6.1": 1,
    "3.8.1": 1, "3.8.3": 4, "3.8.4": 6, "3.9.3": 2, "3.10.1": 1, "3.10.3": 2, "3.10.4": 6,
    "3.12.4": 1, "3.14.1": 1, "3.14.4": 3,
    "4.1.0": 2, "4.3.1": 1, "4.3.2": 2, "4.3.3": 2, "4.4.0": 1, "4.5.0": 2, "4.6.0": 6,
    "4.7.1": 3, "4.7.2": 1, "4.7.3": 4, "4.8.0": 2,
    "6.0.0": 4, "7.0.0": 2, "7.1.1": 1, "7.1.2": 1,
}  # fmt: skip

STATEMENTS = [f"{section}-{place}" for section, number in _SECTIONS.items() for place in range(1, number + 1)]
"""All, in the standard's order."""

_CLIENT = "binds clients alone"
_SESSION = "follows from the deviation: no session is stored"
_RESENT = "nothing is sent a second time: no session outlives the connection that it was sent on"

NOT_SHOWN = {
    "2.3.1-2": _CLIENT,
    "2.3.1-3": _CLIENT,
    "3.1.2-5": _SESSION,
    "3.1.2-23": _CLIENT,
    "3.1.3-7": _CLIENT + "; what becomes of one that does otherwise is 3.1.3-8",
    "3.2.2-2": _SESSION,
    "3.3.1-1": _RESENT,
    "3.14.4-1": _CLIENT,
    "3.14.4-2": _CLIENT,
    "4.3.3-1": "nothing is sent at QoS 2: at most 1 is granted",
    "4.4.0-1": _SESSION,
    "4.5.0-2": _CLIENT,
    "4.6.0-1": _RESENT,
    "4.6.0-4": "no PUBREL is sent: at most QoS 1 is granted",
    "7.0.0-1": "the box connects to no other server",
    "7.1.2-1": _CLIENT,
}
"""What no test can show of a server such as this one, and why."""

_NUMBER = re.compile(r"MQTT-(\d+\.\d+\.\d+-\d+)\b")
_SHOWN: dict[str, list[str]] = {}

T = TypeVar("T", bound=Callable[..., Any])


def shows(*numbers: str) -> Callable[[T], T]:
    """The test shows these statements, such as ``3.1.2-8``."""

    def mark(test: T) -> T:
        _note(test, numbers)
        name = " ".join(f"MQTT-{number}" for number in numbers)
        return pytest.mark.parametrize((), [pytest.param(id=name)])(test)

    return mark


def shows_each(argument: str, table: Mapping[str, object]) -> Callable[[T], T]:
    """The test runs with each value of the table; its keys begin with the statements that this shows, such as
    ``MQTT-3.1.2-3 reserved flag``, or with a section that numbers none."""

    def mark(test: T) -> T:
        _note(test, (number for name in table for number in _NUMBER.findall(name)))
        return pytest.mark.parametrize(argument, table.values(), ids=table.keys())(test)

    return mark


def _note(test: Callable[..., Any], numbers: Iterable[str]) -> None:
    for number in numbers:
        assert number in STATEMENTS, f"MQTT 3.1.1 has no statement {number}"
        named = _SHOWN.setdefault(number, [])
        if test.__name__ not in named:
            named.append(test.__name__)


def shown() -> dict[str, list[str]]:
    """By number: the tests that show it."""
    for file in sorted(TESTS.rglob("test_*.py")):
        if "from normative import" in file.read_text():
            importlib.import_module(".".join(file.relative_to(TESTS).with_suffix("").parts))
    return _SHOWN


def table() -> str:
    """What stands in docs/mqtt.md."""
    by_number = shown()
    lines = ["| statement | shown by |", "| --- | --- |"]
    for number in STATEMENTS:
        tests = ", ".join(f"`{name.removeprefix('test_')}`" for name in sorted(by_number.get(number, ())))
        lines.append(f"| {number} | {tests or NOT_SHOWN.get(number, '')} |")
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """The page with the table as it must be."""
    before, _, rest = text.partition(BEGINS)
    _, _, after = rest.partition(ENDS)
    return before + BEGINS + table() + ENDS + after


if __name__ == "__main__":
    import sys

    sys.path[:0] = [str(TESTS), str(TESTS.parent)]
    import normative  # not this module, but the one that the tests import

    PAGE.write_text(normative.page(PAGE.read_text()))
