"""Refusals that change and store nothing, and the inbox that they go to; outcomes, and who may see them."""

from __future__ import annotations

import json

import pytest

from contract.conftest import Join
from contract.house import ABSENT, SHOWING, Premises, new_id

COMMANDS = ["booking/request", "booking/cancel", "seats/hold", "seats/release"]
SEAT = "0b1c2d3e-0000-4000-8000-000000000001"


@pytest.mark.parametrize("topic", [*COMMANDS, "showing/request"])
async def test_what_is_not_json_is_invalid_json(box: Premises, join: Join, topic: str) -> None:
    manager = await join(box, "manager")
    await manager.watch("users/+/errors")
    for payload in (b"", b"{", b"\xff\xfe{}", b'{"showing_id": "', b"seats please"):
        await manager.send(topic, payload)
        told = await manager.answer()
        assert told.topic == f"users/{manager.user_id}/errors"
        assert set(told.body) == {"topic", "code", "message", "timestamp"}
        assert (told["topic"], told["code"]) == (topic, "invalid_json"), payload
        assert (told.qos, told.retain) == (1, False)


@pytest.mark.parametrize("topic", [*COMMANDS, "showing/request"])
async def test_json_of_another_shape_is_invalid_request(box: Premises, join: Join, topic: str) -> None:
    manager = await join(box, "manager")
    await manager.watch("users/+/errors")
    for payload in (b"[]", b"null", b"7", b'"text"', b"{}"):
        await manager.send(topic, payload)
        assert (await manager.answer())["code"] == "invalid_request", payload


WRONG_SEATS = [
    None,
    [],
    [SEAT, SEAT],
    ["a1"],
    [SEAT.upper()],
    [SEAT.replace("-", "")],
    [7],
    SEAT,
    {"a": 1},
    [SEAT + "\n"],
]


@pytest.mark.parametrize("topic", ["booking/request", "seats/hold", "seats/release"])
async def test_no_repeated_or_malformed_seat_ids_are_invalid_request(box: Premises, join: Join, topic: str) -> None:
    alice = await join(box, "alice")
    await alice.watch()
    for seat_ids in WRONG_SEATS:
        booking_id = new_id()
        request = {"showing_id": SHOWING, "booking_id": booking_id, "timestamp": "t"}
        await alice.send(topic, request if seat_ids is None else request | {"seat_ids": seat_ids})
        told = await alice.answer()
        assert (told["topic"], told["code"]) == (topic, "invalid_request"), seat_ids
        assert "seat_ids" in told["message"]
        # The validated ids of the request tell its sender which one it was.
        assert (told["showing_id"], told["booking_id"]) == (SHOWING, booking_id)
        assert "seat_ids" not in told.body


async def test_the_validated_ids_of_a_refused_request_come_back(box: Premises, join: Join) -> None:
    kiosk, manager = await join(box, "kiosk"), await join(box, "manager")
    await kiosk.watch()
    await manager.watch("users/+/errors")
    ids = {"showing_id": SHOWING, "seat_ids": [box.seats[0]], "booking_id": new_id(), "user_id": ABSENT}
    for topic in ("booking/request", "seats/hold", "seats/release"):
        await kiosk.request(topic, **ids)
        told = await kiosk.answer()
        assert told["code"] == "unknown_user"
        assert {name: told.get(name) for name in ids} == ids
    await manager.hear("users/+/errors", 3)
    manager.forget()
    await manager.send("showing/request", {"action": "update", "showing": {"showing_id": SHOWING, "title": 7}})
    told = await manager.answer()
    assert (told["code"], told["showing_id"]) == ("invalid_request", SHOWING)


@pytest.mark.parametrize("topic", COMMANDS)
async def test_a_timestamp_that_is_missing_or_of_another_shape_is_invalid_request(
    box: Premises, join: Join, topic: str
) -> None:
    alice = await join(box, "alice")
    await alice.watch()
    for timestamp in ("missing", None, True, [], {}, "x" * 65, "a\nb"):
        fields = {"showing_id": SHOWING, "seat_ids": [box.seats[0]], "booking_id": new_id()}
        await alice.send(topic, fields if timestamp == "missing" else fields | {"timestamp": timestamp})
        told = await alice.answer()
        assert (told["code"], told["booking_id"]) == ("invalid_request", fields["booking_id"]), timestamp
        assert "timestamp" in told["message"]


@pytest.mark.parametrize("field", ["showing_id", "booking_id", "user_id"])
async def test_a_malformed_id_is_invalid_request_and_left_out_of_the_answer(
    box: Premises, join: Join, field: str
) -> None:
    alice = await join(box, "alice")
    await alice.watch()
    for value in ("x", SEAT.upper(), "{" + SEAT + "}", 7, [SEAT]):
        request = {"showing_id": SHOWING, "seat_ids": [box.seats[0]], "booking_id": new_id(), "timestamp": "t"}
        await alice.send("booking/request", request | {field: value})
        told = await alice.answer()
        assert told["code"] == "invalid_request", value
        assert field in told["message"]
        assert field not in told.body
        assert told["seat_ids"] == [box.seats[0]]


@pytest.mark.parametrize(
    "payload",
    [
        {"showing_id": "<script>alert(1)</script>", "seat_ids": [SEAT], "timestamp": "t"},
        {"showing_id": SHOWING, "seat_ids": ["<script>alert(1)</script>"], "timestamp": "t"},
        {"showing_id": SHOWING, "seat_ids": [SEAT], "timestamp": "t", "email": "<script>alert(1)</script>"},
        {"showing_id": SHOWING, "seat_ids": [SEAT], "timestamp": ["<script>alert(1)</script>"]},
        {"showing_id": SHOWING, "seat_ids": [SEAT], "<script>alert(1)</script>": 1},
    ],
    ids=str,
)
async def test_a_message_never_repeats_what_it_was_not_sure_of(box: Premises, join: Join, payload: object) -> None:
    alice = await join(box, "alice")
    await alice.watch()
    await alice.send("booking/request", json.dumps(payload))
    assert b"script" not in (await alice.answer()).payload


async def test_a_request_that_was_refused_may_be_sent_again_with_its_booking_id(box: Premises, join: Join) -> None:
    alice = await join(box, "alice")
    await alice.watch()
    booking_id = new_id()
    assert (await alice.book([], booking_id=booking_id))["code"] == "invalid_request"
    assert (await alice.book(box.seats[:1], booking_id=booking_id, user_id=ABSENT))["code"] == "forbidden"
    assert (await alice.book(box.seats[:1], booking_id=booking_id))["status"] == "confirmed"


@pytest.mark.parametrize("topic", ["showing/request", "seats/status/" + SHOWING, "nobody/knows", "$SYS/x"])
async def test_a_topic_that_the_role_may_not_publish_to_is_forbidden_and_acknowledged(
    box: Premises, join: Join, topic: str
) -> None:
    for name in ("vera", "alice", "kiosk"):
        person = await join(box, name)
        await person.watch("users/+/errors")
        await person.send(topic, {"action": "cancel", "showing": {"showing_id": SHOWING}})
        told = await person.answer()
        assert told.topic == f"users/{person.user_id}/errors"
        assert (told["topic"], told["code"]) == (topic, "forbidden")
        assert not person.closed.is_set()


async def test_errors_are_told_to_the_sender_and_managers_alone(box: Premises, join: Join) -> None:
    people = {name: await join(box, name) for name in ("alice", "bob", "kiosk", "manager")}
    for person in people.values():
        await person.watch("users/#")
    await people["alice"].send("booking/request", b"{")
    for person in people.values():
        await person.settle()
    assert {name: len(person.heard) for name, person in people.items()} == {
        "alice": 1,
        "bob": 0,
        "kiosk": 0,
        "manager": 1,
    }


async def test_holds_are_told_to_their_user_the_sender_and_managers_alone(box: Premises, join: Join) -> None:
    people = {name: await join(box, name) for name in ("alice", "bob", "kiosk", "kiosk2", "manager")}
    for person in people.values():
        await person.watch("users/#")
    await people["kiosk"].request(
        "seats/hold", showing_id=SHOWING, seat_ids=[box.seats[0]], user_id=people["alice"].user_id
    )
    for person in people.values():
        await person.settle()
    inboxes = {name: sorted(message.topic for message in person.heard) for name, person in people.items()}
    of_alice, of_kiosk = (f"users/{box.user_id(name)}/holds" for name in ("alice", "kiosk"))
    assert inboxes == {
        "alice": [of_alice],
        "bob": [],
        "kiosk": [of_kiosk],
        "kiosk2": [],
        "manager": sorted([of_alice, of_kiosk]),
    }


@pytest.mark.parametrize("topic", [*COMMANDS, "showing/request", "plain/topic"])
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_a_guests_publish_closes_the_connection(box: Premises, join: Join, topic: str, qos: int) -> None:
    guest = await join(box)
    await guest.client.subscribe("seats/status/#")
    guest.client._client.publish(topic, b"{}", qos=qos)  # without waiting for an answer that does not come
    assert await guest.is_closed()


async def test_outcomes_are_seen_by_owner_requester_and_managers_whatever_the_others_subscribe_to(
    box: Premises, join: Join
) -> None:
    booking_id = new_id()
    names = ["alice", "kiosk", "manager", "bob", "vera", "kiosk2"]
    people = {name: await join(box, name) for name in names}
    filters = [f"booking/confirm/{booking_id}", "booking/confirm/#", "booking/confirm/+"]
    for person in people.values():
        assert await person.subscribe(*filters) == [1, 1, 1]
    kiosk, alice = people["kiosk"], people["alice"]
    await kiosk.request(
        "booking/request",
        booking_id=booking_id,
        user_id=alice.user_id,
        showing_id=SHOWING,
        seat_ids=[box.seats[0]],
    )
    await alice.request("booking/cancel", booking_id=booking_id)
    statuses = {}
    for name, person in people.items():
        await person.settle()
        statuses[name] = [message["status"] for message in person.heard]
    seen = ["confirmed", "cancelled"]
    assert statuses == {"alice": seen, "kiosk": seen, "manager": seen, "bob": [], "vera": [], "kiosk2": []}


async def test_a_client_can_subscribe_to_the_answer_before_it_asks(box: Premises, join: Join) -> None:
    alice = await join(box, "alice")
    booking_id = new_id()
    await alice.subscribe(f"booking/confirm/{booking_id}")
    told = await alice.book(box.seats[:1], booking_id=booking_id)
    assert (told["status"], told.retain) == ("confirmed", False)
    assert len(alice.heard) == 0
