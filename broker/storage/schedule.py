"""Backups that are made while the box runs, in a thread of their own: nothing waits for them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence

from broker.storage.backup import Backup, BackupError, BackupFolder, StoppedError, seconds_until_due

logger = logging.getLogger(__name__)

FIRST_SECONDS = 30.0
"""How long after a start the first may be made: others come in then."""

LOOK_SECONDS = 60.0
"""How often is looked whether one is due, and whether the second folder is back."""

RETRY_SECONDS = 600.0
"""When one could not be made, the next try comes after so long."""

STOP_SECONDS = 1.0
"""How long a stop waits for the thread, which ends by itself at its next step; it may be stuck in a dead stick."""


class Timetable:
    """When the next backup is due, by a monotonic clock, in seconds: so a clock that is set changes nothing."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self.due_at = float("inf")

    def begin(self, newest: float | None, now: float, clock: float) -> None:
        """``newest`` and ``now`` are in seconds since 1970, ``clock`` is the monotonic one."""
        wait = max(seconds_until_due(newest, now, self._interval), min(FIRST_SECONDS, self._interval))
        self.due_at = clock + wait

    def made(self, clock: float) -> None:
        self.due_at = clock + self._interval

    def failed(self, clock: float) -> None:
        self.due_at = clock + min(RETRY_SECONDS, self._interval)

    def is_due(self, clock: float) -> bool:
        return clock >= self.due_at


class BackupSchedule:
    """Keeps ``keep`` backups in the first folder, made each ``interval`` seconds, and in the second while it is there.

    ``now`` is the wall clock (seconds since 1970), ``clock`` a monotonic one.
    """

    def __init__(
        self,
        folders: Sequence[BackupFolder],
        *,
        interval: float,
        keep: int,
        now: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._first = folders[0]
        self._second = folders[1] if len(folders) > 1 else None
        self._interval = interval
        self._keep = keep
        self._now = now
        self._clock = clock
        self._timetable = Timetable(interval)
        self._second_timetable = Timetable(interval)
        """When the second folder is due one of its own, which it gets only while the first cannot have any."""
        self._stopped = threading.Event()
        self._task: asyncio.Task[None] | None = None
        self._thread_ended: asyncio.Future[None] | None = None
        self._is_second_there: bool | None = None
        """As far as is known; None before it was looked at."""
        self._told_at: dict[BackupFolder, float] = {}

    def start(self) -> None:
        """Begin; to be called in the running event loop."""
        if self._interval > 0:
            self._task = asyncio.create_task(self._run())

    def hurry(self) -> None:
        """Give up a backup that is under way, because the box stops; nothing of it stays under a backup's name."""
        self._stopped.set()

    async def close(self) -> None:
        """Give up as :meth:`hurry` does, and wait for it."""
        self.hurry()
        if self._task is None:
            return
        if self._thread_ended is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._thread_ended), STOP_SECONDS)
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _run(self) -> None:
        await self._in_thread(self._begin)
        while not self._stopped.is_set():
            await asyncio.sleep(min(LOOK_SECONDS, max(0.0, self._timetable.due_at - self._clock())))
            await self._in_thread(self._look)

    async def _in_thread(self, job: Callable[[], None]) -> None:
        """Run it in a thread that the process does not wait for when it ends."""
        loop = asyncio.get_running_loop()
        ended = self._thread_ended = loop.create_future()

        def tell() -> None:
            if not ended.done():
                ended.set_result(None)

        def run() -> None:
            try:
                job()
            except StoppedError:
                pass
            except Exception:
                logger.exception("Backups failed by a fault of the box")
                self._timetable.failed(self._clock())
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(tell)

        threading.Thread(target=run, name="backup", daemon=True).start()
        await ended

    # In the thread

    def _begin(self) -> None:
        self._begin_timetable(self._timetable, self._first)

    def _begin_timetable(self, timetable: Timetable, folder: BackupFolder) -> None:
        newest = None
        with contextlib.suppress(OSError):  # it is told when a backup is tried
            newest = folder.newest()
        timetable.begin(None if newest is None else newest.made_at, self._now(), self._clock())

    def _look(self) -> None:
        has_failed = False
        if self._timetable.is_due(self._clock()):
            has_failed = self._make(self._first, self._take_first) is None
            (self._timetable.failed if has_failed else self._timetable.made)(self._clock())
        # Only now: a dead stick may keep whoever looks at it waiting.
        if (second := self._second_if_there()) is None:
            return
        # Not with each try of the first: they would soon have taken the places of all that is older.
        if has_failed and self._second_timetable.is_due(self._clock()) and self._make(second, second.take):
            self._second_timetable.made(self._clock())
        self._bring_up_to_date(second)

    def _take_first(self, now: float, *, is_stopped: Callable[[], bool]) -> Backup:
        try:
            self._first.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BackupError(f"{self._first.path} cannot be made: {error.strerror}") from error
        return self._first.take(now, is_stopped=is_stopped)

    def _second_if_there(self) -> BackupFolder | None:
        """The second folder is never made: it would be on the disk where the stick is missing."""
        if self._second is None:
            return None
        try:
            is_there, why = self._second.path.is_dir(), ""
        except OSError as error:  # as of a dead stick
            is_there, why = False, f" ({error.strerror})"
        if is_there and not self._is_second_there:
            self._begin_timetable(self._second_timetable, self._second)
        if not is_there and self._is_second_there is not False:
            logger.warning(
                "The second folder for backups, %s, is not there%s; it gets the newest when it is back",
                self._second.path,
                why,
            )
        self._is_second_there = is_there
        return self._second if is_there else None

    def _bring_up_to_date(self, second: BackupFolder) -> None:
        with contextlib.suppress(OSError):
            newest = self._first.newest()
            if newest is None or any(
                # One from a time to come is not newer: the clock was wrong when it was made.
                backup.made_at == newest.made_at or newest.made_at < backup.made_at <= self._now()
                for backup in second.backups()
                if backup.is_whole
            ):
                return
            self._make(second, lambda now, *, is_stopped: second.copy_from(newest, is_stopped=is_stopped))

    def _make(self, folder: BackupFolder, take: Callable[..., Backup]) -> Backup | None:
        """Make one and remove what is too many; None, and told, if none could be made."""
        try:
            made = take(self._now(), is_stopped=self._stopped.is_set)
        except StoppedError:
            raise
        except BackupError as error:
            self._tell_failed(folder, error)
            return None
        self._told_at.pop(folder, None)
        logger.info("A backup was made: %s", made.path)
        try:
            folder.tidy(self._keep, made)
        except BackupError as error:  # which is no reason to make the next one sooner
            logger.error("%s", error)
        return made

    def _tell_failed(self, folder: BackupFolder, error: BackupError) -> None:
        """Once an interval: it is tried more often than that."""
        told_at = self._told_at.get(folder)
        if told_at is None or self._clock() - told_at >= self._interval:
            self._told_at[folder] = self._clock()
            logger.error("No backup could be made: %s", error)
