"""Signing in, tokens, users, what ends with a change, and the owner's commands."""

from __future__ import annotations

import asyncio
import base64
import gc
import io
import json
import secrets
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import encode_basic_auth, web
from aiohttp.test_utils import TestClient, TestServer
from amqtt.contexts import BaseContext
from boxes import until
from pydantic import ValidationError
from rich.console import Console
from typer.testing import CliRunner

from broker import audit
from broker.audit import NOBODY, Actor, Audit
from broker.plugin import CALLER, IDENTITY_ATTRIBUTE, Caller, Identity, Refusal, RouteHandler
from broker.storage.database import Database, StorageUnavailableError, connect
from config import Settings, load_settings
from plugins.auth import AuthPlugin, accounts, commands, passwords, users, wire
from plugins.auth.accounts import Authority
from plugins.auth.passwords import Passwords, hash_password, hash_unless_same
from plugins.tables import table_of

NOON = 1_900_000_000.0
HOUR = 3600
HERE = "192.0.2.1"
PASSWORD = "correct horse"
PASSWORD_HASH = hash_password(PASSWORD)


class TinyBox:
    """Of the box, what the auth plugin uses. The clock stands still; what ended is written down."""

    def __init__(self, path: Path, **auth: Any) -> None:
        self.settings: Settings = load_settings(database={"path": str(path)}, auth=auth)
        self.database = Database(path)
        self.audit = Audit(self.database, now=self.now, call_later=lambda *_: asyncio.Future())
        self.time = NOON
        self.ended: list[tuple[str, bool, bool]] = []
        self.refusals: list[str] = []
        self.connected: set[str] = set()
        self.plugin = AuthPlugin(BaseContext())
        self.plugin.box = self

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def refused(self, reason: str) -> None:
        self.refusals.append(reason)

    async def end_user(
        self,
        user_id: str,
        *,
        role: str | None = None,
        deactivated: bool = False,
        cancel_bookings: bool = False,
        by: Actor = NOBODY,
    ) -> None:
        self.ended.append((user_id, deactivated, cancel_bookings))

    def is_connected(self, user_id: str) -> bool:
        return user_id in self.connected

    async def sign_in(self, username: str | None, password: str | None, address: str = HERE) -> Identity | None:
        session = SimpleNamespace(username=username, password=password, remote_address=address, attributes={})
        if not await self.plugin.authenticate(session=session):
            assert not session.attributes
            return None
        identity = session.attributes[IDENTITY_ATTRIBUTE]
        assert isinstance(identity, Identity)
        return identity

    async def add(self, username: str, role: str = "customer", **fields: Any) -> str:
        given = {"password_hash": PASSWORD_HASH, "email": None, "name": None, "now": NOON, **fields}
        return await self.database.write(lambda db: users.upsert_account(db, username=username, role=role, **given))

    async def token(self, user_id: str, hours: float = 12) -> str:
        token = secrets.token_urlsafe()
        expires_at = self.time + hours * HOUR
        await self.database.write(lambda db: users.add_token(db, user_id, token, now=self.time, expires_at=expires_at))
        return token

    async def authority(self, username: str) -> Authority:
        """On what somebody acts who has just signed in."""
        identity = await self.sign_in(username, PASSWORD)
        assert identity is not None
        by = self.plugin._accounts.authority(identity, HERE)
        assert by is not None
        return by

    async def manager(self) -> Authority:
        await self.add("boss", "manager")
        return await self.authority("boss")

    async def visitor(self) -> str:
        visitor = await self.database.write(
            lambda db: users.add_visitor(db, name="Vi", email="vi@example.org", now=NOON)
        )
        return visitor.user_id


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[TinyBox]:
    box = TinyBox(tmp_path / "cinema.db")
    box.database.open([audit.MIGRATIONS, users.MIGRATIONS], settled=box.audit.settled)
    await box.plugin.opened(box)
    yield box
    await box.plugin.closing()
    await box.database.close()


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hashes that passwords were checked against, counted where passlib is called."""
    seen: list[str] = []
    real = passwords.verify_password

    def counting(password: str, password_hash: str) -> bool:
        seen.append(password_hash)
        return real(password, password_hash)

    monkeypatch.setattr(passwords, "verify_password", counting)
    return seen


# Signing in


async def test_without_credentials_one_is_a_guest(box: TinyBox) -> None:
    assert await box.sign_in(None, None) == Identity(None, None, "guest")


async def test_without_credentials_nobody_comes_in_where_guests_are_not_allowed(tmp_path: Path) -> None:
    assert await TinyBox(tmp_path / "c.db", allow_guests=False).sign_in(None, None) is None


async def test_an_account_signs_in_with_its_password_and_nothing_like_it(box: TinyBox) -> None:
    alice = await box.add("alice")
    assert await box.sign_in("alice", PASSWORD) == Identity(alice, "alice", "customer")
    for username, password in [
        ("alice", "wrong horse"),
        ("alice", PASSWORD + "x"),
        ("alice", ""),
        ("alice", None),
        ("ALICE", PASSWORD),
        ("bob", PASSWORD),
        ("", PASSWORD),
        (None, PASSWORD),
        (alice, PASSWORD),
        ("alice", PASSWORD_HASH),
        ("alice", "\ud800"),
        ("\ud800", PASSWORD),
        ("alice\0", PASSWORD),
        ("alice", "x" * 5000),
    ]:
        assert await box.sign_in(username, password) is None, (username, password)


async def test_unknown_and_disabled_users_cost_one_check_like_a_wrong_password(box: TinyBox, checks: list[str]) -> None:
    alice = await box.add("alice")
    await box.add("mallory")
    await box.database.write(lambda db: users.change(db, alice, {"is_active": False}, now=NOON))
    for username in ["mallory", "alice", "nobody", "NOT A NAME"]:
        before = len(checks)
        assert await box.sign_in(username, "wrong horse") is None
        assert len(checks) == before + 1, username


async def test_a_disabled_user_does_not_sign_in_with_the_right_password(box: TinyBox) -> None:
    alice = await box.add("alice")
    assert await box.sign_in("alice", PASSWORD)
    await box.database.write(lambda db: users.change(db, alice, {"is_active": False}, now=NOON))
    assert await box.sign_in("alice", PASSWORD) is None


async def test_a_token_signs_in_its_own_user_without_a_password_check(box: TinyBox, checks: list[str]) -> None:
    alice = await box.add("alice")
    token = await box.token(alice)
    expected = Identity(alice, "alice", "customer")
    assert await box.sign_in("alice", token) == expected
    assert await box.sign_in(alice, token) == expected
    assert await box.sign_in(None, token) == expected
    assert checks == []


async def test_a_token_is_nobody_elses(box: TinyBox) -> None:
    alice, bob = await box.add("alice"), await box.add("bob")
    token = await box.token(alice)
    assert await box.sign_in("bob", token) is None
    assert await box.sign_in(bob, token) is None


async def test_a_visitor_signs_in_with_the_user_id_and_a_token(box: TinyBox) -> None:
    visitor = await box.visitor()
    token = await box.token(visitor)
    assert await box.sign_in(visitor, token) == Identity(visitor, None, "visitor")
    assert await box.sign_in(None, token) == Identity(visitor, None, "visitor")
    assert await box.sign_in(visitor, "anything at all") is None


async def test_signing_up_leaves_no_prepared_statement_behind(box: TinyBox) -> None:
    def prepared() -> int:
        return sum(type(found).__name__ == "Statement" for found in gc.get_objects())

    await box.visitor()
    gc.collect()  # what other tests have left
    before = prepared()
    for _ in range(10):
        await box.visitor()
    assert prepared() == before


async def test_a_token_ends_when_its_time_is_over_and_costs_no_check_under_the_user_id(
    box: TinyBox, checks: list[str]
) -> None:
    alice = await box.add("alice")
    token = await box.token(alice, hours=12)
    box.time += 12 * HOUR - 1
    assert await box.sign_in(alice, token)
    box.time += 1
    assert await box.sign_in(alice, token) is None
    assert await box.sign_in(None, token) is None
    assert checks == []


async def test_only_the_hash_of_a_token_is_stored(box: TinyBox) -> None:
    token = await box.token(await box.add("alice"))
    rows = await box.database.read(lambda db: db.conn.execute("SELECT * FROM tokens").fetchall())
    assert len(rows) == 1
    assert token not in repr(rows)


async def test_expired_tokens_are_deleted_when_another_is_issued(box: TinyBox) -> None:
    alice = await box.add("alice")
    await box.token(alice, hours=1)
    box.time += HOUR
    await box.token(alice)
    assert await box.database.read(lambda db: db.table("tokens").count) == 1


async def test_a_users_oldest_tokens_give_way(box: TinyBox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "TOKENS_PER_USER", 2)
    alice, bob = await box.add("alice"), await box.add("bob")
    others = await box.token(bob)
    tokens = [await box.token(alice) for _ in range(3)]
    assert [await box.sign_in(alice, token) is not None for token in tokens] == [False, True, True]
    assert await box.sign_in(bob, others)


async def disable_here(box: TinyBox, user_id: str) -> None:
    await box.plugin._accounts.change_user(await box.manager(), user_id, is_active=False, address=HERE)


async def disable_elsewhere(box: TinyBox, user_id: str) -> None:
    await changed_elsewhere(box, user_id, {"is_active": False})
    await box.plugin.database_changed()


@pytest.mark.parametrize("disable", [disable_here, disable_elsewhere])
async def test_a_sign_in_that_a_change_overtakes_is_decided_anew(
    box: TinyBox, monkeypatch: pytest.MonkeyPatch, disable: Callable[[TinyBox, str], Awaitable[None]]
) -> None:
    alice = await box.add("alice")
    await box.manager()  # whose password is remembered then
    checking, go_on = threading.Event(), threading.Event()

    def slow(password: str, password_hash: str) -> bool:
        checking.set()
        assert go_on.wait(10)
        return True

    monkeypatch.setattr(passwords, "verify_password", slow)
    signing_in = asyncio.create_task(box.sign_in("alice", PASSWORD))
    await asyncio.to_thread(checking.wait, 10)
    await disable(box, alice)
    go_on.set()
    assert await signing_in is None


# The memory of right passwords


async def test_of_the_addresses_that_a_user_signs_in_from_the_latest_are_remembered(
    box: TinyBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "KNOWN_ADDRESSES", 3)
    alice = await box.add("alice")
    for number in range(5):
        box.time += 1
        assert await box.sign_in("alice", PASSWORD, f"192.0.2.{number}")

    async def known() -> list[str]:
        rows = await box.database.write(
            lambda db: db.execute("SELECT address FROM known_addresses WHERE user_id = ? ORDER BY at", [alice])
        )
        return [address for (address,) in rows]

    assert await known() == ["192.0.2.2", "192.0.2.3", "192.0.2.4"]
    box.time += users.KNOWN_SECONDS
    assert await box.sign_in("alice", PASSWORD, "192.0.2.9")
    assert await known() == ["192.0.2.9"]


async def test_an_address_is_noted_once_a_day(box: TinyBox) -> None:
    alice = await box.add("alice")

    async def noted() -> float:
        return float(
            await box.database.write(
                lambda db: db.execute("SELECT at FROM known_addresses WHERE user_id = ?", [alice]).fetchone()[0]
            )
        )

    for hours, expected in ((0, NOON), (23, NOON), (2, NOON + 25 * HOUR)):
        box.time += hours * HOUR
        assert await box.sign_in("alice", PASSWORD)
        assert await noted() == expected


async def test_a_visitor_has_no_password_and_no_known_address(box: TinyBox) -> None:
    visitor = await box.visitor()
    assert await box.sign_in(visitor, await box.token(visitor))
    assert await box.database.write(lambda db: db.table("known_addresses").count) == 0


async def test_who_signed_in_long_ago_and_is_gone_is_remembered_no_more(
    box: TinyBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "SEEN_AT_MOST", 3)
    first = await box.visitor()
    box.connected.add(first)
    assert await box.sign_in(first, await box.token(first))
    for _ in range(10):
        visitor = await box.visitor()
        assert await box.sign_in(visitor, await box.token(visitor))
    seen = box.plugin._accounts._signed_in
    assert len(seen) == 3
    assert {first, visitor} <= set(seen)


async def test_a_right_password_is_checked_once_in_five_minutes_and_a_wrong_one_each_time(
    checks: list[str],
) -> None:
    clock = [0.0]
    memory = Passwords(monotonic=lambda: clock[0])
    try:
        for _ in range(2):
            assert await memory.verify("u", PASSWORD_HASH, PASSWORD, address=HERE)
        assert len(checks) == 1
        for _ in range(2):
            assert not await memory.verify("u", PASSWORD_HASH, "wrong horse", address=HERE)
        assert len(checks) == 3
        clock[0] = passwords.REMEMBER_SECONDS
        assert await memory.verify("u", PASSWORD_HASH, PASSWORD, address=HERE)
        assert len(checks) == 4
    finally:
        memory.close()


async def test_a_right_password_is_remembered_for_its_user_and_hash_alone(checks: list[str]) -> None:
    memory = Passwords()
    try:
        assert await memory.verify("u", PASSWORD_HASH, PASSWORD, address=HERE)
        assert await memory.verify("other", PASSWORD_HASH, PASSWORD, address=HERE)
        assert not await memory.verify("u", hash_password("new password"), PASSWORD, address=HERE)
        for user_id in ("u", "other"):
            assert await memory.verify(user_id, PASSWORD_HASH, PASSWORD, address=HERE)
        assert len(checks) == 3
    finally:
        memory.close()


async def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "verify_password", lambda password, password_hash: True)
    monkeypatch.setattr(passwords, "REMEMBER_AT_MOST", 3)
    memory = Passwords()
    try:
        for number in range(10):
            await memory.verify(f"u{number}", PASSWORD_HASH, PASSWORD, address=HERE)
        assert len(memory._remembered) == 3
    finally:
        memory.close()


async def test_at_most_two_checks_run_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most, calls = 0, 0, 0
    lock, both = threading.Lock(), threading.Barrier(2)

    def check(password: str, password_hash: str) -> bool:
        nonlocal running, most, calls
        with lock:
            running += 1
            calls += 1
            most = max(most, running)
        both.wait(10)
        with lock:
            running -= 1
        return True

    monkeypatch.setattr(passwords, "verify_password", check)
    memory = Passwords()
    try:
        checks = [memory.verify(str(i), PASSWORD_HASH, PASSWORD, address=f"192.0.2.{i}") for i in range(8)]
        assert all(await asyncio.gather(*checks))
        assert (most, calls) == (2, 8)
    finally:
        memory.close()


async def test_many_tabs_with_one_account_need_one_check(checks: list[str]) -> None:
    memory = Passwords()
    try:
        assert all(
            await asyncio.gather(*(memory.verify("u", PASSWORD_HASH, PASSWORD, address=HERE) for _ in range(50)))
        )
        assert len(checks) == 1
    finally:
        memory.close()


def test_an_imported_password_that_stays_keeps_its_hash() -> None:
    assert hash_unless_same(PASSWORD, PASSWORD_HASH) == PASSWORD_HASH
    changed = hash_unless_same("another password", PASSWORD_HASH)
    assert changed != PASSWORD_HASH
    assert passwords.verify_password("another password", changed)


# Importing


async def test_importing_an_account_again_changes_what_differs_and_keeps_what_is_left_out(box: TinyBox) -> None:
    alice = await box.add("alice", email="a@example.org", name="Alice")
    token = await box.token(alice)
    assert await box.add("alice", name="Alice B.") == alice
    found = await box.database.read(lambda db: users.by_id(db, alice))
    assert found is not None
    assert (found.name, found.email) == ("Alice B.", "a@example.org")
    assert await box.sign_in(alice, token)


@pytest.mark.parametrize("change", [{"role": "kiosk"}, {"password_hash": "another"}])
async def test_importing_another_role_or_password_voids_the_tokens(box: TinyBox, change: dict[str, str]) -> None:
    alice = await box.add("alice")
    token = await box.token(alice)
    await box.add("alice", **change)
    assert await box.sign_in(alice, token) is None


# Changes by another process


async def changed_elsewhere(box: TinyBox, user_id: str, changes: dict[str, Any]) -> None:
    def write() -> None:
        db = connect(box.database.path)
        users.change(db, user_id, changes, now=NOON)
        db.conn.close()

    await asyncio.to_thread(write)


@pytest.mark.parametrize(
    ("changes", "deactivated"),
    [({"is_active": False}, True), ({"role": "kiosk"}, False), ({"password_hash": "another"}, False)],
)
async def test_whom_another_process_changed_is_ended_once(
    box: TinyBox, changes: dict[str, Any], deactivated: bool
) -> None:
    alice = await box.add("alice")
    await box.add("bob")
    assert await box.sign_in("alice", PASSWORD)
    assert await box.sign_in("bob", PASSWORD)
    await changed_elsewhere(box, alice, changes)
    await box.plugin.database_changed()
    await box.plugin.database_changed()
    assert box.ended == [(alice, deactivated, False)]


async def test_one_who_cannot_be_ended_keeps_nobody_else_in(box: TinyBox, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["alice", "bob", "carol"]
    people = [await box.add(name) for name in names]
    for name in names:
        assert await box.sign_in(name, PASSWORD)
    end_user = box.end_user

    async def fail(user_id: str, **what: Any) -> None:
        await end_user(user_id, **what)
        raise StorageUnavailableError(user_id)

    monkeypatch.setattr(box, "end_user", fail)
    for user_id in people:
        await changed_elsewhere(box, user_id, {"is_active": False})
    with pytest.raises(StorageUnavailableError, match=people[0]):
        await box.plugin.database_changed()
    assert box.ended == [(user_id, True, False) for user_id in people]


async def test_after_a_change_of_password_the_address_is_known_again_with_the_next_sign_in(box: TinyBox) -> None:
    alice = await box.add("alice")

    async def is_known() -> bool:
        return await box.database.write(lambda db: users.is_known_address(db, alice, HERE, box.time))

    assert await box.sign_in("alice", PASSWORD)
    assert await is_known()
    await changed_elsewhere(box, alice, {"password_hash": hash_password("a new password")})
    await box.plugin.database_changed()
    assert not await is_known()
    assert await box.sign_in("alice", "a new password")
    assert await is_known()


async def test_an_address_that_is_noted_after_the_password_was_changed_is_not_known(box: TinyBox) -> None:
    alice = await box.add("alice")
    before = await box.database.read(lambda db: users.by_id(db, alice))
    assert before is not None
    await changed_elsewhere(box, alice, {"password_hash": hash_password("a new password")})

    def note(db: Any) -> bool:
        users.add_known_address(db, before, HERE, NOON)
        return users.is_known_address(db, alice, HERE, NOON)

    assert not await box.database.write(note)


async def test_a_token_just_issued_is_none_of_those_that_end_however_the_clock_stands(
    box: TinyBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "TOKENS_PER_USER", 2)
    alice = await box.add("alice")
    tokens = [await box.token(alice) for _ in range(2)]
    box.time -= HOUR
    tokens.append(await box.token(alice))
    assert [await box.sign_in("alice", token) is not None for token in tokens] == [False, True, True]


async def test_another_name_ends_nobody(box: TinyBox) -> None:
    alice = await box.add("alice")
    assert await box.sign_in("alice", PASSWORD)
    await changed_elsewhere(box, alice, {"name": "Alice"})
    await box.plugin.database_changed()
    assert box.ended == []


async def test_signing_in_before_the_news_of_a_change_ends_the_old_connections(box: TinyBox) -> None:
    alice = await box.add("alice")
    assert await box.sign_in("alice", PASSWORD)
    await changed_elsewhere(box, alice, {"password_hash": hash_password("a new password")})
    assert await box.sign_in("alice", "a new password")
    assert box.ended == [(alice, False, False)]
    await box.plugin.database_changed()
    assert len(box.ended) == 1


async def test_ones_own_change_is_no_news_later(box: TinyBox) -> None:
    alice = await box.add("alice")
    assert await box.sign_in("alice", PASSWORD)
    await box.plugin._accounts.change_user(await box.manager(), alice, role="kiosk", address=HERE)
    assert box.ended == [(alice, False, False)]
    await box.plugin.database_changed()
    assert len(box.ended) == 1


# HTTP


class Http:
    """Calls, signed in by Basic (a username) or Bearer (a token), and what they answer: status and body."""

    def __init__(self, client: TestClient[web.Request, web.Application]) -> None:
        self._client = client

    async def __call__(
        self, method: str, path: str, body: Any = None, *, user: str | None = None, token: str | None = None
    ) -> tuple[int, Any]:
        headers = {}
        if user is not None:
            headers["Authorization"] = encode_basic_auth(user, PASSWORD)
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        sent: dict[str, Any] = {"json": body}
        if isinstance(body, AsyncIterator):
            sent, headers["Content-Type"] = {"data": body}, "application/json"
        async with self._client.request(method, path, headers=headers, **sent) as response:
            return response.status, (await response.json() if await response.read() else None)


@pytest.fixture
async def http(box: TinyBox) -> AsyncIterator[Http]:
    """The plugin's routes behind what the door does: establish the caller, render refusals."""

    @web.middleware
    async def door(request: web.Request, handler: RouteHandler) -> web.StreamResponse:
        identity: Identity | None = Identity(None, None, "guest")
        token = None
        authorization = request.headers.get("Authorization", "")
        if authorization.startswith("Bearer "):
            token = authorization.removeprefix("Bearer ")
            identity = await box.sign_in(None, token)
        elif authorization:
            credentials = base64.b64decode(authorization.removeprefix("Basic ")).decode()
            username, _, password = credentials.partition(":")
            identity = await box.sign_in(username, password)
        if identity is None:
            return web.json_response({"code": "door"}, status=401)
        request[CALLER] = Caller(identity, "127.0.0.1", token)
        try:
            return await handler(request)
        except Refusal as refusal:
            body = {"code": refusal.code, "message": refusal.message}
            return web.json_response(body, status=refusal.status)

    application = web.Application(middlewares=[door])
    application.add_routes(box.plugin.routes())
    async with TestClient(TestServer(application)) as client:
        yield Http(client)


async def test_basic_gives_a_token_that_signs_in_by_http_and_mqtt(box: TinyBox, http: Http) -> None:
    alice = await box.add("alice")
    status, session = await http("POST", "/api/session", user="alice")
    assert status == 200
    assert session["user"] == {"user_id": alice, "username": "alice", "role": "customer"}
    assert session["expires_at"] == wire.iso(NOON + 12 * HOUR)
    assert await box.sign_in("alice", session["token"])
    assert await http("GET", "/api/me", token=session["token"]) == (200, session["user"])


async def test_a_kiosks_token_lives_longer(box: TinyBox, http: Http) -> None:
    await box.add("kiosk", "kiosk")
    _, session = await http("POST", "/api/session", user="kiosk")
    assert session["expires_at"] == wire.iso(NOON + 720 * HOUR)


async def test_a_token_renews_itself_and_lives_on(box: TinyBox, http: Http) -> None:
    old = await box.token(await box.add("alice"), hours=1)
    _, session = await http("POST", "/api/session", token=old)
    assert await box.sign_in(None, old)
    box.time += 2 * HOUR
    assert await box.sign_in(None, session["token"])


async def test_a_name_and_an_address_make_a_visitor(box: TinyBox, http: Http) -> None:
    status, session = await http("POST", "/api/session", {"name": " Vi ", "email": "vi@example.org"})
    assert status == 200
    visitor = session["user"]["user_id"]
    assert session["user"] == {"user_id": visitor, "role": "visitor", "name": "Vi", "email": "vi@example.org"}
    assert await box.sign_in(visitor, session["token"]) == Identity(visitor, None, "visitor")


async def test_a_session_for_nobody_is_unauthorized(http: Http) -> None:
    status, answer = await http("POST", "/api/session")
    assert (status, answer["code"]) == (401, "unauthorized")


async def test_signing_out_voids_that_token_alone(box: TinyBox, http: Http) -> None:
    alice = await box.add("alice")
    token, other = await box.token(alice), await box.token(alice)
    assert await http("DELETE", "/api/session", token=token) == (204, None)
    assert await box.sign_in(None, token) is None
    assert await box.sign_in(None, other)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/api/session"),
        ("GET", "/api/me"),
        ("PATCH", "/api/me"),
        ("GET", "/api/users"),
        ("PATCH", "/api/users/x"),
    ],
)
async def test_a_guest_must_sign_in_first(http: Http, method: str, path: str) -> None:
    status, answer = await http(method, path, {})
    assert (status, answer["code"]) == (401, "unauthorized")


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/users"), ("PATCH", "/api/users/x")])
@pytest.mark.parametrize("role", ["customer", "kiosk"])
async def test_only_managers_see_and_change_users(box: TinyBox, http: Http, method: str, path: str, role: str) -> None:
    await box.add("alice", role)
    status, answer = await http(method, path, {}, user="alice")
    assert (status, answer["code"]) == (403, "forbidden")


async def test_anybody_registers_a_customer(box: TinyBox, http: Http) -> None:
    body = {"username": "alice", "password": PASSWORD, "email": "a@example.org", "name": "Alice"}
    status, user = await http("POST", "/api/users", body)
    assert status == 201
    assert await box.sign_in("alice", PASSWORD) == Identity(user["user_id"], "alice", "customer")
    status, answer = await http("POST", "/api/users", body)
    assert (status, answer["code"]) == (409, "conflict")


@pytest.mark.parametrize("extra", [{"role": "manager"}, {"role": "customer"}, {"is_active": True}, {"x": 1}])
async def test_who_registers_sets_nothing_further(box: TinyBox, http: Http, extra: dict[str, Any]) -> None:
    status, answer = await http("POST", "/api/users", {"username": "alice", "password": PASSWORD, **extra})
    assert (status, answer["code"]) == (403, "forbidden")
    assert await box.database.read(users.everybody) == []


async def test_a_manager_adds_a_kiosk_and_no_visitor(box: TinyBox, http: Http) -> None:
    await box.add("boss", "manager")
    body = {"username": "k1.left", "password": PASSWORD, "role": "kiosk"}
    assert (await http("POST", "/api/users", body, user="boss"))[0] == 201
    kiosk = await box.sign_in("k1.left", PASSWORD)
    assert kiosk is not None
    assert kiosk.role == "kiosk"
    body = {"username": "k2.left", "password": PASSWORD, "role": "visitor"}
    assert (await http("POST", "/api/users", body, user="boss"))[0] == 400


async def test_where_registration_is_off_only_managers_add(box: TinyBox, http: Http) -> None:
    await box.add("boss", "manager")
    object.__setattr__(box.settings.auth, "allow_registration", False)
    body = {"username": "alice", "password": PASSWORD}
    status, answer = await http("POST", "/api/users", body)
    assert (status, answer["code"]) == (403, "forbidden")
    assert (await http("POST", "/api/users", body, user="boss"))[0] == 201


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", "al"),
        ("username", "Alice"),
        ("username", "a" * 33),
        ("username", "alice\n"),
        ("username", None),
        ("password", "ninechars"),
        ("password", "é" * 513),
        ("password", "ten chars\0and more"),
        ("email", "secret"),
        ("email", "a@b"),
        ("email", "a@example.org\nBcc: b@example.org"),
        ("email", "a@" + "b" * 250 + ".org"),
        ("name", "x" * 201),
        ("name", " "),
        ("name", "a\u2028b"),
        ("name", "a\u202eb"),
        *[("name", f"a{unseen}b") for unseen in "\u061c\u200b\u200e\u200f\ufeff"],
        ("email", "a@exa\u200bmple.org"),
        ("password", "ten chars\u200b and more"),
        ("name", 7),
    ],
)
async def test_what_breaks_a_fields_rule_is_refused_by_name_and_never_repeated(
    http: Http, field: str, value: Any
) -> None:
    body = {"username": "alice", "password": PASSWORD, field: value}
    status, answer = await http("POST", "/api/users", body)
    assert (status, answer["code"]) == (400, "invalid_request")
    assert answer["message"].startswith(f"{field}: ")
    if isinstance(value, str) and value.strip():
        assert value not in answer["message"]


async def test_changing_ones_password_takes_the_old_one_and_ends_what_it_opened(box: TinyBox, http: Http) -> None:
    alice = await box.add("alice")
    token = await box.token(alice)
    for old in [{}, {"old_password": "wrong horse"}, {"old_password": None}]:
        status, answer = await http("PATCH", "/api/me", {"password": "a new password", **old}, token=token)
        assert (status, answer["code"]) == (403, "forbidden")
        assert (answer["message"] == "old_password is missing") == (old.get("old_password") is None)
    assert box.ended == []
    body = {"password": "a new password", "old_password": PASSWORD}
    assert (await http("PATCH", "/api/me", body, token=token))[0] == 200
    assert box.ended == [(alice, False, False)]
    assert await box.sign_in(None, token) is None
    assert await box.sign_in("alice", PASSWORD) is None
    assert await box.sign_in("alice", "a new password")


async def test_an_old_password_that_is_replaced_meanwhile_changes_nothing(
    box: TinyBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = await box.add("alice")

    async def replace_meanwhile(password: str, **whence: object) -> str:
        await box.add("alice", password_hash="another")
        return PASSWORD_HASH

    by = await box.authority("alice")
    monkeypatch.setattr(box.plugin._passwords, "hash", replace_meanwhile)
    with pytest.raises(Refusal) as refused:
        await box.plugin._accounts.change_own(by, {}, password="a new password", old_password=PASSWORD, address=HERE)
    assert refused.value.status == 401
    found = await box.database.read(lambda db: users.by_id(db, alice))
    assert found is not None
    assert found.password_hash == "another"


async def test_changing_ones_name_ends_nothing(box: TinyBox, http: Http) -> None:
    alice = await box.add("alice", email="a@example.org")
    token = await box.token(alice)
    status, user = await http("PATCH", "/api/me", {"name": "Alice"}, token=token)
    assert (status, user["name"], user["email"]) == (200, "Alice", "a@example.org")
    _, user = await http("PATCH", "/api/me", {"email": None}, token=token)
    assert "email" not in user
    assert box.ended == []


async def test_a_visitor_gets_no_password_and_keeps_name_and_address(box: TinyBox, http: Http) -> None:
    token = await box.token(await box.visitor())
    body = {"password": "a new password", "old_password": ""}
    status, answer = await http("PATCH", "/api/me", body, token=token)
    assert (status, answer["code"]) == (403, "forbidden")
    status, answer = await http("PATCH", "/api/me", {"email": None}, token=token)
    assert (status, answer["code"]) == (400, "invalid_request")
    assert (await http("PATCH", "/api/me", {"name": "Vic"}, token=token))[1]["name"] == "Vic"


async def test_a_manager_lists_everybody_without_their_hashes(box: TinyBox, http: Http) -> None:
    await box.add("boss", "manager")
    await box.visitor()
    status, listed = await http("GET", "/api/users", user="boss")
    assert status == 200
    assert [(user.get("username"), user["role"], user["is_active"]) for user in listed] == [
        ("boss", "manager", True),
        (None, "visitor", True),
    ]
    assert PASSWORD_HASH not in repr(listed)


@pytest.mark.parametrize(
    ("change", "ended"),
    [
        ({"role": "kiosk"}, (False, False)),
        ({"password": "a new password"}, (False, False)),
        ({"is_active": False}, (True, False)),
        ({"is_active": False, "cancel_bookings": True}, (True, True)),
    ],
)
async def test_a_managers_change_voids_tokens_and_ends_connections(
    box: TinyBox, http: Http, change: dict[str, Any], ended: tuple[bool, bool]
) -> None:
    await box.add("boss", "manager")
    alice = await box.add("alice")
    token = await box.token(alice)
    assert (await http("PATCH", f"/api/users/{alice}", change, user="boss"))[0] == 200
    assert box.ended == [(alice, *ended)]
    assert await box.sign_in(alice, token) is None


async def test_a_change_to_what_is_already_so_ends_nothing(box: TinyBox, http: Http) -> None:
    await box.add("boss", "manager")
    alice = await box.add("alice")
    token = await box.token(alice)
    body = {"role": "customer", "is_active": True}
    assert (await http("PATCH", f"/api/users/{alice}", body, user="boss"))[0] == 200
    assert box.ended == []
    assert await box.sign_in(alice, token)


async def test_deactivating_again_can_still_cancel_the_bookings(box: TinyBox, http: Http) -> None:
    await box.add("boss", "manager")
    alice = await box.add("alice")
    await http("PATCH", f"/api/users/{alice}", {"is_active": False}, user="boss")
    body = {"is_active": False, "cancel_bookings": True}
    await http("PATCH", f"/api/users/{alice}", body, user="boss")
    assert box.ended == [(alice, True, False), (alice, True, True)]
    del body["is_active"]
    assert (await http("PATCH", f"/api/users/{alice}", body, user="boss"))[0] == 400


@pytest.mark.parametrize("change", [{"role": "kiosk"}, {"is_active": False}])
async def test_the_last_active_manager_stays(box: TinyBox, http: Http, change: dict[str, Any]) -> None:
    boss, other = await box.add("boss", "manager"), await box.add("other", "manager")
    assert (await http("PATCH", f"/api/users/{other}", {"is_active": False}, user="boss"))[0] == 200
    status, answer = await http("PATCH", f"/api/users/{boss}", change, user="boss")
    assert (status, answer["code"]) == (409, "conflict")
    assert await box.sign_in("boss", PASSWORD) == Identity(boss, "boss", "manager")


async def test_an_unknown_user_and_a_visitors_role_cannot_be_changed(box: TinyBox, http: Http) -> None:
    await box.add("boss", "manager")
    status, answer = await http("PATCH", "/api/users/nobody", {"is_active": False}, user="boss")
    assert (status, answer["code"]) == (404, "unknown_user")
    visitor = await box.visitor()
    status, answer = await http("PATCH", f"/api/users/{visitor}", {"role": "manager"}, user="boss")
    assert (status, answer["code"]) == (409, "conflict")


async def test_no_token_is_issued_for_what_a_change_has_ended(box: TinyBox) -> None:
    alice = await box.add("alice")
    by = await box.authority("alice")
    await changed_elsewhere(box, alice, {"is_active": False})
    with pytest.raises(Refusal) as refused:
        await box.plugin._accounts.issue_token(by)
    assert refused.value.status == 401


@pytest.mark.parametrize("lost", [{"is_active": False}, {"role": "customer"}, {"password_hash": "another"}])
@pytest.mark.parametrize("is_news", [True, False])
async def test_whoever_loses_their_standing_while_a_call_waits_changes_nothing(
    box: TinyBox, lost: dict[str, Any], is_news: bool
) -> None:
    boss, _ = await box.add("boss", "manager"), await box.add("other", "manager")
    by, accounts = await box.authority("boss"), box.plugin._accounts
    if is_news:
        await accounts._change(await box.authority("other"), boss, lost)
    else:
        await changed_elsewhere(box, boss, lost)
    before, box.ended = await accounts.everybody(), []
    account = {"username": "mine", "password": PASSWORD, "email": None, "name": None, "address": HERE}
    for call in (
        accounts.add_account(by, role="manager", **account),
        accounts.add_account(by, role="customer", **account),
        accounts.change_user(by, boss, is_active=True, role="manager", password=PASSWORD, address=HERE),
        accounts.change_own(by, {"email": "mallory@example.org"}, password=None, old_password=None, address=HERE),
        accounts.change_own(by, {}, password="a new password", old_password=PASSWORD, address=HERE),
        accounts.issue_token(by),
    ):
        with pytest.raises(Refusal) as refused:
            await call
        assert (refused.value.code, refused.value.status) == ("unauthorized", 401)
    assert await accounts.everybody() == before
    assert box.ended == []
    assert await box.database.read(lambda db: db.table("tokens").count) == 0


@pytest.mark.parametrize("lost", [{"is_active": False}, {"role": "customer"}])
async def test_who_is_no_longer_what_they_were_let_in_as_gets_no_further(box: TinyBox, lost: dict[str, Any]) -> None:
    boss, _ = await box.add("boss", "manager"), await box.add("other", "manager")
    identity = await box.sign_in("boss", PASSWORD)
    assert identity is not None
    await box.plugin._accounts._change(await box.authority("other"), boss, lost)
    with pytest.raises(Refusal) as refused:
        box.plugin._accounts.authority(identity, HERE)
    assert refused.value.status == 401


@pytest.mark.parametrize("path", ["/api/users", "/api/me"])
async def test_a_call_rests_on_what_its_caller_was_when_it_began(box: TinyBox, http: Http, path: str) -> None:
    boss, _ = await box.add("boss", "manager"), await box.add("other", "manager")
    token = await box.token(boss)
    other = await box.authority("other")
    body = {"username": "mine", "password": PASSWORD, "role": "manager"} if path == "/api/users" else {"name": "Mine"}

    async def body_that_comes_late() -> AsyncIterator[bytes]:
        yield b" "
        await until(lambda: boss in box.plugin._accounts._signed_in)
        await box.plugin._accounts.change_user(other, boss, password="a new password", address=HERE)
        yield json.dumps(body).encode()

    method = "POST" if path == "/api/users" else "PATCH"
    status, refused = await http(method, path, body_that_comes_late(), token=token)
    assert (status, refused["code"]) == (401, "unauthorized")
    assert {user.name for user in await box.plugin._accounts.everybody()} == {None}
    assert len(await box.plugin._accounts.everybody()) == 2


def test_no_error_repeats_a_password() -> None:
    with pytest.raises(ValidationError) as error:
        wire.PasswordBody(password="secret")
    assert "secret" not in str(error.value)


# The command line


class Owner:
    """Runs ``user …`` on a database file; the answer is the exit status and what was printed."""

    def __init__(self, path: Path) -> None:
        self.settings = load_settings(database={"path": str(path)})

    def __call__(self, *arguments: str, typed: str = "") -> tuple[int, str]:
        result = CliRunner(env={"COLUMNS": "200"}).invoke(commands.user, arguments, input=typed, obj=self.settings)
        return result.exit_code, result.output

    def users(self) -> list[users.User]:
        db = connect(self.settings.database.path)
        try:
            return users.everybody(db)
        finally:
            db.conn.close()


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    return Owner(tmp_path / "data" / "cinema.db")


def test_the_owner_adds_and_lists_users(owner: Owner) -> None:
    options = ("--role", "kiosk", "--email", "k@example.org", "--name", "Left", "--password-stdin")
    assert owner("add", "k1.left", *options, typed=PASSWORD + "\n") == (0, "k1.left was added (kiosk).\n")
    (kiosk,) = owner.users()
    assert (kiosk.username, kiosk.role, kiosk.email, kiosk.name) == ("k1.left", "kiosk", "k@example.org", "Left")
    assert kiosk.password_hash is not None
    assert passwords.verify_password(PASSWORD, kiosk.password_hash)
    status, listed = owner("list")
    assert status == 0
    headings, line = listed.splitlines()
    assert headings.split("\t") == ["username", "role", "name", "e-mail", "active", "since", "user id"]
    assert line.split("\t") == ["k1.left", "kiosk", "Left", "k@example.org", "yes", line.split("\t")[5], kiosk.user_id]


@pytest.mark.parametrize(("width", "columns"), [(200, 7), (80, 5), (60, 3)])
def test_the_list_at_a_terminal_never_cuts_the_user_id(width: int, columns: int) -> None:
    user_id = "0" * 36
    row = ("k1.left", "kiosk", "Left", "k@example.org", "yes", "2030-01-01T20:00:00Z", user_id)
    table = table_of(commands.COLUMNS, [row], width, give_way=commands.GIVE_WAY, whole=("user id",))
    assert len(table.columns) == columns
    screen = io.StringIO()
    Console(file=screen, width=width, force_terminal=True).print(table)
    assert user_id in screen.getvalue()
    assert "…" not in screen.getvalue()


@pytest.fixture
def at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))


@pytest.mark.usefixtures("at_a_terminal")
def test_the_owner_types_a_password_twice_and_unseen(owner: Owner) -> None:
    status, shown = owner("add", "boss", "--role", "manager", typed=f"{PASSWORD}\n{PASSWORD}\n")
    assert status == 0
    assert PASSWORD not in shown
    assert len(owner.users()) == 1


def test_the_owner_sets_a_password_and_disables_and_the_tokens_are_void(owner: Owner) -> None:
    for number, command in enumerate(["password", "disable"]):
        name = f"alice{number}"
        assert owner("add", name, "--role", "customer", "--password-stdin", typed=PASSWORD)[0] == 0
        db = connect(owner.settings.database.path)
        found = users.by_username(db, name)
        assert found is not None
        users.add_token(db, found.user_id, "token", now=NOON, expires_at=NOON + 1)
        arguments = ["--password-stdin"] if command == "password" else []
        said = f"{name} has a new password.\n" if command == "password" else f"{name} is disabled.\n"
        assert owner(command, name, *arguments, typed="a new password") == (0, said)
        assert db.table("tokens").count == 0
        after = users.by_username(db, name)
        db.conn.close()
        assert after is not None
        assert after.is_active == (command == "password")
        assert (after.password_hash == found.password_hash) == (command == "disable")


def test_the_owner_lets_a_disabled_user_in_again(owner: Owner) -> None:
    owner("add", "alice", "--role", "customer", "--password-stdin", typed=PASSWORD)
    assert owner("enable", "alice") == (0, "alice was enabled already.\n")
    owner("disable", "alice")
    assert owner("disable", "alice") == (0, "alice was disabled already.\n")
    assert owner("enable", "alice") == (0, "alice is enabled.\n")
    assert [user.is_active for user in owner.users()] == [True]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        # Refused before the password is asked for, or it would be the missing terminal that is told.
        (("add", "boss", "--role", "customer"), "This username is taken.\n"),
        (("add", "B", "--role", "customer"), "username: must be 3 to 32 of a-z, 0-9, dot, dash and underscore\n"),
        (("add", "alice", "--role", "customer", "--email", "a"), "email: must be an e-mail address"),
        (("password", "nobody"), "There is no such user; “user list” shows all.\n"),
        (("enable", "nobody"), "There is no such user; “user list” shows all.\n"),
        (
            ("add", "alice", "--role", "customer"),
            "There is no terminal to ask for the password at; give it with --pass",
        ),
        (("password", "boss"), "There is no terminal to ask for the password at; give it with --password-stdin.\n"),
        (("add", "boss", "--role", "customer", "--password-stdin"), "This username is taken.\n"),
        (("add", "B", "--role", "customer", "--password-stdin"), "username: "),
        (("password", "nobody", "--password-stdin"), "There is no such user; “user list” shows all.\n"),
        (("disable", "nobody"), "There is no such user; “user list” shows all.\n"),
        (("disable", "boss"), "This is the last active manager, and one must stay.\n"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(owner: Owner, arguments: tuple[str, ...], sentence: str) -> None:
    owner("add", "boss", "--role", "manager", "--password-stdin", typed=PASSWORD)
    before = owner.users()
    status, shown = owner(*arguments, typed=PASSWORD)
    assert status == 1
    assert shown.startswith(sentence)
    assert shown.count("\n") == 1
    assert owner.users() == before


def test_a_short_password_is_refused_without_repeating_it(owner: Owner) -> None:
    status, shown = owner("add", "alice", "--role", "customer", "--password-stdin", typed="secret\n")
    assert (status, shown) == (1, "password: must be 10 to 1024 bytes long\n")


def test_a_file_that_is_no_database_is_one_sentence(owner: Owner) -> None:
    path = owner.settings.database.path
    path.parent.mkdir()
    path.write_text("not a database, but long enough to look at" * 10)
    status, shown = owner("list")
    assert (status, shown) == (1, f"{path}: the file is damaged or is not a database\n")
