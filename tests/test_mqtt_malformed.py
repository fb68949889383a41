"""MQTT 3.1.1 on what is malformed, by number, over raw sockets at both doors: the connection closes, and neither the
packet nor what follows it has any effect."""

from __future__ import annotations

import pytest
from boxes import plugin
from malformed import ANOTHER_LEVEL, CONNECTS, PACKETS
from normative import shows, shows_each
from raw_mqtt import CONNACK, RawClient, connect, publish, subscribe
from sample_plugins import COMMAND, Counter

from broker.host import Host

pytestmark = pytest.mark.asyncio(loop_scope="module")

BEHIND = publish(COMMAND, b"behind", qos=1, packet_id=1) + subscribe("behind/#")


async def assert_nothing_happened(host: Host) -> None:
    await host.database.write(lambda db: None)  # behind whatever was taken before
    assert await plugin(host, Counter).counted() == []
    assert not host.fanout.index.filters()


@shows("3.1.4-1")
@shows_each("packets", CONNECTS)
async def test_a_connect_that_is_malformed_is_closed_without_a_connack(
    one_box: Host, packets: tuple[bytes, ...], door: str
) -> None:
    for data in packets:
        raw = await RawClient.open(one_box, door)
        await raw.send(data, BEHIND)
        assert await raw.is_closed(), data
        await raw.close()
    await assert_nothing_happened(one_box)


@shows_each("packets", ANOTHER_LEVEL)
async def test_another_protocol_level_is_answered_with_connack_1(
    one_box: Host, packets: tuple[bytes, ...], door: str
) -> None:
    for data in packets:
        raw = await RawClient.open(one_box, door)
        await raw.send(data, BEHIND)
        assert [(p.kind, p.body) for p in await raw.read_to_end()] == [(CONNACK, b"\0\1")], data
        await raw.close()
    await assert_nothing_happened(one_box)


@shows("4.8.0-1")
@shows_each("packets", PACKETS)
async def test_what_is_malformed_closes_and_changes_nothing(
    one_box: Host, packets: tuple[bytes, ...], door: str
) -> None:
    for data in packets:
        raw = await RawClient.open(one_box, door)
        await raw.send(connect("ann", "ann-demo"), data, BEHIND)
        assert [(p.kind, p.body) for p in await raw.read_to_end()] == [(CONNACK, b"\0\0")], data
        await raw.close()
    await assert_nothing_happened(one_box)
