"""SIGTERM: no new work; what is in flight is on disk and answered; then out, whoever is there."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from boxes import until
from conftest import OpenClient
from raw_mqtt import CONNACK, PUBACK, RawClient, TcpTransport, connect, publish, subscribe
from test_connection import held_writer

from contract.house import PASSWORD, SHOWING, House, Premises, new_id
from contract.process import BoxProcess
from contract.test_users import basic


def request_for(seat_id: str, booking_id: str) -> bytes:
    body = {"showing_id": SHOWING, "seat_ids": [seat_id], "booking_id": booking_id, "timestamp": "t"}
    return json.dumps(body).encode()


def booked(path: Path) -> set[str]:
    db = sqlite3.connect(path)
    try:
        return {booking_id for (booking_id,) in db.execute("SELECT booking_id FROM bookings")}
    finally:
        db.close()


@pytest.mark.parametrize("door", ["tcp", "web"])
async def test_what_came_before_is_committed_and_acknowledged_and_what_comes_after_is_neither(
    box: Premises, client: OpenClient, door: str
) -> None:
    before, after = new_id(), new_id()
    alice = await client(box.host, door)
    await alice.send(connect(*box.house.credentials("alice")))
    await alice.next(CONNACK)
    with held_writer(box.host) as let_go:
        await until(lambda: not box.host.database.waiting_jobs)
        await alice.send(publish("booking/request", request_for(box.seats[0], before), qos=1, packet_id=1))
        await until(lambda: box.host.database.waiting_jobs)
        stopping = asyncio.create_task(box.host.stop())
        await until(lambda: not any(server.is_serving() for server in (*box.host.web._servers, *box.host.tcp._servers)))
        await alice.send(publish("booking/request", request_for(box.seats[1], after), qos=1, packet_id=2))
        await alice.send(publish("nothing/that/anybody/may", qos=1, packet_id=3))  # the box has read what came before
        for address in (box.host.tcp_addresses[0], box.host.web_addresses[0]):
            with pytest.raises(ConnectionRefusedError):
                await TcpTransport.open(address)
        let_go()
        answers = await alice.read_to_end()
        await stopping
    assert [packet.packet_id for packet in answers if packet.kind == PUBACK] == [1]
    assert booked(box.path) == {before}


async def test_a_call_that_was_begun_is_answered_and_none_is_begun(box: Premises) -> None:
    before, after = new_id(), new_id()
    headers = {"Authorization": f"Bearer {box.house.tokens['alice']}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=2)) as session:
        url = box.url("/api/bookings")

        async def book(seat_id: str, booking_id: str) -> tuple[int, str]:
            async with session.post(url, data=request_for(seat_id, booking_id)) as response:
                return response.status, (await response.json())["status" if response.status < 500 else "code"]

        # Two connections that stay: what is asked on one of them comes by no new one.
        for _ in range(2):
            await asyncio.gather(*(session.get(box.url("/api/cinema")) for _ in range(2)))
        with held_writer(box.host) as let_go:
            await until(lambda: not box.host.database.waiting_jobs)
            begun = asyncio.create_task(book(box.seats[0], before))
            await until(lambda: box.host.database.waiting_jobs)
            stopping = asyncio.create_task(box.host.stop())
            await until(lambda: not any(server.is_serving() for server in box.host.web._servers))
            refused = await book(box.seats[1], after)
            let_go()
            assert await begun == (200, "confirmed")
            await stopping
    assert refused == (503, "unavailable")
    assert booked(box.path) == {before}


@pytest.fixture
async def process(house: House, tmp_path: Path) -> AsyncIterator[BoxProcess]:
    path = tmp_path / "box.db"
    shutil.copyfile(house.path, path)
    box = await BoxProcess.start(path)
    yield box
    await box.put_away()


async def test_sigterm_is_in_time_whatever_is_under_way(house: House, process: BoxProcess, tmp_path: Path) -> None:
    """Calls in flight, a password's check, a present that is not read, a client that is stuck, half a handshake."""
    stuck = RawClient(await TcpTransport.open(process.tcp, receive_buffer=4096))
    await stuck.send(connect(*house.credentials("bob")))
    await stuck.next(CONNACK)
    for _ in range(50):  # each filter's present is due once, and none is read
        await stuck.send(subscribe("seats/status/#", "seats/status/+", f"seats/status/{SHOWING}", "showing/update/#"))
    half = [await TcpTransport.open(address) for address in (process.tcp, process.web)]
    checked = [RawClient(await TcpTransport.open(process.tcp)) for _ in range(6)]
    for client in checked:
        await client.send(connect("carol", PASSWORD.format("carol") + "wrong"))
    answered: list[str] = []

    async def book(session: aiohttp.ClientSession, seat_id: str) -> None:
        booking_id = new_id()
        url = f"http://{process.web[0]}:{process.web[1]}/api/bookings"
        with contextlib.suppress(aiohttp.ClientError):
            async with session.post(url, data=request_for(seat_id, booking_id)) as response:
                if response.status == 200:
                    answered.append(booking_id)

    headers = {"Content-Type": "application/json", **basic("alice", PASSWORD.format("alice"))}
    async with aiohttp.ClientSession(headers=headers) as session:
        calls = [asyncio.create_task(book(session, seat_id)) for seat_id in house.seats]
        await until(lambda: answered)
        assert await process.stop() == 0
        await asyncio.gather(*calls)
    assert set(answered) <= booked(tmp_path / "box.db")
    assert "Traceback" not in process.said
    for transport in (stuck.transport, *half, *(client.transport for client in checked)):
        await transport.close()
