"""The box dies and comes back, and nobody is left unsure: pages recover by themselves, and a booking is made once."""

from __future__ import annotations

import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from contract.house import SHOWING, House, Premises
from contract.process import BoxProcess
from playwright.async_api import Page, expect
from scraping import refusals

from pages.audience import (
    Network,
    address,
    book_button,
    has_ticket,
    is_live,
    joined,
    number,
    says_who,
    seat,
    sees,
)
from pages.conftest import FOYER, OpenBox, OpenPage, signs_in

pytestmark = pytest.mark.asyncio(loop_scope="package")


@dataclass
class Mortal:
    """A box in a process of its own that may die; it comes back at the same address, on the same file."""

    house: House
    path: Path
    process: BoxProcess

    def url(self, path: str) -> str:
        host, port = self.process.web
        return f"http://{host}:{port}{path}"

    def freeze(self) -> None:
        """What is sent to it arrives, and is not read."""
        self.process.process.send_signal(signal.SIGSTOP)

    async def die(self) -> None:
        await self.process.cut_the_power()

    async def come_back(self) -> None:
        host, port = self.process.web
        self.process = await BoxProcess.start(self.path, LYNRIE_LISTENERS__WEB__BIND=f"{host}:{port}")

    async def bookings(self) -> list[list[str]]:
        """The seats of each booking that is made."""
        headers = {"Authorization": f"Bearer {self.house.tokens['manager']}"}
        async with aiohttp.ClientSession(headers=headers) as session, session.get(self.url("/api/bookings")) as answer:
            listed = await answer.json()
        return [[f"{seat['row']}{seat['number']}" for seat in one["seats"]] for one in listed]


@pytest_asyncio.fixture(loop_scope="package")
async def box(house: House, tmp_path: Path) -> AsyncIterator[Mortal]:
    path = tmp_path / "box.db"
    shutil.copyfile(house.path, path)
    mortal = Mortal(house, path, await BoxProcess.start(path))
    yield mortal
    await mortal.process.put_away()


async def is_ready(page: Page) -> None:
    """A visitor has B3."""
    await is_live(page)
    await seat(page, "B3").click()
    await says_who(page, "Vic")
    await sees(page, "B3", "kept for you")


async def test_a_booking_under_way_when_the_box_dies_is_made_once(box: Mortal, open_page: OpenPage) -> None:
    page = await open_page(box.url(address(SHOWING)))
    await is_ready(page)
    box.freeze()
    await book_button(page).click()
    await expect(page.get_by_role("heading", name="Your booking is under way")).to_be_visible()
    await box.die()
    await expect(page.get_by_role("status").filter(has_text="it cannot be booked twice")).to_be_visible()
    await box.come_back()
    await has_ticket(page)
    assert await box.bookings() == [["B3"]]
    await is_live(page)


async def test_a_booking_whose_confirmation_was_lost_with_the_box_is_told_and_not_made_again(
    box: Mortal, open_page: OpenPage
) -> None:
    network = Network()
    page = await open_page(box.url(address(SHOWING)), network)
    await is_ready(page)
    network.loses = lambda message: b"booking/confirm" in message
    await book_button(page).click()
    while await box.bookings() != [["B3"]]:
        pass
    await box.die()
    network.loses = lambda message: False
    await joined(page, "reconnecting")
    await box.come_back()
    await has_ticket(page)
    assert await box.bookings() == [["B3"]]


async def test_what_is_asked_for_while_the_box_is_away_is_sent_when_it_is_back(
    box: Mortal, open_page: OpenPage
) -> None:
    page = await open_page(box.url(address(SHOWING)))
    await is_ready(page)
    await box.die()
    await joined(page, "reconnecting")
    await seat(page, "B4").click()
    await sees(page, "B4", "chosen, one moment")
    await book_button(page).click()
    await expect(page.get_by_role("status").filter(has_text="it cannot be booked twice")).to_be_visible()
    await box.come_back()
    await has_ticket(page)
    assert await box.bookings() == [["B3", "B4"]]


async def test_a_booking_that_was_asked_for_before_a_reload_is_resolved_after_it(
    box: Mortal, open_page: OpenPage
) -> None:
    network = Network()
    page = await open_page(box.url(address(SHOWING)), network)
    await is_ready(page)
    network.swallows = lambda message: b"booking/request" in message
    await book_button(page).click()
    await expect(page.get_by_role("heading", name="Your booking is under way")).to_be_visible()
    network.swallows = lambda message: False
    await page.reload()
    arrived = page.get_by_role("alert").filter(has_text="Your earlier booking went through.")
    await expect(arrived.or_(number(page)).first).to_be_visible()  # told, or shown where its showing was looked at
    assert await box.bookings() == [["B3"]]


async def test_a_booking_that_mqtt_does_not_answer_is_asked_for_by_http(box: Mortal, open_page: OpenPage) -> None:
    network = Network()
    page = await open_page(box.url(address(SHOWING)), network)
    await is_ready(page)
    network.swallows = lambda message: b"booking/request" in message
    await book_button(page).click()
    await has_ticket(page)
    assert await box.bookings() == [["B3"]]


async def test_what_is_held_stays_held_across_a_restart(box: Mortal, open_page: OpenPage) -> None:
    page = await open_page(box.url(address(SHOWING)))
    await is_ready(page)
    await box.die()
    await joined(page, "reconnecting")
    await box.come_back()
    await is_live(page)
    await sees(page, "B3", "kept for you")
    await book_button(page).click()
    await has_ticket(page)


async def test_all_three_pages_recover_from_a_restart_by_themselves(box: Mortal, open_page: OpenPage) -> None:
    visitor = await open_page(box.url(address(SHOWING)))
    kiosk = await open_page(box.url("/kiosk"), viewport=FOYER, has_touch=True)
    await signs_in(kiosk, "kiosk")
    await expect(kiosk.get_by_text("Which film will it be?")).to_be_visible()
    desk = await open_page(box.url(f"/desk#/showing/{SHOWING}"))
    await signs_in(desk, "manager")
    await sees(desk, "B3", "available")
    pages = (visitor, kiosk, desk)
    for page in pages:
        await is_live(page)
    await box.die()
    for page in pages:
        await joined(page, "reconnecting")
    await expect(kiosk.get_by_text("We’ll be back in a moment")).to_be_visible()
    await box.come_back()
    for page in pages:
        await is_live(page)
    await expect(kiosk.get_by_text("Which film will it be?")).to_be_visible()
    await seat(visitor, "B3").click()
    await says_who(visitor, "Vic")
    await sees(visitor, "B3", "kept for you")
    await sees(desk, "B3", "on hold")
    await book_button(visitor).click()
    number = await has_ticket(visitor)
    await expect(desk.get_by_role("row").filter(has_text=number)).to_be_visible()


# While the page itself comes


@pytest.mark.parametrize("path", ["/", "/kiosk", "/desk"])
async def test_a_page_of_which_a_script_did_not_come_begins_anew_by_itself(
    open_page: OpenPage, box: Premises, path: str
) -> None:
    page = await open_page("about:blank")
    await page.route("**/assets/*.js", lambda route: route.abort(), times=1)
    await page.goto(box.url(path))
    await expect(page.get_by_role("heading", level=1)).to_be_visible()


async def test_a_stylesheet_that_did_not_come_is_fetched_without_disturbing_anybody(
    open_page: OpenPage, box: Premises
) -> None:
    page = await open_page("about:blank")
    await page.route("**/assets/*.css", lambda route: route.abort(), times=1)
    await page.goto(box.url(address(SHOWING)))
    await is_live(page)
    await seat(page, "B3").click()
    await page.get_by_label("Name").fill("Vic")
    styled = page.locator("body")
    await expect(styled).not_to_have_css("background-color", "rgba(0, 0, 0, 0)")
    assert await page.evaluate("[...document.styleSheets].filter((sheet) => sheet.cssRules.length > 9).length") == 2
    await expect(page.get_by_label("Name")).to_have_value("Vic")


async def test_a_page_whose_mqtt_did_not_come_polls_until_it_comes(open_page: OpenPage, box: Premises) -> None:
    page = await open_page("about:blank")
    await page.route("**/assets/mqtt*", lambda route: route.abort(), times=1)
    await page.goto(box.url(address(SHOWING)))
    await is_live(page)


async def test_a_page_comes_by_itself_from_a_box_that_lets_few_in_at_once(
    open_page: OpenPage, open_box: OpenBox
) -> None:
    box = await open_box(limits={"connections_burst": 2, "connections_per_second": 2})
    page = await open_page(box.url(address(SHOWING)))
    await is_live(page)
    assert refusals(box.host.metrics)["connections_per_second"] > 0
