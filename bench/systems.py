"""The systems that are measured, each started on a database of its own in a temporary folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import NAMESPACE_URL, uuid4, uuid5

from bench import worker

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 30.0
STOP_SECONDS = 10.0
KIOSK, KIOSK_PASSWORD = "kiosk", "kiosk-of-the-bench"
SEATS_PER_ROW = 100


class StartFailed(Exception):  # noqa: N818  # what the person at the terminal reads
    """A system did not start; the message says why."""


@dataclass(frozen=True, slots=True)
class System:
    """One running system, as the load generator sees it."""

    name: str
    host: str
    port: int
    has_present: bool
    """Whether subscribing brings all seats."""
    showing_ids: list[str]

    def seat_ids(self, showing_id: str, seats: int) -> list[str]:
        """The seats to tell the load generator: none where the present tells it."""
        if self.has_present:
            return []
        return [str(uuid5(NAMESPACE_URL, f"{showing_id}/{number}")) for number in range(seats)]


@contextmanager
def box(folder: Path, *, rounds: int, seats: int, websocket: bool) -> Iterator[System]:
    """This project's box: its front in a process of its own, filled by its own import.

    The limits that protect it from one address or one account are raised, for here all come from one.
    """
    showing_ids = [str(uuid4()) for _ in range(rounds)]
    cinema = folder / "cinema.json"
    cinema.write_text(json.dumps(_cinema(showing_ids, seats)), encoding="utf-8")
    limits = (
        "CONNECTIONS_PER_SECOND",
        "CONNECTIONS_BURST",
        "MESSAGES_PER_SECOND",
        "MESSAGES_BURST",
        "MAX_CONNECTIONS_PER_ADDRESS",
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
        scheme = "ws" if websocket else "mqtt"
        match = _wait_for_line(process, rf"{scheme}://127\.0\.0\.1:(\d+)", folder / "box.log")
        yield System("the box", "127.0.0.1", int(match[1]), True, showing_ids)


@contextmanager
def mosquitto(folder: Path, *, rounds: int, websocket: bool) -> Iterator[System]:
    """mosquitto with a paho worker and SQLite. Nothing is dropped: its queues are unbounded here."""
    program = mosquitto_program()
    if program is None:
        raise StartFailed("mosquitto is not installed")
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
listener {clients} 127.0.0.1
protocol {"websockets" if websocket else "mqtt"}
listener {workers} 127.0.0.1
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
            yield System("mosquitto", "127.0.0.1", clients, False, [str(uuid4()) for _ in range(rounds)])


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


def _cinema(showing_ids: Sequence[str], seats: int) -> dict[str, object]:
    rows, rest = divmod(seats, SEATS_PER_ROW)
    plan = [{"row": str(row + 1), "seats": SEATS_PER_ROW} for row in range(rows)]
    if rest:
        plan.append({"row": str(rows + 1), "seats": rest})
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).replace(minute=0, second=0, microsecond=0)
    return {
        "rooms": [{"name": "The rush", "rows": plan}],
        "showings": [
            {
                "showing_id": showing_id,
                "title": f"Round {number}",
                "room": "The rush",
                "starts_at": (tomorrow + timedelta(hours=3 * number)).isoformat(),
                "price": "10.00",
            }
            for number, showing_id in enumerate(showing_ids, start=1)
        ],
        "users": [{"username": KIOSK, "password": KIOSK_PASSWORD, "role": "kiosk"}],
    }


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
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
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
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
