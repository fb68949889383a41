"""The kiosk in the foyer: one touch after another to a number, and whoever leaves it leaves nothing behind."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from contract.house import SHOWING, Premises
from contract.people import Caller
from playwright.async_api import Locator, Page, Route, expect

from pages.audience import Network, address, blocked, has_ticket, is_live, joined, seat, sees
from pages.conftest import FOYER, OpenPage, WebSockets, signs_in

Http = Callable[[Premises], Caller]

pytestmark = pytest.mark.asyncio(loop_scope="package")

QUIET, QUESTION, SHOWN, UNTOUCHED = 45_000, 15_000, 60_000, 10_000
"""Milliseconds, as in times.ts."""


async def open_kiosk(box: Premises, open_page: OpenPage, *network: WebSockets) -> Page:
    """A kiosk at its start screen, signed in by the staff; its clock is the test's to turn."""
    page = await open_page(box.url("/kiosk"), *network, viewport=FOYER, has_touch=True)
    await signs_in(page, "kiosk")
    await expect(page.get_by_text("Which film will it be?")).to_be_visible()
    return page


def film(page: Page, title: str = "A film") -> Locator:
    return page.get_by_role("button", name=re.compile(rf"^\d\d:\d\d {title} Room 1"))


async def touches(page: Page, *seats: str) -> None:
    """From the start to seats that are kept."""
    await film(page).tap()
    for name in seats:
        await seat(page, name).tap()
    for name in seats:
        await sees(page, name, "kept for you")


async def books(page: Page) -> str:
    await page.get_by_role("button", name="Book", exact=True).tap()
    await page.get_by_role("button", name="Book without an address").tap()
    return await has_ticket(page)


async def is_at_the_start(page: Page) -> None:
    await expect(page.get_by_text("Which film will it be?")).to_be_visible()


async def test_a_visitor_books_by_touch_alone(box: Premises, open_page: OpenPage, http: Http) -> None:
    page = await open_kiosk(box, open_page)
    await touches(page, "B3", "B4")
    told = await books(page)
    assert await page.locator(".ticket svg path").count() > 0
    await page.get_by_role("button", name="Done").tap()
    await is_at_the_start(page)
    listed = (await http(box)("GET", "/api/bookings", who="manager")).body
    assert [(one["number"], one["status"]) for one in listed] == [(told, "confirmed")]


async def test_an_email_is_typed_on_the_screen(box: Premises, open_page: OpenPage, http: Http) -> None:
    page = await open_kiosk(box, open_page)
    await touches(page, "B3")
    await page.get_by_role("button", name="Book", exact=True).tap()
    for key in ("v", "i", "c", "@", "x", ".nl"):
        await page.get_by_role("button", name=key, exact=True).tap()
    await expect(page.get_by_label("E-mail address")).to_have_value("vic@x.nl")
    await page.get_by_role("button", name="Book with this address").tap()
    await has_ticket(page)
    listed = (await http(box)("GET", "/api/bookings", who="manager")).body
    assert [one["email"] for one in listed] == ["vic@x.nl"]


async def test_a_kiosk_left_alone_asks_and_then_gives_the_seats_back(box: Premises, open_page: OpenPage) -> None:
    page = await open_kiosk(box, open_page)
    other = await open_page(box.url(address(SHOWING)))
    await page.clock.install()
    await page.reload()
    await is_at_the_start(page)
    await is_live(page)
    await touches(page, "B3")
    await sees(other, "B3", "taken")
    await page.clock.run_for(QUIET + 1000)
    await expect(page.get_by_role("dialog", name="Are you still there?")).to_be_visible()
    await page.get_by_role("button", name="I’m still here").tap()
    await sees(page, "B3", "kept for you")
    await page.clock.run_for(QUIET + QUESTION + 2000)
    await is_at_the_start(page)
    await sees(other, "B3", "available")


async def test_a_number_is_shown_for_a_minute_and_then_it_is_the_next_ones_turn(
    box: Premises, open_page: OpenPage
) -> None:
    page = await open_kiosk(box, open_page)
    await page.clock.install()
    await page.reload()
    await is_live(page)
    await touches(page, "B3")
    told = await books(page)
    await page.clock.run_for(SHOWN + 2000)
    await is_at_the_start(page)
    await expect(page.get_by_text(told)).to_have_count(0)


async def test_a_kiosk_is_signed_in_once(box: Premises, open_page: OpenPage, http: Http) -> None:
    page = await open_kiosk(box, open_page)
    await page.reload()
    await is_at_the_start(page)
    users = (await http(box)("GET", "/api/users", who="manager")).body
    kiosk = next(user["user_id"] for user in users if user["username"] == "kiosk")
    assert (await http(box)("PATCH", f"/api/users/{kiosk}", {"is_active": False}, who="manager")).status == 200
    await expect(page.get_by_text("The kiosk’s session has ended.")).to_be_visible()


async def test_a_customer_cannot_start_a_kiosk(box: Premises, open_page: OpenPage) -> None:
    page = await open_page(box.url("/kiosk"), viewport=FOYER)
    await signs_in(page, "alice")
    await expect(page.get_by_text("This account is not for a kiosk.")).to_be_visible()


async def test_a_reload_in_the_middle_gives_back_what_was_chosen(box: Premises, open_page: OpenPage) -> None:
    page = await open_kiosk(box, open_page)
    other = await open_page(box.url(address(SHOWING)))
    await touches(page, "B3")
    await sees(other, "B3", "taken")
    await page.reload()
    await is_at_the_start(page)
    await sees(other, "B3", "available")


async def test_two_kiosks_of_one_account_do_not_touch_each_others_seats(box: Premises, open_page: OpenPage) -> None:
    first, second = await open_kiosk(box, open_page), await open_kiosk(box, open_page)
    await touches(first, "B3")
    await touches(second, "B4")
    await sees(second, "B3", "taken")
    await second.get_by_role("button", name="Start over").tap()
    await is_at_the_start(second)
    await sees(first, "B4", "available")
    await sees(first, "B3", "kept for you")


async def test_a_kiosk_works_without_websockets(box: Premises, open_page: OpenPage) -> None:
    page = await open_kiosk(box, open_page, blocked)
    await joined(page, "polling")
    await touches(page, "B3")
    await books(page)


async def test_a_kiosk_that_nobody_uses_begins_anew_after_a_cut_where_the_box_serves_another_version(
    box: Premises, open_page: OpenPage
) -> None:
    network = Network()

    async def another_style(route: Route) -> None:
        answer = await route.fetch()
        await route.fulfill(response=answer, body=(await answer.text()).replace('.css"', '.css?new"'))

    page = await open_kiosk(box, open_page, network)
    await page.clock.install()
    await page.reload()
    await is_live(page)
    await page.route("**/kiosk", another_style)
    async with page.expect_event("load"):
        await network.cut()
        await page.clock.run_for(UNTOUCHED + 5000)
    await is_at_the_start(page)
    await expect(page.locator("link[href$='?new']").first).to_be_attached()
