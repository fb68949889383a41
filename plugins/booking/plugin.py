"""The cinema as a plugin of the box: what it contributes, and nothing of how it decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import sqlite_utils
from aiohttp import web
from amqtt.broker import BrokerContext
from amqtt.plugins.base import BasePlugin
from prometheus_client.registry import Collector
from sqlite_utils import Migrations

from broker.plugin import Actor, Box, BoxPlugin, Command, Identity, Present
from plugins.booking import reading
from plugins.booking.http import BookingHttp
from plugins.booking.ledger import migrations
from plugins.booking.present import BookingsPresent, Copy, HoldsPresent, SeatsPresent, ShowingsPresent
from plugins.booking.service import Service


class BookingPlugin(BasePlugin[BrokerContext], BoxPlugin):
    """Showings, seats, holds and bookings."""

    service: Service

    @dataclass
    class Config:
        """All settings are in ``[booking]`` and ``[cinema]``: they are not this plugin's alone."""

    @classmethod
    def migrations(cls) -> Migrations | None:
        return migrations

    @classmethod
    def contents(cls, db: sqlite_utils.Database) -> Mapping[str, int]:
        if not db.table("bookings").exists():
            return {}
        return {
            "showings": db.table("showings").count,
            "confirmed bookings": db.table("bookings").count_where("status = 'confirmed'"),
        }

    @classmethod
    def names(cls, db: sqlite_utils.Database, ids: Collection[str]) -> Mapping[str, str]:
        return reading.names(db, ids) if db.table("bookings").exists() else {}

    @classmethod
    def ids_of(cls, db: sqlite_utils.Database, name: str) -> Collection[str]:
        return reading.bookings_of_number(db, name) if db.table("bookings").exists() else ()

    async def opened(self, box: Box) -> None:
        self.service = Service(box, call_later=asyncio.get_running_loop().call_later)
        await self.service.start()

    async def closing(self) -> None:
        self.service.stop()

    def commands(self) -> Mapping[str, Callable[[Command], None]]:
        return dict.fromkeys(self.service.command_topics, self.service.take)

    def server_topics(self) -> Sequence[str]:
        return ("seats/status/#", "showing/update/#", "booking/confirm/#", "users/#")

    def presents(self) -> Sequence[Present]:
        copy, clock = self._copy, self.service.now
        return (
            SeatsPresent(copy, clock),
            ShowingsPresent(copy, clock),
            BookingsPresent(copy, clock, self.service.read_old),
            HoldsPresent(copy, clock),
        )

    def routes(self) -> Sequence[web.RouteDef]:
        return BookingHttp(self.service).routes()

    def metrics(self) -> Sequence[Collector]:
        return (self.service.metrics,)

    def forbidden(self, identity: Identity, topic: str) -> None:
        self.service.refused_topic(identity, topic)

    async def user_deactivated(self, user_id: str, *, cancel_bookings: bool, by: Actor) -> None:
        await self.service.user_deactivated(user_id, cancel_bookings=cancel_bookings, by=by)

    async def database_changed(self) -> None:
        await self.service.reload()

    def _copy(self) -> Copy:
        return self.service.copy
