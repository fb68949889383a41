"""The doors: who is refused there and how, whose client id it is, and what a connection may ask for."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence

import aiohttp
import pytest
from conftest import OpenClient
from raw_mqtt import (
    CONNACK,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    RawClient,
    acknowledgement,
    connect,
    field,
    packet,
    publish,
    subscribe,
)

from contract.conftest import Join, OpenHouse
from contract.house import PASSWORD, SHOWING, Premises, new_id


def request(seats: Sequence[str], booking_id: str | None = None) -> bytes:
    fields = {"showing_id": SHOWING, "seat_ids": list(seats), "timestamp": "t", "booking_id": booking_id or new_id()}
    return json.dumps(fields).encode()


async def signed_in(box: Premises, raw: RawClient, name: str | None, **options: object) -> RawClient:
    await raw.send(connect(*box.house.credentials(name), **options))  # type: ignore[arg-type]
    assert (await raw.next(CONNACK)).body == b"\x00\x00"
    return raw


# CONNACK


@pytest.mark.parametrize(("protocol", "level"), [("MQTT", 5), ("MQTT", 3), ("MQIsdp", 3)])
async def test_another_protocol_level_is_answered_with_connack_1(
    box: Premises, client: OpenClient, door: str, protocol: str, level: int
) -> None:
    raw = await client(box.host, door)
    await raw.send(packet(0x10, field(protocol) + bytes((level, 2, 0, 60)) + field("x") + b"\x00" * (level == 5)))
    received = await raw.read_to_end()
    if protocol == "MQTT":
        assert [(p.kind, p.body) for p in received] == [(CONNACK, b"\x00\x01")]
    else:
        assert received in ([], [(0x20, b"\x00\x01")])  # another protocol name may simply be closed (MQTT-3.1.2-1)


@pytest.mark.parametrize("client_id", ["x" * 129, "é" * 65, "a\nb", "a\x7fb", "\x1b[31m"], ids=repr)
async def test_a_client_id_that_is_too_long_or_has_control_characters_is_answered_with_connack_2(
    box: Premises, client: OpenClient, client_id: str
) -> None:
    raw = await client(box.host)
    await raw.send(connect(*box.house.credentials("alice"), client_id=client_id))
    assert (await raw.next(CONNACK)).body == b"\x00\x02"
    assert await raw.is_closed()


@pytest.mark.parametrize("client_id", ["x" * 128, "é" * 64, "till 1", ""], ids=repr)
async def test_a_client_id_of_up_to_128_bytes_is_let_in(box: Premises, client: OpenClient, client_id: str) -> None:
    await signed_in(box, await client(box.host), "alice", client_id=client_id)


async def test_a_wrong_password_is_answered_with_connack_4(box: Premises, client: OpenClient, door: str) -> None:
    raw = await client(box.host, door)
    await raw.send(connect("alice", PASSWORD.format("bob")))
    assert (await raw.next(CONNACK)).body == b"\x00\x04"
    assert await raw.is_closed()


async def test_mqtt_over_websocket_is_spoken_on_both_paths_with_the_subprotocol_mqtt(box: Premises) -> None:
    async with aiohttp.ClientSession() as session:
        for path in ("/", "/mqtt"):
            async with session.ws_connect(box.url(path), protocols=("mqtt",)) as websocket:
                assert websocket.protocol == "mqtt"
                await websocket.send_bytes(connect())
                assert (await websocket.receive_bytes())[:4] == b"\x20\x02\x00\x00"
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(box.url("/mqtt"), protocols=("graphql",))
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(box.url("/api/showings"), protocols=("mqtt",))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 421),
    ],
    ids=str,
)
async def test_a_page_of_another_site_opens_no_websocket(box: Premises, headers: dict[str, str], status: int) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(box.url("/mqtt"), protocols=("mqtt",), headers=headers)
        assert refused.value.status == status
        own = {"Origin": box.url("")}
        async with session.ws_connect(box.url("/mqtt"), protocols=("mqtt",), headers=own) as websocket:
            await websocket.send_bytes(connect())
            assert (await websocket.receive_bytes())[:4] == b"\x20\x02\x00\x00"


# Whose client id


async def test_the_same_user_with_the_same_client_id_takes_over_and_the_old_connection_is_closed_first(
    box: Premises, client: OpenClient, door: str
) -> None:
    old = await signed_in(box, await client(box.host, door), "alice", client_id="phone")
    new = await signed_in(box, await client(box.host), "alice", client_id="phone")
    assert await old.is_closed()
    await new.silence()


async def test_another_user_with_the_same_client_id_is_another_session_and_so_is_each_guest(
    box: Premises, client: OpenClient
) -> None:
    people = [
        await signed_in(box, await client(box.host), name, client_id="phone") for name in ("alice", "bob", None, None)
    ]
    await people[0].subscribe("booking/confirm/+", qos=1)
    for person in people:
        await person.silence()


async def test_a_wrong_password_with_somebodys_client_id_does_not_disturb_them(
    box: Premises, client: OpenClient
) -> None:
    alice = await signed_in(box, await client(box.host), "alice", client_id="phone")
    await alice.subscribe("booking/confirm/+", qos=1)
    intruder = await client(box.host)
    await intruder.send(connect("alice", "wrong", client_id="phone"))
    assert (await intruder.next(CONNACK)).body == b"\x00\x04"
    await alice.send(publish("booking/request", request(box.seats[:1]), qos=1, packet_id=7))
    assert [p.kind for p in await alice.packets(2)] == [PUBLISH, PUBACK]


# Limits of one connection


@pytest.mark.parametrize("door", ["tcp", "web"])
async def test_a_packet_over_max_packet_bytes_closes(box: Premises, client: OpenClient, door: str) -> None:
    raw = await signed_in(box, await client(box.host, door), "alice")
    await raw.send(publish("booking/request", b" " * 65_500, qos=1, packet_id=1))
    assert (await raw.next(PUBACK)).packet_id == 1
    await raw.send(publish("booking/request", b" " * 65_536, qos=1, packet_id=2))
    assert await raw.is_closed()


async def test_more_filters_than_a_packet_or_a_connection_may_have_are_refused(
    box: Premises, client: OpenClient
) -> None:
    raw = await signed_in(box, await client(box.host), None)
    filters = [f"showing/update/{number}" for number in range(40)]
    assert await raw.subscribe(*filters[:17]) == b"\x80" * 17
    assert await raw.subscribe(*filters[:16]) == b"\x00" * 16
    assert await raw.subscribe(*filters[16:31]) == b"\x00" * 15
    assert await raw.subscribe(*filters[31:33]) == b"\x00\x80"
    assert await raw.subscribe(filters[0]) == b"\x00"  # one that it has already


async def test_limits_are_settings(open_house: OpenHouse, client: OpenClient) -> None:
    box = await open_house(
        limits={"max_packet_bytes": 1024, "subscriptions": 2, "subscriptions_per_packet": 1, "max_connections": 10}
    )
    raw = await signed_in(box, await client(box.host), None)
    assert await raw.subscribe("showing/update/a", "showing/update/b") == b"\x80\x80"
    for name, granted in (("a", b"\x00"), ("b", b"\x00"), ("c", b"\x80")):
        assert await raw.subscribe(f"showing/update/{name}") == granted
    await raw.send(subscribe("x" * 2000))
    assert await raw.is_closed()


async def test_too_many_connections_get_503_or_a_close_without_connack_and_a_fifth_is_kept_for_signed_in_users(
    open_house: OpenHouse, client: OpenClient
) -> None:
    box = await open_house(limits={"max_connections": 10})
    for _ in range(8):
        await signed_in(box, await client(box.host), None)
    guest = await client(box.host)
    await guest.send(connect())
    assert await guest.read_to_end() == []
    for _ in range(2):
        await signed_in(box, await client(box.host), "alice")
    late = await client(box.host)
    assert await late.read_to_end() == []
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await client(box.host, "web")
    assert refused.value.status == 503


async def test_too_many_connections_of_one_address_are_refused(open_house: OpenHouse, client: OpenClient) -> None:
    box = await open_house(limits={"max_connections_per_address": 3})
    for _ in range(3):
        await signed_in(box, await client(box.host), "alice")
    late = await client(box.host)
    assert await late.read_to_end() == []
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await client(box.host, "web")
    assert refused.value.status == 503


async def test_who_sends_no_connect_in_connect_seconds_is_closed(open_house: OpenHouse, client: OpenClient) -> None:
    box = await open_house(limits={"connect_seconds": 1})
    silent = await client(box.host)
    upgraded = await client(box.host, "web")
    reader, writer = await asyncio.open_connection(*box.host.web_addresses[0])
    writer.write(b"GET /mqtt HTTP/1.1\r\nHost: loc")
    assert await silent.read_to_end() == []
    assert await upgraded.read_to_end() == []
    with contextlib.suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()


async def test_silence_for_one_and_a_half_keep_alives_closes(open_house: OpenHouse, client: OpenClient) -> None:
    box = await open_house(limits={"max_keep_alive_seconds": 1})
    asked = await signed_in(box, await client(box.host), "alice", keep_alive=1)
    none_asked = await signed_in(box, await client(box.host), "bob", keep_alive=0)
    more_asked = await signed_in(box, await client(box.host), None, keep_alive=60)
    for raw in (asked, none_asked, more_asked):
        assert await raw.is_closed()


# Acknowledgement


async def test_the_outcome_comes_before_the_acknowledgement_and_those_in_the_order_of_the_commands(
    box: Premises, client: OpenClient, door: str
) -> None:
    raw = await signed_in(box, await client(box.host, door), "alice")
    await raw.subscribe("booking/confirm/+", "users/+/errors", qos=1)
    commands = [
        publish("booking/request", request([seat]), qos=1 + number % 2, packet_id=number + 1)
        for number, seat in enumerate(box.seats[:8])
    ]
    commands[3] = publish("booking/request", b"{", qos=1, packet_id=4)  # refused at once, but in its turn
    commands[5] = publish("showing/request", b"{}", qos=2, packet_id=6)  # forbidden
    await raw.send(*commands)
    received = await raw.packets(16)
    acknowledged = [p for p in received if p.kind in (PUBACK, PUBREC)]
    assert [p.packet_id for p in acknowledged] == list(range(1, 9))
    told = 0
    for place, p in enumerate(received):
        told += p.kind == PUBLISH
        if p.kind in (PUBACK, PUBREC):
            assert told >= p.packet_id - 2, (place, received)  # the forbidden one is told without waiting


async def test_every_pubrel_gets_its_pubcomp_also_one_that_nobody_knows(box: Premises, client: OpenClient) -> None:
    raw = await signed_in(box, await client(box.host), "alice")
    await raw.send(publish("booking/request", request(box.seats[:1]), qos=2, packet_id=9))
    assert (await raw.next(PUBREC)).packet_id == 9
    for packet_id in (9, 9, 77):
        await raw.send(acknowledgement(PUBREL, packet_id))
        assert (await raw.next(PUBCOMP)).packet_id == packet_id


async def test_a_qos_2_command_repeated_before_its_pubrel_takes_effect_once(box: Premises, client: OpenClient) -> None:
    raw = await signed_in(box, await client(box.host), "alice")
    await raw.subscribe("booking/confirm/+", qos=1)
    command = publish("booking/request", request(box.seats[:1]), qos=2, packet_id=9)
    await raw.send(command, command)
    assert [p.kind for p in await raw.packets(3)] == [PUBLISH, PUBREC, PUBREC]
    await raw.silence()


async def test_commands_before_a_goodbye_are_still_acknowledged_and_take_effect(
    box: Premises, client: OpenClient, join: Join
) -> None:
    raw = await signed_in(box, await client(box.host), "alice")
    ids = [new_id() for _ in range(20)]
    await raw.send(
        *(
            publish("booking/request", request([seat], booking_id), qos=1, packet_id=number + 1)
            for number, (seat, booking_id) in enumerate(zip(box.seats, ids, strict=False))
        ),
        b"\xe0\x00",
    )
    assert [p.packet_id for p in await raw.read_to_end()] == list(range(1, 21))
    alice = await join(box, "alice")
    await alice.subscribe("booking/confirm/+")
    assert {m["booking_id"] for m in await alice.hear("booking/confirm/+", 20)} == set(ids)


async def test_a_guest_gets_no_acknowledgement_but_a_close(box: Premises, client: OpenClient, door: str) -> None:
    guest = await signed_in(box, await client(box.host, door), None)
    await guest.send(subscribe("seats/status/x"), publish("booking/request", b"{}", qos=1, packet_id=1))
    received = await guest.read_to_end()
    assert [p.kind for p in received] == [SUBACK]
