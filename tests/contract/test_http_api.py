"""The HTTP API: the same cinema, for when MQTT is not to be had."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

import pytest

from contract.conftest import Join, OpenHouse
from contract.house import (
    ABSENT,
    HOUR,
    LATE_SHOWING,
    MINUTE,
    PAST_SHOWING,
    ROOM,
    RUNNING_SHOWING,
    SHOWING,
    SMALL_ROOM,
    SMALL_SHOWING,
    Premises,
    new_id,
)
from contract.people import Caller, Reply
from plugins.booking.wire import iso_seconds

Http = Callable[[Premises], Caller]
CONFIRMED = {
    *("booking_id", "status", "message", "timestamp", "number"),
    *("total", "currency", "showing_id", "seat_ids", "key"),
}


async def book(call: Caller, who: str, seats: Any, showing_id: str = SHOWING, **more: Any) -> Reply:
    body = {"showing_id": showing_id, "seat_ids": list(seats), "timestamp": "t", "booking_id": new_id(), **more}
    return await call("POST", "/api/bookings", {k: v for k, v in body.items() if v is not None}, who=who)


# For all


async def test_healthz_says_ok(box: Premises, http: Http) -> None:
    reply = await http(box)("GET", "/healthz")
    assert (reply.status, reply.body) == (200, {"status": "ok"})


@pytest.mark.parametrize("path", ["/healthz", "/api/cinema", "/api/me", "/nowhere"])
async def test_every_answer_says_what_time_it_is_at_the_box(box: Premises, http: Http, path: str) -> None:
    before = int(time.time())
    reply = await http(box)("GET", path)
    assert before <= parsedate_to_datetime(reply.headers["Date"]).timestamp() <= time.time()


async def test_the_cinema_says_where_and_what_it_is(open_house: OpenHouse, http: Http) -> None:
    cinema = {"name": "Rialto", "timezone": "Europe/Lisbon", "currency": "CHF", "languages": ["de", "fr"]}
    box = await open_house(
        cinema=cinema,
        booking={"hold_seconds": 60, "max_seats": 4, "cancel_until_minutes": 10, "sales_close_minutes": -5},
        auth={"allow_registration": False},
        web={"public_urls": ["https://box.example.org", "http://box.local"]},
    )
    reply = await http(box)("GET", "/api/cinema")
    assert reply.status == 200
    assert reply.body.items() >= cinema.items()
    assert reply.body["booking"] == {
        "hold_seconds": 60,
        "max_seats": 4,
        "cancel_until_minutes": 10,
        "sales_close_minutes": -5,
    }
    assert (reply.body["allow_guests"], reply.body["allow_registration"]) == (True, False)
    assert reply.body["public_url"] == "https://box.example.org"


async def test_the_showings_are_those_to_come_by_start_in_the_form_of_showing_update(
    box: Premises, http: Http, join: Join
) -> None:
    guest = await join(box)
    await guest.subscribe("showing/update/#")
    updates = {m["showing_id"]: m.body for m in await guest.hear("showing/update/+", 4)}
    reply = await http(box)("GET", "/api/showings")
    assert reply.status == 200
    ids = [showing["showing_id"] for showing in reply.body]
    assert set(ids) == {SHOWING, LATE_SHOWING, SMALL_SHOWING, RUNNING_SHOWING}
    starts = [showing["starts_at"] for showing in reply.body]
    assert starts == sorted(starts)
    for showing in reply.body:
        expected = updates[showing["showing_id"]]
        assert {k: v for k, v in showing.items() if k != "timestamp"} == {
            k: v for k, v in expected.items() if k != "timestamp"
        }


async def test_the_rooms_are_told_to_who_makes_showings(box: Premises, http: Http) -> None:
    call = http(box)
    reply = await call("GET", "/api/rooms", who="manager")
    assert (reply.status, reply.body) == (
        200,
        [
            {
                "room_id": ROOM,
                "name": "Room 1",
                "seats_total": len(box.seats),
                "types": ["premium", "standard", "wheelchair"],
            },
            {"room_id": SMALL_ROOM, "name": "Room 2", "seats_total": len(box.small_seats), "types": ["standard"]},
        ],
    )
    for who, status in ((None, 401), ("vera", 403), ("alice", 403), ("kiosk", 403)):
        assert (await call("GET", "/api/rooms", who=who)).status == status


async def test_a_manager_sees_what_is_over_and_what_was_cancelled_by_its_time(box: Premises, http: Http) -> None:
    call = http(box)
    cancelling = {"action": "cancel", "showing": {"showing_id": SMALL_SHOWING}}
    assert (await call("POST", "/api/showings", cancelling, who="manager")).status == 200
    await book(call, "alice", box.seats[:2])
    body = {"showing_id": SHOWING, "seat_ids": [box.seats[2]], "timestamp": "t", "booking_id": new_id()}
    assert (await call("POST", "/api/holds", body, who="bob")).status == 200

    async def shown(**span: int) -> dict[str, tuple[str, int, int]]:
        times = {name: iso_seconds(box.house.opened_at + hours * HOUR) for name, hours in span.items()}
        reply = await call("GET", f"/api/showings?{urlencode(times)}", who="manager")
        assert reply.status == 200
        return {one["title"]: (one["status"], one["seats_total"], one["seats_available"]) for one in reply.body}

    small, large = len(box.small_seats), len(box.seats)
    past, running = (
        {"A film of yesterday": ("scheduled", small, small)},
        {"A film that runs": ("scheduled", small, small)},
    )
    today = {"A film": ("scheduled", large, large - 3), "A small film": ("cancelled", small, small)}
    assert await shown(to=0) == past | running
    assert await shown(**{"from": -1, "to": 11}) == running | today
    assert list(await shown(**{"from": -4})) == [
        "A film of yesterday",
        "A film that runs",
        *sorted(today, key=lambda title: SHOWING if title == "A film" else SMALL_SHOWING),
        "A late film",
    ]
    for who, status in ((None, 401), ("vera", 403), ("alice", 403), ("kiosk", 403)):
        assert (await call("GET", "/api/showings?from=2030-01-01", who=who)).status == status
    assert (await call("GET", "/api/showings?from=soon", who="manager")).code == "invalid_request"


async def test_the_seats_of_a_showing_are_in_room_order_with_the_version(box: Premises, http: Http, join: Join) -> None:
    alice, guest, call = await join(box, "alice"), await join(box), http(box)
    await alice.watch()
    await alice.book(box.seats[:2])
    await alice.hold(box.seats[2:3])
    await guest.subscribe(f"seats/status/{SHOWING}")
    present = await guest.hear("seats/status/+", 36)
    reply = await call("GET", f"/api/showings/{SHOWING}/seats")
    assert reply.status == 200
    assert set(reply.body) == {"showing_id", "version", "seats"}
    assert (reply.body["showing_id"], reply.body["version"]) == (SHOWING, 3)
    names = ("seat_id", "row", "number", "type", "x", "y", "status")
    assert reply.body["seats"] == [{name: message[name] for name in names} for message in present]


async def test_who_knows_the_seats_is_told_that_they_are_the_same_until_one_changes(box: Premises, http: Http) -> None:
    call, path = http(box), f"/api/showings/{SHOWING}/seats"
    first = await call("GET", path)
    known = {"If-None-Match": first.headers["ETag"]}
    assert first.headers["Cache-Control"] == "private, no-cache"
    same = await call("GET", path, who="alice", headers=known)
    assert (same.status, same.body, same.headers["ETag"]) == (304, b"", first.headers["ETag"])
    await book(call, "alice", box.seats[:1])
    changed = await call("GET", path, headers=known)
    assert (changed.status, changed.body["seats"][0]["status"]) == (200, "booked")
    known = {"If-None-Match": changed.headers["ETag"]}
    assert (await call("GET", path, headers=known)).status == 304
    await box.close()
    await box.reopen()  # perhaps on another file, whose versions say something else
    assert (await call("GET", path, headers=known)).body == changed.body


async def test_nobody_is_told_that_seats_are_the_same_who_may_not_see_them(open_house: OpenHouse, http: Http) -> None:
    box = await open_house(auth={"allow_guests": False})
    call, path = http(box), f"/api/showings/{SHOWING}/seats"
    known = {"If-None-Match": (await call("GET", path, who="alice")).headers["ETag"]}
    assert (await call("GET", path, headers=known)).status == 401


@pytest.mark.parametrize("showing_id", [ABSENT, PAST_SHOWING, "x", "%00", "a%2Fb"])
async def test_the_seats_of_an_unknown_showing_are_404(box: Premises, http: Http, showing_id: str) -> None:
    reply = await http(box)("GET", f"/api/showings/{showing_id}/seats")
    assert (reply.status, reply.code) == (404, "unknown_showing")


async def test_a_manager_sees_the_seats_of_what_is_over_and_of_what_was_cancelled(box: Premises, http: Http) -> None:
    call = http(box)
    await book(call, "alice", box.seats[:2])
    cancelling = {"action": "cancel", "showing": {"showing_id": SMALL_SHOWING}}
    assert (await call("POST", "/api/showings", cancelling, who="manager")).status == 200
    before = (await call("GET", f"/api/showings/{SHOWING}/seats")).body
    assert sum(seat["status"] == "booked" for seat in before["seats"]) == 2
    box.clock.forward(13 * HOUR)
    for showing_id, size in ((SHOWING, 36), (SMALL_SHOWING, 6), (PAST_SHOWING, 6)):
        path = f"/api/showings/{showing_id}/seats"
        reply = await call("GET", path, who="manager")
        assert (reply.status, reply.body["showing_id"], len(reply.body["seats"])) == (200, showing_id, size)
        for who in (None, "alice", "kiosk"):
            assert (await call("GET", path, who=who)).code == "unknown_showing"
        if showing_id == SHOWING:
            assert reply.body == before
    for showing_id in (ABSENT, "x", "%00"):
        reply = await call("GET", f"/api/showings/{showing_id}/seats", who="manager")
        assert (reply.status, reply.code) == (404, "unknown_showing")


async def test_a_hold_that_outlives_its_showing_is_shown_while_it_runs(open_house: OpenHouse, http: Http) -> None:
    box = await open_house(booking={"sales_close_minutes": 600})
    call = http(box)
    box.clock.forward(89 * MINUTE)  # of the 90 that the showing still runs
    hold = {"showing_id": RUNNING_SHOWING, "seat_ids": list(box.small_seats[:2]), "timestamp": "t"}
    assert (await call("POST", "/api/holds", hold, who="bob")).status == 200
    box.clock.forward(2 * MINUTE)
    path = f"/api/showings/{RUNNING_SHOWING}/seats"
    assert (await call("GET", path, who="bob")).status == 404
    seats = (await call("GET", path, who="manager")).body["seats"]
    assert [seat["status"] for seat in seats] == ["reserved"] * 2 + ["available"] * 4


async def test_calls_ask_the_policy_for_the_topic_that_they_stand_for(open_house: OpenHouse, http: Http) -> None:
    policy = {"guest": {"publish": [], "subscribe": []}, "customer": {"publish": ["seats/hold"], "subscribe": []}}
    box = await open_house(policy=policy)
    call = http(box)
    assert (await call("GET", "/api/showings")).status == 401
    assert (await call("GET", f"/api/showings/{SHOWING}/seats")).status == 401
    assert (await call("GET", "/api/showings", who="alice")).status == 403
    assert (await book(call, "alice", box.seats[:1])).status == 403
    assert (await call("GET", "/api/holds", who="alice")).status == 403
    assert (await call("DELETE", f"/api/bookings/{ABSENT}", who="alice")).status == 403
    hold = {"showing_id": SHOWING, "seat_ids": [box.seats[0]], "timestamp": "t"}
    assert (await call("POST", "/api/holds", hold, who="alice")).status == 200
    assert (await call("POST", "/api/holds/release", hold, who="alice")).status == 403
    assert (await call("GET", "/api/showings", who="manager")).status == 200


# Bookings


async def test_a_booking_by_http_is_a_booking_by_mqtt(box: Premises, http: Http, join: Join) -> None:
    guest, alice, call = await join(box), await join(box, "alice"), http(box)
    await guest.watch(f"seats/status/{SHOWING}")
    await alice.watch()
    booking_id = new_id()
    reply = await book(call, "alice", box.seats[:2], booking_id=booking_id)
    assert reply.status == 200
    assert set(reply.body) == CONFIRMED
    assert (await alice.hears(f"booking/confirm/{booking_id}")).body == reply.body
    assert [m["version"] for m in await guest.hear("seats/status/+", 2)] == [1, 2]
    again = await alice.book(box.seats[:2], booking_id=booking_id)
    assert again.body == reply.body
    repeated = await book(call, "alice", box.seats[:2], booking_id=booking_id)
    assert (repeated.status, repeated.body) == (200, reply.body)


async def test_a_cancelled_booking_repeated_is_200_cancelled(box: Premises, http: Http) -> None:
    call, booking_id = http(box), new_id()
    await book(call, "alice", box.seats[:1], booking_id=booking_id)
    cancelled = await call("DELETE", f"/api/bookings/{booking_id}", who="alice")
    assert (cancelled.status, cancelled.body["status"]) == (200, "cancelled")
    repeated = await book(call, "alice", box.seats[:1], booking_id=booking_id)
    assert (repeated.status, repeated.body) == (200, cancelled.body)


@pytest.mark.parametrize(
    ("showing_id", "seats", "code"),
    [
        (ABSENT, slice(0, 1), "unknown_showing"),
        (SMALL_SHOWING, slice(0, 1), "unknown_seat"),
        (SHOWING, slice(35, 36), "seats_unavailable"),
        (SHOWING, slice(0, 11), "too_many_seats"),
        (RUNNING_SHOWING, slice(0, 1), "sales_closed"),
    ],
)
async def test_a_stored_failure_and_a_rejected_hold_are_409_with_the_payload(
    box: Premises, http: Http, showing_id: str, seats: slice, code: str
) -> None:
    call, booking_id = http(box), new_id()
    await book(call, "bob", box.seats[35:36])
    reply = await book(call, "alice", box.seats[seats], showing_id, booking_id=booking_id)
    assert reply.status == 409
    assert set(reply.body) == {"booking_id", "status", "message", "timestamp", "code", "seat_ids"}
    assert (reply.body["status"], reply.body["code"]) == ("failed", code)
    stored = await call("GET", f"/api/bookings/{booking_id}", who="alice")
    assert (stored.status, stored.body) == (200, reply.body)  # whatever its status
    hold = {"showing_id": showing_id, "seat_ids": list(box.seats[seats]), "timestamp": "t"}
    reply = await call("POST", "/api/holds", hold, who="alice")
    assert (reply.status, reply.body["status"], reply.body["code"]) == (409, "rejected", code)


@pytest.mark.parametrize(
    ("who", "fields", "status", "code"),
    [
        (None, {}, 401, "unauthorized"),
        ("alice", {"user_id": ABSENT}, 403, "forbidden"),
        ("alice", {"seat_ids": []}, 400, "invalid_request"),
        ("alice", {"seat_ids": ["x"]}, 400, "invalid_request"),
        ("alice", {"booking_id": "x"}, 400, "invalid_request"),
        ("kiosk", {"booking_id": None}, 400, "invalid_request"),
        ("kiosk", {"user_id": ABSENT}, 404, "unknown_user"),
        ("manager", {"user_id": ABSENT}, 404, "unknown_user"),
    ],
    ids=str,
)
async def test_what_a_booking_is_refused_with(
    box: Premises, http: Http, who: str, fields: dict[str, Any], status: int, code: str
) -> None:
    call = http(box)
    reply = await book(call, who, fields.pop("seat_ids", box.seats[:1]), **fields)
    assert (reply.status, reply.code) == (status, code)


async def test_somebody_elses_booking_id_is_409_conflict(box: Premises, http: Http) -> None:
    call, booking_id = http(box), new_id()
    await book(call, "alice", box.seats[:1], booking_id=booking_id)
    reply = await book(call, "bob", box.seats[:1], booking_id=booking_id)
    assert (reply.status, reply.code) == (409, "conflict")


async def test_a_booking_is_shown_to_who_may_see_it_and_404_to_others(box: Premises, http: Http) -> None:
    call, booking_id = http(box), new_id()
    booked = await book(call, "kiosk", box.seats[:1], booking_id=booking_id, user_id=box.user_id("alice"))
    path = f"/api/bookings/{booking_id}"
    for who in ("alice", "kiosk", "manager"):
        reply = await call("GET", path, who=who)
        assert (reply.status, reply.body) == (200, booked.body)
    unknown = await call("GET", f"/api/bookings/{ABSENT}", who="bob")
    for who in ("bob", "vera", "kiosk2"):
        for method, asked in (("GET", path), ("GET", f"{path}/ticket"), ("DELETE", path)):
            reply = await call(method, asked, who=who)
            assert (reply.status, reply.code) == (404, "unknown_booking")
            assert reply.body["message"] == unknown.body["message"]
    assert (await call("GET", "/api/bookings/x", who="alice")).code == "unknown_booking"
    for path in (f"/api/bookings/{booking_id}", f"/api/bookings/{booking_id}/ticket", f"/api/bookings/{ABSENT}"):
        assert (await call("GET", path)).status == 401


async def test_a_key_opens_its_booking_alone_without_signing_in_and_for_reading_only(box: Premises, http: Http) -> None:
    call = http(box)
    booked, other = await book(call, "alice", box.seats[:1]), await book(call, "alice", box.seats[1:2])
    path, key = f"/api/bookings/{booked.body['booking_id']}", {"Authorization": f"Key {booked.body['key']}"}
    reply = await call("GET", path, headers=key)
    assert (reply.status, reply.body) == (200, booked.body)
    for wrong in (other.body["key"], booked.body["key"][:-1], "", "x"):
        reply = await call("GET", path, headers={"Authorization": f"Key {wrong}"})
        assert reply.status in (401, 404)
    assert (await call("GET", f"/api/bookings/{other.body['booking_id']}", headers=key)).status == 404
    assert (await call("GET", f"/api/bookings/{ABSENT}", headers=key)).status == 404
    for method, elsewhere in (("DELETE", path), ("PATCH", path), ("GET", "/api/bookings"), ("GET", "/api/me")):
        assert (await call(method, elsewhere, headers=key)).status == 401
    assert (await call("GET", f"/api/bookings/{other.body['booking_id']}/ticket", headers=key)).status == 404
    await call("DELETE", path, who="alice")
    assert (await call("GET", path, headers=key)).body["status"] == "cancelled"
    assert (await call("GET", f"{path}/ticket", headers=key)).body["status"] == "cancelled"


async def test_an_address_of_the_house_is_not_whoever_booked_at_its_kiosk(box: Premises, http: Http) -> None:
    call = http(box)
    for who, seat, email in (("kiosk", 0, None), ("kiosk", 1, "walk-in@example.org"), ("alice", 2, None)):
        await book(call, who, box.seats[seat : seat + 1], email=email)
    listed = (await call("GET", "/api/bookings", who="manager")).body
    assert [one.get("email") for one in reversed(listed)] == [None, "walk-in@example.org", "alice@example.org"]


async def test_a_ticket_says_what_the_booking_is_for_and_not_whose_it_is(box: Premises, http: Http) -> None:
    call = http(box)
    booked = await book(call, "alice", [box.seats[20], box.seats[0]], email="other@example.org")
    path, key = f"/api/bookings/{booked.body['booking_id']}/ticket", {"Authorization": f"Key {booked.body['key']}"}
    ticket = (await call("GET", path, headers=key)).body
    assert ticket.items() >= booked.body.items()
    assert (ticket["showing"]["title"], ticket["showing"]["room"]) == ("A film", "Room 1")
    assert [(seat["row"], seat["number"], seat["price"]) for seat in ticket["seats"]] == [
        ("C", 5, "12.00"),
        ("A", 1, "9.50"),
    ]
    assert not {"user_id", "name", "email"} & ticket.keys()
    failed_id = new_id()
    await book(call, "alice", [ABSENT], booking_id=failed_id)
    reply = await call("GET", f"/api/bookings/{failed_id}/ticket", who="alice")
    assert (reply.status, reply.code) == (404, "unknown_booking")


async def test_cancelling_is_refused_as_by_mqtt(box: Premises, http: Http) -> None:
    call, failed_id, late_id = http(box), new_id(), new_id()
    await book(call, "alice", [ABSENT], booking_id=failed_id)
    reply = await call("DELETE", f"/api/bookings/{failed_id}", who="alice")
    assert (reply.status, reply.code) == (409, "conflict")
    await book(call, "alice", box.seats[:1], booking_id=late_id)
    await book(call, "kiosk", box.seats[1:2], booking_id=(early_id := new_id()))
    box.clock.forward(10 * HOUR - 60)
    reply = await call("DELETE", f"/api/bookings/{late_id}", who="alice")
    assert (reply.status, reply.code) == (409, "sales_closed")
    reply = await call("DELETE", f"/api/bookings/{early_id}", who="kiosk")
    assert (reply.status, reply.code) == (403, "forbidden")
    assert (await call("DELETE", f"/api/bookings/{late_id}", who="manager")).body["status"] == "cancelled"


async def test_a_list_of_bookings_is_ones_own_with_whose_what_and_how_paid(box: Premises, http: Http) -> None:
    call = http(box)
    mine = await book(call, "alice", [box.seats[20], box.seats[0]], email="other@example.org")
    for_me = await book(call, "kiosk", box.seats[1:2], user_id=box.user_id("alice"))
    await book(call, "bob", box.seats[2:3])
    reply = await call("GET", "/api/bookings", who="alice")
    assert reply.status == 200
    listed = {booking["booking_id"]: booking for booking in reply.body}
    assert set(listed) == {mine.body["booking_id"], for_me.body["booking_id"]}
    booking = listed[mine.body["booking_id"]]
    assert {name: booking[name] for name in CONFIRMED} == mine.body
    assert set(booking) >= {"user_id", "name", "email", "showing", "seats"}
    assert (booking["user_id"], booking["name"], booking["email"]) == (
        box.user_id("alice"),
        "Alice",
        "other@example.org",
    )
    assert (booking["showing"]["title"], booking["showing"]["room"]) == ("A film", "Room 1")
    assert sorted((seat["row"], seat["number"], seat["price"]) for seat in booking["seats"]) == [
        ("A", 1, "9.50"),
        ("C", 5, "12.00"),
    ]
    assert {b["booking_id"] for b in (await call("GET", "/api/bookings", who="kiosk")).body} == {
        for_me.body["booking_id"]
    }
    assert (await call("GET", "/api/bookings")).status == 401


async def test_a_manager_finds_bookings_by_showing_number_name_seat_and_time(box: Premises, http: Http) -> None:
    call = http(box)
    one = (await book(call, "alice", box.seats[:2])).body
    two = (await book(call, "bob", box.seats[:1], LATE_SHOWING)).body
    three = (await book(call, "kiosk", box.small_seats[:1], SMALL_SHOWING, user_id=box.user_id("bob"))).body

    async def found(query: str, who: str = "manager") -> set[str]:
        reply = await call("GET", f"/api/bookings?{query}", who=who)
        assert reply.status == 200, reply.body
        return {booking["booking_id"] for booking in reply.body}

    ids = [booking["booking_id"] for booking in (one, two, three)]
    start = datetime.fromtimestamp(box.house.opened_at + 15 * HOUR).astimezone().isoformat().replace("+", "%2B")
    assert await found("") == set(ids)
    assert await found(f"showing_id={SHOWING}") == {ids[0]}
    assert await found(f"number={two['number']}") == {ids[1]}
    assert await found("name=alice") == {ids[0]}
    assert await found("name=bob%40example") == {ids[1], ids[2]}
    assert await found("seat=A2") == {ids[0]}
    assert await found(f"seat={box.small_seats[0]}") == {ids[2]}
    assert await found(f"from={start}") == {ids[1]}
    assert await found(f"to={start}") == {ids[0], ids[2]}
    assert await found("from=2001-01-01&to=2001-12-31") == set()
    assert await found("name=%25") == set()
    assert await found("number=x") == set()
    assert await found(f"showing_id={SHOWING}", "bob") == set()
    wrongs = ("from=yesterday", "showing_id=x", "name=" + "x" * 1000)
    for wrong in (*wrongs, "latest=0", "latest=101", "latest=-1", "latest=x", "latest=%D9%A3", "latest=" + "9" * 5000):
        reply = await call("GET", f"/api/bookings?{wrong}", who="manager")
        assert (reply.status, reply.code) == (400, "invalid_request"), wrong


async def test_the_latest_bookings_are_those_that_were_made_or_cancelled_last(box: Premises, http: Http) -> None:
    call, ids = http(box), []
    for place, who in enumerate(("alice", "bob", "alice")):
        ids.append((await book(call, who, box.seats[place : place + 1])).body["booking_id"])
        box.clock.forward(1)

    async def latest(number: int, who: str) -> list[str]:
        return [one["booking_id"] for one in (await call("GET", f"/api/bookings?latest={number}", who=who)).body]

    assert await latest(2, "manager") == [ids[2], ids[1]]
    assert (await call("DELETE", f"/api/bookings/{ids[0]}", who="alice")).status == 200
    assert await latest(2, "manager") == [ids[0], ids[2]]
    assert await latest(100, "manager") == [ids[0], ids[2], ids[1]]
    assert await latest(1, "bob") == [ids[1]]


async def test_the_house_notes_how_a_booking_was_paid(box: Premises, http: Http) -> None:
    call = http(box)
    booked = await book(call, "kiosk", box.seats[:1], user_id=box.user_id("alice"))
    path = f"/api/bookings/{booked.body['booking_id']}"
    for who, paid in (("kiosk", "cash"), ("manager", "card"), ("manager", "other"), ("kiosk", None)):
        reply = await call("PATCH", path, {"paid": paid}, who=who)
        assert reply.status == 200
        assert (reply.body["booking_id"], reply.body.get("paid")) == (booked.body["booking_id"], paid)
        (listed,) = (await call("GET", "/api/bookings", who="alice")).body
        assert listed.get("paid") == paid
    for who, status in (("alice", 403), ("kiosk2", 404), (None, 401)):
        assert (await call("PATCH", path, {"paid": "cash"}, who=who)).status == status
    for body in ({"paid": "shells"}, {}, {"paid": 1}):
        assert (await call("PATCH", path, body, who="kiosk")).code == "invalid_request"
    assert (await call("PATCH", f"/api/bookings/{ABSENT}", {"paid": None}, who="kiosk")).code == "unknown_booking"


# Holds


async def test_holds_by_http_are_holds_by_mqtt(box: Premises, http: Http, join: Join) -> None:
    alice, call = await join(box, "alice"), http(box)
    await alice.watch()
    hold = {"showing_id": SHOWING, "seat_ids": list(box.seats[:2]), "timestamp": "t"}
    held = await call("POST", "/api/holds", hold, who="alice")
    assert (held.status, held.body["status"]) == (200, "held")
    told = await alice.hears("users/+/holds")
    assert {k: v for k, v in told.body.items() if k != "timestamp"} == {
        k: v for k, v in held.body.items() if k != "timestamp"
    }
    reply = await call("GET", "/api/holds", who="alice")
    assert reply.status == 200
    (running,) = reply.body
    assert sorted(running["seat_ids"]) == sorted(box.seats[:2])
    assert running["expires_at"] == held.body["expires_at"]
    assert (await call("GET", "/api/holds", who="bob")).body == []
    rejected = await call("POST", "/api/holds", hold, who="bob")
    assert (rejected.status, rejected.body["status"], rejected.body["code"]) == (409, "rejected", "seats_unavailable")
    released = await call("POST", "/api/holds/release", hold | {"seat_ids": [box.seats[0]]}, who="alice")
    assert (released.status, released.body["status"], released.body["seat_ids"]) == (200, "released", [box.seats[0]])
    assert (await alice.hears("users/+/holds"))["status"] == "released"
    for method, path in (("GET", "/api/holds"), ("POST", "/api/holds"), ("POST", "/api/holds/release")):
        assert (await call(method, path, hold if method == "POST" else None)).status == 401


# Showings


async def test_a_manager_changes_showings_and_gets_the_update(box: Premises, http: Http, join: Join) -> None:
    guest, call, showing_id = await join(box), http(box), new_id()
    await guest.watch("showing/update/#")
    fields = {"title": "New", "starts_at": "2031-01-01T20:00:00Z", "room_id": SMALL_ROOM, "price": "7.50"}
    body = {"action": "create", "showing": {"showing_id": showing_id, **fields}}
    reply = await call("POST", "/api/showings", body, who="manager")
    told = (await guest.hears("showing/update/+")).body
    assert reply.status == 200
    assert {k: v for k, v in reply.body.items() if k != "timestamp"} == {
        k: v for k, v in told.items() if k != "timestamp"
    }
    other = {"action": "create", "showing": {"showing_id": showing_id, **fields, "title": "Other"}}
    for who, sent, status, code in (
        (None, body, 401, "unauthorized"),
        ("alice", body, 403, "forbidden"),
        ("kiosk", body, 403, "forbidden"),
        ("manager", {"action": "create"}, 400, "invalid_request"),
        ("manager", other, 409, "conflict"),
        ("manager", {"action": "cancel", "showing": {"showing_id": ABSENT}}, 404, "unknown_showing"),
    ):
        reply = await call("POST", "/api/showings", sent, who=who)
        assert (reply.status, reply.code) == (status, code)
    cancel = {"action": "cancel", "showing": {"showing_id": showing_id}}
    assert (await call("POST", "/api/showings", cancel, who="manager")).body["status"] == "cancelled"


# Bodies and errors

POSTS = ["/api/bookings", "/api/holds", "/api/holds/release", "/api/showings", "/api/users", "/api/session"]


@pytest.mark.parametrize("path", POSTS)
async def test_a_body_is_application_json_else_415(box: Premises, http: Http, path: str) -> None:
    who = None if path == "/api/session" else "manager"
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        reply = await http(box)("POST", path, who=who, data=b"{}", headers={"Content-Type": content_type})
        assert reply.status == 415
        assert reply.code
    headers = {"Content-Type": "application/json; charset=utf-8"}
    assert (await http(box)("POST", path, who=who, data=b"{}", headers=headers)).status == 400


@pytest.mark.parametrize("path", POSTS)
async def test_a_body_that_is_not_json_or_of_another_shape_is_400(box: Premises, http: Http, path: str) -> None:
    who = None if path == "/api/session" else "manager"
    for data, code in (
        (b"{", "invalid_json"),
        (b"\xff\xfe", "invalid_json"),
        (b"[]", "invalid_request"),
        (b"{}", "invalid_request"),
    ):
        reply = await http(box)("POST", path, who=who, data=data, headers={"Content-Type": "application/json"})
        assert (reply.status, reply.code) == (400, code), data


@pytest.mark.parametrize("path", POSTS)
async def test_a_body_that_is_too_large_is_413(box: Premises, http: Http, path: str) -> None:
    data = json.dumps({"padding": "x" * 70_000}).encode()
    who = None if path == "/api/session" else "manager"
    reply = await http(box)("POST", path, who=who, data=data, headers={"Content-Type": "application/json"})
    assert reply.status == 413
    assert reply.code


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/nothing", 404),
        ("GET", "/nothing", 404),
        ("PUT", "/api/bookings", 405),
        ("DELETE", "/api/showings", 405),
        ("POST", "/healthz", 405),
    ],
)
async def test_whatever_is_not_there_is_an_error_of_the_same_form(
    box: Premises, http: Http, method: str, path: str, status: int
) -> None:
    reply = await http(box)(method, path)
    assert reply.status == status
    assert set(reply.body) == {"code", "message"}


async def test_an_error_repeats_nothing_of_what_was_sent(box: Premises, http: Http) -> None:
    script = "<script>alert(1)</script>"
    call = http(box)
    for path, body in (
        ("/api/bookings", {"showing_id": script, "seat_ids": [script], "timestamp": "t"}),
        ("/api/users", {"username": script, "password": script, script: 1}),
        ("/api/showings", {"action": script, "showing": {"title": script}}),
    ):
        reply = await call("POST", path, body, who="manager")
        assert 400 <= reply.status < 500
        assert "script" not in json.dumps(reply.body)


# Origin and Host


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "{own}"}, 200),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://localhost:{port}"}, 403),  # another host than the request's
        ({"Origin": "https://127.0.0.1:{port}"}, 403),  # another scheme
        ({"Origin": "http://127.0.0.1:1"}, 403),  # another port
        ({"Origin": "https://box.example.org"}, 200),  # one of public_urls
        ({"Origin": "http://box.example.org"}, 403),
        ({"Host": "localhost:{port}"}, 200),
        ({"Host": "box.local"}, 200),
        ({"Host": "192.0.2.1"}, 200),
        ({"Host": "[2001:db8::1]:80"}, 200),
        ({"Host": "box.example.org"}, 200),
        ({"Host": "evil.example"}, 421),
        ({"Host": "localhost.evil.example"}, 421),
        ({"Host": "evil.example:{port}"}, 421),
        ({"Host": ""}, 421),
        ({"Host": "box.local", "Origin": "http://box.local"}, 200),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 421),
    ],
    ids=str,
)
async def test_origin_and_host_must_be_the_boxs_own(
    open_house: OpenHouse, http: Http, headers: dict[str, str], status: int
) -> None:
    box = await open_house(web={"public_urls": ["https://box.example.org"]})
    port = box.host.web_addresses[0][1]
    sent = {name: value.format(own=box.url(""), port=port) for name, value in headers.items()}
    for method, path in (("GET", "/api/cinema"), ("GET", "/api/showings")):
        reply = await http(box)(method, path, headers=sent)
        assert reply.status == status
        assert status == 200 or reply.code


async def test_forwarded_addresses_are_believed_from_trusted_proxies_alone(
    open_house: OpenHouse, http: Http, join: Join
) -> None:
    caps = {"booking": {"max_held_per_address": 2}}
    for number, (proxies, statuses) in enumerate((([], [200, 409]), (["127.0.0.1"], [200, 200]))):
        box = await open_house(web={"trusted_proxies": proxies}, **caps)
        found = []
        for place, who in enumerate(("alice", "bob")):
            hold = {"showing_id": SHOWING, "seat_ids": list(box.seats[2 * place : 2 * place + 2]), "timestamp": "t"}
            forwarded = {"X-Forwarded-For": f"198.51.100.{place + number}"}
            found.append((await http(box)("POST", "/api/holds", hold, who=who, headers=forwarded)).status)
        assert found == statuses
        await box.close()


async def test_an_address_is_an_ipv4_address_or_an_ipv6_64(open_house: OpenHouse, http: Http) -> None:
    box = await open_house(web={"trusted_proxies": ["127.0.0.1"]}, booking={"max_held_per_address": 2})
    call, statuses = http(box), []
    for place, (who, address) in enumerate(
        [
            ("alice", "2001:db8:0:1::1"),
            ("bob", "2001:db8:0:1:ffff::2"),  # the same subscriber's network
            ("bob", "2001:db8:0:2::1"),
            ("carol", "198.51.100.1"),
            ("dave", "::ffff:198.51.100.1"),
        ]
    ):
        hold = {"showing_id": SHOWING, "seat_ids": list(box.seats[2 * place : 2 * place + 2]), "timestamp": "t"}
        statuses.append((await call("POST", "/api/holds", hold, who=who, headers={"X-Forwarded-For": address})).status)
    assert statuses == [200, 409, 200, 200, 409]


async def test_many_who_book_one_seat_by_http_get_it_once(box: Premises, http: Http) -> None:
    call = http(box)
    people = ["alice", "bob", "carol", "dave", "vera", "kiosk", "manager"]
    replies = await asyncio.gather(*(book(call, who, box.seats[:1]) for who in people))
    assert sorted(reply.status for reply in replies) == [200] + [409] * 6
