"""What pages in a real browser can do to the box: of its own and public origins all, of other sites nothing."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import socket
import sqlite3
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import raw_mqtt
import trustme
from aiohttp import web
from boxes import until
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from scraping import refusals

from contract.chromium import Chromium, Tab
from contract.conftest import OpenHouse
from contract.house import PASSWORD, SHOWING, Premises, new_id

WITH_A_PAGE = {"sample_plugins.Page": {}}
PUBLIC = "kino.example"
EVIL = "evil.example"
BLANK = "<!doctype html><title>a page</title>"


@dataclass(frozen=True)
class Identity:
    """A certificate for the box's public name and for localhost."""

    cert: Path
    key: Path
    key_hash: str

    @property
    def files(self) -> dict[str, str]:
        return {"certfile": str(self.cert), "keyfile": str(self.key)}

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.cert, self.key)
        return context


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    folder = tmp_path_factory.mktemp("identity")
    issued = trustme.CA().issue_cert(PUBLIC, "localhost", "127.0.0.1")
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    public = x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes()).public_key()
    digest = hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    return Identity(folder / "cert.pem", folder / "key.pem", base64.b64encode(digest).decode())


@pytest.fixture(scope="module")
def chromium(identity: Identity) -> Iterator[Chromium]:
    browser = Chromium([identity.key_hash])
    yield browser
    browser.close()


@contextlib.asynccontextmanager
async def served(app: web.Application, port: int = 0, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Another web server than the box, on 127.0.0.1; its port."""
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def somebody_elses_site() -> web.Application:
    async def page(request: web.Request) -> web.Response:
        return web.Response(text=BLANK, content_type="text/html")

    app = web.Application()
    app.add_routes([web.get("/", page)])
    return app


def all_that_is_kept(premises: Premises) -> list[str]:
    with contextlib.closing(sqlite3.connect(premises.path)) as db:
        return list(db.iterdump())


# Pages of other sites

ATTACKS = """async (box, token) => {
  const body = '{"name":"Eve","email":"eve@evil.example"}';
  const as = (type) => ({method: 'POST', headers: {'Content-Type': type}, body});
  const asked = async (path, options) => {
    try {
      const answer = await fetch(box + path, options);
      return answer.type === 'opaque' && await answer.text() === '' ? 'unread' : 'READ ' + await answer.text();
    } catch (error) { return 'unread'; }
  };
  const loaded = (name, attributes) => new Promise((done) => {
    const element = Object.assign(document.createElement(name), attributes);
    element.onload = () => done(name === 'iframe' && element.contentDocument === null ? 'unread' : 'READ ' + name);
    element.onerror = () => done('unread');
    document.body.append(element);
  });
  const posted = (enctype) => new Promise((done) => {
    const frame = Object.assign(document.createElement('iframe'), {name: 'target' + Math.random()});
    document.body.append(frame);
    const form = Object.assign(document.createElement('form'),
      {method: 'POST', action: box + '/api/session', enctype, target: frame.name});
    const field = Object.assign(document.createElement('input'),
      {name: '{"name":"Eve","email":"eve@evil.example","x":"', value: '"}'});
    form.append(field);
    document.body.append(form);
    frame.onload = () => done(frame.contentDocument === null ? 'unread' : 'READ form');
    form.submit();
  });
  const socket = (protocols) => new Promise((done) => {
    const opened = new WebSocket(box.replace('http', 'ws') + '/mqtt', protocols);
    opened.onopen = () => done('READ socket');
    opened.onclose = () => done('unread');
  });
  const beacon = (type) => navigator.sendBeacon(box + '/api/session', new Blob([body], {type})) ? 'unread' : 'not sent';
  const signed = {Authorization: 'Bearer ' + token};
  return {
    get: await asked('/api/cinema'),
    'get with credentials': await asked('/api/cinema', {credentials: 'include'}),
    'get without cors': await asked('/api/cinema', {mode: 'no-cors'}),
    'get with a token': await asked('/api/me', {headers: signed}),
    'post text': await asked('/api/session', as('text/plain')),
    'post text without cors': await asked('/api/session', {...as('text/plain'), mode: 'no-cors'}),
    'post json': await asked('/api/session', as('application/json')),
    'post json without cors': await asked('/api/session', {...as('application/json'), mode: 'no-cors'}),
    'post with a token': await asked('/api/session', {method: 'POST', headers: signed}),
    'delete with a token': await asked('/api/session', {method: 'DELETE', headers: signed}),
    'form': await posted('application/x-www-form-urlencoded'),
    'form of parts': await posted('multipart/form-data'),
    'form of text': await posted('text/plain'),
    'beacon of text': beacon('text/plain'),
    'beacon of json': beacon('application/json'),
    image: await loaded('img', {src: box + '/api/cinema'}),
    script: await loaded('script', {src: box + '/api/cinema'}),
    style: await loaded('link', {rel: 'stylesheet', href: box + '/api/cinema'}),
    frame: await loaded('iframe', {src: box + '/api/cinema'}),
    'frame of the first page': await loaded('iframe', {src: box + '/'}),
    events: await new Promise((done) => {
      const source = new EventSource(box + '/api/cinema');
      source.onopen = () => done('READ events');
      source.onerror = () => { source.close(); done('unread'); };
    }),
    socket: await socket('mqtt'),
    'socket of two protocols': await socket(['mqttv3.1', 'mqtt']),
  };
}"""

# The same from a frame whose origin is null; it tells its parent what came of it.
FROM_A_SANDBOX = """(box, token, attacks) => new Promise((done) => {
  addEventListener('message', (event) => done({...event.data.found, origin: event.origin}));
  const frame = document.createElement('iframe');
  frame.sandbox = 'allow-scripts allow-forms';
  frame.srcdoc = `<body><script>(${attacks})(${JSON.stringify(box)}, ${JSON.stringify(token)})
    .then((found) => parent.postMessage({found}, '*'))</scr` + 'ipt>';
  document.body.append(frame);
})"""

REFUSED_BY_ORIGIN = 14
"""Of the attacks so many are refused by the box for their ``Origin``, at least: the others carry none, or do not get
past the browser itself. Each must have arrived, or nothing would be shown."""


def what_was_read(found: dict[str, str]) -> list[str]:
    assert len(found) >= 23
    return [f"{attack}: {came}" for attack, came in found.items() if came != "unread"]


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", EVIL])
@pytest.mark.parametrize("address", ["127.0.0.1", "localhost"])
async def test_a_page_of_another_site_changes_nothing_and_reads_nothing(
    open_house: OpenHouse, chromium: Chromium, name: str, address: str
) -> None:
    box = await open_house()
    before = all_that_is_kept(box)
    async with served(somebody_elses_site()) as port:
        tab = await chromium.open(f"http://{name}:{port}/")
        found = await tab.run(ATTACKS, f"http://{address}:{box.host.web_addresses[0][1]}", box.house.tokens["alice"])
        assert what_was_read(found) == []
        await until(lambda: refusals(box.host.metrics).get("origin", 0) >= REFUSED_BY_ORIGIN)
        await tab.close()
    assert all_that_is_kept(box) == before


async def test_a_page_without_an_origin_changes_nothing_and_reads_nothing(
    open_house: OpenHouse, chromium: Chromium
) -> None:
    box = await open_house()
    before = all_that_is_kept(box)
    async with served(somebody_elses_site()) as port:
        tab = await chromium.open(f"http://{EVIL}:{port}/")
        found = await tab.run(FROM_A_SANDBOX, box.url(""), box.house.tokens["alice"], ATTACKS)
        assert found.pop("origin") == "null"
        assert what_was_read(found) == []
        await until(lambda: refusals(box.host.metrics).get("origin", 0) >= REFUSED_BY_ORIGIN)
        await tab.close()
    assert all_that_is_kept(box) == before


# DNS rebinding

AS_IF_ITS_OWN = """async (token) => {
  const asked = async (path, options) => {
    const answer = await fetch(path, options);
    return [answer.status, (await answer.json()).code];
  };
  const body = '{"name":"Eve","email":"eve@evil.example"}';
  return {
    get: await asked('/api/cinema'),
    token: await asked('/api/me', {headers: {Authorization: 'Bearer ' + token}}),
    text: await asked('/api/session', {method: 'POST', body}),
    json: await asked('/api/session', {method: 'POST', body, headers: {'Content-Type': 'application/json'}}),
    delete: await asked('/api/session', {method: 'DELETE', headers: {Authorization: 'Bearer ' + token}}),
    socket: await new Promise((done) => {
      const socket = new WebSocket(location.origin.replace('http', 'ws') + '/mqtt', 'mqtt');
      socket.onopen = () => done('open');
      socket.onclose = () => done('closed');
    }),
  };
}"""


async def test_a_name_that_is_pointed_at_the_box_after_its_page_was_loaded_opens_nothing(
    open_house: OpenHouse, chromium: Chromium
) -> None:
    async with served(somebody_elses_site()) as port:
        tab = await chromium.open(f"http://{EVIL}:{port}/")
    box = await open_house(web={"bind": f"127.0.0.1:{port}"})  # from now on the name leads to the box
    before = all_that_is_kept(box)
    found = await tab.run(AS_IF_ITS_OWN, box.house.tokens["alice"])
    assert found.pop("socket") == "closed"
    assert all(came == [421, "misdirected_request"] for came in found.values()), found
    assert refusals(box.host.metrics).get("host", 0) >= len(found) + 1  # a browser asks once more after a 421
    assert all_that_is_kept(box) == before
    await tab.close()


# Pages of the box

USING_IT = """async (box, username, password, showing_id, seat_ids) => {
  const json = async (path, options = {}) => {
    const answer = await fetch(box + path, options);
    return [answer.status, answer.status === 204 ? null : await answer.json()];
  };
  const sent = (method, body, token) => ({method, body: JSON.stringify(body),
    headers: {'Content-Type': 'application/json', Authorization: 'Bearer ' + token}});
  const basic = {Authorization: 'Basic ' + btoa(username + ':' + password)};
  const [, session] = await json('/api/session', {method: 'POST', headers: basic});
  const [booked, booking] = await json('/api/bookings',
    sent('POST', {showing_id, seat_ids, timestamp: new Date().toISOString()}, session.token));
  return {
    cinema: (await json('/api/cinema'))[0],
    booked, number: booking.number,
    unknown: (await json('/api/bookings/' + crypto.randomUUID?.(), sent('GET', undefined, session.token)))[0],
    cancelled: (await json('/api/bookings/' + booking.booking_id, sent('DELETE', undefined, session.token)))[1].status,
    visitor: (await json('/api/session', {method: 'POST', body: '{"name":"Vic","email":"vic@example.org"}',
      headers: {'Content-Type': 'application/json'}}))[0],
    'signed out': (await json('/api/session', {method: 'DELETE',
      headers: {Authorization: 'Bearer ' + session.token}}))[0],
  };
}"""

BY_MQTT = """(url, packets, wanted) => new Promise((done, failed) => {
  const socket = new WebSocket(url, 'mqtt');
  let heard = '';
  socket.binaryType = 'arraybuffer';
  socket.onopen = () => packets.forEach((packet) => socket.send(new Uint8Array(packet)));
  socket.onclose = (event) => failed(new Error('closed with ' + event.code + ' after ' + heard));
  socket.onmessage = (event) => {
    heard += new TextDecoder('latin1').decode(event.data);
    if (heard.includes(wanted)) { socket.onclose = null; socket.close(); done(socket.protocol + ' ' + heard); }
  };
})"""


async def uses_all(tab: Tab, box: Premises, origin: str) -> None:
    """The page books by HTTP and by MQTT at the box that is at ``origin``."""
    found = await tab.run(USING_IT, origin, "alice", PASSWORD.format("alice"), SHOWING, list(box.seats[:2]))
    assert found.pop("number")
    assert found == {
        "cinema": 200,
        "booked": 200,
        "unknown": 404,
        "cancelled": "cancelled",
        "visitor": 200,
        "signed out": 204,
    }
    request = {"showing_id": SHOWING, "seat_ids": [box.seats[5]], "timestamp": "t", "booking_id": new_id()}
    packets = [
        raw_mqtt.connect("alice", box.house.tokens["alice"]),
        raw_mqtt.subscribe("booking/confirm/+", qos=1),
        raw_mqtt.publish("booking/request", json.dumps(request).encode(), qos=1, packet_id=2),
    ]
    url = origin.replace("http", "ws", 1) + "/mqtt"
    heard = await tab.run(BY_MQTT, url, [list(packet) for packet in packets], '"status":"confirmed"')
    assert heard.startswith("mqtt \x20\x02\x00\x00")
    assert request["booking_id"] in heard


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
async def test_a_page_of_the_box_may_do_all(open_house: OpenHouse, chromium: Chromium, name: str) -> None:
    box = await open_house(plugins=WITH_A_PAGE)
    origin = f"http://{name}:{box.host.web_addresses[0][1]}"
    tab = await chromium.open(f"{origin}/page")
    await uses_all(tab, box, origin)
    await tab.close()


async def test_a_page_of_the_box_may_do_all_over_tls(
    open_house: OpenHouse, chromium: Chromium, identity: Identity
) -> None:
    box = await open_house(web=identity.files, plugins=WITH_A_PAGE)
    origin = f"https://localhost:{box.host.web_addresses[0][1]}"
    tab = await chromium.open(f"{origin}/page")
    await uses_all(tab, box, origin)
    await tab.close()


async def test_a_page_of_a_public_url_elsewhere_may_do_all(open_house: OpenHouse, chromium: Chromium) -> None:
    async with served(somebody_elses_site()) as port:
        box = await open_house(web={"public_urls": [f"http://{PUBLIC}:{port}"]})
        tab = await chromium.open(f"http://{PUBLIC}:{port}/")
        await uses_all(tab, box, box.url(""))
        await tab.close()


# Behind a proxy


SESSION = web.AppKey("session", aiohttp.ClientSession)


def proxy_to(box: str) -> web.Application:
    """A reverse proxy as people set one up: it ends TLS, hands on ``Host``, and says for whom and by which scheme."""
    ours = {"connection", "upgrade", "sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions"}

    async def sessions(app: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(auto_decompress=False) as app[SESSION]:
            yield

    async def hand_on(request: web.Request) -> web.StreamResponse:
        headers: dict[str, Any] = {name: value for name, value in request.headers.items() if name.lower() not in ours}
        headers |= {"X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": request.scheme}
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await both_ways(request, headers)
        body = await request.read()
        target = request.app[SESSION].request(request.method, box + request.raw_path, headers=headers, data=body)
        async with target as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in ("date", "server")}
            return web.Response(status=answer.status, headers=kept, body=await answer.read())

    async def both_ways(request: web.Request, headers: dict[str, str]) -> web.StreamResponse:
        inside = await request.app[SESSION].ws_connect(box + request.raw_path, headers=headers, protocols=["mqtt"])
        outside = web.WebSocketResponse(protocols=["mqtt"])
        await outside.prepare(request)

        async def pump(source: Any, target: Any) -> None:
            async for message in source:
                await target.send_bytes(message.data)
            await target.close()

        async with asyncio.TaskGroup() as pumps:
            pumps.create_task(pump(inside, outside))
            pumps.create_task(pump(outside, inside))
        return outside

    app = web.Application()
    app.cleanup_ctx.append(sessions)
    app.router.add_route("*", "/{path:.*}", hand_on)
    return app


@pytest.mark.parametrize("is_named", [True, False], ids=["in public_urls", "by its forwarded scheme"])
async def test_a_page_behind_a_proxy_may_do_all_and_others_nothing(
    open_house: OpenHouse, chromium: Chromium, identity: Identity, is_named: bool
) -> None:
    """Where ``public_urls`` are not set, a page under an address of the box's still may: the proxy says ``https``."""
    host = PUBLIC if is_named else "localhost"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    web_settings = {"trusted_proxies": ["127.0.0.1"], "public_urls": [f"https://{PUBLIC}:{port}"] if is_named else []}
    box = await open_house(web=web_settings, plugins=WITH_A_PAGE)
    async with served(proxy_to(box.url("")), port, identity.context()), served(somebody_elses_site()) as elsewhere:
        tab = await chromium.open(f"https://{host}:{port}/page")
        await uses_all(tab, box, f"https://{host}:{port}")
        await tab.close()
        before = all_that_is_kept(box)
        tab = await chromium.open(f"http://{EVIL}:{elsewhere}/")
        assert what_was_read(await tab.run(ATTACKS, f"https://{host}:{port}", box.house.tokens["bob"])) == []
        assert all_that_is_kept(box) == before
        await tab.close()
