"""The topic index: who is subscribed to what. No sockets, no clock.

A trie over topic levels, so that finding a topic's subscribers costs its depth and their number, never the number of
other subscriptions. Each filter's subscribers are kept by user, so that a message for few eyes finds them
without a walk over everybody who subscribed to the same wildcard.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

MAX_LEVELS = 32
MAX_FILTER_CHARACTERS = 1024
"""A longer or deeper filter is refused: each level of each costs memory for as long as it is subscribed to."""

S = TypeVar("S")
User = str | None


class _Level(Generic[S]):
    __slots__ = ("below", "users")

    def __init__(self) -> None:
        self.below: dict[str, _Level[S]] = {}
        self.users: dict[User, dict[S, int]] = {}


def is_bounded(topic_filter: str) -> bool:
    """Whether a filter is short and shallow enough to be kept, or a topic to be looked for."""
    return len(topic_filter) <= MAX_FILTER_CHARACTERS and topic_filter.count("/") < MAX_LEVELS


class SubscriptionIndex(Generic[S]):
    """Topic filters (MQTT 3.1.1 §4.7) to subscribers with their granted QoS. Filters and topics must be valid."""

    def __init__(self) -> None:
        self._root: _Level[S] = _Level()

    def add(self, topic_filter: str, subscriber: S, user: User, qos: int) -> None:
        """Subscribe, or change the QoS of a subscription that exists (MQTT-3.8.4-3)."""
        level = self._root
        for name in topic_filter.split("/"):
            level = level.below.setdefault(name, _Level())
        level.users.setdefault(user, {})[subscriber] = qos

    def remove(self, topic_filter: str, subscriber: S, user: User) -> None:
        """Unsubscribe; leaves no key behind of a filter that nobody uses any more (amqtt.md, fact 15)."""
        path = [self._root]
        names = topic_filter.split("/")
        for name in names:
            level = path[-1].below.get(name)
            if level is None:
                return
            path.append(level)
        subscribers = path[-1].users.get(user)
        if subscribers is None or subscribers.pop(subscriber, None) is None:
            return
        if not subscribers:
            del path[-1].users[user]
        for parent, name, level in zip(path[-2::-1], names[::-1], path[:0:-1], strict=True):
            if level.users or level.below:
                break
            del parent.below[name]

    def subscribers(self, topic: str, users: Iterable[User] | None = None) -> dict[S, int]:
        """Who gets a message to ``topic``, each once, with the highest QoS of the matching subscriptions
        (MQTT-3.3.5-1). With ``users``, only subscribers of these."""
        found: dict[S, int] = {}
        levels = self._matching(topic)
        for level in levels:
            if users is None:
                groups: Iterable[dict[S, int]] = level.users.values()
            else:
                groups = [level.users[user] for user in users if user in level.users]
            for group in groups:
                if not found:
                    found.update(group)
                else:
                    for subscriber, qos in group.items():
                        if found.get(subscriber, -1) < qos:
                            found[subscriber] = qos
        return found

    def filters(self) -> dict[str, dict[S, int]]:
        """All subscriptions, by filter; for inspection."""
        found: dict[str, dict[S, int]] = {}
        still: list[tuple[_Level[S], tuple[str, ...]]] = [(self._root, ())]
        while still:
            level, names = still.pop()
            if level.users:
                found["/".join(names)] = {s: qos for group in level.users.values() for s, qos in group.items()}
            still += [(below, (*names, name)) for name, below in level.below.items()]
        return found

    def _matching(self, topic: str) -> list[_Level[S]]:
        names = topic.split("/")
        found: list[_Level[S]] = []
        current = [self._root]
        for depth, name in enumerate(names):
            following: list[_Level[S]] = []
            wildcards = depth > 0 or not topic.startswith("$")  # MQTT-4.7.2-1
            for level in current:
                below = level.below
                if (exact := below.get(name)) is not None:
                    following.append(exact)
                if wildcards:
                    if (single := below.get("+")) is not None:
                        following.append(single)
                    if (multi := below.get("#")) is not None:
                        found.append(multi)
            if not following:
                return found
            current = following
        for level in current:
            if level.users:
                found.append(level)
            if (multi := level.below.get("#")) is not None:  # a/# matches a, too (§4.7.1.2)
                found.append(multi)
        return found
