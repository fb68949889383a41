"""Why nothing can be written at the moment, told to the log when it begins and when it ends: not with each batch."""

from __future__ import annotations

import errno
import logging
import sqlite3
import time
from collections.abc import Callable
from enum import StrEnum

logger = logging.getLogger(__name__)

AGAIN_SECONDS = 60.0
"""What comes and goes, such as a disk with hardly any space, is told at most this often."""


class Reason(StrEnum):
    """One word for who asks ``/healthz``."""

    FULL = "full"
    LOCKED = "locked"
    READONLY = "readonly"
    DAMAGED = "damaged"
    MISSING = "missing"
    STORAGE = "storage"
    """Anything else that the disk or its file system reports."""


_BY_SQLITE = {
    sqlite3.SQLITE_FULL: Reason.FULL,
    sqlite3.SQLITE_BUSY: Reason.LOCKED,
    sqlite3.SQLITE_LOCKED: Reason.LOCKED,
    sqlite3.SQLITE_PROTOCOL: Reason.LOCKED,
    sqlite3.SQLITE_READONLY_DBMOVED: Reason.MISSING,
    sqlite3.SQLITE_READONLY: Reason.READONLY,
    sqlite3.SQLITE_PERM: Reason.READONLY,
    sqlite3.SQLITE_CANTOPEN: Reason.READONLY,
    sqlite3.SQLITE_CORRUPT: Reason.DAMAGED,
    sqlite3.SQLITE_NOTADB: Reason.DAMAGED,
}
_BY_ERRNO = {
    errno.ENOSPC: Reason.FULL,
    errno.EDQUOT: Reason.FULL,
    errno.EACCES: Reason.READONLY,
    errno.EPERM: Reason.READONLY,
    errno.EROFS: Reason.READONLY,
}
_SENTENCES = {
    Reason.FULL: "the disk is full",
    Reason.LOCKED: "the database is locked by another program",
    Reason.READONLY: "the database file cannot be opened for {use}; check its folder and permissions",
    Reason.MISSING: "the database file was moved or removed while the box runs; put it back",
    Reason.DAMAGED: "the file is damaged or is not a database",
}


def reason_of(error: BaseException) -> Reason:
    """Which kind of trouble an error of SQLite or of the file system is."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        return _BY_SQLITE.get(code) or _BY_SQLITE.get(code & 0xFF, Reason.STORAGE)
    if isinstance(error, OSError) and error.errno is not None:
        return _BY_ERRNO.get(error.errno, Reason.STORAGE)
    return Reason.STORAGE


def describe(error: BaseException, *, use: str = "writing") -> str:
    """An error of SQLite or of the file system in a sentence for the owner; ``use`` is what the file was wanted for."""
    if (sentence := _SENTENCES.get(reason_of(error))) is not None:
        return sentence.format(use=use)
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


class Outage:
    """Whether the database can be written, as far as the last attempt showed. ``clock`` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.reason: Reason | None = None
        """None while all is well."""
        self._clock = clock
        self._is_told = False
        self._told_at: dict[Reason, float] = {}

    def failed(self, error: BaseException) -> None:
        """Something could not be written or read."""
        reason = reason_of(error)
        if reason is not self.reason:
            self.reason, self._is_told = reason, False
        if self._is_told or self._clock() - self._told_at.get(reason, -AGAIN_SECONDS) < AGAIN_SECONDS:
            return
        self._is_told = True
        self._told_at[reason] = self._clock()
        logger.error("Nothing can be written, and what comes is refused: %s", describe(error))

    def written(self) -> None:
        """Something is on disk again."""
        if self.reason is not None and self._is_told:
            logger.warning("The database can be written again")
        self.reason = None
