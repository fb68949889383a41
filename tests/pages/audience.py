"""What a visitor does at the page, in their own words."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from playwright.async_api import Locator, Page, WebSocketRoute, expect

SEAT = re.compile(r"([A-Z]+)(\d+)")


def address(showing_id: str) -> str:
    return f"/#/showing/{showing_id}"


def listed(page: Page, showing_id: str) -> Locator:
    """The showing in the programme."""
    return page.locator(f"a[href='{address(showing_id)[1:]}']")


def seat(page: Page, name: str) -> Locator:
    """A seat of the plan by its name, such as ``B3``."""
    found = SEAT.fullmatch(name)
    assert found is not None
    return page.get_by_role("button", name=re.compile(f"^Row {found[1]} seat {found[2]},"))


async def sees(page: Page, name: str, state: str) -> None:
    """Wait until the seat is read out so: ``available``, ``taken``, ``kept for you`` or ``booked by you``."""
    await expect(seat(page, name)).to_have_accessible_name(re.compile(f", {state}$"))


async def is_live(page: Page) -> None:
    await joined(page, "live")


async def joined(page: Page, link: str) -> None:
    """Wait until the page is joined to the box so: ``live``, ``polling`` or ``reconnecting``."""
    await expect(page.locator(f"[data-link={link}]")).to_be_attached()


async def is_told(page: Page, text: str) -> None:
    """Wait until the page says so at once, to who looks and to who listens."""
    await expect(page.get_by_role("alert").filter(has_text=text).first).to_be_visible()


async def says_who(page: Page, name: str) -> None:
    """Answer the question that comes with a guest's first seat."""
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill(name)
    await dialog.get_by_label("E-mail").fill(f"{name.lower()}@example.org")
    await dialog.get_by_role("button", name="Continue").click()
    await expect(dialog).not_to_be_attached()


async def chooses(page: Page, *names: str) -> None:
    """Choose seats, and wait until they are kept."""
    for name in names:
        await seat(page, name).click()
    for name in names:
        await sees(page, name, "kept for you")


def book_button(page: Page) -> Locator:
    return page.get_by_role("button", name=re.compile("^Book "))


def number(page: Page) -> Locator:
    """The number on the ticket."""
    return page.locator(".ticket-number strong")


async def books(page: Page) -> str:
    """Book what is chosen; the booking's number."""
    await book_button(page).click()
    return await has_ticket(page)


async def has_ticket(page: Page) -> str:
    await expect(number(page)).to_have_text(re.compile(r"\w{6}"))
    return await number(page).inner_text()


class Network:
    """What is between a page's WebSocket and the box. ``loses`` says of each message from the box, and ``swallows`` of
    each to it, whether it is lost."""

    def __init__(self) -> None:
        self.loses: Callable[[bytes], bool] = lambda message: False
        self.swallows: Callable[[bytes], bool] = lambda message: False

    def __call__(self, page: WebSocketRoute) -> None:
        self._cable = page
        box = page.connect_to_server()
        page.on_message(lambda message: None if self.swallows(_bytes(message)) else box.send(message))
        box.on_message(lambda message: None if self.loses(_bytes(message)) else page.send(message))

    async def cut(self) -> None:
        """End the connection that is; the next one is let through."""
        await self._cable.close()


def _bytes(message: str | bytes) -> bytes:
    return message.encode() if isinstance(message, str) else message


def blocked(page: WebSocketRoute) -> Awaitable[None]:
    """A network that lets no WebSocket through."""
    return page.close()
