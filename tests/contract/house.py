"""One cinema for the tests of the contract, imported once and copied for each test, and boxes that serve it.

Room 1 has 36 seats, the last 20 of them premium; Room 2 has six. Everybody signs in with a token that was made with
the cinema: a password costs its hash, and only a few tests are about passwords.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

from boxes import ONE_ADDRESS

from broker.host import Host, plugin_classes
from broker.storage.database import Database, connect
from config import Settings, load_settings
from plugins.auth import users
from plugins.booking import imports

HOUR = 3600
MINUTE = 60


def an_id(name: str) -> str:
    """The same identifier for the same name, in every test."""
    return str(uuid5(NAMESPACE_URL, f"urn:lynrie-box:contract:{name}"))


def new_id() -> str:
    """A client's own UUID for a booking."""
    return str(uuid4())


ROOM, SMALL_ROOM = an_id("Room 1"), an_id("Room 2")
SHOWING = an_id("in ten hours, Room 1")
LATE_SHOWING = an_id("in twenty hours, Room 1")
SMALL_SHOWING = an_id("in ten hours, Room 2")
RUNNING_SHOWING = an_id("begun half an hour ago, Room 2")
PAST_SHOWING = an_id("over for an hour, Room 2")
ABSENT = an_id("nothing at all")

ACCOUNTS = {
    "alice": "customer",
    "bob": "customer",
    "carol": "customer",
    "dave": "customer",
    "kiosk": "kiosk",
    "kiosk2": "kiosk",
    "manager": "manager",
    "manager2": "manager",
    "gone": "customer",
}
VISITORS = ("vera", "victor")
PASSWORD = "a password of {}"


@dataclass(frozen=True)
class House:
    """The cinema's file, and what a test needs to know of it. ``opened_at`` is the moment that it was made at."""

    path: Path
    opened_at: int
    seats: tuple[str, ...]
    small_seats: tuple[str, ...]
    user_ids: dict[str, str]
    tokens: dict[str, str]

    def credentials(self, name: str | None) -> tuple[str | None, str | None]:
        """Username and token; a visitor's username is the user_id, a guest has neither."""
        if name is None:
            return None, None
        return self.user_ids[name] if name in VISITORS else name, self.tokens[name]


def cinema_file(now: int) -> dict[str, Any]:
    """The cinema as ``run_broker.py import`` takes it."""

    def showing(showing_id: str, room_id: str, starts_at: int, **more: Any) -> dict[str, Any]:
        start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(starts_at))
        return {"showing_id": showing_id, "room_id": room_id, "starts_at": start, "price": "9.50", **more}

    return {
        "rooms": [
            {
                "room_id": ROOM,
                "name": "Room 1",
                "rows": [
                    {
                        "row": "A",
                        "seats": 9,
                        "offset": 1,
                        "aisles_after": [4],
                        "types": {"1": "wheelchair"},
                        "blocked": [7],
                    },
                    {"row": "B", "seats": 8},
                    {"row": "C", "seats": 10, "type": "premium"},
                    {"row": "D", "seats": 10, "type": "premium"},
                ],
            },
            {"room_id": SMALL_ROOM, "name": "Room 2", "rows": [{"row": "A", "seats": 6}]},
        ],
        "showings": [
            showing(SHOWING, ROOM, now + 10 * HOUR, title="A film", prices={"premium": "12.00"}),
            showing(LATE_SHOWING, ROOM, now + 20 * HOUR, title="A late film", minutes=90),
            showing(SMALL_SHOWING, SMALL_ROOM, now + 10 * HOUR, title="A small film"),
            showing(RUNNING_SHOWING, SMALL_ROOM, now - 30 * MINUTE, title="A film that runs"),
            showing(PAST_SHOWING, SMALL_ROOM, now - 3 * HOUR, title="A film of yesterday"),
        ],
        "users": [
            {
                "user_id": an_id(name),
                "username": name,
                "password": PASSWORD.format(name),
                "role": role,
                "email": f"{name}@example.org",
                "name": name.capitalize(),
            }
            for name, role in ACCOUNTS.items()
        ],
    }


def build(folder: Path) -> House:
    """Import the cinema into a file of its own."""
    path, source = folder / "house.db", folder / "cinema.json"
    now = int(time.time())
    source.write_text(json.dumps(cinema_file(now)))
    settings = load_settings(database={"path": str(path)})
    imports.import_file(source, settings, plugin_classes(settings), now=now)
    db = connect(path)
    user_ids = {name: an_id(name) for name in ACCOUNTS}
    with db.conn:
        for name in VISITORS:
            added = users.add_visitor(db, name=name.capitalize(), email=f"{name}@example.org", now=now)
            user_ids[name] = added.user_id
        tokens = {name: f"the token of {name}" for name in user_ids}
        for name, token in tokens.items():
            users.add_token(db, user_ids[name], token, now=now, expires_at=now + 10**9)
        users.change(db, user_ids["gone"], {"is_active": False}, now=now)
    seats = [
        tuple(
            seat_id
            for (seat_id,) in db.execute("SELECT seat_id FROM seats WHERE room_id = ? ORDER BY position", [room])
        )
        for room in (ROOM, SMALL_ROOM)
    ]
    db.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.conn.close()
    return House(path, now, seats[0], seats[1], user_ids, tokens)


class Clock:
    """The wall clock, and with it ``monotonic``, which a test may turn on. It begins at ``begins_at``, in seconds since
    1970."""

    def __init__(self, begins_at: float) -> None:
        self.passed = 0.0
        self.wrong_by = begins_at - time.time()

    def __call__(self) -> float:
        return time.time() + self.passed + self.wrong_by

    def monotonic(self) -> float:
        return time.monotonic() + self.passed

    def forward(self, seconds: float) -> None:
        """So much time passes."""
        self.passed += seconds

    def set_by(self, seconds: float) -> None:
        """Somebody sets the wall clock forward, or back where it is less than 0; no time passes."""
        self.wrong_by += seconds


def settings_of(path: Path, **sections: Any) -> Settings:
    """The default settings with both doors on ports of the system's choice, for clients that all have one address."""
    listeners = {"web": {"bind": "127.0.0.1:0"}, "tcp": {"bind": "127.0.0.1:0"}}
    listeners["web"] |= sections.pop("web", {})
    listeners["metrics"] = sections.pop("metrics", {})
    limits = {**ONE_ADDRESS, **sections.pop("limits", {})}
    return load_settings(listeners=listeners, limits=limits, database={"path": str(path)}, **sections)


class Premises:
    """A house with the box that serves it: it can be closed and opened again on the same file, and its clock turned."""

    def __init__(
        self,
        house: House,
        path: Path,
        *,
        busy_seconds: float | None = None,
        clock: Clock | None = None,
        **sections: Any,
    ) -> None:
        self.house = house
        self.busy_seconds = busy_seconds
        self.path = path
        # However late in the run: the house's showings are minutes from their limits.
        self.clock = clock or Clock(house.opened_at)
        self.sections = sections
        self.host: Host

    @classmethod
    async def open(cls, house: House, folder: Path, **sections: Any) -> Premises:
        """``busy_seconds`` is how long the box waits for another process's lock; the rest are sections of settings."""
        path = folder / "box.db"
        shutil.copyfile(house.path, path)
        premises = cls(house, path, **sections)
        await premises.reopen()
        return premises

    async def reopen(self) -> None:
        """Start a box on the file as it is."""
        self.host = Host(settings_of(self.path, **dict(self.sections)), now=self.clock, monotonic=self.clock.monotonic)
        if self.busy_seconds is not None:
            self.host.database = Database(self.path, busy_timeout_seconds=self.busy_seconds)
        await self.host.start()

    async def close(self) -> None:
        await self.host.stop()

    def import_more(self, cinema: dict[str, Any]) -> None:
        """``run_broker.py import``, as another connection to the same file."""
        source = self.path.with_suffix(".json")
        source.write_text(json.dumps(cinema))
        settings = self.host.settings
        imports.import_file(source, settings, plugin_classes(settings), now=self.clock())

    # Whom and what the tests name

    @property
    def seats(self) -> tuple[str, ...]:
        return self.house.seats

    @property
    def small_seats(self) -> tuple[str, ...]:
        return self.house.small_seats

    def user_id(self, name: str) -> str:
        return self.house.user_ids[name]

    def url(self, path: str) -> str:
        host, port = self.host.web_addresses[0]
        return f"http://{host}:{port}{path}"
