"""How many connections there may be: in all, from one address, and how fast from one."""

from __future__ import annotations

import logging
import resource
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

from broker.metrics import Reason
from broker.rates import Rate

logger = logging.getLogger(__name__)

KEPT_FOR_SIGNED_IN = 5
"""One in so many places is kept for users who sign in."""


FILES_BESIDE_CONNECTIONS = 128
"""Descriptors kept for the database, the listening sockets and what else a process opens."""


def open_files_for(connections: int) -> int:
    """Raise the process's limit of open files as far as it may go; returns how many connections it allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY or hard - FILES_BESIDE_CONNECTIONS >= connections:
        return connections
    logger.warning("The system allows %d open files, so at most %d connections", hard, hard - FILES_BESIDE_CONNECTIONS)
    return max(1, hard - FILES_BESIDE_CONNECTIONS)


class Idle(Protocol):
    """A connection that was answered and waits for another request, which can come by another one just as well."""

    def is_idle(self) -> bool:
        """Whether that is so at this moment."""

    def give_way(self) -> None:
        """Free the place, and end."""


class Places:
    """How many connections there may be, in all and from one address, and how fast, on all doors together.

    A connection is counted from the moment it is accepted; one from a trusted proxy, which stands for many, in all
    alone. Where none is left for a new one, an idle one of HTTP gives way (RFC 9112 §9.5 lets it end at any time): a
    browser keeps six of them for what may come, and a crowd of browsers behind one address would else keep itself out.
    ``rate`` is that of new connections of one address; ``refused`` is told the name of the limit that a connection met.
    """

    def __init__(
        self, max_connections: int, max_per_address: int, *, rate: Rate, refused: Callable[[Reason], None]
    ) -> None:
        self._max_connections = max_connections
        self._max_per_address = max_per_address
        self._rate = rate
        self._refused = refused
        self._taken = 0
        self._by_network: Counter[str] = Counter()
        self._idle: dict[str | None, dict[Idle, None]] = {}
        """By network, in the order in which they fell idle."""
        self._idle_now = 0
        self.refused_now = 0
        """Connections without a place that a door keeps just to tell them so."""

    def __len__(self) -> int:
        return self._taken

    def take(self, network: str | None, *, is_new: bool = True) -> bool:
        """Take a place, if there is one; :meth:`free` gives it back. ``network`` is as :func:`network_of` says.

        ``is_new`` is False of a connection that had a place for its TLS handshake: it has come but once.
        """
        giving_way: Idle | None = None
        if self._taken >= self._max_connections and (giving_way := self._one_idle(self._idle)) is None:
            self._refused("max_connections")
            return False
        if not self.take_share(network, is_new=is_new):
            return False
        if giving_way is not None and self._taken >= self._max_connections:
            giving_way.give_way()
        self._taken += 1
        return True

    def free(self, network: str | None) -> None:
        self._taken -= 1
        self.free_share(network)

    def take_share(self, network: str | None, *, is_new: bool = True) -> bool:
        """Take one of an address's places for a connection that is counted in all already: through a proxy."""
        if network is None:
            return True
        giving_way: Idle | None = None
        is_full = self._by_network.get(network, 0) >= self._max_per_address
        if is_full and (giving_way := self._one_idle((network,))) is None:
            self._refused("max_connections_per_address")
            return False
        if is_new and self._rate.take(network):
            self._refused("connections_per_second")
            return False
        if giving_way is not None:
            giving_way.give_way()
        self._by_network[network] += 1
        return True

    def free_share(self, network: str | None) -> None:
        if network is not None:
            self._by_network[network] -= 1
            if self._by_network[network] <= 0:
                del self._by_network[network]

    def fell_idle(self, network: str | None, connection: Idle) -> None:
        """It may be asked to give way, until it :meth:`is_used`."""
        self.is_used(network, connection)
        self._idle.setdefault(network, {})[connection] = None
        self._idle_now += 1

    def is_used(self, network: str | None, connection: Idle) -> None:
        """It has a request again, or is no more."""
        idle = self._idle.get(network, {})
        if connection in idle:
            del idle[connection]
            self._idle_now -= 1
            if not idle:
                del self._idle[network]

    def _one_idle(self, networks: Iterable[str | None]) -> Idle | None:
        """Of the first of these networks that has any, the one that has been idle for longest."""
        return next((each for network in networks for each in self._idle.get(network, ()) if each.is_idle()), None)

    @property
    def has_one_for_guests(self) -> bool:
        """Whether a guest who is in may stay: the last places are for those who sign in. Idle ones are as good as
        free."""
        return self._taken - self._idle_now <= self._max_connections - self._max_connections // KEPT_FOR_SIGNED_IN
