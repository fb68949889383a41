"""Backups: what is due and what goes, by plain calls; copies, checks and restores on real files and processes."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import multiprocessing
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from boxes import start_box, until
from contract.house import House, build
from contract.process import ROOT

from broker.storage import backup as backup_module
from broker.storage.backup import (
    Backup,
    BackupError,
    BackupFolder,
    StoppedError,
    backup_name,
    copy_database,
    made_at,
    newest_sound,
    next_made_at,
    read_only,
    seconds_until_due,
    surplus,
    take_backup,
)
from broker.storage.companions import companions
from broker.storage.damage import DAMAGED, WayBack, files_aside, set_aside, trace_of
from broker.storage.database import DatabaseError, connect
from broker.storage.lock import FileLock, HeldError
from broker.storage.restore import RestoreError, restore
from broker.storage.schedule import RETRY_SECONDS, BackupSchedule, Timetable
from plugins.auth import AuthPlugin
from plugins.booking.plugin import BookingPlugin

HOUR = 3600.0
NOW = 1_924_991_999.0  # 2030-12-31T23:59:59Z
PLUGINS = [AuthPlugin, BookingPlugin]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    return build(tmp_path_factory.mktemp("house"))


@pytest.fixture
def database(house: House, tmp_path: Path) -> Path:
    path = tmp_path / "cinema.db"
    shutil.copyfile(house.path, path)
    return path


@pytest.fixture
def folder(tmp_path: Path, database: Path) -> BackupFolder:
    (tmp_path / "backups").mkdir()
    return BackupFolder(tmp_path / "backups", database)


def spoil(path: Path) -> None:
    """Overwrite all pages but the first."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))


def write_by_the_log(database: Path) -> bytes:
    """Change the database, and leave its log beside it as a box that is killed does; what is in the log."""
    log = Path(f"{database}-wal")
    with contextlib.closing(connect(database).conn) as db:
        db.execute("UPDATE users SET name = 'by the log'")
        content = log.read_bytes()
    log.write_bytes(content)
    return content


def value(path: Path, query: str) -> Any:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute(query).fetchone()[0]


# What is due and what goes: no clock and no file


def test_names_sort_by_time_and_only_own_ones_are_known() -> None:
    cinema = Path("data/cinema.db")
    names = [backup_name(cinema, NOW + seconds) for seconds in (0, 1, 3600, 86400 * 400)]
    assert names[0] == "cinema-20301231T235959Z.db"
    assert names == sorted(names)
    assert [made_at(name, cinema) for name in names] == [NOW, NOW + 1, NOW + 3600, NOW + 86400 * 400]
    for other in (
        "cinema.db",
        "other-20301231T235959Z.db",
        "cinema-20301231T235959Z.db.part",
        "cinema-2030.db",
        "cinema-2-20301231T235959Z.db",
        "cinema-20309999T235959Z.db",
        "xcinema-20301231T235959Z.db",
    ):
        assert made_at(other, cinema) is None


@pytest.mark.parametrize(
    ("newest", "due"),
    [(None, 0), (NOW, 6 * HOUR), (NOW - HOUR, 5 * HOUR), (NOW - 7 * HOUR, 0), (NOW + HOUR, 0)],
    ids=["none yet", "just made", "an hour old", "too old", "from a time to come"],
)
def test_a_backup_is_due_when_the_newest_is_older_than_the_interval(newest: float | None, due: float) -> None:
    assert seconds_until_due(newest, NOW, 6 * HOUR) == due


def test_a_clock_set_back_does_not_put_the_newest_behind_older_ones() -> None:
    assert next_made_at(None, NOW + 0.7) == NOW
    assert next_made_at(NOW - HOUR, NOW) == NOW
    assert next_made_at(NOW + HOUR, NOW) == NOW + HOUR + 1


def backups(*whole: bool) -> list[Backup]:
    """The oldest first."""
    return [Backup(NOW + place, Path(f"{place}"), is_whole) for place, is_whole in enumerate(whole)]


def test_the_newest_whole_ones_stay() -> None:
    many = backups(*[True] * 5)
    assert surplus(reversed(many), 3, many[-1]) == [many[1], many[0]]
    assert surplus(many[:3], 3, many[2]) == []
    one_is_cut_off = backups(True, True, False, True)
    made = one_is_cut_off[-1]
    assert surplus(one_is_cut_off, 3, made) == []
    assert surplus(one_is_cut_off, 2, made) == [one_is_cut_off[0]]
    assert surplus(one_is_cut_off, 1, made) == [one_is_cut_off[i] for i in (2, 1, 0)]


def test_those_from_a_time_to_come_take_no_place_of_the_newest() -> None:
    many = backups(*[True] * 5)
    assert surplus(many, 2, many[2]) == [many[0]]


def test_after_a_failure_the_next_try_comes_sooner() -> None:
    timetable = Timetable(6 * HOUR)
    timetable.begin(NOW - 7 * HOUR, NOW, 100.0)
    assert not timetable.is_due(100.0)  # others come in first
    assert timetable.is_due(130.0)
    timetable.failed(130.0)
    assert not timetable.is_due(130.0 + RETRY_SECONDS - 1)
    assert timetable.is_due(130.0 + RETRY_SECONDS)
    timetable.made(1000.0)
    assert not timetable.is_due(1000.0 + 6 * HOUR - 1)
    assert timetable.is_due(1000.0 + 6 * HOUR)


# One backup


def test_a_backup_is_one_sound_file_for_its_owner_alone(database: Path, tmp_path: Path) -> None:
    writing = connect(database)  # as a box has it: what is new is in the -wal
    writing.conn.execute("UPDATE users SET name = 'new'")
    take_backup(database, tmp_path / "copy.db")
    assert value(tmp_path / "copy.db", "SELECT count(*) FROM users WHERE name <> 'new'") == 0
    assert value(tmp_path / "copy.db", "PRAGMA integrity_check") == "ok"
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.glob("copy*")) == ["copy.db"]
    writing.conn.close()


def test_a_file_that_is_there_is_not_overwritten(database: Path, tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("Dear diary")
    with pytest.raises(BackupError, match="there already"):
        take_backup(database, tmp_path / "diary.txt")
    assert (tmp_path / "diary.txt").read_text() == "Dear diary"


ANOTHER = """
import sys
from pathlib import Path
from broker.storage.backup import take_backup
take_backup(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_of_two_who_make_a_backup_of_one_name_one_gets_it_and_it_is_sound(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.db"
    look = backup_module.require_sound

    def let_another_come_first(connection: sqlite3.Connection, **more: Any) -> None:
        look(connection, **more)
        subprocess.run([sys.executable, "-c", ANOTHER, str(database), str(target)], check=True, cwd=ROOT)

    monkeypatch.setattr(backup_module, "require_sound", let_another_come_first)
    with pytest.raises(BackupError, match="there already"):
        take_backup(database, target)
    monkeypatch.undo()
    assert backup_module.is_sound(target)
    assert [path.name for path in tmp_path.glob("out.db*")] == ["out.db"]


def test_a_damaged_database_is_not_backed_up(database: Path, folder: BackupFolder) -> None:
    spoil(database)
    with pytest.raises(BackupError, match="damaged"):
        folder.take(NOW)
    assert list(folder.path.iterdir()) == []


def test_damage_that_only_the_check_finds_is_found(database: Path, folder: BackupFolder) -> None:
    db = sqlite3.connect(database, isolation_level=None)
    db.execute("PRAGMA foreign_keys = OFF")
    db.execute("DELETE FROM rooms")  # rows that refer to what is not there
    db.close()
    with pytest.raises(BackupError, match="refers to one that is not there"):
        folder.take(NOW)
    assert list(folder.path.iterdir()) == []


def test_a_backup_that_is_given_up_leaves_nothing(database: Path, folder: BackupFolder) -> None:
    with pytest.raises(StoppedError):
        folder.take(NOW, is_stopped=lambda: True)
    assert list(folder.path.iterdir()) == []


def test_all_steps_of_a_backup_see_one_moment(database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.storage.backup.PAGES_PER_STEP", 1)
    writing, steps = connect(database), []

    def write_meanwhile() -> bool:
        steps.append(writing.conn.execute("UPDATE users SET name = ?", [str(len(steps))]))
        return False

    with contextlib.closing(read_only(database)) as source:
        copy = copy_database(source, tmp_path / "copy.db", is_stopped=write_meanwhile)
    assert len(steps) > 10
    assert copy.execute("SELECT count(*) FROM users WHERE name = '1'").fetchone() == (0,)
    copy.conn.close()
    writing.conn.close()


# A folder of them


def test_rotation_removes_only_what_is_its_own(folder: BackupFolder) -> None:
    others = ["cinema.db", "other-20200101T000000Z.db", "notes.txt", "cinema-20200101T000000Z.txt"]
    for name in others:
        (folder.path / name).write_text("keep me")
    for name in ("cinema-20200101T000000Z.db.4711.part", "cinema-20200101T000000Z.db.4711.part-journal"):
        (folder.path / name).write_text("what a power cut left")
    made = [folder.take(NOW + number) for number in range(4)]
    folder.tidy(2, made[-1])
    assert sorted(path.name for path in folder.path.iterdir()) == sorted(
        [*others, made[2].path.name, made[3].path.name]
    )


def test_the_newest_sound_one_is_found_behind_those_that_are_not(folder: BackupFolder) -> None:
    oldest, middle, newest = (folder.take(NOW + number) for number in range(3))
    spoil(newest.path)
    os.truncate(middle.path, 8192)
    assert folder.newest_sound() == oldest


def test_of_two_folders_the_newer_one_is_taken(folder: BackupFolder, tmp_path: Path) -> None:
    (tmp_path / "stick").mkdir()
    stick = BackupFolder(tmp_path / "stick", folder.database)
    folder.take(NOW)
    newer = stick.take(NOW + 1)
    assert newest_sound([folder, stick]) == newer
    assert newest_sound([folder, BackupFolder(tmp_path / "absent", folder.database)]) == folder.newest()


def test_a_backup_leaves_space_on_its_disk(folder: BackupFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.storage.backup.RESERVE_BYTES", 2**62)
    with pytest.raises(BackupError, match="too little space"):
        folder.take(NOW)


# By itself, while the box runs


@contextlib.contextmanager
def turned_schedule(database: Path, clock: list[float], *folders: Path) -> Iterator[BackupSchedule]:
    yield BackupSchedule(
        [BackupFolder(path, database) for path in folders],
        interval=6 * HOUR,
        keep=2,
        now=lambda: NOW + clock[0],
        clock=lambda: clock[0],
    )


def look_until(end: float, schedule: BackupSchedule, clock: list[float]) -> None:
    """Let the time pass, with a look each time that a failed backup would be tried again."""
    while clock[0] < end:
        clock[0] += RETRY_SECONDS
        schedule._look()


def test_a_stick_that_is_absent_is_told_once_and_gets_the_newest_when_it_is_back(
    database: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, first, stick = [0.0], tmp_path / "backups", tmp_path / "stick"
    with turned_schedule(database, clock, first, stick) as schedule:
        schedule._begin()
        for _ in range(3):
            clock[0] += 30
            schedule._look()
        assert [record.message for record in caplog.records if "stick" in record.message] == [
            f"The second folder for backups, {stick}, is not there; it gets the newest when it is back"
        ]
        assert not stick.exists()
        stick.mkdir()
        schedule._look()
        names = [path.name for path in first.iterdir()]
        assert len(names) == 1
        assert [path.name for path in stick.iterdir()] == names
        for _ in range(4):
            clock[0] += 6 * HOUR
            schedule._look()
        assert len(list(first.iterdir())) == 2
        assert sorted(p.name for p in stick.iterdir()) == sorted(p.name for p in first.iterdir())


def test_a_failure_is_told_once_and_tried_again_sooner(
    database: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, first = [0.0], tmp_path / "backups"
    first.write_text("a file in the folder's place")
    with turned_schedule(database, clock, first) as schedule:
        schedule._begin()
        for _ in range(3):
            clock[0] += RETRY_SECONDS
            schedule._look()
        assert len([r for r in caplog.records if r.levelno == logging.ERROR]) == 1
        first.unlink()
        clock[0] += RETRY_SECONDS
        schedule._look()
        assert len(list(first.iterdir())) == 1


def test_a_second_folder_that_cannot_be_looked_at_is_told_with_its_reason_after_the_first_got_its_backup(
    database: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock, first, dead = [0.0], tmp_path / "backups", tmp_path / ("stick" * 100)  # longer than a name may be
    with turned_schedule(database, clock, first, dead) as schedule:
        schedule._begin()
        for _ in range(3):
            clock[0] += 30
            schedule._look()
    made, missed = [record.message for record in caplog.records]
    assert made.startswith("A backup was made")
    assert "is not there (File name too long)" in missed


def test_while_the_first_folder_fails_the_second_gets_one_an_interval_and_keeps_its_history(
    database: Path, tmp_path: Path
) -> None:
    clock, first, stick = [0.0], tmp_path / "backups", BackupFolder(tmp_path / "stick", database)
    first.write_text("a file in the folder's place")
    stick.path.mkdir()
    before = [stick.take(NOW - hours * HOUR).made_at for hours in (7, 1)]
    with turned_schedule(database, clock, first, stick.path) as schedule:
        schedule._begin()
        look_until(4 * HOUR, schedule, clock)
        assert sorted(backup.made_at for backup in stick.backups()) == before
        look_until(18 * HOUR, schedule, clock)
    older, newer = sorted(backup.made_at for backup in stick.backups())
    assert older > before[-1]
    assert 6 * HOUR <= newer - older <= 6 * HOUR + RETRY_SECONDS


def test_a_backup_from_a_time_to_come_keeps_none_from_the_second_folder(
    database: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock = [0.0]
    first, stick = (BackupFolder(tmp_path / name, database) for name in ("backups", "stick"))
    stick.path.mkdir()
    to_come = [stick.take(NOW + days * 24 * HOUR).path.name for days in (1000, 2000)]
    with turned_schedule(database, clock, first.path, stick.path) as schedule:
        schedule._begin()
        for _ in range(3):
            clock[0] += 6 * HOUR
            schedule._look()
            schedule._look()
    of_the_first = [backup.path.name for backup in first.backups()]
    assert len(of_the_first) == 2
    assert sorted(backup.path.name for backup in stick.backups()) == sorted([*of_the_first, *to_come])
    assert len([record for record in caplog.records if "was made" in record.message]) == 3 + 3


def test_a_folder_whose_names_cannot_be_put_on_disk_is_told_and_gets_no_more_than_others(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = os.fsync

    def fsync_of_files_alone(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync_of_files_alone)
    clock, first = [0.0], BackupFolder(tmp_path / "backups", database)
    with turned_schedule(database, clock, first.path) as schedule:
        schedule._begin()
        look_until(18 * HOUR, schedule, clock)
    assert {record.message for record in caplog.records} == {
        f"What was made or renamed in {first.path} may not outlast a power cut: Invalid argument"
    }
    assert len(caplog.records) == 3
    assert len(first.backups()) == 2
    assert restore(first.backups()[0].path, database, PLUGINS, now=NOW).aside  # nor is that told as one that failed


def test_old_ones_that_cannot_be_removed_are_told_and_no_reason_to_make_more(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def cannot(backups: object, keep: int, made: Backup) -> list[Backup]:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(backup_module, "surplus", cannot)
    clock, first = [0.0], BackupFolder(tmp_path / "backups", database)
    with turned_schedule(database, clock, first.path) as schedule:
        schedule._begin()
        look_until(5 * HOUR, schedule, clock)
    assert len(first.backups()) == 1
    assert [record.message for record in caplog.records] == [
        f"{first.path}: old backups cannot be removed: Input/output error"
    ]


async def test_told_to_hurry_it_looks_no_more(database: Path, tmp_path: Path) -> None:
    with turned_schedule(database, [0.0], tmp_path / "backups") as schedule:
        schedule.hurry()
        schedule.start()
        assert schedule._task is not None
        async with asyncio.timeout(10):  # it only guards against one that goes on
            await schedule._task


async def test_a_box_makes_backups_by_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    host = await start_box(tmp_path, backup={"interval_hours": 0.00001, "keep": 3})
    folder = BackupFolder(tmp_path / "backups", tmp_path / "box.db")
    try:
        await until(lambda: len([r for r in caplog.records if "A backup was made" in r.message]) >= 5)
        await until(lambda: folder.newest_sound())
    finally:
        await host.stop()
    assert 1 <= len(folder.backups()) <= 4  # one more while the next is made
    assert not list(folder.path.glob("*.part*"))


# A damaged file at the start


def test_what_is_set_aside_keeps_its_wal(database: Path) -> None:
    wal = write_by_the_log(database)
    aside = set_aside(database, DAMAGED, NOW)
    assert aside.name == "cinema.db.damaged-20301231T235959Z"
    assert Path(f"{aside}-wal").read_bytes() == wal
    assert files_aside(database) == [aside]
    assert not Path(f"{database}-wal").exists()


def test_looking_for_damage_changes_nothing(database: Path) -> None:
    spoil(database)
    before = database.read_bytes()
    way_back = WayBack(database, [])
    assert way_back.damage()
    assert database.read_bytes() == before
    with pytest.raises(DatabaseError, match="set aside, untouched"):
        way_back.require_sound(NOW)
    [aside] = files_aside(database)
    assert aside.read_bytes() == before


def test_an_empty_file_is_new_unless_there_are_backups_of_what_it_was(database: Path, folder: BackupFolder) -> None:
    way_back = WayBack(database, [folder])
    backup = database.read_bytes()
    database.write_bytes(b"")
    assert way_back.damage() == ""
    database.write_bytes(backup)
    folder.take(NOW)
    database.write_bytes(b"")
    assert "empty" in way_back.damage()


# Restore


def test_a_restore_brings_all_back_but_the_tokens_and_keeps_what_was_there(database: Path, tmp_path: Path) -> None:
    backup = tmp_path / backup_name(database, NOW)
    take_backup(database, backup)
    with contextlib.closing(connect(database).conn) as db:
        db.execute("UPDATE users SET name = 'after'")
    tokens = value(database, "SELECT count(*) FROM tokens")
    done = restore(backup, database, PLUGINS, now=NOW)
    assert done.made_at == NOW
    assert done.contents["users"] == value(backup, "SELECT count(*) FROM users")
    assert done.contents["confirmed bookings"] == 0
    assert value(database, "SELECT count(*) FROM users WHERE name = 'after'") == 0
    assert tokens > 0
    assert value(database, "SELECT count(*) FROM tokens") == 0
    assert value(backup, "SELECT count(*) FROM tokens") == tokens
    assert done.aside is not None
    assert value(done.aside, "SELECT count(*) FROM users WHERE name <> 'after'") == 0
    assert not list(tmp_path.glob("*.restoring*"))


def test_what_is_not_sound_another_programs_newer_or_empty_is_not_restored(database: Path, tmp_path: Path) -> None:
    before = database.read_bytes()
    files = {name: tmp_path / f"{name}.db" for name in ("damaged", "letter", "recipes", "newer", "empty", "orphan")}
    for name in ("damaged", "newer", "orphan"):
        shutil.copyfile(database, files[name])
    spoil(files["damaged"])
    files["letter"].write_text("Dear owner, " * 1000)
    files["empty"].touch()
    for name, statement in (
        ("recipes", "CREATE TABLE recipes (name)"),
        ("newer", "INSERT INTO _sqlite_migrations (migration_set, name) VALUES ('booking', 'the_moon')"),
        ("orphan", "DELETE FROM rooms"),
    ):
        with contextlib.closing(sqlite3.connect(files[name])) as db, db:
            db.execute(statement)
    for name, why in (
        ("damaged", "damaged"),
        ("letter", "not a database"),
        ("recipes", "another program's"),
        ("newer", "newer version"),
        ("empty", "empty"),
        ("orphan", "refers to one that is not there"),
        ("absent", "no file"),
    ):
        with pytest.raises(RestoreError, match=why):
            restore(files.get(name, tmp_path / "absent.db"), database, PLUGINS, now=NOW)
    with pytest.raises(RestoreError, match="the database itself"):
        restore(database, database, PLUGINS, now=NOW)
    assert database.read_bytes() == before
    assert files_aside(database) == []
    assert not list(tmp_path.glob("*.restoring*"))


def test_nothing_is_restored_while_a_box_or_another_program_has_the_database(database: Path, tmp_path: Path) -> None:
    take_backup(database, tmp_path / "backup.db")
    with FileLock(database), pytest.raises(RestoreError, match="stop it"):
        restore(tmp_path / "backup.db", database, PLUGINS, now=NOW)
    other = connect(database, busy_timeout_seconds=0)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(RestoreError, match="another program"):
        restore(tmp_path / "backup.db", database, PLUGINS, now=NOW)
    other.conn.close()
    assert files_aside(database) == []


def test_a_damaged_database_is_replaced_with_all_that_belongs_to_it(database: Path, tmp_path: Path) -> None:
    take_backup(database, tmp_path / "backup.db")
    spoil(database)
    wal = Path(f"{database}-wal")
    wal.write_bytes(b"of the damaged one")
    done = restore(tmp_path / "backup.db", database, PLUGINS, now=NOW)
    assert not wal.exists() or wal.stat().st_size == 0
    assert value(database, "PRAGMA integrity_check") == "ok"
    assert done.aside is not None
    assert done.aside.exists()


@pytest.mark.parametrize("name", ["cinema.db", "a link"])
def test_the_log_of_a_database_that_is_gone_is_kept_apart_from_all_that_are_there(
    database: Path, tmp_path: Path, name: str
) -> None:
    link = tmp_path / "elsewhere" / "cinema.db"
    link.parent.mkdir()
    link.symlink_to(database)
    path = database if name == "cinema.db" else link
    take_backup(path, tmp_path / "backup.db")
    earlier = restore(tmp_path / "backup.db", path, PLUGINS, now=NOW - HOUR).aside
    assert earlier is not None
    with contextlib.closing(connect(earlier).conn):  # as one that was set aside damaged: it would read a log
        pass
    before = earlier.read_bytes()
    log = write_by_the_log(database)
    database.unlink()
    done = restore(tmp_path / "backup.db", path, PLUGINS, now=NOW)
    assert done.aside == tmp_path / "cinema.db.replaced-20301231T235959Z-wal"
    assert done.aside.read_bytes() == log
    assert [path.name for path in tmp_path.glob("cinema.db-*")] == []
    assert value(database, "PRAGMA integrity_check") == "ok"
    assert value(database, "SELECT count(*) FROM users WHERE name = 'by the log'") == 0
    assert value(database, "SELECT count(*) FROM tokens") == 0
    assert earlier.read_bytes() == before
    assert not Path(f"{earlier}-wal").exists()
    assert files_aside(path) == [earlier, done.aside]


def test_what_was_set_aside_is_never_written_over(database: Path) -> None:
    taken = database.with_name("cinema.db.damaged-20301231T235959Z-wal")
    taken.write_bytes(b"of another one")
    write_by_the_log(database)
    assert set_aside(database, DAMAGED, NOW).name == "cinema.db.damaged-20301231T235959Z.2"
    assert taken.read_bytes() == b"of another one"


def test_what_a_command_that_read_leaves_behind_is_no_trace_of_a_database(database: Path) -> None:
    connect(database).conn.close()
    with contextlib.closing(read_only(database)) as reading:
        reading.execute("SELECT count(*) FROM users").fetchone()
    beside = companions(database)
    assert beside.wal.exists()
    assert beside.shm.exists()
    database.unlink()
    assert trace_of(database) == ""
    beside.wal.write_bytes(b"the last bookings")
    assert "cinema.db-wal is there" in trace_of(database)


def test_a_database_behind_a_link_that_was_taken_away_leaves_its_trace(database: Path, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "cinema.db"
    link.parent.mkdir()
    link.symlink_to(database)
    write_by_the_log(database)
    database.unlink()
    assert "cinema.db-wal is there" in trace_of(link)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files for others")
@pytest.mark.parametrize("of", ["cinema.db", "."])
def test_what_root_restores_belongs_to_the_box_s_user(database: Path, tmp_path: Path, of: str) -> None:
    take_backup(database, tmp_path / "backup.db")
    if of == ".":
        database.unlink()
    os.chown(tmp_path / of, 4711, 4712)
    restore(tmp_path / "backup.db", database, PLUGINS, now=NOW)
    for file in (database, FileLock(database).path):
        assert (file.stat().st_uid, file.stat().st_gid) == (4711, 4712)


def restore_until(step: int, backup: Path, database: Path) -> int:
    """Restore in a process of its own, which is killed before its so-many-th change of names; its exit code."""
    seen: list[str] = []

    def die(event: str, arguments: object) -> None:
        if event in ("os.rename", "os.link", "os.remove"):
            seen.append(event)
            if len(seen) == step:
                os.kill(os.getpid(), signal.SIGKILL)

    def run() -> None:
        sys.addaudithook(die)
        restore(backup, database, PLUGINS, now=NOW)

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


@pytest.mark.parametrize(
    ("state", "possible"),
    [
        ("sound", {"old", "new", "finished"}),
        ("damaged", {"old", "refused", "new", "finished"}),
        ("gone, its log is there", {"refused", "new", "finished"}),
    ],
)
def test_a_restore_that_is_killed_at_any_step_leaves_the_old_or_the_new_or_what_is_refused(
    house: House, tmp_path: Path, state: str, possible: set[str]
) -> None:
    step, ends = 0, set()
    while "finished" not in ends:
        step += 1
        place = tmp_path / str(step)
        place.mkdir()
        database, backup = place / "cinema.db", place / "backup.db"
        shutil.copyfile(house.path, backup)
        shutil.copyfile(house.path, database)
        with contextlib.closing(sqlite3.connect(database)) as db, db:
            db.execute("UPDATE users SET name = 'old'")
        if state == "damaged":
            spoil(database)
            Path(f"{database}-wal").write_bytes(b"of the damaged one")
        old = database.read_bytes()
        if state == "gone, its log is there":
            write_by_the_log(database)
            database.unlink()
        code = restore_until(step, backup, database)
        assert code in (0, -signal.SIGKILL)
        way_back = WayBack(database, [])
        if not database.exists():
            assert files_aside(database) or state == "gone, its log is there"
            with pytest.raises(DatabaseError, match="set aside" if files_aside(database) else "-wal is there"):
                way_back.require_sound(NOW)
            ends.add("refused")
        elif way_back.damage():
            assert state == "damaged"
            assert database.read_bytes() == old
            ends.add("old")
        else:
            is_old = value(database, "SELECT count(*) FROM users WHERE name = 'old'") > 0
            assert is_old or value(database, "SELECT count(*) FROM tokens") == 0
            ends.add("old" if is_old else "new")
        restore(backup, database, PLUGINS, now=NOW)  # it can be done again, whatever was left
        assert value(database, "SELECT count(*) FROM tokens") == 0
        if code == 0:
            ends.add("finished")
    assert ends == possible


# One box per file


HOLD = """
import sys
from pathlib import Path
from broker.storage.lock import FileLock
FileLock(Path(sys.argv[1])).take()
print("held", flush=True)
sys.stdin.read()
"""


def test_the_lock_ends_with_its_process_however_it_ends(database: Path, tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(database)],
        cwd=Path(__file__).parent.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    (tmp_path / "another name.db").symlink_to(database)
    for name in (database, tmp_path / "another name.db"):
        with pytest.raises(HeldError, match=f"process {holder.pid}; one box serves one file"):
            FileLock(name).take()
    holder.kill()
    holder.communicate()
    with FileLock(database) as lock:
        assert lock.is_held
