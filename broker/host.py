"""The box: settings, database, plugins, gate, fan-out and doors, put together, started and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib
import logging
import ssl
import time
from collections.abc import Callable, Coroutine

from aiohttp import web
from amqtt.errors import PluginError, PluginLoadError
from amqtt.plugins.base import BasePlugin

from broker.audit import Audit
from broker.census import Census
from broker.clients import Clients
from broker.connection import Connection, End, Outbox, Wire
from broker.doors.bodies import answer
from broker.doors.metrics import CONNECTIONS as METRICS_CONNECTIONS
from broker.doors.metrics import MetricsDoor, exposition
from broker.doors.sockets import ListenError, listen
from broker.doors.tcp import TcpDoor
from broker.doors.tls import DAY, CertificateError, ServedCertificate
from broker.doors.web import WebDoor
from broker.fanout import Fanout, RetainedPresent
from broker.gate import ConnackCode, Gate, Refused
from broker.metrics import Metrics
from broker.overrides import HardenedBroker, LightSession
from broker.packets import MalformedPacketError, ProtocolLevelError, connack
from broker.places import Places, open_files_for
from broker.plugin import (
    CALLER,
    IDENTITY_ATTRIBUTE,
    NOBODY,
    Action,
    Actor,
    Audience,
    BoxPlugin,
    Command,
    Entry,
    Identity,
    Reason,
    Refusal,
    StorageUnavailableError,
    migrations_of,
)
from broker.rates import Rate
from broker.storage.damage import WayBack
from broker.storage.database import Database, DatabaseError
from broker.storage.health import Health, probe
from broker.storage.schedule import BackupSchedule
from broker.topics import matches
from config import Settings
from config.settings import DoorSettings

logger = logging.getLogger(__name__)

STOP_SECONDS = 3.0
"""How long connections may take to come down when the box stops."""

CERTIFICATE_SECONDS = 60.0
"""How often the certificates' files are looked at, for one that was renewed."""

FOREIGN_CHANGE_AGAIN_SECONDS = 1.0
"""When the plugins are told again of what another program wrote, where one could not take it in."""

QUIET_CONNECTIONS = 50
"""With no more a look at all of Python's objects takes some 10 ms."""


def _leave(command: Command) -> None:
    """Take no notice of a command that comes while the box stops: it is not acknowledged, so its client sends it again
    to the box that is there next."""


class StartError(Exception):
    """The box cannot start; the message is one sentence for the owner."""


def plugin_classes(settings: Settings) -> list[type[BasePlugin]]:
    """The configured plugins, by their dotted paths. Raises StartError."""
    classes = []
    for path in settings.plugins:
        module, _, name = path.rpartition(".")
        try:
            found = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise StartError(f"the plugin {path} cannot be loaded: {error}") from error
        if not (isinstance(found, type) and issubclass(found, BasePlugin)):
            raise StartError(f"the plugin {path} is not an amqtt plugin (a subclass of BasePlugin)")
        classes.append(found)
    return classes


class Host:
    """One box. ``now`` is the wall clock (seconds since 1970), ``monotonic`` one that nobody sets (seconds);
    ``command`` is how its owner calls this program.

    What plugins see of it is :class:`broker.plugin.Box`, what connections see :class:`broker.connection.Switchboard`.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        command: str = "run_broker.py",
    ) -> None:
        self.settings = settings
        self.limits = settings.limits
        self.now = now
        self.monotonic = monotonic
        self.metrics = Metrics(monotonic=monotonic)
        self.database = Database(settings.database.path, committed=self.metrics.committed)
        self._way_back = WayBack.of(settings, command)
        self._backups = BackupSchedule(
            self._way_back.folders, interval=settings.backup.interval_hours * 3600, keep=settings.backup.keep, now=now
        )
        self.commands: dict[str, Callable[[Command], None]] = {}
        self.packets_received = [0] * 16
        self.clients = Clients()
        self.census = Census(self)
        self.health = Health(
            lambda: self.database.write(probe, quick=True), patience_seconds=settings.limits.connect_seconds
        )
        self.audit: Audit
        self.places: Places
        self.messages: Rate
        self.outbox: Outbox
        self.broker: HardenedBroker
        self.fanout: Fanout
        self.gate: Gate
        self.web: WebDoor
        self.tcp: TcpDoor
        self.metrics_addresses: list[tuple[str, int]] = []
        """Where the metrics door listens, as host and port; empty when it is off."""
        self._server_topics: list[str] = []
        self._plugins: list[BoxPlugin] = []
        self._sessions_of: dict[Identity, LightSession] = {}
        self._certificates: dict[str, ServedCertificate] = {}
        self._told_of_certificates = 0.0
        self._foreign_change = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = contextlib.AsyncExitStack()

    @property
    def web_addresses(self) -> list[tuple[str, int]]:
        """Where the web door listens, as host and port."""
        return self.web.addresses

    @property
    def tcp_addresses(self) -> list[tuple[str, int]]:
        """Where the TCP door listens; empty when it is off."""
        return self.tcp.addresses

    @property
    def is_quiet(self) -> bool:
        """Whether so few are connected that a pause of some milliseconds is nobody's waiting."""
        return len(self.clients) <= QUIET_CONNECTIONS

    # Life

    async def start(self) -> None:
        """Open the database, load the plugins, open the doors. Raises StartError."""
        async with contextlib.AsyncExitStack() as stack:
            try:
                await self._start(stack)
            except StorageUnavailableError as error:
                raise StartError(f"{self.settings.database.path}: {error}") from error
            except (DatabaseError, ListenError, CertificateError) as error:
                raise StartError(str(error)) from error
            except (PluginError, PluginLoadError) as error:
                raise StartError(f"a plugin cannot be loaded: {error.__cause__ or error}") from error
            self._stopping = stack.pop_all()

    async def stop(self) -> None:
        """Take no new work, finish and answer what is in flight, close."""
        for topic in self.commands:
            self.commands[topic] = _leave
        self.database.hurry()
        self._backups.hurry()
        await self._stopping.aclose()

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        loop = asyncio.get_running_loop()
        self.audit = Audit(self.database, now=self.now, call_later=loop.call_later)
        self.database.lock()
        stack.push_async_callback(self.database.close)
        stack.push_async_callback(self._backups.close)
        await asyncio.to_thread(self._way_back.require_sound, self.now())
        self.database.open(
            migrations_of(plugin_classes(self.settings)),
            foreign_change=self._foreign_change.set,
            settled=self.audit.settled,
        )
        self.audit.open()
        stack.push_async_callback(self.audit.close)
        stack.push_async_callback(self.health.close)

        limits = self.limits
        self.metrics.add(self.census)
        self.messages = Rate(limits.messages_per_second, 1, burst=limits.messages_burst, clock=self.monotonic)
        self.places = self._places(open_files_for(limits.max_connections), limits.max_connections_per_address)
        self.outbox = Outbox(loop)
        self.broker = HardenedBroker(self.settings.plugins, self.limits, refused=self.refused)
        if not self.broker.auth_plugins or not self.broker.topic_plugins:
            raise StartError("without an auth plugin and a topic plugin nobody would be held to anything: add both")
        self.fanout = self.broker.fanout = Fanout(
            loop,
            window_seconds=self.settings.fanout.window_milliseconds / 1000,
            outbound_bytes=self.limits.outbound_bytes,
            stuck_seconds=self.limits.stuck_seconds,
            users_of_role=self.clients.users_of_role,
            written=self.metrics.fanned_out,
        )
        self._plugins = [p for p in self.broker.plugins_manager.plugins if isinstance(p, BoxPlugin)]
        stack.callback(self.fanout.close)
        for plugin in self._plugins:
            plugin.box = self
        for plugin in self._plugins:
            stack.push_async_callback(plugin.closing)
            await plugin.opened(self)
            self.commands.update(plugin.commands())
            self._server_topics.extend(plugin.server_topics())
            self.fanout.presents.extend(plugin.presents())
            self.metrics.add(*plugin.metrics())
        self.fanout.presents.append(RetainedPresent(self.broker.retained))
        self.gate = Gate(
            self.broker,
            default_role=self.settings.auth.default_role,
            closed_topics=[*self.commands, *self._server_topics],
        )
        stack.callback(self._spawn(self._take_in_foreign_changes()).cancel)
        await stack.enter_async_context(self.broker.running())
        await self._open_doors(stack)
        self._backups.start()

    def _places(self, connections: int, of_address: int) -> Places:
        limits = self.limits
        rate = Rate(limits.connections_per_second, 1, burst=limits.connections_burst, clock=self.monotonic)
        return Places(connections, of_address, rate=rate, refused=self.refused)

    async def _open_doors(self, stack: contextlib.AsyncExitStack) -> None:
        listeners = self.settings.listeners
        self.tcp = TcpDoor(self.serve, self.places, self.limits.connect_seconds)
        self.web = WebDoor(
            listeners.web,
            self.limits,
            serve=self.serve,
            places=self.places,
            messages=self.messages,
            identify=self.identify,
            refused=self.refused,
            routes=[
                web.get("/healthz", self._health),
                web.get("/metrics", self._metrics),
                *(r for p in self._plugins for r in p.routes()),
            ],
        )
        stack.push_async_callback(self.web.closed)
        stack.push_async_callback(self._end_connections)  # before aiohttp would cancel those of browsers
        stack.callback(self.web.close)
        web_tls = self._tls("listeners.web", listeners.web)
        tcp_tls = self._tls("listeners.tcp", listeners.tcp) if listeners.tcp.bind is not None else None
        await self.web.open(listen(listeners.web.bind, "listeners.web.bind"), web_tls)
        if listeners.tcp.bind is not None:
            stack.callback(self.tcp.close)
            await self.tcp.open(listen(listeners.tcp.bind, "listeners.tcp.bind"), tcp_tls)
        if listeners.metrics.bind is not None:
            door = MetricsDoor(
                self.metrics,
                self.limits,
                places=self._places(METRICS_CONNECTIONS, METRICS_CONNECTIONS),
                is_own_host=self.web.own_names.has,
            )
            stack.push_async_callback(door.close)
            await door.open(listen(listeners.metrics.bind, "listeners.metrics.bind"))
            self.metrics_addresses = door.addresses
        if self._certificates:
            self._tell_of_certificates()
            stack.callback(self._spawn(self._watch_certificates()).cancel)

    # Certificates

    def _tls(self, name: str, door: DoorSettings) -> ssl.SSLContext | None:
        if door.certfile is None or door.keyfile is None:
            return None
        self._certificates[name] = served = ServedCertificate(door.certfile, door.keyfile)
        return served.context

    async def _watch_certificates(self) -> None:
        while True:
            await asyncio.sleep(CERTIFICATE_SECONDS)
            self._renew_certificates()
            if self.now() - self._told_of_certificates >= DAY:
                self._tell_of_certificates()

    def _renew_certificates(self) -> None:
        for name, served in self._certificates.items():
            try:
                if served.renew():
                    logger.info("%s: the certificate is renewed; new connections get it", name)
            except (CertificateError, OSError) as error:
                logger.error("%s: the certificate is not renewed: %s", name, error)

    def _tell_of_certificates(self) -> None:
        self._told_of_certificates = now = self.now()
        for name, served in self._certificates.items():
            if problem := served.certificate.wrong_now(now) or served.certificate.wrong_soon(now):
                logger.warning("%s: %s; renew it", name, problem)

    async def _end_connections(self) -> None:
        with contextlib.suppress(StorageUnavailableError):
            await self.database.write(lambda db: None)  # what was taken before is on disk and answered after this
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self.clients.end_all()

    async def _take_in_foreign_changes(self) -> None:
        """What another program wrote comes to every plugin, again and again until all have taken it in: with it users
        are disabled, and no further news would tell of them."""
        failing: set[BoxPlugin] = set()
        while True:
            await self._foreign_change.wait()
            self._foreign_change.clear()
            for plugin in self._plugins:
                try:
                    await plugin.database_changed()
                except Exception as error:
                    if plugin not in failing:
                        failing.add(plugin)
                        fault = None if isinstance(error, (StorageUnavailableError, Refusal)) else error
                        logger.error("What another program wrote is not taken in yet: %s", error, exc_info=fault)
                else:
                    failing.discard(plugin)
            if failing:
                self._foreign_change.set()
                await asyncio.sleep(FOREIGN_CHANGE_AGAIN_SECONDS)

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # One connection, from its door to its end

    async def serve(self, wire: Wire) -> None:
        """Run a connection: gate, takeover, broker. Returns when nothing of it is left in the box."""
        connection = Connection(wire, self)
        self.clients.arrived(connection)
        self.census.opened(connection)
        try:
            await self._admit_and_serve(connection)
        except ProtocolLevelError:
            self._refuse(connection, ConnackCode.PROTOCOL_LEVEL, "protocol_level")
        except MalformedPacketError as error:
            logger.info("Bytes from %s: %s", wire.address, error)
            connection.end(End.by(error))
        except (StorageUnavailableError, ConnectionError) as error:
            if isinstance(error, StorageUnavailableError):
                self._refuse(connection, None, "storage_unavailable")
            logger.warning("A client from %s could not be served: %s", wire.address, error)
        except Exception:
            logger.exception("A connection from %s ended by a fault of the box", wire.address)
        finally:
            connection.end(End.LOST)
            self.clients.left(connection)
            if connection.user is None:
                self.messages.forget(connection.rate_key)
            self.census.ended(connection)
            connection.finished()

    async def _admit_and_serve(self, connection: Connection) -> None:
        connect = await connection.read_connect()
        if connect is None:
            return
        try:
            await self.gate.admit(connection, connect)
            if connection.user is None and not self.places.has_one_for_guests:
                raise Refused(None, "guest_places", "the last places are kept for users who sign in")
        except Refused as refused:
            logger.info("A client from %s is refused: %s", connection.wire.address, refused)
            self._refuse(connection, refused.code, refused.reason)
            return
        try:
            await self.clients.enter(connection)
            if connection.ended is None:
                await self.broker.serve(connection)
        finally:
            self.clients.leave(connection)

    def _refuse(self, connection: Connection, code: ConnackCode | None, reason: Reason | None) -> None:
        if reason is not None:
            self.refused(reason)
        if code is not None:
            connection.send(connack(code))
        connection.end(End.REFUSED)

    # For connections (broker.connection.Switchboard)

    def allows(self, connection: Connection, action: Action, topic: str) -> bool:
        if action is Action.PUBLISH and self._is_server_topic(topic):
            return False
        return self.broker.allows(connection.session, action, topic)

    def forbidden(self, connection: Connection, topic: str) -> None:
        identity = connection.identity
        # Of a topic that a client made up no more is kept than that it was one.
        action = topic if topic in self.commands else "publish"
        self.audit.gather_alone(Entry(identity.user_id, connection.network, action, "forbidden"))
        for plugin in self._plugins:
            plugin.forbidden(identity, topic)

    def wait_for_drain(self, connection: Connection) -> None:
        self.fanout.wait_for_drain(connection)

    def _is_server_topic(self, topic: str) -> bool:
        return any(matches(topic_filter, topic) for topic_filter in self._server_topics)

    # For plugins (broker.plugin.Box)

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, audience: Audience | None = None) -> None:
        self.fanout.publish(topic, payload, qos, audience)

    def renew(self, topic: str) -> None:
        self.fanout.renew(topic)

    def may(self, identity: Identity, action: Action, topic: str) -> bool:
        if identity.is_guest and not self.settings.auth.allow_guests:
            return False
        session = self._sessions_of.get(identity)
        if session is None:
            if len(self._sessions_of) >= 1024:
                self._sessions_of.clear()
            session = self._sessions_of[identity] = LightSession(identity.username, None, "")
            session.attributes[IDENTITY_ATTRIBUTE] = identity
        return self.broker.allows(session, action, topic)

    async def identify(self, username: str | None, password: str, address: str) -> Identity | None:
        session = await self.gate.identify(username, password, address)
        if session is None:
            return None
        identity: Identity = session.attributes[IDENTITY_ATTRIBUTE]
        return identity

    def refused(self, reason: Reason) -> None:
        self.metrics.refused(reason)

    def is_connected(self, user_id: str) -> bool:
        return self.clients.is_connected(user_id)

    async def end_user(
        self,
        user_id: str,
        *,
        role: str | None = None,
        deactivated: bool = False,
        cancel_bookings: bool = False,
        by: Actor = NOBODY,
    ) -> None:
        def still_may(identity: Identity, topic: str) -> bool:
            return role is not None and self.may(dataclasses.replace(identity, role=role), Action.PUBLISH, topic)

        self.broker.forget_retained(user_id, still_may)
        await self.clients.end_user(user_id)
        if deactivated:
            for plugin in self._plugins:
                await plugin.user_deactivated(user_id, cancel_bookings=cancel_bookings, by=by)

    # HTTP of the box itself

    async def _health(self, request: web.Request) -> web.Response:
        trouble = await self.health.trouble()
        if trouble is not None:
            return answer({"status": trouble}, 503)
        return answer({"status": "ok"})

    async def _metrics(self, request: web.Request) -> web.Response:
        identity = request[CALLER].identity
        if identity.is_guest:
            raise Refusal("unauthorized", "sign in first", status=401)
        if identity.role != "manager":
            raise Refusal("forbidden", "only managers may read the metrics", status=403)
        return await exposition(self.metrics)
