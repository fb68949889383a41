"""What the box counts of itself, as Prometheus reads it."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import pytest
from boxes import until
from conftest import OpenClient, StartBox
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from raw_mqtt import CONNACK, PUBACK, connect, publish
from scraping import Scraped, refusals, scraped
from turned import Bench

from broker.census import REASONS_OF_ENDS, UNIDENTIFIED
from broker.connection import End
from broker.metrics import OTHER, REASONS, Metrics
from broker.storage.database import Database

DOCS = Path(__file__).parents[1] / "docs" / "metrics.md"


class Yields(Collector):
    def __init__(self, yields: Callable[[], Iterable[Metric]]) -> None:
        self._yields = yields

    def collect(self) -> Iterable[Metric]:
        return self._yields()


def breaks() -> Iterable[Metric]:
    yield GaugeMetricFamily("half_of_it", "Half of it.", 1)
    raise RuntimeError("the other half is broken")


def cannot_be_written() -> Iterable[Metric]:
    yield GaugeMetricFamily("no_number", "No number.", cast(Any, "none"))


def has_anothers_name() -> Iterable[Metric]:
    yield CounterMetricFamily("lynrie_refusals", "Not the box's.", 7)


# Reasons


async def test_every_reason_is_there_from_the_start() -> None:
    found = await scraped(Metrics())
    assert {labels for name, labels in found.values if name == "lynrie_refusals_total"} == {
        frozenset({("reason", reason)}) for reason in (*REASONS, OTHER)
    }
    assert found.counted("lynrie_refusals_total") == {}


@given(st.text())
def test_a_reason_that_nobody_named_makes_no_label(reason: str) -> None:
    metrics = Metrics()
    metrics.refused(cast(Any, reason))
    assert refusals(metrics) == {reason if reason in REASONS else OTHER: 1}


# Collectors


@pytest.mark.parametrize("yields", [breaks, cannot_be_written, has_anothers_name])
async def test_a_collector_that_fails_is_left_out_and_the_others_are_heard(
    yields: Callable[[], Iterable[Metric]],
) -> None:
    metrics = Metrics()
    metrics.add(Yields(yields), Yields(lambda: [GaugeMetricFamily("behind_it", "Behind it.", 5)]))
    found = await scraped(metrics)
    assert found("behind_it") == 5
    assert found("lynrie_refusals_total", reason="host") == 0
    assert "half_of_it" not in found.text
    assert "no_number" not in found.text
    assert "Not the box's" not in found.text
    assert (await scraped(metrics))("lynrie_collector_failures_total") == 1


@pytest.mark.parametrize(("takes", "shared"), [(0.0, 0.25), (0.05, 1.0), (2.0, 5.0)])
async def test_who_asks_soon_after_another_is_given_the_same(takes: float, shared: float) -> None:
    seconds, asked = 1000.0, 0

    def count() -> Iterable[Metric]:
        nonlocal asked, seconds
        asked += 1
        seconds += takes
        return [GaugeMetricFamily("asked", "How often.", asked)]

    metrics = Metrics(monotonic=lambda: seconds)
    metrics.add(Yields(count))
    together = await asyncio.gather(*(metrics.shared() for _ in range(100)))
    assert {Scraped(text)("asked") for text in together} == {1}
    seconds += shared - 0.01
    assert Scraped(await metrics.shared())("asked") == 1
    seconds += 0.02
    assert Scraped(await metrics.shared())("asked") == 2


# What is measured


async def test_a_batch_is_measured_when_it_is_on_disk(tmp_path: Path) -> None:
    metrics = Metrics()
    database = Database(tmp_path / "box.db", committed=metrics.committed)
    database.open()
    try:
        await asyncio.gather(*(database.write(lambda db: None, quick=True) for _ in range(3)))
        await database.write(lambda db: None)
    finally:
        await database.close()
    found = await scraped(metrics)
    assert found("lynrie_batch_jobs_count") == 2
    assert found("lynrie_batch_jobs_sum") == 4
    assert found("lynrie_batch_jobs_bucket", le="1.0") == 1
    assert found("lynrie_commit_seconds_count") == 2
    assert found("lynrie_commit_seconds_sum") > 0


def test_the_fanouts_delay_is_from_the_first_gathered_message_to_its_write() -> None:
    delays: list[float] = []
    bench = Bench(window_seconds=0.02, written=delays.append)
    connection, wire = bench.join()
    bench.subscribe(connection, "count/#")
    bench.loop.settle()
    bench.fanout.publish("count/a", b"1", 0, None)
    bench.loop.settle()
    assert delays == [0.0]
    bench.loop.advance(0.005)
    bench.fanout.publish("count/a", b"2", 0, None)
    bench.loop.advance(0.01)
    bench.fanout.publish("count/b", b"3", 0, None)
    bench.loop.advance(0.1)
    assert [p.payload for p in wire.packets] == [b"1", b"2", b"3"]
    assert delays == [0.0, pytest.approx(0.015)]
    bench.fanout.publish("nobody/listens", b"4", 0, None)
    bench.loop.advance(0.1)
    assert len(delays) == 2
    assert bench.fanout.live_messages == 3


async def test_packets_messages_and_bytes_are_counted_by_door(box: StartBox, client: OpenClient, door: str) -> None:
    host = await box()
    ann = await (await client(host, door)).connect("ann")
    await ann.subscribe("count/#", "plain")
    await ann.send(publish("add", b"x", qos=1, packet_id=7), publish("plain", b"y" * 1000))
    await ann.packets(3)
    await ann.silence()
    found = await scraped(host.metrics)
    assert found.counted("lynrie_packets_received_total") == {
        "connect": 1,
        "subscribe": 1,
        "publish": 2,
        "pingreq": 1,
    }
    assert found("lynrie_messages_sent_total", kind="live") == 2
    assert found("lynrie_connections", door=door, role="customer") == 1
    assert found("lynrie_subscriptions") == 2
    assert found.counted("lynrie_connections_opened_total") == {door: 1}
    assert set(found.counted("lynrie_received_bytes_total")) == {door}
    assert found("lynrie_received_bytes_total", door=door) > 1000
    assert found("lynrie_sent_bytes_total", door=door) > 1000
    late = await (await client(host, door)).connect("bob")
    await late.subscribe("count/#")
    await late.packets(1)
    assert (await scraped(host.metrics))("lynrie_messages_sent_total", kind="present") == 1


async def test_what_a_connection_sent_and_got_is_still_counted_when_it_has_ended(
    box: StartBox, client: OpenClient, door: str
) -> None:
    host = await box()
    ann = await (await client(host, door)).connect("ann")
    await ann.silence()
    before = await scraped(host.metrics)
    await ann.close()
    await until(lambda: not len(host.clients))
    found = await scraped(host.metrics)
    for name in ("lynrie_received_bytes_total", "lynrie_sent_bytes_total"):
        assert found(name, door=door) >= before(name, door=door) > 0
    assert found("lynrie_connections", door=door, role="customer") == 0
    assert sum(found.counted("lynrie_connections_ended_total").values()) == 1


@pytest.mark.parametrize("how", End, ids=lambda how: how.name.lower())
async def test_every_end_is_counted_and_as_a_refusal_where_it_is_a_limits_doing(
    box: StartBox, client: OpenClient, how: End
) -> None:
    host = await box()
    ann = await (await client(host)).connect("ann")
    next(iter(host.clients)).end(how)
    with contextlib.suppress(ConnectionError):
        assert await ann.packet() is None
    await until(lambda: not len(host.clients))
    found = await scraped(host.metrics)
    assert found.counted("lynrie_connections_ended_total") == {how.name.lower(): 1}
    reason = REASONS_OF_ENDS.get(how)
    assert found.counted("lynrie_refusals_total") == ({} if reason is None else {reason: 1})


async def test_who_has_not_been_let_in_yet_has_no_role(box: StartBox, client: OpenClient) -> None:
    host = await box()
    await client(host)
    await until(lambda: len(host.clients))
    assert (await scraped(host.metrics))("lynrie_connections", door="tcp", role=UNIDENTIFIED) == 1


async def test_a_role_that_the_settings_do_not_name_makes_no_label(box: StartBox, client: OpenClient) -> None:
    plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {}, "sample_plugins.Rules": {}}
    host = await box(plugins=plugins, auth={"default_role": "stagehand"})
    await (await client(host)).connect("ann")
    found = await scraped(host.metrics)
    assert found("lynrie_connections", door="tcp", role=OTHER) == 1
    assert "stagehand" not in found.text


async def test_what_waits_for_a_client_that_does_not_read_is_summed(box: StartBox, client: OpenClient) -> None:
    host = await box(limits={"outbound_bytes": 10_000_000})
    ann = await (await client(host, receive_buffer=4096)).connect("ann")
    await ann.subscribe("plain")
    bob = await (await client(host)).connect("bob")
    for number in range(1, 101):
        await bob.send(publish("plain", b"x" * 60_000, qos=1, packet_id=number))
        await bob.next(PUBACK)
    assert (await scraped(host.metrics))("lynrie_outbound_waiting_bytes") > 1_000_000


# No label comes from a client

NASTY = 'nasty"label\\{}='


async def test_nothing_that_a_client_sends_adds_a_series(box: StartBox, client: OpenClient) -> None:
    host = await box()
    before = await scraped(host.metrics)
    ann = await (await client(host)).connect("ann", client_id=NASTY, will=(NASTY, NASTY.encode()))
    await ann.subscribe(NASTY, f"{NASTY}/#", f"secret/{NASTY}")
    await ann.send(publish(NASTY, NASTY.encode(), qos=1, packet_id=1, retain=True))
    await ann.send(publish(f"closed/{NASTY}", NASTY.encode(), qos=1, packet_id=2))
    await ann.send(publish("add", NASTY.encode(), qos=1, packet_id=3))
    await ann.packets(4)
    for username, options in ((NASTY, {}), ("ann", {"client_id": f"{NASTY}\n"}), ("ann", {"will": ("closed/x", b"")})):
        stranger = await client(host)
        await stranger.send(connect(username, f"{username}-demo\0" if options == {} else "ann-demo", **options))  # type: ignore[arg-type]
        assert (await stranger.next(CONNACK)).body[1] != 0
    reader, writer = await asyncio.open_connection(*host.web_addresses[0])
    for head in (f"Host: {NASTY}", f"Host: localhost\r\nOrigin: {NASTY}", f"Host: localhost\r\nAuthorization: {NASTY}"):
        writer.write(f"GET /{NASTY}?{NASTY} HTTP/1.1\r\n{head}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
    writer.close()
    after = await scraped(host.metrics)
    assert "nasty" not in after.text
    assert after.values.keys() == before.values.keys()


# Names, by Prometheus's own rules (its linter, promlint) and its advice on naming


def family_names(found: Scraped) -> set[str]:
    return {f"{family.name}_total" if family.type == "counter" else family.name for family in found.families}


async def test_names_units_and_help_are_as_prometheus_asks(cinema: StartBox) -> None:
    host = await cinema()
    types = ("counter", "gauge", "histogram", "summary", "untyped", "info")
    others = "minutes|hours|days|weeks|milliseconds|microseconds|ms|sec|s|us|kb|mb|kib|mib|bits|percent|m|h|d|b"
    for family in (await scraped(host.metrics)).families:
        name = family.name
        assert re.fullmatch(r"(lynrie|process|python)(_[a-z]+)+", name), name
        assert family.documentation, name
        if name.startswith("lynrie"):
            assert re.fullmatch(r"[A-Z][^\n]*\.", family.documentation), name
        assert not any(part in types for part in name.split("_") if part != "info" or family.type != "gauge"), name
        assert not re.search(rf"_({others})(_|$)", name), f"{name}: a base unit, written out"
        assert family.type in ("counter", "gauge", "histogram"), name
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter"), sample.name
            assert all(re.fullmatch(r"[a-z]+", label) for label in sample.labels), sample


async def test_the_page_about_metrics_names_every_metric_and_every_reason(cinema: StartBox) -> None:
    host = await cinema()
    told = set(re.findall(r"^\| `(\w+)` \|", DOCS.read_text(), re.MULTILINE))
    own = {name for name in family_names(await scraped(host.metrics)) if name.startswith("lynrie")}
    assert told == own | {*REASONS, OTHER}
