"""The pages as a plugin of the box: it reads them once, and contributes their addresses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from amqtt.contexts import BaseContext
from amqtt.plugins.base import BasePlugin

from broker.plugin import Box, BoxPlugin
from plugins.pages.files import Built, read
from plugins.pages.http import UNBUILT, PagesHttp

logger = logging.getLogger(__name__)

BUILT = Path(__file__).with_name("built")
"""Where the build of ``web/`` puts its files."""


class PagesPlugin(BasePlugin[BaseContext], BoxPlugin):
    """What the audience, the kiosk and the staff see."""

    @dataclass
    class Config:
        """``folder`` has other pages than the box's own, built in the same way."""

        folder: str = ""

    _built: Built | None = None

    async def opened(self, box: Box) -> None:
        folder = Path(self.context.config.folder or BUILT)
        self._built = await asyncio.to_thread(read, folder)
        if self._built is None:
            logger.warning("%s", UNBUILT)

    def routes(self) -> Sequence[web.RouteDef]:
        return PagesHttp(self._built).routes()
