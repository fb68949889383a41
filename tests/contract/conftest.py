"""The house, boxes that serve it, people at MQTT clients, and callers by HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from contract.house import House, Premises, build
from contract.people import Caller, Person

OpenHouse = Callable[..., Awaitable[Premises]]
Join = Callable[..., Awaitable[Person]]


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """The cinema, imported once; each test serves its own copy."""
    return build(tmp_path_factory.mktemp("house"))


@pytest.fixture
async def open_house(house: House, tmp_path: Path) -> AsyncIterator[OpenHouse]:
    """``await open_house(booking={…})`` serves a copy of the house with these sections of the settings."""
    opened: list[Premises] = []

    async def start(**sections: Any) -> Premises:
        opened.append(await Premises.open(house, tmp_path, **sections))
        return opened[-1]

    yield start
    for premises in opened:
        await premises.close()


@pytest.fixture
async def box(open_house: OpenHouse) -> Premises:
    """The house as default.toml has it."""
    return await open_house()


@pytest.fixture
async def join() -> AsyncIterator[Join]:
    """``await join(box, "alice")`` is alice at a client, connected; without a name a guest."""
    joined: list[Person] = []

    async def come(premises: Premises, name: str | None = None, **options: Any) -> Person:
        joined.append(await Person.join(premises, name, **options))
        return joined[-1]

    yield come
    for person in joined:
        await person.leave()


@pytest.fixture
async def http() -> AsyncIterator[Callable[[Premises], Caller]]:
    """``http(box)`` calls the box: ``await http(box)("GET", "/api/showings", who="alice")``."""
    async with aiohttp.ClientSession() as session:
        yield lambda premises: Caller(premises, session)
