"""Passwords: argon2 hashes, never in the event loop, and a short memory of those that were right.

The only place that knows passlib. One check takes some 140 ms and 64 MiB, so at most two run at a time; the others
wait for their turn, as turns.py says.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import ParamSpec, TypeVar

from passlib.hash import argon2

from plugins.auth.turns import Rank, Turns

P = ParamSpec("P")
R = TypeVar("R")

AT_ONCE = 2
REMEMBER_SECONDS = 300.0
REMEMBER_AT_MOST = 4096


def hash_password(password: str) -> str:
    """A new salted hash. Blocks for some 140 ms."""
    return str(argon2.hash(password))


def verify_password(password: str, password_hash: str) -> bool:
    """Whether the hash is this password's. Blocks for some 140 ms."""
    return bool(argon2.verify(password, password_hash))


def hash_unless_same(password: str, current_hash: str | None) -> str:
    """``current_hash`` if it is already this password's, else a new one. Blocks for up to some 280 ms.

    For imports, which may run again: a password that stays must not look like one that changed.
    """
    if current_hash is not None and verify_password(password, current_hash):
        return current_hash
    return hash_password(password)


@cache
def _nobodys_hash() -> str:
    return hash_password(secrets.token_urlsafe())


class TurnRefusedError(Exception):
    """So many passwords wait to be checked that this one cannot; come back in a moment."""


class Passwords:
    """Hashes and checks passwords for the event loop, and remembers for five minutes which were right.

    The memory holds no password and no hash: its keys are HMACs, under a key that only this process has, over
    user, stored hash and password. So a password is not remembered once the stored hash is another.

    ``address`` is where the password comes from, and ``rank`` who asks: whose turn it is (:mod:`plugins.auth.turns`);
    ``monotonic`` is the clock of the memory, in seconds.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="passwords")
        self._running = 0
        self._turns: Turns[asyncio.Future[None]] = Turns()
        self._key = secrets.token_bytes(32)
        self._remembered: OrderedDict[bytes, float] = OrderedDict()
        """By HMAC: when to forget, soonest first."""
        self._checking: dict[bytes, asyncio.Task[bool]] = {}

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._turns)

    async def hash(self, password: str, *, address: str, rank: Rank = Rank.STRANGER) -> str:
        """A new salted hash. Raises TurnRefusedError."""
        async with self._turn(address, rank):
            return await self._in_thread(hash_password, password)

    async def verify(
        self, user_id: str, password_hash: str, password: str, *, address: str, rank: Rank = Rank.STRANGER
    ) -> bool:
        """Whether ``password`` is the user's. Costs one check, or none if it was right a short time ago or is being
        checked at this moment: many tabs come back at once with one account. Raises TurnRefusedError.
        """
        key = self._memory_key(user_id, password_hash, password)
        if self._remembers(key):
            return True
        checking = self._checking.get(key)
        if checking is None:

            async def check() -> bool:
                async with self._turn(address, rank):
                    return await self._in_thread(verify_password, password, password_hash)

            checking = self._checking[key] = asyncio.ensure_future(check())
            checking.add_done_callback(lambda task: self._checked(key, task))
        right = await asyncio.shield(checking)
        if right:
            self._remember(key)
        return right

    def _checked(self, key: bytes, task: asyncio.Task[bool]) -> None:
        del self._checking[key]
        if not task.cancelled():
            task.exception()  # who asked may be gone, and then nobody else looks at it

    async def refuse(self, username: str, password: str, *, address: str) -> None:
        """Cost what the check of a wrong password costs, in all respects, so that a wrong name cannot be told from it.
        Raises TurnRefusedError."""
        await self.verify(f"nobody {username}", _nobodys_hash(), password, address=address)

    @contextlib.asynccontextmanager
    async def _turn(self, address: str, rank: Rank) -> AsyncIterator[None]:
        if self._running < AT_ONCE:
            self._running += 1
        else:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            lost = self._turns.join(address, turn, rank)
            if lost is None:
                raise TurnRefusedError
            for other in lost:
                if not other.done():
                    other.set_exception(TurnRefusedError())
            try:
                await turn  # whoever leaves hands it over, still counted as running
            except BaseException:
                self._turns.leave(address, turn, rank)
                if turn.done() and not turn.cancelled() and turn.exception() is None:
                    self._hand_over()
                raise
        try:
            yield
        finally:
            self._hand_over()

    def _hand_over(self) -> None:
        while (turn := self._turns.next()) is not None:
            if not turn.done():
                turn.set_result(None)
                return
        self._running -= 1

    async def prepare(self) -> None:
        """Make what :meth:`refuse` needs, so that its first call costs no more than the next."""
        await self._in_thread(_nobodys_hash)

    def close(self) -> None:
        """Let go of the threads, without waiting for a check under way."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        call = partial(function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def _memory_key(self, user_id: str, password_hash: str, password: str) -> bytes:
        # Neither an id nor a hash contains NUL, so no two triples give the same text.
        return hmac.digest(self._key, f"{user_id}\0{password_hash}\0{password}".encode(), hashlib.sha256)

    def _remembers(self, key: bytes) -> bool:
        now = self._monotonic()
        while self._remembered:
            soonest = next(iter(self._remembered))
            if self._remembered[soonest] > now:
                break
            del self._remembered[soonest]
        return key in self._remembered

    def _remember(self, key: bytes) -> None:
        self._remembered[key] = self._monotonic() + REMEMBER_SECONDS
        self._remembered.move_to_end(key)
        if len(self._remembered) > REMEMBER_AT_MOST:
            self._remembered.popitem(last=False)
