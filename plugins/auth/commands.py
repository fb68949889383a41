"""``run_broker.py user``: the owner's way to users, beside the running box.

Each command opens the database file itself; the box sees that it was written to and ends what must end.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, NoReturn

import sqlite_utils
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from broker.database import DatabaseError, connect, describe, migrate
from config import Settings
from plugins.auth import users
from plugins.auth.passwords import hash_password
from plugins.auth.wire import AccountBody, AccountRole, PasswordBody, iso

user = typer.Typer(name="user", no_args_is_help=True, help="Add, list and disable users.")

Username = Annotated[str, typer.Argument(metavar="NAME", help="3 to 32 of a-z, 0-9, dot, dash, underscore.")]
Account = Annotated[str, typer.Argument(metavar="NAME", help="The username; a visitor's is the user id.")]
FromStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input, one line.")]


@user.command()
def add(
    context: typer.Context,
    name: Username,
    role: Annotated[AccountRole, typer.Option(help="What the user may do.")],
    email: Annotated[str | None, typer.Option(help="Where mail for the user goes.")] = None,
    full_name: Annotated[str | None, typer.Option("--name", help="What the user is called.")] = None,
    password_stdin: FromStdin = False,
) -> None:
    """Add an account."""
    try:
        body = AccountBody(
            username=name, password=_ask_password(password_stdin), role=role, email=email, name=full_name
        )
    except ValidationError as error:
        _fail_validation(error)
    password_hash = hash_password(body.password)
    with _transaction(context) as db:
        users.add_account(
            db,
            username=body.username,
            password_hash=password_hash,
            role=body.role,
            email=body.email,
            name=body.name,
            now=time.time(),
        )


@user.command("list")
def list_users(context: typer.Context) -> None:
    """Show all users, the oldest first."""
    with _transaction(context) as db:
        everybody = users.everybody(db)
    table = Table("username", "role", "name", "e-mail", "active", "since", "user id")
    for each in everybody:
        cells = (
            each.username or "",
            each.role,
            each.name or "",
            each.email or "",
            "yes" if each.is_active else "no",
            iso(each.created_at),
            each.user_id,
        )
        table.add_row(*(Text(_printable(cell)) for cell in cells))
    Console().print(table)


@user.command()
def password(context: typer.Context, name: Account, password_stdin: FromStdin = False) -> None:
    """Set a user's password; connections and tokens of the old one end."""
    try:
        body = PasswordBody(password=_ask_password(password_stdin))
    except ValidationError as error:
        _fail_validation(error)
    password_hash = hash_password(body.password)
    with _transaction(context) as db:
        users.change(db, _find(db, name).user_id, {"password_hash": password_hash})


@user.command()
def disable(context: typer.Context, name: Account) -> None:
    """Let a user in no longer; connections, tokens and holds end, bookings stay."""
    with _transaction(context) as db:
        users.change(db, _find(db, name).user_id, {"is_active": False})


@contextmanager
def _transaction(context: typer.Context) -> Iterator[sqlite_utils.Database]:
    """The database in one transaction; whatever fails in it becomes one sentence, and exit status 1."""
    settings = context.find_object(Settings)
    assert settings is not None, "the command line gives the settings"
    path = settings.database.path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        db = connect(path)
        try:
            migrate(db, [users.MIGRATIONS])
            db.conn.execute("BEGIN IMMEDIATE")
            yield db
            db.conn.execute("COMMIT")
        finally:
            db.conn.close()
    except users.UsernameTakenError:
        _fail("This username is taken.")
    except users.UnknownUserError:
        _fail("There is no such user; “user list” shows all.")
    except users.LastManagerError:
        _fail("This is the last active manager, and one must stay.")
    except users.NoAccountError:
        _fail("A visitor has no password.")
    except DatabaseError as error:
        _fail(f"{path}: {error}")
    except (sqlite3.Error, OSError) as error:
        _fail(f"{path}: {describe(error)}")


def _find(db: sqlite_utils.Database, name: str) -> users.User:
    found = users.by_username(db, name) or users.by_id(db, name)
    if found is None:
        raise users.UnknownUserError
    return found


def _ask_password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


def _printable(text: str) -> str:
    # The box lets no control characters in, but another program may have; a terminal would obey them.
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _fail_validation(error: ValidationError) -> NoReturn:
    first = error.errors(include_input=False, include_url=False)[0]
    _fail(f"{first['loc'][0]}: {first['msg'].removeprefix('Value error, ')}")


def _fail(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(1)
