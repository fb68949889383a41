"""What ``run_broker.py check`` looks at: the settings and the database, before anybody stands at the door.

Nothing is changed: no file is made, no table migrated.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import dacite
import sqlite_utils

from broker.doors.tls import Certificate, CertificateError, read_certificate
from broker.plugin import migrations_of
from broker.storage.backup import BackupFolder, age, in_words
from broker.storage.damage import WayBack
from broker.storage.database import DatabaseError, require_known
from broker.storage.outage import Reason, describe, reason_of
from config import Settings, SettingsError
from plugins.acl import AclPlugin, Policy
from plugins.booking import demo


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. ``advice`` says what to do; empty where all is well."""

    subject: str
    text: str
    advice: str = ""
    prevents: bool = False
    """Whether the box could not serve like this."""

    def __str__(self) -> str:
        state = "STOP" if self.prevents else "todo" if self.advice else "ok"
        return f"{state:<5} {self.subject}: {self.text}{f'; {self.advice}' if self.advice else ''}"


def examine(
    settings: Settings, plugins: Sequence[type], *, now: float, command: str = "run_broker.py"
) -> Iterator[Finding]:
    """Look at everything; ``now`` is in seconds since 1970, ``command`` how the owner calls this program."""
    yield from _or_valid("settings", "valid", _policy(settings, plugins))
    yield from _or_valid("plugins", f"{len(plugins)} can be loaded", _options(settings, plugins))
    yield from _doors(settings, now)
    way_back = WayBack.of(settings, command)
    yield from _database(settings, plugins, now, way_back)
    yield from _backups(settings, way_back, now)


def _or_valid(subject: str, valid: str, wrong: Iterator[str]) -> Iterator[Finding]:
    findings = [Finding(subject, text, prevents=True) for text in wrong]
    yield from findings or [Finding(subject, valid)]


def _policy(settings: Settings, plugins: Sequence[type]) -> Iterator[str]:
    if not any(issubclass(plugin, AclPlugin) for plugin in plugins):
        return
    try:
        Policy(settings.policy)
    except SettingsError as error:
        yield from str(error).splitlines()


def _options(settings: Settings, plugins: Sequence[type]) -> Iterator[str]:
    """What is wrong with the plugins' options, read as amqtt reads them."""
    for (path, options), plugin in zip(settings.plugins.items(), plugins, strict=True):
        try:
            dacite.from_dict(getattr(plugin, "Config"), options, dacite.Config(strict=True))  # noqa: B009  # amqtt's
        except dacite.UnexpectedDataError as error:
            for name in sorted(error.keys):
                yield f"plugins.{path}.{name}: there is no such option"
        except dacite.MissingValueError as error:
            yield f"plugins.{path}.{error.field_path}: this option is missing"
        except dacite.DaciteFieldError as error:
            yield f"plugins.{path}.{error.field_path}: the value is of the wrong type"
        except (dacite.DaciteError, TypeError) as error:
            yield f"plugins.{path}: its options cannot be read: {error}"


def _doors(settings: Settings, now: float) -> Iterator[Finding]:
    listeners = settings.listeners
    for name, door, bind in (
        ("listeners.web", listeners.web, listeners.web.bind),
        ("listeners.tcp", listeners.tcp, listeners.tcp.bind),
    ):
        if bind is None:
            continue
        if door.certfile is None and not bind.is_loopback:
            yield Finding(
                name,
                f"passwords travel in clear beyond loopback, to {bind}",
                "set certfile and keyfile, or put the box behind a proxy with TLS",
            )
        if door.certfile is None or door.keyfile is None:
            continue
        public = listeners.web.public_urls if name == "listeners.web" else []
        try:
            yield from _certificate(name, read_certificate(door.certfile, door.keyfile), public, now)
        except CertificateError as error:
            yield Finding(name, str(error), "set certfile and keyfile to files that fit", prevents=True)


def _certificate(name: str, certificate: Certificate, public_urls: Sequence[str], now: float) -> Iterator[Finding]:
    """The box would open with one that browsers refuse, and nobody would come in: a STOP too."""
    hosts = [urlsplit(url).hostname or "" for url in public_urls if url.startswith("https://")]
    missing = [host for host in hosts if not certificate.covers(host)]
    if problem := certificate.wrong_now(now):
        yield Finding(name, problem, "renew it, and look at the clock of this machine", prevents=True)
    elif problem := certificate.wrong_soon(now):
        yield Finding(name, problem, "renew it; the box takes the new files without a restart")
    elif not missing:
        yield Finding(name, f"the certificate {certificate.file} fits, until {certificate.last_day}")
    if missing:
        yield Finding(
            name,
            f"the certificate {certificate.file} is not for {', '.join(missing)}",
            "get one for the hosts of public_urls, unless a proxy with its own stands in front",
        )


def _database(settings: Settings, plugins: Sequence[type], now: float, way_back: WayBack) -> Iterator[Finding]:
    path = settings.database.path
    subject = f"database {path}"
    if problem := _place_problem(path):
        yield Finding(subject, problem, "let the box write there, or set database.path", prevents=True)
        return
    try:
        if missing := way_back.missing():
            yield Finding(subject, missing.text, missing.advice, prevents=True)
            return
        if not path.exists():
            yield Finding(subject, "there is none yet", "the first start makes it, “import FILE” fills it")
            return
        if others := stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield Finding(subject, f"other users of this machine may open it (mode {others:03o})", f"chmod 600 {path}")
        if damage := way_back.damage():
            yield Finding(
                subject, f"the file is damaged or is not a database ({damage})", way_back.advice(), prevents=True
            )
            return
        # Not to be made by looking at it, so by its address, which can say so.
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
        try:
            yield from _contents(subject, sqlite_utils.Database(connection), settings, plugins, now)
        finally:
            connection.close()
    except DatabaseError as error:
        yield Finding(subject, str(error), prevents=True)
    except (sqlite3.Error, OSError) as error:
        remedy = _REMEDIES.get(reason_of(error)) or way_back.advice()
        yield Finding(subject, describe(error), remedy, prevents=True)


def _place_problem(path: Path) -> str:
    """Why the database cannot be written to, or made; empty if it can. SQLite makes files beside it too."""
    if problem := _folder_problem(path.absolute().parent):
        return problem
    if path.is_file() and not os.access(path, os.R_OK | os.W_OK):
        return "the file is not writable"
    return ""


def _folder_problem(folder: Path) -> str:
    """Why files cannot be made in a folder; empty if they can."""
    while not folder.exists():  # the first start makes it
        folder = folder.parent
    if not folder.is_dir():
        return f"{folder} is no folder where files can be made"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"the folder {folder} is not writable"
    return ""


_REMEDIES = {
    Reason.LOCKED: "end that program",
    Reason.READONLY: "or set database.path",
}


def _contents(
    subject: str, db: sqlite_utils.Database, settings: Settings, plugins: Sequence[type], now: float
) -> Iterator[Finding]:
    db.conn.execute("BEGIN IMMEDIATE")  # as the box will; it waits a few seconds for a lock
    db.conn.execute("ROLLBACK")
    contributions = migrations_of(plugins)
    require_known(db, contributions)
    if any(contribution.pending(db) for contribution in contributions):
        yield Finding(subject, "its tables are older than the box", "back it up; the next start renews them")
        return
    yield Finding(subject, "sound and up to date")
    yield from _demo(db, settings)
    yield from _cinema(db, now)


def _backups(settings: Settings, way_back: WayBack, now: float) -> Iterator[Finding]:
    if not settings.backup.interval_hours:
        yield Finding("backups", "automatic ones are switched off (backup.interval_hours = 0)")
    for number, folder in enumerate(way_back.folders):
        subject = f"backups {folder.path}"
        advice = "let the box write there, or set another path in [backup]"
        try:
            if number and not folder.path.is_dir():
                advice = "put the stick in, make the folder on it, or set backup.second_path"
                yield Finding(subject, "the folder is not there", advice)
            elif problem := _folder_problem(folder.path):
                yield Finding(subject, problem, advice)
            else:
                yield _newest_backup(subject, folder, settings, now)
        except OSError as error:
            yield Finding(subject, f"the folder cannot be looked at ({error.strerror})", advice)


def _newest_backup(subject: str, folder: BackupFolder, settings: Settings, now: float) -> Finding:
    newest = folder.newest()
    interval = settings.backup.interval_hours * 3600
    if newest is None:
        return Finding(subject, "none yet; the box makes the first soon after its start" if interval else "none")
    if newest.made_at > now:
        told = f"the newest is of a time to come, {in_words(newest.made_at)}"
        return Finding(subject, told, "look at the clock of this machine; if it is right, move that file away")
    told = f"the newest is {age(now - newest.made_at)} old, of {in_words(newest.made_at)}"
    if interval and now - newest.made_at > 2 * interval:
        return Finding(subject, told, "if the box was running, its log says why there is no newer one")
    return Finding(subject, told)


def _demo(db: sqlite_utils.Database, settings: Settings) -> Iterator[Finding]:
    if not demo.is_marked(db):
        return
    if beyond := demo.beyond_loopback(settings):
        yield Finding(
            "demo",
            f"everybody knows its passwords, and {beyond[0]} is beyond loopback",
            "bind to localhost, or set database.path to a database of your own",
            prevents=True,
        )
    else:
        yield Finding("demo", "the database is a demo's, and the doors are on loopback alone")


def _managers(number: int) -> Finding:
    if number:
        return Finding("users", "there is an active manager")
    return Finding("users", "there is no active manager", "add one with “user add NAME --role manager”")


def _cinema(db: sqlite_utils.Database, now: float) -> Iterator[Finding]:
    def count(query: str, *parameters: object) -> int:
        return int(db.conn.execute(f"SELECT count(*) FROM {query}", parameters).fetchone()[0])  # noqa: S608  # ours

    if db.table("users").exists():  # else another plugin knows who people are
        yield _managers(count("users WHERE role = 'manager' AND is_active"))
    if rooms := count("rooms"):
        yield Finding("rooms", f"{rooms}, with {count('seats')} seats")
    else:
        yield Finding("rooms", "none", "“import FILE” brings them")
    if showings := count("showings WHERE status = 'scheduled' AND ends_at > ?", now):
        yield Finding("showings", f"{showings} to come")
    else:
        yield Finding("showings", "none to come", "“import FILE” brings them, or a manager makes them")
