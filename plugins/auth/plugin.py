"""The plugin over :class:`plugins.auth.accounts.Accounts`: amqtt's and the box's calls in, nothing of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property

import sqlite_utils
import typer
from aiohttp import web
from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import Session
from prometheus_client.registry import Collector
from sqlite_utils import Migrations

from broker.addresses import network_of
from broker.plugin import IDENTITY_ATTRIBUTE, Box, BoxPlugin
from plugins.auth import commands, users
from plugins.auth.accounts import Accounts
from plugins.auth.http import AccountRoutes
from plugins.auth.metrics import SignIns
from plugins.auth.passwords import Passwords
from plugins.auth.users import MIGRATIONS


class AuthPlugin(BaseAuthPlugin, BoxPlugin):
    """Accounts, visitors, passwords and tokens."""

    @classmethod
    def migrations(cls) -> Migrations:
        return MIGRATIONS

    @classmethod
    def restored(cls, db: sqlite_utils.Database) -> None:
        users.void_all_tokens(db)  # one that was voided since the backup would be valid again

    @classmethod
    def contents(cls, db: sqlite_utils.Database) -> Mapping[str, int]:
        return {"users": db.table("users").count} if db.table("users").exists() else {}

    @classmethod
    def names(cls, db: sqlite_utils.Database, ids: Collection[str]) -> Mapping[str, str]:
        found = [users.by_id(db, user_id) for user_id in ids] if db.table("users").exists() else []
        return {user.user_id: user.username for user in found if user is not None and user.username is not None}

    @classmethod
    def ids_of(cls, db: sqlite_utils.Database, name: str) -> Collection[str]:
        user = users.by_username(db, name) if db.table("users").exists() else None
        return () if user is None else (user.user_id,)

    @classmethod
    def command_line(cls) -> typer.Typer:
        return commands.user

    @cached_property
    def _passwords(self) -> Passwords:
        return Passwords()

    @cached_property
    def _accounts(self) -> Accounts:
        return Accounts(self.box, self._passwords)

    @cached_property
    def _sign_ins(self) -> SignIns:
        return SignIns(lambda: self._passwords.waiting)

    async def opened(self, box: Box) -> None:
        await self._passwords.prepare()

    async def closing(self) -> None:
        self._passwords.close()

    async def authenticate(self, *, session: Session) -> bool:
        """Raises StorageUnavailableError if the database cannot be read, and Refusal where too much was tried:
        neither right nor wrong."""
        address = network_of(session.remote_address or "")
        identity = await self._accounts.authenticate(session.username, session.password, address)
        if identity is None:
            if session.password is not None:
                self._sign_ins.wrong += 1
            return False
        if not identity.is_guest:
            self._sign_ins.right += 1
        session.attributes[IDENTITY_ATTRIBUTE] = identity
        return True

    def routes(self) -> Sequence[web.RouteDef]:
        return AccountRoutes(self._accounts, self.box.settings.auth).routes()

    def metrics(self) -> Sequence[Collector]:
        return (self._sign_ins,)

    async def database_changed(self) -> None:
        await self._accounts.database_changed()
