"""One writer that commits in groups: what that promises to callers, on real files and with real other processes."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils
from boxes import until
from sqlite_utils import Migrations

from broker.storage.database import BATCH, Database, DatabaseError, StorageUnavailableError, connect, migrate


def migrations(*names: str) -> Migrations:
    known = Migrations("test")
    for name in names:

        def apply(db: sqlite_utils.Database, name: str = name) -> None:
            db[name].create({"id": int, "text": str}, pk="id")

        apply.__name__ = name
        known()(apply)
    return known


OpenDatabase = Callable[..., Awaitable[Database]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "box.db"


@pytest.fixture
async def opened(path: Path) -> AsyncIterator[OpenDatabase]:
    """``await opened()`` opens the database with one table, ``note``, and waits but a moment for locks."""
    databases: list[Database] = []

    async def open_database(**options: Any) -> Database:
        database = Database(path, busy_timeout_seconds=0.05)
        database.open([migrations("note")], **options)
        databases.append(database)
        return database

    yield open_database
    for database in databases:
        await database.close()


def note(text: str) -> Callable[[sqlite_utils.Database], str]:
    def job(db: sqlite_utils.Database) -> str:
        db["note"].insert({"text": text})
        return text

    return job


def on_disk(path: Path) -> list[str]:
    """As another connection sees it."""
    with sqlite3.connect(path) as other:
        return [text for (text,) in other.execute("SELECT text FROM note ORDER BY id")]


@asynccontextmanager
async def held(database: Database) -> AsyncIterator[Callable[[], None]]:
    """The writer waits inside a batch of its own; what is submitted meanwhile is the next one."""
    let_go = threading.Event()
    begun = threading.Event()

    def job(db: sqlite_utils.Database) -> None:
        begun.set()
        let_go.wait(30)

    database.submit(job, lambda result, error: None)
    assert await asyncio.to_thread(begun.wait, 30)
    try:
        yield let_go.set
    finally:
        let_go.set()


def traced(database: Database) -> list[str]:
    statements: list[str] = []
    assert database._db is not None
    database._db.conn.set_trace_callback(statements.append)
    return statements


@pytest.fixture(params=[False, True], ids=["thread", "loop"])
def quick(request: pytest.FixtureRequest) -> bool:
    """Where the jobs are decided."""
    return bool(request.param)


# Groups


async def test_what_waits_is_one_transaction(opened: OpenDatabase, quick: bool, path: Path) -> None:
    database = await opened()
    async with held(database) as let_go:
        waiting = [asyncio.create_task(database.write(note(str(n)), quick=quick)) for n in range(100)]
        await asyncio.sleep(0)
        statements = traced(database)
        let_go()
        assert await asyncio.gather(*waiting) == [str(n) for n in range(100)]
    assert statements.count("COMMIT") == 2  # the held one's, and one for all
    assert on_disk(path) == [str(n) for n in range(100)]


async def test_a_group_has_at_most_so_many_jobs(opened: OpenDatabase, quick: bool) -> None:
    database = await opened()
    async with held(database) as let_go:
        waiting = [asyncio.create_task(database.write(note(str(n)), quick=quick)) for n in range(2 * BATCH + 1)]
        await asyncio.sleep(0)
        statements = traced(database)
        let_go()
        await asyncio.gather(*waiting)
    assert statements.count("COMMIT") == 1 + 3


async def test_nobody_is_told_before_it_is_on_disk(opened: OpenDatabase, quick: bool, path: Path) -> None:
    database = await opened()
    seen: list[list[str]] = []
    async with held(database) as let_go:
        for text in ("a", "b"):
            database.submit(note(text), lambda result, error: seen.append(on_disk(path)), quick=quick)
        let_go()
        await until(lambda: len(seen) == 2)
    assert seen == [["a", "b"], ["a", "b"]]


async def test_a_group_is_told_in_one_step_in_the_order_of_submission(opened: OpenDatabase, quick: bool) -> None:
    database = await opened()
    told: list[str | None] = []
    async with held(database) as let_go:
        for number in range(50):
            database.submit(note(str(number)), lambda result, error: told.append(result), quick=quick)
        loop = asyncio.get_running_loop()
        database.submit(note("last"), lambda result, error: loop.call_soon(told.append, "next step"), quick=quick)
        database.submit(note("after"), lambda result, error: told.append(result), quick=quick)
        let_go()
        await until(lambda: "next step" in told)
    assert told == [*(str(n) for n in range(50)), "after", "next step"]


@pytest.mark.parametrize("nobody", [RuntimeError("nobody is at home"), asyncio.CancelledError()])
async def test_who_cannot_be_told_does_not_keep_it_from_the_others(
    opened: OpenDatabase, quick: bool, nobody: BaseException
) -> None:
    database = await opened()
    told: list[str | None] = []

    def fails(result: object, error: object) -> None:
        raise nobody

    async with held(database) as let_go:
        database.submit(note("a"), fails, quick=quick)
        database.submit(note("b"), lambda result, error: told.append(result), quick=quick)
        gone = asyncio.create_task(database.write(note("c"), quick=quick))
        await asyncio.sleep(0)
        gone.cancel()
        let_go()
        assert await database.write(note("d"), quick=quick) == "d"
    assert told == ["b"]


# What is left where a job was undone


def failing(text: str) -> Callable[[sqlite_utils.Database], str]:
    def job(db: sqlite_utils.Database) -> str:
        note(text)(db)
        raise ValueError(text)

    return job


async def test_what_an_undone_job_leaves_is_on_disk_before_it_is_told(
    opened: OpenDatabase, quick: bool, path: Path
) -> None:
    database = await opened()
    told: list[tuple[str, list[str]]] = []

    def undone(db: sqlite_utils.Database, error: BaseException) -> None:
        note(f"refused {error}")(db)

    async with held(database) as let_go:
        for job in (note("a"), failing("b"), note("c")):
            database.submit(job, lambda _, error: told.append((str(error), on_disk(path))), quick=quick, undone=undone)
        let_go()
        await until(lambda: len(told) == 3)
    left = ["a", "refused b", "c"]
    assert told == [("None", left), ("b", left), ("None", left)]


async def test_where_nothing_can_be_left_nothing_is(opened: OpenDatabase, quick: bool, path: Path) -> None:
    database = await opened()
    told: list[str] = []

    def undone(db: sqlite_utils.Database, error: BaseException) -> None:
        note("half")(db)
        raise KeyError("the rest")

    for job in (failing("a"), note("b")):
        database.submit(job, lambda _, error: told.append(repr(error)), quick=quick, undone=undone)
    await until(lambda: len(told) == 2)
    assert told == ["KeyError('the rest')", "None"]
    assert on_disk(path) == ["b"]


async def test_what_is_kept_in_memory_hears_of_each_transaction_s_end(opened: OpenDatabase, path: Path) -> None:
    settled: list[bool] = []
    database = await opened(settled=settled.append)
    await database.write(note("a"))
    other = connect(path)
    other.conn.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageUnavailableError):
        await database.write(note("b"))
    other.conn.close()
    await database.write(note("c"), quick=True)
    assert settled == [True, False, True]


# Failing alone


@pytest.mark.parametrize(
    "error", [ValueError("no"), sqlite3.IntegrityError("no"), KeyError("no"), asyncio.CancelledError(), SystemExit(1)]
)
async def test_a_job_that_raises_is_rolled_back_alone(
    opened: OpenDatabase, quick: bool, path: Path, error: BaseException
) -> None:
    database = await opened()

    def fails(db: sqlite_utils.Database) -> None:
        db["note"].insert_all([{"text": "half"}, {"text": "done"}])
        raise error

    told: list[BaseException | None] = []
    async with held(database) as let_go:
        for job in (note("before"), fails, note("after")):
            database.submit(job, lambda result, error: told.append(error), quick=quick)
        let_go()
        await until(lambda: len(told) == 3)
    assert told == [None, error, None]
    assert on_disk(path) == ["before", "after"]


@pytest.mark.parametrize(
    "statement", ["INSERT INTO note (id) VALUES (1), (1)", "INSERT INTO nowhere VALUES (1)", "SELEC"]
)
async def test_a_statement_that_sqlite_refuses_fails_alone(
    opened: OpenDatabase, quick: bool, path: Path, statement: str
) -> None:
    database = await opened()
    told: list[BaseException | None] = []
    async with held(database) as let_go:
        for job in (note("before"), lambda db: db.conn.execute(statement), note("after")):
            database.submit(job, lambda result, error: told.append(error), quick=quick)
        let_go()
        await until(lambda: len(told) == 3)
    assert [type(error) is type(None) for error in told] == [True, False, True]
    assert isinstance(told[1], sqlite3.Error)
    assert on_disk(path) == ["before", "after"]


async def test_whatever_a_job_raises_its_caller_hears_of_it(opened: OpenDatabase, quick: bool) -> None:
    database = await opened()
    with pytest.raises(Exception, match="StopIteration"):
        async with asyncio.timeout(10):
            await database.write(lambda db: next(db.query("SELECT 1 WHERE 0")), quick=quick)
    with pytest.raises(Exception, match="StopIteration"):
        async with asyncio.timeout(10):
            await database.read(lambda db: next(db.query("SELECT 1 WHERE 0")))


async def test_a_job_sees_what_the_jobs_before_it_wrote(opened: OpenDatabase, quick: bool) -> None:
    database = await opened()
    async with held(database) as let_go:
        first = asyncio.create_task(database.write(note("a"), quick=quick))
        second = asyncio.create_task(database.write(lambda db: db["note"].count, quick=quick))
        await asyncio.sleep(0)
        let_go()
        await first
        assert await second == 1


# The connection passes between the loop and the writer thread


def thread_of(names: list[str]) -> Callable[[sqlite_utils.Database], None]:
    return lambda db: names.append(threading.current_thread().name)


async def test_quick_jobs_are_decided_in_the_loop_and_committed_in_the_writer_thread(opened: OpenDatabase) -> None:
    database = await opened()
    decided: list[str] = []
    committed: list[str] = []
    assert database._db is not None
    database._db.conn.set_trace_callback(
        lambda statement: committed.append(threading.current_thread().name) if statement == "COMMIT" else None
    )
    await database.write(thread_of(decided), quick=True)
    assert decided == [threading.current_thread().name]
    assert committed == ["database-writer"]


async def test_one_job_that_is_not_quick_takes_its_batch_to_the_writer_thread(opened: OpenDatabase) -> None:
    database = await opened()
    decided: list[str] = []
    async with held(database) as let_go:
        waiting = [asyncio.create_task(database.write(thread_of(decided), quick=n != 1)) for n in range(3)]
        await asyncio.sleep(0)
        let_go()
        await asyncio.gather(*waiting)
    assert decided == ["database-writer"] * 3


# Reading


async def test_a_reader_sees_what_is_committed_and_cannot_write(opened: OpenDatabase, path: Path) -> None:
    database = await opened()
    await database.write(note("a"))
    assert await database.read(lambda db: db["note"].count) == 1
    with pytest.raises(StorageUnavailableError):
        await database.read(note("b"))
    assert on_disk(path) == ["a"]


async def test_reading_does_not_wait_for_the_writer(opened: OpenDatabase) -> None:
    database = await opened()
    async with held(database):
        assert await database.read(lambda db: db["note"].count) == 0


async def test_what_a_reading_job_raises_reaches_its_caller(opened: OpenDatabase) -> None:
    database = await opened()

    def fails(db: object) -> None:
        raise LookupError("not there")

    with pytest.raises(LookupError):
        await database.read(fails)


# Another program


HOLD_THE_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
print("let go", flush=True)
sys.stdin.readline()
"""

WRITE_A_NOTE = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as connection:
    connection.execute("INSERT INTO note (text) VALUES ('foreign')")
print("written", flush=True)
sys.stdin.readline()
"""


@contextmanager
def another_process(code: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def say(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def test_while_another_process_holds_the_lock_nothing_is_written_and_afterwards_all_is_well(
    opened: OpenDatabase, path: Path, quick: bool
) -> None:
    database = await opened()
    await database.write(note("before"))
    with another_process(HOLD_THE_LOCK, path) as process:
        assert hear(process) == "held"
        refused = await asyncio.gather(
            *(database.write(note("x"), quick=quick) for _ in range(3)), return_exceptions=True
        )
        assert [type(error) for error in refused] == [StorageUnavailableError] * 3
        assert "locked" in str(refused[0])
        assert await database.read(lambda db: db["note"].count) == 1
        say(process)
        assert hear(process) == "let go"
        assert await database.write(note("after"), quick=quick) == "after"
    assert on_disk(path) == ["before", "after"]


async def test_waiting_for_another_processs_lock_does_not_hold_up_the_loop(opened: OpenDatabase, path: Path) -> None:
    database = await opened()
    with another_process(HOLD_THE_LOCK, path) as process:
        assert hear(process) == "held"
        waiting = asyncio.create_task(database.write(note("x"), quick=True))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not waiting.done()
        say(process)
        assert hear(process) == "let go"
        assert await waiting == "x"
    assert on_disk(path) == ["x"]


async def test_a_foreign_change_is_noticed_and_an_own_one_is_not_taken_for_one(
    opened: OpenDatabase, path: Path
) -> None:
    noticed: list[int] = []
    database = await opened(foreign_change=lambda: noticed.append(1))
    for number in range(3):
        await database.write(note(str(number)))
    assert noticed == []
    with another_process(WRITE_A_NOTE, path) as process:
        assert hear(process) == "written"
    await database.write(note("x"))  # also a busy writer looks
    await until(lambda: noticed)
    await database.write(note("y"))
    assert noticed == [1]


async def test_a_foreign_change_is_noticed_while_nothing_is_written(opened: OpenDatabase, path: Path) -> None:
    changed = asyncio.Event()
    await opened(foreign_change=changed.set)
    with sqlite3.connect(path) as other:
        other.execute("INSERT INTO note (text) VALUES ('foreign')")
    async with asyncio.timeout(10):
        await changed.wait()


# Opening and closing


async def test_it_is_opened_as_promised(opened: OpenDatabase) -> None:
    database = await opened()

    def pragmas(db: sqlite_utils.Database) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys")
        return [db.conn.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    assert await database.read(pragmas) == ["wal", 2, 1]
    assert database._db is not None
    assert pragmas(database._db) == ["wal", 2, 1]


async def test_another_programs_database_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE recipes (name TEXT)")
    other.close()
    with pytest.raises(DatabaseError, match="recipes"):
        Database(path).open([migrations("note")])
    assert connect(path).table_names() == ["recipes"]


async def test_a_database_of_a_newer_version_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    newer = connect(path)
    migrate(newer, [migrations("note", "newer_thing")])
    newer.conn.close()
    with pytest.raises(DatabaseError, match="newer_thing"):
        Database(path).open([migrations("note", "other_thing")])
    assert sorted(connect(path).table_names()) == ["_sqlite_migrations", "newer_thing", "note"]


async def test_an_older_database_is_brought_up_to_date_with_what_is_in_it(path: Path, opened: OpenDatabase) -> None:
    database = await opened()
    await database.write(note("kept"))
    await database.close()
    database = Database(path)
    database.open([migrations("note", "newer_thing")])
    try:
        assert await database.read(lambda db: sorted(db.table_names())) == ["_sqlite_migrations", "newer_thing", "note"]
        assert on_disk(path) == ["kept"]
    finally:
        await database.close()


def write_a_letter(path: Path) -> None:
    path.write_text("this is a letter\n" * 100)


async def test_what_is_no_database_is_told_in_a_sentence(path: Path) -> None:
    path.parent.mkdir()
    write_a_letter(path)
    with pytest.raises(DatabaseError, match="damaged or is not a database"):
        Database(path).open()


async def test_a_folder_that_cannot_be_made_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseError, match="file"):
        Database(tmp_path / "file" / "box.db").open()


async def test_closing_finishes_and_tells_what_was_submitted(path: Path) -> None:
    database = Database(path)
    database.open([migrations("note")])
    told: list[str | None] = []
    for number in range(3 * BATCH):
        database.submit(note(str(number)), lambda result, error: told.append(result))
    await database.close()
    assert told == on_disk(path) == [str(n) for n in range(3 * BATCH)]


async def test_two_who_close_at_once_both_see_it_closed(opened: OpenDatabase) -> None:
    database = await opened()
    async with held(database) as let_go:
        closing = [asyncio.create_task(database.close()) for _ in range(2)]
        await asyncio.sleep(0)
        let_go()
        async with asyncio.timeout(10):
            await asyncio.gather(*closing)
