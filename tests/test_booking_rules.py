"""The rules that the ledger's tests do not reach by themselves."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_cinema import ALICE, BOB, KIOSK, MANAGER, SEATS, SHOWING, hold_order, sender_of, terms

from broker.plugin import Refusal
from plugins.booking import rules

SECRET = b"a secret of the box"


def test_a_customer_who_names_another_is_forbidden_and_learns_nothing() -> None:
    messages = set()
    for named in (BOB, SEATS[0]):
        with pytest.raises(Refusal) as caught:
            rules.on_whose_behalf(sender_of(ALICE), named)
        messages.add((caught.value.code, caught.value.message))
    assert len(messages) == 1
    assert rules.on_whose_behalf(sender_of(ALICE), ALICE) == ALICE
    assert rules.on_whose_behalf(sender_of(ALICE), None) == ALICE
    assert rules.on_whose_behalf(sender_of(KIOSK), BOB) == BOB


@pytest.mark.parametrize("roles", [{}, {ALICE: "customer"}, {KIOSK: "customer", ALICE: "customer"}])
def test_a_sender_disabled_or_of_another_role_since_is_forbidden_whomever_they_name(roles: Mapping[str, str]) -> None:
    with pytest.raises(Refusal) as caught:
        rules.require_active(sender_of(KIOSK), ALICE, roles)
    assert caught.value.code == "forbidden"


def test_a_derived_id_is_the_same_for_the_same_request_and_no_other() -> None:
    first = rules.derived_booking_id(SECRET, ALICE, SHOWING, SEATS[:2], "t")
    assert first == rules.derived_booking_id(SECRET, ALICE, SHOWING, SEATS[1::-1], "t")
    others = {
        rules.derived_booking_id(b"other", ALICE, SHOWING, SEATS[:2], "t"),
        rules.derived_booking_id(SECRET, BOB, SHOWING, SEATS[:2], "t"),
        rules.derived_booking_id(SECRET, ALICE, SEATS[9], SEATS[:2], "t"),
        rules.derived_booking_id(SECRET, ALICE, SHOWING, SEATS[:1], "t"),
        rules.derived_booking_id(SECRET, ALICE, SHOWING, SEATS[:2], "u"),
        rules.derived_booking_id(SECRET, ALICE, SHOWING, SEATS[:2], 1),
        rules.derived_booking_id(SECRET, ALICE, SHOWING, SEATS[:2], "1"),
    }
    assert len(others - {first}) == 7


def test_a_number_has_no_letters_that_people_confuse() -> None:
    numbers = {rules.new_number() for _ in range(500)}
    assert len(numbers) > 490
    assert not set("".join(numbers)) & set("0O1IL")
    assert {len(number) for number in numbers} == {6}


def test_a_key_has_128_bits() -> None:
    assert len(rules.new_key()) == 22


@given(
    steps=st.lists(st.tuples(st.integers(1, 400), st.booleans()), max_size=30),
    hold_seconds=st.integers(1, 300),
    hold_max_seconds=st.integers(1, 900),
)
def test_no_way_of_holding_again_keeps_a_seat_longer_than_the_maximum(
    steps: list[tuple[int, bool]], hold_seconds: int, hold_max_seconds: int
) -> None:
    limits = terms(hold_seconds=hold_seconds, hold_max_seconds=hold_max_seconds)
    now, run, first, until = 0.0, None, 0.0, 0.0
    for wait, release in steps:
        times = rules.hold_times(run, now, limits)
        if times is not None:
            since, end = times
            assert now < end <= now + hold_seconds
            if since == now:  # a new run: the one before is long enough ago
                assert run is None or now - run.ended >= hold_seconds
                first = now
            assert end <= first + hold_max_seconds
            until = end
            run = rules.Run(since, min(now, until) if release else until)
        now += wait
        if run is not None and not release and now < until:
            run = rules.Run(run.since, now)  # still running: it is extended now


def test_caps_are_the_customers_alone() -> None:
    full = rules.Belongings(held=10, in_showing=20, from_address=30)
    limits = terms()
    assert rules.why_not_more(hold_order(KIOSK, SEATS[:1]), full, limits) is None
    assert rules.why_not_more(hold_order(MANAGER, SEATS[:1]), full, limits) is None
    for belongings in (
        rules.Belongings(held=10),
        rules.Belongings(in_showing=20),
        rules.Belongings(from_address=30),
    ):
        failure = rules.why_not_more(hold_order(ALICE, SEATS[:1]), belongings, limits)
        assert failure is not None
        assert failure.code == "too_many_seats"
    almost = rules.Belongings(held=9, in_showing=19, from_address=29)
    assert rules.why_not_more(hold_order(ALICE, SEATS[:1]), almost, limits) is None


@pytest.mark.parametrize(
    ("percent", "per_person", "room_seats", "most"),
    [
        (50, 20, 200, 100),
        (50, 20, 41, 20),
        (50, 20, 30, 20),  # what one person may have, one address may have
        (99, 5, 30, 29),
        (100, 5, 30, 30),
    ],
)
def test_an_addresss_share_is_in_percent_but_never_less_than_one_person_may_have(
    percent: int, per_person: int, room_seats: int, most: int
) -> None:
    limits = terms(max_share_per_address=percent, max_seats_per_showing=per_person)
    allowed = [n for n in range(1, room_seats + 1) if rules.why_not_this_share(n, room_seats, limits) is None]
    assert allowed == list(range(1, most + 1))
