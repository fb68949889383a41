"""MQTT 3.1.1 on what is malformed, by number, over raw sockets at both doors: the connection closes, and neither the
packet nor what follows it has any effect."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from boxes import SAMPLE_PLUGINS, plugin, start_box
from malformed import ANOTHER_LEVEL, CONNECTS, PACKETS
from normative import shows, shows_each
from raw_mqtt import CONNACK, RawClient, connect, publish, subscribe
from sample_plugins import COMMAND, Counter

from broker.host import Host

pytestmark = pytest.mark.asyncio(loop_scope="module")

BEHIND = publish(COMMAND, b"behind", qos=1, packet_id=1) + subscribe("behind/#")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Host]:
    """One box for all rows: none may leave anything behind in it."""
    limits = {"connections_per_second": 1e6, "connections_burst": 1_000_000, "messages_burst": 1_000_000}
    host = await start_box(tmp_path_factory.mktemp("malformed"), plugins=SAMPLE_PLUGINS, limits=limits)
    yield host
    await host.stop()


async def assert_nothing_happened(host: Host) -> None:
    await host.database.write(lambda db: None)  # behind whatever was taken before
    assert await plugin(host, Counter).counted() == []
    assert not host.fanout.index.filters()


@shows("3.1.4-1")
@shows_each("packets", CONNECTS)
async def test_a_connect_that_is_malformed_is_closed_without_a_connack(
    host: Host, packets: tuple[bytes, ...], door: str
) -> None:
    for data in packets:
        raw = await RawClient.open(host, door)
        await raw.send(data, BEHIND)
        assert await raw.is_closed(), data
        await raw.close()
    await assert_nothing_happened(host)


@shows_each("packets", ANOTHER_LEVEL)
async def test_another_protocol_level_is_answered_with_connack_1(
    host: Host, packets: tuple[bytes, ...], door: str
) -> None:
    for data in packets:
        raw = await RawClient.open(host, door)
        await raw.send(data, BEHIND)
        assert [(p.kind, p.body) for p in await raw.read_to_end()] == [(CONNACK, b"\0\1")], data
        await raw.close()
    await assert_nothing_happened(host)


@shows("4.8.0-1")
@shows_each("packets", PACKETS)
async def test_what_is_malformed_closes_and_changes_nothing(host: Host, packets: tuple[bytes, ...], door: str) -> None:
    for data in packets:
        raw = await RawClient.open(host, door)
        await raw.send(connect("ann", "ann-demo"), data, BEHIND)
        assert [(p.kind, p.body) for p in await raw.read_to_end()] == [(CONNACK, b"\0\0")], data
        await raw.close()
    await assert_nothing_happened(host)
