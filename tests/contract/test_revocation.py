"""What was taken away is gone at once: by every path, by whoever took it away, at both doors."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import aiomqtt
import pytest
from boxes import until
from conftest import OpenClient
from raw_mqtt import CONNACK, connect

from contract.conftest import Join, OpenHouse
from contract.house import ABSENT, PASSWORD, SHOWING, Premises, new_id
from contract.people import Caller
from contract.process import ROOT
from contract.test_users import basic

Http = Callable[[Premises], Caller]

POLICY: dict[str, Any] = {
    "customer": {
        "publish": ["booking/request", "seats/hold", "house/#"],
        "subscribe": ["seats/status/#", "booking/confirm/#", "users/{user_id}/#", "house/#"],
    },
    "kiosk": {"publish": [], "subscribe": ["seats/status/#"]},
    "manager": {"publish": ["house/#"], "subscribe": ["#"]},
}
"""Customers talk in ``house/…``, which is nothing of the box's own; kiosks do not."""

NEW_PASSWORD = "quite another password"


async def by_the_manager(box: Premises, http: Http, change: dict[str, Any]) -> None:
    reply = await http(box)("PATCH", f"/api/users/{box.user_id('alice')}", change, who="manager")
    assert reply.status == 200


async def by_the_command_line(box: Premises, *arguments: str, typed: str = "") -> None:
    """``run_broker.py user …``, a process beside the box."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "run_broker.py"),
        "user",
        *arguments,
        env={**os.environ, "LYNRIE_DATABASE__PATH": str(box.path)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate(typed.encode())
    assert process.returncode == 0, said


async def by_an_import(box: Premises, user: dict[str, Any]) -> None:
    await asyncio.to_thread(box.import_more, {"users": [{"username": "alice", **user}]})


DISABLED, OTHER_ROLE, OTHER_PASSWORD = "disabled", "another role", "another password"

CHANGES: dict[str, tuple[str, Callable[[Premises, Http], Awaitable[None]]]] = {
    "the manager disables": (DISABLED, lambda box, http: by_the_manager(box, http, {"is_active": False})),
    "the manager changes the role": (OTHER_ROLE, lambda box, http: by_the_manager(box, http, {"role": "kiosk"})),
    "the manager changes the password": (
        OTHER_PASSWORD,
        lambda box, http: by_the_manager(box, http, {"password": NEW_PASSWORD}),
    ),
    "the command line disables": (DISABLED, lambda box, http: by_the_command_line(box, "disable", "alice")),
    "the command line changes the password": (
        OTHER_PASSWORD,
        lambda box, http: by_the_command_line(box, "password", "alice", "--password-stdin", typed=NEW_PASSWORD + "\n"),
    ),
    "an import changes the role": (
        OTHER_ROLE,
        lambda box, http: by_an_import(box, {"password": PASSWORD.format("alice"), "role": "kiosk"}),
    ),
}


@pytest.mark.parametrize("door", ["tcp", "web"])
@pytest.mark.parametrize("change", CHANGES)
async def test_who_is_revoked_is_out_and_nothing_of_theirs_speaks_on(
    open_house: OpenHouse, http: Http, join: Join, client: OpenClient, door: str, change: str
) -> None:
    box = await open_house(policy=POLICY)
    what, happens = CHANGES[change]
    watcher = await join(box, "bob")
    await watcher.watch("house/#")
    alice = await join(box, "alice", door=door, will=aiomqtt.Will("house/gone", b"alice", 1, retain=True))
    await alice.watch("booking/confirm/+", "users/+/holds", "house/#")
    await alice.hold(box.seats[:1])
    await alice.send("house/kept", b"by alice", retain=True)
    await watcher.hears("house/kept")

    await happens(box, http)
    assert await alice.is_closed()
    alice.forget()

    # Nothing comes to them by any subscription that they had, and no Last Will of theirs goes out.
    await watcher.send("house/news", b"not for alice")
    await watcher.hears("house/news")
    await alice.leave()
    assert alice.heard == []
    assert watcher.all_on("house/gone") == []
    # Who comes later finds of what they retained what they may still publish.
    later = await join(box, "carol", door=door)
    await later.subscribe("house/#")
    await later.settle()
    assert [m.payload for m in later.all_on("house/+")] == ([b"by alice"] if what == OTHER_PASSWORD else [])
    # The token is void, on both doors and by HTTP, and so is the password that was changed.
    assert (await http(box)("GET", "/api/me", who="alice")).status == 401
    await refused(box, client, door, "alice", box.house.tokens["alice"])
    if what == DISABLED:
        await refused(box, client, door, "alice", PASSWORD.format("alice"))
    elif what == OTHER_PASSWORD:
        await refused(box, client, door, "alice", PASSWORD.format("alice"))
        (await join(box, "alice", door=door, password=NEW_PASSWORD)).forget()
    # The holds end with the user, and with nothing less.
    await watcher.subscribe(f"seats/status/{SHOWING}")
    present = {m["seat_id"]: m["status"] for m in await watcher.hear("seats/status/+", 36, lambda m: m.retain)}
    status = present[box.seats[0]]
    if what == DISABLED and status == "reserved":  # the news is on its way
        status = (await watcher.hears("seats/status/+", lambda m: not m.retain))["status"]
    assert status == ("available" if what == DISABLED else "reserved")


DISABLE_AND_HOLD_THE_LOCK = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
db.execute("UPDATE users SET is_active = 0 WHERE username IN ('alice', 'bob')")
db.execute("COMMIT")
db.execute("BEGIN IMMEDIATE")
print("done", flush=True)
sys.stdin.read()
"""


async def test_whom_another_program_disables_is_out_though_nothing_can_be_written_and_then_their_holds_end(
    open_house: OpenHouse, join: Join, caplog: pytest.LogCaptureFixture
) -> None:
    box = await open_house(busy_seconds=0.3)
    carol, disabled = await join(box, "carol"), [await join(box, name) for name in ("alice", "bob")]
    await carol.watch(f"seats/status/{SHOWING}")
    for number, person in enumerate(disabled):
        await person.watch()
        await person.hold(box.seats[number : number + 1])
    await carol.hear("seats/status/+", 2, lambda m: not m.retain)
    pipe = asyncio.subprocess.PIPE
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DISABLE_AND_HOLD_THE_LOCK, str(box.path), stdin=pipe, stdout=pipe
    )
    for person in disabled:
        assert await person.is_closed()
        person.forget()
    await until(lambda: caplog.text.count("not taken in yet") >= 2)  # neither by accounts nor by bookings
    await other.communicate(b"")  # which lets go of the lock
    freed = await carol.hear("seats/status/+", 2, lambda m: m["status"] == "available" and not m.retain)
    assert {m["seat_id"] for m in freed} == set(box.seats[:2])


async def refused(box: Premises, client: OpenClient, door: str, username: str, password: str) -> None:
    raw = await client(box.host, door)
    await raw.send(connect(username, password))
    assert (await raw.next(CONNACK)).body == b"\0\4"


@pytest.mark.parametrize("door", ["tcp", "web"])
async def test_no_path_brings_a_former_manager_what_it_brought_before(
    open_house: OpenHouse, http: Http, join: Join, client: OpenClient, door: str
) -> None:
    policy = {
        **POLICY,
        "customer": {"publish": ["booking/request", "seats/hold"], "subscribe": POLICY["customer"]["subscribe"][:3]},
    }
    box = await open_house(policy=policy)
    manager = await join(box, "manager")
    await manager.send("house/kept", b"for managers", retain=True)
    alice = await join(box, "alice")
    await alice.watch()
    booked = await alice.book(box.seats[:1])
    await alice.hold(box.seats[1:2])
    former = await join(box, "manager2", door=door)
    await former.subscribe("#")
    await former.settle()
    assert [m.payload for m in former.all_on("house/kept")] == [b"for managers"]

    reply = await http(box)("PATCH", f"/api/users/{box.user_id('manager2')}", {"role": "customer"}, who="manager")
    assert reply.status == 200
    assert await former.is_closed()
    former = await join(box, "manager2", door=door, password=PASSWORD.format("manager2"))
    # Subscriptions: refused where they could match what is not theirs, silent where they mean mine.
    alices = f"users/{alice.user_id}/#"
    assert await former.subscribe("#", "house/kept", "house/#", alices) == [0x80] * 4
    topics = (f"booking/confirm/{booked['booking_id']}", "booking/confirm/+", "booking/confirm/#", "users/#")
    assert await former.subscribe(*topics) == [1] * 4
    assert await former.nothing_on("#")  # no present
    another = new_id()
    assert (await alice.book(box.seats[2:3], booking_id=another))["status"] == "confirmed"
    assert (await alice.hold(box.seats[3:4]))["status"] == "held"
    await manager.send("house/live", b"for managers")
    await manager.settle()
    assert await former.nothing_on("#")  # nothing live
    # A Last Will into where managers alone publish, and HTTP.
    raw = await client(box.host, door)
    await raw.send(connect("manager2", PASSWORD.format("manager2"), will=("house/gone", b"x")))
    assert (await raw.next(CONNACK)).body == b"\0\5"
    call, credentials = http(box), basic("manager2", PASSWORD.format("manager2"))
    for path in (f"/api/bookings/{another}", f"/api/bookings/{ABSENT}"):
        assert (await call("GET", path, headers=credentials)).status == 404
    assert (await call("GET", "/api/users", headers=credentials)).status == 403
    assert (await call("GET", "/api/bookings", headers=credentials)).body == []
