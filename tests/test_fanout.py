"""One message to many: the present first, then what follows; coalescing; slow and stuck clients; plain messages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from boxes import plugin, until
from conftest import OpenClient, StartBox
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from normative import shows
from raw_mqtt import (
    PUBACK,
    PUBLISH,
    PUBREC,
    SUBACK,
    UNSUBACK,
    Packet,
    RawClient,
    acknowledgement,
    publish,
    subscribe,
    unsubscribe,
)
from sample_plugins import COMMAND, Counter, user_id
from turned import Bench, MemoryWire

from broker import fanout as fanout_module
from broker.connection import MAX_UNACKNOWLEDGED, Connection, End
from broker.fanout import ROOM_BYTES, RetainedPresent
from broker.host import Host
from broker.plugin import Audience, Identity, Message
from broker.topics import matches

NAMES = ("a", "b", "c")
FILTERS = ("seen/a", "seen/b", "seen/c", "seen/+", "seen/#", "#")


class Versions:
    """A present of versions: each topic's payload is its number, which only grows."""

    def __init__(self, names: Iterable[str] = NAMES, padding: int = 0, qos: int = 0) -> None:
        self.values = dict.fromkeys(names, 0)
        self.padding = padding
        self.qos = qos
        self.asked = 0
        self._kept: dict[str, tuple[Message, ...]] = {}

    def payload(self, name: str) -> bytes:
        return b"%d" % self.values[name] + b" " * self.padding

    def bump(self, bench: Bench, name: str) -> None:
        self.values[name] += 1
        self._kept.pop(name, None)
        bench.fanout.publish(f"seen/{name}", self.payload(name), 0, None)

    async def prepare(self, topic_filter: str, identity: object) -> None: ...

    def topics(self, topic_filter: str, identity: object) -> Iterable[str]:
        return [f"seen/{name}" for name in self.values if matches(topic_filter, f"seen/{name}")]

    def messages(self, topic: str, identity: object) -> Sequence[Message]:
        self.asked += 1
        name = topic.removeprefix("seen/")
        return self._kept.setdefault(name, (Message(self.payload(name), self.qos),))

    def replaces_backlog(self, topic: str) -> bool:
        return topic.startswith("seen/")


class Watcher:
    """Holds what one connection gets against the promise: the present first, then each change once, in order."""

    def __init__(self) -> None:
        self.last: dict[str, int] = {}
        self.connection: Connection
        self.presents = 0

    def see(self, packet: Packet) -> None:
        topic, version = packet.topic, int(packet.payload or 0)
        assert self.watches(topic), f"{topic} without a subscription"
        if packet.retain:
            self.presents += 1
            assert version >= self.last.get(topic, 0), "a present older than what was seen"
        else:
            assert topic in self.last, "a live message before the present"
            assert version == self.last[topic] + 1, f"{version} after {self.last[topic]}"
        self.last[topic] = version

    def watches(self, topic: str) -> bool:
        return any(matches(topic_filter, topic) for topic_filter in self.connection.subscriptions)


class NoChangeIsMissedDoubledOrOlderThanThePresent(RuleBasedStateMachine):
    """Connections subscribe, leave, read slowly and not at all under a stream of changes, in any order of steps."""

    @initialize(window=st.sampled_from([0.0, 0.02]), padding=st.sampled_from([0, 1500]))
    def begin(self, window: float, padding: int) -> None:
        self.bench = Bench(window_seconds=window, stuck_seconds=1e9, outbound_bytes=4096)
        self.versions = Versions(padding=padding)
        self.bench.fanout.presents.append(self.versions)
        self.watchers: list[tuple[Connection, MemoryWire, Watcher]] = []
        for number in range(3):
            watcher = Watcher()
            connection, wire = self.bench.join(f"user {number}", MemoryWire(watcher.see))
            watcher.connection = connection
            self.watchers.append((connection, wire, watcher))

    @rule(name=st.sampled_from(NAMES), times=st.integers(1, 6))
    def change(self, name: str, times: int) -> None:
        for _ in range(times):
            self.versions.bump(self.bench, name)

    @rule()
    def step(self) -> None:
        self.bench.loop.step()

    @rule(seconds=st.sampled_from([0.005, 0.02, 0.5, 1.1]))
    def advance(self, seconds: float) -> None:
        self.bench.loop.advance(seconds)

    @rule(
        who=st.integers(0, 2), filters=st.lists(st.sampled_from(FILTERS), min_size=1, max_size=3), meanwhile=st.data()
    )
    def subscribe(self, who: int, filters: list[str], meanwhile: st.DataObject) -> None:
        connection = self.watchers[who][0]
        for topic_filter in filters:
            self.bench.fanout.subscribe(connection, topic_filter, 0)
            self._meanwhile(meanwhile)  # the policy is asked, a present is prepared
        for topic_filter in filters:
            self.bench.fanout.present(connection, topic_filter)
            self._meanwhile(meanwhile)

    def _meanwhile(self, data: st.DataObject) -> None:
        for happening in data.draw(st.lists(st.sampled_from([*NAMES, "step", "time"]), max_size=3)):
            if happening == "step":
                self.step()
            elif happening == "time":
                self.advance(0.02)
            else:
                self.change(happening, 1)

    @rule(who=st.integers(0, 2), topic_filter=st.sampled_from(FILTERS))
    def unsubscribe(self, who: int, topic_filter: str) -> None:
        connection, _, watcher = self.watchers[who]
        connection.flush()
        self.bench.fanout.unsubscribe(connection, topic_filter)
        for topic in list(watcher.last):
            if not watcher.watches(topic):
                del watcher.last[topic]

    @rule(name=st.sampled_from(NAMES))
    def renew(self, name: str) -> None:
        self.versions.values[name] += 1
        self.versions._kept.pop(name, None)
        self.bench.fanout.renew(f"seen/{name}")

    @rule(who=st.integers(0, 2), slow=st.booleans())
    def read_or_not(self, who: int, slow: bool) -> None:
        wire = self.watchers[who][1]
        wire.is_slow = slow
        if not slow:
            wire.take(10**9)

    @rule(who=st.integers(0, 2), size=st.sampled_from([100, 3000, 100_000]))
    def read_a_little(self, who: int, size: int) -> None:
        self.watchers[who][1].take(size)

    @precondition(lambda self: hasattr(self, "bench"))
    @rule()
    def all_know_the_newest_once_they_have_read(self) -> None:
        for _ in range(20):
            for _, wire, _ in self.watchers:
                wire.take(10**9)
            self.bench.loop.advance(0.3)
        for connection, _, watcher in self.watchers:
            assert connection.ended is None
            for name, version in self.versions.values.items():
                if watcher.watches(f"seen/{name}"):
                    assert watcher.last.get(f"seen/{name}") == version

    def teardown(self) -> None:
        if not hasattr(self, "bench"):
            return
        self.all_know_the_newest_once_they_have_read()
        for connection, _, _ in self.watchers:
            self.bench.fanout.leave(connection)
        assert not self.bench.fanout.index.filters()


TestNoChangeIsMissedDoubledOrOlderThanThePresent = NoChangeIsMissedDoubledOrOlderThanThePresent.TestCase


def of_versions(**options: Any) -> tuple[Bench, Versions]:
    bench, versions = Bench(**options), Versions()
    bench.fanout.presents.append(versions)
    return bench, versions


# The present


def test_a_second_filter_that_is_still_being_decided_does_not_let_the_first_begin_without_its_present() -> None:
    bench, versions = of_versions()
    connection, wire = bench.join()
    bench.fanout.subscribe(connection, "seen/a", 0)
    versions.bump(bench, "a")
    bench.loop.settle()
    assert wire.packets == []
    bench.fanout.present(connection, "seen/a")
    bench.loop.settle()
    assert [(p.retain, p.payload) for p in wire.packets] == [(True, b"1")]


def test_a_repeated_subscribe_gets_the_present_again_but_once_a_second() -> None:
    bench, _ = of_versions()
    connection, wire = bench.join()
    for _ in range(10):
        bench.subscribe(connection, "seen/a")
        bench.loop.advance(0.05)
    assert len(wire.packets) == 1
    bench.loop.advance(0.6)
    assert len(wire.packets) == 2
    bench.loop.advance(5)
    assert len(wire.packets) == 2
    bench.subscribe(connection, "seen/a")
    bench.loop.settle()
    assert len(wire.packets) == 3


def test_leaving_and_subscribing_again_does_not_get_the_present_more_often() -> None:
    bench, _ = of_versions()
    connection, wire = bench.join()
    for _ in range(50):
        bench.subscribe(connection, "seen/#")
        bench.loop.settle()
        bench.fanout.unsubscribe(connection, "seen/#")
    bench.loop.advance(5)
    assert len(wire.packets) == len(NAMES)


def test_a_present_is_not_sent_to_who_has_left_meanwhile() -> None:
    bench, _ = of_versions()
    connection, wire = bench.join()
    bench.subscribe(connection, "seen/a")
    bench.fanout.unsubscribe(connection, "seen/a")
    bench.loop.advance(2)
    assert all(packet.topic == "seen/a" for packet in wire.packets)
    before = len(wire.packets)
    bench.subscribe(connection, "seen/a")
    bench.fanout.unsubscribe(connection, "seen/a")
    bench.fanout.leave(connection)
    bench.loop.advance(2)
    assert len(wire.packets) - before <= 1


class Stumbling(Versions):
    """Replaces nothing, and fails when it is asked."""

    def messages(self, topic: str, identity: object) -> Sequence[Message]:
        raise RuntimeError("the present cannot be made")

    def replaces_backlog(self, topic: str) -> bool:
        return False


def test_a_present_that_fails_when_a_message_meets_it_takes_that_message_from_nobody() -> None:
    bench = Bench()
    bench.fanout.presents.append(Stumbling())
    wires = []
    for user in ("ann", "bob"):
        connection, wire = bench.join(user)
        bench.fanout.subscribe(connection, "seen/a", 1)
        connection.pending["seen/a"] = bench.fanout.presents[0]  # on its way
        wires.append(wire)
    bench.fanout.publish("seen/a", b"told", 1, None)
    bench.loop.settle()
    assert [[p.payload for p in wire.packets] for wire in wires] == [[b"told"], [b"told"]]


def test_a_present_is_encoded_once_for_all() -> None:
    bench, _ = of_versions()
    packets = set()
    for _ in range(5):
        connection, wire = bench.join()
        bench.subscribe(connection, "seen/a")
        bench.loop.settle()
        packets.add(id(wire.writes[0]))
    assert len(packets) == 1


def test_the_presents_kept_for_others_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout_module, "SHARED_PRESENT_BYTES", 200_000)
    bench = Bench()
    versions = Versions([str(n) for n in range(20)], padding=30_000)
    bench.fanout.presents.append(versions)
    for _ in range(3):
        connection, wire = bench.join()
        bench.subscribe(connection, "seen/#")
        bench.loop.advance(1)
        assert len(wire.packets) == 20
        for name in ("18", "19", "19"):
            versions.bump(bench, name)
        kept = [shared for _, shared in bench.fanout._shared_presents.values()]
        assert kept[-1].packets in wire.writes[-1]
        assert sum(2 * len(shared.packets) for shared in kept) == bench.fanout._shared_present_bytes <= 200_000


def test_a_present_that_nobody_asks_for_any_more_is_not_kept() -> None:
    bench = Bench()
    bench.fanout.presents.append(Versions(["over", "running"]))
    for topic in ("seen/over", "seen/running", "seen/over", "seen/running"):
        connection, _ = bench.join()
        bench.subscribe(connection, topic)
        bench.loop.advance(fanout_module.PRESENT_KEPT_SECONDS / 2)
    assert list(bench.fanout._shared_presents) == ["seen/over", "seen/running"]
    connection, _ = bench.join()
    bench.subscribe(connection, "seen/running")
    bench.loop.advance(1)
    assert list(bench.fanout._shared_presents) == ["seen/over", "seen/running"]  # asked for a minute ago
    bench.loop.advance(fanout_module.PRESENT_KEPT_SECONDS / 2)
    connection, _ = bench.join()
    bench.subscribe(connection, "seen/running")
    bench.loop.advance(1)
    ((messages, shared),) = bench.fanout._shared_presents.values()
    assert messages[0].payload in shared.packets
    assert bench.fanout._shared_present_bytes == shared.kept_bytes


def test_a_large_present_comes_one_topic_at_a_time_as_the_connection_drains() -> None:
    bench = Bench()
    versions = Versions([str(n) for n in range(50)], padding=30_000)
    bench.fanout.presents.append(versions)
    connection, wire = bench.join()
    wire.is_slow = True
    bench.subscribe(connection, "seen/#")
    bench.loop.advance(1)
    assert wire.most_buffered < ROOM_BYTES + 2 * 30_100
    while len(wire.packets) < 50:
        wire.take(10_000)
        bench.loop.advance(0.1)
        assert wire.most_buffered < ROOM_BYTES + 2 * 30_100
    assert sorted(p.topic for p in wire.packets) == sorted(f"seen/{n}" for n in range(50))


def test_a_present_larger_than_the_backlog_may_be_is_not_begun_anew_while_it_is_under_way() -> None:
    bench = Bench(outbound_bytes=4096)
    versions = Versions(padding=300_000)
    bench.fanout.presents.append(versions)
    watcher = Watcher()
    connection, wire = bench.join(wire=MemoryWire(watcher.see))
    watcher.connection = connection
    wire.is_slow = True
    bench.subscribe(connection, "seen/a")
    bench.loop.advance(0.1)
    versions.padding = 0
    for _ in range(30):
        versions.bump(bench, "a")
        wire.take(10_000)
        bench.loop.advance(0.05)
    assert watcher.presents == 1
    assert watcher.last == {"seen/a": 30}


def test_what_a_large_present_was_spared_is_counted_again_once_it_has_left() -> None:
    bench = Bench(outbound_bytes=4096)
    versions = Versions(padding=300_000)
    bench.fanout.presents.append(versions)
    connection, wire = bench.join()
    wire.is_slow = True
    bench.subscribe(connection, "seen/a")
    bench.loop.advance(0.1)
    wire.take(10**9)
    bench.loop.advance(0.1)
    wire.most_buffered = 0
    versions.padding = 1000
    for _ in range(100):
        versions.bump(bench, "a")
        bench.loop.advance(0.05)
    assert wire.most_buffered < 4096 + 2 * 1100


# Coalescing


def test_many_changes_of_one_step_are_one_write_per_connection() -> None:
    bench, versions = of_versions()
    joined = [bench.join() for _ in range(5)]
    for connection, wire in joined:
        bench.subscribe(connection, "seen/#")
        bench.loop.advance(1)
        wire.writes.clear()
    for _ in range(20):
        for name in NAMES:
            versions.bump(bench, name)
    bench.loop.settle()
    for _, wire in joined:
        assert len(wire.writes) == 1
        assert len(wire.packets) == 60


def test_the_first_change_leaves_at_once_and_what_follows_within_the_window_together() -> None:
    bench, versions = of_versions(window_seconds=0.02)
    connection, wire = bench.join()
    bench.subscribe(connection, "seen/a")
    bench.loop.advance(1)
    wire.writes.clear()
    versions.bump(bench, "a")
    bench.loop.settle()
    assert len(wire.writes) == 1
    for _ in range(9):
        versions.bump(bench, "a")
        bench.loop.advance(0.001)
    assert len(wire.writes) == 1
    bench.loop.advance(0.02)
    assert len(wire.writes) == 2
    assert [int(p.payload) for p in wire.packets] == list(range(1, 11))


def test_who_does_not_watch_is_not_written_to() -> None:
    bench, versions = of_versions()
    _, silent = bench.join()
    elsewhere, other = bench.join()
    bench.subscribe(elsewhere, "seen/b")
    bench.loop.advance(1)
    other.writes.clear()
    for _ in range(20):
        versions.bump(bench, "a")
        bench.loop.advance(0.01)
    assert silent.writes == []
    assert other.writes == []


def test_acknowledgements_and_messages_of_one_step_are_one_write() -> None:
    bench, versions = of_versions()
    connection, wire = bench.join()
    bench.subscribe(connection, "seen/a")
    bench.loop.advance(1)
    wire.writes.clear()
    versions.bump(bench, "a")
    connection.send(acknowledgement(PUBACK, 1))
    bench.fanout.publish("answer", b"x", 1, None)
    connection.send(acknowledgement(PUBACK, 2))
    bench.loop.step()
    assert len(wire.writes) == 1


# Slow and stuck clients


def test_a_slow_connection_gets_the_present_instead_of_its_backlog_in_bounded_memory() -> None:
    bench = Bench(outbound_bytes=4096)
    versions = Versions(padding=1000)
    bench.fanout.presents.append(versions)
    watcher = Watcher()
    connection, wire = bench.join(wire=MemoryWire(watcher.see))
    watcher.connection = connection
    bench.subscribe(connection, "seen/a")
    bench.loop.advance(1)
    wire.is_slow = True
    for _ in range(500):
        versions.bump(bench, "a")
        bench.loop.advance(0.01)
    assert wire.most_buffered < 4096 + 3 * 1100  # at most one window above
    assert watcher.presents == 1
    wire.is_slow = False
    wire.take(10**9)
    bench.loop.advance(0.1)
    assert watcher.presents == 2
    assert watcher.last == {"seen/a": 500}
    versions.bump(bench, "a")
    bench.loop.advance(0.1)
    assert (watcher.presents, watcher.last) == (2, {"seen/a": 501})


def test_nobody_waits_for_who_does_not_read() -> None:
    """Each change reaches a healthy watcher in the turn of the loop in which it happens, whatever waits for others."""
    bench = Bench(outbound_bytes=4096, window_seconds=0)
    versions = Versions(padding=1000)
    bench.fanout.presents.append(versions)
    slow = [bench.join(f"slow {number}") for number in range(20)]
    watcher = Watcher()
    watcher.connection, wire = bench.join("healthy", MemoryWire(watcher.see))
    for connection, beside in [*slow, (watcher.connection, wire)]:
        beside.is_slow = beside is not wire
        bench.subscribe(connection, "seen/a")
    bench.loop.settle()
    for number in range(1, 501):
        versions.bump(bench, "a")
        bench.loop.step()  # gathers what this step has for each
        bench.loop.step()  # writes it
        assert watcher.last == {"seen/a": number}
    assert all(connection.congested and connection.ended is None for connection, _ in slow)
    assert watcher.presents == 1


def test_who_takes_nothing_for_stuck_seconds_is_aborted() -> None:
    bench = Bench(outbound_bytes=4096, stuck_seconds=30)
    versions = Versions(padding=1000)
    bench.fanout.presents.append(versions)
    connection, wire = bench.join()
    wire.is_slow = True
    bench.subscribe(connection, "seen/a")
    for _ in range(20):
        versions.bump(bench, "a")
        bench.loop.advance(0.1)
    wire.take(100)  # a sign of life
    bench.loop.advance(29)
    assert connection.ended is None
    bench.loop.advance(2)
    assert connection.ended is End.STUCK
    assert not wire.is_open


class BrokenWire(MemoryWire):
    """Cannot say any more what waits."""

    is_broken = False

    def buffered(self) -> int:
        if self.is_broken:
            raise RuntimeError("this transport is in pieces")
        return super().buffered()


def test_a_connection_that_cannot_be_looked_at_ends_and_the_others_drain() -> None:
    bench, versions = of_versions(outbound_bytes=4096)
    broken = BrokenWire()
    (first, _), (second, wire) = bench.join("ann", broken), bench.join("bob")
    for connection, slow in ((first, broken), (second, wire)):
        bench.subscribe(connection, "seen/a")
        slow.is_slow = True
    while not (first.congested and second.congested):
        versions.bump(bench, "a")
        bench.loop.advance(0.1)
    broken.is_broken = True
    bench.loop.advance(1)
    assert (first.ended, second.ended) == (End.LOST, None)
    wire.take(10**6)
    bench.loop.advance(1)
    assert wire.packets[-1].payload == versions.payload("a")


def test_who_reads_as_fast_as_messages_come_is_not_stuck() -> None:
    bench = Bench(stuck_seconds=30)
    versions = Versions(padding=1000)
    bench.fanout.presents.append(versions)
    connection, wire = bench.join()
    bench.subscribe(connection, "seen/a")
    bench.loop.advance(1)
    wire.is_slow = True
    for _ in range(100):
        versions.bump(bench, "a")
        bench.loop.advance(0.02)
    bench.subscribe(connection, "seen/a", "seen/b")  # its present waits until there is room
    for _ in range(3000):
        versions.bump(bench, "a")
        wire.take(1007)
        bench.loop.advance(0.02)
    assert connection.ended is None


def test_what_must_not_be_lost_closes_a_connection_that_never_drains() -> None:
    bench = Bench(outbound_bytes=4096)
    connection, wire = bench.join()
    wire.is_slow = True
    bench.subscribe(connection, "answer", qos=1)
    for _ in range(100):
        bench.fanout.publish("answer", b"x" * 1000, 1, Audience(frozenset({"ann"})))
        bench.loop.advance(0.001)
    assert connection.ended is End.SLOW
    assert wire.most_buffered < 2 * 4096 + 3 * 1100


@pytest.mark.parametrize("granted", [0, 1])
def test_what_must_not_be_lost_is_not_dropped_while_the_connection_lives(granted: int) -> None:
    bench = Bench(outbound_bytes=4096)
    versions = Versions(padding=1000)
    bench.fanout.presents.append(versions)
    connection, wire = bench.join()
    wire.is_slow = True
    bench.subscribe(connection, "seen/a")
    bench.subscribe(connection, "answer", qos=granted)
    for _ in range(20):
        versions.bump(bench, "a")
        bench.loop.advance(0.1)
    assert connection.congested
    bench.fanout.publish("answer", b"important", 1, Audience(frozenset({"ann"})))
    wire.is_slow = False
    wire.take(10**9)
    bench.loop.advance(1)
    assert connection.ended is None
    assert [p.payload for p in wire.packets if p.topic == "answer"] == [b"important"]


@shows("2.3.1-4")
def test_packet_ids_are_freed_by_their_acknowledgement_and_never_used_twice_at_once() -> None:
    bench = Bench()
    connection, wire = bench.join()
    bench.subscribe(connection, "answer", qos=1)
    inflight: set[int] = set()
    for _ in range(70_000):
        bench.fanout.publish("answer", b"", 1, None)
        connection.flush()
        packet_id = wire.packets[-1].packet_id
        wire.writes.clear()
        assert packet_id not in inflight
        assert packet_id
        inflight.add(packet_id)
        if len(inflight) == 10:
            done = min(inflight)
            inflight.remove(done)
            connection._inflight.discard(done)
    assert connection.ended is None
    assert connection._inflight == inflight


def test_a_client_that_never_acknowledges_is_closed() -> None:
    bench = Bench()
    connection, _ = bench.join()
    bench.subscribe(connection, "answer", qos=1)
    for _ in range(MAX_UNACKNOWLEDGED + 1):
        bench.fanout.publish("answer", b"", 1, None)
        bench.loop.settle()
    assert connection.ended is End.SLOW


# The same over sockets


async def test_subscribers_that_join_under_a_stream_of_changes_miss_and_double_nothing(
    box: StartBox, client: OpenClient, door: str
) -> None:
    host = await box()
    counter = plugin(host, Counter)
    counter.bump("a")
    stop = asyncio.Event()

    async def change() -> None:
        while not stop.is_set():
            counter.bump("a")
            await asyncio.sleep(0)

    async def watch(number: int) -> None:
        raw = await (await client(host, door)).connect(f"user{number}")
        await raw.send(subscribe("other", "count/+"))
        await raw.next(SUBACK)
        first = await raw.next(PUBLISH)
        assert first.retain
        last = int(first.payload)
        for _ in range(200):
            live = await raw.next(PUBLISH)
            assert not live.retain
            assert int(live.payload) == last + 1
            last += 1

    changing = asyncio.create_task(change())
    try:
        await asyncio.gather(*(watch(number) for number in range(10)))
    finally:
        stop.set()
        await changing


async def test_a_present_that_takes_time_to_prepare_holds_back_the_live_messages_of_its_packet(
    box: StartBox, client: OpenClient, door: str
) -> None:
    host = await box()
    counter = plugin(host, Counter)
    counter.bump("a")
    ann = await (await client(host, door)).connect("ann")
    counter.may_prepare.clear()
    await ann.send(subscribe("count/a", "count/b"))
    await counter.preparing.wait()
    counter.bump("a")
    counter.may_prepare.set()
    suback, present = await ann.packets(2)
    assert suback.kind == SUBACK
    assert (present.retain, present.payload) == (True, b"2")
    counter.bump("a")
    live = await ann.next(PUBLISH)
    assert (live.retain, live.payload) == (False, b"3")


class Told:
    """A present of what is told once, as a confirmation is."""

    def __init__(self) -> None:
        self.messages_of: dict[str, list[Message]] = {}
        self.preparing, self.may_prepare = asyncio.Event(), asyncio.Event()

    async def prepare(self, topic_filter: str, identity: object) -> None:
        if topic_filter == "told/later":
            self.preparing.set()
            await self.may_prepare.wait()

    def topics(self, topic_filter: str, identity: object) -> Iterable[str]:
        return [topic for topic in self.messages_of if matches(topic_filter, topic)]

    def messages(self, topic: str, identity: object) -> Sequence[Message]:
        return self.messages_of[topic]

    def replaces_backlog(self, topic: str) -> bool:
        return False


async def test_what_is_told_while_another_filter_of_the_packet_is_prepared_comes_once(
    box: StartBox, client: OpenClient, door: str
) -> None:
    host, told = await box(), Told()
    host.fanout.presents.insert(0, told)
    ann = await (await client(host, door)).connect("ann")
    await ann.send(subscribe("told/now", "told/later", qos=1))
    await told.preparing.wait()
    told.messages_of["told/now"] = [Message(b"confirmed", 1)]
    host.publish("told/now", b"confirmed", qos=1)
    told.may_prepare.set()
    suback, present = await ann.packets(2)
    assert (suback.kind, suback.body[2:]) == (SUBACK, b"\1\1")
    assert (present.retain, present.payload) == (True, b"confirmed")
    await ann.silence()


async def test_a_client_that_does_not_read_gets_the_present_and_then_goes_on_without_a_gap(
    box: StartBox, client: OpenClient
) -> None:
    host = await box(fanout={"window_milliseconds": 0})
    counter = plugin(host, Counter)
    counter.padding = 20_000
    counter.bump("a")
    ann = await (await client(host, receive_buffer=8192)).connect("ann")
    await ann.subscribe("count/a")
    connection = only(host)
    most = 0
    for _ in range(600):
        counter.bump("a")
        await asyncio.sleep(0)
        most = max(most, connection.wire.buffered())
    assert connection.congested
    assert most < host.limits.outbound_bytes + 3 * 20_100
    versions = []
    while not versions or versions[-1] < 600:
        received = await ann.next(PUBLISH)
        version = int(received.payload)
        assert received.retain if not versions else received.retain or version == versions[-1] + 1
        versions.append(version)
    assert len(versions) < 100
    for expected in range(602, 610):
        counter.bump("a")
        assert int((await ann.next(PUBLISH)).payload) in (expected, expected - 1)


async def test_a_client_that_stops_reading_is_aborted(box: StartBox, client: OpenClient, door: str) -> None:
    host = await box(fanout={"window_milliseconds": 0}, limits={"stuck_seconds": 0.2})
    counter = plugin(host, Counter)
    counter.padding = 50_000
    raw = await client(host, door, **({"receive_buffer": 8192} if door == "tcp" else {}))
    await raw.connect("ann")
    await raw.subscribe("count/a")
    if door == "web":
        raw.transport.websocket._conn.transport.pause_reading()  # type: ignore[attr-defined]
    connection = only(host)
    while not connection.congested:
        counter.bump("a")
        await asyncio.sleep(0)
    await until(lambda: not len(host.clients))
    assert connection.ended is End.STUCK
    assert not host.broker._sessions


async def test_answers_that_are_never_read_close_the_connection(box: StartBox, client: OpenClient) -> None:
    host = await box()
    ann = await (await client(host, receive_buffer=8192)).connect("ann")
    await ann.subscribe("answer/#", qos=1)
    connection = only(host)
    most = 0
    while connection.ended is None:
        plugin(host, Counter).answer(user_id("ann"), b"x" * 20_000)
        await asyncio.sleep(0)
        most = max(most, connection.wire.buffered())
    assert connection.ended is End.SLOW
    assert most < 2 * host.limits.outbound_bytes + 3 * 20_100
    await until(lambda: not len(host.clients))


@shows("4.3.2-1")
async def test_a_puback_frees_its_packet_id(box: StartBox, client: OpenClient, door: str) -> None:
    host = await box()
    ann = await (await client(host, door)).connect("ann")
    await ann.subscribe("answer/#", qos=1)
    for _ in range(5):
        plugin(host, Counter).answer(user_id("ann"), b"x")
        received = await ann.next(PUBLISH)
        assert received.qos == 1
        await ann.send(acknowledgement(PUBACK, received.packet_id))
    await ann.silence()
    assert only(host).unacknowledged == 0


def only(host: Host) -> Connection:
    (connection,) = host.clients._open
    return connection


# Plain messages


async def two(host: Host, client: OpenClient, door: str) -> tuple[RawClient, RawClient]:
    return await (await client(host, door)).connect("ann"), await (await client(host, door)).connect("bob")


@shows("3.8.4-6", "3.3.4-1", "2.3.1-5", "4.5.0-1")
@pytest.mark.parametrize(("published", "granted"), [(0, 0), (0, 1), (1, 0), (1, 1), (2, 1)])
async def test_a_message_goes_from_client_to_client_at_the_lower_qos(
    box: StartBox, client: OpenClient, door: str, published: int, granted: int
) -> None:
    ann, bob = await two(await box(), client, door)
    await bob.subscribe("free/x", qos=granted)
    await ann.send(publish("free/x", b"\0hello", qos=published, packet_id=3))
    received = await bob.next(PUBLISH)
    assert (received.topic, received.payload, received.retain) == ("free/x", b"\0hello", False)
    assert received.qos == min(published, granted)
    if published:
        assert (await ann.packets(1))[0].kind == (PUBACK if published == 1 else PUBREC)


@shows("4.6.0-5", "4.6.0-6")
async def test_messages_of_one_client_keep_their_order_whatever_their_qos(
    box: StartBox, client: OpenClient, door: str
) -> None:
    ann, bob = await two(await box(), client, door)
    await bob.subscribe("free/x", qos=1)
    await ann.send(*(publish("free/x", b"%d" % n, qos=n % 2, packet_id=9) for n in range(40)))
    assert [int(p.payload) for p in await bob.packets(40)] == list(range(40))


@shows("3.3.5-1", "3.8.3-2")
async def test_overlapping_subscriptions_deliver_once_with_the_higher_qos(
    box: StartBox, client: OpenClient, door: str
) -> None:
    ann, bob = await two(await box(), client, door)
    await bob.subscribe("free/+", qos=1)
    await bob.subscribe("free/x", "#", qos=0)
    await ann.send(publish("free/x", b"x", qos=1, packet_id=1))
    assert (await bob.next(PUBLISH)).qos == 1
    await bob.silence()


@shows("3.8.4-3")
async def test_a_repeated_subscribe_takes_the_new_qos(box: StartBox, client: OpenClient, door: str) -> None:
    ann, bob = await two(await box(), client, door)
    for qos in (1, 0, 1):
        await bob.subscribe("free/x", qos=qos)
        await ann.send(publish("free/x", b"x", qos=1, packet_id=1))
        assert (await bob.next(PUBLISH)).qos == qos


@shows("3.3.1-5", "3.3.1-6", "3.3.1-8", "3.3.1-9")
async def test_a_retained_message_is_kept_for_later_subscribers_and_its_live_copy_is_not_marked(
    box: StartBox, client: OpenClient, door: str
) -> None:
    ann, bob = await two(await box(), client, door)
    await bob.subscribe("free/x")
    await ann.send(publish("free/x", b"kept", qos=1, packet_id=1, retain=True))
    assert not (await bob.next(PUBLISH)).retain
    await ann.next(PUBACK)
    assert await ann.subscribe("free/+", qos=1) == b"\1"
    kept = await ann.next(PUBLISH)
    assert (kept.retain, kept.payload, kept.qos) == (True, b"kept", 1)


async def test_an_empty_retained_message_clears_it(box: StartBox, client: OpenClient, door: str) -> None:
    ann, bob = await two(await box(), client, door)
    await ann.send(publish("free/x", b"kept", retain=True), publish("free/x", b"", qos=1, packet_id=1, retain=True))
    await ann.next(PUBACK)
    await bob.subscribe("free/#")
    await bob.silence()


async def test_a_retained_message_is_the_same_object_until_another_takes_its_place(
    box: StartBox, client: OpenClient
) -> None:
    """So that it is encoded once for all who subscribe."""
    host = await box()
    present, nobody = host.fanout.presents[-1], Identity(None, None, "guest")
    assert isinstance(present, RetainedPresent)
    ann = await (await client(host)).connect("ann")

    async def retained(payload: bytes) -> Sequence[Message]:
        await ann.send(publish("free/x", payload, qos=1, packet_id=1, retain=True))
        await ann.next(PUBACK)
        assert present.messages("free/x", nobody) is present.messages("free/x", nobody)
        return present.messages("free/x", nobody)

    for payload in (b"kept", b"another"):
        assert [(message.payload, message.qos) for message in await retained(payload)] == [(payload, 1)]
    assert not await retained(b"")
    assert list(present.topics("#", nobody)) == []


async def test_retained_messages_are_limited_in_number(box: StartBox, client: OpenClient, door: str) -> None:
    host = await box(limits={"retained_messages": 3})
    ann, bob = await two(host, client, door)
    await ann.send(*(publish(f"free/{n}", b"first", retain=True) for n in range(10)))
    await ann.send(publish("free/1", b"second", retain=True))  # what is there already may change
    await ann.send(publish("free/0", b"", retain=True), publish("free/9", b"last", retain=True))
    await ann.silence()
    await bob.subscribe("free/#")
    found = {p.topic: p.payload for p in await bob.packets(3)}
    assert found == {"free/1": b"second", "free/2": b"first", "free/9": b"last"}
    await bob.silence()


@shows("4.7.2-1")
async def test_topics_that_begin_with_a_dollar_are_not_for_wildcards(
    box: StartBox, client: OpenClient, door: str
) -> None:
    host = await box()
    ann = await (await client(host, door)).connect("ann")
    assert await ann.subscribe("#", "+/x", "$box/#") == b"\0\0\0"
    host.publish("$box/x", b"once")
    assert (await ann.next(PUBLISH)).payload == b"once"
    await ann.send(unsubscribe("$box/#"))
    await ann.next(UNSUBACK)
    host.publish("$box/x", b"not", qos=1)  # at once: nothing gathers it with others
    await ann.silence()


# Who may see what


async def test_a_message_with_an_audience_reaches_its_users_and_roles_alone(
    box: StartBox, client: OpenClient, door: str
) -> None:
    host = await box()
    clients = {name: await (await client(host, door)).connect(name) for name in ("ann", "bob", "manager", "kiosk")}
    clients["guest"] = await (await client(host, door)).connect()
    for raw in clients.values():
        assert await raw.subscribe("news/#", qos=1) == b"\1"
    host.publish("news/x", b"x", qos=1, audience=Audience(frozenset({user_id("ann")}), frozenset({"manager"})))
    for name in ("ann", "manager"):
        assert (await clients[name].next(PUBLISH)).payload == b"x"
    for name in ("bob", "kiosk", "guest"):
        await clients[name].silence()


async def test_a_wildcard_brings_nothing_that_the_policy_keeps_from_its_subscriber(
    box: StartBox, client: OpenClient, door: str
) -> None:
    host = await box()
    manager = await (await client(host, door)).connect("manager")
    await manager.send(publish("secret/kept", b"s", qos=1, packet_id=1, retain=True))
    await manager.next(PUBACK)
    ann = await (await client(host, door)).connect("ann")
    assert await ann.subscribe("#", "secret/#", qos=1) == b"\1\x80"
    await manager.send(publish("secret/live", b"s", qos=1, packet_id=1))
    await manager.next(PUBACK)
    host.publish("secret/box", b"s")
    host.publish("broken/box", b"s")
    host.publish("free/box", b"f")
    assert (await ann.next(PUBLISH)).topic == "free/box"
    await ann.silence()


async def test_a_command_is_never_forwarded_to_a_subscriber(box: StartBox, client: OpenClient, door: str) -> None:
    host = await box()
    ann, manager = await (await client(host, door)).connect("ann"), await (await client(host, door)).connect("manager")
    assert await manager.subscribe("#", COMMAND, qos=1) == b"\1\1"
    await ann.send(publish(COMMAND, b"a", qos=1, packet_id=1, retain=True))
    await ann.next(PUBACK)
    assert sorted(p.topic for p in await manager.packets(2)) == [f"answer/{user_id('ann')}", "count/a"]
    await manager.silence()
    late = await (await client(host, door)).connect("manager")
    await late.subscribe(COMMAND)
    await late.silence()


async def test_a_last_will_reaches_only_those_who_may_receive_its_topic(
    box: StartBox, client: OpenClient, door: str
) -> None:
    host = await box()
    manager = await (await client(host, door)).connect("manager", will=("secret/gone", b"bye"), client_id="m")
    watching = await (await client(host, door)).connect("manager", client_id="w")
    ann = await (await client(host, door)).connect("ann")
    await watching.subscribe("secret/#")
    await ann.subscribe("#")
    await manager.close()
    assert (await watching.next(PUBLISH)).payload == b"bye"
    await ann.silence()
