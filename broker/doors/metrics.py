"""The metrics door: ``GET /metrics`` for who may reach it, without signing in, and nothing else."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from broker.doors.bodies import HEADERS, answer
from broker.doors.guarded import SERVER, GuardedHandler
from broker.doors.sockets import accept
from broker.metrics import Metrics
from broker.places import Places

if TYPE_CHECKING:
    import asyncio

    from config.settings import LimitsSettings

CONNECTIONS = 16
"""Places of this door, beside those of the others: a full box can be looked at, and who looks takes nobody's place."""


class MetricsDoor:
    """Plain HTTP, one request for each connection, under the limits of the web door. ``is_own_host`` says whether the
    ``Host`` header names this box: a page that had its name pointed here (DNS rebinding) reads nothing."""

    def __init__(
        self, metrics: Metrics, limits: LimitsSettings, *, places: Places, is_own_host: Callable[[str], bool]
    ) -> None:
        self._metrics = metrics
        self._limits = limits
        self._places = places
        self._is_own_host = is_own_host
        self._http = web.Server(self._answer)
        self._servers: list[asyncio.Server] = []
        self.addresses: list[tuple[str, int]] = []

    async def open(self, sockets: Sequence[socket.socket]) -> None:
        for listening in sockets:
            self._servers.append(await accept(listening, self._accepted))
            self.addresses.append(listening.getsockname()[:2])

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        await self._http.shutdown()

    def _accepted(self) -> GuardedHandler:
        return GuardedHandler(
            self._http, self._limits, self._places, stands_for_many=lambda _: False, refused=self._metrics.refused
        )

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, GuardedHandler)
        connection.arrived()
        response = await self._response(request, has_place=connection.has_place)
        response.headers["Server"] = SERVER
        response.force_close()
        return response

    async def _response(self, request: web.BaseRequest, *, has_place: bool) -> web.Response:
        if not has_place:
            return answer({"code": "unavailable", "message": "too many connections; come back in a moment"}, 503)
        if not self._is_own_host(request.headers.get("Host", "")):
            self._metrics.refused("host")
            return answer({"code": "misdirected_request", "message": "the box is not known by this name"}, 421)
        if request.raw_path.partition("?")[0] != "/metrics":  # to the letter: no other host in its place
            return answer({"code": "not_found", "message": "only /metrics is here"}, 404)
        if request.method not in ("GET", "HEAD"):
            return answer({"code": "method_not_allowed", "message": "metrics are read"}, 405, {"Allow": "GET, HEAD"})
        return await exposition(self._metrics)


async def exposition(metrics: Metrics) -> web.Response:
    """The answer to ``GET /metrics``, at whichever door."""
    return web.Response(body=await metrics.shared(), headers={**HEADERS, "Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
