"""The cinema of a soak: showings that come and go within minutes, a season of old sales, and the box in a process."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import sqlite_utils
import trustme
from contract.house import HOUR, MINUTE, new_id
from contract.process import ROOT, BoxProcess

from broker.host import plugin_classes
from broker.storage.database import connect
from config import load_settings
from endurance.evening import Account, Place, Showing
from plugins.auth import passwords, users
from plugins.booking import imports

ROOM = new_id()
ROWS = 10
SEATS_PER_ROW = 30
ON_SALE_SECONDS = 120
"""How long a showing is on sale; a minute after its start it is over, and the box forgets its bookings."""
NEW_SHOWING_SECONDS = 30
IMPORT_SECONDS = 60
OLD_BOOKINGS = 20_000
"""So many were made in seasons before. A file that is nearly empty grows caches as it is filled, which is no leak."""
KIOSKS, CUSTOMERS, CALLERS = 12, 10, 4
TIMESTAMP = "%Y-%m-%dT%H:%M:%SZ"


@dataclass
class Premises:
    """A box that serves, and those who work there."""

    box: BoxProcess
    place: Place
    path: Path
    seat_ids: tuple[str, ...]
    accounts: dict[str, Account]

    @classmethod
    async def open(cls, folder: Path, *, old_bookings: int = OLD_BOOKINGS) -> Premises:
        """As default.toml has it, but that bookings can be cancelled until the start: showings begin within minutes."""
        path = folder / "box.db"
        seat_ids, accounts = _build(path, old_bookings)
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1")
        key, chain = folder / "key.pem", folder / "chain.pem"
        certificate.private_key_pem.write_to_path(key)
        for part in certificate.cert_chain_pems:
            part.write_to_path(chain, append=True)
        trust = ssl.create_default_context()
        authority.configure_trust(trust)
        box = await BoxProcess.start(
            path,
            LYNRIE_BOOKING__CANCEL_UNTIL_MINUTES=0,
            LYNRIE_LISTENERS__TCP__CERTFILE=chain,
            LYNRIE_LISTENERS__TCP__KEYFILE=key,
        )
        return cls(box, Place(box.web, box.tcp, trust), path, seat_ids, accounts)

    async def programme(self, showings: list[Showing]) -> None:
        """The manager puts showings on sale, one after the other, until cancelled."""
        headers = {"Authorization": f"Bearer {self.accounts['manager'].token}"}
        async with aiohttp.ClientSession(self.place.url, headers=headers) as session:
            while True:
                starts_at = time.time() + ON_SALE_SECONDS
                showing = _showing(new_id(), starts_at)
                async with session.post("/api/showings", json={"action": "create", "showing": showing}) as response:
                    assert response.status == 200, await response.text()
                showings.append(Showing(showing["showing_id"], starts_at, self.seat_ids))
                del showings[:-8]
                await asyncio.sleep(NEW_SHOWING_SECONDS)

    async def office(self, counts: dict[str, int]) -> None:
        """Another process imports, and another makes a backup, every minute, until cancelled."""
        source, backup = self.path.with_name("programme.json"), self.path.with_name("backup.db")
        while True:
            await asyncio.sleep(IMPORT_SECONDS)
            showing = _showing(new_id(), time.time() + ON_SALE_SECONDS)
            source.write_text(json.dumps({"showings": [showing]}))  # a few bytes
            counts["imports"] += await self._run("import", str(source))
            with suppress(FileNotFoundError):
                backup.unlink()  # once a minute
            counts["backups"] += await self._run("backup", str(backup))

    async def _run(self, *arguments: str) -> bool:
        """A command of the command line; whether it went well."""
        process = await asyncio.create_subprocess_exec(
            "nice",
            sys.executable,
            str(ROOT / "run_broker.py"),
            *arguments,
            env={"PATH": "/usr/bin:/bin", "LYNRIE_DATABASE__PATH": str(self.path)},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        return await process.wait() == 0

    async def close(self) -> None:
        await self.box.put_away()


def _showing(showing_id: str, starts_at: float) -> dict[str, Any]:
    return {
        "showing_id": showing_id,
        "title": "A busy evening",
        "room_id": ROOM,
        "starts_at": time.strftime(TIMESTAMP, time.gmtime(starts_at)),
        "minutes": 1,
        "price": "9.50",
    }


def _build(path: Path, old_bookings: int) -> tuple[tuple[str, ...], dict[str, Account]]:
    """The file, its seats in room order, and everybody with a token."""
    now = time.time()
    rows = [{"row": str(row + 1), "seats": SEATS_PER_ROW} for row in range(ROWS)]
    old = _showing(new_id(), now - 48 * HOUR)
    source = path.with_suffix(".json")
    source.write_text(json.dumps({"rooms": [{"room_id": ROOM, "name": "The hall", "rows": rows}], "showings": [old]}))
    settings = load_settings(database={"path": str(path)})
    imports.import_file(source, settings, plugin_classes(settings), now=now)
    with closing(connect(path).conn) as connection:
        db = sqlite_utils.Database(connection)
        connection.execute("BEGIN")
        accounts = _accounts(db, now)
        seat_ids = tuple(row[0] for row in connection.execute("SELECT seat_id FROM seats ORDER BY position"))
        _sell_a_season(connection, accounts["kiosk-1"].user_id, seat_ids, old_bookings, now)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return seat_ids, accounts


def _accounts(db: Any, now: float) -> dict[str, Account]:
    names = {"manager": "manager"}
    names |= {f"kiosk-{number + 1}": "kiosk" for number in range(KIOSKS)}
    names |= {f"customer-{number + 1}": "customer" for number in range(CUSTOMERS + CALLERS)}
    accounts, password_hash = {}, passwords.hash_password("nobody signs in with it")
    for name, role in names.items():
        added = users.add_account(
            db,
            username=name,
            password_hash=password_hash,
            role=role,
            email=None,
            name=name,
            now=now,
        )
        token = f"the token of {name}, long enough"
        users.add_token(db, added.user_id, token, now=now, expires_at=now + 10**9)
        accounts[name] = Account(name, added.user_id, token)
    return accounts


def _sell_a_season(connection: Any, user_id: str, seat_ids: tuple[str, ...], bookings: int, now: float) -> None:
    """Old showings, and bookings of two seats each."""
    each = len(seat_ids) // 2
    for number in range(bookings // each + 1):
        showing_id, starts_at = new_id(), int(now - 30 * 24 * HOUR - number * HOUR)
        connection.execute(
            "INSERT INTO showings (showing_id, title, room_id, starts_at, ends_at, price_cents, currency) "
            "VALUES (?, 'An old film', ?, ?, ?, 950, 'EUR')",
            (showing_id, ROOM, starts_at, starts_at + MINUTE),
        )
        for place in range(each):
            booking_id = new_id()
            connection.execute(
                "INSERT INTO bookings (booking_id, number, showing_id, user_id, requested_by, status, message, "
                "total_cents, currency, key, created_at) VALUES (?, ?, ?, ?, ?, 'confirmed', '', 1900, 'EUR', ?, ?)",
                (booking_id, f"OLD{number:04}{place:04}", showing_id, user_id, user_id, new_id(), starts_at - HOUR),
            )
            connection.executemany(
                "INSERT INTO booking_seats VALUES (?, ?, ?, 950)",
                [(booking_id, seat_id, at) for at, seat_id in enumerate(seat_ids[2 * place : 2 * place + 2])],
            )
