"""The interface for plugins: all that one may contribute to the box and rely on, in this one file.

A plugin is an amqtt plugin (``amqtt.plugins.base.BasePlugin`` and its kin, with a dataclass ``Config``), loaded by its
dotted path from ``[plugins]`` of the settings. One that also derives from :class:`BoxPlugin` may contribute more:
command topics, the present of topics, HTTP routes, tables, commands of the command line. It overrides what it needs.

All methods are called in the event loop's thread and must not block it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from aiohttp import web

from broker import audit
from broker.audit import NOBODY, Actor, Audit, Entry, record
from broker.metrics import Reason
from broker.storage import health
from broker.storage.database import Database, StorageUnavailableError

if TYPE_CHECKING:
    import sqlite_utils
    import typer
    from prometheus_client.registry import Collector
    from sqlite_utils import Migrations

    from config import Settings

__all__ = [
    "CALLER",
    "IDENTITY_ATTRIBUTE",
    "NOBODY",
    "Action",
    "Actor",
    "Audience",
    "Audit",
    "Box",
    "BoxPlugin",
    "Caller",
    "Command",
    "Database",
    "Entry",
    "Identity",
    "Message",
    "Present",
    "Reason",
    "Refusal",
    "StorageUnavailableError",
    "migrations_of",
    "record",
]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is, as established once at the gate or for one HTTP call.

    ``user_id`` is a lower-case UUID, None for a guest; ``role`` names a ``[policy.<role>]``.
    """

    user_id: str | None
    username: str | None
    role: str

    @property
    def is_guest(self) -> bool:
        return self.user_id is None


IDENTITY_ATTRIBUTE = "lynrie.identity"
"""Key of ``Session.attributes``. An auth plugin that answers True in ``authenticate`` may store an :class:`Identity`
there; for one that does not (amqtt's own), the gate makes one with the role ``auth.default_role``."""


class Action(StrEnum):
    """What somebody wants with a topic. The values are amqtt's."""

    PUBLISH = "publish"
    SUBSCRIBE = "subscribe"
    RECEIVE = "receive"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes an HTTP call, and from where: an IPv4 address or an IPv6 /64. ``token`` is the bearer token that was
    used, if one was."""

    identity: Identity
    address: str
    token: str | None = None


CALLER = web.RequestKey("caller", Caller)
"""``request[CALLER]`` in every HTTP handler: a guest's identity where nobody signed in."""


@dataclass(slots=True, eq=False)
class Command:
    """A PUBLISH to a command topic, taken from the door with the identity that the gate established.

    ``address`` is where the client is: an IPv4 address or an IPv6 /64. The handler calls ``acknowledge()`` exactly
    once: when the command's outcome is on disk, or when it was refused and changed nothing. The connection's
    acknowledgements leave in the order of its commands. Acknowledging after the client has gone does nothing.
    """

    topic: str
    payload: bytes
    identity: Identity
    address: str
    acknowledge: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Audience:
    """Who may see a message beyond what the policy says of its topic: these users, and users of these roles."""

    users: frozenset[str]
    roles: frozenset[str] = field(default=frozenset())

    def includes(self, identity: Identity) -> bool:
        return identity.user_id in self.users or identity.role in self.roles


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a present: its payload and the QoS of its publication (0 or 1)."""

    payload: bytes
    qos: int = 0


@runtime_checkable
class Present(Protocol):
    """What a subscriber of some topics gets first: the state that their live messages go on from.

    The fan-out asks and joins in one step, so the copy that answers must already contain every message that was
    handed to :meth:`Box.publish` for the topic.
    """

    async def prepare(self, topic_filter: str, identity: Identity) -> None:
        """Bring into memory what :meth:`topics` and :meth:`messages` will need for this subscription."""

    def topics(self, topic_filter: str, identity: Identity) -> Iterable[str]:
        """The topics that ``topic_filter`` matches and that have a present for ``identity``, in the order wanted."""

    def messages(self, topic: str, identity: Identity) -> Sequence[Message]:
        """The present of one topic. Return the same object until it changes: it is encoded once for all."""

    def replaces_backlog(self, topic: str) -> bool:
        """Whether a connection too slow to keep up may be given this present instead of the topic's messages."""


class Refusal(Exception):  # noqa: N818  # the field's word; it is an answer, not a failure of the program
    """A request that was refused and changed nothing: ``code`` for programs, ``message`` for people.

    ``status`` is the HTTP status where the call came by HTTP; ``details`` are further, validated fields of the answer;
    ``retry_after`` is when it may be tried again, in seconds, 0.0 where time changes nothing.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int = 400,
        details: Mapping[str, Any] | None = None,
        retry_after: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.details = dict(details or {})
        self.retry_after = retry_after


class Box(Protocol):
    """What the box offers to a plugin."""

    settings: Settings
    database: Database
    audit: Audit

    def now(self) -> float:
        """The wall clock: seconds since 1970, UTC. Somebody may set it, the network's time too."""

    def monotonic(self) -> float:
        """Seconds that pass however the wall clock is set; counted from anywhere, and not while the machine sleeps."""

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, audience: Audience | None = None) -> None:
        """Send a live message to the topic's subscribers whom the policy, and ``audience`` if given, let see it.

        At QoS 0 without an audience it may wait up to ``fanout.window_milliseconds`` to leave together with others; so
        publish to one topic always in the same way.
        """

    def renew(self, topic: str) -> None:
        """Give the topic's subscribers its present anew, because it changed other than by live messages."""

    def may(self, identity: Identity, action: Action, topic: str) -> bool:
        """Whether the topic plugins allow it, as they do for MQTT."""

    async def identify(self, username: str | None, password: str, address: str) -> Identity | None:
        """Ask the auth plugins, as for a CONNECT. Without a username the password is a bearer token.

        An auth plugin may refuse to decide by raising :class:`Refusal`, as for somebody who tried too often.
        """

    def refused(self, reason: Reason) -> None:
        """Count a refusal for ``/metrics``, by one of the words of :data:`broker.metrics.Reason`."""

    def is_connected(self, user_id: str) -> bool:
        """Whether a client of the user is connected by MQTT."""

    async def end_user(
        self,
        user_id: str,
        *,
        role: str | None = None,
        deactivated: bool = False,
        cancel_bookings: bool = False,
        by: Actor = NOBODY,
    ) -> None:
        """End a user's connections, without their Last Wills; if ``deactivated``, also tell every plugin
        (:meth:`BoxPlugin.user_deactivated`). ``role`` is the one that they have now, None if they may no longer act:
        what they have retained where it may not publish is forgotten."""


class BoxPlugin:
    """What a plugin may contribute. Every method has a default that contributes nothing."""

    box: Box

    @classmethod
    def migrations(cls) -> Migrations | None:
        """The plugin's tables, as sqlite-utils ``Migrations`` with a name of its own; applied before :meth:`opened`."""
        return None

    @classmethod
    def names(cls, db: sqlite_utils.Database, ids: Collection[str]) -> Mapping[str, str]:
        """What people call those of the plugin's things that have one of these ids, by id: a username, a number.

        Here and in :meth:`ids_of` the tables may not be there yet, or be an older box's."""
        return {}

    @classmethod
    def ids_of(cls, db: sqlite_utils.Database, name: str) -> Collection[str]:
        """The ids of the plugin's things that people call so."""
        return ()

    @classmethod
    def restored(cls, db: sqlite_utils.Database) -> None:
        """``db`` is a backup that is about to become the database again: end in it what must not come back to life.

        In a transaction; tables that came with a later version than the backup's are not there yet.
        """

    @classmethod
    def contents(cls, db: sqlite_utils.Database) -> Mapping[str, int]:
        """How many of what is in the tables, in the owner's words, such as ``{"bookings": 12}``; as :meth:`restored`,
        of a database that may be older than this version."""
        return {}

    @classmethod
    def command_line(cls) -> typer.Typer | None:
        """Commands for ``run_broker.py``; a Typer with a name becomes a group, one without adds its commands."""
        return None

    async def opened(self, box: Box) -> None:
        """The database is open and migrated; nobody is connected yet. ``self.box`` is already set."""

    async def closing(self) -> None:
        """The doors are closed to new work; finish what is in flight. The database closes afterwards."""

    def commands(self) -> Mapping[str, Callable[[Command], None]]:
        """Topics that this plugin takes as commands. A command never reaches amqtt or any subscriber."""
        return {}

    def server_topics(self) -> Sequence[str]:
        """Topic filters whose topics only the box itself publishes; a client's PUBLISH or Last Will is refused."""
        return ()

    def presents(self) -> Sequence[Present]:
        """The presents of this plugin's topics."""
        return ()

    def routes(self) -> Sequence[web.RouteDef]:
        """HTTP routes: aiohttp handlers. ``request[CALLER]`` says who calls; raise :class:`Refusal` to refuse. A
        WebSocket on ``/`` does not come to them: it is a client's."""
        return ()

    def metrics(self) -> Sequence[Collector]:
        """What the plugin adds to ``/metrics``, asked for after :meth:`opened`. A collector is asked in the loop, at
        most a few times a second; no label may hold what clients send. :mod:`broker.metrics` has what makes one."""
        return ()

    def forbidden(self, identity: Identity, topic: str) -> None:
        """A signed-in client's PUBLISH to ``topic`` was refused by the policy and dropped."""

    async def user_deactivated(self, user_id: str, *, cancel_bookings: bool, by: Actor) -> None:
        """The user may no longer act, by what ``by`` did: end what is theirs in this plugin.

        What cannot be ended, because nothing can be written, is for :meth:`database_changed` and the next start to end.
        """

    async def database_changed(self) -> None:
        """Another process (an import, the command line) wrote to the database file.

        Where it raises it comes again, a second later, until it does not.
        """


RouteHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def migrations_of(plugins: Sequence[type]) -> list[Migrations]:
    """All tables of a box with these plugins: its own first."""
    contributed = [plugin.migrations() for plugin in plugins if issubclass(plugin, BoxPlugin)]
    return [
        health.migrations,
        audit.MIGRATIONS,
        *(contribution for contribution in contributed if contribution is not None),
    ]
