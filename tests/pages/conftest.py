"""Pages in a real browser, at a real box."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from contract.chromium import executable
from contract.house import PASSWORD, Clock, House, Premises, build
from contract.people import Caller
from playwright.async_api import Browser, ConsoleMessage, Error, Page, WebSocketRoute, async_playwright, expect

from plugins.pages.plugin import BUILT

OpenPage = Callable[..., Awaitable[Page]]
OpenBox = Callable[..., Awaitable[Premises]]
WebSockets = Callable[[WebSocketRoute], Any]

PATIENCE = 30_000
"""Only guards against what never happens: milliseconds."""

PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1280, "height": 800}
FOYER = {"width": 1080, "height": 1920}

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="package")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """The cinema, imported once; each test serves its own copy."""
    assert (BUILT / "index.html").is_file(), "the pages are not built: make pages"
    return build(tmp_path_factory.mktemp("pages"))


@pytest_asyncio.fixture(loop_scope="package")
async def open_box(house: House, tmp_path: Path) -> AsyncIterator[OpenBox]:
    """``await open_box(booking={…})`` serves a copy of the house with these sections of the settings. Its clock is
    right: a browser's is, too."""
    opened: list[Premises] = []

    async def start(**sections: Any) -> Premises:
        premises = await Premises.open(house, tmp_path, clock=Clock(time.time()), **sections)
        opened.append(premises)
        return premises

    yield start
    for premises in opened:
        await premises.close()


@pytest_asyncio.fixture(loop_scope="package")
async def box(open_box: OpenBox) -> Premises:
    """The house as default.toml has it."""
    return await open_box()


@pytest_asyncio.fixture(loop_scope="package")
async def http() -> AsyncIterator[Callable[[Premises], Caller]]:
    """``http(box)`` calls the box beside the pages: ``await http(box)("GET", "/api/bookings", who="manager")``."""
    async with aiohttp.ClientSession() as session:
        yield lambda premises: Caller(premises, session)


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def chromium() -> AsyncIterator[Browser]:
    """The system's Chromium. Where there is none these tests say so; on the build server there must be one."""
    path = executable()
    async with async_playwright() as playwright:
        # Without its sandbox, which root, as on a build server, could not use.
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        await browser.close()


class Faults:
    """What went wrong in pages that nobody looked at: errors of their code, and what their policy forbade."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.seen.append(_told(error)))
        page.on("console", self._said)

    def _said(self, message: ConsoleMessage) -> None:
        # That the network is away is what many of these tests are about.
        about_the_network = (
            "Failed to load resource",
            "WebSocket connection to",
            "WebSocket is already in CLOSING or CLOSED state",
            "Refused to apply style from",  # it was an answer that there is no place
            "Failed to load module script",
        )
        if message.type in ("error", "warning") and not message.text.startswith(about_the_network):
            self.seen.append(message.text)


def _told(error: Error) -> str:
    return f"{error.message}\n{error.stack}"


@pytest_asyncio.fixture(loop_scope="package")
async def open_page(chromium: Browser) -> AsyncIterator[OpenPage]:
    """``await open_page(url)`` is a page in a window without a past; ``web_socket`` stands in for the network between
    its WebSockets and the box, and what else is given is the window's. In the end no page may have had an error, or
    have tried what its policy forbids."""
    windows = []
    faults = Faults()

    async def show(url: str, web_socket: WebSockets | None = None, **options: Any) -> Page:
        window = await chromium.new_context(**{"viewport": DESKTOP, "locale": "en-GB", **options})
        windows.append(window)
        window.set_default_timeout(PATIENCE)
        page = await window.new_page()
        faults.watch(page)
        if web_socket is not None:
            await page.route_web_socket("**/mqtt", web_socket)
        await page.goto(url)
        return page

    yield show
    for window in windows:
        await window.close()
    assert faults.seen == []


async def signs_in(page: Page, name: str) -> None:
    """One of the house's accounts, by its password."""
    await page.get_by_label("Username").fill(name)
    await page.get_by_label("Password").fill(PASSWORD.format(name))
    await page.get_by_role("button", name="Sign in").click()
