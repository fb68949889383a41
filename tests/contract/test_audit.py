"""The audit trail of a served cinema: each change with its row, floods with few, and nothing that anybody typed."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections import Counter
from collections.abc import Callable

import pytest

from broker.audit import GATHER_SECONDS, Entry, Row, find
from broker.storage.database import connect
from contract.conftest import Join, OpenHouse
from contract.house import ROOM, SHOWING, Premises, new_id
from contract.people import TIMESTAMP, Caller, Person

Call = Callable[[Premises], Caller]
HERE = "127.0.0.1"
NASTY = [
    "\x1b]0;owned\x07",
    "'; DROP TABLE audit; --",
    "name\nwith lines",
    "\u202eexe.live",
    "x" * 3000,
    "\ud800",
    "€\x00",
]


def rows(box: Premises) -> list[Row]:
    """The whole trail as another connection sees it, without the import that made the house."""
    db = connect(box.path, read_only=True)
    try:
        return [row for row in find(db, last=100_000) if row.at >= box.house.opened_at and row.entry.address]
    finally:
        db.conn.close()


def entries(box: Premises) -> list[Entry]:
    return [row.entry for row in rows(box)]


def entry(
    box: Premises, who: str | None, action: str, outcome: str, subject: str | None = None, *, by: str = ""
) -> Entry:
    """Of what somebody did from here, or ``by`` did for them."""
    account = None if who is None else box.user_id(by or who)
    return Entry(account, HERE, action, outcome, subject, box.user_id(who) if by and who else None)


def basic(username: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()}


async def come(join: Join, box: Premises, name: str) -> Person:
    """Somebody at a client who hears of their own."""
    person = await join(box, name)
    await person.watch()
    return person


# Changes


async def test_each_booking_and_each_cancellation_has_its_row(box: Premises, join: Join, http: Call) -> None:
    alice, ids = await come(join, box, "alice"), [new_id(), new_id()]
    await alice.book(box.seats[:1], booking_id=ids[0])
    body = {"showing_id": SHOWING, "seat_ids": [box.seats[1]], "timestamp": TIMESTAMP, "booking_id": ids[1]}
    assert (await http(box)("POST", "/api/bookings", body, who="alice")).status == 200
    await alice.cancel(ids[1])
    assert (await http(box)("DELETE", f"/api/bookings/{ids[0]}", who="alice")).status == 200
    assert entries(box) == [
        entry(box, "alice", "booking/request", "confirmed", ids[0]),
        entry(box, "alice", "booking/request", "confirmed", ids[1]),
        entry(box, "alice", "booking/cancel", "cancelled", ids[1]),
        entry(box, "alice", "booking/cancel", "cancelled", ids[0]),
    ]
    assert {row.times for row in rows(box)} == {1}


async def test_a_repeated_command_leaves_no_second_row(box: Premises, join: Join) -> None:
    alice, booking_id = await come(join, box, "alice"), new_id()
    for _ in range(3):
        await alice.book(box.seats[:1], booking_id=booking_id)
    assert entries(box) == [entry(box, "alice", "booking/request", "confirmed", booking_id)]


async def test_the_row_says_for_whom(box: Premises, join: Join, http: Call) -> None:
    kiosk, booking_id = await come(join, box, "kiosk"), new_id()
    await kiosk.book(box.seats[:1], booking_id=booking_id, user_id=box.user_id("alice"))
    paid = await http(box)("PATCH", f"/api/bookings/{booking_id}", {"paid": "cash"}, who="kiosk")
    assert paid.status == 200
    assert entries(box) == [
        entry(box, "alice", "booking/request", "confirmed", booking_id, by="kiosk"),
        entry(box, "kiosk", "booking/paid", "cash", booking_id),
    ]


async def test_a_cancelled_showing_leaves_a_row_for_each_of_its_bookings(box: Premises, join: Join) -> None:
    alice, bob, manager = [await come(join, box, name) for name in ("alice", "bob", "manager")]
    mine, his = new_id(), new_id()
    await alice.book(box.seats[:1], booking_id=mine)
    await bob.book(box.seats[1:2], booking_id=his)
    await manager.request("showing/request", action="cancel", showing={"showing_id": SHOWING})
    await manager.settle()
    assert entries(box)[2:] == [
        entry(box, "alice", "booking/cancel", "cancelled", mine, by="manager"),
        entry(box, "bob", "booking/cancel", "cancelled", his, by="manager"),
        entry(box, "manager", "showing/request", "cancelled", SHOWING),
    ]


async def test_showings_that_are_made_and_changed_leave_rows(box: Premises, http: Call) -> None:
    showing_id = new_id()
    start = {"title": "Made up", "starts_at": "2031-01-01T20:00:00Z", "room_id": ROOM, "price": "5.00"}
    for action, fields in (("create", start), ("update", {"price": "6.00"}), ("update", {"price": "6.00"})):
        body = {"action": action, "showing": {"showing_id": showing_id, **fields}}
        assert (await http(box)("POST", "/api/showings", body, who="manager")).status == 200
    assert entries(box) == [
        entry(box, "manager", "showing/request", outcome, showing_id) for outcome in ("created", "updated")
    ]


async def test_what_a_manager_does_to_a_user_leaves_a_row_for_each_part(box: Premises, join: Join, http: Call) -> None:
    alice, booking_id = await come(join, box, "alice"), new_id()
    await alice.book(box.seats[:1], booking_id=booking_id)
    user = box.user_id("alice")
    change = {"role": "kiosk", "password": "another long one"}
    close = {"is_active": False, "cancel_bookings": True}
    for body in (change, close, {"is_active": True}, {"role": "kiosk"}):
        assert (await http(box)("PATCH", f"/api/users/{user}", body, who="manager")).status == 200
    assert entries(box)[1:] == [
        entry(box, "manager", "user/change", "role kiosk", user),
        entry(box, "manager", "user/change", "password", user),
        entry(box, "manager", "user/change", "disabled", user),
        entry(box, "alice", "booking/cancel", "cancelled", booking_id, by="manager"),
        entry(box, "manager", "user/change", "enabled", user),
    ]


async def test_who_joins_and_who_gets_a_token_leaves_rows(box: Premises, http: Call) -> None:
    call = http(box)
    account = {"username": "newcomer", "password": "a long enough one"}
    added = await call("POST", "/api/users", account)
    visitor = await call("POST", "/api/session", {"name": "Vi", "email": "vi@example.org"})
    renewed = await call("POST", "/api/session", who="bob")
    token = {"Authorization": f"Bearer {renewed.body['token']}"}
    assert (await call("DELETE", "/api/session", headers=token)).status == 204
    visitor_id = visitor.body["user"]["user_id"]
    assert entries(box) == [
        entry(box, None, "user/add", "customer", added.body["user_id"]),
        entry(box, None, "user/add", "visitor", visitor_id),
        Entry(visitor_id, HERE, "session", "created"),
        entry(box, "bob", "session", "created"),
        entry(box, "bob", "session", "ended"),
    ]


# In the same transaction


@pytest.mark.parametrize(
    "breaks",
    [
        "BEGIN SELECT RAISE(ABORT, 'no row'); END",  # the row is refused
        "BEGIN INSERT INTO broken VALUES (1); END",  # the commit is
    ],
)
async def test_without_its_row_there_is_no_change_and_without_the_change_no_row(
    box: Premises, join: Join, http: Call, breaks: str
) -> None:
    with sqlite3.connect(box.path) as other:
        other.execute("CREATE TABLE nowhere (id INTEGER PRIMARY KEY)")
        other.execute("CREATE TABLE broken (id REFERENCES nowhere (id) DEFERRABLE INITIALLY DEFERRED)")
        other.execute(f"CREATE TRIGGER breaks AFTER INSERT ON audit {breaks}")
    alice, booking_id = await come(join, box, "alice"), new_id()
    answer = await alice.book(box.seats[:1], booking_id=booking_id)
    assert answer["code"] == "storage_unavailable"
    change = {"is_active": False}
    assert (await http(box)("PATCH", f"/api/users/{box.user_id('bob')}", change, who="manager")).status >= 500
    with sqlite3.connect(box.path) as other:
        assert other.execute("SELECT count(*) FROM bookings").fetchone() == (0,)
        assert other.execute("SELECT is_active FROM users WHERE username = 'bob'").fetchone() == (1,)
        other.execute("DROP TRIGGER breaks")
    assert rows(box) == []
    assert (await alice.book(box.seats[:1], booking_id=booking_id))["status"] == "confirmed"
    assert entries(box) == [entry(box, "alice", "booking/request", "confirmed", booking_id)]


# Floods


async def test_a_flood_of_refusals_by_mqtt_and_http_is_few_rows_whose_counts_add_up(
    box: Premises, join: Join, http: Call
) -> None:
    alice, call = await come(join, box, "alice"), http(box)
    theirs = {"showing_id": SHOWING, "seat_ids": [box.seats[0]], "timestamp": TIMESTAMP, "user_id": new_id()}
    for number in range(40):
        await alice.send("booking/request", {**theirs, "user_id": new_id()})
        await alice.send("showing/request", {"number": number})
        await alice.send("seats/hold", b"not JSON")
        assert (await call("POST", "/api/bookings", theirs, who="alice")).status == 403
        assert (await call("POST", "/api/showings", {}, who="alice")).status == 403
        assert (await call("POST", "/api/holds", data=b"{", headers=token_of(box, "alice"))).status == 400
    await alice.settle()
    await box.close()
    expected = {
        ("booking/request", "forbidden"): 80,
        ("showing/request", "forbidden"): 80,
        ("seats/hold", "invalid_json"): 80,
    }
    assert tally(box) == expected
    assert len(rows(box)) == 2 * len(expected)


async def test_what_goes_on_for_minutes_is_two_rows_a_minute(box: Premises, join: Join) -> None:
    alice = await come(join, box, "alice")
    for _ in range(3):
        for _ in range(10):
            await alice.hold(box.seats[:1])
        box.clock.forward(GATHER_SECONDS + 1)
    await box.close()
    assert [row.times for row in rows(box)] == [1, 9] * 3
    assert {row.entry for row in rows(box)} == {entry(box, "alice", "seats/hold", "held", SHOWING)}


async def test_holds_and_failures_name_their_outcome(box: Premises, join: Join) -> None:
    alice, bob, booking_id = await come(join, box, "alice"), await come(join, box, "bob"), new_id()
    await alice.hold(box.seats[:1])
    await bob.hold(box.seats[:1])
    await bob.book(box.seats[:1], booking_id=booking_id)
    await alice.release(box.seats[:1])
    await bob.release(box.seats[:1])  # which finds nothing, and so does nothing
    assert entries(box) == [
        entry(box, "alice", "seats/hold", "held", SHOWING),
        entry(box, "bob", "seats/hold", "seats_unavailable", SHOWING),
        entry(box, "bob", "booking/request", "seats_unavailable", booking_id),
        entry(box, "alice", "seats/release", "released", SHOWING),
    ]


async def test_wrong_passwords_are_gathered_with_the_account_that_was_tried(open_house: OpenHouse, http: Call) -> None:
    box = await open_house(limits={"login_failures_per_minute": 3})
    call = http(box)
    tried = [("alice", 3), ("nobody-here", 3), ("No such\tname", 2)]
    for name, times in tried:
        for _ in range(times):
            assert (await call("GET", "/api/me", headers=basic(name, "a wrong one"))).status in (401, 429)
    assert (await call("GET", "/api/me", headers={"Authorization": "Bearer no-such-token"})).status == 401
    await box.close()
    named, unnamed = entry(box, "alice", "session", "unauthorized"), entry(box, None, "session", "unauthorized")
    counts = Counter[Entry]()
    for row in rows(box):
        counts[row.entry] += row.times
    assert counts == {named: 3, entry(box, None, "session", "rate_limited"): 5, unnamed: 1}


async def test_a_hundred_accounts_more_than_are_told_apart_are_one_number(box: Premises, http: Call) -> None:
    with sqlite3.connect(box.path) as other:
        before = other.execute("SELECT count(*) FROM audit").fetchone()[0]
    for number in range(150):
        box.host.audit.gather_alone(Entry(None, f"10.0.0.{number}", "session", "unauthorized"))
    await box.close()
    with sqlite3.connect(box.path) as other:
        count, times = other.execute("SELECT count(*), sum(count) FROM audit WHERE id > ?", (before,)).fetchone()
    assert (count, times) == (101, 150)


# Nothing typed


@pytest.mark.parametrize("typed", NASTY)
async def test_nothing_that_was_typed_and_no_secret_is_in_any_column(
    box: Premises, join: Join, http: Call, typed: str
) -> None:
    alice, call = await come(join, box, "alice"), http(box)
    text = json.dumps(typed)
    for topic in ("booking/request", "booking/cancel", "seats/hold", "seats/release"):
        await alice.send(topic, f'{{"booking_id": {text}, "showing_id": {text}, "user_id": {text}}}'.encode())
    for topic in ("showing/request", "made/up/by/alice"):
        await alice.send(topic, text.encode())
    await alice.settle()
    for method, path in (
        ("POST", "/api/users"),
        ("PATCH", "/api/me"),
        ("POST", "/api/session"),
        ("POST", "/api/holds"),
    ):
        body = dict.fromkeys(("username", "name", "email", "password", "old_password", "showing_id"), typed)
        await call(method, path, body, who="alice" if method == "PATCH" or "holds" in path else None)
    if typed.isprintable():
        await call("GET", "/api/me", headers=basic("alice", typed))
        await call(
            "GET", "/api/me", headers={"Authorization": f"Bearer {typed.encode(errors='replace').decode('latin-1')}"}
        )
    await box.close()
    assert len(rows(box)) >= 8
    ids = set(box.house.user_ids.values())
    for row in rows(box):
        assert row.entry.account in ids | {None}
        assert row.entry.on_behalf_of is None
        assert row.entry.subject is None
        assert row.entry.address == HERE
        assert row.entry.action in ACTIONS
        assert row.entry.outcome in CODES


ACTIONS = {
    "booking/request", "booking/cancel", "seats/hold", "seats/release", "showing/request", "publish", "session",
    "user/add", "user/change",
}  # fmt: skip
CODES = {"forbidden", "invalid_request", "invalid_json", "unauthorized", "too_large"}


def token_of(box: Premises, name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {box.house.tokens[name]}", "Content-Type": "application/json"}


def tally(box: Premises) -> dict[tuple[str, str], int]:
    counts = Counter[tuple[str, str]]()
    for row in rows(box):
        counts[row.entry.action, row.entry.outcome] += row.times
    return dict(counts)
