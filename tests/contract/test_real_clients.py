"""The clients that people have: mqtt.js in Node, paho in Python; and what README.md tells them to do.

mqtt.js is installed in ``tests/js`` by ``make tests``; without Node, or without it, these tests fail.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from normative import shows

from contract.conftest import Join
from contract.house import SHOWING, Premises, new_id
from contract.people import DEADLINE
from contract.process import ROOT, BoxProcess

SCRIPTS = Path(__file__).with_name("scripts")
NODE_MODULES = ROOT / "tests" / "js" / "node_modules"
START_SECONDS = 30.0

Run = Callable[..., Awaitable["Script"]]


class Script:
    """A script that runs in Node."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def line(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            line = await self.process.stdout.readline()
        assert line, f"node ended with {await self.process.wait()} after {self.lines}"
        self.lines.append(line.decode().rstrip())
        return self.lines[-1]

    async def body(self) -> dict[str, Any]:
        body = json.loads(await self.line())
        assert isinstance(body, dict)
        return body

    async def ends(self) -> int:
        """Its status; what it still said is in ``lines``."""
        assert self.process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            self.lines += (await self.process.stdout.read()).decode().splitlines()
            return await self.process.wait()


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Run]:
    """``await node("watching.mjs", "ws://…")`` runs a script where it finds mqtt.js."""
    executable = shutil.which("node")
    assert executable is not None, "Node is missing: make tests brings it along"
    assert (NODE_MODULES / "mqtt" / "package.json").is_file(), "mqtt.js is missing: make tests installs it"
    folder = tmp_path / "scripts"
    folder.mkdir()
    (folder / "node_modules").symlink_to(NODE_MODULES)
    started: list[asyncio.subprocess.Process] = []

    async def run(name: str, *arguments: str, text: str | None = None) -> Script:
        script = folder / name
        script.write_text(text or (SCRIPTS / name).read_text())
        process = await asyncio.create_subprocess_exec(
            executable,
            str(script),
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=2**20,
            start_new_session=True,
        )
        started.append(process)
        return Script(process)

    yield run
    for process in started:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)  # some machines' node is a script that starts node
        await process.wait()


def websocket_of(address: tuple[str, int], path: str = "") -> str:
    return f"ws://{address[0]}:{address[1]}{path}"


def request(box: Premises, seats: slice, **fields: Any) -> str:
    body = {"showing_id": SHOWING, "seat_ids": list(box.seats[seats]), "timestamp": "2030-01-01T20:00:00Z"}
    return json.dumps({"user_id": box.user_id("alice"), **body, **fields})


# mqtt.js


@pytest.mark.parametrize("path", ["", "/", "/mqtt"])
async def test_lynriescoops_page_sees_the_two_seats_that_alice_books(box: Premises, node: Run, path: str) -> None:
    url = websocket_of(box.host.web_addresses[0], path)
    page = await node("watching.mjs", url)
    present = [await page.body() for _ in range(36 + 36 + 6 + 6)]
    of_showing = [seat for seat in present if seat["showing_id"] == SHOWING]
    assert [seat["seat_id"] for seat in of_showing] == list(box.seats)
    assert {seat["status"] for seat in of_showing} == {"available"}
    alice = await node("booking.mjs", url, *box.house.credentials("alice"), "1", request(box, slice(2)))
    confirmation = await alice.body()
    assert confirmation["status"] == "confirmed"
    seats = [await page.body() for _ in range(2)]
    assert {seat["seat_id"] for seat in seats} == set(box.seats[:2])
    for seat in seats:
        assert {"showing_id", "seat_id", "status", "timestamp"} <= set(seat)
        assert (seat["showing_id"], seat["status"]) == (SHOWING, "booked")
    assert await alice.body() == {"acknowledged": True, "granted": 1, "sessionPresent": False}
    assert await alice.ends() == 0, alice.lines


@pytest.mark.parametrize("qos", ["0", "1", "2"])
async def test_mqtt_js_books_at_each_qos_and_is_acknowledged_to_the_end(box: Premises, node: Run, qos: str) -> None:
    url = websocket_of(box.host.web_addresses[0])
    booking_id = new_id()
    alice = await node(
        "booking.mjs", url, *box.house.credentials("alice"), qos, request(box, slice(2), booking_id=booking_id)
    )
    told = [await alice.body() for _ in range(2)]
    confirmation, acknowledgement = (
        told if qos != "0" else reversed(told)
    )  # the outcome comes before its acknowledgement
    assert (confirmation["booking_id"], confirmation["status"]) == (booking_id, "confirmed")
    assert acknowledgement["acknowledged"] is True
    assert await alice.ends() == 0, alice.lines


async def test_mqtt_js_comes_back_by_itself_after_a_restart_and_gets_the_present_again(
    box: Premises, node: Run, join: Join
) -> None:
    address = box.host.web_addresses[0]
    page = await node("watching.mjs", websocket_of(address))
    for _ in range(84):
        await page.body()
    await box.close()
    box.sections = {**box.sections, "web": {"bind": f"{address[0]}:{address[1]}"}}
    await box.reopen()
    present = [await page.body() for _ in range(84)]
    assert {seat["version"] for seat in present} == {0}


async def test_a_wrong_password_is_told_to_mqtt_js(box: Premises, node: Run) -> None:
    url = websocket_of(box.host.web_addresses[0])
    alice = await node("booking.mjs", url, "alice", "wrong", "1", request(box, slice(2)))
    assert "not authorized" in (await alice.line()).lower() or "bad" in alice.lines[-1].lower()
    assert await alice.ends() == 1


# paho


@shows("7.0.0-2")
@pytest.mark.parametrize("door", ["tcp", "web"])
@pytest.mark.parametrize("qos", [1, 2])
async def test_paho_books_two_seats_over_either_door(box: Premises, door: str, qos: int) -> None:
    transport = "tcp" if door == "tcp" else "websockets"
    host, port = (box.host.tcp_addresses if door == "tcp" else box.host.web_addresses)[0]
    messages: list[paho.MQTTMessage] = []
    subscribed, booked = threading.Event(), threading.Event()
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, transport=transport, protocol=paho.MQTTv311)
    client.username_pw_set(*box.house.credentials("alice"))

    def hear(client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        messages.append(message)
        live = [m for m in messages if not m.retain]
        if len([m for m in live if m.topic.startswith("seats/")]) == 2 and len(live) >= 3:
            booked.set()

    client.on_connect = lambda *_: client.subscribe([(f"seats/status/{SHOWING}", 1), ("booking/confirm/+", 1)])
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = hear
    client.connect_async(host, port)
    client.loop_start()
    try:
        assert await asyncio.to_thread(subscribed.wait, DEADLINE)
        sent = client.publish("booking/request", request(box, slice(2)), qos=qos)
        await asyncio.to_thread(sent.wait_for_publish, DEADLINE)
        assert sent.is_published()
        assert await asyncio.to_thread(booked.wait, DEADLINE)
    finally:
        client.disconnect()
        await asyncio.to_thread(client.loop_stop)
    live = [(m.topic.rpartition("/")[0], json.loads(m.payload)["status"], m.qos) for m in messages if not m.retain]
    assert sorted(live) == [("booking/confirm", "confirmed", 1), *[("seats/status", "booked", 0)] * 2]
    assert len([m for m in messages if m.retain]) == 36


# README.md


def block(language: str, containing: str) -> str:
    """The one block of README.md in that language with that in it."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    (found,) = [text for text in blocks if containing in text]
    return str(found)


async def test_the_first_booking_of_the_readme_is_confirmed_by_the_demo(tmp_path: Path, node: Run) -> None:
    demo = await BoxProcess.start(tmp_path / "demo.db", "serve", "--demo")
    try:
        text = block("js", "booking/request")
        assert "ws://localhost:9001" in text
        script = await node("book.mjs", text=text.replace("ws://localhost:9001", websocket_of(demo.web)))
        lines = [(await script.line()).split() for _ in range(3)]
    finally:
        await demo.put_away()
    confirmed = [words for words in lines if words[0].startswith("booking/confirm/")]
    seats = [words for words in lines if words[0].startswith("seats/status/")]
    assert [words[1] for words in confirmed] == ["confirmed"]
    assert len(confirmed[0][2]) >= 4  # its number
    assert [words[1] for words in seats] == ["booked", "booked"]
    assert len({words[2] for words in seats}) == 2


async def test_the_plugin_of_the_readme_runs_as_the_readme_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "applause.py").write_text(block("python", "class ApplausePlugin"))
    settings = tmp_path / "settings.toml"
    settings.write_text(block("toml", "applause.ApplausePlugin"))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    box = await BoxProcess.start(tmp_path / "box.db", "--config", str(settings))
    try:
        first = await applaud(box, 1)
        second = await applaud(box, 2)
    finally:
        status = await box.stop()
    assert first == [("applause/count", b"0", True), ("applause/count", b"1", False)]
    assert second == [("applause/count", b"1", True), ("applause/count", b"2", False), ("applause/count", b"3", False)]
    assert status == 0
    assert "Traceback" not in box.said


async def applaud(box: BoxProcess, times: int) -> list[tuple[str, bytes, bool]]:
    """A guest's applause, and what the guest hears of it."""
    import aiomqtt

    heard: list[tuple[str, bytes, bool]] = []
    async with aiomqtt.Client(*box.tcp, timeout=DEADLINE) as guest, asyncio.timeout(DEADLINE):
        await guest.subscribe("applause/count")
        for _ in range(times):
            await guest.publish("applause/send", b"", qos=1)
        async for message in guest.messages:
            heard.append((str(message.topic), bytes(message.payload), message.retain))
            if len(heard) == times + 1:
                return heard
    return heard
