"""What amqtt does (amqtt.md) and what is left of it behind our doors: one test for each hole, and nothing left behind.

The signatures at the end fail when a new release of amqtt changes what broker/overrides.py builds on.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from amqtt.adapters import ReaderAdapter, WriterAdapter
from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.plugins.manager import PluginManager
from amqtt.session import Session
from boxes import SAMPLE_PLUGINS, plugin, start_box, until
from conftest import OpenClient, StartBox
from normative import shows
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from raw_mqtt import (
    CONNACK,
    DISCONNECT,
    PINGREQ,
    PUBACK,
    PUBLISH,
    PUBREC,
    SUBACK,
    TcpTransport,
    connect,
    publish,
    subscribe,
)
from sample_plugins import COMMAND, Counter, Recorder, Rules, user_id

from broker.host import Host, StartError
from broker.overrides import HardenedBroker, LightHandler, LightSession


@asynccontextmanager
async def real_client(host: Host, door: str, name: str | None = "ann", **options: Any) -> AsyncIterator[aiomqtt.Client]:
    """paho-mqtt, through aiomqtt."""
    address, port = (host.tcp_addresses if door == "tcp" else host.web_addresses)[0]
    if door == "web":
        options |= {"transport": "websockets", "websocket_path": "/mqtt"}
    async with aiomqtt.Client(address, port, username=name, password=name and f"{name}-demo", **options) as client:
        yield client


async def next_of(client: aiomqtt.Client) -> aiomqtt.Message:
    async with asyncio.timeout(10):
        return await anext(aiter(client.messages))


async def assert_nothing_is_left(host: Host, before: set[asyncio.Task[Any]]) -> None:
    """Once all have gone amqtt and the box have forgotten them."""
    await until(lambda: not len(host.clients) and not host.broker._sessions)
    assert not host.broker._subscriptions
    assert not host.broker._by_session
    assert not host.fanout.index.filters()
    assert not host.clients._by_client_id
    assert not host.clients._by_user
    await until(lambda: len(host.places) == 0 and not host.places._by_network)
    # HTTP keeps one task for an upgraded connection until it has closed.
    await until(
        lambda: not {task for task in asyncio.all_tasks() - before if not task.done()} - {asyncio.current_task()}
    )


# 1, 2: a CONNECT acts before it is authenticated, and a refused client leaves its session behind


async def test_fact_1_a_wrong_password_with_somebodys_client_id_takes_nothing_from_them(
    box: StartBox, door: str
) -> None:
    host = await box()
    async with real_client(host, door, identifier="desk") as ann:
        await ann.subscribe("news", qos=1)
        address, port = host.tcp_addresses[0]
        for clean in (True, False):
            with pytest.raises(aiomqtt.MqttError):
                async with aiomqtt.Client(
                    address, port, username="ann", password="wrong", identifier="desk", clean_session=clean
                ):
                    pass
        host.publish("news", b"still here")
        assert (await next_of(ann)).payload == b"still here"


async def test_fact_1_another_user_gets_nothing_that_waited_for_the_first(box: StartBox, door: str) -> None:
    host = await box()
    async with real_client(host, door, "ann", identifier="desk", clean_session=False) as ann:
        await ann.subscribe("news", qos=1)
    host.publish("news", b"for ann", qos=1)
    async with real_client(host, door, "bob", identifier="desk", clean_session=False) as bob:
        await bob.subscribe("other", qos=1)
        host.publish("other", b"for bob", qos=1)
        assert (await next_of(bob)).payload == b"for bob"


async def test_fact_2_twenty_wrong_passwords_are_no_session(box: StartBox, client: OpenClient, door: str) -> None:
    host = await box()
    before = asyncio.all_tasks()
    for _ in range(20):
        raw = await client(host, door)
        await raw.send(connect("ann", "wrong", client_id="x"))
        assert (await raw.next(CONNACK)).body[1] == 4
        assert await raw.is_closed()
        await raw.close()
    await assert_nothing_is_left(host, before)


# 3: a Last Will is published without asking


@pytest.mark.parametrize("topic", ["count/x", "answer/x", COMMAND, "closed/x", "secret/x"])
async def test_fact_3_a_last_will_to_what_is_not_the_clients_is_refused(box: StartBox, door: str, topic: str) -> None:
    host = await box()
    with pytest.raises(aiomqtt.MqttError):
        async with real_client(host, door, will=aiomqtt.Will(topic, b"forged", retain=True)):
            pass
    assert plugin(host, Counter).values == {}
    assert not host.broker.retained


async def test_fact_3_an_allowed_last_will_is_published_and_retained_when_the_client_is_lost(
    box: StartBox, client: OpenClient, door: str
) -> None:
    host = await box()
    async with real_client(host, door) as ann:
        await ann.subscribe("free/gone", qos=1)
        bob = await client(host, door)
        await bob.connect("bob", will=("free/gone", b"bye"), will_retain=True)
        await bob.close()
        assert (await next_of(ann)).payload == b"bye"
    async with real_client(host, door) as later:
        await later.subscribe("free/gone")
        received = await next_of(later)
        assert (received.payload, received.retain) == (b"bye", True)


@shows("3.14.4-3", "3.1.2-10")
async def test_fact_3_a_goodbye_discards_the_last_will(box: StartBox, client: OpenClient, door: str) -> None:
    host = await box()
    ann = await (await client(host, door)).connect("ann")
    await ann.subscribe("free/gone")
    bob = await (await client(host, door)).connect("bob", will=("free/gone", b"bye"))
    await bob.send(DISCONNECT)
    assert await bob.is_closed()
    await until(lambda: len(host.clients) == 1)
    await ann.silence()


async def test_fact_3_a_last_will_is_held_against_the_policy_as_it_is_when_it_is_sent(
    box: StartBox, client: OpenClient, door: str
) -> None:
    host = await box()
    watcher = await (await client(host, door)).connect("bob")
    await watcher.subscribe("free/#")
    for name in ("early", "late"):
        await (await client(host, door)).connect("ann", client_id=name, will=(f"free/{name}", b"x"), will_retain=True)
    plugin(host, Rules).closed_now = frozenset({"free/late"})
    for name in ("late", "early"):
        await (await client(host, door)).connect("ann", client_id=name)  # which takes over
    assert (await watcher.next(PUBLISH)).topic == "free/early"
    await watcher.silence()
    assert list(host.broker.retained) == ["free/early"]


# 4: retained messages for others' subscriptions


async def test_fact_4_who_connects_gets_no_retained_message_without_subscribing(
    box: StartBox, client: OpenClient, door: str
) -> None:
    host = await box()
    manager = await (await client(host, door)).connect("manager")
    await manager.subscribe("#")
    await manager.send(publish("secret/x", b"s", retain=True), publish("free/x", b"f", retain=True))
    assert len(await manager.packets(2)) == 2
    guest = await (await client(host, door)).connect()
    await guest.silence()
    await guest.subscribe("#")
    assert (await guest.next(PUBLISH)).payload == b"f"
    await guest.silence()


# 5 and 6, time limits, keep-alive and packet size, are in test_connection.py; of 6 what is left:


async def test_fact_6_unreleased_qos_2_messages_keep_no_payload_and_are_limited(
    box: StartBox, client: OpenClient, door: str
) -> None:
    host = await box(limits={"messages_burst": 10_000})
    ann = await (await client(host, door)).connect("ann")
    (connection,) = host.clients._open
    payload = b"x" * 60_000
    for packet_id in range(1, 101):
        await ann.send(publish("free/x", payload, qos=2, packet_id=packet_id))
        await ann.next(PUBREC)
    assert connection._qos2 == set(range(1, 101))
    assert not connection.session.inflight_in  # type: ignore[attr-defined]
    await ann.send(*(publish("free/x", b"", qos=2, packet_id=n) for n in range(101, 4200)))
    assert len(await ann.read_to_end()) == 4096 - 100


# 9: packet smuggling


@pytest.mark.parametrize("topic", ["a/#", "a/+/b", "a\0b", ""])
async def test_fact_9_what_is_hidden_in_a_malformed_publish_is_never_a_packet(
    box: StartBox, client: OpenClient, door: str, topic: str
) -> None:
    host = await box()
    ann = await (await client(host, door)).connect("ann")
    await ann.send(publish(topic, publish(COMMAND, b"smuggled", qos=1, packet_id=1) + subscribe("#")))
    assert await ann.is_closed()
    assert await plugin(host, Counter).counted() == []
    assert not host.fanout.index.filters()


# 10: without a topic plugin everything is allowed


@pytest.mark.parametrize("missing", ["DemoAuth", "Rules"])
async def test_fact_10_without_an_auth_plugin_or_a_topic_plugin_the_box_does_not_start(
    tmp_path: Path, missing: str
) -> None:
    plugins = {path: options for path, options in SAMPLE_PLUGINS.items() if not path.endswith(missing)}
    with pytest.raises(StartError):
        await start_box(tmp_path, plugins=plugins)


@pytest.mark.parametrize(
    "path", ["no.such.Plugin", "sample_plugins.Missing", "sample_plugins", "broker.host.Host", "sample_plugins.Echo"]
)
async def test_a_plugin_that_cannot_be_loaded_is_told_in_a_sentence(tmp_path: Path, path: str) -> None:
    with pytest.raises(StartError, match=path):
        await start_box(tmp_path, plugins={**SAMPLE_PLUGINS, path: {}})


async def test_a_plugin_with_an_unknown_option_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="colour"):
        await start_box(tmp_path, plugins={**SAMPLE_PLUGINS, "sample_plugins.Counter": {"colour": "red"}})


async def test_a_topic_plugin_that_waits_lets_nobody_publish_or_receive(
    box: StartBox, client: OpenClient, door: str
) -> None:
    host = await box(plugins={**SAMPLE_PLUGINS, "sample_plugins.Slowpoke": {}})
    ann = await (await client(host, door)).connect("ann")
    assert await ann.subscribe("free/x") == b"\0"
    host.publish("free/x", b"x")
    await ann.send(publish("free/x", b"x", qos=1, packet_id=1))
    await ann.next(PUBACK)
    await ann.silence()
    assert plugin(host, Counter).refused == [("ann", "free/x")]


# 14: takeover, a goodbye in one segment, $-topics, an exception in a topic plugin


async def test_fact_14_after_a_takeover_the_new_connection_hears_and_the_old_one_does_nothing_more(
    box: StartBox, client: OpenClient, door: str
) -> None:
    host = await box()
    for clean in (True, False):
        older = await (await client(host, door)).connect("ann", client_id="desk", clean=clean)
        await older.subscribe("older")
        async with real_client(host, door, identifier="desk", clean_session=clean) as newer:
            assert await older.is_closed()
            await newer.subscribe("newer", qos=1)
            assert sorted(host.fanout.index.filters()) == ["newer"]
            host.publish("newer", b"heard", qos=1)
            assert (await next_of(newer)).payload == b"heard"


async def test_fact_14_the_old_connection_has_ended_before_the_new_one_begins(
    box: StartBox, client: OpenClient, door: str
) -> None:
    host = await box()
    for _ in range(3):
        await (await client(host, door)).connect("ann", client_id="desk")
    recorder = plugin(host, Recorder)
    await until(lambda: len(recorder.events) >= 5)
    assert recorder.events == ["connected", "disconnected"] * 2 + ["connected"]


async def test_fact_14_after_a_takeover_the_will_of_the_old_connection_is_sent_and_no_other(
    box: StartBox, client: OpenClient, door: str
) -> None:
    host = await box()
    watcher = await (await client(host, door)).connect("bob")
    await watcher.subscribe("free/#")
    await (await client(host, door)).connect("ann", client_id="desk", will=("free/old", b""))
    newer = await (await client(host, door)).connect("ann", client_id="desk", will=("free/new", b""))
    assert (await watcher.next(PUBLISH)).topic == "free/old"
    await watcher.silence()
    await newer.send(DISCONNECT)
    assert await newer.is_closed()
    await watcher.silence()


ENDS = {
    "goodbye": [DISCONNECT],
    "malformed": [b"\x36\x00"],
    "a second CONNECT": [connect("ann", "ann-demo", client_id="desk")],
    "publish to $x": [publish("$x/y", b"x", qos=1, packet_id=1), DISCONNECT],
    "an exception in a topic plugin": [publish("broken/x", qos=1, packet_id=1), subscribe("broken/x"), DISCONNECT],
    "commands in flight": [publish(COMMAND, b"x", qos=1, packet_id=1), DISCONNECT],
    "an exception in a command": [publish(COMMAND, b"\xff", qos=1, packet_id=1)],
    "QoS 2 in flight": [publish("free/x", b"x", qos=2, packet_id=1), DISCONNECT],
}


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("with_fin", [False, True])
async def test_fact_14_nothing_is_left_however_a_connection_ends(
    box: StartBox, client: OpenClient, door: str, how: str, with_fin: bool
) -> None:
    host = await box()
    before = asyncio.all_tasks()
    raw = await client(host, door)
    first = [connect("ann", "ann-demo", client_id="desk"), subscribe("#", "count/x", "closed/x", qos=1)]
    await raw.send(*first, *ENDS[how])
    if with_fin and isinstance(raw.transport, TcpTransport):
        raw.transport.half_close()
    answers = await raw.read_to_end()
    assert [p.kind for p in answers[:2]] == [CONNACK, SUBACK]
    await raw.close()
    await assert_nothing_is_left(host, before)


async def test_fact_14_nothing_is_left_of_connect_goodbye_and_fin_in_one_segment(
    box: StartBox, client: OpenClient
) -> None:
    host = await box()
    before = asyncio.all_tasks()
    raw = await client(host)
    await raw.send(connect("ann", "ann-demo", client_id="desk"), DISCONNECT)
    assert isinstance(raw.transport, TcpTransport)
    raw.transport.half_close()
    await raw.read_to_end()
    await assert_nothing_is_left(host, before)
    assert sum(plugin(host, Recorder).clients.values()) == 0


async def test_nothing_is_left_of_a_client_that_is_reset(box: StartBox, client: OpenClient) -> None:
    host = await box()
    before = asyncio.all_tasks()
    ann = await (await client(host)).connect("ann")
    await ann.subscribe("#", "count/x")
    assert isinstance(ann.transport, TcpTransport)
    ann.transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    await ann.close()
    await assert_nothing_is_left(host, before)


async def test_nothing_is_left_of_a_browser_whose_lid_is_closed(box: StartBox, client: OpenClient) -> None:
    host = await box()
    before = asyncio.all_tasks()
    ann = await (await client(host, "web")).connect("ann")
    await ann.subscribe("#", "count/x")
    await ann.close()
    await assert_nothing_is_left(host, before)


async def test_nothing_is_left_of_the_refused_and_the_silent(box: StartBox, client: OpenClient, door: str) -> None:
    host = await box(limits={"connect_seconds": 0.2})
    before = asyncio.all_tasks()
    for data in (connect("ann", "wrong"), connect(will=("count/x", b"")), b"\x10", PINGREQ, b""):
        raw = await client(host, door)
        if data:
            await raw.send(data)
        await raw.read_to_end()
        await raw.close()
    await assert_nothing_is_left(host, before)


async def test_nothing_is_left_of_who_was_taken_over_or_revoked(box: StartBox, client: OpenClient, door: str) -> None:
    host = await box()
    before = asyncio.all_tasks()
    for _ in range(3):
        raw = await (await client(host, door)).connect("ann", client_id="desk")
        await raw.subscribe("#", "count/x")
    await host.end_user(user_id("ann"))
    await raw.read_to_end()
    await assert_nothing_is_left(host, before)


async def test_amqtts_events_of_clients_come_in_pairs(box: StartBox, client: OpenClient, door: str) -> None:
    host = await box()
    raw = await (await client(host, door)).connect("ann", client_id="desk")
    recorder = plugin(host, Recorder)
    await until(lambda: recorder.clients[f"{user_id('ann')}/desk"] == 1)
    await raw.send(publish("free/x", b"plain"), publish(COMMAND, b"command"), DISCONNECT)
    await raw.read_to_end()
    await until(lambda: sum(recorder.clients.values()) == 0 and recorder.received)
    assert recorder.received == [("free/x", b"plain")]


# 15: subscriptions


async def test_fact_15_subscribing_while_messages_are_on_their_way_breaks_nothing(
    box: StartBox, client: OpenClient, door: str
) -> None:
    host = await box(limits={"subscriptions": 200, "messages_burst": 10_000})
    ann = await (await client(host, door)).connect("ann")
    bob = await (await client(host, door)).connect("bob")
    await bob.subscribe("free/#", qos=1)
    for number in range(100):
        await ann.send(publish("free/x", b"%d" % number, qos=1, packet_id=1), subscribe(f"free/{number}"))
    assert len(await ann.packets(200)) == 200
    assert [int(p.payload) for p in await bob.packets(100)] == list(range(100))


# 16: listeners


async def test_fact_16_amqtt_opens_no_port_of_its_own(box: StartBox) -> None:
    host = await box()
    assert [server.instance for server in host.broker._servers.values()] == [None]
    assert [listener.type for listener in host.broker.config.listeners.values()] == [ListenerType.EXTERNAL]


# Somebody else's auth plugins


async def test_amqtts_file_auth_plugin_works_unchanged(tmp_path: Path, client: OpenClient, door: str) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("ann:" + PasswordHash((Argon2Hasher(),)).hash("ann-demo") + "\n")
    plugins = {
        "amqtt.plugins.authentication.FileAuthPlugin": {"password_file": str(passwords)},
        **{path: options for path, options in SAMPLE_PLUGINS.items() if not path.endswith("DemoAuth")},
    }
    host = await start_box(tmp_path, plugins=plugins, auth={"default_role": "customer"})
    try:
        ann = await (await client(host, door)).connect("ann")
        (connection,) = host.clients._open
        assert (connection.identity.username, connection.identity.role) == ("ann", "customer")
        await ann.send(publish(COMMAND, b"x", qos=1, packet_id=1))
        await ann.next(PUBACK)
        assert await plugin(host, Counter).counted() == ["x"]
        for credentials, code in ((("ann", "wrong"), 4), (("bob", "bob-demo"), 4), ((), 5)):
            raw = await client(host, door)
            await raw.send(connect(*credentials))
            assert (await raw.next(CONNACK)).body[1] == code
    finally:
        await host.stop()


async def test_amqtts_anonymous_auth_plugin_works_unchanged(tmp_path: Path, client: OpenClient, door: str) -> None:
    plugins = {
        "amqtt.plugins.authentication.AnonymousAuthPlugin": {},
        **{path: options for path, options in SAMPLE_PLUGINS.items() if not path.endswith("DemoAuth")},
    }
    host = await start_box(tmp_path, plugins=plugins)
    try:
        guest = await (await client(host, door)).connect()
        assert await guest.subscribe("free/x") == b"\0"
        (connection,) = host.clients._open
        assert connection.identity.is_guest
    finally:
        await host.stop()


async def test_the_cinema_is_shown_without_users_of_our_own(tmp_path: Path, client: OpenClient, door: str) -> None:
    plugins: dict[str, dict[str, Any]] = {
        "amqtt.plugins.authentication.AnonymousAuthPlugin": {},
        "plugins.acl.AclPlugin": {},
        "plugins.booking.plugin.BookingPlugin": {},
    }
    host = await start_box(tmp_path, plugins=plugins)
    try:
        guest = await (await client(host, door)).connect()
        assert await guest.subscribe("seats/status/#") == b"\0"
    finally:
        await host.stop()


async def test_auth_plugins_are_joined_by_and(tmp_path: Path, client: OpenClient, door: str) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("bob:" + PasswordHash((Argon2Hasher(),)).hash("bob-demo") + "\n")
    plugins = {
        "amqtt.plugins.authentication.FileAuthPlugin": {"password_file": str(passwords)},
        **SAMPLE_PLUGINS,
    }
    host = await start_box(tmp_path, plugins=plugins)
    try:
        await (await client(host, door)).connect("bob")
        raw = await client(host, door)
        await raw.send(connect("ann", "ann-demo"))  # one says yes, one no
        assert (await raw.next(CONNACK)).body[1] == 4
        await (await client(host, door)).connect()  # one says yes, one abstains
    finally:
        await host.stop()


# What the overrides build on


@dataclass
class Expected:
    owner: type
    name: str
    parameters: list[str]
    is_coroutine: bool = True


OVERRIDDEN = [
    Expected(Broker, "__init__", ["self", "config", "loop", "plugin_namespace"], False),
    Expected(Broker, "external_connected", ["self", "reader", "writer", "listener_name"]),
    Expected(Broker, "_initialize_client_session", ["self", "reader", "writer", "remote_address", "remote_port"]),
    Expected(Broker, "_authenticate", ["self", "session", "_"]),
    Expected(Broker, "_client_message_loop", ["self", "client_session", "handler"]),
    Expected(Broker, "_handle_disconnect", ["self", "client_session", "handler", "disconnect_waiter"]),
    Expected(Broker, "_handle_subscription", ["self", "client_session", "handler", "subscribe_waiter"]),
    Expected(Broker, "_handle_unsubscription", ["self", "client_session", "handler", "unsubscribe_waiter"]),
    Expected(Broker, "add_subscription", ["self", "subscription", "session"]),
    Expected(Broker, "_publish_retained_messages_for_subscription", ["self", "subscription", "session"]),
    Expected(Broker, "_publish_session_retained_messages", ["self", "session"]),
    Expected(Broker, "_del_subscription", ["self", "a_filter", "session"], False),
    Expected(Broker, "_del_all_subscriptions", ["self", "session"]),
    Expected(Broker, "_topic_filtering", ["self", "session", "topic", "action"]),
    Expected(Broker, "_broadcast_message", ["self", "session", "topic", "data", "force_qos"]),
    Expected(Broker, "retain_message", ["self", "source_session", "topic_name", "data", "qos"]),
    Expected(BrokerProtocolHandler, "attach", ["self", "session", "reader", "writer"], False),
    Expected(BrokerProtocolHandler, "start", ["self"]),
    Expected(BrokerProtocolHandler, "stop", ["self"]),
    Expected(BrokerProtocolHandler, "handle_connection_closed", ["self"]),
    Expected(BrokerProtocolHandler, "_send_packet", ["self", "packet"]),
    Expected(BrokerProtocolHandler, "mqtt_publish", ["self", "topic", "data", "qos", "retain", "ack_timeout"]),
    Expected(BrokerProtocolHandler, "mqtt_connack_authorize", ["self", "authorize"]),
    Expected(BrokerProtocolHandler, "mqtt_acknowledge_subscription", ["self", "packet_id", "return_codes"]),
    Expected(BrokerProtocolHandler, "mqtt_acknowledge_unsubscription", ["self", "packet_id"]),
    Expected(Session, "clear_queues", ["self"], False),
    Expected(PluginManager, "map_plugin_auth", ["self", "session"]),
    Expected(PluginManager, "fire_event", ["self", "event_name", "wait", "method_kwargs"]),
    Expected(ReaderAdapter, "read", ["self", "n"]),
    Expected(ReaderAdapter, "feed_eof", ["self"], False),
    Expected(WriterAdapter, "write", ["self", "data"], False),
    Expected(WriterAdapter, "drain", ["self"]),
    Expected(WriterAdapter, "close", ["self"]),
    Expected(WriterAdapter, "get_peer_info", ["self"], False),
]


@pytest.mark.parametrize("expected", OVERRIDDEN, ids=lambda expected: f"{expected.owner.__name__}.{expected.name}")
def test_what_is_overridden_is_still_there_as_it_was(expected: Expected) -> None:
    member = getattr(expected.owner, expected.name)
    assert list(inspect.signature(member).parameters) == expected.parameters
    assert inspect.iscoroutinefunction(member) == expected.is_coroutine


def test_every_method_that_the_overrides_replace_is_among_those() -> None:
    listed = {(expected.owner, expected.name) for expected in OVERRIDDEN}
    for ours, amqtts in ((HardenedBroker, Broker), (LightHandler, BrokerProtocolHandler), (LightSession, Session)):
        replaced = {
            name
            for name, member in vars(ours).items()
            if inspect.isfunction(member) and name in {n for base in amqtts.__mro__[:-1] for n in vars(base)}
        }
        assert {name for name in replaced - {"__init__"} if (amqtts, name) not in listed} == set()


async def test_a_light_session_has_everything_that_amqtts_own_has() -> None:
    ours = LightSession("ann", None, "192.0.2.1")
    missing = [name for name in vars(Session()) if not name.startswith("_") and not hasattr(ours, name)]
    assert missing == []


async def test_amqtts_private_state_is_where_the_overrides_look_for_it() -> None:
    listeners = {"default": ListenerConfig(type=ListenerType.EXTERNAL, bind="the doors")}
    plugins = {"sample_plugins.DemoAuth": {}, "sample_plugins.Rules": {}}
    broker = Broker(BrokerConfig(listeners=listeners, plugins=plugins))
    assert broker._sessions == {}
    assert broker._subscriptions == {}
    assert broker._retained_messages == {}
    assert not broker.plugins_manager._event_plugin_callbacks
    assert [type(p).__name__ for p in broker.plugins_manager.plugins] == ["DemoAuth", "Rules"]
