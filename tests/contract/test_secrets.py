"""What people keep to themselves: passwords and tokens are in no log and no file, names and addresses in no log."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import secrets
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from raw_mqtt import (
    CONNACK,
    PUBACK,
    SUBACK,
    RawClient,
    TcpTransport,
    connect,
    field,
    packet,
    publish,
    subscribe,
)

from contract.house import SHOWING, cinema_file, new_id
from contract.process import ROOT, BoxProcess

TALKATIVE = (sys.executable, str(Path(__file__).with_name("scripts") / "talkative.py"))
DANGEROUS = "\x1b[31mred\x07\r\nforged\x9b1m\u202eevil\u2028"


class Marked:
    """Words that are nowhere else. ``kept`` are secrets, ``private`` are names, usernames and e-mail addresses."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.private: list[str] = []

    def secret(self, kind: str) -> str:
        self.kept.append(f"{kind}-{secrets.token_hex(8)}")
        return self.kept[-1]

    def person(self, kind: str, end: str = "") -> str:
        self.private.append(f"{kind}-{secrets.token_hex(5)}{end}")
        return self.private[-1]

    def email(self) -> str:
        return self.person("mail", "@example.org")


def spelled(word: str) -> Iterable[bytes]:
    """A word as it may stand in a file or a log: also encoded, and for HTTP Basic in each of base64's three phases."""
    data = word.encode()
    yield data
    yield data.hex().encode()
    for phase in range(3):
        yield base64.b64encode(b"x" * phase + data)[(0, 2, 3)[phase] :].rstrip(b"=")[:-2]


def found_in(words: list[str], content: bytes) -> list[str]:
    return [word for word in words if any(form in content for form in spelled(word))]


def is_shown_plainly(log: str) -> bool:
    """Whether the log has nothing that a terminal obeys or that reads as what it is not: only printing characters."""
    return all(character.isprintable() for line in log.split("\n") for character in line)


async def by_mqtt(address: tuple[str, int], *packets: bytes) -> None:
    """Send these packets on a connection of their own, each after the answer to the one before, until the box closes
    it or all are answered."""
    client = RawClient(await TcpTransport.open(address))
    for sent in packets:
        await client.send(sent)
        wanted = {1: CONNACK, 8: SUBACK}.get(sent[0] >> 4, PUBACK)
        while (answer := await client.packet()) is not None and answer.kind != wanted:
            pass
    await client.close()


class Evening:
    """Everything that people send, rightly and wrongly, to one box."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "box.db"
        self.marked = Marked()
        self.said = b""
        self.username = self.marked.person("user")
        self.password = self.marked.secret("right")

    async def command(self, *arguments: str, stdin: str = "") -> None:
        process = await asyncio.create_subprocess_exec(
            *TALKATIVE,
            sys.executable,
            str(ROOT / "run_broker.py"),
            *arguments,
            cwd=self.folder,
            env={**os.environ, "LYNRIE_DATABASE__PATH": str(self.path), "PYTHONASYNCIODEBUG": "1"},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate(stdin.encode())
        assert b"Traceback" not in said
        self.said += said

    async def at_the_terminal(self) -> None:
        marked = self.marked
        cinema = cinema_file(int(asyncio.get_running_loop().time()) + 1_900_000_000)
        cinema["users"] += [{"username": marked.person("user"), "password": marked.secret("import"), "role": "kiosk"}]
        for user in cinema["users"][:-1]:
            user["password"] = marked.secret("import")
        (self.folder / "cinema.json").write_text(json.dumps(cinema))
        await self.command("import", "cinema.json")
        cinema["users"][-1]["role"] = "emperor"
        (self.folder / "wrong.json").write_text(json.dumps(cinema))
        await self.command("import", "wrong.json")
        (self.folder / "broken.json").write_text(json.dumps(cinema)[:-20])
        await self.command("import", "broken.json")
        options = ("--role", "manager", "--email", marked.email(), "--password-stdin")
        await self.command("user", "add", self.username, *options, stdin=marked.secret("first") + "\n")
        await self.command("user", "password", self.username, "--password-stdin", stdin=self.password + "\n")
        await self.command("user", "password", self.username, "--password-stdin", stdin=marked.secret("x") + "\n\x1b\n")
        await self.command("user", "password", self.username, "--password-stdin", stdin=self.password + "\n")
        await self.command("user", "list")

    async def over_mqtt(self, tcp: tuple[str, int], token: str) -> None:
        marked, mine = self.marked, (self.username, self.password)
        for credentials in (mine, (self.username, token)):
            await by_mqtt(tcp, connect(*credentials, client_id="a client"))
        for credentials in (
            (self.username, marked.secret("wrong")),
            (marked.person("nobody"), marked.secret("wrong")),
            (marked.person("nobody"), token),
            (self.username + DANGEROUS, marked.secret("wrong") + DANGEROUS),
        ):
            await by_mqtt(tcp, connect(*credentials))
        for client_id in (DANGEROUS, "\x1b[2J", "x" * 200):
            await by_mqtt(tcp, connect(*mine, client_id=client_id))
        will = ("booking/confirm/" + marked.secret("will"), marked.secret("will").encode())
        await by_mqtt(tcp, connect(*mine, will=will))
        topic = "shown/\u202eevil"  # topics and client ids may be told, escaped
        book = {"showing_id": marked.secret("id"), "seat_ids": [marked.secret("id")], "email": marked.email()}
        await by_mqtt(
            tcp,
            connect(*mine, client_id="a client", will=(topic, marked.secret("will").encode())),
            subscribe(topic, "\u202e/#", "booking/confirm/+", "users/+/errors"),
            publish(topic, marked.secret("payload").encode(), qos=1, packet_id=1, retain=True),
            publish("booking/request", json.dumps(book).encode(), qos=1, packet_id=2),
            publish("booking/request", json.dumps(book).encode()[:-9], qos=1, packet_id=3),
            publish("stumble", marked.secret("payload").encode(), qos=1, packet_id=4),
        )
        again = connect(*mine, client_id="the same")
        await asyncio.gather(*(by_mqtt(tcp, again) for _ in range(3)))  # taken over
        spoilt = bytearray(connect(marked.person("nobody"), marked.secret("malformed")))
        spoilt[9] |= 1  # the reserved flag of CONNECT
        for data in (
            bytes(spoilt),
            connect(*mine)[:-4] + b"\xff\xff\xff\xff",
            f"password={marked.secret('garbage')}".ljust(200).encode(),
            packet(0x12, marked.secret("garbage").encode()),
            packet(0x30, field(marked.secret("topic").encode() + b"\xff") + marked.secret("payload").encode()),
        ):
            await by_mqtt(tcp, data)
        for data in (connect(*mine), packet(0x30, field("a/\0" + marked.secret("topic"))), b"\xf0\x00"):
            await by_mqtt(tcp, connect(*mine), data)

    async def over_http(self, url: str) -> str:
        marked, tokens = self.marked, []
        async with aiohttp.ClientSession() as session:

            async def call(method: str, path: str, body: Any = None, *, basic: str = "", bearer: str = "") -> Any:
                headers = {"Content-Type": "application/json"}
                if basic:
                    headers["Authorization"] = "Basic " + base64.b64encode(basic.encode()).decode()
                if bearer:
                    headers["Authorization"] = f"Bearer {bearer}"
                data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
                async with session.request(method, url + path, data=data, headers=headers) as answer:
                    content = await answer.read()
                    found = json.loads(content) if answer.content_type == "application/json" else {}
                if isinstance(found, dict) and "token" in found:
                    tokens.append(found["token"])
                    marked.kept.append(found["token"])
                return found

            await call("POST", "/api/session", basic=f"{self.username}:{self.password}")
            mine = tokens[0]
            await call("POST", "/api/session", bearer=mine)
            for basic in (
                f"{self.username}:{marked.secret('wrong')}",
                f"{marked.person('nobody')}:{marked.secret('w')}",
            ):
                await call("POST", "/api/session", basic=basic)
            await call("GET", f"/api/me?token={marked.secret('query')}", bearer=marked.secret("wrong"))
            await call("POST", "/api/session", {"name": marked.person("Vera"), "email": marked.email()})
            visitor = tokens[-1]
            wanted = {"showing_id": SHOWING, "seat_ids": [new_id()], "timestamp": "t", "email": marked.email()}
            for path in ("/api/bookings", "/api/holds"):
                await call("POST", path, wanted, bearer=visitor)
            mine_now, registered = marked.secret("registered"), marked.person("new")
            account = {
                "username": registered,
                "password": mine_now,
                "email": marked.email(),
                "name": marked.person("N"),
            }
            added = await call("POST", "/api/users", account)
            await call("POST", "/api/users", account)
            await call("POST", "/api/users", {**account, "username": marked.person("U") + DANGEROUS, "role": 1})
            await call("POST", "/api/users", {**account, "name": DANGEROUS + marked.person("name")})
            await call("POST", "/api/session", basic=f"{registered}:{mine_now}")
            change = {"password": marked.secret("changed"), "old_password": mine_now, "name": marked.person("name")}
            await call("PATCH", "/api/me", change, bearer=tokens[-1])
            await call("PATCH", "/api/me", {**change, "old_password": marked.secret("wrong")}, bearer=mine)
            await call("PATCH", f"/api/users/{added['user_id']}", {"password": marked.secret("set")}, bearer=mine)
            await call("GET", f"/api/bookings?name={marked.person('searched')}", bearer=mine)
            await call("GET", f"/api/bookings/{marked.secret('path')}", bearer=mine)
            for body in (json.dumps(account).encode()[:-5], b"\xff" + marked.secret("body").encode(), b"[]"):
                for path in ("/api/users", "/api/session", "/api/bookings", "/api/stumble"):
                    await call("POST", path, body, bearer=mine)
        address = re.fullmatch(r"http://(.*):(\d+)", url)
        assert address is not None
        get = "GET / HTTP/1.1\r\nHost: localhost\r\n"
        for request in (
            f"GET /{marked.secret('raw')}\x1b HTTP/1.1\r\nHost: {marked.secret('host')}\r\n\r\n",
            f"GARBAGE {marked.secret('raw')}\r\nAuthorization: Bearer {mine}\r\n\r\n",
            f"{get}Authorization: Basic {marked.secret('raw')}\r\nX\x1b: {mine}\r\n\r\n",
            f"{get}Origin: http://{marked.secret('origin')}\r\nConnection: close\r\n\r\n",
        ):
            transport = await TcpTransport.open((address[1], int(address[2])))
            await transport.send(request.encode())
            assert (await transport.read()).startswith(b"HTTP/1.")
            await transport.close()
        return mine


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> tuple[Evening, bytes, str]:
    """The evening, the bytes of all files that the box keeps of it, and its log."""

    async def live() -> tuple[Evening, bytes, str]:
        evening = Evening(tmp_path_factory.mktemp("secrets"))
        await evening.at_the_terminal()
        box = await BoxProcess.start(
            evening.path,
            under=TALKATIVE,
            PYTHONASYNCIODEBUG=1,
            PYTHONPATH=ROOT / "tests",
            LYNRIE_PLUGINS=json.dumps({"sample_plugins.Stumbling": {}}),
            LYNRIE_POLICY__MANAGER__PUBLISH=json.dumps(["#"]),
        )
        try:
            token = await evening.over_http("http://{}:{}".format(*box.web))
            await evening.over_mqtt(box.tcp, token)
            open_files = files_of(evening)
            await evening.command("backup", "backup.db")
            assert await box.stop() == 0
        finally:
            await box.put_away()
        return evening, open_files + files_of(evening), box.said

    return asyncio.run(live())


def files_of(evening: Evening) -> bytes:
    """All that there is of the database: the file, its -wal and -shm, backups."""
    return b"".join(file.read_bytes() for file in evening.folder.iterdir() if ".json" not in file.suffixes)


def test_no_password_and_no_token_is_in_the_database_or_a_backup(evening: tuple[Evening, bytes, str]) -> None:
    lived, files, _ = evening
    assert lived.username.encode() in files  # they are the right files
    forgettable = ("path", "will", "payload", "topic", "host", "raw", "query", "body", "origin", "garbage", "id")
    kept = [word for word in lived.marked.kept if not word.startswith(forgettable)]
    assert found_in(kept, files) == []


def test_no_secret_and_nobody_is_named_in_the_log(evening: tuple[Evening, bytes, str]) -> None:
    lived, _, log = evening
    assert "DEBUG" in log  # all of it was told
    assert "Executing" in log
    assert found_in(lived.marked.kept, log.encode()) == []
    assert found_in(lived.marked.private, log.encode()) == []


def test_no_secret_comes_back_at_the_terminal(evening: tuple[Evening, bytes, str]) -> None:
    lived, _, _ = evening
    assert lived.username.encode() in lived.said  # in the list of users
    assert found_in(lived.marked.kept, lived.said) == []


def test_nothing_in_the_log_talks_to_a_terminal_or_forges_a_line(evening: tuple[Evening, bytes, str]) -> None:
    lived, _, log = evening
    assert "RuntimeError" in log  # the failures of handlers are in it
    assert is_shown_plainly(log)
    assert not re.search(r"^forged", log, re.MULTILINE)
    assert is_shown_plainly(lived.said.decode().replace("\t", " "))
