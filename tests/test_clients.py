"""Who is connected, by plain calls."""

from __future__ import annotations

from typing import cast

import pytest

from broker.clients import Clients
from broker.connection import Connection
from broker.plugin import Identity


class Stub:
    """What :class:`Clients` asks of a connection that is let in."""

    def __init__(self, user: str | None, role: str, client_id: str) -> None:
        self.user, self.client_id, self.identity = user, f"{user}/{client_id}", Identity(user, user, role)


async def entered(clients: Clients, user: str | None, role: str, client_id: str) -> Connection:
    connection = cast(Connection, Stub(user, role, client_id))
    clients.arrived(connection)
    await clients.enter(connection)
    return connection


@pytest.mark.parametrize("roles", [("customer", "manager"), ("manager", "customer")])
async def test_while_a_connection_of_the_time_before_is_going_down_its_user_is_in_both_roles(
    roles: tuple[str, str],
) -> None:
    clients = Clients()
    before, now = roles
    going = await entered(clients, "ann", before, "phone")
    staying = await entered(clients, "ann", now, "desk")
    assert set(clients.users_of_role(before)) == set(clients.users_of_role(now)) == {"ann"}
    clients.leave(going)
    assert (set(clients.users_of_role(before)), set(clients.users_of_role(now))) == (set(), {"ann"})
    clients.leave(staying)
    assert set(clients.users_of_role(now)) == set()


async def test_a_role_has_its_connected_users_each_once_and_no_guests() -> None:
    clients = Clients()
    for user, role, client_id in (
        ("ann", "manager", "phone"),
        ("ann", "manager", "desk"),
        ("bob", "manager", "desk"),
        ("eve", "customer", "desk"),
        (None, "guest", "anybody"),
    ):
        await entered(clients, user, role, client_id)
    assert sorted(clients.users_of_role("manager")) == ["ann", "bob"]
    assert list(clients.users_of_role("guest")) == []
