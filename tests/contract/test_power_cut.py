"""A real process and its end: SIGTERM, and a hold that outlives a pulled plug. Power cuts have a room of their own:
tests/endurance."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from endurance.diary import Books, forgotten, unsound
from endurance.storm import BY_MQTT, Cinema, Progress, sign_in, storm
from endurance.torture import NO_LIMITS
from raw_mqtt import (
    CONNACK,
    PUBACK,
    PUBLISH,
    RawClient,
    TcpTransport,
    connect,
    publish,
)

from contract.house import LATE_SHOWING, SHOWING, House
from contract.people import DEADLINE
from contract.process import BoxProcess

StartProcess = Callable[..., Awaitable[BoxProcess]]


@pytest.fixture
async def start(house: House, tmp_path: Path) -> AsyncIterator[StartProcess]:
    """``await start(…)`` runs a box on one file, the same each time."""
    path = tmp_path / "box.db"
    shutil.copyfile(house.path, path)
    started: list[BoxProcess] = []

    async def begin(**environment: Any) -> BoxProcess:
        started.append(await BoxProcess.start(path, **environment))
        return started[-1]

    yield begin
    for process in started:
        await process.put_away()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "box.db"


async def require_no_seat_reserved_for_ever(box: BoxProcess) -> None:
    """Every seat of the storm's showings is available or booked, as soon as the holds' time is up."""
    guest = RawClient(await TcpTransport.open(box.tcp))
    await guest.send(connect())
    await guest.next(CONNACK)
    await guest.subscribe(f"seats/status/{SHOWING}", f"seats/status/{LATE_SHOWING}")
    states: dict[tuple[str, str], str] = {}
    while len(states) < 2 * 36 or "reserved" in states.values():
        body = json.loads((await guest.next(PUBLISH)).payload)
        states[body["showing_id"], body["seat_id"]] = body["status"]
    await guest.close()


async def test_sigterm_ends_with_status_0_within_five_seconds_and_what_was_acknowledged_stands(
    house: House, start: StartProcess, path: Path
) -> None:
    cinema = Cinema(house, (SHOWING, LATE_SHOWING), house.seats)
    for number, until in enumerate((1, 100)):
        progress = Progress()
        box = await start(**NO_LIMITS)
        rushing = asyncio.create_task(storm(box, cinema, f"sigterm {number}", progress))
        async with asyncio.timeout(DEADLINE):
            await progress.reaches(until)
        assert await box.stop() == 0
        diary = await rushing
        assert progress.acknowledged >= until
        books = Books.read(path)
        assert [*diary.faults, *unsound(books), *forgotten(books, diary)] == []
        assert "Traceback" not in box.said


async def test_sigterm_with_nobody_there_and_with_silent_connections_ends_with_status_0(
    house: House, start: StartProcess
) -> None:
    box = await start()
    connections = [await sign_in(box, house, name) for name in BY_MQTT]
    half_open = [await TcpTransport.open(box.tcp), await TcpTransport.open(box.web)]
    await half_open[1].send(b"GET / HTTP/1.1\r\n")
    assert await box.stop() == 0
    for connection in connections:
        assert await connection.read_to_end() == []
        await connection.close()
    for transport in half_open:
        await transport.close()


async def test_a_hold_ends_though_the_power_was_cut_meanwhile(house: House, start: StartProcess, path: Path) -> None:
    box = await start(LYNRIE_BOOKING__HOLD_SECONDS=1)
    alice = await sign_in(box, house, "alice", "booking/confirm/+")
    body = {"showing_id": SHOWING, "seat_ids": list(house.seats[:3]), "timestamp": "t"}
    await alice.send(publish("seats/hold", json.dumps(body).encode(), qos=1, packet_id=1))
    assert (await alice.next(PUBACK)).packet_id == 1
    await box.cut_the_power()
    await alice.close()
    box = await start(LYNRIE_BOOKING__HOLD_SECONDS=1)
    await require_no_seat_reserved_for_ever(box)
    db = sqlite3.connect(path)
    assert db.execute("SELECT count(*) FROM seat_claims").fetchone() == (0,)
    db.close()
