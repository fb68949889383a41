"""What happens while nothing can be written: another process has SQLite's write lock, as a backup's tool might."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from conftest import OpenClient
from raw_mqtt import CONNACK, PUBACK, PUBLISH, PUBREC, RawClient, TcpTransport, connect, publish

from contract.conftest import Join, OpenHouse
from contract.house import SHOWING, House, Premises, new_id
from contract.people import DEADLINE, Caller
from contract.process import BoxProcess

Http = Callable[[Premises], Caller]

HOLD_THE_LOCK = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


@asynccontextmanager
async def locked(path: Path) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Another process holds the write lock until the yielded function was awaited."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLD_THE_LOCK, str(path), stdin=pipe, stdout=pipe
    )
    stdin = process.stdin
    assert stdin is not None
    assert process.stdout is not None
    assert await process.stdout.readline() == b"locked\n"

    async def let_go() -> None:
        stdin.close()
        await process.wait()

    try:
        yield let_go
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.fixture
async def box(open_house: OpenHouse) -> Premises:
    """The house; its box waits for a lock less long than it does in a cinema."""
    return await open_house(busy_seconds=0.3)


async def test_what_cannot_be_stored_is_refused_with_its_ids_and_may_be_sent_again(box: Premises, join: Join) -> None:
    alice = await join(box, "alice")
    await alice.watch()
    booked = await alice.book(box.seats[5:6])
    booking_id = new_id()
    async with locked(box.path) as let_go:
        for topic, fields in (
            ("booking/request", {"showing_id": SHOWING, "seat_ids": [box.seats[0]], "booking_id": booking_id}),
            ("seats/hold", {"showing_id": SHOWING, "seat_ids": [box.seats[1]]}),
            ("seats/release", {"showing_id": SHOWING, "seat_ids": [box.seats[1]]}),
            ("booking/cancel", {"booking_id": booked["booking_id"]}),
        ):
            await alice.request(topic, **fields)  # it is acknowledged: it was refused, and changed nothing
            told = await alice.answer()
            assert told.topic == f"users/{alice.user_id}/errors"
            assert (told["topic"], told["code"]) == (topic, "storage_unavailable")
            assert {name: told.get(name) for name in fields} == fields
        await let_go()
    assert (await alice.book(box.seats[:1], booking_id=booking_id))["status"] == "confirmed"
    assert (await alice.cancel(booked["booking_id"]))["status"] == "cancelled"


async def test_refused_and_stored_commands_are_acknowledged_in_their_order(box: Premises, client: OpenClient) -> None:
    raw = await client(box.host)
    await raw.send(connect(*box.house.credentials("alice")))
    await raw.next(CONNACK)
    await raw.subscribe("users/+/errors", "booking/confirm/+", qos=1)

    def request(number: int) -> bytes:
        fields = {"showing_id": SHOWING, "seat_ids": [box.seats[number]], "booking_id": new_id(), "timestamp": "t"}
        return publish("booking/request", json.dumps(fields).encode(), qos=1 + number % 2, packet_id=number + 1)

    async with locked(box.path) as let_go:
        await raw.send(*(request(number) for number in range(4)))
        received = await raw.packets(8)
        await let_go()
    await raw.send(*(request(number) for number in range(4, 8)))
    received += await raw.packets(8)
    assert [p.packet_id for p in received if p.kind in (PUBACK, PUBREC)] == list(range(1, 9))
    told = [json.loads(p.payload) for p in received if p.kind == PUBLISH]
    assert [body.get("code", body.get("status")) for body in told] == ["storage_unavailable"] * 4 + ["confirmed"] * 4


async def test_what_was_wrong_anyway_is_told_as_that(box: Premises, join: Join) -> None:
    alice = await join(box, "alice")
    await alice.watch()
    async with locked(box.path):
        await alice.send("booking/request", b"{")
        assert (await alice.answer())["code"] == "invalid_json"


async def test_health_and_calls_that_write_are_503_and_reading_goes_on(box: Premises, http: Http, join: Join) -> None:
    call = http(box)
    booking = {"showing_id": SHOWING, "seat_ids": [box.seats[0]], "timestamp": "t", "booking_id": new_id()}
    async with locked(box.path) as let_go:
        reply = await call("GET", "/healthz")
        assert reply.status == 503
        assert set(reply.body) == {"status"}
        assert reply.body["status"] == "locked"
        for path, body in (
            ("/api/bookings", booking),
            ("/api/holds", booking),
            ("/api/session", {"name": "Wim", "email": "wim@example.org"}),
            ("/api/users", {"username": "wim", "password": "0123456789"}),
        ):
            who = None if path in ("/api/session", "/api/users") else "alice"
            reply = await call("POST", path, body, who=who)
            assert (reply.status, reply.code) == (503, "storage_unavailable")
        assert (await call("GET", f"/api/showings/{SHOWING}/seats", who="alice")).status == 200
        guest, alice = await join(box), await join(box, "alice", door="web")
        await guest.subscribe(f"seats/status/{SHOWING}")
        assert {m["status"] for m in await guest.hear("seats/status/+", 36)} == {"available"}
        assert await alice.subscribe("booking/confirm/+", f"booking/confirm/{booking['booking_id']}") == [1, 1]
        await let_go()
    async with asyncio.timeout(DEADLINE):  # an answer is everybody's for a second
        while (await call("GET", "/healthz")).body != {"status": "ok"}:
            pass
    assert (await call("POST", "/api/bookings", booking, who="alice")).body["status"] == "confirmed"
    assert [(m["version"], m["status"]) for m in await guest.hear("seats/status/+", 1)] == [(1, "booked")]


async def test_a_hold_that_runs_out_meanwhile_ends_when_it_can_be_written(box: Premises, join: Join) -> None:
    alice, guest = await join(box, "alice"), await join(box)
    await alice.watch()
    await alice.hold(box.seats[:1])
    await guest.watch(f"seats/status/{SHOWING}")
    async with locked(box.path) as let_go:
        box.clock.forward(301)
        assert (await alice.book(box.seats[:1]))["code"] == "storage_unavailable"
        await let_go()
    await alice.request("booking/request", showing_id=SHOWING, seat_ids=[box.seats[1]], booking_id=new_id())
    assert (await alice.hears("booking/confirm/+"))["status"] == "confirmed"
    assert (await alice.hears("users/+/holds"))["status"] == "expired"
    assert [(m["status"], m["version"]) for m in await guest.hear("seats/status/+", 2)] == [
        ("available", 2),
        ("booked", 3),
    ]


async def test_sigterm_meanwhile_ends_with_status_0_within_five_seconds_and_refuses_what_waits(
    house: House, tmp_path: Path
) -> None:
    path = tmp_path / "box.db"
    shutil.copyfile(house.path, path)
    process = await BoxProcess.start(path)
    try:
        alice = RawClient(await TcpTransport.open(process.tcp))
        await alice.send(connect(*house.credentials("alice")))
        await alice.next(CONNACK)
        await alice.subscribe("users/+/errors", qos=1)
        request = {"showing_id": SHOWING, "seat_ids": [house.seats[0]], "booking_id": new_id(), "timestamp": "t"}
        async with locked(path):
            await alice.send(
                publish("showing/request", b"{}", qos=1, packet_id=1),  # forbidden: told before it is acknowledged
                publish("booking/request", json.dumps(request).encode(), qos=1, packet_id=2),
            )
            assert (await alice.next(PUBLISH)).topic.endswith("/errors")
            assert (await alice.next(PUBACK)).packet_id == 1
            assert await process.stop() == 0
        told, acknowledged = await alice.read_to_end()
        assert json.loads(told.payload)["code"] == "storage_unavailable"
        assert (acknowledged.kind, acknowledged.packet_id) == (PUBACK, 2)
        assert "Traceback" not in process.said
        await alice.close()
    finally:
        await process.put_away()
