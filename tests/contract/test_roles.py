"""Who may publish and subscribe to what, and what no policy can change."""

from __future__ import annotations

import asyncio
import json

import aiomqtt
import pytest
from conftest import OpenClient
from raw_mqtt import CONNACK, connect

from contract.conftest import Join, OpenHouse
from contract.house import PASSWORD, SHOWING, Premises, new_id

NAMES = {"guest": None, "visitor": "vera", "customer": "alice", "kiosk": "kiosk", "manager": "manager"}
COMMANDS = ["booking/request", "booking/cancel", "seats/hold", "seats/release"]
SERVER_TOPICS = ["seats/status/x", "booking/confirm/x", "showing/update/x", "users/x/holds", "users/x/errors"]
SIGNED_IN = {"visitor", "customer", "kiosk", "manager"}
EVERYBODY = {"guest"} | SIGNED_IN
NOBODYS = "00000000-0000-4000-8000-000000000000"

SUBSCRIPTIONS = {
    "seats/status/#": EVERYBODY,
    "seats/status/+": EVERYBODY,
    f"seats/status/{SHOWING}": EVERYBODY,
    "showing/update/#": EVERYBODY,
    f"showing/update/{SHOWING}": EVERYBODY,
    "booking/confirm/+": SIGNED_IN,
    "booking/confirm/#": SIGNED_IN,
    f"booking/confirm/{NOBODYS}": SIGNED_IN,
    "users/{user_id}/#": SIGNED_IN,
    "users/{user_id}/holds": SIGNED_IN,
    "users/{user_id}/errors": SIGNED_IN,
    "users/+/holds": SIGNED_IN,
    "users/+/errors": SIGNED_IN,
    "users/#": SIGNED_IN,
    f"users/{NOBODYS}/holds": {"manager"},
    f"users/{NOBODYS}/#": {"manager"},
    "#": {"manager"},
    "+/+/+": {"manager"},
    "+/confirm/+": {"manager"},
    "seats/#": {"manager"},
    "seats/+/#": {"manager"},
    "booking/#": {"manager"},
    "booking/request": {"manager"},
    "showing/request": {"manager"},
    "plain/topic": {"manager"},
    "$SYS/#": set(),
}


@pytest.mark.parametrize("role", NAMES)
async def test_a_subscription_is_granted_only_if_every_topic_that_it_can_match_is_allowed(
    box: Premises, join: Join, role: str
) -> None:
    person = await join(box, NAMES[role])
    user_id = NOBODYS if role == "guest" else person.user_id
    granted = {
        topic_filter: (await person.subscribe(topic_filter.format(user_id=user_id)))[0]
        for topic_filter in SUBSCRIPTIONS
        if not (role == "guest" and "{user_id}" in topic_filter)
    }
    assert granted == {topic_filter: 1 if role in SUBSCRIPTIONS[topic_filter] else 0x80 for topic_filter in granted}


async def test_each_filter_of_a_packet_is_granted_or_refused_by_itself(box: Premises, join: Join) -> None:
    alice = await join(box, "alice")
    assert await alice.subscribe("#", "seats/status/#", "users/+/holds", "booking/request") == [0x80, 1, 1, 0x80]


@pytest.mark.parametrize("role", ["visitor", "customer", "kiosk", "manager"])
async def test_commands_are_published_by_those_who_may(box: Premises, join: Join, role: str) -> None:
    person = await join(box, NAMES[role])
    await person.watch("users/+/errors")
    codes = {}
    for topic in (*COMMANDS, "showing/request", *SERVER_TOPICS, "plain/topic"):
        await person.send(topic, b"{}")
        codes[topic] = (await person.answer())["code"]
    forbidden = {topic for topic, code in codes.items() if code == "forbidden"}
    assert forbidden == {*SERVER_TOPICS, "plain/topic"} | (set() if role == "manager" else {"showing/request"})
    assert {codes[topic] for topic in COMMANDS} == {"invalid_request"}


async def test_a_visitor_books_holds_and_cancels_as_a_customer_does(box: Premises, join: Join) -> None:
    vera, victor = await join(box, "vera"), await join(box, "victor", door="web")
    await vera.watch()
    await victor.watch()
    await vera.hold(box.seats[:2])
    assert (await victor.book(box.seats[:1]))["code"] == "seats_unavailable"
    booked = await vera.book(box.seats[:2])
    assert booked["status"] == "confirmed"
    assert (await victor.cancel(booked["booking_id"]))["code"] == "unknown_booking"
    assert (await vera.cancel(booked["booking_id"]))["status"] == "cancelled"


# Whatever the policy says

OPEN_POLICY = {role: {"publish": ["#"], "subscribe": ["#"]} for role in ("guest", "customer", "manager")}


async def test_server_topics_are_published_by_the_server_alone_whatever_the_policy_says(
    open_house: OpenHouse, join: Join
) -> None:
    box = await open_house(policy=OPEN_POLICY)
    watcher = await join(box, "alice")
    await watcher.watch("#")
    manager = await join(box, "manager")
    for topic in SERVER_TOPICS:
        await manager.send(topic, b"{}", retain=True)
    await manager.send("plain/topic", b"marks the end")
    await watcher.hears("plain/topic")
    assert [m.topic for m in watcher.heard if not m.topic.startswith(f"users/{manager.user_id}/")] == ["plain/topic"]
    late = await join(box, "manager2")
    await late.subscribe("#")
    assert await late.nothing_on("#")


async def test_commands_reach_no_subscriber_whatever_the_policy_says(open_house: OpenHouse, join: Join) -> None:
    box = await open_house(policy=OPEN_POLICY)
    guest, alice, manager = await join(box), await join(box, "alice"), await join(box, "manager")
    for person in (guest, alice, manager):
        await person.subscribe("#", "booking/request", "seats/hold", "showing/request", "+/+")
        await person.settle()
        person.forget()
    for qos in (0, 1, 2):
        for topic in COMMANDS:
            await alice.send(topic, b'{"secret": 1}', qos=qos, retain=True)
        await manager.send("showing/request", b"{}", qos=qos, retain=True)
    await manager.send("plain/topic", b"marks the end")
    for person in (guest, alice, manager):
        await person.hears("plain/topic")
        topics = {m.topic.rpartition("/")[2] for m in person.heard}
        assert topics <= {"errors", "topic"}
    late = await join(box, "manager2")
    await late.subscribe("#")
    assert await late.nothing_on("#")


async def test_commands_reach_no_manager_who_watches_everything(box: Premises, join: Join) -> None:
    alice, manager = await join(box, "alice"), await join(box, "manager")
    await manager.subscribe("#", "booking/request")
    await alice.watch()
    await alice.book(box.seats[:1])
    await manager.hears("seats/status/+")
    assert {m.topic.rpartition("/")[0] for m in manager.heard} == {"booking/confirm", "seats/status", "showing/update"}


@pytest.mark.parametrize("name", [None, "alice", "manager"])
async def test_a_last_will_to_a_topic_of_the_contract_is_refused_whatever_the_policy_says(
    open_house: OpenHouse, client: OpenClient, name: str | None
) -> None:
    box = await open_house(policy=OPEN_POLICY)
    for topic in (*COMMANDS, "showing/request", *SERVER_TOPICS, f"seats/status/{SHOWING}"):
        raw = await client(box.host)
        await raw.send(connect(*box.house.credentials(name), will=(topic, b"{}")))
        assert (await raw.next(CONNACK)).body == b"\x00\x05", topic
        assert await raw.is_closed()


async def test_a_last_will_that_the_policy_allows_is_published(open_house: OpenHouse, join: Join) -> None:
    policy = {"manager": {"publish": ["house/#"], "subscribe": ["#"]}}
    box = await open_house(policy=policy)
    watcher = await join(box, "manager2")
    await watcher.watch("house/#")
    dying = await join(box, "manager", will=aiomqtt.Will("house/gone", b"manager", 1))
    dying.client._client.socket().shutdown(2)
    assert (await watcher.hears("house/gone")).payload == b"manager"
    with pytest.raises(aiomqtt.MqttError):
        await join(box, "alice", will=aiomqtt.Will("house/gone", b"alice", 1))


async def test_the_policy_is_configuration(open_house: OpenHouse, join: Join) -> None:
    policy = {
        "guest": {"publish": [], "subscribe": []},
        "customer": {"publish": ["seats/hold"], "subscribe": ["users/{user_id}/#", "news"]},
        "manager": {"publish": ["news"], "subscribe": []},
    }
    box = await open_house(policy=policy)
    guest, alice, manager = await join(box), await join(box, "alice"), await join(box, "manager")
    assert await guest.subscribe("seats/status/#") == [0x80]
    assert await alice.subscribe("seats/status/#", "users/+/holds", "users/+/errors", "news") == [0x80, 1, 1, 1]
    assert (await alice.book(box.seats[:1]))["code"] == "forbidden"
    assert (await alice.hold(box.seats[:1]))["status"] == "held"
    await manager.send("news", b"hello")
    assert (await alice.hears("news")).payload == b"hello"


# Credentials


@pytest.mark.parametrize("door", ["tcp", "web"])
async def test_a_password_and_a_token_open_the_account_that_they_belong_to(
    box: Premises, join: Join, door: str
) -> None:
    for password in (PASSWORD.format("alice"), None):
        alice = await join(box, "alice", door=door, password=password)
        assert await alice.subscribe(f"users/{alice.user_id}/holds") == [1]


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("alice", "wrong"),
        ("alice", "the token of bob"),
        ("alice", PASSWORD.format("bob")),
        ("alice", "the token of vera"),
        ("vera", "the token of alice"),
        ("gone", PASSWORD.format("gone")),
    ],
)
async def test_a_password_or_token_of_another_and_a_disabled_user_are_refused(
    box: Premises, client: OpenClient, name: str, password: str
) -> None:
    raw = await client(box.host)
    username, _ = box.house.credentials(name)
    await raw.send(connect(username, password))
    assert (await raw.next(CONNACK)).body == b"\x00\x04"
    assert await raw.is_closed()


async def test_a_guest_is_refused_where_guests_are_not_allowed(open_house: OpenHouse, client: OpenClient) -> None:
    box = await open_house(auth={"allow_guests": False})
    raw = await client(box.host)
    await raw.send(connect())
    assert (await raw.next(CONNACK)).body == b"\x00\x05"
    assert await raw.is_closed()


async def test_an_owners_wildcard_means_mine_in_live_messages_too(box: Premises, join: Join) -> None:
    alice, bob = await join(box, "alice"), await join(box, "bob")
    for person in (alice, bob):
        await person.subscribe("users/+/holds", "users/#", "booking/confirm/#", "booking/confirm/+")
    await asyncio.gather(
        *(
            person.send("seats/hold", json.dumps({"showing_id": SHOWING, "seat_ids": [seat], "timestamp": "t"}))
            for person, seat in zip((alice, bob), box.seats, strict=False)
        )
    )
    await alice.request("booking/request", showing_id=SHOWING, seat_ids=[box.seats[0]], booking_id=new_id())
    await alice.settle()
    await bob.settle()
    assert [m.topic.split("/")[1] for m in bob.heard] == [bob.user_id]
    assert [m.topic.split("/")[0] for m in alice.heard] == ["users", "booking"]
