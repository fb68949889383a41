"""One box per database file: a lock that the kernel drops when its process dies, however it dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path


class HeldError(Exception):
    """Somebody has the lock; the message is a sentence for the owner. ``process`` is whose, 0 if that is unknown."""

    def __init__(self, message: str, process: int = 0) -> None:
        super().__init__(message)
        self.process = process


class FileLock:
    """The lock of one database file, held from :meth:`take` to :meth:`release`.

    It lies beside the database, as ``cinema.db.lock``, and stays there: only its being held means something. The
    command line that writes beside a running box (``import``, ``user``) does not take it, because SQLite's own locks
    are enough for that.
    """

    def __init__(self, database: Path) -> None:
        real = database.resolve()  # by whatever name it is reached, it is one file
        self.path = real.with_name(f"{real.name}.lock")
        self._database = database
        self._descriptor: int | None = None

    @property
    def is_held(self) -> bool:
        return self._descriptor is not None

    def take(self) -> None:
        """Make the folder if it is missing, and take the lock. Raises HeldError; OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with contextlib.closing(os.fdopen(descriptor, "rb")) as file:
                holder = file.read(20).decode("ascii", "replace").strip()
            raise HeldError(
                f"{self._database}: a box serves this database already"
                f"{f', process {holder}' if holder.isdigit() else ''}; one box serves one file",
                int(holder) if holder.isdigit() else 0,
            ) from None
        except OSError:
            os.close(descriptor)
            raise
        with contextlib.suppress(OSError):  # a full disk: who holds it is then not told
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> FileLock:
        self.take()
        return self

    def __exit__(self, *raised: object) -> None:
        self.release()
