"""The desk: the manager sees what happens, changes what is on, and knows whom it concerns."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from contract.house import PASSWORD, SHOWING, SMALL_ROOM, SMALL_SHOWING, Premises, new_id
from contract.people import Caller
from playwright.async_api import Page, expect

from pages.audience import (
    Network,
    address,
    blocked,
    chooses,
    has_ticket,
    is_live,
    is_told,
    joined,
    listed,
    says_who,
    seat,
    sees,
)
from pages.conftest import OpenBox, OpenPage, WebSockets, signs_in

Http = Callable[[Premises], Caller]

pytestmark = pytest.mark.asyncio(loop_scope="package")

AMSTERDAM = ZoneInfo("Europe/Amsterdam")


async def open_desk(box: Premises, open_page: OpenPage, view: str = "/", *network: WebSockets) -> Page:
    """The desk, with the manager signed in, at one of its views."""
    page = await open_page(box.url("/desk#" + view), *network)
    await signs_in(page, "manager")
    await expect(page.get_by_role("navigation", name="Main menu")).to_be_visible()
    return page


async def books(http: Http, box: Premises, who: str, *seat_ids: str, showing_id: str = SHOWING) -> dict[str, Any]:
    """A booking that is made without a page; what its confirmation says."""
    body = {"showing_id": showing_id, "seat_ids": list(seat_ids), "timestamp": "t", "booking_id": new_id()}
    reply = await http(box)("POST", "/api/bookings", body, who=who)
    assert reply.status == 200
    return reply.body  # type: ignore[no-any-return]


async def showing(http: Http, box: Premises, showing_id: str = SHOWING) -> dict[str, Any]:
    listed = (await http(box)("GET", "/api/showings")).body
    return next(one for one in listed if one["showing_id"] == showing_id)


def day_of(moment: str) -> str:
    """The cinema's day of a time on the wire."""
    return datetime.fromisoformat(moment).astimezone(AMSTERDAM).date().isoformat()


def time_of(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone(AMSTERDAM).strftime("%H:%M")


# What happens


async def test_the_manager_sees_what_visitors_and_kiosks_book(box: Premises, open_page: OpenPage, http: Http) -> None:
    desk = await open_desk(box, open_page, f"/day/{day_of((await showing(http, box))['starts_at'])}")
    await is_live(desk)
    visitor = await open_page(box.url(address(SHOWING)))
    await is_live(visitor)
    await seat(visitor, "B3").click()
    await says_who(visitor, "Vic")
    await sees(visitor, "B3", "kept for you")
    await expect(desk.get_by_text("1 of 36 taken")).to_be_visible()
    await visitor.get_by_role("button", name=re.compile("^Book ")).click()
    number = await has_ticket(visitor)
    kiosks = await books(http, box, "kiosk", *box.seats[-2:])
    feed = desk.get_by_role("log")
    for told in (number, kiosks["number"]):
        await expect(feed).to_contain_text(told)
    await expect(desk.get_by_text("3 of 36 taken")).to_be_visible()
    await feed.get_by_role("link", name=re.compile(number)).first.click()
    await expect(desk.locator("main")).to_contain_text("Vic")
    await expect(desk.locator("main")).to_contain_text("vic@example.org")


async def test_what_happened_while_nobody_looked_is_told_when_somebody_does(
    box: Premises, open_page: OpenPage, http: Http
) -> None:
    early = await books(http, box, "alice", box.seats[0])
    later = await books(http, box, "kiosk", box.seats[1])
    assert (await http(box)("DELETE", f"/api/bookings/{early['booking_id']}", who="alice")).status == 200
    desk = await open_desk(box, open_page)
    entries = desk.get_by_role("log").get_by_role("listitem")
    await expect(entries).to_contain_text([re.compile(f"Cancelled {early['number']}"), re.compile(later["number"])])


async def test_without_a_websocket_what_happens_is_told_all_the_same(
    box: Premises, open_page: OpenPage, http: Http
) -> None:
    desk = await open_desk(box, open_page, "/", blocked)
    await joined(desk, "polling")
    booked = await books(http, box, "alice", box.seats[0])
    await expect(desk.get_by_role("log")).to_contain_text(booked["number"])


async def test_a_booked_seat_says_whose_it_is(box: Premises, open_page: OpenPage, http: Http) -> None:
    booked = await books(http, box, "alice", *box.seats[8:10])
    desk = await open_desk(box, open_page, f"/showing/{SHOWING}")
    await seat(desk, "B1").click()
    await expect(desk.locator("main")).to_contain_text(booked["number"])
    await expect(desk.locator("main")).to_contain_text("Alice")


async def test_when_sales_close_it_is_said_at_once(open_box: OpenBox, open_page: OpenPage) -> None:
    box = await open_box(booking={"sales_close_minutes": 0})
    soon = {
        "showing_id": new_id(),
        "title": "A film that begins",
        "room_id": SMALL_ROOM,
        "starts_at": datetime.fromtimestamp(box.clock() + 6, UTC).isoformat(),
        "price": "9.50",
    }
    box.import_more({"showings": [soon]})
    desk = await open_desk(box, open_page, f"/showing/{soon['showing_id']}")
    await expect(desk.get_by_role("heading", name="Sale")).to_be_visible()
    await expect(desk.get_by_text("Sales for this showing have closed.")).to_be_visible()


# The programme


async def test_a_change_is_seen_by_who_looks_at_the_showing(box: Premises, open_page: OpenPage, http: Http) -> None:
    visitor = await open_page(box.url(address(SHOWING)))
    await is_live(visitor)
    desk = await open_desk(box, open_page, f"/showing/{SHOWING}/change")
    await desk.get_by_label("Title").fill("Another film")
    await desk.get_by_label("Price", exact=True).fill("10,50")
    await desk.get_by_role("button", name="Save the changes").click()
    await expect(visitor.get_by_role("heading", level=1)).to_have_text("Another film")
    await expect(seat(visitor, "B3")).to_have_accessible_name("Row B seat 3, €10.50, available")
    changed = await showing(http, box)
    assert (changed["title"], changed["price"], changed["prices"]) == ("Another film", "10.50", {"premium": "12.00"})


async def test_a_change_does_not_undo_what_another_manager_changed_meanwhile(
    box: Premises, open_page: OpenPage, http: Http
) -> None:
    desk = await open_desk(box, open_page, f"/showing/{SHOWING}/change")
    await desk.get_by_label("Title").fill("Another film")
    body = {"action": "update", "showing": {"showing_id": SHOWING, "price": "99.00"}}
    assert (await http(box)("POST", "/api/showings", body, who="manager2")).status == 200
    await expect(desk.get_by_label("Price", exact=True)).to_have_value("9.50")
    await desk.get_by_role("button", name="Save the changes").click()
    await expect(desk.get_by_role("heading", level=1)).to_have_text("Another film")
    changed = await showing(http, box)
    assert (changed["title"], changed["price"]) == ("Another film", "99.00")


async def test_before_a_showing_is_moved_one_sees_whom_it_concerns(
    box: Premises, open_page: OpenPage, http: Http
) -> None:
    await books(http, box, "alice", *box.seats[:2])
    before = await showing(http, box)
    visitor = await open_page(box.url(address(SHOWING)))
    await is_live(visitor)
    desk = await open_desk(box, open_page, f"/showing/{SHOWING}/change")
    new = "23:45" if time_of(before["starts_at"]) != "23:45" else "23:30"
    await desk.get_by_label("Starts at").fill(new)
    await desk.get_by_role("button", name="Save the changes").click()
    dialog = desk.get_by_role("dialog", name="Who needs to be told")
    await expect(dialog).to_contain_text("This affects 1 booking with 2 seats.")
    await expect(dialog).to_contain_text("alice@example.org")
    assert (await showing(http, box))["starts_at"] == before["starts_at"]
    await dialog.get_by_role("button", name="Change it").click()
    await is_told(visitor, "This showing has moved")
    assert time_of((await showing(http, box))["starts_at"]) == new


async def test_a_showing_that_is_cancelled_is_told_to_all_whom_it_concerns(
    box: Premises, open_page: OpenPage, http: Http
) -> None:
    visitor = await open_page(box.url(address(SHOWING)))
    await is_live(visitor)
    await seat(visitor, "B3").click()
    await says_who(visitor, "Vic")
    await sees(visitor, "B3", "kept for you")
    await books(http, box, "alice", *box.seats[:2])
    desk = await open_desk(box, open_page, f"/showing/{SHOWING}")
    await desk.get_by_role("button", name="Cancel the showing").click()
    dialog = desk.get_by_role("dialog")
    await expect(dialog).to_contain_text("This affects 1 booking with 2 seats.")
    await expect(dialog).to_contain_text("alice@example.org")
    await dialog.get_by_role("button", name="Cancel the showing and 1 booking").click()
    await is_told(visitor, "This showing has been cancelled.")
    assert [one["status"] for one in (await http(box)("GET", "/api/bookings", who="alice")).body] == ["cancelled"]


def deaf() -> Network:
    """A network that loses what is told of bookings: who wants to know of them has to ask."""
    network = Network()
    network.loses = lambda message: b"booking/confirm" in message
    return network


async def test_who_books_while_a_showing_is_being_cancelled_is_among_whom_it_concerns(
    box: Premises, open_page: OpenPage, http: Http
) -> None:
    desk = await open_desk(box, open_page, f"/showing/{SHOWING}", deaf())
    await is_live(desk)
    await expect(desk.get_by_text("Nobody has booked yet.")).to_be_visible()
    await books(http, box, "bob", *box.seats[2:4])
    await desk.get_by_role("button", name="Cancel the showing").click()
    dialog = desk.get_by_role("dialog")
    await expect(dialog).to_contain_text("bob@example.org")
    await books(http, box, "alice", *box.seats[:2])
    await dialog.get_by_role("button", name="Cancel the showing and 1 booking").click()
    await expect(dialog).to_contain_text("This affects 2 bookings with 4 seats.")
    await expect(dialog).to_contain_text("alice@example.org")


async def test_who_books_while_a_showing_is_being_moved_is_among_whom_it_concerns(
    box: Premises, open_page: OpenPage, http: Http
) -> None:
    desk = await open_desk(box, open_page, f"/showing/{SHOWING}/change", deaf())
    await is_live(desk)
    before = time_of((await showing(http, box))["starts_at"])
    await desk.get_by_label("Starts at").fill("23:45" if before != "23:45" else "23:30")
    await books(http, box, "bob", *box.seats[2:4])
    await desk.get_by_role("button", name="Save the changes").click()
    await expect(desk.get_by_role("dialog")).to_contain_text("bob@example.org")


async def test_a_showing_is_repeated_over_days(box: Premises, open_page: OpenPage, http: Http) -> None:
    visitor = await open_page(box.url("/"))
    await is_live(visitor)
    desk = await open_desk(box, open_page, "/new")
    await desk.get_by_label("Title").fill("A new film")
    await desk.get_by_label("Day", exact=True).fill("2031-03-28")
    await desk.get_by_label("Starts at").fill("20:00")
    await desk.get_by_label("Minutes").fill("95")
    await desk.get_by_label("Room").select_option(label="Room 1 (36 seats)")
    await desk.get_by_label("Price", exact=True).fill("9.50")
    await desk.get_by_label(re.compile("Premium")).fill("12.00")
    await desk.get_by_label("On several days").check()
    await desk.get_by_label("Until").fill("2031-03-31")
    await desk.get_by_role("button", name="Create 4 showings").click()
    await expect(desk.get_by_role("status").filter(has_text="4 showings have been created.")).to_be_visible()
    made = [one for one in (await http(box)("GET", "/api/showings")).body if one["title"] == "A new film"]
    # The clocks change in the night to the 30th; the film goes on beginning at eight.
    assert [(day_of(one["starts_at"]), time_of(one["starts_at"]), one["price"], one["prices"]) for one in made] == [
        (f"2031-03-{day}", "20:00", "9.50", {"premium": "12.00"}) for day in (28, 29, 30, 31)
    ]
    assert len({datetime.fromisoformat(one["starts_at"]).astimezone(UTC).hour for one in made}) == 2
    await expect(listed(visitor, made[0]["showing_id"])).to_be_visible()


# Bookings


async def test_seats_are_booked_and_paid_at_the_counter(box: Premises, open_page: OpenPage, http: Http) -> None:
    visitor = await open_page(box.url(address(SHOWING)))
    await is_live(visitor)
    desk = await open_desk(box, open_page, f"/showing/{SHOWING}")
    await seat(desk, "C1").click()
    await sees(desk, "C1", "kept for you")
    await sees(visitor, "C1", "taken")
    await desk.get_by_text("For whom? (optional)").click()
    await desk.get_by_label("E-mail for this booking").fill("walk-in@example.org")
    await desk.get_by_label("card").check()
    await desk.get_by_role("button", name=re.compile("^Book 1 seat for €12.00")).click()
    number = await has_ticket(desk)
    await expect(desk.get_by_text("€12.00 paid: card.")).to_be_visible()
    (found,) = (await http(box)("GET", "/api/bookings", who="manager")).body
    assert (found["number"], found["paid"], found["email"]) == (number, "card", "walk-in@example.org")


async def sells_without_an_answer(box: Premises, open_page: OpenPage, network: Network) -> Page:
    """The desk, with one seat booked and paid by card, as far as it knows: what MQTT carried of it was lost."""
    desk = await open_desk(box, open_page, f"/showing/{SHOWING}", network)
    await is_live(desk)
    await chooses(desk, "C1")
    await desk.get_by_label("card").check()
    network.swallows = lambda message: b"booking/request" in message
    await desk.get_by_role("button", name=re.compile("^Book 1 seat")).click()
    return desk


async def test_a_sale_that_is_left_while_it_is_booked_is_paid_and_told(
    box: Premises, open_page: OpenPage, http: Http
) -> None:
    network = Network()
    desk = await sells_without_an_answer(box, open_page, network)
    await desk.get_by_role("link", name="Users", exact=True).click()
    # What is not answered by MQTT is asked for over HTTP after a while.
    told = desk.get_by_role("status").filter(has_text="has been booked: 1 seat, A film. €12.00 paid: card.")
    await expect(told).to_be_visible()
    (made,) = (await http(box)("GET", "/api/bookings", who="manager")).body
    assert made["paid"] == "card"
    await told.get_by_role("link", name="See the booking").click()
    await expect(desk.get_by_role("region", name=f"Booking {made['number']}")).to_be_visible()
    await expect(told).not_to_be_attached()


async def test_a_sale_under_way_when_the_session_ends_goes_on_when_the_manager_is_back(
    box: Premises, open_page: OpenPage, http: Http
) -> None:
    network = Network()
    desk = await sells_without_an_answer(box, open_page, network)
    change = {"password": PASSWORD.format("manager")}
    assert (await http(box)("PATCH", f"/api/users/{box.user_id('manager')}", change, who="manager2")).status == 200
    await expect(desk.get_by_role("dialog")).to_be_visible()
    network.swallows = lambda message: False
    await signs_in(desk, "manager")
    number = await has_ticket(desk)
    await expect(desk.get_by_text("€12.00 paid: card.")).to_be_visible()
    (made,) = (await http(box)("GET", "/api/bookings", who="manager2")).body
    assert (made["number"], made["paid"]) == (number, "card")


@pytest.mark.parametrize("by", ["number", "name", "seat"])
async def test_a_booking_is_found_and_cancelled(box: Premises, open_page: OpenPage, http: Http, by: str) -> None:
    booked = await books(http, box, "alice", *box.seats[8:10])
    await books(http, box, "bob", *box.seats[20:21])
    desk = await open_desk(box, open_page, "/find")
    text = {"number": booked["number"].lower(), "name": "ALI", "seat": "b2"}[by]
    await desk.get_by_label("Number, seat or name").fill(text)
    found = desk.get_by_role("row").filter(has_text=booked["number"])
    await expect(found).to_be_visible()
    await expect(desk.get_by_role("status").filter(has_text="1 booking found")).to_be_visible()
    await found.get_by_role("button", name="Cancel").click()
    await desk.get_by_role("dialog").get_by_role("button", name="Cancel the booking").click()
    await expect(found).to_contain_text("cancelled")
    assert (await http(box)("GET", f"/api/bookings/{booked['booking_id']}", who="alice")).body["status"] == "cancelled"


async def test_who_pauses_between_two_words_finds_both(box: Premises, open_page: OpenPage) -> None:
    desk = await open_desk(box, open_page, "/find")
    field = desk.get_by_label("Number, seat or name")
    await field.press_sequentially("de ")
    await expect(desk).to_have_url(re.compile("#/find/de$"))
    await field.press_sequentially("vries")
    await expect(desk).to_have_url(re.compile("#/find/de%20vries$"))
    await expect(field).to_have_value("de vries")
    await desk.get_by_role("link", name="Find", exact=True).click()
    await expect(field).to_have_value("")


async def test_a_booking_at_the_counter_is_not_called_the_managers_own(
    box: Premises, open_page: OpenPage, http: Http
) -> None:
    booked = await books(http, box, "manager", *box.seats[8:10])
    desk = await open_desk(box, open_page, f"/showing/{SHOWING}/booking/{booked['booking_id']}")
    await desk.get_by_role("button", name=f"Cancel {booked['number']}").first.click()
    await expect(desk.get_by_role("dialog")).to_contain_text("At the desk")
    await expect(desk.get_by_role("dialog")).not_to_contain_text("Manager")
    await expect(desk.get_by_role("row").filter(has_text=booked["number"])).not_to_contain_text("manager@example.org")


# Users


async def test_an_account_is_made_and_taken_away_again(box: Premises, open_page: OpenPage) -> None:
    desk = await open_desk(box, open_page, "/users")
    await desk.get_by_role("button", name="New account").click()
    dialog = desk.get_by_role("dialog")
    await dialog.get_by_label("Username").fill("foyer")
    await dialog.get_by_label("Password").fill("a password of foyer")
    await dialog.get_by_label("Role").select_option("kiosk")
    await dialog.get_by_role("button", name="Create the account").click()
    await expect(desk.get_by_role("row").filter(has_text="foyer")).to_contain_text("kiosk")
    kiosk = await open_page(box.url("/kiosk"))
    await signs_in(kiosk, "foyer")
    await expect(kiosk.get_by_text("Which film will it be?")).to_be_visible()
    await desk.get_by_role("button", name="Change foyer").click()
    await dialog.get_by_label("Can sign in").uncheck()
    await dialog.get_by_role("button", name="Save").click()
    await expect(kiosk.get_by_text("The kiosk’s session has ended.")).to_be_visible()


async def test_what_was_missed_during_a_cut_is_in_the_list_after_it(
    box: Premises, open_page: OpenPage, http: Http
) -> None:
    network = Network()
    desk = await open_desk(box, open_page, "/users", network)
    await is_live(desk)
    await expect(desk.get_by_role("row").filter(has_text="alice")).to_be_visible()
    foyer = {"username": "foyer", "password": PASSWORD.format("foyer"), "role": "kiosk"}
    assert (await http(box)("POST", "/api/users", foyer, who="manager2")).status == 201
    await expect(desk.get_by_role("row").filter(has_text="foyer")).to_have_count(0)
    await network.cut()
    await expect(desk.get_by_role("row").filter(has_text="foyer")).to_be_visible()


async def test_the_last_manager_stays(box: Premises, open_page: OpenPage, http: Http) -> None:
    users = (await http(box)("GET", "/api/users", who="manager")).body
    other = next(user["user_id"] for user in users if user["username"] == "manager2")
    assert (await http(box)("PATCH", f"/api/users/{other}", {"is_active": False}, who="manager")).status == 200
    desk = await open_desk(box, open_page, "/users")
    await desk.get_by_role("button", name="Change Manager", exact=True).click()
    dialog = desk.get_by_role("dialog")
    await dialog.get_by_label("Can sign in").uncheck()
    await dialog.get_by_role("button", name="Save").click()
    await expect(dialog).to_contain_text("At least one manager must be able to sign in, and this is the last one.")


@pytest.mark.parametrize("who", ["alice", "kiosk"])
async def test_the_desk_is_the_managers(box: Premises, open_page: OpenPage, who: str) -> None:
    page = await open_page(box.url(f"/desk#/showing/{SHOWING}"))
    await signs_in(page, who)
    await expect(page.get_by_role("heading", name="This page is for managers")).to_be_visible()
    await expect(page.locator("[data-seat]")).to_have_count(0)


async def test_the_desk_works_without_websockets(box: Premises, open_page: OpenPage, http: Http) -> None:
    desk = await open_desk(box, open_page, f"/showing/{SMALL_SHOWING}", blocked)
    await joined(desk, "polling")
    await seat(desk, "A1").click()
    await sees(desk, "A1", "kept for you")
    await desk.get_by_role("button", name=re.compile("^Book 1 seat")).click()
    await has_ticket(desk)
    booked = await books(http, box, "alice", box.small_seats[3], showing_id=SMALL_SHOWING)
    await expect(desk.get_by_role("row").filter(has_text=booked["number"])).to_be_visible()
