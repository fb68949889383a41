"""Signing in, and what changes users: the rules between the tables, the passwords and the box."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlite_utils

from broker.plugin import Box, Identity, Refusal
from plugins.auth import users
from plugins.auth.passwords import Passwords
from plugins.auth.users import Standing, User
from plugins.auth.wire import PASSWORD_BYTES

GUEST = Identity(None, None, "guest")

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
        self._passwords = passwords
        self._new_token = new_token
        self._signed_in: dict[str, Standing] = {}
        """What everybody who signed in since the start rested on when last seen."""
        self._changes = 0
        """Counts changes of anybody's standing, to notice one that came while something else was awaited."""

    # Signing in

    async def authenticate(self, username: str | None, password: str | None) -> Identity | None:
        """Who these credentials make one; None if they are wrong, or their user disabled.

        - Neither: a guest, if guests are allowed.
        - A username and the account's password, or any valid token of the account.
        - A user_id as the username, and any valid token of that user: the way of a visitor, who has no username.
          A password is not taken here, so that a token that has expired costs no hash.
        - A password alone is a bearer token (only HTTP has this).
        """
        if password is None:
            return GUEST if username is None and self._box.settings.auth.allow_guests else None
        if not _is_possible(password):
            return None
        while True:
            changes = self._changes
            user = await self._user_of(username, password)
            if user is None:
                return None
            if changes != self._changes:
                continue  # perhaps this user's: whose connections have ended, and this one would not have
            if self._signed_in.setdefault(user.user_id, user.standing) == user.standing:
                return Identity(user.user_id, user.username, user.role)
            # Another process has changed the user, and this sign-in comes before the news of it.
            await self._end(user.user_id, user.standing, deactivated=False)

    async def _user_of(self, username: str | None, password: str) -> User | None:
        if username is None or _USER_ID.fullmatch(username):
            owner = await self._box.database.read(lambda db: users.by_token(db, password, self._box.now()))
            return owner if owner is not None and username in (None, owner.user_id) else None
        named = None
        if _USERNAME.fullmatch(username):
            owner, named = await self._box.database.read(
                lambda db: (users.by_token(db, password, self._box.now()), users.by_username(db, username))
            )
            if owner is not None and owner.username == username:
                return owner
        if named is None or not named.is_active or named.password_hash is None:
            await self._passwords.refuse(password)
            return None
        right = await self._passwords.verify(named.user_id, named.password_hash, password)
        return named if right else None

    def authority(self, identity: Identity) -> Authority | None:
        """On what somebody acts who was let in just now; to be asked before anything is awaited. None for a guest.

        Refuses with 401 ``unauthorized`` where it is no longer so, or was never so here.
        """
        if identity.user_id is None:
            return None
        seen = self._signed_in.get(identity.user_id)
        if seen is None or not seen.is_active or seen.role != identity.role:
            raise _changed_since()
        return Authority(identity.user_id, seen)

    # Tokens

    async def issue_token(self, by: Authority) -> Session:
        """A further token for somebody who has just signed in; those that they have live on."""
        return await self._box.database.write(lambda db: self._add_token(db, by.require(db)), quick=True)

    async def void_token(self, token: str) -> None:
        await self._box.database.write(lambda db: users.void_token(db, token), quick=True)

    def _add_token(self, db: sqlite_utils.Database, user: User) -> Session:
        auth = self._box.settings.auth
        now = self._box.now()
        hours = auth.kiosk_token_hours if user.role == "kiosk" else auth.token_hours
        session = Session(self._new_token(), now + hours * 3600, user)
        users.add_token(db, user.user_id, session.token, now=now, expires_at=session.expires_at)
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

    async def add_visitor(self, *, name: str, email: str) -> Session:
        """Add a visitor and issue their first token."""

        def job(db: sqlite_utils.Database) -> Session:
            return self._add_token(db, users.add_visitor(db, name=name, email=email, now=self._box.now()))

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
    ) -> User:
        """Add a customer, kiosk or manager. Refuses a taken username with 409 ``conflict``."""
        password_hash = await self._passwords.hash(password)

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
                )

        return await self._box.database.write(job)

    async def change_own(
        self, by: Authority, changes: Mapping[str, Any], *, password: str | None, old_password: str | None
    ) -> User:
        """Change one's own ``name`` and ``email``, and the password if given, which takes the old one.

        Refuses with 403 ``forbidden`` a wrong old password and a visitor's password, and with 400
        ``invalid_request`` that a visitor clears name or e-mail address.
        """
        old_hash = by.standing.password_hash
        if by.standing.role == "visitor":
            if password is not None:
                raise Refusal("forbidden", "a visitor has no password", status=403)
            if None in changes.values():
                raise Refusal("invalid_request", "a visitor keeps a name and an e-mail address")
        if password is None:
            return await self._change(by, by.user_id, changes)
        if old_password is None or not _is_possible(old_password) or old_hash is None:
            raise _wrong_old_password()
        if not await self._passwords.verify(by.user_id, old_hash, old_password):
            raise _wrong_old_password()
        new_hash = await self._passwords.hash(password)
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
            changes["password_hash"] = await self._passwords.hash(password)
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
            with _refusing():
                after = users.change(db, user_id, changes)
            return after, before is None or after.standing != before.standing

        user, is_other = await self._box.database.write(job)
        deactivated = changes.get("is_active") is False
        if is_other or deactivated:
            await self._end(user_id, user.standing, deactivated=deactivated, cancel_bookings=cancel_bookings)
        return user

    async def database_changed(self) -> None:
        """Another process wrote: end whom it changed, of those who signed in here."""
        while True:
            changes, seen = self._changes, dict(self._signed_in)
            found = await self._box.database.read(lambda db: users.standings(db, seen))  # noqa: B023  # awaited
            if changes == self._changes:
                break
        for user_id, before in seen.items():
            now = found.get(user_id)
            if now != before:
                await self._end(user_id, now, deactivated=before.is_active and not (now and now.is_active))

    async def _end(
        self, user_id: str, now: Standing | None, *, deactivated: bool, cancel_bookings: bool = False
    ) -> None:
        self._changes += 1
        if now is None:
            self._signed_in.pop(user_id, None)
        elif user_id in self._signed_in:
            self._signed_in[user_id] = now
        self._passwords.forget(user_id)
        await self._box.end_user(user_id, deactivated=deactivated, cancel_bookings=cancel_bookings)


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
