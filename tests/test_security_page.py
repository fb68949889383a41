"""docs/security.md promises nothing that no test shows: each test that it names exists, and each threat names one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)))


def functions(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {found.name for found in ast.walk(tree) if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize(("file", "test"), NAMED, ids=lambda named: named.rpartition("/")[2])
def test_a_test_that_the_page_names_exists(file: str, test: str) -> None:
    assert (ROOT / file).is_file()
    assert not test or test in functions(ROOT / file)


def test_every_threat_names_what_stands_against_it_and_a_test() -> None:
    threats = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for table in PAGE.split("| threat |")[1:]
        for line in table.partition("| --- | --- | --- |\n")[2].partition("\n\n")[0].splitlines()
    ]
    assert len(threats) > 30
    for threat, stands_against, shown_by in threats:
        assert threat
        assert stands_against
        assert re.search(r"`tests/[\w/]+\.py", shown_by), threat
