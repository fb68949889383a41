"""Nobody hears of a command before the disk has it: by the order of the whole box's system calls."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import aiohttp
import pytest
from contract.house import LATE_SHOWING, SHOWING, House, build, new_id
from contract.process import BoxProcess
from raw_mqtt import PUBACK, PUBREC, acknowledgement, publish

from endurance.storm import sign_in, url_of
from endurance.system_calls import CALLS, STRACE, Call, calls, told_too_early

COMMANDS_EACH = 6

LOG, CLIENT = "/box.db-wal", "TCP:[127.0.0.1:1->127.0.0.1:2]"


async def book_by_mqtt(box: BoxProcess, house: House, name: str, qos: int, first: int) -> list[tuple[str, bytes]]:
    """One booking after the other, each with its acknowledgement's bytes, which name no booking: so nobody else has
    packet ids from ``first`` on."""
    client = await sign_in(box, house, name)
    sent = []
    for number in range(COMMANDS_EACH):
        packet_id = first + number
        body = {"booking_id": new_id(), "showing_id": SHOWING, "seat_ids": [house.seats[number]], "timestamp": "t"}
        await client.send(publish("booking/request", json.dumps(body).encode(), qos=qos, packet_id=packet_id))
        while (packet := (await client.packets(1))[0]).kind not in (PUBACK, PUBREC):
            pass
        assert packet.packet_id == packet_id
        sent.append((body["booking_id"], acknowledgement(PUBACK if qos == 1 else PUBREC, packet_id)))
    await client.close()
    return sent


async def book_by_http(box: BoxProcess, house: House, name: str) -> list[str]:
    headers = {"Authorization": f"Bearer {house.tokens[name]}"}
    sent = []
    async with aiohttp.ClientSession(url_of(box), headers=headers) as session:
        for seat_id in house.seats[:COMMANDS_EACH]:
            body = {"booking_id": new_id(), "showing_id": LATE_SHOWING, "seat_ids": [seat_id], "timestamp": "t"}
            async with session.post("/api/bookings", json=body) as response:
                assert (await response.json())["booking_id"] == body["booking_id"]
            sent.append(body["booking_id"])
    return sent


async def test_no_byte_that_tells_of_a_booking_leaves_the_box_before_its_log_is_synced(tmp_path: Path) -> None:
    assert shutil.which("strace"), "this test needs strace (Debian: apt-get install strace)"
    house = build(tmp_path)
    path, trace = tmp_path / "box.db", tmp_path / "trace"
    shutil.copyfile(house.path, path)
    box = await BoxProcess.start(path, under=(*STRACE, "-o", str(trace), "-e", CALLS))
    *by_mqtt, one, other = await asyncio.gather(
        book_by_mqtt(box, house, "alice", 1, 0x4100),
        book_by_mqtt(box, house, "vera", 2, 0x4200),
        book_by_mqtt(box, house, "bob", 1, 0x4300),  # in a browser
        book_by_mqtt(box, house, "carol", 2, 0x4400),
        book_by_http(box, house, "dave"),
        book_by_http(box, house, "victor"),
    )
    assert await box.stop() == 0
    seen = list(calls(trace.read_text().splitlines()))
    for booking_id in [*one, *other]:
        assert told_too_early(seen, booking_id.encode()) == []
    for client in by_mqtt:
        for booking_id, acknowledged in client:
            assert told_too_early(seen, booking_id.encode()) == []
            outcome, answer = sent_to_clients(seen, booking_id.encode()), sent_to_clients(seen, acknowledged)
            assert min(outcome) <= min(answer)  # so the acknowledgement, too, came after the sync


def sent_to_clients(seen: list[Call], data: bytes) -> list[int]:
    return [call.began for call in seen if "TCP" in call.target and data in call.data]


def call(name: str, target: str, data: bytes, began: int, ended: int | None = None) -> Call:
    return Call(name, target, data, began, began if ended is None else ended)


def test_what_is_told_after_a_sync_of_its_log_is_in_order() -> None:
    seen = [call("pwrite64", LOG, b"..id..", 1), call("fdatasync", LOG, b"", 2, 4), call("sendto", CLIENT, b"id", 5)]
    assert told_too_early(seen, b"id") == []


@pytest.mark.parametrize(
    "seen",
    [
        [call("pwrite64", LOG, b"id", 1), call("sendto", CLIENT, b"id", 2), call("fdatasync", LOG, b"", 3)],
        # The sync had begun before; or had not ended; or was another file's.
        [call("pwrite64", LOG, b"id", 2), call("fdatasync", LOG, b"", 1, 3), call("sendto", CLIENT, b"id", 4)],
        [call("pwrite64", LOG, b"id", 1), call("sendto", CLIENT, b"id", 3), call("fdatasync", LOG, b"", 2, 4)],
        [call("pwrite64", LOG, b"id", 1), call("fdatasync", "/box.db", b"", 2), call("sendto", CLIENT, b"id", 3)],
        [call("sendto", CLIENT, b"id", 1)],
        [],
    ],
)
def test_what_is_told_without_a_sync_of_its_log_is_seen(seen: list[Call]) -> None:
    assert len(told_too_early(seen, b"id")) == 1


def test_a_trace_is_read_also_where_calls_of_two_threads_overlap() -> None:
    log = LOG.encode().hex(" ").replace(" ", "\\x")
    trace = [
        rf'7 pwrite64(9<\x{log}>, "\x69\x64", 2, 0) = 2',
        rf"7 fdatasync(9<\x{log}> <unfinished ...>",
        rf'8 sendto(5<{CLIENT}>, "\x61", 1, 0, NULL, 0) = 1',
        r"7 <... fdatasync resumed>) = 0",
        rf'8 sendto(5<{CLIENT}>, "\x69\x64", 2, 0, NULL, 0) = -1 EPIPE (Broken pipe)',
    ]
    assert list(calls(trace)) == [
        Call("pwrite64", LOG, b"id", 0, 0),
        Call("sendto", CLIENT, b"a", 2, 2),
        Call("fdatasync", LOG, b"", 1, 3),
    ]
