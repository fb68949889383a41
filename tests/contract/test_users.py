"""Users: sessions, registration, managers' changes, and what ends with a deactivation."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Callable
from datetime import datetime

import aiomqtt
import pytest

from broker.storage.database import connect
from contract.conftest import Join, OpenHouse
from contract.house import ABSENT, HOUR, PASSWORD, SHOWING, Premises
from contract.people import Caller
from plugins.auth import users

Http = Callable[[Premises], Caller]
USER = {"user_id", "username", "role"}


def basic(username: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# Sessions


async def test_a_session_by_basic_answers_with_a_token_that_opens_both_doors(
    box: Premises, http: Http, join: Join
) -> None:
    call = http(box)
    reply = await call("POST", "/api/session", headers=basic("alice", PASSWORD.format("alice")))
    assert reply.status == 200
    assert set(reply.body) == {"token", "expires_at", "user"}
    assert set(reply.body["user"]) >= USER
    assert (reply.body["user"]["user_id"], reply.body["user"]["username"], reply.body["user"]["role"]) == (
        box.user_id("alice"),
        "alice",
        "customer",
    )
    hours = (datetime.fromisoformat(reply.body["expires_at"]).timestamp() - box.clock()) / HOUR
    assert hours == pytest.approx(12, abs=0.1)
    assert (await call("GET", "/api/me", headers=bearer(reply.body["token"]))).body["username"] == "alice"
    await join(box, "alice", password=reply.body["token"])
    await join(box, "alice", door="web", password=reply.body["token"])


async def test_a_token_of_a_kiosk_lives_720_hours_and_of_others_12(box: Premises, http: Http) -> None:
    call = http(box)
    tokens = {}
    for name in ("alice", "kiosk"):
        reply = await call("POST", "/api/session", who=name)  # Bearer renews
        tokens[name] = reply.body["token"]
    for hours, valid in ((11, {"alice", "kiosk"}), (2, {"kiosk"}), (700, {"kiosk"}), (10, set())):
        box.clock.forward(hours * HOUR)
        statuses = {
            name: (await call("GET", "/api/me", headers=bearer(token))).status for name, token in tokens.items()
        }
        assert {name for name, status in statuses.items() if status == 200} == valid
        assert set(statuses.values()) <= {200, 401}


async def test_a_token_survives_a_restart(box: Premises, http: Http) -> None:
    call = http(box)
    token = (await call("POST", "/api/session", who="alice")).body["token"]
    await box.close()
    await box.reopen()
    assert (await call("GET", "/api/me", headers=bearer(token))).status == 200


async def test_a_deleted_session_is_void_and_the_others_live_on(box: Premises, http: Http) -> None:
    call = http(box)
    one, two = [(await call("POST", "/api/session", who="alice")).body["token"] for _ in range(2)]
    reply = await call("DELETE", "/api/session", headers=bearer(one))
    assert (reply.status, reply.body) == (204, b"")
    assert (await call("GET", "/api/me", headers=bearer(one))).status == 401
    assert (await call("GET", "/api/me", headers=bearer(two))).status == 200
    assert (await call("DELETE", "/api/session")).status == 401


async def test_a_visitor_has_a_name_an_email_and_no_username_and_signs_in_with_the_token(
    box: Premises, http: Http
) -> None:
    reply = await http(box)("POST", "/api/session", {"name": "Wim", "email": "wim@example.org"})
    user = reply.body["user"]
    assert reply.status == 200
    assert (user.get("username"), user["role"]) == (None, "visitor")
    client = aiomqtt.Client(*box.host.tcp_addresses[0], username=user["user_id"], password=reply.body["token"])
    async with client:
        assert list(await client.subscribe(f"users/{user['user_id']}/holds")) == [0]
        # Somebody else's inbox is closed to it.
        assert [getattr(code, "value", code) for code in await client.subscribe(f"users/{ABSENT}/holds")] == [0x80]


@pytest.mark.parametrize(
    "body",
    [
        {"name": "Wim"},
        {"email": "wim@example.org"},
        {"name": "", "email": "w@example.org"},
        {"name": "W", "email": "w"},
    ],
    ids=str,
)
async def test_a_visitor_needs_a_name_and_an_email(box: Premises, http: Http, body: dict[str, str]) -> None:
    reply = await http(box)("POST", "/api/session", body)
    assert (reply.status, reply.code) == (400, "invalid_request")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic("alice", "wrong"),
        basic("nobody", "wrong"),
        basic("gone", PASSWORD.format("gone")),
        bearer("wrong"),
        bearer(""),
        {"Authorization": "Basic !!!"},
        {"Authorization": "Digest x"},
        {"Authorization": "Key wrong"},
    ],
    ids=str,
)
async def test_who_is_not_signed_in_gets_401_that_never_asks_for_basic(
    box: Premises, http: Http, headers: dict[str, str]
) -> None:
    for method, path in (("GET", "/api/me"), ("POST", "/api/session"), ("GET", "/api/bookings"), ("GET", "/api/holds")):
        reply = await http(box)(method, path, headers=headers)
        assert (reply.status, reply.code) == (401, "unauthorized")
        assert "WWW-Authenticate" not in reply.headers
        assert "Set-Cookie" not in reply.headers


# Oneself


async def test_one_may_change_name_and_email(box: Premises, http: Http) -> None:
    call = http(box)
    reply = await call("PATCH", "/api/me", {"name": "Alice B.", "email": "ab@example.org"}, who="alice")
    assert reply.status == 200
    again = await call("GET", "/api/me", who="alice")
    assert again.body == reply.body
    assert set(again.body) >= USER
    assert (again.body["name"], again.body["email"]) == ("Alice B.", "ab@example.org")


async def test_a_new_password_takes_the_old_one_and_ends_tokens_and_connections(
    box: Premises, http: Http, join: Join
) -> None:
    call, alice = http(box), await join(box, "alice")
    for old in (None, "wrong"):
        reply = await call("PATCH", "/api/me", {"password": "another long one", "old_password": old}, who="alice")
        assert (reply.status, reply.code) == (403, "forbidden")
    changed = {"password": "another long one", "old_password": PASSWORD.format("alice")}
    assert (await call("PATCH", "/api/me", changed, who="alice")).status == 200
    assert await alice.is_closed()
    assert (await call("GET", "/api/me", who="alice")).status == 401
    assert (await call("GET", "/api/me", headers=basic("alice", PASSWORD.format("alice")))).status == 401
    assert (await call("GET", "/api/me", headers=basic("alice", "another long one"))).status == 200


# Registration


async def test_anybody_may_register_as_a_customer(box: Premises, http: Http, join: Join) -> None:
    call = http(box)
    body = {"username": "wim.van-der_9", "password": "0123456789", "email": "wim@example.org", "name": "Wim"}
    reply = await call("POST", "/api/users", body)
    assert reply.status == 201
    assert set(reply.body) >= USER
    assert (reply.body["username"], reply.body["role"]) == ("wim.van-der_9", "customer")
    assert "password" not in str(reply.body)
    assert (await call("GET", "/api/me", headers=basic("wim.van-der_9", "0123456789"))).body == reply.body
    assert (await call("POST", "/api/users", body)).code == "conflict"
    assert (await call("POST", "/api/users", body)).status == 409


@pytest.mark.parametrize(
    "wrong",
    [
        {"username": "ab"},
        {"username": "x" * 33},
        {"username": "Alice"},
        {"username": "a b"},
        {"username": None},
        {"password": "short"},
        {"password": "é" * 513},
        {"password": 1234567890},
        {"email": "nothing"},
        {"name": "a\nb"},
    ],
    ids=str,
)
async def test_what_is_wrong_with_a_registration_is_named_and_not_repeated(
    box: Premises, http: Http, wrong: dict[str, object]
) -> None:
    body = {"username": "wim", "password": "0123456789", "email": "wim@example.org", "name": "Wim"}
    reply = await http(box)("POST", "/api/users", body | wrong)
    assert (reply.status, reply.code) == (400, "invalid_request")
    ((name, value),) = wrong.items()
    assert name in reply.body["message"]
    assert value is None or str(value) not in reply.body["message"]


@pytest.mark.parametrize("field", [{"role": "manager"}, {"role": "customer"}, {"is_active": True}, {"user_id": ABSENT}])
async def test_other_fields_of_a_registration_are_forbidden(
    box: Premises, http: Http, field: dict[str, object]
) -> None:
    body = {"username": "wim", "password": "0123456789", **field}
    for who in (None, "alice", "kiosk"):
        reply = await http(box)("POST", "/api/users", body, who=who)
        assert (reply.status, reply.code) == (403, "forbidden")


async def test_a_manager_may_set_the_role_also_where_registration_is_off(open_house: OpenHouse, http: Http) -> None:
    box = await open_house(auth={"allow_registration": False})
    call = http(box)
    body = {"username": "till-2", "password": "0123456789", "role": "kiosk"}
    reply = await call("POST", "/api/users", {"username": "wim", "password": "0123456789"})
    assert (reply.status, reply.code) == (403, "forbidden")
    reply = await call("POST", "/api/users", body, who="manager")
    assert (reply.status, reply.body["role"]) == (201, "kiosk")


# Managers


async def test_users_are_listed_and_changed_by_managers_alone(box: Premises, http: Http) -> None:
    call = http(box)
    path = f"/api/users/{box.user_id('bob')}"
    for who, status in ((None, 401), ("vera", 403), ("alice", 403), ("kiosk", 403)):
        assert (await call("GET", "/api/users", who=who)).status == status
        assert (await call("PATCH", path, {"role": "manager"}, who=who)).status == status
    listed = (await call("GET", "/api/users", who="manager")).body
    assert {user["user_id"] for user in listed} >= {box.user_id(name) for name in ("alice", "vera", "gone", "manager")}
    assert all(set(user) >= {"user_id", "role", "is_active"} for user in listed)
    assert "hash" not in str(listed)
    reply = await call("PATCH", f"/api/users/{ABSENT}", {"role": "kiosk"}, who="manager")
    assert (reply.status, reply.code) == (404, "unknown_user")


async def test_a_deactivated_user_is_out_at_once_and_the_holds_are_over(box: Premises, http: Http, join: Join) -> None:
    call, guest = http(box), await join(box)
    here, there = await join(box, "alice"), await join(box, "alice", door="web")
    manager = await join(box, "manager")
    await here.watch()
    booked = await here.book(box.seats[:1])
    await here.hold(box.seats[1:3])
    await guest.watch(f"seats/status/{SHOWING}")
    await manager.watch("users/#")
    reply = await call("PATCH", f"/api/users/{box.user_id('alice')}", {"is_active": False}, who="manager")
    assert (reply.status, reply.body["is_active"]) == (200, False)
    assert await here.is_closed()
    assert await there.is_closed()
    assert [m["status"] for m in await guest.hear("seats/status/+", 2)] == ["available"] * 2
    assert (await manager.hears("users/+/holds"))["status"] == "released"
    assert (await call("GET", "/api/me", who="alice")).status == 401
    with pytest.raises(aiomqtt.MqttError):
        await join(box, "alice")
    # The booking stands, and the account opened again needs a new token.
    assert (await call("GET", f"/api/bookings/{booked['booking_id']}", who="manager")).body["status"] == "confirmed"
    await call("PATCH", f"/api/users/{box.user_id('alice')}", {"is_active": True}, who="manager")
    assert (await call("GET", "/api/me", who="alice")).status == 401
    assert (await call("GET", "/api/me", headers=basic("alice", PASSWORD.format("alice")))).status == 200


async def test_a_deactivation_cancels_the_bookings_too_where_that_is_asked(
    box: Premises, http: Http, join: Join
) -> None:
    call, alice, manager = http(box), await join(box, "alice"), await join(box, "manager")
    await alice.watch()
    booked = await alice.book(box.seats[:2])
    await manager.watch("booking/confirm/+")
    body = {"is_active": False, "cancel_bookings": True}
    assert (await call("PATCH", f"/api/users/{alice.user_id}", body, who="manager")).status == 200
    told = await manager.hears("booking/confirm/+")
    assert (told["booking_id"], told["status"]) == (booked["booking_id"], "cancelled")


@pytest.mark.parametrize("change", [{"role": "kiosk"}, {"password": "another long one"}], ids=str)
async def test_a_change_of_role_or_password_ends_tokens_and_connections(
    box: Premises, http: Http, join: Join, change: dict[str, str]
) -> None:
    call, alice, bob = http(box), await join(box, "alice"), await join(box, "bob")
    reply = await call("PATCH", f"/api/users/{alice.user_id}", change, who="manager")
    assert reply.status == 200
    assert await alice.is_closed()
    assert (await call("GET", "/api/me", who="alice")).status == 401
    password = change.get("password", PASSWORD.format("alice"))
    me = await call("GET", "/api/me", headers=basic("alice", password))
    assert me.body["role"] == change.get("role", "customer")
    await bob.settle()


async def test_the_last_active_manager_stays(box: Premises, http: Http) -> None:
    call = http(box)
    await call("PATCH", f"/api/users/{box.user_id('manager2')}", {"role": "customer"}, who="manager")
    for change in ({"role": "customer"}, {"is_active": False}):
        reply = await call("PATCH", f"/api/users/{box.user_id('manager')}", change, who="manager")
        assert (reply.status, reply.code) == (409, "conflict")
    assert (await call("GET", "/api/users", who="manager")).status == 200


async def test_the_holds_of_whom_another_process_disables_end_though_the_box_never_saw_them(
    box: Premises, join: Join
) -> None:
    alice = await join(box, "alice")
    await alice.watch()
    assert (await alice.hold(box.seats[:2]))["status"] == "held"
    await box.close()
    await box.reopen()  # it has not seen alice since
    guest = await join(box)
    await guest.watch(f"seats/status/{SHOWING}")
    db = connect(box.path)
    with db.conn:
        users.change(db, box.user_id("alice"), {"is_active": False}, now=box.clock())
    db.conn.close()
    assert {m["seat_id"] for m in await guest.hear("seats/status/+", 2, lambda m: m["status"] == "available")} == set(
        box.seats[:2]
    )


async def test_a_user_whom_another_process_disables_is_out(box: Premises, http: Http, join: Join) -> None:
    call, alice = http(box), await join(box, "alice")
    await alice.watch()
    await alice.hold(box.seats[:1])

    def disable() -> None:
        db = connect(box.path)
        db.conn.execute("BEGIN IMMEDIATE")
        users.change(db, box.user_id("alice"), {"is_active": False}, now=box.clock())
        db.conn.execute("COMMIT")
        db.conn.close()

    await asyncio.to_thread(disable)
    assert await alice.is_closed()
    assert (await call("GET", "/api/me", who="alice")).status == 401
    guest = await join(box)
    await guest.subscribe(f"seats/status/{SHOWING}")
    if "reserved" in {m["status"] for m in await guest.hear("seats/status/+", 36)}:
        assert (await guest.hears("seats/status/+"))["status"] == "available"


async def test_a_times_form_is_iso_8601_in_utc(box: Premises, http: Http) -> None:
    reply = await http(box)("POST", "/api/session", who="alice")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", reply.body["expires_at"])
