"""What the policy lets a role publish, subscribe and receive."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from amqtt.contexts import Action as AmqttAction
from amqtt.contexts import BaseContext

from broker.plugin import IDENTITY_ATTRIBUTE, Action, Box, Identity
from config import SettingsError, load_settings
from config.settings import RolePolicy
from plugins.acl import AclPlugin, Policy

ALICE_ID = "11111111-1111-4111-8111-111111111111"
BOB_ID = "22222222-2222-4222-8222-222222222222"
GUEST = Identity(None, None, "guest")
ALICE = Identity(ALICE_ID, "alice", "customer")
MANAGER = Identity(BOB_ID, "boss", "manager")


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy(load_settings().policy)


def granting(*subscribe: str, publish: list[str] | None = None) -> Policy:
    return Policy({"customer": RolePolicy(publish=publish or [], subscribe=list(subscribe))})


@pytest.mark.parametrize("topic", ["booking/request", "booking/cancel", "seats/hold", "seats/release"])
def test_a_customer_publishes_commands_and_a_guest_nothing(policy: Policy, topic: str) -> None:
    assert policy.may(ALICE, Action.PUBLISH, topic)
    assert not policy.may(GUEST, Action.PUBLISH, topic)


@pytest.mark.parametrize(
    "topic",
    ["showing/request", "seats/status/x", "booking/requests", "booking/request/x", "booking/+", "$SYS/x", ""],
)
def test_a_customer_publishes_nothing_else(policy: Policy, topic: str) -> None:
    assert not policy.may(ALICE, Action.PUBLISH, topic)


def test_only_a_manager_requests_showings(policy: Policy) -> None:
    assert policy.may(MANAGER, Action.PUBLISH, "showing/request")


def test_a_publish_grant_may_hold_wildcards_and_the_own_id() -> None:
    policy = granting(publish=["chat/+", "desk/{user_id}"])
    assert policy.may(ALICE, Action.PUBLISH, "chat/a")
    assert policy.may(ALICE, Action.PUBLISH, f"desk/{ALICE_ID}")
    assert not policy.may(ALICE, Action.PUBLISH, f"desk/{BOB_ID}")
    assert not policy.may(ALICE, Action.PUBLISH, "chat/a/b")


@pytest.mark.parametrize(
    "topic_filter",
    [
        "seats/status/#",
        "seats/status/+",
        "showing/update/x",
        "booking/confirm/+",
        "booking/confirm/#",
        f"users/{ALICE_ID}/#",
        f"users/{ALICE_ID}/holds",
        f"users/{ALICE_ID}/+",
        f"users/{ALICE_ID}",
    ],
)
def test_a_customer_subscribes_to_what_is_contained(policy: Policy, topic_filter: str) -> None:
    assert policy.may(ALICE, Action.SUBSCRIBE, topic_filter)


@pytest.mark.parametrize("topic_filter", ["users/+/holds", "users/+/#", "users/#", "users/+", "users/+/+"])
def test_a_wildcard_in_the_owners_place_is_granted(policy: Policy, topic_filter: str) -> None:
    assert policy.may(ALICE, Action.SUBSCRIBE, topic_filter)


@pytest.mark.parametrize(
    "topic_filter",
    [
        "#",
        "+/#",
        "+/+",
        "seats/#",
        "seats/+/x",
        "+/status/x",
        "+/+/holds",
        f"+/{ALICE_ID}/holds",
        "users",
        f"users/{BOB_ID}/holds",
        f"users/{BOB_ID}/#",
        "booking/request",
        "booking/+/x",
        "$SYS/#",
        "seats/status/#/x",
        "seats/status/x#",
        "",
    ],
)
def test_a_customer_subscribes_to_nothing_wider_or_else(policy: Policy, topic_filter: str) -> None:
    assert not policy.may(ALICE, Action.SUBSCRIBE, topic_filter)


def test_a_wildcard_for_the_owner_does_not_widen_what_follows() -> None:
    policy = granting("users/{user_id}/holds")
    assert policy.may(ALICE, Action.SUBSCRIBE, "users/+/holds")
    assert not policy.may(ALICE, Action.SUBSCRIBE, "users/#")
    assert not policy.may(ALICE, Action.SUBSCRIBE, "users/+/+")


def test_mine_is_all_that_a_wildcard_subscription_brings(policy: Policy) -> None:
    assert policy.may(ALICE, Action.RECEIVE, f"users/{ALICE_ID}/holds")
    assert not policy.may(ALICE, Action.RECEIVE, f"users/{BOB_ID}/holds")
    assert not policy.may(ALICE, Action.RECEIVE, "users")


@pytest.mark.parametrize("topic_filter", ["users/+/holds", "users/#", "users/None/holds", "users/{user_id}/holds"])
def test_a_guest_owns_nothing(topic_filter: str) -> None:
    policy = Policy({"guest": RolePolicy(publish=["users/{user_id}/x"], subscribe=["users/{user_id}/#"])})
    assert not policy.may(GUEST, Action.SUBSCRIBE, topic_filter)
    assert not policy.may(GUEST, Action.RECEIVE, "users/None/holds")
    assert not policy.may(GUEST, Action.PUBLISH, "users/None/x")


@pytest.mark.parametrize("user_id", ["+", "#", "a/b", ""])
def test_a_foreign_user_id_cannot_widen_a_grant(policy: Policy, user_id: str) -> None:
    stranger = Identity(user_id, "stranger", "customer")
    assert not policy.may(stranger, Action.SUBSCRIBE, "users/+/holds")
    assert not policy.may(stranger, Action.SUBSCRIBE, f"users/{user_id}/holds")
    assert not policy.may(stranger, Action.RECEIVE, f"users/{BOB_ID}/holds")
    assert not policy.may(stranger, Action.RECEIVE, "users/a/b/holds")


def test_a_manager_sees_everything_but_the_brokers_own_topics(policy: Policy) -> None:
    assert policy.may(MANAGER, Action.SUBSCRIBE, "#")
    assert policy.may(MANAGER, Action.RECEIVE, f"users/{ALICE_ID}/holds")
    assert not policy.may(MANAGER, Action.SUBSCRIBE, "$SYS/#")
    assert not policy.may(MANAGER, Action.RECEIVE, "$SYS/broker")


@pytest.mark.parametrize("action", list(Action))
def test_an_unknown_role_may_do_nothing(policy: Policy, action: Action) -> None:
    assert not policy.may(Identity(ALICE_ID, "alice", "usher"), action, "seats/status/x")


def test_a_grant_that_is_no_topic_filter_ends_the_start_with_its_name() -> None:
    with pytest.raises(SettingsError, match=r"^policy\.customer\.subscribe = 'seats#': must be"):
        granting("seats#")


async def test_the_plugin_decides_for_the_identity_that_the_gate_left_in_the_session() -> None:
    plugin = AclPlugin(BaseContext())
    await plugin.opened(cast(Box, SimpleNamespace(settings=load_settings())))

    async def ask(topic: str, action: AmqttAction, attributes: dict[str, Any]) -> bool:
        return await plugin.topic_filtering(session=SimpleNamespace(attributes=attributes), topic=topic, action=action)

    alice = {IDENTITY_ATTRIBUTE: ALICE}
    assert await ask("booking/request", AmqttAction.PUBLISH, alice)
    assert await ask("users/+/holds", AmqttAction.SUBSCRIBE, alice)
    assert not await ask(f"users/{BOB_ID}/holds", AmqttAction.RECEIVE, alice)
    assert not await ask("seats/status/x", AmqttAction.RECEIVE, {})
    assert not await plugin.topic_filtering()


async def test_the_plugin_never_suspends() -> None:
    plugin = AclPlugin(BaseContext())
    await plugin.opened(cast(Box, SimpleNamespace(settings=load_settings())))
    call = plugin.topic_filtering(
        session=SimpleNamespace(attributes={IDENTITY_ATTRIBUTE: ALICE}), topic="seats/hold", action="publish"
    )
    with pytest.raises(StopIteration) as returned:
        call.send(None)
    assert returned.value.value is True
