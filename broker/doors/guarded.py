"""aiohttp's side of one connection, held to the box's limits from the moment it is accepted."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from broker.addresses import network_of
from broker.doors.bodies import answer
from broker.doors.masking import FrameParser, MaskedFrames
from broker.doors.sockets import is_encrypted, leave_no_cycle, reset, time_left
from broker.doors.wire import forget_traceback
from broker.metrics import Reason
from broker.places import Places

if TYPE_CHECKING:
    from config.settings import LimitsSettings

logger = logging.getLogger(__name__)

REFUSALS_AT_ONCE = 64
"""Connections beyond the limits that are kept long enough to be told so; the next ones are dropped."""


_numbers = itertools.count(1)


class GuardedHandler(web.RequestHandler):
    """Counts the connection, gives it ``limits.connect_seconds`` to say what it wants, drops it when it does not read
    its answer for ``limits.stuck_seconds``, and answers what is not HTTP without repeating it.

    ``stands_for_many`` tells whether an address is a trusted proxy's, which is not counted as one client; ``refused``
    counts what is refused; ``forget`` is told the ``rate_key`` when the connection has ended.
    """

    def __init__(
        self,
        server: web.Server,
        limits: LimitsSettings,
        places: Places,
        stands_for_many: Callable[[str], bool],
        refused: Callable[[Reason], None],
        forget: Callable[[str], None] = lambda rate_key: None,
    ) -> None:
        self._loop_of_door = asyncio.get_running_loop()
        super().__init__(
            server,
            loop=self._loop_of_door,
            keepalive_timeout=limits.connect_seconds,
            access_log=None,  # type: ignore[arg-type]  # None is how aiohttp is told to keep none
            auto_decompress=False,  # a small body could otherwise become a very large one
        )
        self._limits = limits
        self._places = places
        self._stands_for_many = stands_for_many
        self._refused = refused
        self._forget = forget
        self._network: str | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._is_mqtt = False
        self.has_place = False
        self.rate_key = f"http {next(_numbers)}"
        """By what the requests of nobody in particular are counted that come by this connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert isinstance(transport, asyncio.Transport)
        peer = transport.get_extra_info("peername")
        address = peer[0] if peer else ""
        self._network = None if self._stands_for_many(address) else network_of(address)
        self.has_place = self._places.take(self._network, is_new=not is_encrypted(transport))
        if not self.has_place and not self._may_stay_without():
            reset(transport)
            return
        # Whatever waits is watched. Not 0: asyncio's TLS would say of nothing that it waits.
        transport.set_write_buffer_limits(high=1)
        seconds = time_left(transport, self._limits.connect_seconds)
        self._deadline = self._loop_of_door.call_later(seconds, self._drop, "connect_seconds")

    def connection_lost(self, exc: BaseException | None) -> None:
        leave_no_cycle(self.transport)
        super().connection_lost(exc)
        self.arrived()
        self._stop_watching()
        self._forget(self.rate_key)
        if self.has_place:
            self._places.free(self._network)
        else:
            self._places.refused_now -= 1

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Called by aiohttp to send an answer; behind it, the connection waits for another request."""
        finished = await super().finish_response(request, resp, start_time)
        if self.has_place and resp.keep_alive and not self._is_mqtt and self.transport is not None:
            self._places.fell_idle(self._network, self)
        return finished

    def is_idle(self) -> bool:
        """Whether all was answered and has left, and no whole request has come since. Who has sent a part of one sends
        it again: nothing was done."""
        return self._waiter is not None and not self._waiter.done() and not self._waiting_bytes()

    def give_way(self) -> None:
        """End, with the place free at once: of a connection that is idle."""
        self._places.is_used(self._network, self)
        self._places.free(self._network)
        self.has_place = False
        assert self.transport is not None
        if self._may_stay_without():  # over TLS until the peer, too, has said goodbye
            self.transport.close()
        else:
            reset(self.transport)

    def _may_stay_without(self) -> bool:
        """Of those without a place only so many are there at once, until they are lost."""
        self._places.refused_now += 1
        return self._places.refused_now <= REFUSALS_AT_ONCE

    def arrived(self) -> float:
        """A whole request is there. Returns how many of the connection's seconds are left to the CONNECT of an MQTT
        client: all of them where it is not the first request."""
        self._places.is_used(self._network, self)
        if self._deadline is None:
            return self._limits.connect_seconds
        seconds_left = self._deadline.when() - self._loop_of_door.time()
        self._deadline.cancel()
        self._deadline = None
        return max(0.0, seconds_left)

    def is_mqtt_from_now_on(self) -> None:
        """The fan-out watches over what waits for this client."""
        self._is_mqtt = True
        self._stop_watching()
        if self.transport is not None:
            self.transport.set_write_buffer_limits()

    def set_parser(self, parser: FrameParser, data_received_cb: Callable[[], None] | None = None) -> None:
        """The WebSocket begins; called by aiohttp with what reads its frames."""
        super().set_parser(MaskedFrames(parser), data_received_cb)  # type: ignore[arg-type]  # as much as is used of it

    def pause_writing(self) -> None:
        super().pause_writing()
        if not self._is_mqtt and self._watch is None:
            self._watch_over(self._waiting_bytes())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_watching()

    def _watch_over(self, waiting: int) -> None:
        self._watch = self._loop_of_door.call_later(self._limits.stuck_seconds, self._look, waiting)

    def _look(self, waited: int) -> None:
        waiting = self._waiting_bytes()
        if waiting >= waited or self._is_closing:
            self._drop("stuck_seconds")
        else:
            self._watch_over(waiting)

    def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _waiting_bytes(self) -> int:
        # A transport of TLS that is closed for the second time can no longer say.
        return 0 if self.transport is None or self._is_closing else self.transport.get_write_buffer_size()

    @property
    def _is_closing(self) -> bool:
        return self.transport is not None and self.transport.is_closing()

    def _drop(self, reason: Reason) -> None:
        self._refused(reason)
        if self.transport is not None:
            reset(self.transport)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is not HTTP, and what failed beyond our own answers to errors."""
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.error("A request from %s failed", request.remote, exc_info=exc)
        else:
            self._refused("malformed")
            logger.info("A request from %s is not HTTP: %s", request.remote, type(exc).__name__)
            forget_traceback(exc)
        if request.writer is not None and request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already, so this one cannot be given")
        response = answer({"code": "bad_request", "message": HTTPStatus(status).phrase}, status)
        response.headers["Server"] = SERVER
        response.force_close()
        return response


SERVER = "lynrie-box"
"""The ``Server`` header of every answer: no versions."""
