"""One SQLite file: group commit, one connection that writes, one thread that reads, migrations.

Group commit: what waits is a batch, at most :data:`BATCH` jobs. Each job is decided in its own savepoint of one
transaction, which is committed once (one fsync: WAL with ``synchronous=FULL``); only then each job's caller is told.
The next batch collects meanwhile.

The connection that writes passes between the event loop and the writer thread, and only one of them has it. Quick
jobs are decided in the loop: each statement in another thread would hand Python's lock there and back, which in a
rush costs more than the statement. What waits for the disk or for another program is the thread's: every commit, a
lock that is taken, and a batch with a job that is not quick. (A page that neither SQLite nor the system has cached is
read where its job runs.)

Once SQLite has met damage in the file nothing is written any more, until a look at the whole file finds it sound: what
is damaged may be the very page that would have said that a seat is sold.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import queue
import sqlite3
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import sqlite_utils

from broker.storage.companions import companions
from broker.storage.lock import FileLock, HeldError
from broker.storage.outage import Outage, Reason, describe, reason_of

logger = logging.getLogger(__name__)

T = TypeVar("T")
Job = Callable[[sqlite_utils.Database], T]
Done = Callable[[T | None, BaseException | None], None]
Undone = Callable[[sqlite_utils.Database, BaseException], None]
Result = tuple[Any, BaseException | None]
_Identity = tuple[int, int]
"""The device and the inode."""

BATCH = 256
CACHE_KIBIBYTES = 16_384
"""Pages that each of the two connections keeps; SQLite's own 2 MB are less than a busy evening's."""

BUSY_TIMEOUT_SECONDS = 5.0
LOCK_LOOK_SECONDS = 0.01
"""How often the writer that waits for another program's lock tries again."""

FOREIGN_CHANGE_POLL_SECONDS = 1.0
SOUND_LOOK_SECONDS = 1.0
"""How often a file that was found damaged is looked at again, while somebody wants to write."""

READERS_LOCK = (0x40000002, 510)
"""Where readers lock the file, and how many bytes of it (SQLite's SHARED_FIRST and SHARED_SIZE)."""

FULL_BELOW_BYTES = 65_536
"""With less space left than this, an error that SQLite does not explain is that of a full disk."""


class DatabaseError(Exception):
    """The database file cannot be used; the message is one sentence for the owner."""


class StorageUnavailableError(Exception):
    """What was to be written could not be put on disk; nothing of it was changed. ``reason`` is a word for why."""

    def __init__(self, message: str, reason: Reason = Reason.STORAGE) -> None:
        super().__init__(message)
        self.reason = reason


class _DamagedError(sqlite3.DatabaseError):
    """A look at the whole file found damage; the message is SQLite's."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


class _MovedError(sqlite3.DatabaseError):
    """The file at the path is not the one that is open: what is written to that nobody would find again."""

    sqlite_errorcode = sqlite3.SQLITE_READONLY_DBMOVED


def connect(
    path: Path, *, read_only: bool = False, busy_timeout_seconds: float = BUSY_TIMEOUT_SECONDS
) -> sqlite_utils.Database:
    """Open a connection as the box uses it: explicit transactions, foreign keys, WAL, ``synchronous=FULL``. A file that
    is new is its owner's alone: SQLite would let every program on the machine read it; its -wal and -shm take after it.
    """
    if not read_only and not path.exists():
        with contextlib.suppress(OSError):  # SQLite says it better
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=busy_timeout_seconds, cached_statements=512
    )
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA temp_store = MEMORY")  # what a savepoint keeps to undo it; else it goes to a file
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIBIBYTES}")
    if read_only:
        connection.execute("PRAGMA query_only = ON")
    else:
        connection.execute("PRAGMA journal_mode = WAL")
    return sqlite_utils.Database(connection)


def damage_of(db: sqlite_utils.Database) -> str:
    """What SQLite's quick look at every page of the file finds, in its words; empty if the file is sound."""
    try:
        found = str(db.conn.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.DatabaseError as error:
        if reason_of(error) is not Reason.DAMAGED and "unsupported file format" not in str(error):
            raise
        found = str(error)
    return "" if found == "ok" else found


def migrate(db: sqlite_utils.Database, migrations: Sequence[sqlite_utils.Migrations]) -> None:
    """Apply what is pending. Raises DatabaseError as :func:`require_known` does."""
    require_known(db, migrations)
    for contribution in migrations:
        contribution.apply(db)


def require_known(db: sqlite_utils.Database, migrations: Sequence[sqlite_utils.Migrations]) -> None:
    """Raises DatabaseError for another program's file, and for one that a newer version of the box wrote."""
    tables = db.table_names()
    if tables and sqlite_utils.Migrations.migrations_table not in tables:
        raise DatabaseError(f"this is another program's database (it has a table “{tables[0]}”); set another path")
    for contribution in migrations:
        known = {migration.name for migration in contribution.pending(db)}
        applied = {migration.name for migration in contribution.applied(db)}
        ours = {migration.name for migration in contribution._migrations}
        if unknown := sorted(applied - ours - known):
            raise DatabaseError(
                f"the database was written by a newer version of the box (it has “{unknown[-1]}” of "
                f"{contribution.name}); start that version, or restore a backup of this one"
            )


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A job that waits for its batch."""

    job: Job[Any]
    done: Done[Any]
    is_quick: bool
    undone: Undone | None


class Database:
    """The box's database. Jobs get a ``sqlite_utils.Database``; its ``conn`` is the plain connection.

    ``write`` and ``submit`` jobs run inside a savepoint, in the order of submission: what they raise rolls back that
    job alone and reaches its caller. ``read`` jobs run in the reader thread on a connection that cannot write.

    ``committed`` is told of each batch that is on disk, in the writer thread: how many jobs it had, and how many
    seconds the commit took.
    """

    def __init__(
        self,
        path: Path,
        *,
        busy_timeout_seconds: float = BUSY_TIMEOUT_SECONDS,
        committed: Callable[[int, float], None] = lambda jobs, seconds: None,
    ) -> None:
        self.path = path
        self._committed = committed
        self._busy_timeout_seconds = busy_timeout_seconds
        self._waiting: deque[_Waiting] = deque()
        self._is_writing = False
        """A batch is under way; or the next one is about to begin."""
        self._idle: asyncio.Future[None] | None = None
        self._batches: queue.SimpleQueue[tuple[list[_Waiting], list[Result] | None] | None] = queue.SimpleQueue()
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="database-reader")
        self._writer_thread: threading.Thread | None = None
        self._db: sqlite_utils.Database | None = None
        self._read_db: sqlite_utils.Database | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._foreign_change: Callable[[], None] | None = None
        self._settled: Callable[[bool], None] = _hear_nothing
        self._data_version = 0
        self._foreign_change_poll: asyncio.TimerHandle | None = None
        self._is_in_a_hurry = threading.Event()
        self._lock = FileLock(path)
        self._outage = Outage()
        self._changes_before = 0
        """All that the connection had changed when the outage began, committed or not."""
        self._is_damaged = False
        self._beside = companions(path)
        self._opened_files: list[_Identity | None] = []
        self._looked_at = -SOUND_LOOK_SECONDS
        self._damage = ""

    def lock(self) -> None:
        """Keep other boxes from this file until :meth:`close`. Raises DatabaseError."""
        try:
            self._lock.take()
        except OSError as error:
            raise DatabaseError(f"{self.path}: {describe(error)}") from error
        except HeldError as error:
            raise DatabaseError(str(error)) from None

    def open(
        self,
        migrations: Sequence[sqlite_utils.Migrations] = (),
        *,
        foreign_change: Callable[[], None] | None = None,
        settled: Callable[[bool], None] | None = None,
    ) -> None:
        """Lock, open, migrate and start both threads; to be called in the running event loop.

        ``foreign_change`` is called in the loop after another process has written to the file. ``settled`` is called
        when a transaction has ended, with whether it is on disk, by the thread that has the connection and before
        another job runs: for what jobs keep in memory, which must be taken back where nothing was written.
        Raises DatabaseError with one sentence for the owner.
        """
        if not self._lock.is_held:
            self.lock()
        try:
            self._db = connect(self.path, busy_timeout_seconds=self._busy_timeout_seconds)
            migrate(self._db, migrations)
            self._db.conn.execute("BEGIN IMMEDIATE")  # what cannot be written is to be told now
            self._db.conn.execute("ROLLBACK")
            self._read_db = connect(self.path, read_only=True, busy_timeout_seconds=self._busy_timeout_seconds)
        except (sqlite3.Error, OSError) as error:
            self._close_connections()
            raise DatabaseError(f"{self.path}: {describe(error)}") from error
        except DatabaseError as error:
            self._close_connections()
            raise DatabaseError(f"{self.path}: {error}") from None
        self._opened_files = self._files_in_place()
        self._db.conn.execute("PRAGMA busy_timeout = 0")  # waiting is for the writer thread, see _take_the_lock
        self._loop = asyncio.get_running_loop()
        self._foreign_change = foreign_change
        self._settled = settled or _hear_nothing
        self._data_version = self._current_data_version()
        self._foreign_change_poll = self._loop.call_later(FOREIGN_CHANGE_POLL_SECONDS, self._poll_foreign_change)
        self._writer_thread = threading.Thread(target=self._write_batches, name="database-writer", daemon=True)
        self._writer_thread.start()

    def submit(self, job: Job[T], done: Done[T], *, quick: bool = False, undone: Undone | None = None) -> None:
        """Queue a job; ``done(result, error)`` is called in the loop once its transaction is on disk, or failed.

        All of one batch are told in one step of the loop, in the order of submission. A ``quick`` job is a handful of
        statements that find what they need by an index, some 100 µs; it may run in the loop. ``undone(db, error)`` is
        called in the job's place once what it changed was taken back, because it raised: what this writes is on disk
        with the others' changes, before ``done`` is called with the error.
        """
        self._waiting.append(_Waiting(job, done, quick, undone))
        if not self._is_writing:
            self._is_writing = True
            assert self._loop is not None
            self._loop.call_soon(self._begin_batch)

    async def write(self, job: Job[T], *, quick: bool = False) -> T:
        """Run a job as :meth:`submit` does; returns when it is on disk. Raises what it raised, or
        StorageUnavailableError."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def done(result: T | None, error: BaseException | None) -> None:
            if future.cancelled():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]  # a job's result is a T, which may be None

        self.submit(job, done, quick=quick)
        return await future

    async def read(self, job: Job[T]) -> T:
        """Run a job in the reader thread. Raises StorageUnavailableError if the file cannot be read."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._reader, self._run_read, job)
        except sqlite3.Error as error:
            raise StorageUnavailableError(describe(error), reason_of(error)) from error

    def hurry(self) -> None:
        """Wait no longer for another program's lock, because the box stops: what cannot be written now is refused."""
        self._is_in_a_hurry.set()

    async def close(self) -> None:
        """Finish every queued job, then close. Nothing may be submitted afterwards."""
        if self._writer_thread is not None:
            if self._is_writing:
                self._idle = self._idle or asyncio.get_running_loop().create_future()
                await asyncio.shield(self._idle)
            if self._foreign_change_poll is not None:
                self._foreign_change_poll.cancel()
            self._batches.put(None)
            await asyncio.get_running_loop().run_in_executor(None, self._writer_thread.join)
        self._reader.shutdown()
        self._close_connections()

    @property
    def waiting_jobs(self) -> int:
        """How many changes wait for their batch."""
        return len(self._waiting)

    def _run_read(self, job: Job[T]) -> T:
        assert self._read_db is not None
        try:
            return _run(job, self._read_db)
        except sqlite3.Error as error:
            if reason_of(error) is Reason.DAMAGED:
                _forget_pages(self._read_db)
            raise

    def _close_connections(self) -> None:
        *opened, index = self._opened_files or [None]
        *there, index_there = self._files_in_place()
        keeping = _log_kept(self.path) if opened == there and index != index_there else contextlib.nullcontext()
        with contextlib.suppress(OSError), keeping:
            for db in (self._read_db, self._db):
                if db is not None:
                    with contextlib.suppress(sqlite3.Error):
                        db.conn.close()
        self._db = self._read_db = None
        self._lock.release()

    # A batch's way, begun and ended in the loop

    def _next_batch(self) -> None:
        self._look_for_foreign_change()
        if self._waiting:
            self._begin_batch()
            return
        self._is_writing = False
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _begin_batch(self) -> None:
        waiting = self._waiting
        batch = [waiting.popleft() for _ in range(min(len(waiting), BATCH))]
        decided: list[Result] | None = None
        if not self._is_damaged and all(one.is_quick for one in batch) and self._has_the_lock_at_once():
            try:
                decided = self._decide(batch)
            except sqlite3.Error as error:
                self._tell(batch, self._undone(batch, error))
                return
        self._batches.put((batch, decided))

    def _tell(self, batch: list[_Waiting], results: list[Result]) -> None:
        assert self._loop is not None
        self._loop.call_soon(self._next_batch)  # not now: what is told leaves the box first
        for one, (result, error) in zip(batch, results, strict=True):
            try:
                one.done(result, error)
            except BaseException:  # whatever it is, the others are told
                logger.exception("A change is decided, but telling of it failed")

    # The writer thread

    def _write_batches(self) -> None:
        while (given := self._batches.get()) is not None:
            self._write_batch(*given)
            del given  # else its commands and their connections would stay until there is another

    def _write_batch(self, batch: list[_Waiting], decided: list[Result] | None) -> None:
        results = self._commit(batch, decided)
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            self._loop.call_soon_threadsafe(self._tell, batch, results)

    def _commit(self, batch: list[_Waiting], decided: list[Result] | None) -> list[Result]:
        assert self._db is not None
        try:
            if decided is None:
                if self._is_damaged:
                    self._require_sound()
                self._take_the_lock()
                decided = self._decide(batch)
            self._require_in_place()
            begun = time.perf_counter()
            self._db.conn.execute("COMMIT")
        except sqlite3.Error as error:
            return self._undone(batch, error)
        self._settled(True)
        self._committed(len(batch), time.perf_counter() - begun)
        if self._outage.reason is not None and self._db.conn.total_changes > self._changes_before:
            self._outage.written()
        return decided

    def _require_in_place(self) -> None:
        """SQLite goes on writing to a file that was moved or removed, as if nothing were."""
        if self._files_in_place() != self._opened_files:
            raise _MovedError

    def _files_in_place(self) -> list[_Identity | None]:
        """The database; its log, which has what was committed last; and the log's index, with the locks that keep two
        programs from writing to the log at once."""
        return [_identity_of(path) for path in (self.path, self._beside.wal, self._beside.shm)]

    def _require_sound(self) -> None:
        """Look at the whole file, unless that was just done. Raises sqlite3.DatabaseError while it is damaged."""
        assert self._db is not None
        if time.monotonic() - self._looked_at >= SOUND_LOOK_SECONDS:
            _forget_pages(self._db)
            self._damage = damage_of(self._db)
            self._looked_at = time.monotonic()  # when it has ended: it takes a while in a large file
        if self._damage:
            raise _DamagedError(self._damage)
        self._is_damaged = False

    # Whoever has the connection

    def _has_the_lock_at_once(self) -> bool:
        """Begin the transaction, unless that would mean to wait."""
        assert self._db is not None
        try:
            self._db.conn.execute("BEGIN IMMEDIATE")
        except sqlite3.Error:
            return False  # the writer thread finds the same, and has the time for it
        return True

    def _take_the_lock(self) -> None:
        """Begin the transaction; another program may have the lock for as long as the busy timeout."""
        assert self._db is not None
        latest = time.monotonic() + self._busy_timeout_seconds
        while True:
            try:
                self._db.conn.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not is_busy or time.monotonic() >= latest or self._is_in_a_hurry.wait(LOCK_LOOK_SECONDS):
                    raise

    def _decide(self, batch: list[_Waiting]) -> list[Result]:
        """Run the jobs within the transaction that has begun. Raises sqlite3.Error if SQLite cannot use its file."""
        assert self._db is not None
        db, execute = self._db, self._db.conn.execute
        results: list[Result] = []
        for one in batch:
            execute("SAVEPOINT job")
            try:
                result = _run(one.job, db)
            except BaseException as error:  # whatever it is, the others go on
                if _is_of_the_file(error):
                    raise  # no job of this batch can be trusted to reach the disk
                execute("ROLLBACK TO job")
                results.append((None, self._why_undone(one, error)))
            else:
                results.append((result, None))
            execute("RELEASE job")
        return results

    def _why_undone(self, one: _Waiting, error: BaseException) -> BaseException:
        """Let the job leave what it leaves when it is undone; where that fails, it leaves nothing."""
        assert self._db is not None
        if one.undone is None:
            return error
        try:
            one.undone(self._db, error)
        except BaseException as failure:  # whatever it is, the others go on
            if _is_of_the_file(failure):
                raise
            self._db.conn.execute("ROLLBACK TO job")
            return failure
        return error

    def _undone(self, batch: list[_Waiting], error: sqlite3.Error) -> list[Result]:
        """Nothing of the batch has happened: that is every job's result."""
        assert self._db is not None
        with contextlib.suppress(sqlite3.Error):
            self._db.conn.rollback()
        self._settled(False)
        cause = self._explained(error)
        if reason_of(cause) is Reason.DAMAGED:
            self._is_damaged = True
        self._outage.failed(cause)
        self._changes_before = self._db.conn.total_changes
        return [(None, StorageUnavailableError(describe(cause), reason_of(cause)))] * len(batch)

    def _explained(self, error: sqlite3.Error) -> sqlite3.Error | OSError:
        """What the file system says of an error that SQLite only calls one of the disk."""
        if reason_of(error) is not Reason.STORAGE:
            return error
        try:
            space = os.statvfs(self.path)
        except OSError as missing:
            return missing
        if space.f_flag & os.ST_RDONLY:
            return OSError(errno.EROFS, "the file system is read-only")
        if space.f_bavail * space.f_frsize < FULL_BELOW_BYTES:
            return OSError(errno.ENOSPC, "the disk is full")
        return error

    # What other processes write

    def _poll_foreign_change(self) -> None:
        assert self._loop is not None
        if not self._is_writing:  # else each batch looks when it has ended
            self._look_for_foreign_change()
        self._foreign_change_poll = self._loop.call_later(FOREIGN_CHANGE_POLL_SECONDS, self._poll_foreign_change)

    def _current_data_version(self) -> int:
        # On one connection this number changes only when another connection has written, and ours that
        # writes is the only one of this process that does.
        assert self._db is not None
        return int(self._db.conn.execute("PRAGMA data_version").fetchone()[0])

    def _look_for_foreign_change(self) -> None:
        try:
            version = self._current_data_version()
        except sqlite3.Error as error:
            self._outage.failed(error)
            return
        if version != self._data_version:
            self._data_version = version
            if self._foreign_change is not None:
                self._foreign_change()


@contextlib.contextmanager
def _log_kept(database: Path) -> Iterator[None]:
    """Whoever closes a database last copies its log into it and removes the log. By an index that is not the one that
    others use this loses what they have committed. SQLite does it only where it can have the file to itself, and
    a lock like a reader's, which counts within this process too, is in its way."""
    descriptor = os.open(database, os.O_RDONLY | os.O_CLOEXEC)
    try:
        lock = struct.pack("hhqqi", fcntl.F_RDLCK, os.SEEK_SET, *READERS_LOCK, 0)  # struct flock
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock)
        yield
    finally:
        os.close(descriptor)


def _identity_of(path: Path) -> _Identity | None:
    """Which file is at the path, whatever its name: None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _hear_nothing(on_disk: bool) -> None:
    """Nobody keeps anything in memory."""


def _run(job: Job[T], db: sqlite_utils.Database) -> T:
    try:
        return job(db)
    except StopIteration as error:
        raise RuntimeError("a job raised StopIteration, which no future can carry to its caller") from error


def _is_of_the_file(error: BaseException) -> bool:
    """Whether SQLite cannot use its file (a lock, the disk), rather than refused what one job asked for."""
    if not isinstance(error, sqlite3.Error):
        return False
    own = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE)
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)  # an error of the module itself has none
    return code & 0xFF not in own


def _forget_pages(db: sqlite_utils.Database) -> None:
    """What was read of a damaged file is not to be believed once the file is whole again."""
    with contextlib.suppress(sqlite3.Error):
        db.conn.execute("PRAGMA shrink_memory")
