"""The web door: MQTT over WebSocket, pages and the HTTP API on one port."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ipaddress
import logging
import math
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import HttpVersion11, WebSocketError, WSCloseCode, WSMsgType, web

from broker.addresses import network_of
from broker.connection import Wire
from broker.doors.bodies import HEADERS, answer
from broker.doors.encrypted import Tls, layered
from broker.doors.guarded import SERVER, GuardedHandler
from broker.doors.origin import OwnNames
from broker.doors.sockets import CLOSE_SECONDS, accept
from broker.doors.wire import TransportWire, forget_traceback
from broker.packets import MalformedPacketError, PacketTooLargeError
from broker.places import Places
from broker.plugin import CALLER, Caller, Identity, Reason, Refusal, RouteHandler
from broker.rates import Rate
from broker.storage.database import StorageUnavailableError

if TYPE_CHECKING:
    from config.settings import LimitsSettings, WebSettings

logger = logging.getLogger(__name__)

PACKETS_PER_MESSAGE = 4
"""A WebSocket message may hold several packets, or a part of one: at most so many of the largest size."""

GREETING = "This box speaks MQTT over WebSocket here and on /mqtt, and HTTP under /api.\n"

REASONS_OF_CODES: Mapping[str, Reason] = {
    "unauthorized": "guests",
    "forbidden": "forbidden",
    "storage_unavailable": "storage_unavailable",
}
"""How a handler's refusals are counted that are the door's business. Limits count their own where they are met."""

WEBSOCKET_VERSION = "13"

PREFLIGHT = {
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PATCH, DELETE",
    "Access-Control-Max-Age": "600",
}
"""What a browser is told that asks first whether a page of ``public_urls`` may call the box (CORS). There are no
cookies, so none are allowed."""

BareHandler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Identify = Callable[[str | None, str, str], Awaitable[Identity | None]]


class WebSocketWire(TransportWire):
    """A :class:`broker.connection.Wire` over a WebSocket. Packets leave as whole binary frames, written beside
    aiohttp: without compression they carry no state of the connection (amqtt.md, fact 23)."""

    door = "web"

    def __init__(
        self,
        request: web.Request,
        websocket: web.WebSocketResponse,
        address: str,
        seconds_left: float,
    ) -> None:
        assert request.transport is not None
        super().__init__(request.transport, address)
        self._websocket = websocket
        self._seconds_left = seconds_left

    def time_left(self, seconds: float) -> float:
        return min(seconds, self._seconds_left)

    async def read(self) -> bytes | None:
        message = await self._websocket.receive()
        if message.type is WSMsgType.BINARY:
            return bytes(message.data) or None
        if message.type is WSMsgType.PING:
            try:
                await self._websocket.pong(message.data)  # which waits: pongs that nobody reads do not pile up
            except ConnectionError:
                return b""
        elif message.type is WSMsgType.TEXT:
            raise MalformedPacketError("MQTT-6.0.0-1: a WebSocket frame that is not binary")
        elif message.type is WSMsgType.ERROR:
            return self._broken(message.data)
        elif message.type is not WSMsgType.PONG:
            return b""
        return None

    def _broken(self, error: Exception) -> bytes:
        """The end that an error of aiohttp's is. What it says may repeat what was sent."""
        if not isinstance(error, WebSocketError):
            return b""
        if error.code == WSCloseCode.MESSAGE_TOO_BIG:
            raise PacketTooLargeError("a WebSocket message is larger than all that it may hold")
        raise MalformedPacketError("RFC 6455: what came is no WebSocket frame of a client's")

    def frame(self, packet: bytes) -> bytes:
        length = len(packet)
        if length < 126:
            return bytes((0x82, length)) + packet
        if length < 65536:
            return b"\x82\x7e" + length.to_bytes(2) + packet
        return b"\x82\x7f" + length.to_bytes(8) + packet

    def goodbye(self, *, again: bool) -> bytes:
        return b"\x88\x02" + (1001 if again else 1002).to_bytes(2)


class WebDoor:
    """``serve`` runs one MQTT connection to its end; ``places`` counts the connections, ``messages`` what users send;
    ``identify`` asks who signs in; ``refused`` counts what is refused."""

    def __init__(
        self,
        settings: WebSettings,
        limits: LimitsSettings,
        *,
        serve: Callable[[Wire], Awaitable[None]],
        places: Places,
        messages: Rate,
        identify: Identify,
        refused: Callable[[Reason], None],
        routes: Iterable[web.RouteDef],
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._serve = serve
        self._places = places
        self._messages = messages
        self._identify = identify
        self._refused = refused
        self.own_names = OwnNames(settings.public_urls)
        self._servers: list[asyncio.Server] = []
        self._is_closing = False
        self.addresses: list[tuple[str, int]] = []
        app = web.Application(
            middlewares=[self._answer_errors, self._check_origin, self._await_body, self._establish_caller],
            client_max_size=limits.max_packet_bytes,
        )
        app.on_response_prepare.append(self._add_headers)
        app.add_routes([web.get("/mqtt", self._websocket, allow_head=False), *self._sharing_the_first_page(routes)])
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)

    async def open(self, sockets: Sequence[socket.socket], tls: ssl.SSLContext | None) -> None:
        await self._runner.setup()
        assert self._runner.server is not None
        self._runner.server.request_handler = _without_expectations(self._runner.server.request_handler)
        layer = None if tls is None else Tls(tls, self._limits.connect_seconds, self._take_place)
        for listening in sockets:
            self._servers.append(await accept(listening, layered(self._accepted, layer)))
            self.addresses.append(listening.getsockname()[:2])

    def close(self) -> None:
        """Let nobody in any more, and begin no call. Who is in stays until its connection ends."""
        self._is_closing = True
        for server in self._servers:
            server.close()

    async def closed(self) -> None:
        """End what is left of HTTP."""
        await self._runner.cleanup()

    def _sharing_the_first_page(self, routes: Iterable[web.RouteDef]) -> list[web.RouteDef]:
        """The plugins' routes. On ``/`` a WebSocket is the door's whatever page they have there, because clients speak
        MQTT on it; where they have none, it has our greeting."""
        shared = [
            web.RouteDef(route.method, route.path, self._page_beside_mqtt(route.handler), route.kwargs)
            if (route.method, route.path) == ("GET", "/")
            else route
            for route in routes
        ]
        if not any((route.method, route.path) == ("GET", "/") for route in shared):
            shared.append(web.get("/", self._page_beside_mqtt(_greet), allow_head=False))
        return shared

    # Before anybody is let in

    def _accepted(self) -> GuardedHandler:
        server = self._runner.server
        assert server is not None
        return GuardedHandler(
            server, self._limits, self._places, self._is_trusted, self._refused, self._messages.forget
        )

    def _take_place(self, address: str) -> Callable[[], None] | None:
        network = None if self._is_trusted(address) else network_of(address)
        return partial(self._places.free, network) if self._places.take(network) else None

    @web.middleware
    async def _answer_errors(self, request: web.Request, handler: RouteHandler) -> web.StreamResponse:
        """Every error is turned into ``{"code", "message"}`` here, once."""
        try:
            return await handler(request)
        except Refusal as refusal:
            again = {"Retry-After": str(math.ceil(refusal.retry_after))} if refusal.retry_after else {}
            if again and _is_for_the_screen(request):
                again["Refresh"] = again["Retry-After"]
                return web.Response(text=f"One moment: {refusal.message}.\n", status=refusal.status, headers=again)
            body = {"code": refusal.code, "message": refusal.message, **refusal.details}
            return answer(body, refusal.status, again)
        except StorageUnavailableError:
            self._refused("storage_unavailable")
            return answer(
                {"code": "storage_unavailable", "message": "nothing can be written at the moment; try again"}, 503
            )
        except web.HTTPException as error:
            if error.status < 400:
                raise
            code = "not_found" if error.status == 404 else error.reason.lower().replace(" ", "_")
            kept = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
            return answer({"code": code, "message": error.reason}, error.status, kept)
        except asyncio.CancelledError:
            raise
        except ConnectionError:
            if request.transport is not None and not request.transport.is_closing():
                raise
            return web.Response()  # to nobody: aiohttp finds the same, and a stranger's going is no fault to log
        except Exception:
            logger.exception("%s %s failed", request.method, request.rel_url.path)
            return answer({"code": "internal_error", "message": "the box could not do this; it is logged"}, 500)

    @web.middleware
    async def _check_origin(self, request: web.Request, handler: RouteHandler) -> web.StreamResponse:
        """A page of another site may not use the visitor's browser against the box, nor a name that was pointed at it
        (DNS rebinding): ``Host`` and ``Origin`` must be the box's own (protocol.md, HTTP)."""
        connection = _connection(request)
        if not _is_upgrade(request):
            connection.arrived()
        if not connection.has_place:
            raise _full()
        if request.version.major != 1:
            raise Refusal("http_version_not_supported", "HTTP/1.1 is spoken here", status=505)
        host = _host(request)
        if host is None or not self.own_names.has(host):
            self._refused("host")
            raise Refusal("misdirected_request", "the box is not known by this name", status=421)
        origins = request.headers.getall("Origin", ())
        if not all(self.own_names.may_call(origin, self._scheme(request), host) for origin in origins):
            self._refused("origin")
            raise Refusal("forbidden", "this origin may not use the box", status=403)
        if request.method == "OPTIONS" and origins and self.own_names.is_public(origins[0]):
            return web.Response(status=204, headers=PREFLIGHT)
        return await handler(request)

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Server"] = SERVER
        if response.status == 101:
            return
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if not self._may_stay(request):
            response.headers["Connection"] = "close"
            response.force_close()
        if self._settings.public_urls:  # what a browser keeps for the one page is not for the other
            response.headers["Vary"] = ", ".join([*response.headers.getall("Vary", ()), "Origin"])
            origin = request.headers.get("Origin")
            if origin is not None and self.own_names.is_public(origin):
                response.headers["Access-Control-Allow-Origin"] = origin

    def _may_stay(self, request: web.Request) -> bool:
        """Whether a connection may wait for another request. Who has no place comes anew for one; a guest is answered,
        but does not keep one of the last."""
        caller = request.get(CALLER)
        is_guest = caller is None or caller.identity.is_guest
        return _connection(request).has_place and (not is_guest or self._places.has_one_for_guests)

    def _scheme(self, request: web.Request) -> str:
        if self._is_trusted(request.remote) and (proto := request.headers.get("X-Forwarded-Proto")):
            return proto.strip().lower()
        return "https" if request.secure else "http"

    def _is_trusted(self, address: str | None) -> bool:
        if not self._settings.trusted_proxies or address is None:
            return False
        with contextlib.suppress(ValueError):
            parsed = ipaddress.ip_address(address.partition("%")[0])
            return any(parsed in network for network in self._settings.trusted_proxies)
        return False

    def _address(self, request: web.Request) -> str:
        """The client's address; ``X-Forwarded-For`` is believed from trusted proxies alone, from the right."""
        address = request.remote or ""
        if self._is_trusted(address):
            forwarded = ",".join(request.headers.getall("X-Forwarded-For", ()))
            for hop in reversed([part.strip() for part in forwarded.split(",") if part.strip()]):
                try:
                    address = str(ipaddress.ip_address(hop))
                except ValueError:
                    break
                if not self._is_trusted(address):
                    break
        return address

    @web.middleware
    async def _await_body(self, request: web.Request, handler: RouteHandler) -> web.StreamResponse:
        """A body has ``limits.connect_seconds`` too, else one that drips keeps its connection for ever: aiohttp has
        no time limit for it. It is kept for the handler's own ``request.read()``."""
        if "Content-Encoding" in request.headers:
            raise Refusal("unsupported_media_type", "send the body as it is, without a Content-Encoding", status=415)
        if request.body_exists:
            try:
                async with asyncio.timeout(self._limits.connect_seconds):
                    await request.read()
            except web.HTTPRequestEntityTooLarge:
                self._refused("max_packet_bytes")
                raise Refusal("too_large", "the body is too large", status=413) from None
            except TimeoutError:
                self._refused("connect_seconds")
                if request.transport is not None:
                    request.transport.abort()
                raise ConnectionAbortedError("the body did not come in time") from None
        return await handler(request)

    @web.middleware
    async def _establish_caller(self, request: web.Request, handler: RouteHandler) -> web.StreamResponse:
        address = self._address(request)
        identity, token = Identity(None, None, "guest"), None
        # A trusted proxy's connection carries many people's requests.
        nobody = f"address {network_of(address)}" if self._is_trusted(request.remote) else _connection(request).rate_key
        authorization = request.headers.getall("Authorization", [""])
        if len(authorization) > 1:  # a proxy might have looked at the other
            raise self._unauthorized(nobody, "there is more than one Authorization header")
        scheme, _, credentials = authorization[0].partition(" ")
        if scheme.lower() in ("basic", "bearer"):
            if not self._messages.has_room(nobody):
                raise self._too_fast(retry_after=1.0)
            username: str | None = None
            if scheme.lower() == "basic":
                pair = _basic(credentials)
                if pair is None:
                    raise self._unauthorized(nobody, "the Authorization header is not HTTP Basic")
                username, password = pair
            else:
                password = token = credentials.strip()
            known = await self._identify(username, password, network_of(address))
            if known is None or known.is_guest:
                raise self._unauthorized(nobody, "wrong username, password or token")
            identity = known
        if wait := self._messages.take(identity.user_id or nobody):
            raise self._too_fast(retry_after=wait)
        request[CALLER] = Caller(identity, network_of(address), token)
        try:
            if self._is_closing:
                raise Refusal("unavailable", "the box stops; come back in a moment", status=503, retry_after=1.0)
            return await handler(request)
        except Refusal as refusal:
            if (reason := REASONS_OF_CODES.get(refusal.code)) is not None:
                self._refused(reason)
            raise

    def _unauthorized(self, nobody: str, message: str) -> Refusal:
        self._messages.take(nobody)
        self._refused("credentials")
        return Refusal("unauthorized", message, status=401)

    def _too_fast(self, *, retry_after: float) -> Refusal:
        self._refused("messages_per_second")
        return Refusal("rate_limited", "too many requests; wait a moment", status=429, retry_after=retry_after)

    # MQTT

    def _page_beside_mqtt(self, page: RouteHandler) -> RouteHandler:
        async def page_or_websocket(request: web.Request) -> web.StreamResponse:
            return await (self._websocket if request.method == "GET" and _is_upgrade(request) else page)(request)

        return page_or_websocket

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        address = request[CALLER].address
        if not _is_upgrade(request):
            return answer({"code": "upgrade_required", "message": "MQTT over WebSocket is spoken here"}, 426)
        if request.version < HttpVersion11:  # RFC 6455 §4.2.1
            raise Refusal("bad_request", "a WebSocket begins with HTTP/1.1")
        if request.headers.get("Sec-WebSocket-Version") != WEBSOCKET_VERSION:
            body = {"code": "upgrade_required", "message": f"WebSocket version {WEBSOCKET_VERSION} is spoken here"}
            return answer(body, 426, {"Sec-WebSocket-Version": WEBSOCKET_VERSION})
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        if "mqtt" not in [protocol.strip() for protocol in offered.split(",")]:
            raise Refusal("bad_request", "MQTT-6.0.0-3: offer the WebSocket subprotocol mqtt")
        if not _is_handshake(request):
            raise Refusal("bad_request", "this is not how a WebSocket begins")
        connection = _connection(request)
        # Of a trusted proxy's connections each is counted for the address that it stands for.
        share = network_of(address) if self._is_trusted(request.remote) else None
        if not self._places.take_share(share):
            raise _full()
        try:
            return await self._serve_websocket(request, connection, address)
        finally:
            self._places.free_share(share)

    async def _serve_websocket(
        self, request: web.Request, connection: GuardedHandler, address: str
    ) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse(
            autoping=False,  # a ping counts as a message does
            protocols=("mqtt",),
            compress=False,
            max_msg_size=PACKETS_PER_MESSAGE * self._limits.max_packet_bytes,
            timeout=CLOSE_SECONDS,
        )
        await websocket.prepare(request)
        connection.is_mqtt_from_now_on()
        await self._serve(WebSocketWire(request, websocket, address, connection.arrived()))
        await websocket.close()  # as aiohttp does next; it notes there that the connection has gone
        forget_traceback(websocket.exception())
        return websocket


def _connection(request: web.Request) -> GuardedHandler:
    assert isinstance(request.protocol, GuardedHandler)
    return request.protocol


def _is_upgrade(request: web.Request) -> bool:
    return request.headers.get("Upgrade", "").lower() == "websocket"


def _is_for_the_screen(request: web.Request) -> bool:
    """Whether a browser shows the answer to whoever typed the address: to these, JSON says nothing."""
    return request.method == "GET" and "text/html" in request.headers.get("Accept", "")


async def _greet(request: web.Request) -> web.StreamResponse:
    return web.Response(text=GREETING, headers=HEADERS)


def _full() -> Refusal:
    return Refusal("unavailable", "too many connections; come back in a moment", status=503, retry_after=1.0)


def _host(request: web.Request) -> str | None:
    """By which name the box is called; None where a request says two."""
    host = request.headers.get("Host", "")
    target = request.raw_path
    if not target.startswith("/") and "://" in target:
        # The absolute form, as to a proxy, where the target's host counts (RFC 9112 §3.2.2).
        named = target.partition("://")[2].partition("/")[0].partition("?")[0]
        return host if named.lower() == host.lower() else None
    return host


def _without_expectations(handle: BareHandler) -> BareHandler:
    """Refuses any ``Expect`` but ``100-continue``, before aiohttp does: it would repeat it in its answer, and fail
    where that is not UTF-8."""

    async def refuse_or_handle(request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Expect", "100-continue").lower() == "100-continue":
            return await handle(request)
        body = {"code": "expectation_failed", "message": "only 100-continue can be expected"}
        response = answer(body, 417, {"Server": SERVER})
        response.force_close()  # nobody has looked at whether it may stay
        return response

    return refuse_or_handle


def _is_handshake(request: web.Request) -> bool:
    """Whether it is a WebSocket's (RFC 6455 §4.2.1): aiohttp would repeat what is wrong in it, and fail where that is
    not UTF-8."""
    if "upgrade" not in request.headers.get("Connection", "").lower():
        return False
    try:
        return len(base64.b64decode(request.headers.get("Sec-WebSocket-Key", ""), validate=True)) == 16
    except ValueError:  # not base64
        return False


def _basic(credentials: str) -> tuple[str, str] | None:
    """Username and password; None where it is not HTTP Basic (RFC 7617 §2)."""
    try:
        username, separator, password = base64.b64decode(credentials, validate=True).decode().partition(":")
    except ValueError:  # not base64, not UTF-8
        return None
    return (username, password) if separator else None
