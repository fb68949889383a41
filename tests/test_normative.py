"""docs/mqtt.md lists each numbered statement of MQTT 3.1.1 with the tests that show it, and lists them as they are."""

from __future__ import annotations

import normative


def test_every_statement_is_shown_by_a_test_or_it_is_said_why_not() -> None:
    shown = normative.shown()
    assert [n for n in normative.STATEMENTS if n not in shown and n not in normative.NOT_SHOWN] == []
    assert [n for n in normative.NOT_SHOWN if n in shown] == []
    assert set(normative.NOT_SHOWN) <= set(normative.STATEMENTS)


def test_the_page_lists_the_tests_as_they_are() -> None:
    page = normative.PAGE.read_text()
    assert page == normative.page(page), "run: python tests/normative.py"
