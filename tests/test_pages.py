"""The pages as the box serves them: small ones, as the build would have made them. What is made of ``web/`` is for
test_packaging.py."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from boxes import SAMPLE_PLUGINS
from conftest import OpenClient, StartBox
from contract.chromium import Chromium
from multidict import CIMultiDictProxy
from raw_mqtt import RawClient, TcpTransport, WebSocketTransport
from scraping import refusals

from broker.doors.bodies import HEADERS
from broker.host import Host
from config import load_settings
from plugins.pages.files import PAGES, File, accepts_gzip, read
from plugins.pages.http import UNBUILT, policy

HTML = "<!doctype html><html lang=en><title>{}</title>" + "<p>The same line again.</p>" * 40
SCRIPT = "export const same = 1;\n" * 40
FOR_EVER = "public, max-age=31536000, immutable"

Get = Callable[..., Awaitable[tuple[int, bytes, "CIMultiDictProxy[str]"]]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the build writes: three pages and their assets, one of which is too small to become smaller."""
    built = tmp_path / "built"
    (built / "assets").mkdir(parents=True)
    for name in PAGES.values():
        (built / name).write_text(HTML.format(name))
    (built / "assets" / "visitors-Bw1.js").write_text(SCRIPT)
    (built / "assets" / "visitors-Bw2.css").write_text("p { color: red }\n" * 40)
    (built / "assets" / "icon-Bw3.svg").write_text("<svg/>")
    (built / "secret.txt").write_text("not a page")
    return built


@pytest.fixture
async def host(box: StartBox, folder: Path) -> Host:
    return await box(plugins=with_pages(folder))


def with_pages(folder: Path) -> dict[str, dict[str, Any]]:
    return {**SAMPLE_PLUGINS, "plugins.pages.PagesPlugin": {"folder": str(folder)}}


@pytest.fixture
async def get(host: Host) -> AsyncIterator[Get]:
    """``await get("/path", method="HEAD", …headers)`` answers status, body as it was sent, and headers."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:

        async def get(path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, Any]:
            sent = {"Accept-Encoding": "", **{name.replace("_", "-"): value for name, value in headers.items()}}
            url = "http://{}:{}".format(*host.web_addresses[0]) + path
            async with session.request(method, url, headers=sent) as response:
                return response.status, await response.read(), response.headers

        yield get


# The pages


@pytest.mark.parametrize(("address", "name"), PAGES.items())
async def test_each_page_has_its_address_and_is_asked_for_again_each_time(get: Get, address: str, name: str) -> None:
    status, body, headers = await get(address)
    assert (status, body.decode()) == (200, HTML.format(name))
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Cache-Control"] == "no-cache"
    tag = headers["ETag"]
    assert tag[0] == tag[-1] == '"'  # strong
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        status, body, headers = await get(address, If_None_Match=known)
        assert (status, body) == (304, b""), known
        assert headers["ETag"] == tag
        assert headers["Cache-Control"] == "no-cache"
        assert "Content-Length" not in headers
    for other in ('"other"', f'"{tag[1:-2]}"', "", tag.strip('"'), '"'):
        assert (await get(address, If_None_Match=other))[0] == 200, other


async def test_a_page_says_what_it_may_do_and_keeps_what_every_answer_says(get: Get) -> None:
    for address in PAGES:
        for known in ("", "*"):
            _, _, headers = await get(address, If_None_Match=known)
            said = {name: headers.getall(name) for name in HEADERS}
            said_of_pages = {"Cache-Control": "no-cache", "Content-Security-Policy": policy(b"")}
            assert said == {name: [value] for name, value in {**HEADERS, **said_of_pages}.items()}
            assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert "camera=()" in headers["Permissions-Policy"]
    for forgiving in ("unsafe", "data:", "blob:", "*", "http"):
        assert forgiving not in policy(b"")


def test_of_scripts_in_line_a_page_may_run_those_that_the_build_put_there() -> None:
    html = b"<script>one()</script><script src=x></script><script>\ntwo()\n</script>"
    one, two = (base64.b64encode(hashlib.sha256(text).digest()).decode() for text in (b"one()", b"\ntwo()\n"))
    assert policy(html) == policy(b"").replace("script-src 'self'", f"script-src 'self' 'sha256-{one}' 'sha256-{two}'")


# Assets


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("visitors-Bw1.js", "text/javascript; charset=utf-8"),
        ("visitors-Bw2.css", "text/css; charset=utf-8"),
        ("icon-Bw3.svg", "image/svg+xml"),
    ],
)
async def test_an_asset_is_kept_for_ever(get: Get, folder: Path, name: str, content_type: str) -> None:
    status, body, headers = await get(f"/assets/{name}")
    assert (status, body) == (200, (folder / "assets" / name).read_bytes())
    assert headers["Content-Type"] == content_type
    said = {**HEADERS, "Cache-Control": FOR_EVER}
    assert {header: headers[header] for header in said} == said


@pytest.mark.parametrize(
    "path",
    [
        "/assets/",
        "/assets/nothing.js",
        "/assets/../secret.txt",
        "/assets/..%2fsecret.txt",
        "/assets/..%2findex.html",
        "/assets/%2e%2e/secret.txt",
        "/assets/visitors-Bw1.js%00",
        "/assets//etc/passwd",
        "/secret.txt",
        "/index.html",
        "/kiosk/",
        "/favicon.ico",
    ],
)
async def test_what_the_build_did_not_name_so_is_not_there(host: Host, path: str) -> None:
    transport = await TcpTransport.open(host.web_addresses[0])  # a client of ours would tidy the path up
    await transport.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    answer = b""
    while data := await transport.read():
        answer += data
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b'"code":"not_found"' in answer
    await transport.close()


async def test_what_is_read_at_the_start_is_served_whatever_becomes_of_the_files(get: Get, folder: Path) -> None:
    for path in ("index.html", "assets/visitors-Bw1.js"):
        (folder / path).write_text("another build's")
    assert (await get("/"))[1].decode() == HTML.format("index.html")
    assert (await get("/assets/visitors-Bw1.js"))[1].decode() == SCRIPT


# Compression


@pytest.mark.parametrize(
    ("accept_encoding", "is_accepted"),
    [
        ("gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("br;q=1.0, GZIP;q=0.8", True),
        ("br , gzip ; q=0.001", True),
        ("*", True),
        ("identity, *;q=0.5", True),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("*;q=0", False),
        ("identity", False),
        ("xgzip, gzipx", False),
    ],
)
def test_gzip_is_sent_to_whom_accepts_it(accept_encoding: str, is_accepted: bool) -> None:
    assert accepts_gzip(accept_encoding) is is_accepted


@pytest.mark.parametrize("address", ["/", "/kiosk", "/assets/visitors-Bw1.js"])
async def test_a_file_comes_compressed_to_whom_accepts_it_and_has_another_tag_then(get: Get, address: str) -> None:
    _, plain, headers = await get(address)
    assert "Content-Encoding" not in headers
    _, smaller, compressed = await get(address, Accept_Encoding="gzip, br")
    assert compressed["Content-Encoding"] == "gzip"
    assert len(smaller) < len(plain)
    assert gzip.decompress(smaller) == plain
    assert headers["Vary"] == compressed["Vary"] == "Accept-Encoding"
    assert headers["Content-Type"] == compressed["Content-Type"]
    assert headers["ETag"] != compressed["ETag"]
    assert (await get(address, Accept_Encoding="gzip", If_None_Match=compressed["ETag"]))[0] == 304
    assert (await get(address, Accept_Encoding="gzip", If_None_Match=headers["ETag"]))[0] == 200
    assert (await get(address, If_None_Match=compressed["ETag"]))[0] == 200


async def test_what_would_not_become_smaller_is_sent_as_it_is(get: Get) -> None:
    _, body, headers = await get("/assets/icon-Bw3.svg", Accept_Encoding="gzip")
    assert body == b"<svg/>"
    assert "Content-Encoding" not in headers
    assert headers["Vary"] == "Accept-Encoding"


def test_the_same_files_are_compressed_to_the_same_bytes(folder: Path) -> None:
    assert read(folder) == read(folder)
    assert File.of(folder / "index.html").variant("gzip").body[4:8] == b"\0\0\0\0"  # no time is in it


@pytest.mark.parametrize("address", ["/", "/desk", "/assets/visitors-Bw1.js"])
@pytest.mark.parametrize("accept_encoding", ["", "gzip"])
async def test_head_says_what_get_would(get: Get, address: str, accept_encoding: str) -> None:
    status, body, asked = await get(address, "HEAD", Accept_Encoding=accept_encoding)
    assert (status, body) == (200, b"")
    _, _, got = await get(address, Accept_Encoding=accept_encoding)
    assert {**asked, "Date": ""} == {**got, "Date": ""}


# Beside everything else


async def test_mqtt_is_spoken_where_the_first_page_is(host: Host) -> None:
    transport = await WebSocketTransport.open(host.web_addresses[0], "/")
    assert await (await RawClient(transport).connect("ann")).subscribe("count/x") == b"\x00"
    await transport.close()


async def test_without_pages_the_box_says_what_to_do_and_serves_everything_else(
    box: StartBox, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "desk.html").unlink()
    with caplog.at_level(logging.WARNING, "plugins.pages"):
        host = await box(plugins=with_pages(folder))
    assert [record.getMessage() for record in caplog.records] == [UNBUILT]
    assert "make pages" in UNBUILT
    url = "http://{}:{}".format(*host.web_addresses[0])
    async with aiohttp.ClientSession() as session:
        for address in PAGES:
            async with session.get(url + address) as response:
                assert (response.status, response.content_type) == (503, "text/plain")
                assert await response.text() == UNBUILT + "\n"
                assert response.headers["Cache-Control"] == "no-store"
        for address, status in (("/assets/visitors-Bw1.js", 404), ("/healthz", 200), ("/api/whoami", 200)):
            async with session.get(url + address) as response:
                assert response.status == status
    transport = await WebSocketTransport.open(host.web_addresses[0], "/")
    await RawClient(transport).connect("ann")
    await transport.close()


# Within the limits

BROWSERS, FILES, AT_ONCE = 14, 15, 6
"""A browser asks for so many files on at most so many connections, and opens one more for MQTT."""


async def test_fourteen_browsers_behind_one_address_load_a_page_at_once(
    box: StartBox, folder: Path, client: OpenClient
) -> None:
    for number in range(FILES - 1):
        (folder / "assets" / f"part-{number}.js").write_text(SCRIPT)
    host = await box(plugins=with_pages(folder), limits=load_settings().limits.model_dump())
    url = "http://{}:{}".format(*host.web_addresses[0])

    async def ask(session: aiohttp.ClientSession, path: str) -> int:
        async with session.get(url + path) as response:
            await response.read()
            return response.status

    async def load(session: aiohttp.ClientSession) -> list[int]:
        page = await ask(session, "/")
        parts = (ask(session, f"/assets/part-{number}.js") for number in range(FILES - 1))
        *statuses, guest = await asyncio.gather(*parts, client(host, "web"))
        await guest.connect()
        return [page, *statuses]

    async with AsyncExitStack() as windows:
        sessions = [aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) for _ in range(BROWSERS)]
        for session in sessions:
            await windows.enter_async_context(session)
        loaded = await asyncio.gather(*map(load, sessions))
        assert loaded == [[200] * FILES] * BROWSERS
        assert len(host.places) == BROWSERS * (AT_ONCE + 1)  # all of them were open together
    assert refusals(host.metrics) == {}


async def test_browsers_that_come_one_after_another_do_not_keep_each_other_out(
    box: StartBox, folder: Path, client: OpenClient
) -> None:
    """Each keeps its idle connections, as browsers do; more of them than there are places."""
    host = await box(plugins=with_pages(folder), limits={"max_connections_per_address": 20})
    url = "http://{}:{}/".format(*host.web_addresses[0])

    async def load(session: aiohttp.ClientSession) -> None:
        async def ask() -> None:
            async with session.get(url) as response:
                assert response.status == 200
                await response.read()

        await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
        await (await client(host, "web")).connect()

    async with AsyncExitStack() as windows:
        for number in range(1, BROWSERS + 1):
            await load(await windows.enter_async_context(aiohttp.ClientSession()))
            assert len(host.places) == min(20, number * (AT_ONCE + 1))
    assert len(host.clients) == BROWSERS
    assert refusals(host.metrics) == {}


# In a browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    browser = Chromium()
    yield browser
    browser.close()


TRIES = """
const tried = (name, attempt) => {
  try { attempt(); found[name] = "done"; } catch (error) { found[name] = error.name; }
};
const found = { broken: [] };
addEventListener("securitypolicyviolation", (event) => found.broken.push(event.effectiveDirective));
tried("markup", () => { document.body.innerHTML = "<b>bold</b>"; });
tried("a policy of its own", () => { trustedTypes.createPolicy("mine", { createHTML: (text) => text }); });
tried("eval", () => { (0, eval)("1"); });
tried("a worker", () => { new Worker(URL.createObjectURL(new Blob(["1"]))); });
tried("text", () => { document.body.append(document.createElement("p")); });
const loads = (name, element) => new Promise((done) => {
  element.onload = () => { found[name] = "done"; done(); };
  element.onerror = () => { found[name] = "blocked"; done(); };
  document.head.append(element);
});
const of = (name, fields) => Object.assign(document.createElement(name), fields);
const picture = "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'/>";
await loads("a picture in an address", of("img", { src: picture }));
await loads("a picture of the box", of("img", { src: "/assets/icon-Bw3.svg" }));
await loads("a style of the box", of("link", { rel: "stylesheet", href: "/assets/visitors-Bw2.css" }));
const asked = (name, url) => fetch(url).then(() => { found[name] = "done"; }, () => { found[name] = "blocked"; });
await asked("the box", "/healthz");
await asked("somebody else", "http://somebody.example/");
await new Promise((done) => {
  const socket = new WebSocket(location.origin.replace("http", "ws") + "/", "mqtt");
  socket.onopen = () => { found["a socket"] = "done"; done(); };
  socket.onerror = () => { found["a socket"] = "blocked"; done(); };
});
window.found = found;
"""


async def test_a_page_is_made_of_the_boxs_files_and_speaks_with_the_box_alone(
    box: StartBox, folder: Path, chromium: Chromium
) -> None:
    in_line = "<!doctype html><title>p</title><script>window.built = 1</script><body onload='window.attribute = 1'>"
    (folder / "index.html").write_text(in_line + '<script type="module" src="/assets/visitors-Bw1.js"></script>')
    (folder / "assets" / "visitors-Bw1.js").write_text(TRIES)
    (folder / "assets" / "icon-Bw3.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    host = await box(plugins=with_pages(folder))
    tab = await chromium.open("http://{}:{}/".format(*host.web_addresses[0]))
    found = await tab.run(
        "async () => { while (!window.found) await new Promise(requestAnimationFrame); return window.found; }"
    )
    assert {"img-src", "connect-src", "require-trusted-types-for", "trusted-types"} <= set(found.pop("broken"))
    assert await tab.run("() => window.built === 1 && window.attribute === undefined")
    assert found == {
        "markup": "TypeError",
        "a policy of its own": "TypeError",
        "eval": "EvalError",
        "a worker": "TypeError",
        "text": "done",
        "a picture in an address": "blocked",
        "a picture of the box": "done",
        "a style of the box": "done",
        "the box": "done",
        "somebody else": "blocked",
        "a socket": "done",
    }
    await tab.close()
