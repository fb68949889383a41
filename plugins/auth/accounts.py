"""Signing in, and what changes users: the rules between the tables, the passwords and the box."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlite_utils

from broker.plugin import NOBODY, Actor, Box, Entry, Identity, Refusal, StorageUnavailableError
from plugins.auth import trail, users
from plugins.auth.guard import Guard, rank_of
from plugins.auth.passwords import Passwords
from plugins.auth.turns import Rank
from plugins.auth.users import Standing, User
from plugins.auth.wire import PASSWORD_BYTES

GUEST = Identity(None, None, "guest")

SEEN_AT_MOST = 10_000
"""Users whose standing is remembered beyond those who are connected."""

NO_USERNAME = ""
"""What is counted for all that can be nobody's username, however long it is."""

_USERNAME = re.compile(r"[a-z0-9._-]{3,32}")
_USER_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Session:
    """A token just issued; ``expires_at`` is in seconds since 1970."""

    token: str
    expires_at: float
    user: User


@dataclass(frozen=True, slots=True)
class Authority:
    """On what a call acts: its caller, and what letting them in rested on.

    Much can come between that and what the call changes: its body, and the turn of a password. So each change looks, in
    its own transaction, whether the caller still stands so.
    """

    user_id: str
    standing: Standing
    address: str

    @property
    def actor(self) -> Actor:
        return Actor(self.user_id, self.address)

    def require(self, db: sqlite_utils.Database) -> User:
        """The caller. Refuses with 401 ``unauthorized`` who was disabled, or got another role or password, since."""
        user = users.by_id(db, self.user_id)
        if user is None or user.standing != self.standing:
            raise _changed_since()
        return user


class Accounts:
    """Who may sign in as whom. Refuses with Refusal; raises StorageUnavailableError if the file fails.

    What takes an :class:`Authority` refuses with 401 ``unauthorized`` where it has ended meanwhile.

    ``new_token`` draws a token of at least 256 random bits.
    """

    def __init__(self, box: Box, passwords: Passwords, *, new_token: Callable[[], str] = secrets.token_urlsafe) -> None:
        self._box = box
        self._new_token = new_token
        self._guard = Guard(box, passwords)
        self._signed_in: OrderedDict[str, Standing] = OrderedDict()
        """What those who signed in lately, and all who are connected, rested on when last seen."""
        self._changes = 0
        """Counts changes of anybody's standing, to notice one that came while something else was awaited."""

    # Signing in

    async def authenticate(self, username: str | None, password: str | None, address: str) -> Identity | None:
        """Who these credentials make one; None if they are wrong, or their user disabled.

        Refuses with 429 ``rate_limited``, without looking whether they are right, what comes after too many wrong
        passwords from ``address`` or for this username, or while too many wait for their check. Not so a valid token,
        nor an address that the user signed in from within 30 days.

        - Neither: a guest, if guests are allowed.
        - A username and the account's password, or any valid token of the account.
        - A user_id as the username, and any valid token of that user: the way of a visitor, who has no username.
          A password is not taken here, so that a token that has expired costs no hash.
        - A password alone is a bearer token (only HTTP has this).
        """
        if password is None:
            return GUEST if username is None and self._box.settings.auth.allow_guests else None
        if not _is_possible(password):
            self._note_failure(None, address)
            return None
        while True:
            changes = self._changes
            user = await self._user_of(username, password, address)
            if user is None:
                return None
            if changes != self._changes:
                continue  # perhaps this user's: whose connections have ended, and this one would not have
            if self._see(user) == user.standing:
                self._guard.note_address(user, address)
                return Identity(user.user_id, user.username, user.role)
            # Another process has changed the user, and this sign-in comes before the news of it.
            await self._end(user.user_id, user.standing, deactivated=False)

    def _see(self, user: User) -> Standing:
        """What the user was last seen to rest on: this, if they were not seen lately."""
        standing = self._signed_in.setdefault(user.user_id, user.standing)
        self._signed_in.move_to_end(user.user_id)
        for _ in range(min(2, len(self._signed_in) - SEEN_AT_MOST)):
            longest_ago = next(iter(self._signed_in))
            if self._box.is_connected(longest_ago):
                self._signed_in.move_to_end(longest_ago)
            else:
                del self._signed_in[longest_ago]
        return standing

    async def _user_of(self, username: str | None, password: str, address: str) -> User | None:
        if username is None or _USER_ID.fullmatch(username):
            owner = await self._box.database.read(lambda db: users.by_token(db, password, self._box.now()))
            if owner is not None and username in (None, owner.user_id):
                return owner
            self._note_failure(None, address)
            return None
        if not _USERNAME.fullmatch(username):
            await self._sign_in(None, NO_USERNAME, password, address, is_known=False)
            return None
        now = self._box.now()

        def look(db: sqlite_utils.Database) -> tuple[User | None, User | None, bool]:
            owner, named = users.by_token(db, password, now), users.by_username(db, username)
            return owner, named, named is not None and users.is_known_address(db, named.user_id, address, now)

        owner, named, is_known = await self._box.database.read(look)
        if owner is not None and owner.username == username:
            return owner
        return named if await self._sign_in(named, username, password, address, is_known=is_known) else None

    async def _sign_in(self, user: User | None, username: str, password: str, address: str, *, is_known: bool) -> bool:
        """As :meth:`Guard.check`; a failure comes to the audit trail, with the account that was tried, not its name."""
        user_id = None if user is None else user.user_id
        try:
            right = await self._guard.check(user, username, password, address, is_known=is_known)
        except Refusal as refusal:
            self._note_failure(user_id, address, refusal.code)
            raise
        if not right:
            self._note_failure(user_id, address)
        return right

    def _note_failure(self, user_id: str | None, address: str, outcome: str = "unauthorized") -> None:
        self.note_refusal(Actor(user_id, address), trail.SESSION, outcome)

    def note_refusal(self, by: Actor, action: str, code: str) -> None:
        """Something was refused that is no part of a change."""
        self._box.audit.gather_alone(Entry(*by, action, code))

    def authority(self, identity: Identity, address: str) -> Authority | None:
        """On what somebody acts who was let in just now from this address; to be asked before anything is awaited.

        None for a guest. Refuses with 401 ``unauthorized`` where it is no longer so, or was never so here.
        """
        if identity.user_id is None:
            return None
        seen = self._signed_in.get(identity.user_id)
        if seen is None or not seen.is_active or seen.role != identity.role:
            raise _changed_since()
        return Authority(identity.user_id, seen, address)

    # Tokens

    async def issue_token(self, by: Authority) -> Session:
        """A further token for somebody who has just signed in; those that they have live on."""
        return await self._box.database.write(lambda db: self._add_token(db, by.require(db), by.address), quick=True)

    async def void_token(self, token: str, by: Actor) -> None:
        def job(db: sqlite_utils.Database) -> None:
            if users.void_token(db, token):
                self._box.audit.gather(db, self._box.now(), Entry(*by, trail.SESSION, "ended"))

        await self._box.database.write(job, quick=True)

    def _add_token(self, db: sqlite_utils.Database, user: User, address: str) -> Session:
        auth = self._box.settings.auth
        now = self._box.now()
        hours = auth.kiosk_token_hours if user.role == "kiosk" else auth.token_hours
        session = Session(self._new_token(), now + hours * 3600, user)
        users.add_token(db, user.user_id, session.token, now=now, expires_at=session.expires_at)
        self._box.audit.gather(db, now, Entry(user.user_id, address, trail.SESSION, "created"))
        return session

    # Users

    async def find(self, user_id: str) -> User:
        """Refuses with 404 ``unknown_user``."""
        user = await self._box.database.read(lambda db: users.by_id(db, user_id))
        if user is None:
            raise _unknown_user()
        return user

    async def everybody(self) -> list[User]:
        return await self._box.database.read(users.everybody)

    async def add_visitor(self, *, name: str, email: str, address: str) -> Session:
        """Add a visitor and issue their first token. Refuses too many with 429 ``rate_limited``."""
        self._guard.admit_visitor(address)

        def job(db: sqlite_utils.Database) -> Session:
            by = Actor(None, address)
            visitor = users.add_visitor(db, name=name, email=email, now=self._box.now(), by=by)
            return self._add_token(db, visitor, address)

        return await self._box.database.write(job, quick=True)

    async def add_account(
        self,
        by: Authority | None,
        *,
        username: str,
        password: str,
        role: str,
        email: str | None,
        name: str | None,
        address: str,
    ) -> User:
        """Add a customer, kiosk or manager. Refuses a taken username with 409 ``conflict``, and with 429
        ``rate_limited`` too many who register themselves."""
        is_by_manager = by is not None and by.standing.role == "manager"
        if not is_by_manager:
            self._guard.admit_registration(address)
        password_hash = await self._guard.hash(password, address, Rank.HOUSE if is_by_manager else Rank.STRANGER)

        def job(db: sqlite_utils.Database) -> User:
            if by is not None:
                by.require(db)
            with _refusing():
                return users.add_account(
                    db,
                    username=username,
                    password_hash=password_hash,
                    role=role,
                    email=email,
                    name=name,
                    now=self._box.now(),
                    by=Actor(None, address) if by is None else by.actor,
                )

        return await self._box.database.write(job)

    async def change_own(
        self, by: Authority, changes: Mapping[str, Any], *, password: str | None, old_password: str | None, address: str
    ) -> User:
        """Change one's own ``name`` and ``email``, and the password if given, which takes the old one.

        Refuses with 403 ``forbidden`` a wrong old password and a visitor's password, and with 400
        ``invalid_request`` that a visitor clears name or e-mail address.
        """
        if by.standing.role == "visitor":
            if password is not None:
                raise Refusal("forbidden", "a visitor has no password", status=403)
            if None in changes.values():
                raise Refusal("invalid_request", "a visitor keeps a name and an e-mail address")
        if password is None:
            return await self._change(by, by.user_id, changes)
        user = await self.find(by.user_id)
        if user.standing != by.standing:
            raise _changed_since()
        if old_password is None or not _is_possible(old_password):
            raise _wrong_old_password()
        now = self._box.now()
        is_known = await self._box.database.read(lambda db: users.is_known_address(db, by.user_id, address, now))
        if not await self._guard.check(user, user.username or "", old_password, address, is_known=is_known):
            raise _wrong_old_password()
        new_hash = await self._guard.hash(password, address, rank_of(user, is_known=is_known))
        return await self._change(by, by.user_id, {**changes, "password_hash": new_hash})

    async def change_user(
        self,
        by: Authority,
        user_id: str,
        *,
        role: str | None = None,
        password: str | None = None,
        is_active: bool | None = None,
        cancel_bookings: bool = False,
        address: str,
    ) -> User:
        """Change what is given of somebody, as a manager may.

        Refuses with 404 ``unknown_user``, and with 409 ``conflict`` a visitor's role or password, and what would
        leave no active manager.
        """
        await self.find(user_id)
        changes: dict[str, Any] = {}
        if role is not None:
            changes["role"] = role
        if password is not None:
            changes["password_hash"] = await self._guard.hash(password, address, Rank.HOUSE)
        if is_active is not None:
            changes["is_active"] = is_active
        return await self._change(by, user_id, changes, cancel_bookings=cancel_bookings)

    async def _change(
        self, by: Authority, user_id: str, changes: Mapping[str, Any], *, cancel_bookings: bool = False
    ) -> User:
        """Change a user, then end what rested on what was changed."""

        def job(db: sqlite_utils.Database) -> tuple[User, bool]:
            by.require(db)
            before = users.by_id(db, user_id)
            now = self._box.now()
            with _refusing():
                after = users.change(db, user_id, changes, now=now, by=by.actor)
            if before is not None and (after.name, after.email) != (before.name, before.email):
                self._box.audit.gather(db, now, Entry(*by.actor, trail.CHANGE, trail.DETAILS, user_id))
            return after, before is None or after.standing != before.standing

        user, is_other = await self._box.database.write(job)
        deactivated = changes.get("is_active") is False
        if is_other or deactivated:
            await self._end(
                user_id, user.standing, deactivated=deactivated, cancel_bookings=cancel_bookings, by=by.actor
            )
        return user

    async def database_changed(self) -> None:
        """Another process wrote: end whom it changed, of those who signed in here.

        Raises the first error once all have been ended.
        """
        self._changes += 1  # perhaps of somebody who is signing in, and is not among them yet
        while True:
            changes, seen = self._changes, dict(self._signed_in)
            found = await self._box.database.read(lambda db: users.standings(db, seen))  # noqa: B023  # awaited
            if changes == self._changes:
                break
        errors: list[Exception] = []
        for user_id, before in seen.items():
            now = found.get(user_id)
            if now != before:
                try:
                    await self._end(user_id, now, deactivated=before.is_active and not (now and now.is_active))
                except (StorageUnavailableError, Refusal) as error:
                    errors.append(error)
        if errors:
            raise errors[0]

    async def _end(
        self,
        user_id: str,
        now: Standing | None,
        *,
        deactivated: bool,
        cancel_bookings: bool = False,
        by: Actor = NOBODY,
    ) -> None:
        self._changes += 1
        if now is None:
            self._signed_in.pop(user_id, None)
        elif user_id in self._signed_in:
            self._signed_in[user_id] = now
        self._guard.forget(user_id)
        role = now.role if now is not None and now.is_active else None
        await self._box.end_user(user_id, role=role, deactivated=deactivated, cancel_bookings=cancel_bookings, by=by)


def _is_possible(password: str) -> bool:
    """Whether any account could have it; what no account can have is not worth a check."""
    try:
        return len(password.encode()) <= PASSWORD_BYTES[1]
    except UnicodeEncodeError:
        return False


def _unknown_user() -> Refusal:
    return Refusal("unknown_user", "there is no such user", status=404)


def _changed_since() -> Refusal:
    return Refusal("unauthorized", "sign in again: the account has changed", status=401)


def _wrong_old_password() -> Refusal:
    return Refusal("forbidden", "old_password is not the present password", status=403)


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """What the tables do not allow, as an answer."""
    try:
        yield
    except users.UsernameTakenError:
        raise Refusal("conflict", "this username is taken", status=409) from None
    except users.UnknownUserError:
        raise _unknown_user() from None
    except users.LastManagerError:
        raise Refusal("conflict", "the last active manager stays", status=409) from None
    except users.NoAccountError:
        raise Refusal("conflict", "a visitor has no username: no password, no other role", status=409) from None
