"""Whose turn it is to have a password checked, by plain calls."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from plugins.auth.turns import BEHIND, LINES, Rank, Turns


def served(turns: Turns[str]) -> list[str]:
    """All who wait, in the order of their turns."""
    order = []
    while (check := turns.next()) is not None:
        order.append(check)
    return order


def test_one_address_after_the_other_however_many_one_of_them_sends() -> None:
    turns: Turns[str] = Turns()
    for number in range(5):
        turns.join("flood", f"flood {number}")
    turns.join("kiosk", "kiosk")
    turns.join("manager", "manager")
    assert served(turns) == ["flood 0", "kiosk", "manager", "flood 1", "flood 2", "flood 3", "flood 4"]


def test_an_address_has_one_place_in_the_round_and_a_short_line_behind_it() -> None:
    turns: Turns[str] = Turns()
    joined = [turns.join("flood", str(number)) is not None for number in range(50)]
    assert sum(joined) == 1 + BEHIND
    assert turns.join("other", "other") == []


def test_so_many_addresses_wait_and_no_more() -> None:
    turns: Turns[str] = Turns()
    joined = [turns.join(f"address {number}", str(number)) is not None for number in range(50)]
    assert sum(joined) == LINES == 16


def test_whom_the_box_knows_takes_a_strangers_place_and_the_house_a_customers() -> None:
    turns: Turns[str] = Turns()
    for number in range(LINES):
        turns.join(f"stranger {number}", str(number))
    turns.join("stranger 15", "15 again")
    assert turns.join("alice's", "alice", Rank.KNOWN) == ["15", "15 again"]
    for number in range(LINES - 1):
        assert turns.join(f"customer {number}", f"customer {number}", Rank.KNOWN) == [str(14 - number)]
    assert turns.join("stranger", "stranger") is None
    assert turns.join("bob's", "bob", Rank.KNOWN) is None
    assert turns.join("the manager's", "manager", Rank.HOUSE) == ["customer 14"]
    assert served(turns) == ["alice", *(f"customer {number}" for number in range(14)), "manager"]


def test_who_is_known_at_an_address_does_not_stand_behind_the_strangers_there() -> None:
    turns: Turns[str] = Turns()
    for number in range(50):
        turns.join("the foyer's", f"flood {number}")
    assert turns.join("the foyer's", "kiosk", Rank.HOUSE) == []
    assert served(turns)[:2] == ["flood 0", "kiosk"]


def test_nobody_of_the_house_loses_a_place() -> None:
    turns: Turns[str] = Turns()
    for number in range(LINES):
        turns.join(f"kiosk {number}", str(number), Rank.HOUSE)
    assert turns.join("the manager's", "manager", Rank.HOUSE) is None
    assert len(turns) == LINES


def test_who_leaves_the_line_has_no_turn_and_leaves_nothing() -> None:
    turns: Turns[str] = Turns()
    for check in ("a", "b"):
        turns.join("one", check)
    turns.join("other", "c")
    turns.leave("one", "b")
    turns.leave("other", "c")
    turns.leave("nowhere", "d")
    assert served(turns) == ["a"]
    assert len(turns) == 0


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(Rank))))
def test_everybody_who_joined_has_exactly_one_turn(joining: list[tuple[str, Rank]]) -> None:
    turns: Turns[int] = Turns()
    waiting = {
        number for number, (address, rank) in enumerate(joining) if turns.join(address, number, rank) is not None
    }
    assert len(turns) == len(waiting)
    order = []
    while (check := turns.next()) is not None:
        order.append(check)
    assert sorted(order) == sorted(waiting)
