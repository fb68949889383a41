"""``python -m pages.pictures FOLDER``: the pages as the README shows them, of a demo cinema on a busy evening."""

from __future__ import annotations

import asyncio
import os
import random
import re
import sys
import tempfile
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
from contract.chromium import executable
from contract.process import BoxProcess
from playwright.async_api import Browser, Page, async_playwright

from pages.audience import chooses, is_live, says_who, seat, sees
from pages.conftest import DESKTOP, FOYER, PHONE
from plugins.booking.demo import password_of

CINEMA = "Rialto"
COUNTER = "C5"
QUALITY = 88


class Evening:
    """A box with the demo cinema, in which people have booked."""

    def __init__(self, process: BoxProcess) -> None:
        self._process = process

    def url(self, path: str) -> str:
        host, port = self._process.web
        return f"http://{host}:{port}{path}"

    async def fill(self) -> dict[str, Any]:
        """Half of a showing is booked, and all of another; the half-sold one."""
        chance = random.Random(7)  # the same picture each time
        signed = {"Authorization": aiohttp.encode_basic_auth("kiosk", password_of("kiosk"))}
        async with aiohttp.ClientSession(headers=signed) as session:

            async def get(path: str) -> Any:
                async with session.get(self.url(path)) as answer:
                    return await answer.json()

            showings: list[dict[str, Any]] = await get("/api/showings")
            half = showings[0]
            day = [one for one in showings if one["starts_at"][:10] == half["starts_at"][:10]]
            full = next(one for one in day if one["room"] != half["room"])
            for showing, share in ((half, 0.5), (full, 1.0), *((one, 0.2) for one in day if one not in (half, full))):
                plan = (await get(f"/api/showings/{showing['showing_id']}/seats"))["seats"]
                rows: dict[str, list[str]] = {}
                for place in plan:
                    rows.setdefault(place["row"], []).append(place["seat_id"])
                pairs = [row[at : at + 2] for row in rows.values() for at in range(0, len(row), 2)]
                kept = {f"{place['row']}{place['number']}": place["seat_id"] for place in plan}
                free = {kept[name] for name in ("E5", "E6", "F5", "F6", "C5", "C6") if share < 1}
                for pair in chance.sample(pairs, int(share * len(pairs))):
                    if not free & set(pair):
                        body = {
                            "showing_id": showing["showing_id"],
                            "seat_ids": pair,
                            "booking_id": str(uuid4()),
                            "timestamp": "t",
                        }
                        async with session.post(self.url("/api/bookings"), json=body) as answer:
                            assert answer.status == 200
        return half


async def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as data:
        process = await BoxProcess.start(Path(data, "demo.db"), "serve", "--demo", LYNRIE_CINEMA__NAME=CINEMA)
        try:
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=executable(), args=["--no-sandbox"])
                await take(browser, Evening(process), folder)
                await browser.close()
        finally:
            await process.put_away()


async def take(browser: Browser, evening: Evening, folder: Path) -> None:
    showing = await evening.fill()
    path = f"/#/showing/{showing['showing_id']}"

    async def opened(where: str, viewport: dict[str, int], **options: Any) -> Page:
        window = await browser.new_context(viewport=viewport, locale="en-GB", **options)  # type: ignore[arg-type]
        page = await window.new_page()
        await page.goto(evening.url(where))
        await is_live(page)
        return page

    async def picture(page: Page, name: str) -> None:
        await page.wait_for_load_state("networkidle")
        await page.mouse.move(0, 0)
        await page.screenshot(path=folder / f"{name}.jpg", type="jpeg", quality=QUALITY, animations="disabled")

    async def signs_in(page: Page, name: str) -> None:
        await page.get_by_label("Username").fill(name)
        await page.get_by_label("Password").fill(password_of(name))
        await page.get_by_role("button", name="Sign in").click()

    visitor = await opened("/", DESKTOP)
    await picture(visitor, "programme")
    await visitor.goto(evening.url(path))
    await seat(visitor, "E5").click()
    await says_who(visitor, "Maud")
    await sees(visitor, "E5", "kept for you")
    await chooses(visitor, "E6")
    await picture(visitor, "showing")

    phone = await opened(path, PHONE, has_touch=True, device_scale_factor=2)
    await seat(phone, "F5").tap()
    await says_who(phone, "Iris")
    await sees(phone, "F5", "kept for you")
    await chooses(phone, "F6")
    await picture(phone, "phone")
    await phone.get_by_role("button", name=re.compile("^Book ")).click()
    await phone.locator(".ticket-number strong").wait_for()
    await picture(phone, "ticket")

    kiosk = await opened("/kiosk", FOYER, has_touch=True)
    await signs_in(kiosk, "kiosk")
    await kiosk.get_by_text("Which film will it be?").wait_for()
    await picture(kiosk, "kiosk")

    desk = await opened(f"/desk#/showing/{showing['showing_id']}", DESKTOP)
    await signs_in(desk, "manager")
    await chooses(desk, COUNTER)
    await picture(desk, "desk")


if __name__ == "__main__":
    where = Path(sys.argv[1])
    where.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("CI", "1")  # without a browser there are no pictures
    asyncio.run(main(where))
