"""What happens while the file cannot be written: the disk full, read-only or damaged; and a start on such a file.

What SQLite and the kernel answer is real. A disk that is full is a small one of the test's own where the test may mount
one, else a file that may not grow (``RLIMIT_FSIZE``), which the kernel refuses to everybody alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from endurance.diary import Books, unsound
from raw_mqtt import CONNACK, PUBACK, PUBLISH, RawClient, TcpTransport, connect, publish

from broker.storage.backup import BackupFolder, take_backup
from broker.storage.damage import files_aside
from broker.storage.database import Database
from broker.storage.health import Health
from broker.storage.outage import AGAIN_SECONDS, Outage, Reason
from contract.conftest import Join, OpenHouse
from contract.house import LATE_SHOWING, SHOWING, House, Premises, new_id
from contract.people import DEADLINE, Caller
from contract.process import ROOT, BoxProcess

Http = Callable[[Premises], Caller]


def pragma(database: Database, statement: str) -> Any:
    """Of the connection that writes."""
    assert database._db is not None
    return database._db.conn.execute(f"PRAGMA {statement}").fetchone()


@contextmanager
def no_page_more(box: Premises) -> Iterator[None]:
    """SQLite finds the disk full: the file may not grow, and what is free in it is taken."""
    database = box.host.database
    assert database._db is not None
    [most] = pragma(database, "max_page_count")
    pragma(database, f"max_page_count = {pragma(database, 'page_count')[0]}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        database._db.conn.execute("CREATE TABLE filling AS SELECT zeroblob(1000000)")
    try:
        yield
    finally:
        pragma(database, f"max_page_count = {most}")


@contextmanager
def query_only(box: Premises) -> Iterator[None]:
    pragma(box.host.database, "query_only = ON")
    try:
        yield
    finally:
        pragma(box.host.database, "query_only = OFF")


@contextmanager
def overwritten(box: Premises) -> Iterator[None]:
    """Another program writes rubbish over all pages; afterwards what was there is there again."""
    pragma(box.host.database, "wal_checkpoint(TRUNCATE)")
    sound = box.path.read_bytes()
    with box.path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (len(sound) - 4096))
    assert box.host.database._db is not None
    assert box.host.database._read_db is not None
    for db in (box.host.database._db, box.host.database._read_db):
        db.conn.execute("PRAGMA shrink_memory")  # a large file is not all in memory either
    try:
        yield
    finally:
        with box.path.open("r+b") as file:
            file.write(sound)


@contextmanager
def moved_away(box: Premises) -> Iterator[None]:
    """Somebody takes the file away: what is open would still take what is written to it."""
    elsewhere = box.path.with_name("elsewhere.db")
    box.path.rename(elsewhere)
    try:
        yield
    finally:
        elsewhere.rename(box.path)


@pytest.mark.parametrize(
    ("trouble", "word"),
    [(no_page_more, "full"), (query_only, "readonly"), (overwritten, "damaged"), (moved_away, "missing")],
)
async def test_what_cannot_be_written_is_refused_told_once_and_goes_on_when_the_cause_is_gone(
    open_house: OpenHouse,
    join: Join,
    http: Http,
    caplog: pytest.LogCaptureFixture,
    trouble: Callable[[Premises], Any],
    word: str,
) -> None:
    box = await open_house()
    kiosk, guest, call = await join(box, "kiosk"), await join(box), http(box)
    await kiosk.watch()
    await guest.watch(f"seats/status/{SHOWING}")
    assert (await kiosk.hold(box.seats[30:31]))["status"] == "held"
    seats, refused = iter(box.seats[:30]), []
    with trouble(box):
        while len(refused) < 5:  # a full disk may have a place left for the first
            booking_id, seat = new_id(), next(seats)
            told = await kiosk.book([seat], booking_id=booking_id)
            if told.get("status") != "confirmed":
                assert told["code"] == "storage_unavailable"
                refused.append((booking_id, seat))
        box.clock.forward(301)
        body = {"showing_id": SHOWING, "seat_ids": [refused[0][1]], "booking_id": refused[0][0], "timestamp": "t"}
        reply = await call("POST", "/api/bookings", body, who="kiosk")
        assert (reply.status, reply.code) == (503, "storage_unavailable")
        reply = await call("GET", "/healthz")
        assert (reply.status, reply.body) == (503, {"status": word})
    async with asyncio.timeout(DEADLINE):
        while (await call("GET", "/healthz")).body != {"status": "ok"}:  # noqa: ASYNC110  # the box sets no event
            await asyncio.sleep(0.1)
    for booking_id, seat in refused:
        for _ in range(2):  # a repeated request is the same booking
            await kiosk.request("booking/request", showing_id=SHOWING, seat_ids=[seat], booking_id=booking_id)
            assert (await kiosk.hears(f"booking/confirm/{booking_id}"))["status"] == "confirmed"
    ended = await guest.hears("seats/status/+", lambda m: m["seat_id"] == box.seats[30] and m["status"] == "available")
    assert ended["version"]
    told = [r.message for r in caplog.records if r.name == "broker.storage.outage"]
    assert len([line for line in told if "Nothing can be written" in line]) == 1
    assert told[-1] == "The database can be written again"
    assert len(told) == 2
    assert [*unsound(Books.read(box.path))] == []


# The real thing: a process on a small disk


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A disk of a few megabytes at ``folder``; False where this user may mount none."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m,mode=700", "tmpfs", str(folder)], capture_output=True, check=False
    )
    try:
        yield mounted.returncode == 0
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "-l", str(folder)], check=True)


async def healthz(process: BoxProcess) -> dict[str, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{process.web[0]}:{process.web[1]}/healthz") as reply,
    ):
        body = await reply.json()
        assert (reply.status == 200) == (body == {"status": "ok"})
        return dict(body)


async def is_healthy(process: BoxProcess, wanted: dict[str, str]) -> None:
    """Wait for this answer; each is everybody's for a second."""
    async with asyncio.timeout(DEADLINE):
        while await healthz(process) != wanted:  # noqa: ASYNC110  # another process sets no event
            await asyncio.sleep(0.1)


def fill(disk: Path) -> Path:
    """The file that leaves no space for any other."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
    return ballast


async def test_a_full_disk_refuses_and_is_forgotten_when_there_is_space_again(house: House, tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    with small_disk(folder) as is_mounted:
        path = folder / "box.db"
        shutil.copyfile(house.path, path)
        process = await BoxProcess.start(path)
        try:
            alice = RawClient(await TcpTransport.open(process.tcp))
            await alice.send(connect(*house.credentials("alice")))
            await alice.next(CONNACK)
            await alice.subscribe("users/+/errors", "booking/confirm/+", qos=1)

            async def book(number: int, booking_id: str) -> dict[str, Any]:
                seat = house.seats[number // 2]
                showing = (SHOWING, LATE_SHOWING)[number % 2]
                body = {"showing_id": showing, "seat_ids": [seat], "booking_id": booking_id, "timestamp": "t"}
                await alice.send(publish("booking/request", json.dumps(body).encode(), qos=1, packet_id=number + 1))
                told = json.loads((await alice.next(PUBLISH)).payload)
                assert (await alice.next(PUBACK)).packet_id == number + 1
                return dict(told)

            if is_mounted:
                ballast = fill(folder)
            else:
                wal = os.stat(f"{path}-wal").st_size  # nobody waits for this test
                resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, (wal, resource.RLIM_INFINITY))
            number, confirmed = 0, set()
            while (told := await book(number, booking_id := new_id())).get("status") == "confirmed":
                confirmed.add(booking_id)
                number += 1
            assert told["code"] == "storage_unavailable"
            await is_healthy(process, {"status": "full" if is_mounted else "storage"})
            if is_mounted:
                ballast.unlink()
            else:
                unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
                resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE, unlimited)
            await is_healthy(process, {"status": "ok"})
            assert (await book(number, booking_id))["status"] == "confirmed"
            confirmed.add(booking_id)
            await alice.close()
            assert await process.stop() == 0
            assert process.said.count("Nothing can be written") == 1
            assert process.said.count("The database can be written again") == 1
            assert [*unsound(Books.read(path))] == []
            with sqlite3.connect(path) as db:
                assert {booking for (booking,) in db.execute("SELECT booking_id FROM bookings")} == confirmed
        finally:
            await process.put_away()


# Health


async def test_health_is_asked_of_the_disk_once_a_second_however_often_it_is_asked(box: Premises, http: Http) -> None:
    clock, writes = [0.0], []

    async def write() -> None:
        writes.append(clock[0])
        await box.host.database.write(lambda db: None)

    health = Health(write, patience_seconds=DEADLINE, clock=lambda: clock[0])
    assert await asyncio.gather(*(health.trouble() for _ in range(100))) == [None] * 100
    assert len(writes) == 1
    clock[0] = 0.9
    await health.trouble()
    assert len(writes) == 1
    clock[0] = 1.0
    await asyncio.gather(*(health.trouble() for _ in range(100)))
    assert writes == [0.0, 1.0]


async def test_health_puts_something_on_disk(box: Premises, http: Http) -> None:
    def committed() -> Any:
        with sqlite3.connect(box.path) as db:
            return db.execute("SELECT max(probe) FROM box_health").fetchone()[0]

    before = committed()
    assert (await http(box)("GET", "/healthz")).body == {"status": "ok"}
    assert committed() != before


def test_an_outage_that_comes_and_goes_is_told_at_most_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = [0.0]
    outage = Outage(lambda: clock[0])
    full = OSError(28, "No space left on device")
    for _ in range(100):
        outage.failed(full)
        outage.failed(full)
        assert outage.reason is Reason.FULL
        outage.written()
    assert len(caplog.records) == 2
    clock[0] = AGAIN_SECONDS
    outage.failed(full)
    assert len(caplog.records) == 3


# One box, and its start


async def run(path: Path) -> tuple[int, str]:
    """A box that does not start: its status and what it said."""
    with pytest.raises(AssertionError, match="the box ended with") as ended:
        await BoxProcess.start(path)
    _, _, said = str(ended.value).partition("the box ended with ")
    status, _, told = said.partition(": ")
    return int(status), told


async def test_a_second_box_on_one_file_does_not_start_and_the_first_goes_on(house: House, tmp_path: Path) -> None:
    path = tmp_path / "box.db"
    shutil.copyfile(house.path, path)
    first = await BoxProcess.start(path)
    try:
        status, told = await run(path)
        assert status == 1
        assert f"process {first.process.pid}" in told
        assert len(told.splitlines()) == 1
        assert await healthz(first) == {"status": "ok"}
        await first.cut_the_power()
        second = await BoxProcess.start(path)
        assert await second.stop() == 0
    finally:
        await first.put_away()


async def test_a_damaged_file_is_set_aside_and_the_next_start_does_not_begin_anew(house: House, tmp_path: Path) -> None:
    path = tmp_path / "box.db"
    shutil.copyfile(house.path, path)
    (tmp_path / "backups").mkdir()
    backup = BackupFolder(tmp_path / "backups", path).take(1_700_000_000)
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * 20_000)
    damaged = path.read_bytes()
    status, told = await run(path)
    assert status == 1
    [aside] = files_aside(path)
    assert aside.read_bytes() == damaged
    assert str(aside) in told
    command = f"restore backups/{backup.path.name}"
    assert command in told
    status, told = await run(path)
    assert status == 1
    assert not path.exists()
    assert command in told
    assert "begin anew" in told
    aside.rename(tmp_path / "kept elsewhere")
    status, told = await run(path)
    assert status == 1
    assert "there are backups" in told
    assert command in told
    (tmp_path / "backups").rename(tmp_path / "backups elsewhere")
    anew = await BoxProcess.start(path)
    assert await anew.stop() == 0
    assert "No rooms yet" in anew.said


MAKE_PLACE = """
import sys
from pathlib import Path
from broker.storage.damage import make_place
make_place(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("with_its_log", [False, True])
async def test_nothing_begins_a_database_in_the_place_of_one_that_was_taken_from_a_running_box(
    open_house: OpenHouse, with_its_log: bool
) -> None:
    box = await open_house()
    log = box.path.with_name(f"{box.path.name}-wal")
    with moved_away(box):
        if with_its_log:
            log.rename(log.with_name("elsewhere.db-wal"))
        command = await asyncio.create_subprocess_exec(
            sys.executable, "-c", MAKE_PLACE, str(box.path), cwd=ROOT, stderr=asyncio.subprocess.PIPE
        )
        _, said = await command.communicate()
        assert command.returncode == 1
        assert b"DatabaseError: the database was moved or removed" in said
        assert not box.path.exists()
        if with_its_log:
            log.with_name("elsewhere.db-wal").rename(log)


async def test_a_log_that_was_removed_takes_no_booking(open_house: OpenHouse, join: Join, http: Http) -> None:
    box = await open_house()
    kiosk, call = await join(box, "kiosk"), http(box)
    await kiosk.watch()
    assert (await kiosk.book(box.seats[:1]))["status"] == "confirmed"
    box.path.with_name(f"{box.path.name}-wal").unlink()
    assert (await kiosk.book(box.seats[1:2]))["code"] == "storage_unavailable"
    assert (await call("GET", "/healthz")).body == {"status": "missing"}
    await box.close()
    await box.reopen()  # an orderly stop has saved what was in it
    kiosk = await join(box, "kiosk")
    await kiosk.watch()
    assert (await kiosk.book(box.seats[:1]))["code"] == "seats_unavailable"


RENAME_ALL = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as db:
    db.execute("UPDATE users SET name = 'renamed by another program'")
"""


async def test_an_index_of_the_log_that_was_removed_takes_no_booking_and_loses_nothing_that_others_write(
    open_house: OpenHouse, join: Join, http: Http
) -> None:
    box = await open_house()
    kiosk, call = await join(box, "kiosk"), http(box)
    await kiosk.watch()
    assert (await kiosk.book(box.seats[:1]))["status"] == "confirmed"
    box.path.with_name(f"{box.path.name}-shm").unlink()
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", RENAME_ALL, str(box.path))
    assert await other.wait() == 0
    assert (await kiosk.book(box.seats[1:2]))["code"] == "storage_unavailable"
    assert (await call("GET", "/healthz")).body == {"status": "missing"}
    await box.close()
    with contextlib.closing(sqlite3.connect(box.path)) as db:
        assert db.execute("SELECT DISTINCT name FROM users").fetchall() == [("renamed by another program",)]
    await box.reopen()
    kiosk = await join(box, "kiosk")
    await kiosk.watch()
    assert (await kiosk.book(box.seats[:1]))["code"] == "seats_unavailable"
    assert (await kiosk.book(box.seats[1:2]))["status"] == "confirmed"


async def test_a_log_behind_a_link_that_was_removed_takes_no_booking(house: House, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    real, link = tmp_path / "disk" / "real.db", tmp_path / "box.db"
    shutil.copyfile(house.path, real)
    link.symlink_to(real)
    process = await BoxProcess.start(link)
    try:
        assert await healthz(process) == {"status": "ok"}
        real.with_name("real.db-wal").unlink()
        await is_healthy(process, {"status": "missing"})
        assert await process.stop() == 0
    finally:
        await process.put_away()


async def test_a_file_system_that_is_read_only_is_told_at_the_start(house: House, tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    with small_disk(folder) as is_mounted:
        path = folder / "box.db"
        shutil.copyfile(house.path, path)
        if is_mounted:
            remount = await asyncio.create_subprocess_exec("mount", "-o", "remount,ro", str(folder))
            assert await remount.wait() == 0
        else:
            folder.chmod(0o500)  # for whom may not mount, this holds
        try:
            status, told = await run(path)
        finally:
            if not is_mounted:
                folder.chmod(0o700)
        assert status == 1
        assert "box.db: the database file cannot be opened for writing" in told


# A backup in the middle of it


async def test_a_backup_in_a_storm_is_consistent_and_has_all_that_was_acknowledged_before(
    open_house: OpenHouse, join: Join, tmp_path: Path
) -> None:
    box = await open_house(booking={"max_seats_per_showing": 40})
    people = [await join(box, name) for name in ("kiosk", "kiosk2", "manager")]
    acknowledged: set[str] = set()
    enough = asyncio.Event()

    async def rush(place: int) -> None:
        for showing in (SHOWING, LATE_SHOWING):
            for seat in box.seats[place::3]:
                booking_id = new_id()
                await people[place].request(
                    "booking/request", showing_id=showing, seat_ids=[seat], booking_id=booking_id
                )
                acknowledged.add(booking_id)
                if len(acknowledged) == 20:
                    enough.set()

    async with asyncio.TaskGroup() as storm:
        for place in range(3):
            storm.create_task(rush(place))
        await enough.wait()
        before = set(acknowledged)
        await asyncio.to_thread(take_backup, box.path, tmp_path / "copy.db")
        assert len(acknowledged) < 72  # it was in the middle of it
    assert [*unsound(Books.read(tmp_path / "copy.db"))] == []
    with sqlite3.connect(tmp_path / "copy.db") as db:
        assert before <= {booking for (booking,) in db.execute("SELECT booking_id FROM bookings")}
