"""What you may: publishing, subscribing and receiving by role, as ``[policy.<role>]`` says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from amqtt.plugins.base import BaseTopicPlugin
from amqtt.session import Session

from broker.plugin import IDENTITY_ATTRIBUTE, Action, Box, BoxPlugin, Identity
from broker.topics import covers, is_topic_filter, is_topic_name, matches
from config import SettingsError
from config.settings import RolePolicy

OWNER = "{user_id}"
"""Stands for the user's own id in a grant."""


@dataclass(frozen=True, slots=True)
class Grants:
    """The topic filters that a role was granted: those for all of the role, and those naming their owner."""

    for_all: tuple[str, ...] = ()
    for_owner: tuple[str, ...] = ()

    @classmethod
    def of(cls, topic_filters: Iterable[str]) -> Grants:
        listed = tuple(topic_filters)
        return cls(
            for_all=tuple(grant for grant in listed if OWNER not in grant),
            for_owner=tuple(grant for grant in listed if OWNER in grant),
        )

    def of_user(self, user_id: str | None) -> Iterator[str]:
        """The grants as they stand for one user; a guest, who owns nothing, has only those for all."""
        yield from self.for_all
        if user_id is not None and _is_level(user_id):
            for grant in self.for_owner:
                yield grant.replace(OWNER, user_id)


NOTHING = Grants()


class Policy:
    """Decides by role; a role that the settings do not name may do nothing.

    Raises SettingsError if a grant is no topic filter, with one line for each that is not.
    """

    def __init__(self, roles: Mapping[str, RolePolicy]) -> None:
        if findings := [
            f"policy.{role}.{action} = {grant!r}: must be an MQTT topic filter, such as seats/status/#"
            for role, policy in roles.items()
            for action, grants in (("publish", policy.publish), ("subscribe", policy.subscribe))
            for grant in grants
            if not is_topic_filter(grant)
        ]:
            raise SettingsError("\n".join(findings))
        self._publish = {role: Grants.of(policy.publish) for role, policy in roles.items()}
        self._subscribe = {role: Grants.of(policy.subscribe) for role, policy in roles.items()}

    def may(self, identity: Identity, action: Action, topic: str) -> bool:
        """Whether ``identity`` may; ``topic`` is a topic filter for SUBSCRIBE, else a topic name."""
        match action:
            case Action.PUBLISH:
                return is_topic_name(topic) and self._may_publish(identity, topic)
            case Action.SUBSCRIBE:
                return is_topic_filter(topic) and self._may_subscribe(identity, topic)
            case Action.RECEIVE:
                return self._may_receive(identity, topic)

    def _may_publish(self, identity: Identity, topic: str) -> bool:
        grants = self._publish.get(identity.role, NOTHING)
        return any(matches(grant, topic) for grant in grants.of_user(identity.user_id))

    def _may_receive(self, identity: Identity, topic: str) -> bool:
        grants = self._subscribe.get(identity.role, NOTHING)
        return any(matches(grant, topic) for grant in grants.of_user(identity.user_id))

    def _may_subscribe(self, identity: Identity, topic_filter: str) -> bool:
        """Every topic that the filter can match must be granted; a wildcard for the owner means *mine*.

        The subscription stays as wide as it was asked for: what is not the subscriber's own is kept from it
        message by message, as RECEIVE.
        """
        grants = self._subscribe.get(identity.role, NOTHING)
        if any(covers(grant, topic_filter) for grant in grants.for_all):
            return True
        user_id = identity.user_id
        if user_id is None or not _is_level(user_id):
            return False
        return any(
            covers(grant.replace(OWNER, user_id), _mine(topic_filter, grant, user_id)) for grant in grants.for_owner
        )


def _mine(topic_filter: str, grant: str, user_id: str) -> str:
    """``topic_filter`` with the user's own id for a wildcard where ``grant`` has its owner: ``users/+/holds``
    becomes ``users/{user_id}/holds``, ``users/#`` becomes ``users/{user_id}/#``."""
    levels = topic_filter.split("/")
    for place, level in enumerate(grant.split("/")):
        if level == OWNER and place < len(levels):
            if levels[place] == "+":
                levels[place] = user_id
            elif levels[place] == "#":
                levels[place:] = [user_id, "#"]
    return "/".join(levels)


def _is_level(user_id: str) -> bool:
    # Our own ids are UUIDs; another auth plugin's must not widen a grant by what it contains.
    return "/" not in user_id and is_topic_name(user_id)


class AclPlugin(BaseTopicPlugin, BoxPlugin):
    """Asks the policy, for amqtt and the box alike. Never suspends, so it may be driven without a task."""

    async def opened(self, box: Box) -> None:
        self._policy = Policy(box.settings.policy)

    async def topic_filtering(
        self, *, session: Session | None = None, topic: str | None = None, action: str | None = None
    ) -> bool:
        if session is None or topic is None or action is None:
            return False
        identity = session.attributes.get(IDENTITY_ATTRIBUTE)
        return isinstance(identity, Identity) and self._policy.may(identity, Action(action), topic)
