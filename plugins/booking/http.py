"""The cinema over HTTP, for when MQTT is not to be had: the same requests, the same answers.

Every call asks the policy for the topic that it stands for, so that what a role may do is said in one place.
"""

from __future__ import annotations

import contextlib
import hmac
import re
import secrets
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from aiohttp import web
from pydantic import BaseModel

from broker.doors.bodies import answer, answer_json, is_known, read_json_bytes
from broker.moments import moment
from broker.plugin import CALLER, Action, Identity, Refusal
from plugins.booking.cinema import BookingRecord, Notice, Outcome, Sender
from plugins.booking.ledger import unknown_booking
from plugins.booking.present import (
    BOOKINGS_TOPIC,
    SEATS_TOPIC,
    SHOWINGS_TOPIC,
    LiveShowing,
    confirmation,
    hold_notice,
    inbox,
    showing_update,
)
from plugins.booking.service import Service
from plugins.booking.wire import (
    BookedSeat,
    BookedShowing,
    BookingDetails,
    BookingRequest,
    BookingTerms,
    Cinema,
    HoldRequest,
    Outbound,
    PaidRequest,
    ReleaseRequest,
    RoomAnswer,
    ShowingRequest,
    Ticket,
    is_id,
    iso_seconds,
    money,
    parse,
)
from plugins.text import is_printable

M = TypeVar("M", bound=BaseModel)

KEY_SCHEME = "key "
LONGEST_FILTER = 200
UP_TO_A_HUNDRED = re.compile(r"[1-9][0-9]?|100")


class BookingHttp:
    """The handlers; ``routes`` lists them."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._box = service.box
        # Versions of a file that was put in this one's place are others than those that a browser has kept.
        self._since = secrets.token_hex(8)

    def routes(self) -> Sequence[web.RouteDef]:
        return (
            web.get("/api/cinema", self.cinema),
            web.get("/api/showings", self.showings),
            web.get("/api/rooms", self.rooms),
            web.post("/api/showings", self.change_showing),
            web.get("/api/showings/{showing_id}/seats", self.seats),
            web.post("/api/bookings", self.book),
            web.get("/api/bookings", self.bookings),
            web.get("/api/bookings/{booking_id}", self.booking),
            web.get("/api/bookings/{booking_id}/ticket", self.ticket),
            web.delete("/api/bookings/{booking_id}", self.cancel),
            web.patch("/api/bookings/{booking_id}", self.pay),
            web.get("/api/holds", self.holds),
            web.post("/api/holds", self.hold),
            web.post("/api/holds/release", self.release),
        )

    # For all

    async def cinema(self, request: web.Request) -> web.Response:
        settings = self._box.settings
        cinema, booking, auth = settings.cinema, settings.booking, settings.auth
        return answer(
            Cinema(
                name=cinema.name,
                timezone=cinema.timezone,
                currency=cinema.currency,
                languages=cinema.languages,
                booking=BookingTerms(
                    hold_seconds=booking.hold_seconds,
                    max_seats=booking.max_seats,
                    cancel_until_minutes=booking.cancel_until_minutes,
                    sales_close_minutes=booking.sales_close_minutes,
                ),
                allow_guests=auth.allow_guests,
                allow_registration=auth.allow_registration,
                public_url=next(iter(settings.listeners.web.public_urls), None),
            )
        )

    async def showings(self, request: web.Request) -> web.Response:
        """What is to come; for who may change showings also what was, where a time is named."""
        now = self._service.now()
        times = self._times(request)
        if times is not None:
            self._require(request, Action.PUBLISH, "showing/request")
            return answer(
                [
                    showing_update(known.showing, known.seats, known.seats - known.taken, known.showing.version, now)
                    for known in await self._service.showings_between(*times)
                ]
            )
        self._require(request, Action.SUBSCRIBE, f"{SHOWINGS_TOPIC}#")
        return answer([live.update(now) for live in self._service.copy.in_sight(now)])

    async def rooms(self, request: web.Request) -> web.Response:
        """For who may change showings."""
        self._require(request, Action.PUBLISH, "showing/request")
        return answer(
            [
                RoomAnswer(room_id=room.room_id, name=room.name, seats_total=room.seats_total, types=room.types)
                for room in await self._service.rooms()
            ]
        )

    async def seats(self, request: web.Request) -> web.Response:
        """Of what is to come; for who may change showings also of what is over or was cancelled."""
        showing_id = request.match_info["showing_id"]
        live = self._service.copy.showings.get(showing_id)
        if live is not None and live.showing.is_open_to_view(self._service.now()):
            self._require(request, Action.SUBSCRIBE, SEATS_TOPIC + showing_id)
            # Who asks again and again, because no WebSocket gets through, is sent only what changed.
            tag = f"{self._since}-{live.version}"
            said = {"Cache-Control": "private, no-cache", "ETag": f'"{tag}"'}
            if is_known(request, tag):
                return web.Response(status=304, headers=said)
            return answer_json(live.seat_plan(), headers=said)
        may_see = self._box.may(request[CALLER].identity, Action.PUBLISH, "showing/request")
        known = await self._service.seats_of(showing_id) if may_see and is_id(showing_id) else None
        if known is None:
            raise Refusal("unknown_showing", "There is no such showing.", status=404)
        return answer_json(LiveShowing.of(known).seat_plan())

    # Bookings

    async def book(self, request: web.Request) -> web.Response:
        sender = self._sender(request, "booking/request")
        outcome = await self._service.book(sender, await self._read(request, BookingRequest, sender, "booking/request"))
        return _outcome_answer(outcome, failed=409)

    async def bookings(self, request: web.Request) -> web.Response:
        """One's own; a manager's are all. Both may be narrowed."""
        identity = self._signed_in(request)
        conditions = self._conditions(request)
        if identity.role != "manager":
            conditions["of_user"] = identity.user_id
        records = await self._service.find_bookings(**conditions)
        return answer([_details(record) for record in records])

    async def booking(self, request: web.Request) -> web.Response:
        """The outcome, to who may see it, or who has its key."""
        return _outcome_answer(await self._visible_outcome(request))

    async def ticket(self, request: web.Request) -> web.Response:
        """A booking that was made with its showing and seats, to who may see it, or who has its key."""
        outcome = await self._visible_outcome(request)
        records = await self._service.find_bookings(booking_id=outcome.booking_id)
        if not records:
            raise unknown_booking(outcome.booking_id)
        return answer(_ticket(records[0]))

    async def _visible_outcome(self, request: web.Request) -> Outcome:
        booking_id = _booking_id(request)
        key = _key(request)
        if key is None:
            identity = self._signed_in(request)
            self._require(request, Action.SUBSCRIBE, BOOKINGS_TOPIC + booking_id)
            outcome = await self._service.outcome(booking_id)
            if outcome is None or not outcome.is_visible_to(identity.user_id, identity.role):
                raise unknown_booking(booking_id)
        else:
            outcome = await self._service.outcome(booking_id)
            if outcome is None or outcome.key is None or not hmac.compare_digest(outcome.key.encode(), key):
                raise unknown_booking(booking_id)
        return outcome

    async def cancel(self, request: web.Request) -> web.Response:
        sender = self._sender(request, "booking/cancel")
        return _outcome_answer(await self._service.cancel(sender, _booking_id(request)))

    async def pay(self, request: web.Request) -> web.Response:
        sender = self._sender(request, "booking/request")
        with self._noting_refusals(sender, "booking/paid"):
            if not sender.is_of_the_house:
                raise Refusal("forbidden", "Only the house notes how a booking was paid.", status=403)
        booking_id = _booking_id(request)
        paid = (await self._read(request, PaidRequest, sender, "booking/paid")).paid
        return answer(_details(await self._service.pay(sender, booking_id, paid)))

    # Holds

    async def holds(self, request: web.Request) -> web.Response:
        identity = self._signed_in(request)
        assert identity.user_id is not None
        self._require(request, Action.SUBSCRIBE, inbox(identity.user_id))
        now = self._service.now()
        return answer([hold_notice(notice, now) for notice in self._service.copy.holds_of(identity.user_id)])

    async def hold(self, request: web.Request) -> web.Response:
        sender = self._sender(request, "seats/hold")
        order = await self._read(request, HoldRequest, sender, "seats/hold")
        return self._notice_answer(await self._service.hold(sender, order))

    async def release(self, request: web.Request) -> web.Response:
        sender = self._sender(request, "seats/release")
        order = await self._read(request, ReleaseRequest, sender, "seats/release")
        return self._notice_answer(await self._service.release(sender, order))

    def _notice_answer(self, notice: Notice) -> web.Response:
        status = 409 if notice.status == "rejected" else 200
        return answer(hold_notice(notice, self._service.now()), status)

    # Showings

    async def change_showing(self, request: web.Request) -> web.Response:
        sender = self._sender(request, "showing/request")
        asked = await self._read(request, ShowingRequest, sender, "showing/request")
        showing = await self._service.change_showing(sender, asked)
        live = self._service.copy.showings.get(showing.showing_id)
        if live is None:  # over for so long that it is not in memory, and it was changed into another past
            raise Refusal("unknown_showing", "The showing is over.", status=404)
        return answer(live.update(self._service.now()))

    # Who calls, and what they may

    def _signed_in(self, request: web.Request) -> Identity:
        identity = request[CALLER].identity
        if identity.is_guest:
            raise Refusal("unauthorized", "Sign in first.", status=401)
        return identity

    def _require(self, request: web.Request, action: Action, topic: str) -> None:
        identity = request[CALLER].identity
        if self._box.may(identity, action, topic):
            return
        if identity.is_guest:
            raise Refusal("unauthorized", "Sign in first.", status=401)
        raise Refusal("forbidden", "You may not do this.", status=403)

    def _sender(self, request: web.Request, topic: str) -> Sender:
        """Who commands, if they may publish to the topic that the call stands for."""
        identity = self._signed_in(request)
        assert identity.user_id is not None
        sender = Sender(identity.user_id, identity.role, request[CALLER].address)
        with self._noting_refusals(sender, topic):
            self._require(request, Action.PUBLISH, topic)
        return sender

    async def _read(self, request: web.Request, model: type[M], sender: Sender, topic: str) -> M:
        with self._noting_refusals(sender, topic):
            return parse(model, await read_json_bytes(request))

    @contextlib.contextmanager
    def _noting_refusals(self, sender: Sender, topic: str) -> Iterator[None]:
        """What is refused here comes to the audit trail as what the service refuses does."""
        try:
            yield
        except Refusal as refusal:
            self._service.note_refusal(sender, topic, refusal)
            raise

    def _conditions(self, request: web.Request) -> dict[str, Any]:
        query = request.query
        conditions: dict[str, Any] = {
            name: query[name] for name in ("showing_id", "number", "name", "seat") if query.get(name)
        }
        for name, value in conditions.items():
            if len(value) > LONGEST_FILTER:
                raise Refusal("invalid_request", f"{name} must be at most {LONGEST_FILTER} characters long.")
            if not is_printable(value):
                raise Refusal("invalid_request", f"{name} must be text without control characters and invisible ones.")
        if "showing_id" in conditions and not is_id(conditions["showing_id"]):
            raise Refusal("invalid_request", "showing_id must be a lower-case UUID with hyphens.")
        if latest := query.get("latest"):
            if UP_TO_A_HUNDRED.fullmatch(latest) is None:
                raise Refusal("invalid_request", "latest must be a whole number from 1 to 100.")
            conditions["latest"] = int(latest)
        times = self._times(request)
        if times is not None:
            conditions["starts_from"], conditions["starts_before"] = times
        return conditions

    def _times(self, request: web.Request) -> tuple[float | None, float | None] | None:
        """``from`` and ``to`` in seconds since 1970; None where neither is named."""
        starts_from, starts_before = request.query.get("from"), request.query.get("to")
        if not starts_from and not starts_before:
            return None
        return (
            self._moment(starts_from, "from") if starts_from else None,
            self._moment(starts_before, "to", end_of_day=True) if starts_before else None,
        )

    def _moment(self, text: str, name: str, *, end_of_day: bool = False) -> float:
        """See :func:`broker.moments.moment`; by the cinema's clocks."""
        try:
            return moment(text, ZoneInfo(self._box.settings.cinema.timezone), end_of_day=end_of_day)
        except ValueError:
            raise Refusal(
                "invalid_request", f"{name} must be a day, such as 2030-01-01, or a time in ISO 8601."
            ) from None


def _booking_id(request: web.Request) -> str:
    booking_id = request.match_info["booking_id"]
    if not is_id(booking_id):
        raise Refusal("unknown_booking", "There is no such booking.", status=404)
    return booking_id


def _key(request: web.Request) -> bytes | None:
    """The key of ``Authorization: Key <key>``, None where somebody signs in, or nobody does."""
    header = request.headers.get("Authorization", "")
    if not header.lower().startswith(KEY_SCHEME):
        return None
    return header[len(KEY_SCHEME) :].strip().encode("utf-8", "surrogateescape")


def _outcome_answer(outcome: Outcome, *, failed: int = 200) -> web.Response:
    message: Outbound = confirmation(outcome)
    return answer(message, failed if outcome.status == "failed" else 200)


def _ticket(record: BookingRecord) -> Ticket:
    showing = record.showing
    return Ticket(
        **confirmation(record.outcome).model_dump(),
        paid=record.paid,
        showing=BookedShowing(
            showing_id=showing.showing_id,
            title=showing.title,
            starts_at=iso_seconds(showing.starts_at),
            ends_at=iso_seconds(showing.ends_at),
            room=showing.room,
            status=showing.status,
        ),
        seats=[
            BookedSeat(seat_id=seat.seat_id, row=seat.row, number=seat.number, type=seat.type, price=money(cents))
            for seat, cents in record.seats
        ],
    )


def _details(record: BookingRecord) -> BookingDetails:
    return BookingDetails(**dict(_ticket(record)), user_id=record.outcome.user_id, name=record.name, email=record.email)
