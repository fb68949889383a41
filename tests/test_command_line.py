"""The command line, run as its user runs it: real processes, real files, what they print and how they end."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from boxes import ONE_ADDRESS

from broker.host import plugin_classes
from config import load_settings
from plugins.booking.check import examine

FRONT = Path(__file__).resolve().parent.parent / "run_broker.py"
START_SECONDS = 30
STOP_SECONDS = 5

CINEMA = {
    "rooms": [{"name": "Room 1", "rows": [{"row": "A", "seats": 10}]}],
    "showings": [{"title": "The Clockmaker", "room": "Room 1", "starts_at": "2099-01-01T20:00", "price": "9.50"}],
    "users": [{"username": "boss", "password": "a long enough one", "role": "manager"}],
}


@dataclass
class Terminal:
    """Where commands are typed: a folder, and an environment in which the doors take ports that are free."""

    folder: Path
    environment: dict[str, str]

    def run(self, *arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(FRONT), *arguments],
            cwd=self.folder,
            env={**self.environment, **environment},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(FRONT), *arguments],
            cwd=self.folder,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def write(self, name: str, content: str | dict[str, Any]) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    @property
    def database(self) -> Path:
        return self.folder / "data" / "cinema.db"


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LYNRIE_")}
    limits = {f"LYNRIE_LIMITS__{name.upper()}": str(value) for name, value in ONE_ADDRESS.items()}
    return Terminal(tmp_path, {**environment, **limits, "LYNRIE_LISTENERS__WEB__BIND": "127.0.0.1:0"})


@pytest.fixture
def serving(terminal: Terminal) -> Iterator[Callable[..., tuple[subprocess.Popen[str], str]]]:
    """``serving(*arguments)`` starts the box and returns it with what it said until its doors were open."""
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **environment: str) -> tuple[subprocess.Popen[str], str]:
        process = terminal.start(*arguments, **environment)
        processes.append(process)
        assert process.stdout is not None
        impatience = threading.Timer(START_SECONDS, process.kill)
        impatience.start()
        said = ""
        for line in process.stdout:
            said += line
            if "Ctrl-C closes" in line:
                break
        impatience.cancel()
        assert "Ctrl-C closes" in said, process.communicate()
        return process, said

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def stop(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> int:
    """The status it ended with, within the time it has."""
    began = time.monotonic()
    process.send_signal(number)
    _, complained = process.communicate(timeout=START_SECONDS)
    assert time.monotonic() - began < STOP_SECONDS
    assert "Traceback" not in complained
    return process.returncode


def address(said: str) -> str:
    match = re.search(r"http://\S+:\d+", said)
    assert match is not None, said
    return match[0]


def get(url: str, *, basic: str = "", method: str = "GET", body: Any = None) -> Any:
    request = urllib.request.Request(url, method=method)
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    if basic:
        request.add_header("Authorization", "Basic " + base64.b64encode(basic.encode()).decode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def one_sentence(done: subprocess.CompletedProcess[str], status: int) -> str:
    """The single line that a failure is told in."""
    assert done.returncode == status, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    [line] = done.stderr.splitlines()
    return line


Serving = Callable[..., tuple[subprocess.Popen[str], str]]


# Serving


def test_without_a_command_it_serves_the_default_database(terminal: Terminal, serving: Serving) -> None:
    process, said = serving()
    assert get(f"{address(said)}/healthz") == {"status": "ok"}
    assert terminal.database.is_file()
    assert str(terminal.database) in said
    assert f"No rooms yet: python {FRONT} import FILE brings a cinema." in said
    process.terminate()
    assert process.communicate(timeout=START_SECONDS)[0] == "Cinema is closed.\n"
    assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_cleanly_when_told(serving: Serving, number: signal.Signals) -> None:
    process, _ = serving("serve")
    assert stop(process, number) == 0


LINGERING = """
import asyncio
from amqtt.plugins.base import BasePlugin
from broker.plugin import BoxPlugin

class Lingering(BasePlugin, BoxPlugin):
    async def closing(self):
        print("lingering", flush=True)
        await asyncio.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_tells_it_twice_does_not_wait_and_sees_no_traceback(
    terminal: Terminal, serving: Serving, number: signal.Signals
) -> None:
    terminal.write("lingering.py", LINGERING)
    terminal.write("box.toml", '[plugins."lingering.Lingering"]')
    process, _ = serving("serve", "--config", "box.toml", PYTHONPATH=str(terminal.folder))
    process.send_signal(number)
    assert process.stdout is not None
    assert process.stdout.readline() == "lingering\n"
    process.send_signal(number)
    said, complained = process.communicate(timeout=START_SECONDS)
    assert (process.returncode, said) == (-number, "")
    assert "Traceback" not in complained


def test_it_stops_within_its_time_while_somebody_is_connected(serving: Serving) -> None:
    process, said = serving("serve")
    host, _, port = address(said).removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port))) as half_a_request:
        half_a_request.sendall(b"GET / HTTP/1.1\r\n")
        assert stop(process) == 0


def test_told_to_stop_while_it_starts_it_stops(terminal: Terminal) -> None:
    process = terminal.start("serve", "--demo")
    while not (terminal.folder / "data").exists():  # it has come as far as its database
        assert process.poll() is None
    process.terminate()
    process.communicate(timeout=START_SECONDS)
    assert process.returncode in (0, -signal.SIGTERM)


def test_it_says_where_the_doors_are(serving: Serving) -> None:
    process, said = serving("serve", LYNRIE_LISTENERS__TCP__BIND="127.0.0.1:0")
    assert stop(process) == 0
    assert re.search(r"http://127\.0\.0\.1:\d+/", said)
    assert re.search(r"ws://127\.0\.0\.1:\d+/mqtt", said)
    assert re.search(r"mqtt://127\.0\.0\.1:\d+", said)


def test_it_says_which_pages_to_open(terminal: Terminal, serving: Serving) -> None:
    process, said = serving("serve")
    opened = re.findall(r"(http://\S+)\n", said)
    assert [url.removeprefix(address(said)) for url in opened] == ["/", "/kiosk", "/desk"]
    for url in opened:
        with urllib.request.urlopen(url, timeout=10) as page:
            assert page.headers.get_content_type() == "text/html"
    assert stop(process) == 0
    terminal.write("box.toml", '[plugins]\n"plugins.pages.PagesPlugin" = false')
    process, said = serving("--config", "box.toml")
    assert re.findall(r"HTTP +http://\S+:\d+(\S+)\n", said) == ["/"]
    assert "/desk" not in said
    assert stop(process) == 0


def test_both_loopbacks_are_called_localhost(serving: Serving) -> None:
    process, said = serving("serve", LYNRIE_LISTENERS__WEB__BIND="localhost:0")
    assert re.search(r"http://localhost:\d+/", said)
    assert stop(process) == 0


@pytest.mark.parametrize("arguments", [("--config", "box.toml", "serve"), ("serve", "--config", "box.toml")])
def test_the_configuration_may_be_named_before_or_after_the_command(
    terminal: Terminal, serving: Serving, arguments: tuple[str, ...]
) -> None:
    terminal.write("box.toml", '[cinema]\nname = "Rialto"\n[database]\npath = "mine.db"\n')
    process, said = serving(*arguments)
    assert "Rialto" in said
    assert (terminal.folder / "mine.db").is_file()
    assert stop(process) == 0


# The demo


def test_the_demo_says_as_whom_to_sign_in_and_lets_them_in(terminal: Terminal, serving: Serving) -> None:
    process, said = serving("serve", "--demo")
    for username, role in {"alice": "customer", "bob": "customer", "kiosk": "kiosk", "manager": "manager"}.items():
        session = get(f"{address(said)}/api/session", basic=f"{username}:{username}-demo", method="POST")
        assert session["user"]["role"] == role
    assert len(get(f"{address(said)}/api/showings")) >= 7 * 2
    assert stop(process) == 0
    assert "No rooms yet" not in said
    assert "alice-demo" in said
    assert "manager-demo" in said
    assert (terminal.folder / "data" / "demo.db").is_file()
    assert not terminal.database.exists()


def test_the_demo_goes_where_the_owner_says(terminal: Terminal, serving: Serving) -> None:
    process, _ = serving("--demo", LYNRIE_DATABASE__PATH="show.db")
    assert (terminal.folder / "show.db").is_file()
    assert not (terminal.folder / "data").exists()
    assert stop(process) == 0


def test_the_demo_starts_again_on_its_own_database(serving: Serving) -> None:
    for _ in range(2):
        process, _ = serving("serve", "--demo")
        assert stop(process) == 0


def test_the_demo_refuses_a_cinema_of_ones_own(terminal: Terminal) -> None:
    terminal.run("import", str(terminal.write("cinema.json", CINEMA)))
    done = terminal.run("serve", "--demo", LYNRIE_DATABASE__PATH="data/cinema.db")
    assert "not a demo" in one_sentence(done, 2)


@pytest.mark.parametrize("arguments", [("serve",), ("serve", "--demo")])
def test_a_demo_is_not_served_beyond_loopback(terminal: Terminal, serving: Serving, arguments: tuple[str, ...]) -> None:
    process, _ = serving("serve", "--demo")
    stop(process)
    done = terminal.run(
        *arguments,
        LYNRIE_DATABASE__PATH="data/demo.db",
        LYNRIE_LISTENERS__WEB__BIND="0.0.0.0:0",
        LYNRIE_LISTENERS__WEB__PLAINTEXT="true",
    )
    assert "beyond loopback" in one_sentence(done, 2)


def test_a_demo_that_would_be_open_to_strangers_is_not_even_made(terminal: Terminal) -> None:
    done = terminal.run("--demo", LYNRIE_LISTENERS__WEB__BIND="0.0.0.0:0", LYNRIE_LISTENERS__WEB__PLAINTEXT="true")
    assert "beyond loopback" in one_sentence(done, 2)
    assert list(terminal.folder.iterdir()) == []


# Failures to start


def test_wrong_settings_end_it_with_status_2_and_a_line_each(terminal: Terminal) -> None:
    done = terminal.run("serve", LYNRIE_BOOKING__HOLD_SECONDS="0", LYNRIE_LIMITS__CONNECT_SECONDS="soon")
    assert done.returncode == 2
    assert sorted(line.split(" ")[0] for line in done.stderr.splitlines()) == [
        "LYNRIE_BOOKING__HOLD_SECONDS",
        "LYNRIE_LIMITS__CONNECT_SECONDS",
    ]


def test_a_configuration_that_is_missing_is_a_wrong_setting(terminal: Terminal) -> None:
    assert "absent.toml" in one_sentence(terminal.run("--config", "absent.toml"), 2)


def test_an_unknown_command_is_a_wrong_command_line(terminal: Terminal) -> None:
    assert terminal.run("sing").returncode == 2


def test_a_port_in_use_is_told_in_a_sentence(terminal: Terminal) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        bind = f"127.0.0.1:{other.getsockname()[1]}"
        assert bind in one_sentence(terminal.run("serve", LYNRIE_LISTENERS__WEB__BIND=bind), 1)


@pytest.mark.parametrize("arguments", [("serve",), ("user", "list"), ("import", "cinema.json")])
def test_a_damaged_database_is_told_in_a_sentence(terminal: Terminal, arguments: tuple[str, ...]) -> None:
    terminal.write("cinema.json", CINEMA)
    terminal.write("data/cinema.db", "This is not a database. " * 1000)
    sentence = one_sentence(terminal.run(*arguments), 1)
    assert "cinema.db" in sentence
    assert "damaged" in sentence


def test_a_folder_in_the_databases_place_is_told_in_a_sentence(terminal: Terminal) -> None:
    terminal.database.mkdir(parents=True)
    assert "cinema.db" in one_sentence(terminal.run("serve"), 1)


def written_by_a_newer_version(terminal: Terminal) -> None:
    terminal.run("import", str(terminal.write("cinema.json", CINEMA)))
    with sqlite3.connect(terminal.database) as db:
        db.execute("INSERT INTO _sqlite_migrations (migration_set, name) VALUES ('booking', 'the_moon')")
    db.close()


def test_a_database_of_a_newer_version_is_told_in_a_sentence(terminal: Terminal) -> None:
    written_by_a_newer_version(terminal)
    assert "newer version" in one_sentence(terminal.run("serve"), 1)


def test_a_plugin_that_is_not_there_is_told_in_a_sentence(terminal: Terminal) -> None:
    terminal.write("box.toml", '[plugins."absent.Plugin"]\n')
    assert "absent.Plugin" in one_sentence(terminal.run("--config", "box.toml"), 1)


def test_help_helps_also_where_the_settings_do_not(terminal: Terminal) -> None:
    done = terminal.run("--help", LYNRIE_BOOKING__HOLD_SECONDS="0")
    assert done.returncode == 0
    assert "import" in done.stdout


# Import


def test_import_says_what_it_did(terminal: Terminal) -> None:
    done = terminal.run("import", str(terminal.write("cinema.json", CINEMA)))
    assert done.returncode == 0, done.stderr
    assert "1 room (1 new) with 10 seats, 1 showing (1 new) and 1 user (1 new) imported" in done.stdout
    smaller = {"rooms": [{"name": "Room 1", "rows": [{"row": "A", "seats": 8}]}]}
    done = terminal.run("import", str(terminal.write("cinema.json", smaller)))
    assert done.stdout.endswith("cinema.json: Room 1: 2 seats removed\n")


def test_no_command_begins_a_database_in_the_place_of_one_that_was_taken_from_a_box(
    terminal: Terminal, serving: Serving
) -> None:
    process, _ = serving("serve")
    names = ("cinema.db", "cinema.db-wal", "cinema.db-shm")
    data = terminal.folder / "data"
    for name in names:
        (data / name).rename(data / f"away {name}")
    ended = terminal.run("user", "list")
    assert ended.returncode == 1
    assert "while a box serves it" in ended.stderr
    looked = terminal.run("check")
    assert looked.returncode == 1
    assert "while a box serves it; put it back" in looked.stdout
    assert not (data / "cinema.db").exists()
    for name in names:
        (data / f"away {name}").rename(data / name)
    assert terminal.run("user", "list").returncode == 0
    assert stop(process) == 0


def test_a_box_that_is_open_shows_what_is_imported(terminal: Terminal, serving: Serving) -> None:
    process, said = serving("serve")
    assert get(f"{address(said)}/api/showings") == []
    assert terminal.run("import", str(terminal.write("cinema.json", CINEMA))).returncode == 0
    until = time.monotonic() + 10
    while not (showings := get(f"{address(said)}/api/showings")):
        assert time.monotonic() < until
    assert [showing["title"] for showing in showings] == ["The Clockmaker"]
    assert stop(process) == 0


def test_a_wrong_file_says_where_and_changes_nothing(terminal: Terminal) -> None:
    wrong = {**CINEMA, "showings": [{**CINEMA["showings"][0], "price": 9.5}]}
    sentence = one_sentence(terminal.run("import", str(terminal.write("cinema.json", wrong))), 1)
    assert "cinema.json: showings[0].price" in sentence
    assert not terminal.database.exists()


def test_a_missing_file_is_told_in_a_sentence(terminal: Terminal) -> None:
    assert "absent.json" in one_sentence(terminal.run("import", "absent.json"), 1)


def test_what_was_typed_cannot_talk_to_the_terminal(terminal: Terminal) -> None:
    sentence = one_sentence(terminal.run("import", "\x1b[31m[bold]red"), 1)
    assert "\x1b" not in sentence
    assert "[bold]red" in sentence


# Check


def test_check_of_a_new_box_says_what_to_do_and_makes_nothing(terminal: Terminal) -> None:
    done = terminal.run("check")
    assert done.returncode == 0
    assert "todo" in done.stdout
    assert list(terminal.folder.iterdir()) == []


def test_check_without_a_database_makes_nothing_where_its_folder_is(terminal: Terminal) -> None:
    terminal.database.parent.mkdir()
    assert terminal.run("check").returncode == 0
    assert list(terminal.database.parent.iterdir()) == []


def test_check_of_a_box_with_other_plugins_looks_at_their_tables_alone(terminal: Terminal) -> None:
    terminal.write(
        "box.toml",
        """
        [plugins]
        "plugins.auth.AuthPlugin" = false
        [plugins."amqtt.plugins.authentication.AnonymousAuthPlugin"]
        """,
    )
    cinema = {name: CINEMA[name] for name in ("rooms", "showings")}
    done = terminal.run("--config", "box.toml", "import", str(terminal.write("cinema.json", cinema)))
    assert done.returncode == 0, done.stderr
    checked = terminal.run("--config", "box.toml", "check")
    assert checked.returncode == 0, checked.stdout
    assert "rooms: 1" in checked.stdout
    assert "users" not in checked.stdout


def test_check_of_a_sound_cinema_finds_nothing(terminal: Terminal) -> None:
    terminal.run("import", str(terminal.write("cinema.json", CINEMA)))
    done = terminal.run("check")
    assert done.returncode == 0
    assert {line.split()[0] for line in done.stdout.splitlines()} == {"ok"}


def test_the_database_is_its_owners_alone_and_check_says_where_it_is_not(terminal: Terminal, serving: Serving) -> None:
    terminal.run("import", str(terminal.write("cinema.json", CINEMA)))
    process, _ = serving()
    files = [terminal.database, *(terminal.database.with_name(f"cinema.db{end}") for end in ("-wal", "-shm"))]
    assert [oct(file.stat().st_mode & 0o777) for file in files] == ["0o600"] * 3
    stop(process)
    terminal.database.chmod(0o644)
    assert "other users of this machine may open it (mode 044); chmod 600" in terminal.run("check").stdout


def test_check_misses_a_manager_rooms_and_showings(terminal: Terminal) -> None:
    terminal.run("import", str(terminal.write("cinema.json", {})))
    said = terminal.run("check").stdout
    assert "no active manager" in said
    assert "rooms: none" in said
    assert "showings: none" in said


def test_check_warns_of_plaintext_beyond_loopback(terminal: Terminal) -> None:
    done = terminal.run("check", LYNRIE_LISTENERS__WEB__BIND="0.0.0.0:9001", LYNRIE_LISTENERS__WEB__PLAINTEXT="true")
    assert done.returncode == 0
    assert "todo  listeners.web: passwords travel in clear" in done.stdout


@pytest.mark.parametrize("spoil", [b"This is not a database. " * 1000, None])
def test_check_finds_damage(terminal: Terminal, spoil: bytes | None) -> None:
    terminal.run("import", str(terminal.write("cinema.json", CINEMA)))
    content = terminal.database.read_bytes()
    terminal.database.write_bytes(spoil or content[:4096] + b"\xff" * (len(content) - 4096))
    done = terminal.run("check")
    assert done.returncode == 1
    assert "damaged" in done.stdout


def test_check_finds_a_newer_version(terminal: Terminal) -> None:
    written_by_a_newer_version(terminal)
    done = terminal.run("check")
    assert done.returncode == 1
    assert "newer version" in done.stdout


def test_check_finds_another_program_s_database(terminal: Terminal) -> None:
    terminal.database.parent.mkdir()
    with sqlite3.connect(terminal.database) as db:
        db.execute("CREATE TABLE recipes (name)")
    done = terminal.run("check")
    assert done.returncode == 1
    assert "this is another program's database" in done.stdout


def test_check_finds_a_lock(terminal: Terminal) -> None:
    terminal.run("import", str(terminal.write("cinema.json", CINEMA)))
    other = sqlite3.connect(terminal.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    done = terminal.run("check")
    other.close()
    assert done.returncode == 1
    assert "locked by another program" in done.stdout


def test_check_finds_a_demo_beyond_loopback(terminal: Terminal, serving: Serving) -> None:
    process, _ = serving("serve", "--demo")
    stop(process)
    done = terminal.run(
        "--demo", "check", LYNRIE_LISTENERS__WEB__BIND="0.0.0.0:9001", LYNRIE_LISTENERS__WEB__PLAINTEXT="true"
    )
    assert done.returncode == 1
    assert "STOP  demo:" in done.stdout


def test_check_finds_wrong_settings(terminal: Terminal) -> None:
    done = terminal.run("check", LYNRIE_BOOKING__HOLD_SECONDS="0")
    assert done.returncode == 1
    assert done.stdout == "STOP  settings: LYNRIE_BOOKING__HOLD_SECONDS = '0': must be 1 to 3600\n"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ('[policy.guest]\nsubscribe = ["a/#/b"]', "settings: policy.guest.subscribe = 'a/#/b': must be an MQTT topic"),
        (
            '[plugins."plugins.acl.AclPlugin"]\ntypo = 1',
            "plugins: plugins.plugins.acl.AclPlugin.typo: there is no such",
        ),
        (
            '[listeners.web]\ncertfile = "box.toml"\nkeyfile = "box.toml"',
            "listeners.web: box.toml is not a certificate in PEM",
        ),
        ('[listeners.web]\ncertfile = "no.pem"\nkeyfile = "box.toml"', "listeners.web: there is no file no.pem"),
        ('[database]\npath = "box.toml/cinema.db"', "is no folder"),
    ],
)
def test_check_stops_where_serve_would(terminal: Terminal, settings: str, told: str) -> None:
    terminal.write("box.toml", settings)
    done = terminal.run("check", "--config", "box.toml")
    assert done.returncode == 1, done.stdout
    [line] = [line for line in done.stdout.splitlines() if line.startswith("STOP")]
    assert told in line
    assert terminal.run("serve", "--config", "box.toml").returncode != 0


@pytest.mark.parametrize("closed", ["", "cinema.db"])
def test_check_finds_a_database_that_is_not_writable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    database = tmp_path / "cinema.db"
    database.touch()
    real = os.access  # root may write everywhere
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path / closed and real(path, mode))
    settings = load_settings(database={"path": str(database)})
    findings = list(examine(settings, plugin_classes(settings), now=0))
    of_the_database = [finding for finding in findings if finding.subject.startswith("database")]
    assert [finding.prevents for finding in of_the_database if "not writable" in finding.text] == [True]


# Backup and restore


def test_a_backup_of_a_running_box_is_restored_when_it_is_closed(terminal: Terminal, serving: Serving) -> None:
    terminal.run("import", str(terminal.write("cinema.json", CINEMA)))
    process, said = serving("serve")
    done = terminal.run("backup", "copy.db")
    assert done.returncode == 0, done.stderr
    assert "copy.db: a sound backup of data/cinema.db" in done.stdout
    assert "there already" in one_sentence(terminal.run("backup", "copy.db"), 1)
    session = get(f"{address(said)}/api/session", basic="boss:a long enough one", method="POST")
    assert "stop it" in one_sentence(terminal.run("restore", "copy.db"), 1)
    assert stop(process) == 0
    terminal.run("user", "add", "later", "--role", "kiosk", "--password-stdin", stdin="long enough!\n")
    done = terminal.run("restore", "copy.db")
    assert done.returncode == 0, done.stderr
    assert "users: 1, showings: 1, confirmed bookings: 0" in done.stdout
    assert "later" not in terminal.run("user", "list").stdout
    [aside] = terminal.database.parent.glob("cinema.db.replaced-*")
    assert "later" in terminal.run("user", "list", LYNRIE_DATABASE__PATH=str(aside)).stdout
    process, said = serving("serve")
    request = urllib.request.Request(f"{address(said)}/api/me", headers={"Authorization": f"Bearer {session['token']}"})
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(request, timeout=10)
    assert stop(process) == 0


def test_after_damage_the_command_that_is_told_brings_the_cinema_back(terminal: Terminal, serving: Serving) -> None:
    terminal.write("box.toml", '[database]\npath = "data/cinema.db"\n')
    terminal.run("import", str(terminal.write("cinema.json", CINEMA)))
    terminal.database.with_name("backups").mkdir()
    terminal.run("backup", "data/backups/cinema-20300101T000000Z.db")
    terminal.database.write_bytes(b"This is not a database. " * 1000)
    told = one_sentence(terminal.run("--config", "box.toml", "serve"), 1)
    for command in (("import", "cinema.json"), ("user", "list"), ("serve",)):
        assert "set aside" in one_sentence(terminal.run(*command), 1)
    assert not terminal.database.exists()
    checked = terminal.run("check", "--config", "box.toml")
    assert checked.returncode == 1
    _, _, command = told.partition("bring it back with: ")
    assert command in checked.stdout
    words = command.split()
    assert words[:4] == ["python", str(FRONT), "--config", "box.toml"]
    done = terminal.run(*words[2:])
    assert done.returncode == 0, done.stderr
    assert "of 2030-01-01 00:00:00 UTC" in done.stdout
    process, said = serving("serve")
    assert [showing["title"] for showing in get(f"{address(said)}/api/showings")] == ["The Clockmaker"]
    assert stop(process) == 0


def test_check_says_how_old_the_newest_backup_is_and_misses_the_stick(terminal: Terminal) -> None:
    terminal.run("import", str(terminal.write("cinema.json", CINEMA)))
    terminal.database.with_name("backups").mkdir()
    terminal.run("backup", "data/backups/cinema-20200101T000000Z.db")
    said = terminal.run("check", LYNRIE_BACKUP__SECOND_PATH="/media/absent/box").stdout
    assert re.search(r"todo  backups \S+/data/backups: the newest is \d+ days old, of 2020-01-01 00:00:00 UTC", said)
    assert "todo  backups /media/absent/box: the folder is not there" in said
    assert "switched off" in terminal.run("check", LYNRIE_BACKUP__INTERVAL_HOURS="0").stdout


def test_check_says_that_a_backup_is_of_a_time_to_come(terminal: Terminal) -> None:
    terminal.run("import", str(terminal.write("cinema.json", CINEMA)))
    terminal.database.with_name("backups").mkdir()
    terminal.run("backup", "data/backups/cinema-29990101T000000Z.db")
    said = terminal.run("check").stdout
    assert re.search(r"todo  backups \S+: the newest is of a time to come, 2999-01-01 00:00:00 UTC; look at the", said)


@pytest.mark.parametrize("which", ["path", "second_path"])
def test_check_goes_on_after_a_backup_folder_that_it_cannot_look_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    real = Path.iterdir

    def iterdir(path: Path) -> Iterator[Path]:  # root may read everywhere
        if path == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    backup = {"path": "backups", "second_path": str(tmp_path), which: str(closed)}
    settings = load_settings(database={"path": str(tmp_path / "cinema.db")}, backup=backup)
    findings = {f.subject: f for f in examine(settings, plugin_classes(settings), now=0)}
    assert findings[f"backups {closed}"].text == "the folder cannot be looked at (Permission denied)"
    assert len([subject for subject in findings if subject.startswith("backups")]) == 2


def test_check_goes_on_after_a_second_path_that_leads_nowhere(tmp_path: Path) -> None:
    nowhere = tmp_path / ("stick" * 100)  # longer than a name may be
    settings = load_settings(database={"path": str(tmp_path / "cinema.db")}, backup={"second_path": str(nowhere)})
    *_, last = examine(settings, plugin_classes(settings), now=0)
    assert last.subject == f"backups {nowhere}"
    assert last.text == "the folder cannot be looked at (File name too long)"


# The plugins' commands


def test_the_plugins_commands_get_the_settings_that_were_named(terminal: Terminal) -> None:
    terminal.write("box.toml", '[database]\npath = "mine.db"\n')
    added = terminal.run(
        "--config", "box.toml", "user", "add", "boss", "--role", "manager", "--password-stdin", stdin="long enough!\n"
    )
    assert added.returncode == 0, added.stderr
    assert (terminal.folder / "mine.db").is_file()
    assert "boss" in terminal.run("--config", "box.toml", "user", "list").stdout


# The audit trail


def audited(done: subprocess.CompletedProcess[str]) -> list[dict[str, str]]:
    assert done.returncode == 0, done.stderr
    columns, *rows = [line.split("\t") for line in done.stdout.splitlines()]
    return [dict(zip(columns, row, strict=True)) for row in rows]


def test_audit_names_who_did_what_by_the_cinema_s_clocks(terminal: Terminal, serving: Serving) -> None:
    terminal.run("import", str(terminal.write("cinema.json", CINEMA)))
    url = address(serving()[1])
    showing = get(f"{url}/api/showings")[0]["showing_id"]
    seat = get(f"{url}/api/showings/{showing}/seats")["seats"][0]["seat_id"]
    body = {"showing_id": showing, "seat_ids": [seat], "timestamp": "now", "booking_id": str(uuid.uuid4())}
    booking = get(f"{url}/api/bookings", basic="boss:a long enough one", method="POST", body=body)
    about_it = audited(terminal.run("audit", "--booking", booking["number"].lower()))
    assert about_it == audited(terminal.run("audit", "--about", body["booking_id"]))
    [row] = about_it
    assert (row["account"], row["address"], row["about"]) == ("boss", "127.0.0.1", booking["number"])
    assert (row["action"], row["outcome"], row["times"]) == ("booking/request", "confirmed", "1")
    assert abs(datetime.fromisoformat(row["time"]).timestamp() - time.time()) < 60
    zone = ZoneInfo("Europe/Amsterdam")
    assert datetime.fromisoformat(row["time"]).utcoffset() == datetime.now(zone).utcoffset()


def test_audit_shows_what_the_command_line_did_the_latest_last(terminal: Terminal) -> None:
    for name in ("ann", "ben"):
        terminal.run("user", "add", name, "--role", "kiosk", "--password-stdin", stdin="a long enough one\n")
    terminal.run("user", "password", "ann", "--password-stdin", stdin="another long one\n")
    terminal.run("user", "disable", "ann")
    terminal.run("user", "disable", "ann")
    rows = audited(terminal.run("audit", "--user", "ann"))
    assert [(row["action"], row["outcome"]) for row in rows] == [
        ("user/add", "kiosk"), ("user/change", "password"), ("user/change", "disabled")
    ]  # fmt: skip
    assert {(row["account"], row["address"], row["about"]) for row in rows} == {("", "command line", "ann")}
    assert audited(terminal.run("audit", "--user", "ann", "--last", "1")) == rows[-1:]
    today = datetime.now(ZoneInfo("Europe/Amsterdam")).date()
    day, before, after = (str(today + timedelta(days=days)) for days in (0, -1, 1))
    assert len(audited(terminal.run("audit", "--since", before, "--until", after))) == 4
    assert audited(terminal.run("audit", "--until", before)) == []
    assert audited(terminal.run("audit", "--since", day + "T00:00", "--until", "1999-01-01T00:00:00Z")) == []


def test_audit_says_in_a_sentence_what_it_cannot_find(terminal: Terminal) -> None:
    assert "there is no database" in one_sentence(terminal.run("audit"), 1)
    assert not terminal.database.exists()
    terminal.run("user", "add", "ann", "--role", "kiosk", "--password-stdin", stdin="a long enough one\n")
    assert one_sentence(terminal.run("audit", "--user", "nobody"), 1) == "Nothing is called nobody."
    assert one_sentence(terminal.run("audit", "--user", "\x1b[2J"), 1) == "Nothing is called \\x1b[2J."
    assert one_sentence(terminal.run("audit", "--booking", "\udcff"), 1) == "Nothing is called '\\udcff'."
    assert terminal.run("audit", "--since", "yesterday").returncode == 2
    assert terminal.run("audit", "--last", "9" * 20).returncode == 2


@pytest.mark.parametrize("command", [("audit",), ("backup", "copy.db")])
def test_a_database_that_cannot_be_read_is_told_as_that(terminal: Terminal, command: tuple[str, ...]) -> None:
    terminal.run("import", str(terminal.write("cinema.json", CINEMA)))
    index = terminal.database.with_name("cinema.db-shm")
    index.symlink_to(index)  # without its index nobody can read a database with a log, nor root
    told = one_sentence(terminal.run(*command), 1)
    assert told.startswith("data/cinema.db: the database file cannot be opened for reading; check its folder")


def test_no_control_character_in_the_trail_reaches_who_reads_it(terminal: Terminal) -> None:
    terminal.run("user", "add", "ann", "--role", "kiosk", "--password-stdin", stdin="a long enough one\n")
    with sqlite3.connect(terminal.database) as other:
        other.execute(
            "INSERT INTO audit (at, account, address, action, outcome, subject) VALUES (1e9, ?1, ?1, ?1, ?1, ?1)",
            ("\x1b]0;owned\x07\n\tx",),
        )
    done = terminal.run("audit")
    assert len(audited(done)) == 2
    assert all(char.isprintable() or char in "\t\n" for char in done.stdout)
