"""amqtt as it comes, with a plain plugin that decides bookings: what the box would be without its own doors.

``python -m bench.stock PORT TYPE DATABASE``, with ``ws`` or ``tcp`` as the type, says ``ready`` on standard output when
it takes connections, and serves until it is ended.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from dataclasses import dataclass
from typing import Any

from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType
from amqtt.plugins.base import BasePlugin

from bench.decision import Decisions


class BookingPlugin(BasePlugin):  # type: ignore[misc]  # amqtt has no types
    """Commits the booking, then tells those who watch and who asked."""

    @dataclass
    class Config:
        database: str = ""

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self._decisions = Decisions(self.config.database)

    async def on_broker_message_received(self, *, client_id: str, message: Any) -> None:
        if message.topic == "booking/request":
            for topic, payload, qos in self._decisions.decide(message.data):
                await self.context.broadcast_message(topic, payload, qos)


async def serve(port: int, listener_type: str, database: str) -> None:
    broker = Broker(
        BrokerConfig(
            listeners={"default": ListenerConfig(type=ListenerType(listener_type), bind=f"127.0.0.1:{port}")},
            plugins={
                "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True},
                "bench.stock.BookingPlugin": {"database": database},
            },
        )
    )
    await broker.start()
    print("ready", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    port, listener_type, database = sys.argv[1:]
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(serve(int(port), listener_type, database))


if __name__ == "__main__":
    main()
