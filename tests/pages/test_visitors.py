"""The audience's page: seats are chosen live, kept, and booked once, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

import pytest
from contract.house import PASSWORD, SHOWING, SMALL_SHOWING, Premises, new_id
from contract.people import Caller
from playwright.async_api import Page, WebSocketRoute, expect

from pages.audience import (
    Network,
    address,
    blocked,
    book_button,
    books,
    chooses,
    is_live,
    is_told,
    joined,
    listed,
    number,
    says_who,
    seat,
    sees,
)
from pages.conftest import PHONE, OpenBox, OpenPage, signs_in

Http = Callable[[Premises], Caller]

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def bookings(http: Http, box: Premises) -> list[tuple[str, list[str]]]:
    """All that are made, by name and seats, as the manager sees them."""
    listed = (await http(box)("GET", "/api/bookings", who="manager")).body
    return [(one["name"], [f"{seat['row']}{seat['number']}" for seat in one["seats"]]) for one in listed]


async def enters(page: Page, name: str, *seats: str) -> None:
    """A guest chooses, says who they are, and has the seats."""
    await is_live(page)
    await seat(page, seats[0]).click()
    await says_who(page, name)
    await sees(page, seats[0], "kept for you")
    await chooses(page, *seats[1:])


# From the programme to the ticket


async def test_a_visitor_books_on_a_phone(box: Premises, open_page: OpenPage, http: Http) -> None:
    page = await open_page(box.url("/"), viewport=PHONE, has_touch=True)
    await listed(page, SHOWING).first.click()
    await enters(page, "Vic", "B3", "C4")
    await expect(page.get_by_role("timer")).to_have_text(re.compile(r"^[45]:\d\d$"))
    await expect(book_button(page)).to_have_text("Book 2 seats for €21.50")
    told = await books(page)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Booked. Enjoy the film!")
    assert await bookings(http, box) == [("Vic", ["B3", "C4"])]
    await page.get_by_role("link", name="All my bookings").click()
    await expect(page.get_by_role("article")).to_contain_text(told)


async def test_the_code_on_the_ticket_shows_it_on_another_device_to_whoever_has_it(
    box: Premises, open_page: OpenPage, http: Http
) -> None:
    page = await open_page(box.url(address(SHOWING)))
    await enters(page, "Vic", "B3")
    told = await books(page)
    assert await page.locator(".ticket svg path").count() > 0
    other = await open_page(page.url)
    await expect(number(other)).to_have_text(told)
    await expect(other.locator(".ticket")).to_contain_text("A film")
    await expect(other.locator(".ticket")).to_contain_text("B3")
    await expect(other.locator("body")).not_to_contain_text("Vic")
    nobodys = await open_page(page.url[:-1] + ("A" if page.url[-1] != "A" else "B"))
    await expect(nobodys.get_by_role("heading", level=1)).to_have_text("We can’t find this booking")


async def test_a_ticket_says_that_it_is_cancelled_also_to_who_only_has_its_key(
    box: Premises, open_page: OpenPage, http: Http
) -> None:
    body = {"showing_id": SHOWING, "seat_ids": [box.seats[0]], "timestamp": "t", "booking_id": new_id()}
    booked = (await http(box)("POST", "/api/bookings", body, who="alice")).body
    page = await open_page(box.url("/"))
    await page.clock.install()
    await page.goto(box.url(f"/#/booking/{booked['booking_id']}/{booked['key']}"))
    await expect(number(page)).to_have_text(booked["number"])
    await http(box)("DELETE", f"/api/bookings/{booked['booking_id']}", who="manager")
    await page.clock.run_for(31_000)
    await expect(page.get_by_role("heading", level=1)).to_have_text("This booking has been cancelled")


async def test_who_booked_a_showing_that_is_called_off_is_told_so_on_the_ticket_and_in_the_list(
    box: Premises, open_page: OpenPage, http: Http
) -> None:
    page = await open_page(box.url(address(SHOWING)))
    await enters(page, "Vic", "B3")
    await books(page)
    body = {"action": "cancel", "showing": {"showing_id": SHOWING}}
    assert (await http(box)("POST", "/api/showings", body, who="manager")).status == 200
    await expect(page.locator(".ticket")).to_contain_text("this showing has been cancelled, and your booking with it")
    await page.get_by_role("link", name="All my bookings").click()
    await expect(page.get_by_role("article")).to_contain_text("this showing has been cancelled")


async def test_a_booking_is_cancelled_by_its_owner_and_the_seat_is_free_for_all(
    box: Premises, open_page: OpenPage
) -> None:
    page, other = [await open_page(box.url(address(SHOWING))) for _ in range(2)]
    await enters(page, "Vic", "B3")
    await books(page)
    await sees(other, "B3", "taken")
    await page.get_by_role("link", name="All my bookings").click()
    await page.get_by_role("button", name="Cancel booking").click()
    await page.get_by_role("button", name="Yes, cancel it").click()
    await expect(page.get_by_role("article")).to_contain_text("Cancelled")
    await sees(other, "B3", "available")


async def test_a_seat_that_is_given_back_is_free_for_all_at_once(box: Premises, open_page: OpenPage) -> None:
    page, other = [await open_page(box.url(address(SHOWING))) for _ in range(2)]
    await is_live(other)
    await enters(page, "Vic", "B3", "B4")
    await sees(other, "B3", "taken")
    await page.get_by_role("button", name="Remove Row B seat 3").click()
    await sees(other, "B3", "available")
    await sees(other, "B4", "taken")
    await page.get_by_role("link", name="What’s on").first.click()
    await sees(other, "B4", "available")


async def test_who_has_an_account_books_with_it(box: Premises, open_page: OpenPage, http: Http) -> None:
    page = await open_page(box.url(address(SHOWING)))
    await is_live(page)
    await seat(page, "B3").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="I have an account").click()
    await dialog.get_by_label("Username").fill("alice")
    await dialog.get_by_label("Password").fill("a wrong password")
    await dialog.get_by_role("button", name="Sign in").click()
    await expect(dialog.get_by_role("alert")).to_be_visible()
    await dialog.get_by_label("Password").fill("a password of alice")
    await dialog.get_by_role("button", name="Sign in").click()
    await sees(page, "B3", "kept for you")
    await books(page)
    assert await bookings(http, box) == [("Alice", ["B3"])]


# Others want the same


async def test_two_visitors_race_for_one_seat_and_one_has_it(box: Premises, open_page: OpenPage, http: Http) -> None:
    slow = Network()
    winner, loser = await open_page(box.url(address(SHOWING))), await open_page(box.url(address(SHOWING)), slow)
    await enters(winner, "Ann", "D1")
    await enters(loser, "Ben", "D10")
    await sees(loser, "D1", "taken")
    slow.loses = lambda message: b"seats/status" in message  # Ben does not see yet what Ann does
    await chooses(winner, "B3")
    await sees(loser, "B3", "available")
    await seat(loser, "B3").click()
    await is_told(loser, "B3 has just gone to somebody else.")
    await sees(loser, "B3", "taken")
    await sees(loser, "D10", "kept for you")
    await books(winner)
    await books(loser)
    assert sorted(await bookings(http, box)) == [("Ann", ["D1", "B3"]), ("Ben", ["D10"])]


async def test_two_who_touch_a_seat_in_the_same_moment_do_not_both_get_it(box: Premises, open_page: OpenPage) -> None:
    pages = [await open_page(box.url(address(SHOWING))) for _ in range(2)]
    for page, name in zip(pages, ("Ann", "Ben"), strict=True):
        await enters(page, name, "D1" if name == "Ann" else "D10")
    await asyncio.gather(*(seat(page, "B3").click(force=True) for page in pages))
    for page in pages:
        await expect(seat(page, "B3")).to_have_accessible_name(re.compile(", (kept for you|taken)$"))
    states = [await seat(page, "B3").get_attribute("data-state") for page in pages]
    assert sorted(state or "" for state in states) == ["kept", "taken"]


async def test_a_hold_runs_out_in_front_of_the_visitor(open_box: OpenBox, open_page: OpenPage) -> None:
    box = await open_box(booking={"hold_seconds": 3})
    page, other = [await open_page(box.url(address(SHOWING))) for _ in range(2)]
    await is_live(other)
    await enters(page, "Vic", "B3")
    await sees(other, "B3", "taken")
    await is_told(page, "Your time ran out, so B3 is free again.")
    await expect(book_button(page)).not_to_be_attached()
    await sees(page, "B3", "available")
    await sees(other, "B3", "available")
    await chooses(page, "B3")


async def test_what_a_page_had_chosen_is_still_chosen_after_a_reload(box: Premises, open_page: OpenPage) -> None:
    page = await open_page(box.url(address(SHOWING)))
    await enters(page, "Vic", "B3", "B4")
    await page.reload()
    await sees(page, "B3", "kept for you")
    await sees(page, "B4", "kept for you")
    await books(page)


async def test_a_showing_is_cancelled_while_somebody_looks_at_it(
    box: Premises, open_page: OpenPage, http: Http
) -> None:
    page = await open_page(box.url(address(SHOWING)))
    await enters(page, "Vic", "B3")
    body = {"action": "cancel", "showing": {"showing_id": SHOWING}}
    assert (await http(box)("POST", "/api/showings", body, who="manager")).status == 200
    await is_told(page, "This showing has been cancelled.")
    await expect(book_button(page)).not_to_be_attached()
    await page.get_by_role("link", name="What’s on").first.click()
    await expect(listed(page, SMALL_SHOWING).first).to_be_visible()
    await expect(listed(page, SHOWING)).to_have_count(0)


async def test_my_bookings_follow_a_showing_that_is_moved(box: Premises, open_page: OpenPage, http: Http) -> None:
    page = await open_page(box.url(address(SHOWING)))
    await enters(page, "Vic", "B3")
    await books(page)
    await page.get_by_role("link", name="All my bookings").click()
    await expect(page.get_by_role("article")).to_contain_text("A film")
    body = {"action": "update", "showing": {"showing_id": SHOWING, "title": "A film, moved"}}
    assert (await http(box)("POST", "/api/showings", body, who="manager")).status == 200
    await expect(page.get_by_role("article")).to_contain_text("A film, moved")


async def test_two_tabs_of_a_browser_are_one_persons(box: Premises, open_page: OpenPage) -> None:
    page = await open_page(box.url(address(SHOWING)))
    other = await page.context.new_page()
    await other.goto(box.url(address(SMALL_SHOWING)))
    await enters(page, "Vic", "B3")
    await expect(other.get_by_role("link", name="Vic")).to_be_visible()
    await chooses(other, "A1")
    await books(other)
    await sees(page, "B3", "kept for you")
    await page.get_by_role("link", name="Vic").click()
    await page.get_by_role("button", name="Sign out").click()
    await expect(other.get_by_role("link", name="Sign in")).to_be_visible()


async def test_after_a_booking_that_failed_a_showing_can_be_booked_again(
    box: Premises, open_page: OpenPage, http: Http
) -> None:
    network = Network()
    page = await open_page(box.url(address(SHOWING)), network)
    await enters(page, "Vic", "A2")
    network.loses = lambda message: b"seats/status" in message
    network.swallows = lambda message: b"seats/hold" in message
    await seat(page, "B3").click()
    await sees(page, "B3", "chosen, one moment")
    body = {"showing_id": SHOWING, "seat_ids": [box.seats[10]], "timestamp": "t", "booking_id": new_id()}
    booked = await http(box)("POST", "/api/bookings", body, who="alice")
    await book_button(page).click()
    await is_told(page, "B3 has just gone to somebody else.")
    network.loses = network.swallows = lambda message: False
    await http(box)("DELETE", f"/api/bookings/{booked.body['booking_id']}", who="alice")
    await page.get_by_role("link", name="What’s on").first.click()
    await listed(page, SHOWING).first.click()
    await chooses(page, "B3", "B4")
    await books(page)


async def test_a_title_is_text_whatever_is_in_it(box: Premises, open_page: OpenPage, http: Http) -> None:
    title = "<img src=x onerror=document.title='taken'><script>document.title='taken'</script>"
    body = {"action": "update", "showing": {"showing_id": SHOWING, "title": title}}
    assert (await http(box)("POST", "/api/showings", body, who="manager")).status == 200
    page = await open_page(box.url(address(SHOWING)))
    await expect(page.get_by_role("heading", level=1)).to_have_text(title)
    await page.get_by_role("link", name="What’s on").first.click()
    await expect(page.get_by_text(title)).to_be_visible()
    assert await page.title() != "taken"


# The connection


async def test_a_change_that_was_missed_is_noticed_and_made_good(box: Premises, open_page: OpenPage) -> None:
    network = Network()
    page, other = await open_page(box.url(address(SHOWING)), network), await open_page(box.url(address(SHOWING)))
    await is_live(page)
    await enters(other, "Ann", "D1")
    await sees(page, "D1", "taken")
    network.loses = lambda message: b"seats/status" in message
    await chooses(other, "B3")
    await sees(page, "B3", "available")
    network.loses = lambda message: False
    await chooses(other, "B4")
    await sees(page, "B4", "taken")
    await sees(page, "B3", "taken")


async def test_a_minute_of_silence_is_answered_by_asking(box: Premises, open_page: OpenPage) -> None:
    network = Network()
    page, other = await open_page(box.url("/"), network), await open_page(box.url(address(SHOWING)))
    await is_live(page)
    await page.clock.install()
    await page.goto(box.url(address(SHOWING)))
    await is_live(page)
    await sees(page, "B3", "available")
    network.loses = lambda message: b"seats/status" in message or b"showing/update" in message
    await enters(other, "Ann", "B3")
    await sees(page, "B3", "available")
    await page.clock.run_for(66_000)
    await sees(page, "B3", "taken")


async def test_without_websockets_everything_is_done_by_asking(box: Premises, open_page: OpenPage, http: Http) -> None:
    page, other = await open_page(box.url(address(SHOWING)), blocked), await open_page(box.url(address(SHOWING)))
    await joined(page, "polling")
    await expect(page.get_by_role("status").filter(has_text="Live updates are not available here")).to_be_visible()
    await enters(other, "Ann", "D1")
    await sees(page, "D1", "taken")
    await seat(page, "B3").click()
    await says_who(page, "Vic")
    await sees(page, "B3", "kept for you")
    await sees(other, "B3", "taken")
    told = await books(page)
    assert ("Vic", ["B3"]) in await bookings(http, box)
    await page.get_by_role("link", name="All my bookings").click()
    await expect(page.get_by_role("article")).to_contain_text(told)
    await page.get_by_role("button", name="Cancel booking").click()
    await page.get_by_role("button", name="Yes, cancel it").click()
    await expect(page.get_by_role("article")).to_contain_text("Cancelled")
    await sees(other, "B3", "available")
    await joined(page, "polling")


async def test_a_page_comes_back_to_live_as_soon_as_websockets_are_to_be_had(
    box: Premises, open_page: OpenPage
) -> None:
    through = Network()
    is_open = False

    def network(route: WebSocketRoute) -> Awaitable[None] | None:
        return through(route) if is_open else blocked(route)

    page = await open_page(box.url(address(SHOWING)), network)
    await joined(page, "polling")
    is_open = True
    await is_live(page)


async def test_a_session_that_is_ended_is_said_and_the_page_goes_on_as_a_guests(
    box: Premises, open_page: OpenPage, http: Http
) -> None:
    page = await open_page(box.url(address(SHOWING)))
    await enters(page, "Vic", "B3")
    users = (await http(box)("GET", "/api/users", who="manager")).body
    vic = next(user["user_id"] for user in users if user["name"] == "Vic")
    assert (await http(box)("PATCH", f"/api/users/{vic}", {"is_active": False}, who="manager")).status == 200
    await expect(page.get_by_role("status").filter(has_text="You’ve been signed out.")).to_be_visible()
    await is_live(page)
    await sees(page, "B3", "available")


async def test_where_nobody_may_look_unknown_the_page_asks_who_one_is(open_box: OpenBox, open_page: OpenPage) -> None:
    box = await open_box(auth={"allow_guests": False})
    page = await open_page(box.url("/"))
    await expect(page.get_by_role("heading", level=1)).to_have_text("Please sign in first")
    await joined(page, "polling")
    await page.get_by_label("Name").fill("Vic")
    await page.get_by_label("E-mail").fill("vic@example.org")
    await page.get_by_role("button", name="Continue").click()
    await is_live(page)
    await expect(listed(page, SHOWING).first).to_be_visible()
    assert await page.get_by_text("Live updates are not available").count() == 0


async def test_a_press_that_ends_beside_a_dialog_does_not_close_it(box: Premises, open_page: OpenPage) -> None:
    page = await open_page(box.url(address(SHOWING)))
    await is_live(page)
    await seat(page, "B3").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("Vic")
    await dialog.get_by_label("Name").hover()
    await page.mouse.down()
    await page.mouse.move(5, 5)
    await page.mouse.up()
    await expect(dialog.get_by_label("Name")).to_have_value("Vic")
    await page.mouse.click(5, 5)
    await expect(dialog).not_to_be_attached()


async def test_a_password_is_changed_once_however_often_that_is_pressed(box: Premises, open_page: OpenPage) -> None:
    page = await open_page(box.url("/#/account"))
    await signs_in(page, "alice")
    await page.get_by_label("Current password").fill(PASSWORD.format("alice"))
    await page.get_by_label("New password").fill("another long one")
    await page.get_by_role("button", name="Change password").dblclick()
    await expect(page.get_by_role("status").filter(has_text="Your password has been changed.")).to_be_visible()
    assert await page.get_by_role("alert").count() == 0


async def test_that_a_username_is_taken_is_said_of_the_username(open_box: OpenBox, open_page: OpenPage) -> None:
    box = await open_box(auth={"allow_registration": True})
    page = await open_page(box.url("/#/account"))
    await page.get_by_role("button", name="Create an account").click()
    for label, text in (("Name", "Alice"), ("E-mail address", "a@example.org"), ("Password", "a long password")):
        await page.get_by_label(label, exact=True).fill(text)
    await page.get_by_label("Username").fill("alice")
    await page.get_by_role("button", name="Create an account").click()
    await expect(page.get_by_label("Username")).to_have_accessible_description(re.compile("This username is taken"))
    await expect(page.get_by_label("Password")).not_to_have_attribute("aria-invalid", "true")
