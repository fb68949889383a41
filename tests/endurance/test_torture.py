"""The torture in its short form, and its judgements: each sees what it is there to see."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from endurance.diary import Booking, Books, Claim, Diary, Request, forgotten, gone, lost_holds, unsound
from endurance.moments import MOMENTS, make_older
from endurance.torture import Broken, Stage, moments, present_faults, torture

TOLD = {"booking_id": "b", "status": "confirmed", "number": "7", "key": "k", "seat_ids": ["1", "2"]}
SOLD = Booking("confirmed", "7", "k", 1900, "s", ("1", "2"))
FAILED = Booking("failed", showing_id="s", code="seats_unavailable")


def kept_in(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("from-round-*/box.db")]


def books(**bookings: Booking) -> Books:
    """A file with these bookings and their claims."""
    return Books(
        bookings={name: one for name, one in bookings.items() if one.status != "failed"},
        failures={name: one for name, one in bookings.items() if one.status == "failed"},
        claims={
            (one.showing_id, seat_id): Claim(name, None, None)
            for name, one in bookings.items()
            if one.is_sold
            for seat_id in one.seat_ids
        },
        versions={"s": 9},
        titles={"s": "The film, cut 3"},
        audited=None,
        faults=[],
    )


def diary(**more: object) -> Diary:
    """Somebody who asked for the booking b, had it acknowledged and was told of it."""
    notes = Diary(requests={"b": Request("alice", {}, acknowledged=True, outcome=TOLD)})
    for name, value in more.items():
        setattr(notes, name, value)
    return notes


async def test_the_plug_is_pulled_at_each_kind_of_moment_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    played = await torture(len(MOMENTS), 20_300_101, tmp_path)
    assert {one.moment for one in played} == set(MOMENTS)
    assert all(one.confirmed for one in played)
    assert sum(one.acknowledged for one in played) > sum(one.held for one in played) > 0
    assert kept_in(tmp_path) == []  # nothing is kept of a run that went well


def test_the_same_seed_chooses_the_same_moments_each_as_often_as_the_others() -> None:
    chosen = list(moments(3 * len(MOMENTS), 5))
    assert chosen == list(moments(3 * len(MOMENTS), 5)) != list(moments(3 * len(MOMENTS), 6))
    assert all(chosen.count(moment) == 3 for moment in MOMENTS)


async def test_an_older_file_is_brought_up_to_date_by_the_next_start(stage: Stage) -> None:
    make_older(stage.path)
    await stage.start(random.Random(1))
    with closing(sqlite3.connect(stage.path)) as db:
        assert db.execute("SELECT 1 FROM sqlite_master WHERE name = 'sales_of_a_seat'").fetchall() == []


async def test_a_seat_that_the_file_has_otherwise_than_the_present_is_seen(stage: Stage) -> None:
    box = await stage.start(random.Random(1))
    showing_id, left = stage.showing_ids[0], Books.read(stage.path)
    assert await present_faults(stage, box, showing_id, left) == []
    with closing(sqlite3.connect(stage.path)) as db, db:  # as if the box had told what it did not write
        query = "INSERT INTO seat_claims SELECT ?, seat_id, room_id, NULL, 'a', 'a', NULL, 'a', NULL, 0, 9e9 FROM seats"
        db.execute(f"{query} WHERE seat_id = ?", (showing_id, stage.seat_ids[3]))
    assert "is reserved in the file" in "; ".join(await present_faults(stage, box, showing_id, left))


def test_what_is_as_it_was_told_is_no_fault() -> None:
    assert [*unsound(books(b=SOLD)), *forgotten(books(b=SOLD), diary()), *gone(books(b=SOLD), books(b=SOLD))] == []


def test_a_seat_that_is_sold_twice_is_seen() -> None:
    assert "sold 2 times" in next(unsound(books(a=SOLD, b=SOLD)))


def test_a_seat_that_stays_booked_for_nobody_is_seen() -> None:
    cancelled = books(b=SOLD)
    cancelled.bookings["b"] = replace(SOLD, status="cancelled")
    assert "booked by nobody" in next(unsound(cancelled))


def test_a_sold_seat_that_can_be_sold_again_is_seen() -> None:
    free = books(b=SOLD)
    del free.claims["s", "2"]
    assert "can be sold again" in next(unsound(free))


def test_a_booking_without_its_row_in_the_audit_trail_is_seen() -> None:
    trail = books(b=SOLD)
    trail.audited = set()
    assert "audit" in next(unsound(trail))


@pytest.mark.parametrize(
    ("stored", "fault"),
    [
        ({}, "has no outcome"),
        ({"b": replace(SOLD, status="cancelled")}, "told as confirmed and is cancelled"),
        ({"b": FAILED}, "told as confirmed and is failed"),
        ({"b": replace(SOLD, key="other")}, "another number or key"),
        ({"b": replace(SOLD, seat_ids=("1", "3"))}, "other seats"),
    ],
)
def test_an_acknowledged_request_that_does_not_stand_is_seen(stored: dict[str, Booking], fault: str) -> None:
    assert fault in "; ".join(forgotten(books(**stored), diary()))


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"cancels": {"b": True}}, "cancellation of b was acknowledged"),
        ({"versions": {"s": 10}}, "told at version 10 and is at 9"),
        ({"titles": {"s": 4}}, "title 4 of s was acknowledged"),
    ],
)
def test_an_acknowledged_change_that_does_not_stand_is_seen(more: dict[str, object], fault: str) -> None:
    assert fault in "; ".join(forgotten(books(b=SOLD), diary(**more)))


def test_a_cancellation_that_was_not_acknowledged_may_have_been_done_or_not() -> None:
    for stored in (SOLD, replace(SOLD, status="cancelled")):
        assert list(forgotten(books(b=stored), diary(cancels={"b": False}))) == []


def test_a_hold_is_to_be_there_until_its_time_is_over() -> None:
    held = Diary(holds={("alice", "s", "1"): 100.0})
    users = {"alice": "user-a"}
    empty, kept = books(), books()
    kept.claims["s", "1"] = Claim(None, "user-a", 100.0)
    assert list(lost_holds(kept, held, users, 99.0)) == []
    assert list(lost_holds(empty, held, users, 100.0)) == []
    assert "is gone" in next(lost_holds(empty, held, users, 99.0))
    kept.claims["s", "1"] = Claim(None, "user-a", 99.5)
    assert "earlier" in next(lost_holds(kept, held, users, 99.0))


def test_a_booking_of_an_earlier_round_that_is_gone_or_changed_is_seen() -> None:
    before = books(b=SOLD)
    assert "is gone" in next(gone(before, books()))
    assert "not what it was" in next(gone(before, books(b=replace(SOLD, number="8"))))
    assert "was confirmed and is cancelled" in next(gone(before, books(b=replace(SOLD, status="cancelled"))))
    assert list(gone(before, books(b=replace(SOLD, status="cancelled")), cancels=["b"])) == []
    older = books(b=SOLD)
    older.versions["s"] = 8
    assert "went back from 9 to 8" in next(gone(before, older))


async def test_what_is_wrong_ends_the_run_and_the_file_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("endurance.torture.unsound", lambda books: ["the sky has fallen"])
    with pytest.raises(Broken, match=r"Round 1 \(.*\) of seed 3: .*the sky has fallen.*box\.db"):
        await torture(1, 3, tmp_path)
    assert kept_in(tmp_path) == ["box.db"]
