"""What strangers may try, and how often: before a password is checked, an account made, a visitor let in."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterator

from broker.plugin import Box, Reason, Refusal
from broker.rates import Rate
from plugins.auth import users
from plugins.auth.passwords import Passwords, TurnRefusedError
from plugins.auth.turns import Rank
from plugins.auth.users import User

MINUTE, HOUR = 60, 3600

NOTED_AT_MOST = 10_000
"""Pairs of user and address that are remembered as noted today."""

EVERYBODY = "everybody"
"""The key of what is counted over all addresses."""


class Quota:
    """How many may join in an hour: from one address, and in all."""

    def __init__(self, per_address: int, total: int, clock: Callable[[], float]) -> None:
        self._of_address = Rate(per_address, HOUR, clock=clock)
        self._of_all = Rate(total, HOUR, clock=clock)

    def take(self, address: str) -> float:
        """Count one more. Returns 0.0 if there was room, else the seconds until there may be."""
        if not self._of_all.has_room(EVERYBODY):
            return self._of_all.take(EVERYBODY)
        return self._of_address.take(address) or self._of_all.take(EVERYBODY)


class Guard:
    """Holds everybody to ``[limits]``, by address and by username. All that it refuses is 429 ``rate_limited``.

    Whom the box knows from an address, because they signed in from there within 30 days, is refused for nobody's wrong
    passwords, and waits in no line with strangers. Who shares that address and tries their name stands in theirs.
    """

    def __init__(self, box: Box, passwords: Passwords) -> None:
        self._box = box
        self._passwords = passwords
        limits = box.settings.limits
        self._failures_of_address = Rate(limits.login_failures_per_minute, MINUTE, clock=box.monotonic)
        self._failures_of_username = Rate(limits.login_failures_per_username, MINUTE, clock=box.monotonic)
        self._registrations = Quota(limits.registrations_per_hour, limits.registrations_total, box.monotonic)
        self._visitors = Quota(limits.visitors_per_hour, limits.visitors_total, box.monotonic)
        self._noted: OrderedDict[tuple[str, str], float] = OrderedDict()
        """When a user's address was last noted as one that they sign in from."""

    # Passwords

    async def check(
        self, user: User | None, username: str, password: str, address: str, *, is_known: bool = False
    ) -> bool:
        """Whether it is the password of the user, who may be nobody; either way it costs the same.

        Refuses unchecked what comes after too many wrong passwords from the address or for the username, and while
        too many wait for their check.
        """
        of_address, of_username = self._failures_of_address, self._failures_of_username
        if not is_known and not (of_address.has_room(address) and of_username.has_room(username)):
            raise self._refused("login_failures", "too many wrong passwords; try again in a moment", MINUTE / 10)
        with self._waiting_their_turn():
            if user is not None and user.is_active and user.password_hash is not None:
                right = await self._passwords.verify(
                    user.user_id, user.password_hash, password, address=address, rank=rank_of(user, is_known=is_known)
                )
            else:
                right = False
                await self._passwords.refuse(username, password, address=address)
        if not right:
            of_address.take(address)
            of_username.take(username)
        return right

    async def hash(self, password: str, address: str, rank: Rank = Rank.STRANGER) -> str:
        """A new hash, when it is that password's turn."""
        with self._waiting_their_turn():
            return await self._passwords.hash(password, address=address, rank=rank)

    @contextlib.contextmanager
    def _waiting_their_turn(self) -> Iterator[None]:
        try:
            yield
        except TurnRefusedError:
            told = "too many passwords are being checked; try again in a moment"
            raise self._refused("password_queue", told, 1.0) from None

    # Where people sign in from

    def note_address(self, user: User, address: str) -> None:
        """Remember, once a day, that an account signs in from here; a visitor has no password that could be tried."""
        now, key = self._box.now(), (user.user_id, address)
        if user.password_hash is None or abs(now - self._noted.get(key, 0.0)) < users.NOTED_AGAIN_SECONDS:
            return
        self._noted[key] = now
        self._noted.move_to_end(key)
        if len(self._noted) > NOTED_AT_MOST:
            self._noted.popitem(last=False)

        def told(_: None, error: BaseException | None) -> None:
            if error is not None:
                self._noted.pop(key, None)  # the next sign-in tries again

        self._box.database.submit(lambda db: users.add_known_address(db, user, address, now), told, quick=True)

    def forget(self, user_id: str) -> None:
        """The user's standing has changed: where they signed in from before counts no more."""
        for key in [key for key in self._noted if key[0] == user_id]:
            del self._noted[key]

    # Joining

    def admit_visitor(self, address: str) -> None:
        if seconds := self._visitors.take(address):
            raise self._refused("visitors", "too many visitors have come from here; try again later", seconds)

    def admit_registration(self, address: str) -> None:
        if seconds := self._registrations.take(address):
            raise self._refused("registrations", "too many accounts were made from here; try again later", seconds)

    def _refused(self, reason: Reason, message: str, retry_after: float) -> Refusal:
        self._box.refused(reason)
        return Refusal("rate_limited", message, status=429, retry_after=retry_after)


def rank_of(user: User, *, is_known: bool) -> Rank:
    """Who asks, if it is the user."""
    if not is_known:
        return Rank.STRANGER
    return Rank.HOUSE if user.role in ("kiosk", "manager") else Rank.KNOWN
