"""``python -m bench.pages``: the visitors' page in a real Chromium, measured with the browser's own tools.

What is measured, each time in a window without a past:

- *Size*: what the browser fetched until the page was live, compressed as it came (Resource Timing).
- *Live seats*: from the navigation until a showing's every seat is drawn and MQTT is joined (a look at each frame).
- *Input to paint*: what Event Timing says of keys pressed on the plan, from the input until the frame that shows what
  came of it, rounded by the browser to 8 ms. Once with nobody else there, and once with 100 seats changing a second.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import shutil
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import aiomqtt
import typer
from playwright.async_api import Browser, Page, async_playwright
from rich.console import Console
from rich.table import Table

from bench import machine, systems
from bench.systems import HOST, KIOSK, KIOSK_PASSWORD, Showing, System

ROWS, SEATS_PER_ROW = 15, 20
CHANGES_PER_SECOND = 100
SEATS_PER_CHANGE = 5
INPUTS = 40
PAUSE = 0.1
"""Between inputs, in seconds: nobody types faster than the page could draw."""
PATIENCE_MS = 30_000
ROUND_SECONDS = 60.0
"""Only guards against a round that never ends."""
VIEWPORT = {"width": 1280, "height": 800}

IS_LIVE = f"""() => new Promise((done) => {{
  const look = () => {{
    const drawn = document.querySelectorAll('[data-seat]').length;
    const live = document.querySelector('[data-link="live"]') !== null;
    if (drawn === {ROWS * SEATS_PER_ROW} && live) done(performance.now());
    else requestAnimationFrame(look);
  }};
  look();
}})"""

FETCHED = """() => [...performance.getEntriesByType('resource'), ...performance.getEntriesByType('navigation')]
  .filter((entry) => !new URL(entry.name).pathname.startsWith('/api/'))
  .reduce((sum, entry) => sum + entry.encodedBodySize, 0)"""

OBSERVE = """() => {
  window.inputs = [];
  const inputs = (list) => list.getEntries().filter((entry) => entry.interactionId > 0);
  new PerformanceObserver((list) => window.inputs.push(...inputs(list).map((entry) => entry.duration)))
    .observe({type: 'event', durationThreshold: 16});
}"""


@dataclass(frozen=True, slots=True)
class Round:
    """One round: kilobytes (of 1,000 bytes), and milliseconds."""

    kilobytes: float
    live: float
    quiet: float
    """The slowest input of a round with nobody else there."""
    busy: float
    """The slowest while seats change."""
    changes: float
    """How many seats changed per second, as the page was told of them."""


def bench(rounds: Annotated[int, typer.Option(min=1, max=20, help="Rounds; medians are shown.")] = 5) -> None:
    """Measure the visitors' page in Chromium, at a box with a room of 300 seats, on loopback."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise typer.BadParameter("there is no Chromium here (Debian: chromium)")
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        console.print(f"{machine.sentence(Path(folder))}\n", markup=False, soft_wrap=True)
        with systems.start("box", Path(folder), seats=[ROWS * SEATS_PER_ROW], seats_per_row=SEATS_PER_ROW) as system:
            measured = asyncio.run(_measure(system, chromium, rounds, console))
    console.print(_table(measured))


async def _measure(system: System, chromium: str, rounds: int, console: Console) -> list[Round]:
    measured = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for number in range(1, rounds + 1):
            async with asyncio.timeout(ROUND_SECONDS):
                measured.append(await _round(browser, system, system.showings[0]))
            console.print(f"round {number}: {measured[-1]}", markup=False, soft_wrap=True)
        await browser.close()
    return measured


async def _round(browser: Browser, system: System, showing: Showing) -> Round:
    window = await browser.new_context(viewport=VIEWPORT)  # type: ignore[arg-type]  # the keys are Playwright's own
    page = await window.new_page()
    page.set_default_timeout(PATIENCE_MS)
    await page.goto(f"http://{HOST}:{system.door.port}/#/showing/{showing.showing_id}", wait_until="commit")
    live = await page.evaluate(IS_LIVE)
    kilobytes = await page.evaluate(FETCHED) / 1000
    await page.evaluate(OBSERVE)
    quiet = await _slowest_input(page)
    async with Crowd(system, showing) as crowd:
        busy = await _slowest_input(page)
        changes = crowd.changes_per_second()
    await window.close()
    return Round(kilobytes, live, quiet, busy, changes)


async def _slowest_input(page: Page) -> float:
    """In milliseconds; 8 stands for all that the browser does not list, because it was faster than 16."""
    await page.evaluate("() => { window.inputs.length = 0; }")
    plan = page.locator("[data-seat][tabindex='0']")
    await plan.focus()
    keys = itertools.cycle(("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowRight", "ArrowUp", "End", "Home"))
    for key in itertools.islice(keys, INPUTS):
        await page.keyboard.press(key)
        await asyncio.sleep(PAUSE)
    listed: list[float] = await page.evaluate("() => window.inputs")
    return max(listed, default=8.0)


class Crowd:
    """A kiosk that holds seats and gives them back, so many changes a second, as the box tells them."""

    def __init__(self, system: System, showing: Showing) -> None:
        self._system = system
        self._showing = showing
        self._seats: list[str] = []
        self._told = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._began = 0.0

    async def __aenter__(self) -> Crowd:
        self._client = aiomqtt.Client(
            HOST,
            self._system.door.port,
            username=KIOSK,
            password=KIOSK_PASSWORD,
            transport="websockets",
            websocket_path="/mqtt",
        )
        await self._client.__aenter__()
        await self._client.subscribe(f"seats/status/{self._showing.showing_id}")
        has_all = asyncio.Event()
        self._tasks.append(asyncio.create_task(self._listen(has_all)))
        await has_all.wait()
        self._began = asyncio.get_running_loop().time()
        self._tasks.append(asyncio.create_task(self._change()))
        await asyncio.sleep(1)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.__aexit__(None, None, None)

    def changes_per_second(self) -> float:
        return self._told / (asyncio.get_running_loop().time() - self._began)

    async def _listen(self, has_all: asyncio.Event) -> None:
        async for message in self._client.messages:
            if message.retain:
                seat: dict[str, Any] = json.loads(message.payload)
                self._seats.append(seat["seat_id"])
                if len(self._seats) == self._showing.seats:
                    has_all.set()
            else:
                self._told += 1

    async def _change(self) -> None:
        loop = asyncio.get_running_loop()
        for turn in itertools.count():
            booking_id = str(uuid4())
            seats = random.sample(self._seats, SEATS_PER_CHANGE)
            for topic in ("seats/hold", "seats/release"):
                due = self._began + (2 * turn + (topic == "seats/release")) * SEATS_PER_CHANGE / CHANGES_PER_SECOND
                await asyncio.sleep(max(0.0, due - loop.time()))
                body = {
                    "showing_id": self._showing.showing_id,
                    "seat_ids": seats,
                    "booking_id": booking_id,
                    "timestamp": str(turn),
                }
                await self._client.publish(topic, json.dumps(body), qos=1)


def _table(measured: list[Round]) -> Table:
    table = Table(title=f"The visitors' page, {ROWS * SEATS_PER_ROW} seats, medians of {len(measured)} rounds")
    for column in ("", "median (least–most)", "target", ""):
        table.add_column(column, justify="right" if "median" in column else "left")
    for label, name, target in (
        ("files of the first view, kB compressed", "kilobytes", 200.0),
        ("live seats after, ms", "live", 1000.0),
        ("slowest input to paint, nobody else there, ms", "quiet", 100.0),
        (f"slowest input to paint, {CHANGES_PER_SECOND} changes a second, ms", "busy", 100.0),
        ("changes a second", "changes", None),
    ):
        values = [getattr(one, name) for one in measured]
        median = statistics.median(values)
        wanted = "" if target is None else f"< {target:,.0f}"
        verdict = "" if target is None else "met" if median < target else "missed"
        table.add_row(label, f"{median:,.0f} ({min(values):,.0f}–{max(values):,.0f})", wanted, verdict)
    ratio = statistics.median(one.busy / one.quiet for one in measured)
    table.add_row("the busy one to the quiet one, ×", f"{ratio:.2f}", "", "")
    return table


if __name__ == "__main__":
    typer.run(bench)
