"""Every message of the cinema, in both directions: one model each.

What comes in is validated here and nowhere else. Unknown fields are ignored; a refusal names the field and what is
allowed there, never what was sent. What goes out leaves fields out that are None. Times are ISO 8601 in UTC, ending
in ``Z``; money is a decimal in a string outside and an integer of cents inside.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    ValidationError,
    model_validator,
)
from pydantic_core import from_json

from broker.plugin import Refusal
from plugins.text import UNPRINTABLE

SeatState = Literal["available", "reserved", "booked"]
BookingStatus = Literal["confirmed", "failed", "cancelled"]
ShowingStatus = Literal["scheduled", "cancelled"]
HoldStatus = Literal["held", "rejected", "released", "expired"]
Payment = Literal["cash", "card", "other"]

UUID_PATTERN = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
LARGEST_NUMBER = 10**15
END_OF_TIME = 253_370_764_800
"""The beginning of 9999, the last year that ISO 8601 can write, in seconds since 1970. Showings are over by then, so
that their times can be written by every clock of the world."""
NAMED_SEATS = 100
"""More seats than this are not named again in a refusal: it would be as large as the request."""

_uuid = re.compile(UUID_PATTERN)


def is_id(text: object) -> bool:
    """Whether this is an identifier: a lower-case UUID with hyphens."""
    return isinstance(text, str) and _uuid.fullmatch(text) is not None


@lru_cache(maxsize=64)  # a booking is told with one moment in each of its messages
def iso(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC, ending in ``Z``, with milliseconds: the form of ``timestamp``."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_seconds(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC, ending in ``Z``, in whole seconds: the form of a showing's times."""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")


def seconds_of(text: str) -> int:
    """ISO 8601 with an offset in whole seconds since 1970. Raises ValueError, also where the offset is missing."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("without an offset")
    return int(moment.timestamp())


def is_in_time(seconds: int) -> bool:
    """Whether a showing can start or end then: in the years from 1970 to 9998."""
    return 0 <= seconds < END_OF_TIME


def money(cents: int) -> str:
    """Cents as a decimal: 950 is ``9.50``."""
    return f"{cents // 100}.{cents % 100:02d}"


def cents_of(text: str) -> int:
    """A decimal with at most two places, as validated by :data:`Money`, in cents: ``9.5`` is 950."""
    units, _, places = text.partition(".")
    return int(units) * 100 + int(places.ljust(2, "0"))


def _all_different(ids: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(ids)) != len(ids):
        raise ValueError("repeated")
    return ids


def _a_time(text: str) -> str:
    try:
        seconds = seconds_of(text)
    except (OverflowError, OSError) as error:
        raise ValueError("out of range") from error
    if not is_in_time(seconds):
        raise ValueError("out of range")
    return text


_A_TIME = "a time in ISO 8601 with its offset, such as 2030-01-01T20:00:00Z, in a year from 1970 to 9998"

# The description of a field is what a refusal says is allowed there.
Id = Annotated[str, Field(pattern=f"^{UUID_PATTERN}$", description="a lower-case UUID with hyphens")]
SeatIds = Annotated[
    tuple[Annotated[str, Field(pattern=f"^{UUID_PATTERN}$")], ...],
    Field(min_length=1, description="a list of one or more different lower-case UUIDs with hyphens"),
    AfterValidator(_all_different),
]
# The client's own clock, in whatever form: it tells one request from the next and is compared with nothing.
Timestamp = Annotated[
    Annotated[str, Field(max_length=64, pattern=f"^[^{UNPRINTABLE}]*$")]
    | Annotated[StrictInt, Field(ge=-LARGEST_NUMBER, le=LARGEST_NUMBER)]
    | Annotated[StrictFloat, Field(allow_inf_nan=False)],
    Field(description="text of at most 64 characters or a number"),
]
Email = Annotated[
    str,
    Field(
        max_length=254,
        pattern=rf'^[^{UNPRINTABLE}\s@<>(),;:"\\\[\]]+@[^{UNPRINTABLE}\s@<>(),;:"\\\[\]]+$',
        description="an e-mail address of at most 254 characters",
    ),
]
Title = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        pattern=rf"^[^{UNPRINTABLE}]*[^{UNPRINTABLE}\s][^{UNPRINTABLE}]*$",
        description="text of 1 to 200 characters without control characters and invisible ones",
    ),
]
RoomName = Annotated[
    str,
    Field(min_length=1, max_length=200, description="the name of a room", pattern=f"^[^{UNPRINTABLE}]+$"),
]
SeatType = Annotated[str, Field(min_length=1, max_length=50, pattern=f"^[^{UNPRINTABLE}]+$")]
Time = Annotated[
    str,
    Field(max_length=40, description=_A_TIME),
    AfterValidator(_a_time),
]
Money = Annotated[
    str, Field(pattern=r"^[0-9]{1,6}(\.[0-9]{1,2})?$", description='a decimal in a string, such as "9.50"')
]
Prices = Annotated[
    dict[SeatType, Annotated[str, Field(pattern=r"^[0-9]{1,6}(\.[0-9]{1,2})?$")]],
    Field(max_length=50, description='an object of prices by seat type, such as {"premium": "12.00"}'),
]


class Inbound(BaseModel):
    """What a client sends."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class BookingRequest(Inbound):
    """``booking/request`` and ``POST /api/bookings``."""

    showing_id: Id
    seat_ids: SeatIds
    timestamp: Timestamp
    user_id: Id | None = Field(None, description="a lower-case UUID with hyphens")
    booking_id: Id | None = Field(None, description="a lower-case UUID with hyphens")
    email: Email | None = Field(None, description="an e-mail address of at most 254 characters")


class HoldRequest(Inbound):
    """``seats/hold`` and ``POST /api/holds``."""

    showing_id: Id
    seat_ids: SeatIds
    timestamp: Timestamp
    user_id: Id | None = Field(None, description="a lower-case UUID with hyphens")
    booking_id: Id | None = Field(None, description="a lower-case UUID with hyphens")


class ReleaseRequest(HoldRequest):
    """``seats/release`` and ``POST /api/holds/release``."""


class CancelRequest(Inbound):
    """``booking/cancel``."""

    booking_id: Id
    timestamp: Timestamp
    user_id: Id | None = Field(None, description="a lower-case UUID with hyphens")


class ShowingFields(Inbound):
    """What a manager sets of a showing; what is left out stays, or has its default."""

    showing_id: Id
    title: Title | None = Field(
        None, description="text of 1 to 200 characters without control characters and invisible ones"
    )
    starts_at: Time | None = Field(None, description=_A_TIME)
    ends_at: Time | None = Field(None, description=_A_TIME)
    minutes: StrictInt | None = Field(None, ge=1, le=1440, description="a whole number from 1 to 1440")
    room_id: Id | None = Field(None, description="a lower-case UUID with hyphens")
    room: RoomName | None = Field(None, description="the name of a room")
    price: Money | None = Field(None, description='a decimal in a string, such as "9.50"')
    prices: Prices | None = Field(None, description='an object of prices by seat type, such as {"premium": "12.00"}')

    @model_validator(mode="after")
    def _says_it_once(self) -> ShowingFields:
        if self.ends_at is not None and self.minutes is not None:
            raise ValueError("ends_at and minutes say the same: send one of them")
        if self.room_id is not None and self.room is not None:
            raise ValueError("room_id and room say the same: send one of them")
        return self


class ShowingRequest(Inbound):
    """``showing/request`` and ``POST /api/showings``."""

    action: Literal["create", "update", "cancel"] = Field(description="create, update or cancel")
    showing: ShowingFields = Field(description="an object with the showing's fields")

    @model_validator(mode="after")
    def _is_whole(self) -> ShowingRequest:
        if self.action == "create":
            asked = self.showing
            for name in ("title", "starts_at", "price"):
                if getattr(asked, name) is None:
                    raise ValueError(f"showing.{name} is missing: a new showing needs it")
            if asked.room_id is None and asked.room is None:
                raise ValueError("showing.room is missing: a new showing needs room or room_id")
        return self


class PaidRequest(Inbound):
    """``PATCH /api/bookings/{booking_id}``."""

    paid: Payment | None = Field(description='"cash", "card", "other" or null')


class Outbound(BaseModel):
    """What the box sends."""

    model_config = ConfigDict(frozen=True)

    def encode(self) -> bytes:
        """UTF-8 JSON without the fields that are None."""
        return self.__pydantic_serializer__.to_json(self, exclude_none=True)


class SeatStatus(Outbound):
    """``seats/status/{showing_id}``, live."""

    showing_id: str
    seat_id: str
    status: SeatState
    version: int
    timestamp: str


class PresentSeat(SeatStatus):
    """``seats/status/{showing_id}`` with RETAIN: the seat and where it is."""

    row: str
    number: int
    type: str
    x: int
    y: int


class BookingConfirm(Outbound):
    """``booking/confirm/{booking_id}``: a booking's outcome."""

    booking_id: str
    status: BookingStatus
    message: str
    timestamp: str
    number: str | None = None
    total: str | None = None
    currency: str | None = None
    showing_id: str | None = None
    seat_ids: Sequence[str] | None = None
    key: str | None = None
    code: str | None = None


class ShowingUpdate(Outbound):
    """``showing/update/{showing_id}``. ``seats_available`` counts the seats neither held nor sold."""

    showing_id: str
    title: str
    starts_at: str
    ends_at: str
    room_id: str
    room: str
    price: str
    prices: dict[str, str] | None = None
    currency: str
    status: ShowingStatus
    seats_total: int
    seats_available: int
    version: int
    timestamp: str


class HoldNotice(Outbound):
    """``users/{user_id}/holds``. ``expires_at`` is the earliest of its seats'."""

    showing_id: str
    seat_ids: Sequence[str]
    status: HoldStatus
    message: str
    timestamp: str
    booking_id: str | None = None
    expires_at: str | None = None
    code: str | None = None


class ErrorNotice(Outbound):
    """``users/{user_id}/errors``: a refusal that changed nothing, with the validated ids of the request."""

    topic: str
    code: str
    message: str
    timestamp: str
    booking_id: str | None = None
    showing_id: str | None = None
    user_id: str | None = None
    seat_ids: Sequence[str] | None = None


class PlanSeat(Outbound):
    """One seat of ``GET /api/showings/{showing_id}/seats``."""

    seat_id: str
    status: SeatState
    row: str
    number: int
    type: str
    x: int
    y: int


class SeatPlan(Outbound):
    """``GET /api/showings/{showing_id}/seats``: all seats in room order."""

    showing_id: str
    version: int
    seats: list[PlanSeat]


class RoomAnswer(Outbound):
    """One of ``GET /api/rooms``."""

    room_id: str
    name: str
    seats_total: int
    types: Sequence[str]


class BookedShowing(Outbound):
    """The showing of a booking, as it stands now."""

    showing_id: str
    title: str
    starts_at: str
    ends_at: str
    room: str
    status: ShowingStatus


class BookedSeat(Outbound):
    """A seat of a booking with the price that it was sold at."""

    seat_id: str
    row: str
    number: int
    type: str
    price: str


class Ticket(BookingConfirm):
    """``GET /api/bookings/{booking_id}/ticket``: what whoever has a booking's key may know of it."""

    paid: Payment | None = None
    showing: BookedShowing
    seats: list[BookedSeat]


class BookingDetails(Ticket):
    """One of ``GET /api/bookings``: a ticket with whose it is."""

    user_id: str
    name: str | None = None
    email: str | None = None


class BookingTerms(Outbound):
    """What holds for every booking here: the settings of the same names."""

    hold_seconds: int
    max_seats: int
    cancel_until_minutes: int
    sales_close_minutes: int


class Cinema(Outbound):
    """``GET /api/cinema``."""

    name: str
    timezone: str
    currency: str
    languages: list[str]
    booking: BookingTerms
    allow_guests: bool
    allow_registration: bool
    public_url: str | None = None
    """Where visitors' own devices reach the box, for addresses that one device shows to another."""


M = TypeVar("M", bound=BaseModel)


def parse(model: type[M], payload: bytes) -> M:
    """Read what a client sent.

    Raises Refusal ``invalid_json`` or ``invalid_request``; its message names the first wrong field and what is allowed
    there; its details are those ids of the request that are well-formed, so that the client knows which one it was.
    """
    try:
        document = from_json(payload, allow_inf_nan=False)  # pydantic's own reading would take NaN, which is not JSON
    except ValueError:
        raise Refusal("invalid_json", "The payload must be a JSON object in UTF-8.") from None
    try:
        return model.model_validate(document)
    except ValidationError as error:
        finding = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise Refusal("invalid_request", _sentence(model, finding), details=_ids(model, document)) from None


def _sentence(model: type[BaseModel], finding: Any) -> str:
    path = [part for part in finding["loc"] if isinstance(part, str) and part != "__root__"]
    name, allowed = _allowed(model, path)
    if not name:
        if finding["type"] == "value_error":  # a sentence of our own, from a model's validator
            return str(finding["msg"]).removeprefix("Value error, ") + "."
        return "The payload must be a JSON object with the fields of this topic."
    if finding["type"] == "value_error" and name == "showing":
        return str(finding["msg"]).removeprefix("Value error, ") + "."
    if finding["type"] == "missing":
        return f"{name} is missing: it must be {allowed}."
    return f"{name} must be {allowed}."


def _allowed(model: type[BaseModel], path: list[str]) -> tuple[str, str]:
    """The dotted name of the deepest field of ours on the path, without keys of the client's, and its description."""
    names: list[str] = []
    allowed = ""
    inner: Any = model
    for part in path:
        field = inner.model_fields.get(part) if isinstance(inner, type) and issubclass(inner, BaseModel) else None
        if field is None:
            break
        names.append(part)
        allowed = field.description or "valid"
        inner = field.annotation
    return ".".join(names), allowed


def ids_in(model: type[BaseModel], payload: bytes) -> dict[str, Any]:
    """The well-formed ids of a request that was refused, by which its sender knows which one it was."""
    try:
        return _ids(model, from_json(payload))
    except ValueError:
        return {}


def _ids(model: type[BaseModel], document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        return {}
    if model is ShowingRequest:
        return _ids(ShowingFields, document.get("showing"))
    names = ("booking_id", "showing_id", "user_id")
    ids = {name: document[name] for name in names if name in model.model_fields and is_id(document.get(name))}
    seat_ids = document.get("seat_ids")
    if (
        "seat_ids" in model.model_fields
        and isinstance(seat_ids, list)
        and 0 < len(seat_ids) <= NAMED_SEATS
        and all(is_id(seat_id) for seat_id in seat_ids)
        and len(set(seat_ids)) == len(seat_ids)
    ):
        ids["seat_ids"] = seat_ids
    return ids
