"""A real process and its end: pulled plugs, SIGTERM, and what a client may rely on afterwards.

In each storm several clients send holds, bookings and cancellations as fast as they can, at QoS 1 and 2. What was
acknowledged or told before the end must stand after it; what was not may be sent again, and takes effect once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from raw_mqtt import (
    CONNACK,
    PUBACK,
    PUBLISH,
    PUBREC,
    PUBREL,
    RawClient,
    TcpTransport,
    WebSocketTransport,
    acknowledgement,
    connect,
    publish,
)

from contract.house import LATE_SHOWING, SHOWING, House, new_id
from contract.people import DEADLINE
from contract.process import BoxProcess

NAMES = ("alice", "bob", "carol", "dave", "vera", "kiosk", "kiosk2")
ROUNDS = 4
COMMANDS_EACH = 60

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


@dataclass
class Diary:
    """What the clients sent and what they know of it: bodies by booking id."""

    sent: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)
    told: dict[str, dict[str, Any]] = field(default_factory=dict)

    def merge(self, other: Diary) -> None:
        for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True):
            mine.update(theirs)


async def sign_in(box: BoxProcess, house: House, name: str) -> RawClient:
    """By one door or the other: that each has its half of the people is enough."""
    in_a_browser = NAMES.index(name) % 2
    client = RawClient(await (WebSocketTransport.open(box.web) if in_a_browser else TcpTransport.open(box.tcp)))
    await client.send(connect(*house.credentials(name)))
    await client.next(CONNACK)
    await client.subscribe("booking/confirm/+", qos=1)
    return client


async def rush(box: BoxProcess, house: House, name: str, chance: random.Random, enough: Callable[[], None]) -> Diary:
    """One client's storm, until the box is gone. ``enough`` is called with each acknowledgement."""
    diary, waiting = Diary(), {}
    with contextlib.suppress(OSError, aiohttp.ClientError):
        client = await sign_in(box, house, name)
        packets = []
        for number in range(1, COMMANDS_EACH + 1):
            seats = chance.sample(house.seats, chance.randint(1, 3))
            showing_id = chance.choice((SHOWING, LATE_SHOWING))
            booking_id, qos = new_id(), chance.choice((1, 2))
            body = {"showing_id": showing_id, "seat_ids": seats, "booking_id": booking_id, "timestamp": "t"}
            kind = chance.choice(("booking/request", "booking/request", "seats/hold", "booking/cancel"))
            if kind == "seats/hold":
                body = {name: value for name, value in body.items() if name != "booking_id"}
            elif kind == "booking/cancel" and diary.sent:
                booking_id = chance.choice(list(diary.sent))
                body = {"booking_id": booking_id, "timestamp": "t"}
            elif kind == "booking/cancel":
                continue
            else:
                diary.sent[booking_id] = (name, body)
            waiting[number] = (kind, booking_id)
            packets.append(publish(kind, json.dumps(body).encode(), qos=qos, packet_id=number))
        reading = asyncio.create_task(read(client, diary, waiting, enough))
        with contextlib.suppress(OSError, aiohttp.ClientError):  # the plug was pulled
            for packet in packets:
                await client.send(packet)
                await asyncio.sleep(0)
        await reading  # also what had arrived before
        await client.close()
    return diary


async def read(
    client: RawClient, diary: Diary, waiting: dict[int, tuple[str, str]], enough: Callable[[], None]
) -> None:
    while (packet := await client.packet()) is not None:
        if packet.kind == PUBLISH:
            body = json.loads(packet.payload)
            diary.told[body["booking_id"]] = body
        elif packet.kind in (PUBACK, PUBREC):
            kind, booking_id = waiting[packet.packet_id]
            if kind == "booking/request":
                diary.acknowledged.add(booking_id)
            elif kind == "booking/cancel":
                diary.cancelled.add(booking_id)
            enough()
            if packet.kind == PUBREC:
                with contextlib.suppress(OSError, aiohttp.ClientError):
                    await client.send(acknowledgement(PUBREL, packet.packet_id))


async def storm(box: BoxProcess, house: House, seed: int, *, until: int) -> tuple[asyncio.Task[Diary], asyncio.Event]:
    """Begin a storm. The event is set with the acknowledgement of that number."""
    acknowledged, enough = Counter[str](), asyncio.Event()

    def count() -> None:
        acknowledged["all"] += 1
        if acknowledged["all"] == until:
            enough.set()

    async def everybody() -> Diary:
        rushes = [rush(box, house, name, random.Random(f"{seed} {name}"), count) for name in NAMES]
        diaries = await asyncio.gather(*rushes)
        whole = Diary()
        for diary in diaries:
            whole.merge(diary)
        return whole

    task = asyncio.create_task(everybody())
    return task, enough


def outcomes(path: Path) -> dict[str, str]:
    """What the file says of each booking id."""
    db = sqlite3.connect(path)
    try:
        rows = db.execute(
            "SELECT booking_id, status FROM bookings UNION ALL SELECT booking_id, 'failed' FROM booking_failures"
        ).fetchall()
    finally:
        db.close()
    assert len(rows) == len({booking_id for booking_id, _ in rows})
    return dict(rows)


def require_sound(path: Path) -> None:
    """No seat is in two bookings; the claims are exactly the seats of the confirmed bookings, and running holds."""
    db = sqlite3.connect(path)
    try:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        sold = db.execute(
            "SELECT showing_id, seat_id FROM bookings JOIN booking_seats USING (booking_id) WHERE status = 'confirmed'"
        ).fetchall()
        claimed = db.execute("SELECT showing_id, seat_id FROM seat_claims WHERE booking_id IS NOT NULL").fetchall()
    finally:
        db.close()
    assert len(sold) == len(set(sold))
    assert sorted(sold) == sorted(claimed)


def require_kept(path: Path, diary: Diary) -> None:
    """Whatever a client was told or had acknowledged before the end stands."""
    known = outcomes(path)
    assert diary.acknowledged <= set(known)
    for booking_id, body in diary.told.items():
        assert known[booking_id] in {"confirmed": ("confirmed", "cancelled")}.get(body["status"], (body["status"],))
    for booking_id in diary.cancelled & set(diary.sent):
        assert known[booking_id] in ("cancelled", "failed")


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


async def test_after_each_of_several_power_cuts_all_that_was_acknowledged_stands(
    house: House, start: StartProcess, path: Path
) -> None:
    whole = Diary()
    for number in range(ROUNDS):
        box = await start(LYNRIE_BOOKING__HOLD_SECONDS=1)
        rushing, enough = await storm(box, house, number, until=(20, 75, 150, 280)[number])
        async with asyncio.timeout(DEADLINE):
            await enough.wait()
        await box.cut_the_power()
        whole.merge(await rushing)
        require_sound(path)
        require_kept(path, whole)
    assert "confirmed" in outcomes(path).values()
    assert len(whole.acknowledged) < len(whole.sent)  # the plug was pulled in the middle of it

    box = await start(LYNRIE_BOOKING__HOLD_SECONDS=1)
    await require_no_seat_reserved_for_ever(box)
    before = outcomes(path)
    for name in NAMES:  # a client sends again whatever was not acknowledged, and what was
        client = await sign_in(box, house, name)
        bodies = [body for sender, body in whole.sent.values() if sender == name]
        for place, body in enumerate(bodies):
            await client.send(publish("booking/request", json.dumps(body).encode(), qos=1, packet_id=place + 1))
            while (await client.packets(1))[0].kind != PUBACK:
                pass
        await client.close()
    after = outcomes(path)
    assert set(after) == set(whole.sent)
    assert {booking_id: after[booking_id] for booking_id in before} == before
    require_sound(path)
    assert await box.stop() == 0


async def test_sigterm_ends_with_status_0_within_five_seconds_and_what_was_acknowledged_stands(
    house: House, start: StartProcess, path: Path
) -> None:
    for number, until in enumerate((1, 100)):
        box = await start()
        rushing, enough = await storm(box, house, 100 + number, until=until)
        async with asyncio.timeout(DEADLINE):
            await enough.wait()
        assert await box.stop() == 0
        diary = await rushing
        assert diary.acknowledged
        require_kept(path, diary)
        require_sound(path)
        assert "Traceback" not in box.said


async def test_sigterm_with_nobody_there_and_with_silent_connections_ends_with_status_0(
    house: House, start: StartProcess
) -> None:
    box = await start()
    connections = [await sign_in(box, house, name) for name in NAMES]
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
    alice = await sign_in(box, house, "alice")
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
