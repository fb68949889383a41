"""The box office as a client of the box sees it: commands in, messages and acknowledgements out, on a real database."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from small_cinema import (
    ALICE,
    BOB,
    HOUR,
    KIOSK,
    LATE_SHOWING,
    MANAGER,
    NOW,
    OTHER_KIOSK,
    ROLES,
    SEATS,
    SHOWING,
    VISITOR,
    an_id,
    open_cinema,
    terms,
)

from broker.audit import MIGRATIONS, Audit
from broker.plugin import CALLER, Action, Audience, Caller, Command, Identity, Refusal, StorageUnavailableError
from broker.storage.database import Database
from plugins.booking.cinema import Sender
from plugins.booking.http import BookingHttp
from plugins.booking.ledger import migrations
from plugins.booking.present import BookingsPresent, Copy, SeatsPresent
from plugins.booking.service import Service
from plugins.booking.wire import BookingRequest, iso

BOOKING = an_id(0xB0)
GUEST = Identity(None, None, "guest")
ADDRESS = "2001:db8:1:2::/64"


def identity(user_id: str) -> Identity:
    return Identity(user_id, user_id[-4:], ROLES[user_id])


@dataclass
class Timer:
    at: float
    then: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class Published:
    topic: str
    body: dict[str, Any]
    qos: int
    audience: Audience | None


@dataclass
class Stage:
    """A box with turned clocks that keeps what is published. The wall clock may be ``wrong_by`` so many seconds."""

    database: Database
    time: float = NOW
    wrong_by: float = 0
    published: list[Published] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    timers: list[Timer] = field(default_factory=list)
    forbidden: set[tuple[str, str]] = field(default_factory=set)
    settings: Any = field(
        default_factory=lambda: SimpleNamespace(
            booking=terms(),
            cinema=SimpleNamespace(name="Cinema", timezone="Europe/Amsterdam", currency="EUR", languages=["en", "nl"]),
            auth=SimpleNamespace(allow_guests=True, allow_registration=True),
            listeners=SimpleNamespace(web=SimpleNamespace(public_urls=[])),
        )
    )
    service: Service = field(init=False)
    audit: Audit = field(init=False)

    def now(self) -> float:
        return self.time + self.wrong_by

    def monotonic(self) -> float:
        return self.time

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, audience: Audience | None = None) -> None:
        self.published.append(Published(topic, json.loads(payload), qos, audience))

    def renew(self, topic: str) -> None:
        self.renewed.append(topic)

    def refused(self, reason: str) -> None:
        self.refusals.append(reason)

    def may(self, caller: Identity, action: Action, topic: str) -> bool:
        return (caller.role, topic) not in self.forbidden

    def call_later(self, seconds: float, then: Callable[[], None]) -> Timer:
        self.timers.append(Timer(self.time + seconds, then))
        return self.timers[-1]

    async def pass_time(self, seconds: float) -> None:
        self.time += seconds
        for timer in [timer for timer in self.timers if timer.at <= self.time]:
            self.timers.remove(timer)
            if not timer.cancelled:
                timer.then()
        await self.settle()

    async def settle(self) -> None:
        """All that is queued is decided and told."""
        with contextlib.suppress(StorageUnavailableError):
            await self.database.write(lambda db: None)

    def send(self, user_id: str | None, topic: str, body: Any, told: list[str] | None = None, name: str = "") -> None:
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        acknowledged = told if told is not None else []
        who = GUEST if user_id is None else identity(user_id)
        self.service.take(Command(topic, payload, who, ADDRESS, lambda: acknowledged.append(name or topic)))

    async def say(self, user_id: str | None, topic: str, body: Any) -> list[Published]:
        """Send a command; what is published in answer. Its acknowledgement is awaited, exactly one."""
        before, acknowledged = len(self.published), list[str]()
        self.send(user_id, topic, body, acknowledged)
        await self.settle()
        assert len(acknowledged) == 1
        return self.published[before:]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    path = tmp_path / "cinema.db"
    open_cinema(path).conn.close()
    database = Database(path)
    stage = Stage(database)
    stage.audit = Audit(database, now=stage.now, call_later=stage.call_later)
    database.open([MIGRATIONS, migrations], settled=stage.audit.settled)
    stage.service = Service(stage, call_later=stage.call_later)
    await stage.service.start()
    await stage.settle()
    yield stage
    stage.service.stop()
    await database.close()


def booking(seats: tuple[str, ...] = SEATS[:1], **more: Any) -> dict[str, Any]:
    return {"showing_id": SHOWING, "seat_ids": list(seats), "timestamp": "1970-01-01"} | more


def topics(published: list[Published]) -> list[str]:
    return [message.topic for message in published]


# MQTT


async def test_a_booking_is_confirmed_to_its_owner_and_its_seats_to_all(stage: Stage) -> None:
    confirm, seat, update = await stage.say(ALICE, "booking/request", booking(booking_id=BOOKING))
    assert (confirm.topic, confirm.qos) == (f"booking/confirm/{BOOKING}", 1)
    assert confirm.audience == Audience(frozenset({ALICE}), frozenset({"manager"}))
    assert confirm.body["status"] == "confirmed"
    assert confirm.body["total"] == "9.50"
    assert set(confirm.body) == {
        "booking_id", "status", "message", "timestamp", "number", "total", "currency", "showing_id", "seat_ids", "key"
    }  # fmt: skip
    assert (seat.topic, seat.qos, seat.audience) == (f"seats/status/{SHOWING}", 0, None)
    assert seat.body == {
        "showing_id": SHOWING,
        "seat_id": SEATS[0],
        "status": "booked",
        "version": 1,
        "timestamp": "2030-03-17T17:46:40.000Z",
    }
    assert (update.topic, update.body["seats_available"]) == (f"showing/update/{SHOWING}", 29)


async def test_a_booking_without_an_id_sent_again_is_the_same_booking(stage: Stage) -> None:
    first, *_ = await stage.say(ALICE, "booking/request", booking(SEATS[:2]))
    (again,) = await stage.say(ALICE, "booking/request", booking(SEATS[1::-1]))
    assert again.topic == first.topic
    assert again.body == first.body
    assert again.audience == Audience(frozenset({ALICE}))
    other, *_ = await stage.say(ALICE, "booking/request", booking(SEATS[:2], timestamp="later"))
    assert other.body["code"] == "seats_unavailable"


@pytest.mark.parametrize(
    ("sender", "topic", "body", "code"),
    [
        (ALICE, "booking/request", b"{", "invalid_json"),
        (ALICE, "booking/request", {"showing_id": SHOWING}, "invalid_request"),
        (ALICE, "booking/request", booking(user_id=BOB), "forbidden"),
        (ALICE, "booking/request", booking(user_id=an_id(0xDEAD)), "forbidden"),
        (KIOSK, "booking/request", booking(), "invalid_request"),
        (KIOSK, "booking/request", booking(booking_id=BOOKING, user_id=an_id(0xDEAD)), "unknown_user"),
        (ALICE, "booking/cancel", {"booking_id": BOOKING, "timestamp": "now"}, "unknown_booking"),
        (ALICE, "booking/cancel", {"booking_id": BOOKING, "user_id": BOB, "timestamp": "now"}, "forbidden"),
        (ALICE, "seats/hold", booking(user_id=BOB), "forbidden"),
        (MANAGER, "showing/request", {"action": "cancel", "showing": {"showing_id": an_id(0xDEAD)}}, "unknown_showing"),
    ],
)
async def test_a_refusal_goes_to_the_sender_alone(stage: Stage, sender: str, topic: str, body: Any, code: str) -> None:
    (error,) = await stage.say(sender, topic, body)
    assert error.topic == f"users/{sender}/errors"
    assert (error.body["topic"], error.body["code"], error.qos) == (topic, code, 1)
    assert error.audience is not None
    assert error.audience.users == {sender}
    if isinstance(body, dict) and "booking_id" in body:
        assert error.body["booking_id"] == body["booking_id"]


async def test_a_guests_command_says_nothing(stage: Stage) -> None:
    assert await stage.say(None, "booking/request", booking()) == []


async def test_outcomes_come_in_the_order_of_the_commands_refusals_too(stage: Stage) -> None:
    acknowledged: list[str] = []
    for name, body in (
        ("first", booking(booking_id=BOOKING)),
        ("second", b"{"),
        ("third", booking(SEATS[1:2])),
    ):
        stage.send(ALICE, "booking/request", body, acknowledged, name)
    assert acknowledged == []
    await stage.settle()
    assert acknowledged == ["first", "second", "third"]
    private = [message for message in stage.published if message.audience is not None]
    assert [message.body.get("code", message.body.get("status")) for message in private] == [
        "confirmed",
        "invalid_json",
        "confirmed",
    ]


async def test_a_disk_that_refuses_is_told_and_changes_nothing(stage: Stage) -> None:
    await stage.database.write(lambda db: db.conn.execute("PRAGMA query_only = ON").fetchall())
    (error,) = await stage.say(ALICE, "booking/request", booking(booking_id=BOOKING))
    assert (error.body["code"], error.topic) == ("storage_unavailable", f"users/{ALICE}/errors")
    (error,) = await stage.say(ALICE, "booking/request", b"{")
    assert error.body["code"] == "invalid_json"
    assert stage.service.copy.outcome(BOOKING) is None


async def test_a_failing_plan_of_telling_still_acknowledges(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("the fan-out is broken")

    monkeypatch.setattr(stage, "publish", fail)
    acknowledged: list[str] = []
    stage.send(ALICE, "booking/request", booking(), acknowledged)
    await stage.settle()
    assert acknowledged == ["booking/request"]


async def test_holds_are_told_to_whom_they_are_for_and_to_who_placed_them(stage: Stage) -> None:
    told = await stage.say(KIOSK, "seats/hold", booking(user_id=ALICE, booking_id=BOOKING))
    inboxes = [message for message in told if message.topic.startswith("users/")]
    assert topics(inboxes) == [f"users/{ALICE}/holds", f"users/{KIOSK}/holds"]
    assert inboxes[0].body == {
        "showing_id": SHOWING,
        "seat_ids": [SEATS[0]],
        "status": "held",
        "message": "Held.",
        "timestamp": "2030-03-17T17:46:40.000Z",
        "booking_id": BOOKING,
        "expires_at": "2030-03-17T17:51:40.000Z",
    }


async def test_a_hold_ends_by_itself_and_all_are_told(stage: Stage) -> None:
    await stage.say(ALICE, "seats/hold", booking())
    await stage.pass_time(10)
    await stage.say(BOB, "seats/hold", booking(SEATS[1:2]))
    stage.published.clear()
    for _ in range(28):
        await stage.pass_time(10)
    assert [m.body["status"] for m in stage.published if m.topic.startswith("users/")] == []
    await stage.pass_time(10.1)
    await stage.pass_time(0.1)
    expired = [m for m in stage.published if m.topic == f"users/{ALICE}/holds"]
    assert [m.body["status"] for m in expired] == ["expired"]
    assert stage.service.copy.showings[SHOWING].available == 29
    await stage.pass_time(10)
    await stage.pass_time(0.1)
    assert stage.service.copy.showings[SHOWING].available == 30


async def test_holds_that_ran_out_while_the_box_was_off_end_at_its_start(stage: Stage) -> None:
    await stage.say(ALICE, "seats/hold", booking())
    stage.time += 299
    again = Service(stage, call_later=stage.call_later)
    await again.start()
    assert again.copy.showings[SHOWING].available == 29
    again.stop()
    stage.time += 1
    again = Service(stage, call_later=stage.call_later)
    await again.start()
    assert again.copy.showings[SHOWING].available == 30
    again.stop()


async def test_holds_that_a_start_with_the_clock_behind_moved_move_on_when_it_is_set_right(stage: Stage) -> None:
    await stage.say(ALICE, "seats/hold", booking())
    stage.service.stop()
    stage.time += 100
    stage.wrong_by = -5 * HOUR
    again = Service(stage, call_later=stage.call_later)
    await again.start()
    assert [hold.until for hold in again.copy.holds.values()] == [stage.now() + 300]  # nobody knows that 100 are gone
    await stage.pass_time(20)
    stage.wrong_by = 0
    await stage.pass_time(30)
    assert [hold.until for hold in again.copy.holds.values()] == [NOW + 400]
    again.stop()


async def test_showings_are_seen_again_when_a_clock_that_was_ahead_is_set_right(stage: Stage) -> None:
    await stage.say(ALICE, "booking/request", booking(booking_id=BOOKING))
    await stage.pass_time(590)
    stage.wrong_by = 30 * HOUR
    await stage.pass_time(10)
    assert stage.service.copy.showings == {}
    stage.wrong_by = 0
    stage.published.clear()
    await stage.pass_time(30)
    assert sorted(topics(stage.published)) == [
        f"booking/confirm/{BOOKING}",
        f"showing/update/{SHOWING}",
        f"showing/update/{LATE_SHOWING}",
    ]
    assert stage.renewed == [f"seats/status/{SHOWING}", f"seats/status/{LATE_SHOWING}"]
    assert stage.service.copy.showings[SHOWING].available == 29
    assert [outcome.booking_id for outcome in stage.service.copy.mine(identity(ALICE), stage.now())] == [BOOKING]
    known = stage.service.copy
    await stage.pass_time(30)
    assert stage.service.copy is known  # it is read once, not at each look


async def test_a_box_that_started_with_its_clock_ahead_finds_its_showings_when_it_is_set_right(stage: Stage) -> None:
    stage.wrong_by = 30 * HOUR
    again = Service(stage, call_later=stage.call_later)
    await again.start()
    assert again.copy.showings == {}
    stage.wrong_by = 0
    await stage.pass_time(30)
    assert set(again.copy.showings) == {SHOWING, LATE_SHOWING}
    again.stop()


async def test_what_cannot_be_read_anew_at_once_is_read_later(stage: Stage) -> None:
    stage.wrong_by = 30 * HOUR
    await stage.pass_time(600)
    stage.wrong_by = 0
    await stage.database.write(lambda db: db.conn.execute("ALTER TABLE hold_runs RENAME TO hidden"))
    await stage.pass_time(30)
    assert stage.service.copy.showings == {}
    await stage.database.write(lambda db: db.conn.execute("ALTER TABLE hidden RENAME TO hold_runs"))
    await stage.pass_time(30)
    assert set(stage.service.copy.showings) == {SHOWING, LATE_SHOWING}


def told_of_holds(stage: Stage, user_id: str) -> list[tuple[str, str | None]]:
    """Status and end of what came to the user's inbox, which is emptied with it."""
    told = [m.body for m in stage.published if m.topic == f"users/{user_id}/holds"]
    stage.published.clear()
    return [(body["status"], body.get("expires_at")) for body in told]


SET_BY = pytest.mark.parametrize("set_by", [5 * HOUR, -5 * HOUR], ids=["forward", "back"])


@SET_BY
async def test_a_hold_lasts_as_long_as_it_was_to_last_though_the_clock_is_set(stage: Stage, set_by: float) -> None:
    await stage.say(ALICE, "seats/hold", booking())
    await stage.pass_time(60)
    stage.published.clear()
    stage.wrong_by = set_by
    await stage.pass_time(30)
    assert told_of_holds(stage, ALICE) == [("held", iso(stage.now() + 210))]
    assert [hold.until for hold in stage.service.copy.holds.values()] == [stage.now() + 210]
    for _ in range(7):
        assert stage.service.copy.showings[SHOWING].available == 29
        await stage.pass_time(29.9)
    await stage.pass_time(1)
    assert told_of_holds(stage, ALICE) == [("expired", None)]
    assert stage.service.copy.showings[SHOWING].available == 30


@SET_BY
async def test_a_command_that_comes_first_after_the_clock_was_set_finds_the_holds_moved(
    stage: Stage, set_by: float
) -> None:
    await stage.say(ALICE, "seats/hold", booking())
    stage.wrong_by = set_by
    failed = [m.body.get("code") for m in await stage.say(BOB, "booking/request", booking()) if m.audience]
    assert failed == [None, "seats_unavailable"]  # Alice's new end, then Bob's answer
    stage.wrong_by = 0
    confirmed, *_ = [m for m in await stage.say(ALICE, "booking/request", booking(booking_id=BOOKING)) if m.qos][1:]
    assert confirmed.body["status"] == "confirmed"


async def test_a_clock_that_is_merely_corrected_is_no_news_to_who_holds_seats(stage: Stage) -> None:
    await stage.say(ALICE, "seats/hold", booking())
    stage.published.clear()
    for second in (-1, 8, -1, 8):
        stage.wrong_by = second
        await stage.pass_time(30)
    assert stage.published == []


async def test_many_small_steps_of_the_clock_are_a_large_one(stage: Stage) -> None:
    await stage.say(ALICE, "seats/hold", booking())
    for number in range(1, 26):
        stage.wrong_by = 9 * number
        await stage.pass_time(10)
    assert stage.service.copy.holds  # 250 of its 300 seconds, though the wall clock went 475
    await stage.pass_time(70)
    assert not stage.service.copy.holds


async def test_nothing_is_decided_by_a_clock_that_was_set_until_the_holds_could_be_moved(stage: Stage) -> None:
    await stage.say(ALICE, "seats/hold", booking())
    await stage.pass_time(10)
    stage.published.clear()
    stage.wrong_by = 5 * HOUR
    await stage.database.write(lambda db: db.conn.execute("ALTER TABLE hold_runs RENAME TO hidden"))
    for set_by in (5 * HOUR, 6 * HOUR, 3 * HOUR):  # and set twice more meanwhile
        stage.wrong_by = set_by
        (error,) = await stage.say(BOB, "booking/request", booking())
        assert error.body["code"] == "storage_unavailable"
        await stage.pass_time(2)
    await stage.database.write(lambda db: db.conn.execute("ALTER TABLE hidden RENAME TO hold_runs"))
    (error,) = await stage.say(BOB, "booking/request", booking())
    assert error.body["code"] == "storage_unavailable"
    stage.published.clear()
    await stage.pass_time(2)
    assert told_of_holds(stage, ALICE) == [("held", iso(NOW + 3 * HOUR + 300))]
    (confirmed, *_) = await stage.say(ALICE, "booking/request", booking(booking_id=BOOKING))
    assert confirmed.body["status"] == "confirmed"


async def test_a_clock_set_in_the_midst_of_a_batch_that_fails_loses_no_hold(stage: Stage) -> None:
    def fail_at_the_commit(db: Any) -> None:
        db.conn.execute("PRAGMA defer_foreign_keys = ON")
        db.conn.execute("UPDATE showings SET room_id = 'none'")

    await stage.say(ALICE, "seats/hold", booking())
    stage.wrong_by = 5 * HOUR
    stage.send(BOB, "booking/request", booking())
    with pytest.raises(StorageUnavailableError):
        await stage.database.write(fail_at_the_commit)
    assert stage.published[-1].body["code"] == "storage_unavailable"
    (error,) = await stage.say(BOB, "booking/request", booking())
    assert error.body["code"] == "storage_unavailable"
    stage.published.clear()
    await stage.pass_time(1)
    assert told_of_holds(stage, ALICE) == [("held", iso(NOW + 5 * HOUR + 300))]


async def test_a_clock_set_shortly_before_the_box_stops_loses_no_hold(stage: Stage) -> None:
    await stage.say(ALICE, "seats/hold", booking())
    stage.wrong_by = 5 * HOUR
    stage.service.stop()
    await stage.settle()
    again = Service(stage, call_later=stage.call_later)
    await again.start()
    assert [hold.until for hold in again.copy.holds.values()] == [NOW + 5 * HOUR + 300]
    again.stop()


async def test_seats_available_is_told_at_once_and_then_at_most_once_a_second(stage: Stage) -> None:
    def updates() -> list[int]:
        return [m.body["seats_available"] for m in stage.published if m.topic.startswith("showing/update/")]

    for n in range(5):
        await stage.say(ALICE, "booking/request", booking(SEATS[n : n + 1]))
    assert updates() == [29]
    await stage.pass_time(0.9)
    assert updates() == [29]
    await stage.pass_time(0.2)
    assert updates() == [29, 25]
    await stage.pass_time(1.1)
    await stage.say(ALICE, "booking/request", booking(SEATS[5:6]))
    assert updates() == [29, 25, 24]


async def test_a_manager_makes_moves_and_cancels_a_showing(stage: Stage) -> None:
    fields = {
        "showing_id": an_id(0x3000),
        "title": "New",
        "starts_at": "2030-06-01T20:00:00Z",
        "room": "Room 2",
        "price": "7.50",
    }
    (made,) = await stage.say(MANAGER, "showing/request", {"action": "create", "showing": fields})
    assert (made.topic, made.audience, made.body["seats_total"]) == (f"showing/update/{an_id(0x3000)}", None, 6)
    assert made.body["ends_at"] == "2030-06-01T22:00:00Z"
    assert stage.renewed == [f"seats/status/{an_id(0x3000)}"]
    (again,) = await stage.say(MANAGER, "showing/request", {"action": "create", "showing": fields})
    assert again.audience == Audience(frozenset({MANAGER}))
    (update,) = await stage.say(
        MANAGER, "showing/request", {"action": "update", "showing": {"showing_id": an_id(0x3000), "room": "Room 1"}}
    )
    assert (update.body["seats_total"], update.body["version"], len(stage.renewed)) == (30, 1, 2)
    await stage.say(ALICE, "booking/request", booking(showing_id=an_id(0x3000), booking_id=BOOKING))
    told = await stage.say(MANAGER, "showing/request", {"action": "cancel", "showing": {"showing_id": an_id(0x3000)}})
    assert [m.body["status"] for m in told] == ["cancelled", "available", "cancelled"]


async def test_a_showing_that_was_over_and_is_moved_on_is_seen_again(stage: Stage) -> None:
    stage.time = NOW + 15 * HOUR
    stage.service.copy.evict(stage.time)
    starts_at = "2030-06-01T20:00:00Z"
    await stage.say(
        MANAGER, "showing/request", {"action": "update", "showing": {"showing_id": SHOWING, "starts_at": starts_at}}
    )
    await stage.settle()
    assert stage.published[-1].body["starts_at"] == starts_at
    assert stage.renewed == [f"seats/status/{SHOWING}"]


async def test_what_another_process_changed_is_told(stage: Stage) -> None:
    other = open_cinema(stage.database.path)
    other.conn.execute("UPDATE showings SET title = 'Renamed' WHERE showing_id = ?", (SHOWING,))
    other.conn.execute("UPDATE seats SET type = 'wheelchair' WHERE seat_id = ?", (SEATS[0],))
    other.conn.close()
    await stage.service.reload()
    assert [(m.topic, m.body["title"]) for m in stage.published] == [(f"showing/update/{SHOWING}", "Renamed")]
    assert sorted(stage.renewed) == [f"seats/status/{SHOWING}", f"seats/status/{LATE_SHOWING}"]


async def test_a_closed_account_frees_its_seats(stage: Stage) -> None:
    await stage.say(ALICE, "seats/hold", booking())
    await stage.say(ALICE, "booking/request", booking(SEATS[1:2], booking_id=BOOKING))
    stage.published.clear()
    await stage.service.user_deactivated(ALICE, cancel_bookings=True)
    assert [m.body["status"] for m in stage.published if m.audience] == ["cancelled", "released"]
    assert stage.service.copy.showings[SHOWING].available == 30


async def test_a_forbidden_topic_is_told_to_who_tried_it(stage: Stage) -> None:
    stage.service.refused_topic(identity(ALICE), "seats/status/x")
    stage.service.refused_topic(identity(ALICE), "evil\n")
    stage.service.refused_topic(GUEST, "seats/hold")
    assert [(m.topic, m.body["topic"], m.body["code"]) for m in stage.published] == [
        (f"users/{ALICE}/errors", "seats/status/x", "forbidden"),
        (f"users/{ALICE}/errors", "", "forbidden"),
    ]


async def test_the_present_has_every_change_before_it_is_published(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    present = SeatsPresent(lambda: stage.service.copy, stage.now)
    seen: list[bool] = []
    publish = stage.publish

    def watch(topic: str, payload: bytes, **options: Any) -> None:
        publish(topic, payload, **options)
        if topic.startswith("seats/status/"):
            live = json.loads(payload)
            states = [json.loads(message.payload) for message in present.messages(topic, GUEST)]
            seen.append(any(s["seat_id"] == live["seat_id"] and s["status"] == live["status"] for s in states))
            seen.append(states[0]["version"] >= live["version"])

    monkeypatch.setattr(stage, "publish", watch)
    await stage.say(ALICE, "booking/request", booking(SEATS[:3]))
    assert seen == [True] * 6


async def test_who_loses_a_hold_to_another_process_is_told(stage: Stage) -> None:
    await stage.say(ALICE, "seats/hold", booking(SEATS[:2]))
    other = sqlite3.connect(stage.database.path)
    with other:
        other.execute("DELETE FROM seat_claims")
    other.close()
    before = len(stage.published)
    await stage.service.reload()
    (notice,) = [message for message in stage.published[before:] if message.topic == f"users/{ALICE}/holds"]
    assert (notice.body["status"], sorted(notice.body["seat_ids"])) == ("released", sorted(SEATS[:2]))
    assert f"seats/status/{SHOWING}" in stage.renewed


async def test_a_booking_of_a_showing_long_over_is_read_when_asked_for_exactly(stage: Stage) -> None:
    await stage.say(ALICE, "booking/request", booking(booking_id=BOOKING))
    present = BookingsPresent(lambda: stage.service.copy, stage.now, stage.service.read_old)
    topic = f"booking/confirm/{BOOKING}"
    stage.service.copy = Copy()
    await present.prepare(topic, identity(ALICE))
    assert list(present.topics(topic, identity(ALICE))) == []  # of a showing not over: the live copy alone knows
    stage.time += 15 * HOUR
    await stage.service.reload()
    assert stage.service.copy.outcome(BOOKING) is None
    await present.prepare(topic, identity(BOB))
    assert list(present.topics(topic, identity(BOB))) == []
    assert list(present.topics(topic, identity(ALICE))) == [topic]
    assert json.loads(present.messages(topic, identity(ALICE))[0].payload)["status"] == "confirmed"


# HTTP


@web.middleware
async def door(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """What the web door does for a handler: who calls, and refusals as answers."""
    user_id = request.headers.get("X-User")
    request[CALLER] = Caller(identity(user_id) if user_id else GUEST, request.headers.get("X-Address", ADDRESS))
    try:
        return await handler(request)
    except Refusal as refusal:
        return web.json_response({"code": refusal.code, "message": refusal.message}, status=refusal.status)


Call = Callable[..., Awaitable[tuple[int, Any]]]


@pytest.fixture
async def call(stage: Stage) -> AsyncIterator[Call]:
    app = web.Application(middlewares=[door])
    app.add_routes(BookingHttp(stage.service).routes())
    async with TestClient(TestServer(app)) as client:

        async def call(user_id: str | None, method: str, path: str, body: Any = None, **headers: str) -> Any:
            if user_id:
                headers["X-User"] = user_id
            async with client.request(method, path, json=body, headers=headers) as response:
                return response.status, await response.json()

        yield call


async def test_a_booking_over_http_is_the_same_as_over_mqtt(stage: Stage, call: Call) -> None:
    status, body = await call(ALICE, "POST", "/api/bookings", booking(booking_id=BOOKING))
    assert (status, body["status"]) == (200, "confirmed")
    assert stage.published[0].body == body
    assert await call(ALICE, "POST", "/api/bookings", booking(booking_id=BOOKING)) == (200, body)
    assert await call(ALICE, "GET", f"/api/bookings/{BOOKING}") == (200, body)
    assert await call(None, "GET", f"/api/bookings/{BOOKING}", Authorization=f"Key {body['key']}") == (200, body)
    assert (await call(None, "GET", f"/api/bookings/{BOOKING}", Authorization="Key x"))[0] == 404
    assert (await call(BOB, "GET", f"/api/bookings/{BOOKING}"))[0] == 404
    assert (await call(None, "GET", f"/api/bookings/{BOOKING}"))[0] == 401
    status, failed = await call(BOB, "POST", "/api/bookings", booking(booking_id=an_id(0xB1)))
    assert (status, failed["code"], failed["seat_ids"]) == (409, "seats_unavailable", [SEATS[0]])
    assert (await call(BOB, "GET", f"/api/bookings/{an_id(0xB1)}"))[0] == 200
    status, cancelled = await call(ALICE, "DELETE", f"/api/bookings/{BOOKING}")
    assert (status, cancelled["status"]) == (200, "cancelled")


async def test_bookings_are_listed_with_what_surrounds_them(call: Call) -> None:
    await call(KIOSK, "POST", "/api/bookings", booking((SEATS[25],), booking_id=BOOKING, user_id=ALICE))
    await call(BOB, "POST", "/api/bookings", booking(SEATS[:1], email="bob@cinema.example"))
    status, (mine,) = await call(ALICE, "GET", "/api/bookings")
    assert status == 200
    assert (mine["user_id"], mine["name"], mine["email"]) == (ALICE, "User 0", "user0@example.org")
    assert mine["showing"]["title"] == "A film"
    assert mine["seats"] == [{"seat_id": SEATS[25], "row": "C", "number": 6, "type": "premium", "price": "12.00"}]
    assert len((await call(MANAGER, "GET", "/api/bookings"))[1]) == 2
    assert len((await call(MANAGER, "GET", "/api/bookings?seat=C6&from=2030-03-18&to=2030-03-18"))[1]) == 1
    assert (await call(MANAGER, "GET", "/api/bookings?to=2030-03-17"))[1] == []
    assert (await call(MANAGER, "GET", "/api/bookings?from=soon"))[0] == 400
    assert len((await call(KIOSK, "GET", "/api/bookings"))[1]) == 1


async def test_the_house_notes_how_a_booking_was_paid(call: Call) -> None:
    await call(KIOSK, "POST", "/api/bookings", booking(booking_id=BOOKING, user_id=ALICE))
    path = f"/api/bookings/{BOOKING}"
    status, paid = await call(KIOSK, "PATCH", path, {"paid": "cash"})
    assert (status, paid["paid"]) == (200, "cash")
    assert "paid" not in (await call(MANAGER, "PATCH", path, {"paid": None}))[1]
    assert (await call(ALICE, "PATCH", path, {"paid": "cash"}))[0] == 403
    assert (await call(OTHER_KIOSK, "PATCH", path, {"paid": "cash"}))[0] == 404
    assert (await call(KIOSK, "PATCH", path, {"paid": "gold"}))[0] == 400


async def test_holds_over_http(call: Call) -> None:
    status, held = await call(ALICE, "POST", "/api/holds", booking(SEATS[:2]))
    assert (status, held["status"]) == (200, "held")
    assert (await call(BOB, "POST", "/api/holds", booking(SEATS[:2])))[0] == 409
    status, (running,) = await call(ALICE, "GET", "/api/holds")
    assert (set(running["seat_ids"]), running["expires_at"]) == (set(SEATS[:2]), held["expires_at"])
    status, released = await call(ALICE, "POST", "/api/holds/release", booking(SEATS[:2]))
    assert (status, released["seat_ids"]) == (200, list(SEATS[:2]))
    assert (await call(ALICE, "GET", "/api/holds"))[1] == []


async def test_one_addresss_holds_by_mqtt_and_by_http_share_its_cap(stage: Stage, call: Call) -> None:
    stage.service.ledger.terms = terms(max_held_per_address=4)
    await stage.say(ALICE, "seats/hold", booking(SEATS[:3]))
    status, rejected = await call(BOB, "POST", "/api/holds", booking(SEATS[3:5]))
    assert (status, rejected["code"]) == (409, "too_many_seats")
    other = {"X-Address": "2001:db8:1:3::/64"}
    assert (await call(BOB, "POST", "/api/holds", booking(SEATS[3:5]), **other))[0] == 200
    assert (await call(VISITOR, "POST", "/api/holds", booking(SEATS[5:6])))[0] == 200
    rejected = (await stage.say(ALICE, "seats/hold", booking(SEATS[6:7])))[-1].body
    assert (rejected["status"], rejected["code"]) == ("rejected", "too_many_seats")


@pytest.mark.parametrize("change", ["is_active = 0", "role = 'customer'"])
async def test_who_was_of_the_house_when_the_call_came_and_is_not_any_more_changes_nothing(
    stage: Stage, call: Call, change: str
) -> None:
    await call(KIOSK, "POST", "/api/bookings", booking(booking_id=BOOKING, user_id=ALICE))
    await stage.database.write(lambda db: db.conn.execute(f"UPDATE users SET {change}").fetchall())
    before = len(stage.published)
    cancel = {"action": "cancel", "showing": {"showing_id": SHOWING}}
    for user_id, method, path, body in (
        (KIOSK, "PATCH", f"/api/bookings/{BOOKING}", {"paid": "cash"}),
        (KIOSK, "DELETE", f"/api/bookings/{BOOKING}", None),
        (MANAGER, "POST", "/api/showings", cancel),
    ):
        status, refused = await call(user_id, method, path, body)
        assert (status, refused["code"]) == (403, "forbidden"), path
    (error,) = await stage.say(MANAGER, "showing/request", cancel)
    assert (error.body["code"], error.body["showing_id"]) == ("forbidden", SHOWING)
    assert len(stage.published) == before + 1


async def test_a_filter_that_cannot_be_is_told_by_its_name_and_what_is_wrong_with_it(call: Call) -> None:
    for query, wrong in (
        (f"name={'x' * 201}", "name must be at most 200 characters long."),
        ("seat=A%001", "seat must be text without control characters and invisible ones."),
        ("number=%E2%80%8BABCDEF", "number must be text without control characters and invisible ones."),
        ("showing_id=x", "showing_id must be a lower-case UUID with hyphens."),
    ):
        status, refused = await call(MANAGER, "GET", f"/api/bookings?{query}")
        assert (status, refused) == (400, {"code": "invalid_request", "message": wrong})


async def test_a_showing_that_would_end_beyond_the_calendar_is_refused_and_the_others_stay_in_sight(call: Call) -> None:
    fields = {"showing_id": an_id(0x3000), "title": "Last", "room": "Room 2", "price": "7.50"}
    for starts_at in ("9999-12-31T23:59:00Z", "9998-12-31T23:59:00Z"):
        body = {"action": "create", "showing": fields | {"starts_at": starts_at}}
        status, refused = await call(MANAGER, "POST", "/api/showings", body)
        assert (status, refused["code"]) == (400, "invalid_request")
        assert "from 1970 to 9998" in refused["message"]
    assert len((await call(None, "GET", "/api/showings"))[1]) == 2


async def test_showings_and_seats_are_for_all(call: Call) -> None:
    assert (await call(None, "GET", "/api/cinema"))[1]["timezone"] == "Europe/Amsterdam"
    status, showings = await call(None, "GET", "/api/showings")
    assert [showing["showing_id"] for showing in showings] == [SHOWING, LATE_SHOWING]
    assert showings[0]["prices"] == {"premium": "12.00"}
    status, plan = await call(None, "GET", f"/api/showings/{SHOWING}/seats")
    assert [seat["seat_id"] for seat in plan["seats"]] == list(SEATS)
    assert (await call(None, "GET", f"/api/showings/{an_id(0xDEAD)}/seats"))[0] == 404
    body = {"action": "update", "showing": {"showing_id": SHOWING, "title": "Renamed"}}
    status, showing = await call(MANAGER, "POST", "/api/showings", body)
    assert (status, showing["title"]) == (200, "Renamed")


async def test_what_the_policy_forbids_is_forbidden_over_http_too(stage: Stage, call: Call) -> None:
    stage.forbidden |= {("customer", "booking/request"), ("guest", "showing/update/#")}
    assert (await call(ALICE, "POST", "/api/bookings", booking()))[0] == 403
    assert (await call(None, "POST", "/api/bookings", booking()))[0] == 401
    assert (await call(None, "GET", "/api/showings"))[0] == 401


async def test_callers_who_go_away_leave_their_booking_standing(stage: Stage) -> None:
    request = BookingRequest.model_validate(booking(booking_id=BOOKING))
    task = asyncio.ensure_future(stage.service.book(Sender(ALICE, "customer"), request))
    await asyncio.sleep(0)
    task.cancel()
    await stage.settle()
    assert stage.published[0].body["status"] == "confirmed"
