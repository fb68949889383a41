"""A real browser: the system's Chromium, driven by Playwright, which brings none along."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import pytest
from playwright.async_api import Browser, Page, Playwright, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
DEADLINE = 60.0
"""Only guards against a browser that never answers: seconds."""

T = TypeVar("T")


def executable() -> str:
    """Where Chromium is. Where there is none the test is not for this machine, but on the build server it must be."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is not None:
        return found
    told = f"there is no Chromium here ({', '.join(NAMES)}): what a real browser does to the box is not tried"
    if os.environ.get("CI"):
        pytest.fail(told)
    pytest.skip(told)


class Chromium:
    """A browser in a thread and loop of its own, so that it outlives the loop of each test.

    Every name under ``.example`` is 127.0.0.1 to it. It trusts the keys whose hashes (base64 of SHA-256 of the public
    key) are given.
    """

    def __init__(self, trusted_keys: Sequence[str] = ()) -> None:
        self._executable = executable()
        self._trusted_keys = trusted_keys
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chromium")
        self._thread.start()
        self._playwright: Playwright
        self._browser: Browser
        try:
            self._run(self._launch()).result(DEADLINE)
        except BaseException:
            self._end()
            raise

    def _run(self, work: Coroutine[Any, Any, T]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _launch(self) -> None:
        self._playwright = await async_playwright().start()
        self._browser = await self._playwright.chromium.launch(
            executable_path=self._executable,
            args=[
                "--no-sandbox",  # which root, as on a build server, could not use
                "--host-resolver-rules=MAP *.example 127.0.0.1",
                f"--ignore-certificate-errors-spki-list={','.join(self._trusted_keys)}",
            ],
            timeout=1000 * DEADLINE,
        )

    async def open(self, url: str) -> Tab:
        """A page, in a window without a past."""
        return Tab(self, *await asyncio.wrap_future(self._run(self._open(url))))

    async def _open(self, url: str) -> tuple[Page, list[str]]:
        page = await (await self._browser.new_context()).new_page()
        page.set_default_timeout(1000 * DEADLINE)
        complaints: list[str] = []
        page.on("console", lambda told: complaints.append(told.text) if told.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(f"Uncaught {error}"))
        await page.goto(url)
        return page, complaints

    def close(self) -> None:
        async def close() -> None:
            await self._browser.close()
            await self._playwright.stop()

        try:
            self._run(close()).result(DEADLINE)
        finally:
            self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)
        self._loop.close()


class Tab:
    """One page in a window of its own. ``complaints`` are the errors and warnings of its console."""

    def __init__(self, browser: Chromium, page: Page, complaints: list[str]) -> None:
        self._browser = browser
        self._page = page
        self.complaints = complaints

    async def run(self, script: str, *arguments: Any) -> Any:
        """Evaluate a JavaScript function with these arguments; what it, or its promise, comes to."""
        called = f"(all) => ({script})(...all)"
        async with asyncio.timeout(DEADLINE):
            return await asyncio.wrap_future(self._browser._run(self._page.evaluate(called, list(arguments))))

    async def close(self) -> None:
        await asyncio.wrap_future(self._browser._run(self._page.context.close()))
