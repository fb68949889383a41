"""Clients that do not read: what they cost, who waits for them, and how long they stay."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from boxes import until
from conftest import Certificate, StartBox, encrypted
from contract.process import ROOT, BoxProcess
from raw_mqtt import CONNACK, PUBACK, PUBLISH, SUBACK, RawClient, TcpTransport, connect, publish, subscribe
from raw_tls import TlsTransport, trusting
from raw_websocket import RawWebSocket
from sample_plugins import COMMAND

from broker.connection import End

MIB = 1024 * 1024
UPDATE_BYTES = 60_000
UPDATES = 1_000
"""So 60 MB are due to whoever watches."""

AT_ONCE = 3
STUCK = 8

PLUGINS = f"""
[plugins]
"plugins.auth.AuthPlugin" = false
"plugins.acl.AclPlugin" = false
"plugins.booking.plugin.BookingPlugin" = false
[plugins."sample_plugins.DemoAuth"]
[plugins."sample_plugins.Rules"]
[plugins."sample_plugins.Counter"]
padding = {UPDATE_BYTES}
"""


async def come(
    address: tuple[str, int], door: str, certificate: Certificate | None, receive_buffer: int | None = None
) -> RawClient:
    """Somebody who has been let in; over TLS if there is a certificate."""
    if certificate is None:
        beneath: TcpTransport | TlsTransport = await TcpTransport.open(address, receive_buffer)
    else:
        beneath = await TlsTransport.open(address, trusting(certificate), receive_buffer)
    client = RawClient(beneath if door == "tcp" else await RawWebSocket.open(beneath))
    await client.send(connect("ann", "ann-demo"))
    await client.next(CONNACK)
    return client


class Kiosk:
    """Makes updates, a few at once, and sees that a healthy watcher gets each of them before the next are made."""

    def __init__(self, kiosk: RawClient, watcher: RawClient) -> None:
        self._kiosk = kiosk
        self._watcher = watcher
        self._made = 0

    async def begin(self) -> None:
        await self._watcher.send(subscribe("count/x"))
        await self._watcher.next(SUBACK)

    async def make(self, updates: int) -> None:
        for _ in range(0, updates, AT_ONCE):
            await self._kiosk.send(*(publish(COMMAND, b"x", qos=1, packet_id=n + 1) for n in range(AT_ONCE)))
            for _ in range(AT_ONCE):
                self._made += 1
                update = await self._watcher.next(PUBLISH)
                assert (int(update.payload), update.retain) == (self._made, False)
            for _ in range(AT_ONCE):
                await self._kiosk.next(PUBACK)


def resident_bytes(box: BoxProcess) -> int:
    status = Path(f"/proc/{box.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def open_files(box: BoxProcess) -> int:
    return len(os.listdir(f"/proc/{box.process.pid}/fd"))


@pytest.mark.parametrize("over_tls", [False, True], ids=["in clear", "over TLS"])
async def test_60_mb_of_updates_due_to_a_client_that_does_not_read_cost_under_1_mib(
    tmp_path: Path, certificate: Certificate, over_tls: bool
) -> None:
    """And a watcher beside it gets every one of them, none replaced by the present."""
    config = tmp_path / "box.toml"
    config.write_text(PLUGINS)
    environment = {"PYTHONPATH": str(ROOT / "tests"), "LYNRIE_FANOUT__WINDOW_MILLISECONDS": "0"}
    environment["LYNRIE_LIMITS__STUCK_SECONDS"] = "600"  # here they stay
    if over_tls:
        for door, name in (("web", "certfile"), ("web", "keyfile"), ("tcp", "certfile"), ("tcp", "keyfile")):
            file = certificate.cert if name == "certfile" else certificate.key
            environment[f"LYNRIE_LISTENERS__{door.upper()}__{name.upper()}"] = str(file)
    box = await BoxProcess.start(tmp_path / "box.db", "--config", str(config), **environment)
    known = certificate if over_tls else None
    clients: list[RawClient] = []
    try:
        clients += [await come(box.tcp, "tcp", known), await come(box.web, "web", known)]
        kiosk = Kiosk(*clients)
        await kiosk.begin()
        await kiosk.make(UPDATES // 4)  # what the process takes for good, it takes now
        before, files = resident_bytes(box), open_files(box)
        for number in range(STUCK):
            door, address = ("tcp", box.tcp) if number % 2 else ("web", box.web)
            stuck = await come(address, door, known, receive_buffer=4096)
            clients.append(stuck)
            await stuck.send(subscribe("count/#"))
        await kiosk.make(UPDATES)
        grown = resident_bytes(box) - before
        assert open_files(box) == files + STUCK
        assert grown / STUCK < MIB
    finally:
        for client in clients:
            await client.close()
        await box.put_away()


@pytest.mark.parametrize("over_tls", [False, True], ids=["in clear", "over TLS"])
async def test_who_stops_reading_is_aborted_and_who_reads_is_not(
    box: StartBox, certificate: Certificate, door: str, over_tls: bool
) -> None:
    host = await box(
        listeners=encrypted(certificate) if over_tls else {},
        limits={"stuck_seconds": 0.3},
        fanout={"window_milliseconds": 0},
    )
    address = host.tcp_addresses[0] if door == "tcp" else host.web_addresses[0]
    known = certificate if over_tls else None
    healthy = await come(address, door, known)
    await healthy.subscribe("news")
    (reading,) = host.clients._open
    stuck = await come(address, door, known, receive_buffer=4096)
    await stuck.subscribe("news")
    (not_reading,) = host.clients._open - {reading}
    number = 0
    while not_reading.ended is None:
        number += 1
        host.publish("news", b"%d" % number + b" " * UPDATE_BYTES)
        assert int((await healthy.next(PUBLISH)).payload) == number
    assert not_reading.ended is End.STUCK
    await until(lambda: len(host.places) == 1)
    assert reading.ended is None
    for client in (healthy, stuck):
        await client.close()
