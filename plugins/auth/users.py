"""The users and their tokens in SQLite. Functions for ``Database`` jobs: each takes the job's database.

Who is added, and whose standing is changed, is a row of the audit trail: ``by`` is who did it, nobody where that is the
command line. Whatever voids a token does so in the transaction of the change that it follows from.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import sqlite_utils

from broker.plugin import NOBODY, Actor, record
from plugins.auth import trail

TOKENS_PER_USER = 1000
"""The oldest of a user's tokens beyond this number is void when another is issued."""

KNOWN_SECONDS = 30 * 24 * 3600
"""How long an address counts as one that the user signs in from."""

NOTED_AGAIN_SECONDS = 24 * 3600

KNOWN_ADDRESSES = 50
"""The addresses of one user that are remembered, the latest."""

MIGRATIONS = sqlite_utils.Migrations("auth")


@MIGRATIONS()
def users_and_tokens(db: sqlite_utils.Database) -> None:
    # Only a visitor has no username; the roles' rights are configuration, their names are not.
    db.conn.execute("""
        CREATE TABLE users (
            user_id TEXT PRIMARY KEY NOT NULL,
            username TEXT UNIQUE,
            role TEXT NOT NULL CHECK (role IN ('visitor', 'customer', 'kiosk', 'manager')),
            password_hash TEXT,
            email TEXT,
            name TEXT,
            is_active INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
            created_at REAL NOT NULL,
            CHECK ((role = 'visitor') = (username IS NULL))
        ) STRICT
    """)
    db.conn.execute("""
        CREATE TABLE tokens (
            token_hash TEXT PRIMARY KEY NOT NULL,
            user_id TEXT NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
            expires_at REAL NOT NULL,
            created_at REAL NOT NULL
        ) STRICT
    """)
    db.conn.execute("CREATE INDEX tokens_by_user ON tokens (user_id, created_at)")
    db.conn.execute("CREATE INDEX tokens_by_end ON tokens (expires_at)")


@MIGRATIONS()
def known_addresses(db: sqlite_utils.Database) -> None:
    # From where accounts signed in lately: what is tried there is not counted against them.
    db.conn.execute("""
        CREATE TABLE known_addresses (
            user_id TEXT NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
            address TEXT NOT NULL,
            at REAL NOT NULL,
            PRIMARY KEY (user_id, address)
        ) STRICT, WITHOUT ROWID
    """)


class Standing(NamedTuple):
    """What a user's connections and tokens rest on: they end when it changes."""

    role: str
    password_hash: str | None
    is_active: bool


@dataclass(frozen=True, slots=True)
class User:
    """A row of ``users``. ``created_at`` is in seconds since 1970. Only a visitor has no ``username``."""

    user_id: str
    username: str | None
    role: str
    password_hash: str | None
    email: str | None
    name: str | None
    is_active: bool
    created_at: float

    @property
    def standing(self) -> Standing:
        return Standing(self.role, self.password_hash, self.is_active)


class UsernameTakenError(Exception):
    """Another user has this username."""


class UnknownUserError(Exception):
    """There is no such user."""


class LastManagerError(Exception):
    """The change would leave no active manager."""


class NoAccountError(Exception):
    """A visitor has no username, and so neither a password nor another role."""


_SELECT = "SELECT user_id, username, role, password_hash, email, name, is_active, created_at FROM users "


def by_id(db: sqlite_utils.Database, user_id: str) -> User | None:
    return _user(db.conn.execute(_SELECT + "WHERE user_id = ?", [user_id]).fetchone())


def by_username(db: sqlite_utils.Database, username: str) -> User | None:
    return _user(db.conn.execute(_SELECT + "WHERE username = ?", [username]).fetchone())


def by_token(db: sqlite_utils.Database, token: str, now: float) -> User | None:
    """The active user whose unexpired token it is."""
    row = db.conn.execute(
        "SELECT user_id FROM tokens WHERE token_hash = ? AND expires_at > ?", [token_hash(token), now]
    ).fetchone()
    owner = None if row is None else by_id(db, row[0])
    return owner if owner is not None and owner.is_active else None


def everybody(db: sqlite_utils.Database) -> list[User]:
    """All users, the oldest first."""
    rows = db.conn.execute(_SELECT + "ORDER BY created_at, rowid").fetchall()
    return [_from_row(row) for row in rows]


def standings(db: sqlite_utils.Database, user_ids: Iterable[str]) -> dict[str, Standing]:
    """The standing of each of these users that exists."""
    found = (by_id(db, user_id) for user_id in user_ids)
    return {user.user_id: user.standing for user in found if user is not None}


def add_account(
    db: sqlite_utils.Database,
    *,
    username: str,
    password_hash: str,
    role: str,
    email: str | None,
    name: str | None,
    now: float,
    user_id: str | None = None,
    by: Actor = NOBODY,
) -> User:
    """Add a customer, kiosk or manager, of this user_id or a new one. Raises UsernameTakenError."""
    user = User(user_id or str(uuid.uuid4()), username, role, password_hash, email, name, True, now)
    if by_username(db, username) is not None:
        raise UsernameTakenError
    _insert(db, user, by)
    return user


def add_visitor(db: sqlite_utils.Database, *, name: str, email: str, now: float, by: Actor = NOBODY) -> User:
    """Add somebody who has a name and an e-mail address, but no username and no password."""
    user = User(str(uuid.uuid4()), None, "visitor", None, email, name, True, now)
    _insert(db, user, by)
    return user


def change(
    db: sqlite_utils.Database, user_id: str, changes: Mapping[str, Any], *, now: float, by: Actor = NOBODY
) -> User:
    """Set ``role``, ``password_hash``, ``is_active``, ``email`` or ``name``; what ``changes`` lacks stays.

    If the standing changes, the user's tokens are void, and no address is one that they signed in from. Raises
    UnknownUserError; NoAccountError for a visitor's role or password; LastManagerError.
    """
    before = by_id(db, user_id)
    if before is None:
        raise UnknownUserError
    after = replace(before, **changes)
    if before.username is None and (after.role, after.password_hash) != (before.role, before.password_hash):
        raise NoAccountError
    if _manages(before) and not _manages(after) and not _another_manages(db, user_id):
        raise LastManagerError
    db.conn.execute(
        "UPDATE users SET role = ?, password_hash = ?, email = ?, name = ?, is_active = ? WHERE user_id = ?",
        [after.role, after.password_hash, after.email, after.name, after.is_active, user_id],
    )
    if after.standing != before.standing:
        db.conn.execute("DELETE FROM tokens WHERE user_id = ?", [user_id])
        db.conn.execute("DELETE FROM known_addresses WHERE user_id = ?", [user_id])  # a thief may have been there
    for entry in trail.changed(by, user_id, before.standing, after.standing):
        record(db, now, entry)
    return after


def upsert_account(
    db: sqlite_utils.Database,
    *,
    username: str,
    password_hash: str,
    role: str,
    email: str | None,
    name: str | None,
    now: float,
    user_id: str | None = None,
) -> str:
    """Add the account, with ``user_id`` if given, or bring the one of this username up to date; returns its user_id.

    An ``email`` or ``name`` of None keeps what is there, and whether the account is active stays as it is.
    Tokens are void if role or hash differ: for a password that stays, give the hash that :func:`by_username`
    finds (``passwords.hash_unless_same``). Raises LastManagerError.
    """
    present = by_username(db, username)
    if present is None:
        added = add_account(
            db,
            username=username,
            password_hash=password_hash,
            role=role,
            email=email,
            name=name,
            now=now,
            user_id=user_id,
        )
        return added.user_id
    given = {"email": email, "name": name}
    changes = {field: value for field, value in given.items() if value is not None}
    changes |= {"role": role, "password_hash": password_hash}
    return change(db, present.user_id, changes, now=now).user_id


def token_hash(token: str) -> str:
    """What is stored of a token. A plain SHA-256 suffices: nobody can guess 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()


def add_token(db: sqlite_utils.Database, user_id: str, token: str, *, now: float, expires_at: float) -> None:
    """Store a new token of a user, and delete those that have expired."""
    delete_expired_tokens(db, now)
    db.conn.execute(
        "INSERT INTO tokens (token_hash, user_id, expires_at, created_at) VALUES (?, ?, ?, ?)",
        [token_hash(token), user_id, expires_at, now],
    )
    db.conn.execute(
        "DELETE FROM tokens WHERE rowid IN "
        "(SELECT rowid FROM tokens WHERE user_id = ? ORDER BY rowid DESC LIMIT -1 OFFSET ?)",
        [user_id, TOKENS_PER_USER],
    )


def void_token(db: sqlite_utils.Database, token: str) -> bool:
    """Whether it was not void before."""
    return bool(db.conn.execute("DELETE FROM tokens WHERE token_hash = ?", [token_hash(token)]).rowcount)


def is_known_address(db: sqlite_utils.Database, user_id: str, address: str, now: float) -> bool:
    """Whether the user signed in from the address within :data:`KNOWN_SECONDS`."""
    row = db.conn.execute(
        "SELECT 1 FROM known_addresses WHERE user_id = ? AND address = ? AND at > ?",
        [user_id, address, now - KNOWN_SECONDS],
    ).fetchone()
    return row is not None


def add_known_address(db: sqlite_utils.Database, user: User, address: str, now: float) -> None:
    """Remember that the user signed in from the address, and forget what is too old or too much.

    Changes nothing where that was noted within a day, or where the user's standing is another by now.
    """
    user_id, present = user.user_id, by_id(db, user.user_id)
    noted = "SELECT 1 FROM known_addresses WHERE user_id = ? AND address = ? AND at > ?"
    if present is None or present.standing != user.standing:
        return
    if db.conn.execute(noted, [user_id, address, now - NOTED_AGAIN_SECONDS]).fetchone():
        return
    db.conn.execute("INSERT OR REPLACE INTO known_addresses VALUES (?, ?, ?)", [user_id, address, now])
    db.conn.execute(
        "DELETE FROM known_addresses WHERE user_id = ?1 AND (at <= ?2 OR address IN "
        "(SELECT address FROM known_addresses WHERE user_id = ?1 ORDER BY at DESC, address LIMIT -1 OFFSET ?3))",
        [user_id, now - KNOWN_SECONDS, KNOWN_ADDRESSES],
    )


def void_all_tokens(db: sqlite_utils.Database) -> None:
    """Everybody signs in anew. The tables may not be there yet."""
    if db.table("tokens").exists():
        db.conn.execute("DELETE FROM tokens")


def delete_expired_tokens(db: sqlite_utils.Database, now: float) -> None:
    db.conn.execute("DELETE FROM tokens WHERE expires_at <= ?", [now])


def _manages(user: User) -> bool:
    return user.role == "manager" and user.is_active


def _another_manages(db: sqlite_utils.Database, user_id: str) -> bool:
    row = db.conn.execute(
        "SELECT 1 FROM users WHERE role = 'manager' AND is_active AND user_id <> ? LIMIT 1", [user_id]
    ).fetchone()
    return row is not None


def _insert(db: sqlite_utils.Database, user: User, by: Actor) -> None:
    # Always the same statement: sqlite-utils' own insert names a savepoint anew each time, and each name stays
    # among the connection's prepared statements.
    fields = asdict(user)
    db.conn.execute(
        f"INSERT INTO users ({', '.join(fields)}) VALUES ({', '.join('?' * len(fields))})",  # noqa: S608  # our own names
        tuple(fields.values()),
    )
    record(db, user.created_at, trail.added(by, user.user_id, user.role))


def _user(row: tuple[Any, ...] | None) -> User | None:
    return None if row is None else _from_row(row)


def _from_row(row: tuple[Any, ...]) -> User:
    user = User(*row)
    return replace(user, is_active=bool(user.is_active))
