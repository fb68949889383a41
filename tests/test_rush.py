"""The benchmark's own honesty: it must see a lost update, and measure nothing but loopback."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from bench import framing
from bench.load import Order, SeatPlan, Watcher, drive

ORDER = Order(
    host="127.0.0.1",
    port=1,
    websocket=False,
    showing_id="s",
    seats=2,
    seat_ids=["a", "b"],
    watchers=2,
    kiosks=1,
    seats_per_booking=1,
    seconds=1,
    username="k",
    password="p",
)


def update(seat_id: str, version: int, *, retain: bool = False) -> bytes:
    payload = json.dumps({"seat_id": seat_id, "status": "booked", "version": version}).encode()
    topic = b"seats/status/s"
    body = len(topic).to_bytes(2) + topic + payload
    return bytes([0x31 if retain else 0x30, len(body)]) + body


def all_booked(plan: SeatPlan) -> bool:
    return set(plan.status.values()) == {"booked"}


def test_a_gap_in_the_version_is_a_fault() -> None:
    plan = SeatPlan(ORDER)
    plan.feed(update("a", 1) + update("b", 3))
    assert "version 3 came after 1" in plan.fault


def test_a_present_instead_of_the_backlog_is_no_gap() -> None:
    plan = SeatPlan(ORDER)
    plan.feed(update("a", 1) + update("a", 5, retain=True) + update("b", 5, retain=True) + update("b", 6))
    assert not plan.fault
    assert plan.presents == 1


async def test_a_watcher_with_the_models_bytes_has_what_the_model_has() -> None:
    model = Watcher(ORDER, 1, None)
    other = Watcher(ORDER, 2, model)
    received = update("a", 1) + update("b", 2)
    other._received(received[:30])  # ahead of the model, and in pieces of its own
    model._received(received)
    other._received(received[30:])
    assert model.has_all(all_booked)
    assert other.has_all(all_booked)
    assert other.plan is None  # it was never parsed


@pytest.mark.parametrize("lost", [update("a", 1), update("b", 2)])
async def test_a_watcher_that_lost_an_update_is_found_out(lost: bytes) -> None:
    model = Watcher(ORDER, 1, None)
    other = Watcher(ORDER, 2, model)
    received = update("a", 1) + update("b", 2)
    model._received(received)
    other._received(received.replace(lost, b""))
    assert other.fault or not other.has_all(all_booked)


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


async def test_the_load_goes_to_loopback_alone() -> None:
    with pytest.raises(ValueError, match="loopback"):
        await drive(replace(ORDER, host="192.0.2.1"))


async def test_a_system_that_is_not_there_is_a_failed_round() -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    assert (await drive(replace(ORDER, port=port))).failure
