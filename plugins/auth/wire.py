"""What comes and goes by HTTP about users: one model per body and answer."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from plugins.auth.users import User
from plugins.text import is_printable

PASSWORD_BYTES = (10, 1024)
MAX_EMAIL = 254
MAX_NAME = 200

_EMAIL = re.compile(r"[^\s@<>()\[\],;:\\\"]+@[^\s@<>()\[\],;:\\\".]+(\.[^\s@<>()\[\],;:\\\".]+)+")


def _printable(text: str) -> str:
    if not is_printable(text):
        raise ValueError("must not contain control characters, line breaks or invisible characters")
    return text


def _password_length(password: str) -> str:
    low, high = PASSWORD_BYTES
    if not low <= len(password.encode()) <= high:
        raise ValueError(f"must be {low} to {high} bytes long")
    return password


def _plausible_email(email: str) -> str:
    if len(email) > MAX_EMAIL or _EMAIL.fullmatch(email) is None:
        raise ValueError(f"must be an e-mail address of at most {MAX_EMAIL} characters")
    return email


def _name_length(name: str) -> str:
    if not 1 <= len(name) <= MAX_NAME:
        raise ValueError(f"must be 1 to {MAX_NAME} characters long")
    return name


Trimmed = StringConstraints(strip_whitespace=True)
Username = Annotated[str, StringConstraints(pattern=r"^[a-z0-9._-]{3,32}$")]
Password = Annotated[str, AfterValidator(_printable), AfterValidator(_password_length)]
Email = Annotated[str, Trimmed, AfterValidator(_printable), AfterValidator(_plausible_email)]
Name = Annotated[str, Trimmed, AfterValidator(_printable), AfterValidator(_name_length)]
AccountRole = Literal["customer", "kiosk", "manager"]


class Body(BaseModel):
    """A request's body. Types are not coerced, and its errors never repeat what was sent."""

    model_config = ConfigDict(strict=True, frozen=True, hide_input_in_errors=True, extra="ignore")


class VisitorBody(Body):
    """``POST /api/session`` of a visitor."""

    name: Name
    email: Email


class RegistrationBody(Body):
    """``POST /api/users`` of anybody. Further fields are kept, because they are refused and not ignored."""

    model_config = ConfigDict(extra="allow")

    username: Username
    password: Password
    email: Email | None = None
    name: Name | None = None


class AccountBody(RegistrationBody):
    """``POST /api/users`` of a manager."""

    role: AccountRole = "customer"


class OwnChangeBody(Body):
    """``PATCH /api/me``; null clears. ``old_password`` is what was typed, of any length."""

    name: Name | None = None
    email: Email | None = None
    password: Password | None = None
    old_password: str | None = Field(default=None, max_length=PASSWORD_BYTES[1])


class UserChangeBody(Body):
    """``PATCH /api/users/{user_id}`` of a manager; null is as if left out."""

    role: AccountRole | None = None
    password: Password | None = None
    is_active: bool | None = None
    cancel_bookings: bool = False


class PasswordBody(Body):
    """A new password by itself, as the command line takes it."""

    password: Password


class UserAnswer(BaseModel):
    """A user as told to whom it may concern. A visitor has no ``username``."""

    user_id: str
    username: str | None
    role: str
    name: str | None
    email: str | None

    @classmethod
    def of(cls, user: User) -> UserAnswer:
        return cls(user_id=user.user_id, username=user.username, role=user.role, name=user.name, email=user.email)


class ListedUserAnswer(UserAnswer):
    """A user as told to a manager."""

    is_active: bool
    created_at: str

    @classmethod
    def of(cls, user: User) -> ListedUserAnswer:
        return cls(
            **UserAnswer.of(user).model_dump(),
            is_active=user.is_active,
            created_at=iso(user.created_at),
        )


class SessionAnswer(BaseModel):
    """A new token, its end, and whose it is."""

    token: str
    expires_at: str
    user: UserAnswer


def iso(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC, ending in ``Z``."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
