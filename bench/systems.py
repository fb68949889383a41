"""The systems that are measured, each started on a database of its own in a temporary folder."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import NAMESPACE_URL, uuid4, uuid5

from bench import worker
from bench.kiosks import Account
from bench.sockets import Door

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 30.0
STOP_SECONDS = 10.0
HOST = "127.0.0.1"
KIOSK, KIOSK_PASSWORD = "kiosk", "kiosk-of-the-bench"
CONFIRMATIONS_AHEAD = 16
"""How many confirmations a kiosk subscribes to at once: as many filters as the box takes in one SUBSCRIBE."""
STOCK_CONFIRMATIONS_AHEAD = 4
NO_MOSQUITTO = "mosquitto is not installed (Debian: mosquitto)"
TITLES = {"box": "the box", "mosquitto": "mosquitto + worker", "stock": "stock amqtt"}


class StartFailed(Exception):  # noqa: N818  # what the person at the terminal reads
    """A system did not start; the message says why."""


@dataclass(frozen=True, slots=True)
class Showing:
    """A showing, how many seats its room has, and how many each of its rows."""

    showing_id: str
    seats: int
    seats_per_row: int = 100


@dataclass(frozen=True, slots=True)
class System:
    """One running system, as the load generator sees it."""

    key: str
    """One of ``TITLES``."""
    door: Door
    account: Account
    pids: list[int]
    """Its processes."""
    has_present: bool
    """Whether subscribing brings all seats."""
    showings: list[Showing]
    visitors: list[tuple[str, str]]
    """Username and token of those who can sign in; empty where nobody does."""

    def seat_ids(self, showing: Showing) -> list[str]:
        """The seats to tell the load generator: none where the present tells it."""
        if self.has_present:
            return []
        return [str(uuid5(NAMESPACE_URL, f"{showing.showing_id}/{number}")) for number in range(showing.seats)]


@contextmanager
def start(
    key: str,
    folder: Path,
    *,
    seats: Sequence[int],
    websocket: bool = True,
    visitors: int = 0,
    seats_per_row: int = 100,
) -> Iterator[System]:
    """A system of its own in ``folder``, with a showing for each number of ``seats``. Raises StartFailed."""
    place = folder / key
    place.mkdir()
    showings = [Showing(str(uuid4()), count, seats_per_row) for count in seats]
    with STARTS[key](place, showings, websocket, visitors) as system:
        yield system


@contextmanager
def _box(folder: Path, showings: list[Showing], websocket: bool, visitors: int) -> Iterator[System]:
    """This project's box: its front in a process of its own, filled by its own import.

    The limits that protect it from one address or one account are raised, for here all come from one.
    """
    cinema = folder / "cinema.json"
    cinema.write_text(json.dumps(_cinema(showings)), encoding="utf-8")
    limits = (
        "CONNECTIONS_PER_SECOND",
        "CONNECTIONS_BURST",
        "MESSAGES_PER_SECOND",
        "MESSAGES_BURST",
        "MAX_CONNECTIONS_PER_ADDRESS",
        "VISITORS_PER_HOUR",
    )
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LYNRIE_")},
        "LYNRIE_DATABASE__PATH": str(folder / "cinema.db"),
        "LYNRIE_LISTENERS__WEB__BIND": "127.0.0.1:0",
        "LYNRIE_LISTENERS__TCP__BIND": "127.0.0.1:0",
        "LYNRIE_LIMITS__MAX_CONNECTIONS": "10000",
        **{f"LYNRIE_LIMITS__{limit}": "1000000" for limit in limits},
    }
    front = [sys.executable, str(ROOT / "run_broker.py")]
    imported = subprocess.run(
        [*front, "import", str(cinema)], env=environment, capture_output=True, text=True, check=False
    )
    if imported.returncode:
        raise StartFailed(f"the box did not import its cinema: {imported.stderr.strip()}")
    with _running([*front, "serve"], folder / "box.log", environment) as process:
        ports: dict[str, int] = {}
        while len(ports) < 2:
            match = _wait_for_line(process, r"(ws|mqtt)://127\.0\.0\.1:(\d+)", folder / "box.log")
            ports[match[1]] = int(match[2])
        door = Door(HOST, ports["ws" if websocket else "mqtt"], websocket)
        signed_up = _sign_up(ports["ws"], visitors)
        account = Account(KIOSK, KIOSK_PASSWORD, CONFIRMATIONS_AHEAD, again=True)
        yield System("box", door, account, [process.pid], True, showings, signed_up)


def _sign_up(port: int, visitors: int) -> list[tuple[str, str]]:
    connection = http.client.HTTPConnection(HOST, port, timeout=START_SECONDS)
    signed_up = []
    for number in range(visitors):
        body = json.dumps({"name": f"Visitor {number}", "email": f"visitor-{number}@example.org"})
        connection.request("POST", "/api/session", body, {"Content-Type": "application/json"})
        session = json.load(connection.getresponse())
        if "token" not in session:
            raise StartFailed(f"the box signed nobody up: {session}")
        signed_up.append((session["user"]["user_id"], session["token"]))
    connection.close()
    return signed_up


@contextmanager
def _mosquitto(folder: Path, showings: list[Showing], websocket: bool, visitors: int) -> Iterator[System]:
    """mosquitto with a paho worker and SQLite. Nothing is dropped: its queues are unbounded here."""
    program = mosquitto_program()
    if program is None:
        raise StartFailed(NO_MOSQUITTO)
    clients, workers = _free_ports(2)
    passwords = folder / "passwords"
    passwords.touch(mode=0o600)
    for username, password in ((KIOSK, KIOSK_PASSWORD), (worker.USERNAME, worker.PASSWORD)):
        tool = shutil.which("mosquitto_passwd") or "mosquitto_passwd"
        subprocess.run([tool, "-b", str(passwords), username, password], check=True, capture_output=True)
    configuration = folder / "mosquitto.conf"
    configuration.write_text(
        f"""
per_listener_settings false
{"user root" if os.geteuid() == 0 else ""}
allow_anonymous true
password_file {passwords}
persistence false
set_tcp_nodelay true
max_inflight_messages 0
max_queued_messages 0
log_type error
listener {clients} {HOST}
protocol {"websockets" if websocket else "mqtt"}
listener {workers} {HOST}
protocol mqtt
""",
        encoding="utf-8",
    )
    log = folder / "mosquitto.log"
    with _running([program, "-c", str(configuration)], log, dict(os.environ)) as broker:
        _wait_for_port(broker, workers, log)
        command = [sys.executable, "-m", "bench.worker", str(workers), str(folder / "worker.db")]
        with _running(command, folder / "worker.log", {**os.environ, "PYTHONPATH": str(ROOT)}) as process:
            _wait_for_line(process, "ready", folder / "worker.log")
            account = Account(KIOSK, KIOSK_PASSWORD, CONFIRMATIONS_AHEAD, again=True)
            pids = [broker.pid, process.pid]
            yield System("mosquitto", Door(HOST, clients, websocket), account, pids, False, showings, [])


@contextmanager
def _stock(folder: Path, showings: list[Showing], websocket: bool, visitors: int) -> Iterator[System]:
    """amqtt without our doors. Its kiosks subscribe once: subscribing while it publishes breaks it."""
    (port,) = _free_ports(1)
    log = folder / "stock.log"
    command = [sys.executable, "-m", "bench.stock", str(port), "ws" if websocket else "tcp", str(folder / "stock.db")]
    with _running(command, log, {**os.environ, "PYTHONPATH": str(ROOT)}) as process:
        _wait_for_line(process, "ready", log)
        account = Account(KIOSK, KIOSK_PASSWORD, STOCK_CONFIRMATIONS_AHEAD, again=False)
        yield System("stock", Door(HOST, port, websocket), account, [process.pid], False, showings, [])


STARTS: dict[str, Callable[[Path, list[Showing], bool, int], AbstractContextManager[System]]] = {
    "box": _box,
    "mosquitto": _mosquitto,
    "stock": _stock,
}


def mosquitto_program() -> str | None:
    """Debian puts it where only root's path looks."""
    return shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")


def mosquitto_version() -> str:
    program = mosquitto_program()
    if program is None:
        return "not installed"
    told = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"mosquitto version (\S+)", told)
    return match[1] if match else "of an unknown version"


def _cinema(showings: Sequence[Showing]) -> dict[str, object]:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).replace(minute=0, second=0, microsecond=0)
    return {
        "rooms": [
            {"name": f"Room of {seats}", "rows": _rows(seats, per_row)}
            for seats, per_row in sorted({(one.seats, one.seats_per_row) for one in showings})
        ],
        "showings": [
            {
                "showing_id": showing.showing_id,
                "title": f"Showing {number}",
                "room": f"Room of {showing.seats}",
                "starts_at": (tomorrow + timedelta(hours=3 * number)).isoformat(),
                "price": "10.00",
            }
            for number, showing in enumerate(showings, start=1)
        ],
        "users": [{"username": KIOSK, "password": KIOSK_PASSWORD, "role": "kiosk"}],
    }


def _rows(seats: int, per_row: int) -> list[dict[str, object]]:
    full, rest = divmod(seats, per_row)
    return [
        {"row": str(number), "seats": count}
        for number, count in enumerate([per_row] * full + [rest] * bool(rest), start=1)
    ]


@contextmanager
def _running(command: Sequence[str], log: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    with log.open("w", encoding="utf-8") as log_file:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log_file,
            text=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _wait_for_line(process: subprocess.Popen[str], pattern: str, log: Path) -> re.Match[str]:
    """Read the process's output until a line matches."""
    assert process.stdout is not None
    impatience = threading.Timer(START_SECONDS, process.kill)
    impatience.start()
    try:
        for line in process.stdout:
            if match := re.search(pattern, line):
                return match
    finally:
        impatience.cancel()
    raise StartFailed(f"the process that logs to {log.name} did not start: {_last_line(log)}")


def _wait_for_port(process: subprocess.Popen[str], port: int, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise StartFailed(f"mosquitto did not start: {_last_line(log)}")


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
