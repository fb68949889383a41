"""The benchmark's own honesty: it sees a lost update, it measures nothing but loopback, and it runs."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from bench import framing, measuring, systems
from bench.decision import Decisions
from bench.kiosks import Account
from bench.load import drive
from bench.measuring import play
from bench.report import BEGIN, END, lines, markdown, replace_section
from bench.returning import Judge
from bench.rows import LOADS, MOSQUITTO, Load, Row, Scale
from bench.sockets import Door
from bench.stage import Order, Result
from bench.systems import Showing, System
from bench.watching import Follower, Leader, SeatPlan

TINY = Scale(
    watchers=5,
    kiosks=2,
    seats=200,
    rush_seconds=0.2,
    calm_rate=20,
    calm_seconds=0.3,
    elsewhere=6,
    elsewhere_kiosks=2,
    elsewhere_bookings=8,
    elsewhere_slices=2,
    other_seats=40,
    returning=8,
    returning_kiosks=2,
    returning_seconds=0.2,
    waves=2,
    idle=8,
)


def update(seat_id: str, version: int, *, retain: bool = False) -> bytes:
    payload = json.dumps({"seat_id": seat_id, "status": "booked", "version": version}).encode()
    topic = b"seats/status/s"
    body = len(topic).to_bytes(2) + topic + payload
    return bytes([0x31 if retain else 0x30, len(body)]) + body


def blank() -> SeatPlan:
    return SeatPlan("s", ["a", "b"])


def all_booked(plan: SeatPlan) -> bool:
    return set(plan.status.values()) == {"booked"}


BOTH = update("a", 1) + update("b", 2)


def test_a_gap_in_the_version_is_a_fault() -> None:
    plan = blank()
    plan.feed(update("a", 1) + update("b", 3))
    assert "version 3 came after 1" in plan.fault


def test_a_present_instead_of_the_backlog_is_no_gap() -> None:
    plan = blank()
    plan.feed(update("a", 1) + update("a", 5, retain=True) + update("b", 5, retain=True) + update("b", 6))
    assert not plan.fault
    assert plan.presents == 1


def test_a_follower_with_the_leaders_bytes_has_what_the_leader_has() -> None:
    leader = Leader(blank())
    follower = Follower(leader, blank())
    follower.take(BOTH[:30])  # ahead of the leader, and in pieces of its own
    leader.take(BOTH)
    assert not follower.has_all(all_booked)
    follower.take(BOTH[30:])
    assert leader.has_all(all_booked)
    assert follower.has_all(all_booked)
    assert follower.plan is None  # it was never parsed


@pytest.mark.parametrize("lost", [update("a", 1), update("b", 2)])
def test_a_follower_that_lost_an_update_is_found_out(lost: bytes) -> None:
    leader = Leader(blank())
    follower = Follower(leader, blank())
    leader.take(BOTH)
    follower.take(BOTH.replace(lost, b""))
    assert not follower.has_all(all_booked)


def settled() -> tuple[Leader, Follower]:
    leader = Leader(blank())
    follower = Follower(leader, blank())
    leader.take(update("a", 0, retain=True))
    follower.take(update("a", 0, retain=True))
    leader.settle()
    assert follower.settle()
    leader.wire += BOTH
    leader.take(BOTH)
    return leader, follower


def test_a_follower_with_the_leaders_reads_has_what_the_leader_has() -> None:
    _, follower = settled()
    assert follower.take_wire(memoryview(BOTH)[:50])
    assert not follower.has_all(all_booked)
    assert follower.take_wire(memoryview(BOTH)[50:])
    assert follower.has_all(all_booked)


def test_a_follower_whose_reads_differ_is_parsed_from_where_all_were_alike() -> None:
    _, follower = settled()
    assert follower.take_wire(memoryview(BOTH)[:50])
    assert not follower.take_wire(memoryview(BOTH[50:].replace(b'"b"', b'"a"')))
    follower.take(follower.unsettle())
    assert follower.plan is not None
    assert follower.plan.version == 2
    assert not follower.has_all(all_booked)


@pytest.mark.parametrize("lost", [update("a", 1), update("b", 2)])
def test_a_settled_follower_that_lost_an_update_is_found_out(lost: bytes) -> None:
    _, follower = settled()
    if not follower.take_wire(memoryview(BOTH.replace(lost, b""))):
        follower.take(follower.unsettle())
    assert not follower.has_all(all_booked) or (follower.plan is not None and follower.plan.fault)


def test_a_follower_that_is_not_where_the_leader_is_does_not_settle() -> None:
    leader = Leader(blank())
    follower = Follower(leader, blank())
    leader.take(BOTH)
    leader.settle()
    assert not follower.settle()


ORDER = Order(
    kind="book",
    door=Door("127.0.0.1", 1, websocket=False),
    pids=[],
    has_present=True,
    account=Account("k", "p", 1, again=True),
    showing_id="s",
    seat_ids=[],
    seats=2,
    watchers=2,
    kiosks=1,
    seconds=1,
)
PRESENT = update("a", 3, retain=True) + update("b", 3, retain=True)


def test_a_visitor_who_was_shown_too_few_seats_or_missed_an_update_is_found_out() -> None:
    for stream in (update("a", 3, retain=True), PRESENT + update("a", 5)):
        judge = Judge(ORDER, [])
        judge.has_all(stream)
        assert judge.fault
    judge = Judge(ORDER, ["a"])
    assert judge.has_all(PRESENT + update("a", 4))
    assert not judge.fault


def test_a_visitor_without_a_present_begins_with_the_first_update() -> None:
    order = replace(ORDER, has_present=False, seat_ids=["a", "b"])
    judge = Judge(order, ["x", "y", "a", "b"])
    assert judge.has_all(update("a", 3) + update("b", 4))
    assert not judge.has_all(update("a", 3))
    assert not judge.fault
    judge.has_all(update("a", 2) + update("b", 4))
    assert judge.fault


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
@pytest.mark.parametrize("piece", [1000, 1, 100_000])
def test_frames_of_any_size_come_out_of_pieces_of_any_size(size: int, piece: int) -> None:
    if size > 1000:
        piece = max(piece, 100)
    extra = b"" if size < 126 else size.to_bytes(2) if size < 65536 else size.to_bytes(8)
    first = size if size < 126 else 126 if size < 65536 else 127
    stream = bytes([0x82, first]) + extra + b"x" * size + b"\x89\x02hi" + b"\x82\x01y"
    reader = framing.FrameReader()
    payload = b"".join(reader.feed(stream[start : start + piece]) for start in range(0, len(stream), piece))
    assert payload == b"x" * size + b"y"
    assert reader.pings == [b"hi"]


def test_the_load_goes_to_loopback_alone() -> None:
    with pytest.raises(ValueError, match="loopback"):
        Door("192.0.2.1", 1883, websocket=False)


@pytest.fixture
def nobodys_port() -> Iterator[int]:
    """Bound and not listening: a connection is refused, and nobody else takes the port."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_a_system_that_is_not_there_is_a_failed_round(nobodys_port: int) -> None:
    result = drive(replace(ORDER, door=Door("127.0.0.1", nobodys_port, websocket=False)))
    assert "could not connect" in result.failure


RUSH = next(load for load in LOADS if load.name == "rush")


def test_a_failed_round_counts_in_no_median_and_is_told() -> None:
    results = {
        "box": [Result({"bookings_per_second": 300.0}), Result(failure="a watcher never got an update")],
        "mosquitto": [Result({"bookings_per_second": 10.0}), Result({"bookings_per_second": 20.0})],
    }
    line = next(lines(RUSH, results))
    assert line.cells == ["300", "15 (10–20)"]
    assert (line.ratio, line.target, line.verdict) == ("20.0 × mosquitto", "≥ 15 ×", "met")
    assert "a watcher never got an update" in markdown([(RUSH, results)], 2, "a machine")


def test_a_target_that_is_missed_says_so() -> None:
    ratio, own = Row("", "m", "{:.1f}", at_most=0.1), Row("", "m", "{:.1f}", "ms", against="", at_most=250)
    load = replace(RUSH, rows=(ratio, own))
    results = {"box": [Result({"m": 251.0})], "mosquitto": [Result({"m": 1000.0})]}
    assert [line.verdict for line in lines(load, results)] == ["missed", "missed"]


def test_an_absolute_target_is_of_the_boxs_own_measure_beside_a_ratio_for_information() -> None:
    load = replace(RUSH, rows=(Row("", "m", "{:.1f}", "ms", at_most=250, absolute=True),))
    line = next(lines(load, {"box": [Result({"m": 200.0})], "mosquitto": [Result({"m": 50.0})]}))
    assert (line.ratio, line.target, line.verdict) == ("4.00 × mosquitto", "≤ 250 ms", "met")


def test_another_system_is_first_in_each_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "drive", lambda order: Result())
    turns: list[str] = []
    some = [System(key, ORDER.door, ORDER.account, [], True, [Showing("s", 2)], []) for key in systems.TITLES]
    for number in range(2):
        play(RUSH, some, TINY, 0, number, lambda key, result: turns.append(key))
    assert turns == ["box", "mosquitto", "stock", "mosquitto", "stock", "box"]


def test_the_page_gets_the_new_table_in_the_place_of_the_old() -> None:
    page = f"before\n\n{BEGIN}\n\nold\n\n{END}\n\nafter\n"
    assert replace_section(page, "new\n") == f"before\n\n{BEGIN}\n\nnew\n\n{END}\n\nafter\n"
    with pytest.raises(ValueError, match="no place"):
        replace_section("before", "new")


def test_whoever_asked_is_told_before_those_who_watch(tmp_path: Path) -> None:
    request = {"booking_id": "b", "showing_id": "s", "seat_ids": ["x", "y"]}
    decisions = Decisions(str(tmp_path / "worker.db"))
    told = list(decisions.decide(json.dumps(request).encode()))
    assert [topic for topic, _, _ in told] == ["booking/confirm/b", "seats/status/s", "seats/status/s"]
    taken = json.dumps({**request, "booking_id": "c"}).encode()
    assert [topic for topic, _, _ in decisions.decide(taken)] == ["booking/confirm/c"]


@pytest.fixture(scope="module")
def everybody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[System]]:
    """All systems, running, with showings for one round of every load; as in the benchmark, without mosquitto where it
    is not installed, which in CI is a failure."""
    seats = [count for load in LOADS for count in load.seats(TINY)]
    folder = tmp_path_factory.mktemp("bench")
    with ExitStack() as stack:
        yield [
            stack.enter_context(systems.start(key, folder, seats=seats, visitors=TINY.returning))
            for key in systems.TITLES
            if key != MOSQUITTO or systems.mosquitto_program() is not None or "CI" in os.environ
        ]


@pytest.mark.parametrize("load", LOADS, ids=lambda load: load.name)
def test_everything_that_a_small_load_sends_is_delivered_by_every_system(load: Load, everybody: list[System]) -> None:
    first = sum(len(earlier.seats(TINY)) for earlier in LOADS[: list(LOADS).index(load)])
    results = play(load, everybody, TINY, first, 0, lambda key, result: None)
    assert list(results) == [system.key for system in everybody]
    assert not {key: result.failure for key, result in results.items() if result.failure}
    wanted = {row.measure for row in load.rows}
    assert wanted <= set(results["box"].measures)
