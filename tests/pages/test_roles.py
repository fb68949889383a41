"""Whoever opens a page sees what is theirs, and is told no more: not on the screen, and not beneath it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from contract.house import SHOWING, Premises, new_id
from contract.people import Caller
from playwright.async_api import expect

from pages.audience import Network, address, book_button, is_live, says_who, seat, sees
from pages.conftest import OpenPage, signs_in

Http = Callable[[Premises], Caller]

pytestmark = pytest.mark.asyncio(loop_scope="package")


class Ear(Network):
    """Keeps all that the box says to a page by MQTT."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = b""
        self.loses = self._hear

    def _hear(self, message: bytes) -> bool:
        self.heard += message
        return False


async def holds_and_books(http: Http, box: Premises, who: str, seat_id: str) -> str:
    body = {"showing_id": SHOWING, "seat_ids": [seat_id], "timestamp": "t", "booking_id": new_id()}
    assert (await http(box)("POST", "/api/holds", body, who=who)).status == 200
    return str((await http(box)("POST", "/api/bookings", body, who=who)).body["number"])


async def test_a_guest_sees_the_seats_and_nobodys_bookings(box: Premises, open_page: OpenPage, http: Http) -> None:
    ear = Ear()
    page = await open_page(box.url(address(SHOWING)), ear)
    await is_live(page)
    number = await holds_and_books(http, box, "alice", box.seats[10])
    await sees(page, "B3", "taken")
    await expect(book_button(page)).not_to_be_attached()
    await expect(page.get_by_role("link", name="My bookings")).to_have_count(0)
    assert b"seats/status" in ear.heard
    for word in (number, "booking/confirm", "users/", box.user_id("alice"), "alice"):
        assert word.encode() not in ear.heard
    await page.goto(box.url("/#/bookings"))
    await expect(page.get_by_text("Sign in to see your bookings.")).to_be_visible()


async def test_a_visitor_sees_their_own_and_nobody_elses(box: Premises, open_page: OpenPage, http: Http) -> None:
    ear = Ear()
    page = await open_page(box.url(address(SHOWING)), ear)
    await is_live(page)
    await seat(page, "B4").click()
    await says_who(page, "Vic")
    await sees(page, "B4", "kept for you")
    number = await holds_and_books(http, box, "alice", box.seats[10])
    await sees(page, "B3", "taken")
    await book_button(page).click()
    await page.get_by_role("link", name="All my bookings").click()
    await expect(page.get_by_role("article")).to_have_count(1)
    await expect(page.locator("body")).not_to_contain_text(number)
    assert b"booking/confirm" in ear.heard
    assert number.encode() not in ear.heard
    assert box.user_id("alice").encode() not in ear.heard


async def test_a_customer_sees_what_they_booked_on_any_device(box: Premises, open_page: OpenPage, http: Http) -> None:
    numbers = [await holds_and_books(http, box, who, box.seats[place]) for place, who in enumerate(("alice", "bob"))]
    page = await open_page(box.url("/#/bookings"))
    await signs_in(page, "alice")
    await expect(page.get_by_role("article")).to_contain_text(numbers[0])
    await expect(page.locator("body")).not_to_contain_text(numbers[1])
    third = await holds_and_books(http, box, "alice", box.seats[5])
    await expect(page.get_by_role("article").filter(has_text=third)).to_be_visible()


async def test_a_kiosk_shows_nobodys_bookings(box: Premises, open_page: OpenPage, http: Http) -> None:
    page = await open_page(box.url("/kiosk"))
    await signs_in(page, "kiosk")
    await expect(page.get_by_text("Which film will it be?")).to_be_visible()
    number = await holds_and_books(http, box, "kiosk2", box.seats[0])
    await expect(page.get_by_role("button", name=re.compile("A film Room 1 .*35 seats left"))).to_be_visible()
    await expect(page.locator("body")).not_to_contain_text(number)


async def test_a_manager_sees_everybodys(box: Premises, open_page: OpenPage, http: Http) -> None:
    everybody = ("alice", "vera", "kiosk")
    numbers = [await holds_and_books(http, box, who, box.seats[place]) for place, who in enumerate(everybody)]
    page = await open_page(box.url(f"/desk#/showing/{SHOWING}"))
    await signs_in(page, "manager")
    for number in numbers:
        await expect(page.get_by_role("row").filter(has_text=number)).to_be_visible()


async def test_pages_of_one_browser_do_not_share_who_is_signed_in(box: Premises, open_page: OpenPage) -> None:
    desk = await open_page(box.url("/desk"))
    await signs_in(desk, "manager")
    await expect(desk.get_by_role("navigation", name="Main menu")).to_be_visible()
    page = await desk.context.new_page()
    await page.goto(box.url("/"))
    await is_live(page)
    await expect(page.get_by_role("link", name="Sign in")).to_be_visible()
