"""Every page in every state that people meet is for everybody: axe-core finds nothing, in both languages and sizes."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from contract.house import SHOWING, Premises, new_id
from contract.people import Caller
from playwright.async_api import Page, expect

from pages.audience import address, book_button, chooses, has_ticket, is_live, joined, says_who, seat, sees
from pages.conftest import DESKTOP, FOYER, PHONE, OpenBox, OpenPage, signs_in

Http = Callable[[Premises], Caller]

pytestmark = pytest.mark.asyncio(loop_scope="package")

ROOT = Path(__file__).parents[2]
AXE = ROOT / "web/node_modules/axe-core/axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@cache
def axe() -> str:
    return AXE.read_text(encoding="utf-8")


async def is_accessible(page: Page) -> None:
    """Nothing of the page as it is now breaks WCAG 2.2 AA or axe-core's good practice."""
    await page.evaluate(axe())
    # Halfway from one colour to another nothing is read yet.
    await page.evaluate(
        "Promise.allSettled(document.getAnimations().filter((one) => one instanceof CSSTransition)"
        ".map((one) => one.finished)).then(() => {})"
    )
    found = await page.evaluate(
        "(rules) => axe.run(document, {runOnly: {type: 'tag', values: rules}}).then(({violations}) => violations.map("
        "({id, help, nodes}) => ({id, help, where: nodes.map((node) => node.html.slice(0, 200))})))",
        RULES,
    )
    assert found == [], json.dumps(found, indent=2)


async def with_seats(page: Page) -> None:
    await is_live(page)
    await seat(page, "B3").click()
    await says_who(page, "Vic")
    await sees(page, "B3", "kept for you")


@pytest.mark.parametrize("language", ["en-GB", "nl-NL"])
@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
async def test_the_audiences_page(box: Premises, open_page: OpenPage, viewport: Any, language: str) -> None:
    page = await open_page(box.url("/"), viewport=viewport, locale=language)
    await is_live(page)
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    await is_accessible(page)
    await page.goto(box.url(address(SHOWING)))
    await page.locator("[data-seat]").first.wait_for()
    await is_accessible(page)
    await page.locator("[data-seat][data-state=available]").nth(3).click()
    dialog = page.get_by_role("dialog")
    await is_accessible(page)
    await dialog.get_by_role("textbox").nth(0).fill("Vic")
    await dialog.get_by_role("textbox").nth(1).fill("vic@example.org")
    await dialog.locator("[type=submit]").click()
    await page.locator("[data-state=kept]").wait_for()
    await is_accessible(page)
    await page.locator(".basket-foot .button.main").click()
    await has_ticket(page)
    await is_accessible(page)
    for view in ("#/bookings", "#/account", f"#/booking/{new_id()}/nokey", f"#/showing/{new_id()}"):
        await page.goto(box.url(f"/{view}"))
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
        await is_accessible(page)


async def test_the_audiences_page_without_a_box(box: Premises, open_page: OpenPage) -> None:
    page = await open_page(box.url(address(SHOWING)), viewport=PHONE)
    await with_seats(page)
    await box.host.stop()
    await joined(page, "reconnecting")
    await is_accessible(page)
    await book_button(page).click()
    await expect(page.get_by_role("heading", name="Your booking is under way")).to_be_visible()
    await is_accessible(page)
    await box.reopen()


async def test_the_kiosk(box: Premises, open_page: OpenPage) -> None:
    page = await open_page(box.url("/kiosk"), viewport=FOYER, has_touch=True)
    await expect(page.get_by_label("Username")).to_be_visible()
    await is_accessible(page)
    await signs_in(page, "kiosk")
    await expect(page.get_by_text("Which film will it be?")).to_be_visible()
    await is_accessible(page)
    await page.get_by_role("button", name=re.compile(r"^\d\d:\d\d A film Room 1")).tap()
    await chooses(page, "B3", "B4")
    await is_accessible(page)
    await page.get_by_role("button", name="Book", exact=True).tap()
    await expect(page.get_by_label("E-mail address")).to_be_visible()
    await is_accessible(page)
    await page.get_by_role("button", name="Book without an address").tap()
    await has_ticket(page)
    await is_accessible(page)


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
async def test_the_desk(box: Premises, open_page: OpenPage, http: Http, viewport: Any) -> None:
    body = {"showing_id": SHOWING, "seat_ids": list(box.seats[:2]), "timestamp": "t", "booking_id": new_id()}
    assert (await http(box)("POST", "/api/bookings", body, who="alice")).status == 200
    page = await open_page(box.url("/desk"), viewport=viewport)
    await expect(page.get_by_label("Username")).to_be_visible()
    await is_accessible(page)
    await signs_in(page, "manager")
    await is_live(page)
    showing = f"#/showing/{SHOWING}"
    for view in ("#/", showing, f"{showing}/change", "#/new", "#/find/alice", "#/users", "#/account"):
        await page.goto(box.url(f"/desk{view}"))
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
        await page.wait_for_load_state("networkidle")
        await is_accessible(page)
    await page.goto(box.url(f"/desk{showing}"))
    await page.get_by_role("button", name="Cancel the showing").click()
    await expect(page.get_by_role("dialog")).to_contain_text("This affects 1 booking")
    await is_accessible(page)


# By the keyboard alone


async def test_a_seat_is_chosen_and_booked_by_the_keyboard(box: Premises, open_page: OpenPage) -> None:
    page = await open_page(box.url(address(SHOWING)))
    await is_live(page)
    first = page.locator("[data-seat][tabindex='0']")
    await expect(first).to_have_count(1)  # one stop for the whole room
    while not await first.evaluate("(seat) => seat === document.activeElement"):
        await page.keyboard.press("Tab")
    await expect(first).to_have_accessible_name(re.compile("^Row A seat 1,"))
    for key in ("ArrowDown", "End", "ArrowLeft"):
        await page.keyboard.press(key)
    await expect(seat(page, "B7")).to_be_focused()
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_label("Name")).to_be_focused()
    await page.keyboard.type("Vic")
    await page.keyboard.press("Tab")
    await page.keyboard.type("vic@example.org")
    await page.keyboard.press("Enter")
    await sees(page, "B7", "kept for you")
    await expect(seat(page, "B7")).to_have_attribute("aria-pressed", "true")
    while not await book_button(page).evaluate("(button) => button === document.activeElement"):
        await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await has_ticket(page)
    await expect(page.get_by_role("heading", level=1)).to_be_focused()


async def test_who_wants_no_motion_gets_none(box: Premises, open_page: OpenPage) -> None:
    page = await open_page(box.url(address(SHOWING)), reduced_motion="reduce")
    await with_seats(page)
    moving = await page.evaluate("document.getAnimations().filter((one) => one.effect.getTiming().duration > 1).length")
    assert moving == 0


# In their own language


async def test_the_page_speaks_the_visitors_language_and_another_when_asked(box: Premises, open_page: OpenPage) -> None:
    page = await open_page(box.url(address(SHOWING)), locale="nl-NL")
    await expect(page.locator("html")).to_have_attribute("lang", "nl")
    await expect(page.get_by_role("button", name="Rij B stoel 3, €\u00a09,50, vrij")).to_be_visible()
    await page.get_by_role("button", name="English").click()
    await expect(page.get_by_role("button", name="Row B seat 3, €9.50, available")).to_be_visible()
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    await page.reload()
    await expect(page.get_by_role("button", name="Row B seat 3, €9.50, available")).to_be_visible()


@pytest.mark.parametrize("path", ["/", "/kiosk", "/desk"])
async def test_a_cinema_that_speaks_one_language_offers_no_other(
    open_box: OpenBox, open_page: OpenPage, path: str
) -> None:
    box = await open_box(cinema={"languages": ["nl"]})
    page = await open_page(box.url(path), locale="en-GB")
    await is_live(page)
    await expect(page.locator("html")).to_have_attribute("lang", "nl")
    await expect(page.get_by_role("button", name="English")).to_have_count(0)


@pytest.mark.parametrize("path", ["/", "/kiosk", "/desk"])
async def test_nothing_is_wider_than_a_small_phone(box: Premises, open_page: OpenPage, path: str) -> None:
    page = await open_page(box.url(path), viewport=PHONE)
    await is_live(page)
    views: list[Callable[[], Awaitable[Any]]] = [lambda: page.goto(box.url("/" + f"#/showing/{SHOWING}"))]
    for view in [None, *(views if path == "/" else [])]:
        if view is not None:
            await view()
            await page.locator("[data-seat]").first.wait_for()
        assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
