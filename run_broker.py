#!/usr/bin/env python3
"""The front of the box: its command line, and nothing else.

Ends with status 0 when all went well, 2 for wrong settings or a wrong command line, 1 for every other failure; a
failure is told in a sentence, never in a traceback.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import logging
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import sqlite_utils
import typer
from rich.console import Console
from rich.panel import Panel
from rich.text import Text
from typer.core import TyperGroup

from broker import collector, trail
from broker.host import Host, StartError, plugin_classes
from broker.moments import moment
from broker.storage.backup import BackupError, in_words, megabytes, take_backup
from broker.storage.damage import WayBack
from broker.storage.database import DatabaseError
from broker.storage.lock import FileLock, HeldError
from broker.storage.restore import RestoreError
from broker.storage.restore import restore as restore_backup
from broker.trail import UnknownNameError
from config import Settings, SettingsError, load_settings
from plugins import tables
from plugins.booking import demo as demo_cinema
from plugins.booking import imports
from plugins.booking.check import Finding, examine
from plugins.booking.demo import DemoRefusedError
from plugins.booking.imports import ImportFileError
from plugins.pages import PagesPlugin

STOP_SECONDS = 4.5
"""How long a clean stop may take; whoever sent SIGTERM waits five seconds."""

PAGES = {"For the audience": "/", "At the kiosk": "/kiosk", "At the desk": "/desk"}
"""What to open in a browser."""

ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="A TOML file with the settings that differ.")
]
DemoOption = Annotated[bool, typer.Option("--demo", help="A demo cinema, in data/demo.db unless a path is set.")]


class FrontDesk(TyperGroup):
    """The commands of this file, and those of the plugins that the settings name."""

    def list_commands(self, ctx: Any) -> list[str]:
        with contextlib.suppress(SettingsError, StartError):  # --help helps also where the settings do not
            return [*super().list_commands(ctx), *self._contributed(ctx)]
        return super().list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return super().get_command(ctx, cmd_name) or self._contributed(ctx).get(cmd_name)

    def _contributed(self, ctx: Any) -> dict[str, Any]:
        """The plugins' commands by name; their ``Context.obj`` is the :class:`config.Settings`."""
        ctx.obj = settings = _settings(ctx)
        tree = typer.Typer(callback=lambda: None)
        for plugin in plugin_classes(settings):
            commands = getattr(plugin, "command_line", lambda: None)()
            if commands is not None:
                tree.add_typer(commands)
        return dict(typer.main.get_group(tree).commands)


app = typer.Typer(
    cls=FrontDesk,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def front(context: typer.Context, config: ConfigOption = None, demo: DemoOption = False) -> None:
    """A cinema's box office in one process: an MQTT broker that knows the cinema's rules.

    Without a command it serves.
    """
    if context.invoked_subcommand is None:
        _serve(_settings(context), demo=demo, command=_command(context))


@app.command()
def serve(context: typer.Context, config: ConfigOption = None, demo: DemoOption = False) -> None:
    """Open the doors and serve until Ctrl-C or SIGTERM."""
    _serve(_settings(context), demo=_asked(context, "demo"), command=_command(context))


@app.command("import")
def import_file(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Rooms, showings and users, as JSON.")],
    config: ConfigOption = None,
) -> None:
    """Add a cinema from a JSON file, or update it; nothing is removed, and a wrong file changes nothing."""
    settings = _settings(context)
    imported = imports.import_file(file, settings, plugin_classes(settings), now=time.time())
    _say(f"{file}: {imported}.")
    for notice in imported.notices:
        _say(f"{file}: {notice}")


@app.command()
def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that is not there yet.")],
    config: ConfigOption = None,
    demo: DemoOption = False,
) -> None:
    """Make a backup of the database, which the box may be serving; checked before it gets its name."""
    database = _settings(context).database.path
    size = take_backup(database, file)
    _say(f"{file}: a sound backup of {database}, {megabytes(size)}.")


@app.command()
def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup that the box or “backup” made.")],
    config: ConfigOption = None,
    demo: DemoOption = False,
) -> None:
    """Put a backup in the database's place, which is kept beside it; everybody signs in anew. Stop the box before."""
    settings = _settings(context)
    restored = restore_backup(file, settings.database.path, plugin_classes(settings), now=time.time())
    moment = f" of {in_words(restored.made_at)}" if restored.made_at is not None else ""
    contents = ", ".join(f"{name}: {number}" for name, number in restored.contents.items())
    _say(f"{settings.database.path} is now the backup{moment} {file}{f' ({contents})' if contents else ''}.")
    if restored.aside is not None:
        _say(f"What was there before is kept as {restored.aside}.")
    _say("All tokens are void: everybody signs in anew.")


@app.command()
def audit(
    context: typer.Context,
    user: Annotated[
        str | None, typer.Option(metavar="NAME", help="What a user did, or was done for or to them; a name or id.")
    ] = None,
    about: Annotated[
        str | None,
        typer.Option("--about", "--booking", metavar="WHAT", help="A booking's number; or the id of anything."),
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="2030-01-01, or 2030-01-01T20:00.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="As --since; a day to its end.")] = None,
    last: Annotated[int, typer.Option(min=1, max=1_000_000, help="At most so many, the latest.")] = 50,
    config: ConfigOption = None,
    demo: DemoOption = False,
) -> None:
    """Show who did what, for whom, from where, and what came of it; the latest last."""
    settings = _settings(context)
    zone = ZoneInfo(settings.cinema.timezone)
    question = trail.Question(
        last, user, about, _moment("--since", since, zone), _moment("--until", until, zone, end_of_day=True)
    )
    rows = trail.read(settings.database.path, plugin_classes(settings), zone, question)
    tables.show(trail.COLUMNS, rows, give_way=trail.GIVE_WAY)


def _moment(option: str, text: str | None, zone: ZoneInfo, *, end_of_day: bool = False) -> float | None:
    try:
        return None if text is None else moment(text, zone, end_of_day=end_of_day)
    except ValueError:
        raise typer.BadParameter(f"{option} must be a day, such as 2030-01-01, or a time in ISO 8601.") from None


@app.command()
def check(context: typer.Context, config: ConfigOption = None) -> None:
    """Look at the settings and the database, and say what to do; status 1 if the box could not serve."""
    try:
        settings = _settings(context)
        plugins = plugin_classes(settings)
    except (SettingsError, StartError) as error:
        for line in str(error).splitlines():
            _say(str(Finding("settings", line, prevents=True)))
        raise typer.Exit(1) from None
    findings = list(examine(settings, plugins, now=time.time(), command=_command(context)))
    for finding in findings:
        _say(str(finding))
    if any(finding.prevents for finding in findings):
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; every failure becomes its sentence and its status here."""
    try:
        app()
    except (SettingsError, DemoRefusedError) as error:
        _fail(error, status=2)
    except (
        StartError,
        DatabaseError,
        HeldError,
        BackupError,
        RestoreError,
        ImportFileError,
        UnknownNameError,
    ) as error:
        _fail(error, status=1)
    except OSError as error:
        _fail(f"{error.filename or 'The box'}: {error.strerror or error}", status=1)
    except Exception as error:
        _fail(f"The box could not go on, by a fault of its own: {type(error).__name__}: {error}", status=1)


# The settings that were asked for


def _asked(context: typer.Context, name: str) -> Any:
    """An option's value, given after the command or before it."""
    root = context.find_root()
    return context.params.get(name) or root.params.get(name)


def _settings(context: typer.Context) -> Settings:
    config, demo = _asked(context, "config"), _asked(context, "demo")
    settings = load_settings(config)
    if demo and not demo_cinema.database_is_chosen(config):
        settings = load_settings(config, database={"path": demo_cinema.DATABASE})
    return settings


def _command(context: typer.Context) -> str:
    """How this program was called, for commands that are told to be typed; with the settings that were named."""
    program = Path(sys.argv[0])
    words = ["python", str(program)] if program.suffix == ".py" else [program.name]
    if config := _asked(context, "config"):
        words += ["--config", str(config)]
    if _asked(context, "demo"):
        words.append("--demo")
    return shlex.join(words)


# Serving


def _serve(settings: Settings, *, demo: bool, command: str) -> None:
    logging.basicConfig(level=logging.INFO, handlers=[_log_handler()], force=True)
    for beneath in ("amqtt", "transitions"):  # what they tell below an error, the doors tell better
        logging.getLogger(beneath).setLevel(logging.ERROR)
    demo_cinema.refuse_beyond_loopback(settings, demo=demo)
    if demo:
        with FileLock(settings.database.path):  # the box that serves it has looked already
            WayBack.of(settings, command).require_sound(time.time(), may_begin_anew=True)
            demo_cinema.prepare(settings, plugin_classes(settings), now=time.time())
    asyncio.run(_serve_until_told(settings, demo=demo, command=command))


async def _serve_until_told(settings: Settings, *, demo: bool, command: str) -> None:
    loop = asyncio.get_running_loop()
    told = asyncio.Event()

    def tell() -> None:
        told.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)  # a second Ctrl-C does not wait, and loses no more than a power cut

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, tell)

    host = Host(settings, command=command)
    starting = asyncio.ensure_future(host.start())
    stopping = asyncio.ensure_future(told.wait())
    collecting = asyncio.ensure_future(collector.collect_in_quiet(lambda: host.is_quiet))
    was_open = False
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            return
        starting.result()
        collector.settle()
        _welcome(settings, host, demo=demo, command=command, empty=await host.database.read(_has_no_rooms))
        was_open = True
        await told.wait()
    finally:
        stopping.cancel()
        collecting.cancel()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(host.stop(), STOP_SECONDS)
            if was_open:
                _say(f"{settings.cinema.name} is closed.")


def _has_no_rooms(db: sqlite_utils.Database) -> bool:
    return db.table("rooms").exists() and db.table("rooms").count == 0


def _welcome(settings: Settings, host: Host, *, demo: bool, command: str, empty: bool) -> None:
    """Say where to connect and, in the demo, as whom: in a panel, or plainly where nobody reads at a terminal."""
    web, tcp, metrics = settings.listeners.web, settings.listeners.tcp, settings.listeners.metrics
    lines: list[tuple[str, str]] = []
    has_pages = any(issubclass(plugin, PagesPlugin) for plugin in plugin_classes(settings))
    for place in _places(web.bind.host, host.web_addresses):
        secure = "s" if web.certfile else ""
        addresses = PAGES if has_pages else {"HTTP": "/"}
        lines += [(label, f"http{secure}://{place}{path}") for label, path in addresses.items()]
        lines.append(("MQTT for browsers", f"ws{secure}://{place}/mqtt"))
    for place in _places(tcp.bind.host if tcp.bind else "", host.tcp_addresses):
        lines.append(("MQTT for devices", f"mqtt{'s' if tcp.certfile else ''}://{place}"))
    for place in _places(metrics.bind.host if metrics.bind else "", host.metrics_addresses):
        lines.append(("Metrics", f"http://{place}/metrics"))
    lines.append(("Database", str(settings.database.path.absolute())))
    if demo:
        lines += [
            (role.capitalize(), f"{username}, password {demo_cinema.password_of(username)}")
            for username, role in demo_cinema.USERS.items()
        ]
    console = Console(highlight=False)
    text = Text("\n".join(f"{label:<18} {value}" for label, value in lines))
    if empty:
        text.append(f"\nNo rooms yet: {command} import FILE brings a cinema.")
    if not console.is_terminal:
        _say(f"{settings.cinema.name} is open.\n{text}\nCtrl-C closes.")
        return
    title = Text(_plain(settings.cinema.name))
    console.print(Panel(text, title=title, subtitle="Ctrl-C closes", expand=False, padding=(1, 2)))


def _places(configured: str, addresses: list[tuple[str, int]]) -> list[str]:
    """The addresses as one types them; both loopbacks with one port are ``localhost``."""
    if configured == "localhost" and len({port for _, port in addresses}) == 1:
        return [f"localhost:{addresses[0][1]}"]
    return [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in addresses]


# Saying things safely


class _PlainFormatter(logging.Formatter):
    """One message, one line: what clients typed cannot end a line or talk to the terminal. A traceback has its lines,
    all of them set in, so that none reads as a message of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's own name
        record.message = _plain(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802  # logging's own name
        return _set_in(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802  # logging's own name
        return _set_in(stack_info)


def _set_in(lines: str) -> str:
    return "\n".join(f"    {_plain(line)}" for line in lines.split("\n"))


def _log_handler() -> logging.Handler:
    handler = logging.StreamHandler()
    handler.setFormatter(_PlainFormatter("%(asctime)s %(levelname)-7s %(message)s"))
    return handler


codecs.lookup("unicode_escape")  # to find it opens a file, and the log is needed most where none can be opened


def _plain(text: str, *, keep: str = "") -> str:
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def _say(text: str, *, to_stderr: bool = False) -> None:
    print(_plain(text, keep="\n"), file=sys.stderr if to_stderr else sys.stdout, flush=True)


def _fail(problem: object, *, status: int) -> None:
    _say(str(problem), to_stderr=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
