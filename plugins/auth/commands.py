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

from broker import audit
from broker.storage.damage import make_place
from broker.storage.database import DatabaseError, connect, migrate
from broker.storage.outage import describe
from config import Settings
from plugins import tables
from plugins.auth import users
from plugins.auth.passwords import hash_password
from plugins.auth.wire import AccountBody, AccountRole, PasswordBody, iso

user = typer.Typer(name="user", no_args_is_help=True, help="Add, list, disable and enable users, and set passwords.")

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
    # All that can be refused is, before anybody thinks of a password.
    _account(name, _ANY_PASSWORD, role, email, full_name)
    with _transaction(context) as db:
        if users.by_username(db, name) is not None:
            raise users.UsernameTakenError
    body = _account(name, _ask_password(password_stdin), role, email, full_name)
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
    _say(f"{body.username} was added ({body.role}).")


@user.command("list")
def list_users(context: typer.Context) -> None:
    """Show all users, the oldest first."""
    with _transaction(context) as db:
        everybody = users.everybody(db)
    rows = [
        (
            each.username or "",
            each.role,
            each.name or "",
            each.email or "",
            "yes" if each.is_active else "no",
            iso(each.created_at),
            each.user_id,
        )
        for each in everybody
    ]
    tables.show(COLUMNS, rows, give_way=GIVE_WAY, whole=("user id",))


COLUMNS = ("username", "role", "name", "e-mail", "active", "since", "user id")
GIVE_WAY = ("since", "e-mail", "name", "active")
"""The columns that a narrow terminal goes without, the first of them first."""


@user.command()
def password(context: typer.Context, name: Account, password_stdin: FromStdin = False) -> None:
    """Set a user's password; connections and tokens of the old one end."""
    with _transaction(context) as db:
        if _find(db, name).role == "visitor":
            raise users.NoAccountError
    try:
        body = PasswordBody(password=_ask_password(password_stdin))
    except ValidationError as error:
        _fail_validation(error)
    password_hash = hash_password(body.password)
    with _transaction(context) as db:
        users.change(db, _find(db, name).user_id, {"password_hash": password_hash}, now=time.time())
    _say(f"{name} has a new password.")


@user.command()
def disable(context: typer.Context, name: Account) -> None:
    """Let a user in no longer; connections, tokens and holds end, bookings stay."""
    _say(f"{name} is disabled." if _set_active(context, name, False) else f"{name} was disabled already.")


@user.command()
def enable(context: typer.Context, name: Account) -> None:
    """Let a disabled user in again."""
    _say(f"{name} is enabled." if _set_active(context, name, True) else f"{name} was enabled already.")


def _set_active(context: typer.Context, name: str, active: bool) -> bool:
    """Whether that changed anything."""
    with _transaction(context) as db:
        found = _find(db, name)
        users.change(db, found.user_id, {"is_active": active}, now=time.time())
    return found.is_active != active


@contextmanager
def _transaction(context: typer.Context) -> Iterator[sqlite_utils.Database]:
    """The database in one transaction; whatever fails in it becomes one sentence, and exit status 1."""
    settings = context.find_object(Settings)
    assert settings is not None, "the command line gives the settings"
    path = settings.database.path
    try:
        make_place(path)
        db = connect(path)
        try:
            migrate(db, [audit.MIGRATIONS, users.MIGRATIONS])
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
    if not sys.stdin.isatty():
        _fail("There is no terminal to ask for the password at; give it with --password-stdin.")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


_ANY_PASSWORD = "to be typed in"  # noqa: S105  # nobody gets it


def _account(name: str, password: str, role: AccountRole, email: str | None, full_name: str | None) -> AccountBody:
    try:
        return AccountBody(username=name, password=password, role=role, email=email, name=full_name)
    except ValidationError as error:
        _fail_validation(error)


def _fail_validation(error: ValidationError) -> NoReturn:
    first = error.errors(include_input=False, include_url=False)[0]
    if first["loc"][0] == "username":
        _fail("username: must be 3 to 32 of a-z, 0-9, dot, dash and underscore")
    _fail(f"{first['loc'][0]}: {first['msg'].removeprefix('Value error, ')}")


def _say(sentence: str) -> None:
    typer.echo(tables.printable(sentence))


def _fail(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(1)
