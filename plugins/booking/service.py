"""The box office: what was asked for, decided by the ledger, told to all whom it concerns. The same for MQTT and HTTP.

A command goes through the database's queue in the order of its arrival, also one that is refused at once: so the
outcomes of a connection come in the order of its commands. What a transaction changed is taken into the present and
published in one step of the loop, after it is on disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import sqlite_utils

from broker.plugin import NOBODY, Actor, Audience, Box, Command, Identity, Refusal, StorageUnavailableError
from plugins.booking import reading, rules
from plugins.booking.cinema import (
    BookingRecord,
    Decided,
    Effects,
    Fullness,
    HoldOrder,
    Notice,
    Order,
    Outcome,
    Room,
    SeatsOf,
    Sender,
    Showing,
    Snapshot,
)
from plugins.booking.ledger import Ledger, notices_of
from plugins.booking.metrics import BookingMetrics
from plugins.booking.present import (
    BOOKINGS_TOPIC,
    SEATS_TOPIC,
    SHOWINGS_TOPIC,
    USERS_TOPIC,
    Copy,
    confirmation,
    hold_notice,
    inbox,
)
from plugins.booking.trail import Decide, Trailed, record_bookings, refused
from plugins.booking.wire import (
    BookingRequest,
    CancelRequest,
    ErrorNotice,
    HoldRequest,
    Inbound,
    Payment,
    ReleaseRequest,
    SeatStatus,
    ShowingRequest,
    ids_in,
    iso,
    parse,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")

MODELS: Mapping[str, type[Inbound]] = {
    "booking/request": BookingRequest,
    "booking/cancel": CancelRequest,
    "seats/hold": HoldRequest,
    "seats/release": ReleaseRequest,
    "showing/request": ShowingRequest,
}
"""The commands' topics and what is sent there."""

QUICK = frozenset({"booking/request", "booking/cancel", "seats/hold", "seats/release"})
"""Those that concern a few seats, and may be decided in the loop."""

_DONE = {"create": "created", "update": "updated", "cancel": "cancelled"}

AVAILABLE_EVERY_SECONDS = 1.0
"""How often ``showing/update`` may come for a mere change of ``seats_available``."""

LONGEST_WAIT_SECONDS = 30.0
"""The clock, and what runs out by it, is looked at at least this often, so that one that was set is noticed."""

CLOCK_SET_SECONDS = 10.0
"""By so much the two clocks differ in how far they went between two looks where the wall clock was set. Less is no
news to anybody who holds seats, and each such news goes to all who do: the network's time corrects a running clock by
less than a second, and between reading the one clock and the other a busy machine may let us wait."""

LONGEST_NAMED_TOPIC = 256
"""Characters of a forbidden topic that are repeated to the client that sent it."""

RETRY_SECONDS = 1.0
HOUSEKEEPING_SECONDS = 600.0


class Timer(Protocol):
    """What ``call_later`` of an event loop answers with."""

    def cancel(self) -> None: ...


CallLater = Callable[[float, Callable[[], None]], Timer]


class Service:
    """The box office. Everything runs in the loop; ``start`` before anybody is served, ``stop`` at the end."""

    def __init__(self, box: Box, *, call_later: CallLater, ledger: Ledger | None = None) -> None:
        self.box = box
        self.ledger = ledger or Ledger(box.settings.booking, box.settings.cinema.currency)
        self.copy = Copy()
        self.metrics = BookingMetrics(lambda: len(self.copy.holds))
        self._call_later = call_later
        self._secret = b""
        self._timers: dict[str, Timer] = {}
        self._expiry_at: float | None = None
        self._looked = (box.now(), box.monotonic())  # the clocks when they were last looked at
        self._unmoved_by: float | None = None  # the clock was set by so many seconds, and the holds wait to be moved
        self._is_behind = False  # what is in the database counts by the clock before it was set
        self._is_stopped = False
        self._resting: dict[str, bool] = {}  # showings told of lately; whether there is more to tell
        self._handlers: Mapping[str, Callable[[Sender, bytes], tuple[Trailed[Any], Callable[[Any], None]]]] = {
            "booking/request": self._booking_command,
            "booking/cancel": self._cancel_command,
            "seats/hold": self._hold_command,
            "seats/release": self._release_command,
            "showing/request": self._showing_command,
        }

    @property
    def command_topics(self) -> tuple[str, ...]:
        return tuple(self._handlers)

    async def start(self) -> None:
        """Read the cinema, end the holds that ran out meanwhile, and wait for the next one."""
        self._secret = await self.box.database.read(reading.secret)
        now = self.now()
        decided = await self.box.database.write(lambda db: self.ledger.reopened(db, now))
        self.copy = Copy.of(decided.answer)
        self._watch_holds()
        self._watch_clock()
        self._keep_house()

    def stop(self) -> None:
        """Wait for nothing more; what is in the database's queue is still decided and told."""
        self.now()  # a clock that was set is unknown to the next start
        self._is_stopped = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    # Commands by MQTT

    def take(self, command: Command) -> None:
        """Decide a command, tell it, and acknowledge it once its outcome is on disk or it was refused."""
        sender = _sender(command.identity, command.address)
        if sender is None:
            command.acknowledge()
            return
        at_once: Refusal | None = None
        try:
            decide, answer = self._handlers[command.topic](sender, command.payload)
        except Refusal as refusal:
            at_once = refusal
            decide, answer = self._trailed(_refuse(refusal), sender, command.topic), _say_nothing

        def told(decided: Decided[Any] | None, refusal: Refusal | None) -> None:
            try:
                if refusal is not None:  # at_once is the reason, even where nothing can be stored at the moment
                    reason = at_once or refusal
                    if reason.code == "storage_unavailable":
                        self.box.refused("storage_unavailable")
                    reason.details = {**ids_in(MODELS[command.topic], command.payload), **reason.details}
                    self._tell_error(sender.user_id, command.topic, reason)
                elif decided is not None and decided.repeated:
                    answer(decided.answer)
            finally:
                command.acknowledge()

        self._submit(decide, told, quick=command.topic in QUICK)

    def refused_topic(self, identity: Identity, topic: str) -> None:
        """Tell a client that the policy does not let it publish there."""
        if identity.user_id is None:
            return
        refusal = Refusal("forbidden", "You may not publish to this topic.", status=403)
        is_fit = topic.isprintable() and len(topic) <= LONGEST_NAMED_TOPIC
        self._tell_error(identity.user_id, topic if is_fit else "", refusal)

    def _booking_command(self, sender: Sender, payload: bytes) -> tuple[Trailed[Outcome], Callable[[Outcome], None]]:
        decide = self._booking(sender, parse(BookingRequest, payload))
        return decide, lambda outcome: self._tell_again(outcome, sender)

    def _cancel_command(self, sender: Sender, payload: bytes) -> tuple[Trailed[Outcome], Callable[[Outcome], None]]:
        request = parse(CancelRequest, payload)
        decide = self._cancellation(sender, request.booking_id, request.user_id)
        return decide, lambda outcome: self._tell_again(outcome, sender)

    def _hold_command(self, sender: Sender, payload: bytes) -> tuple[Trailed[Notice], Callable[[Notice], None]]:
        return self._hold(sender, parse(HoldRequest, payload)), _say_nothing

    def _release_command(self, sender: Sender, payload: bytes) -> tuple[Trailed[Notice], Callable[[Notice], None]]:
        return self._release(sender, parse(ReleaseRequest, payload)), _say_nothing

    def _showing_command(self, sender: Sender, payload: bytes) -> tuple[Trailed[Showing], Callable[[Showing], None]]:
        decide = self._showing(sender, parse(ShowingRequest, payload))
        return decide, lambda showing: self._tell_showing(showing.showing_id, Audience(frozenset({sender.user_id})))

    # Calls by HTTP: the same, awaited. All raise Refusal.

    async def book(self, sender: Sender, request: BookingRequest) -> Outcome:
        """The booking's outcome, also where it is a stored failure."""
        return await self._asked(sender, "booking/request", lambda: self._booking(sender, request))

    async def cancel(self, sender: Sender, booking_id: str) -> Outcome:
        return await self._asked(sender, "booking/cancel", lambda: self._cancellation(sender, booking_id, None))

    async def hold(self, sender: Sender, request: HoldRequest) -> Notice:
        """What is told of the hold, also where it was rejected."""
        return await self._asked(sender, "seats/hold", lambda: self._hold(sender, request))

    async def release(self, sender: Sender, request: ReleaseRequest) -> Notice:
        return await self._asked(sender, "seats/release", lambda: self._release(sender, request))

    async def change_showing(self, sender: Sender, request: ShowingRequest) -> Showing:
        return await self._asked(sender, "showing/request", lambda: self._showing(sender, request))

    async def pay(self, sender: Sender, booking_id: str, paid: Payment | None) -> BookingRecord:
        """Note how a booking was paid."""
        nothing_told = Effects(self.now())

        def decide(db: sqlite_utils.Database) -> Decided[BookingRecord]:
            return Decided(self.ledger.pay(db, sender, booking_id, paid), nothing_told)

        return await self._decided(
            self._trailed(decide, sender, "booking/paid", done=paid or "unpaid", subject=booking_id)
        )

    def note_refusal(self, sender: Sender, topic: str, refusal: Refusal) -> None:
        """A call that stands for this topic was refused before anything of it was decided."""
        self.box.audit.gather_alone(refused(refusal, sender, topic))

    async def outcome(self, booking_id: str) -> Outcome | None:
        """A booking's outcome, whoever's it is."""
        known = self.copy.outcome(booking_id)
        return known or await self._read(lambda db: reading.stored_outcome(db, booking_id))

    async def find_bookings(self, **conditions: Any) -> list[BookingRecord]:
        """See :func:`plugins.booking.reading.find_bookings`."""
        return await self._read(lambda db: reading.find_bookings(db, **conditions))

    async def rooms(self) -> list[Room]:
        """See :func:`plugins.booking.reading.rooms`."""
        return await self._read(reading.rooms)

    async def showings_between(self, starts_from: float | None, starts_before: float | None) -> list[Fullness]:
        """See :func:`plugins.booking.reading.showings_between`."""
        return await self._read(lambda db: reading.showings_between(db, starts_from, starts_before))

    async def seats_of(self, showing_id: str) -> SeatsOf | None:
        """See :func:`plugins.booking.reading.seats_of`."""
        return await self._read(lambda db: reading.seats_of(db, showing_id))

    async def read_old(self, booking_id: str) -> Outcome | None:
        """The outcome of a booking whose showing is over, for the present; None also where it cannot be read now."""
        now = self.now()
        try:
            return await self.box.database.read(lambda db: reading.old_outcome(db, booking_id, now))
        except StorageUnavailableError as error:
            logger.warning("An old booking could not be read: %s", error)
            return None

    async def _read(self, job: Callable[[sqlite_utils.Database], T]) -> T:
        try:
            return await self.box.database.read(job)
        except StorageUnavailableError as error:
            raise _unavailable() from error

    async def _asked(self, sender: Sender, topic: str, command: Callable[[], Trailed[T]]) -> T:
        try:
            trailed = command()
        except Refusal as refusal:
            self.note_refusal(sender, topic, refusal)
            raise
        return await self._decided(trailed, quick=topic in QUICK)

    async def _decided(self, decide: Decide[T], *, quick: bool = False) -> T:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def told(decided: Decided[T] | None, refusal: Refusal | None) -> None:
            if future.done():  # the caller has gone; what was decided stands
                return
            if refusal is not None:
                future.set_exception(refusal)
            elif decided is not None:
                future.set_result(decided.answer)

        self._submit(decide, told, quick=quick)
        return await future

    # From requests to the ledger's jobs

    def _booking(self, sender: Sender, request: BookingRequest) -> Trailed[Outcome]:
        ids = {"booking_id": request.booking_id, "showing_id": request.showing_id}
        user_id = _behalf(sender, request.user_id, ids)
        if request.booking_id is None and sender.is_of_the_house:
            raise Refusal(
                "invalid_request", "booking_id is missing: kiosks and managers must send it.", details=_present(ids)
            )
        booking_id = request.booking_id or rules.derived_booking_id(
            self._secret, user_id, request.showing_id, request.seat_ids, request.timestamp
        )
        order = Order(sender, user_id, booking_id, request.showing_id, request.seat_ids, request.email)
        now = self.now()
        decide = _naming(lambda db: self.ledger.book(db, order, now), ids)
        return self._trailed(decide, sender, "booking/request", now, user_id=user_id)

    def _cancellation(self, sender: Sender, booking_id: str, named: str | None) -> Trailed[Outcome]:
        ids = {"booking_id": booking_id}
        user_id = None if named is None else _behalf(sender, named, ids)
        now = self.now()
        decide = _naming(lambda db: self.ledger.cancel(db, sender, booking_id, user_id, now), ids)
        return self._trailed(decide, sender, "booking/cancel", now, user_id=user_id)

    def _hold(self, sender: Sender, request: HoldRequest) -> Trailed[Notice]:
        order, ids = _hold_order(sender, request)
        now = self.now()
        decide = _naming(lambda db: self.ledger.hold(db, order, now), ids)
        return self._trailed(decide, sender, "seats/hold", now, user_id=order.user_id)

    def _release(self, sender: Sender, request: ReleaseRequest) -> Trailed[Notice]:
        order, ids = _hold_order(sender, request)
        now = self.now()
        decide = _naming(lambda db: self.ledger.release(db, order, now), ids)
        return self._trailed(decide, sender, "seats/release", now, user_id=order.user_id)

    def _showing(self, sender: Sender, request: ShowingRequest) -> Trailed[Showing]:
        now = self.now()
        return self._trailed(
            lambda db: self.ledger.change_showing(db, sender, request, now),
            sender,
            "showing/request",
            now,
            done=_DONE[request.action],
            subject=request.showing.showing_id,
        )

    def _trailed(
        self, decide: Decide[T], sender: Sender, topic: str, now: float | None = None, **more: Any
    ) -> Trailed[T]:
        return Trailed(self.box.audit, decide, sender, topic, self.now() if now is None else now, **more)

    # Users, other processes, and time

    async def user_deactivated(self, user_id: str, *, cancel_bookings: bool, by: Actor = NOBODY) -> None:
        """End a user's holds, and their bookings if asked. Raises Refusal ``storage_unavailable``."""
        now = self.now()

        def decide(db: sqlite_utils.Database) -> Decided[None]:
            decided = self.ledger.end_user(db, user_id, cancel_bookings=cancel_bookings, now=now)
            record_bookings(db, self.box.audit, by, decided.effects.outcomes)
            return decided

        await self._decided(decide)

    async def reload(self) -> None:
        """Read the cinema anew, because another process wrote to it, and tell what is different now.

        Raises Refusal ``storage_unavailable``.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def told(decided: Decided[Snapshot] | None, refusal: Refusal | None) -> None:
            if decided is not None:
                self._replace_copy(decided.answer)  # at once: the next transaction builds on it
            if done.done():
                return
            if refusal is None:
                done.set_result(None)
            else:
                done.set_exception(refusal)

        self._reopen(told)
        await done

    def _reopen(self, told: Callable[[Decided[Snapshot] | None, Refusal | None], None]) -> None:
        """Read all anew in the writer's queue, so that the copy replaces the old one between two transactions."""
        now = self.now()
        self._submit(lambda db: self.ledger.reopened(db, now), told)

    def _replace_copy(self, snapshot: Snapshot) -> None:
        newer = Copy.of(snapshot)
        differences = self.copy.differences(newer)
        self.copy = newer
        for showing_id in differences.showings:
            self._tell_showing(showing_id)
        for showing_id in differences.plans:
            self.box.renew(SEATS_TOPIC + showing_id)
        for outcome in differences.outcomes:
            self._tell_outcome(outcome)
        self._tell_notices(notices_of(differences.holds, "released", "The room was changed."), snapshot.at)
        self._watch_holds()

    def _watch_holds(self) -> None:
        """Set the timer for the earliest end of a hold that the copy knows."""
        self._expiry_at = None
        self._expect(min((hold.until for hold in self.copy.holds.values()), default=None))

    def _expect(self, until: float | None) -> None:
        """See that the holds are looked at when the first of them ends: seconds since 1970."""
        if until is None or (self._expiry_at is not None and self._expiry_at <= until):
            return
        self._expiry_at = until
        # The timer may fire a little early by the wall clock; then it is simply set again.
        self._wait("expiry", min(max(until - self.now(), 0.0) + 0.001, LONGEST_WAIT_SECONDS), self._expire)

    def _expire(self) -> None:
        now = self.now()

        def told(decided: Decided[float | None] | None, refusal: Refusal | None) -> None:
            if refusal is not None:
                self._wait("expiry", RETRY_SECONDS, self._expire)
                return
            self._expiry_at = None
            if decided is not None:
                self._expect(decided.answer)

        self._submit(lambda db: self.ledger.expire(db, now), told)

    def now(self) -> float:
        """The wall clock: seconds since 1970. Whoever asks finds out whether it was set since somebody last did; then
        the holds are moved with it before what is asked for.

        Time for which the machine slept is not on the other clock, so it looks like a clock that was set forward: the
        holds then run on for what was left of them, as if the box had been away and they with it.
        """
        (wall_before, monotonic_before), now, monotonic = self._looked, self.box.now(), self.box.monotonic()
        set_by = (now - wall_before) - (monotonic - monotonic_before)
        if abs(set_by) >= CLOCK_SET_SECONDS:  # since holds were last moved: many small steps are a large one
            self._looked = now, monotonic
            logger.warning("The clock was set %s by %.0f s", "forward" if set_by > 0 else "back", abs(set_by))
            if self._unmoved_by is None:
                self._move_holds(set_by, now)
            else:
                self._unmoved_by += set_by
        return now

    def _watch_clock(self) -> None:
        self.now()
        self._wait("clock", LONGEST_WAIT_SECONDS, self._watch_clock)

    def _move_holds(self, by: float, now: float, *, again: bool = False) -> None:
        """Move what counts by the clock with it, and read the cinema anew: showings that were over may be not.

        Jobs run in order, so nothing that was asked for by the new time is decided before. Where it cannot be stored
        all that follows is refused as what cannot be stored (:meth:`_submit`), until it can, ``again``: by the new time
        the holds would seem to have run out, or to be eternal.
        """

        def move(db: sqlite_utils.Database) -> Decided[Snapshot]:
            if self._is_behind and not again:
                raise _unavailable()
            self._is_behind = True
            decided = self.ledger.clock_set(db, by, now)
            self._is_behind = False
            return decided

        def told(decided: Decided[Snapshot] | None, refusal: Refusal | None) -> None:
            if decided is not None:
                self._replace_copy(decided.answer)
                return
            self._is_behind = True
            self._unmoved_by = by + (self._unmoved_by or 0)
            self._wait("clock set", RETRY_SECONDS, self._move_holds_again)

        self._queue(move, told)

    def _move_holds_again(self) -> None:
        now = self.now()
        by, self._unmoved_by = self._unmoved_by, None
        self._move_holds(by or 0, now, again=True)

    def _keep_house(self) -> None:
        now = self.now()
        self.copy.evict(now)
        self._submit(lambda db: self.ledger.purge(db, now), _hear_nothing)
        self._wait("housekeeping", HOUSEKEEPING_SECONDS, self._keep_house)

    def _wait(self, name: str, seconds: float, then: Callable[[], None]) -> None:
        previous = self._timers.pop(name, None)
        if previous is not None:
            previous.cancel()
        if not self._is_stopped:
            self._timers[name] = self._call_later(seconds, then)

    # Deciding and telling

    def _submit(
        self, decide: Decide[T], told: Callable[[Decided[T] | None, Refusal | None], None], *, quick: bool = False
    ) -> None:
        """Queue a job; once it is on disk its effects are told, then ``told`` is called with it, or with why not.

        ``quick`` is as in :meth:`Database.submit`; a showing that is cancelled may have hundreds of bookings.
        """

        def job(db: sqlite_utils.Database) -> Decided[T]:
            if self._is_behind:
                raise _unavailable()
            return decide(db)

        undone = decide.undone if isinstance(decide, Trailed) else None
        self._queue(job, told, quick=quick, undone=undone)

    def _queue(
        self,
        job: Decide[T],
        told: Callable[[Decided[T] | None, Refusal | None], None],
        *,
        quick: bool = False,
        undone: Callable[[sqlite_utils.Database, BaseException], None] | None = None,
    ) -> None:

        def done(decided: Decided[T] | None, error: BaseException | None) -> None:
            if decided is not None:
                try:
                    self._tell(decided.effects)
                finally:
                    told(decided, None)
            else:
                refusal = _as_refusal(error)
                self.metrics.refused(refusal.code)
                told(None, refusal)

        self.box.database.submit(job, done, quick=quick, undone=undone)

    def _tell(self, effects: Effects) -> None:
        """Take a transaction's effects into the present, then publish them."""
        available = {
            change.showing_id: self.copy.showings[change.showing_id].available
            for change in effects.seats
            if change.showing_id in self.copy.showings
        }
        self.copy.apply(effects)
        self.metrics.told(effects)
        publish, timestamp = self.box.publish, iso(effects.at)
        for outcome in effects.outcomes:
            self._tell_outcome(outcome)
        for seat in effects.seats:
            message = SeatStatus(
                showing_id=seat.showing_id,
                seat_id=seat.seat_id,
                status=seat.status,
                version=seat.version,
                timestamp=timestamp,
            )
            publish(SEATS_TOPIC + seat.showing_id, message.encode())
            if seat.hold is not None:
                self._expect(seat.hold.until)
        for hold in effects.extended:
            self._expect(hold.until)
        self._tell_notices(effects.notices, effects.at)
        changed = {change.showing.showing_id for change in effects.showings}
        for change in effects.showings:
            self._tell_showing(change.showing.showing_id)
            if change.plan is not None:
                self.box.renew(SEATS_TOPIC + change.showing.showing_id)
        for showing_id, before in available.items():
            if showing_id not in changed and self.copy.showings[showing_id].available != before:
                self._tell_available(showing_id)
        if effects.stale:
            self._reopen(self._hear_reopened)

    def _hear_reopened(self, decided: Decided[Snapshot] | None, refusal: Refusal | None) -> None:
        if decided is not None:
            self._replace_copy(decided.answer)

    def _tell_outcome(self, outcome: Outcome, *, to: Audience | None = None) -> None:
        audience = to or Audience(frozenset({outcome.user_id, outcome.requested_by}), frozenset({"manager"}))
        payload = confirmation(outcome).encode()
        self.box.publish(BOOKINGS_TOPIC + outcome.booking_id, payload, qos=1, audience=audience)

    def _tell_notices(self, notices: Sequence[Notice], at: float) -> None:
        for notice in notices:
            payload = hold_notice(notice, at).encode()
            for user_id in notice.inboxes:
                self.box.publish(inbox(user_id), payload, qos=1, audience=_inbox_audience(user_id))

    def _tell_again(self, outcome: Outcome, sender: Sender) -> None:
        """A repeated request is answered to who repeated it; nobody else has news."""
        self._tell_outcome(outcome, to=Audience(frozenset({sender.user_id})))

    def _tell_showing(self, showing_id: str, audience: Audience | None = None) -> None:
        live = self.copy.showings.get(showing_id)
        if live is None:
            return
        payload = live.update(self.now()).encode()
        self.box.publish(SHOWINGS_TOPIC + showing_id, payload, qos=1, audience=audience)

    def _tell_available(self, showing_id: str) -> None:
        """Tell a mere change of ``seats_available``: at once, and then at most once a second."""
        if showing_id in self._resting:
            self._resting[showing_id] = True
            return
        self._resting[showing_id] = False
        self._tell_showing(showing_id)
        self._wait(f"available {showing_id}", AVAILABLE_EVERY_SECONDS, lambda: self._rested(showing_id))

    def _rested(self, showing_id: str) -> None:
        self._timers.pop(f"available {showing_id}", None)
        if self._resting.pop(showing_id, False):
            self._tell_available(showing_id)

    def _tell_error(self, user_id: str, topic: str, refusal: Refusal) -> None:
        known = {name: value for name, value in refusal.details.items() if name in ErrorNotice.model_fields}
        notice = ErrorNotice(
            **{
                **known,
                "topic": topic,
                "code": refusal.code,
                "message": refusal.message,
                "timestamp": iso(self.now()),
            }
        )
        self.box.publish(f"{USERS_TOPIC}{user_id}/errors", notice.encode(), qos=1, audience=_inbox_audience(user_id))


def _sender(identity: Identity, address: str) -> Sender | None:
    return None if identity.user_id is None else Sender(identity.user_id, identity.role, address)


def _hold_order(sender: Sender, request: HoldRequest) -> tuple[HoldOrder, dict[str, str | None]]:
    ids = {"booking_id": request.booking_id, "showing_id": request.showing_id}
    user_id = _behalf(sender, request.user_id, ids)
    return HoldOrder(sender, user_id, request.booking_id, request.showing_id, request.seat_ids), ids


def _present(ids: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in ids.items() if value is not None}


def _behalf(sender: Sender, user_id: str | None, ids: Mapping[str, str | None]) -> str:
    try:
        return rules.on_whose_behalf(sender, user_id)
    except Refusal as refusal:
        refusal.details.update(_present(ids))
        raise


def _naming(decide: Decide[T], ids: Mapping[str, str | None]) -> Decide[T]:
    """A job whose refusals carry the request's ids, so that the client knows which request it was."""

    def job(db: sqlite_utils.Database) -> Decided[T]:
        try:
            return decide(db)
        except Refusal as refusal:
            refusal.details.update(_present(ids))
            raise

    return job


def _refuse(refusal: Refusal) -> Decide[Any]:
    def job(db: sqlite_utils.Database) -> Decided[Any]:
        raise refusal

    return job


def _as_refusal(error: BaseException | None) -> Refusal:
    if isinstance(error, Refusal):
        return error
    if not isinstance(error, StorageUnavailableError):
        logger.error("A change failed and was undone", exc_info=error)
    return _unavailable()


def _unavailable() -> Refusal:
    return Refusal("storage_unavailable", "This cannot be stored at the moment; try again later.", status=503)


def _inbox_audience(user_id: str) -> Audience:
    return Audience(frozenset({user_id}), frozenset({"manager"}))


def _say_nothing(answer: object) -> None:
    """The effects have told it already."""


def _hear_nothing(decided: object, refusal: Refusal | None) -> None:
    """What housekeeping could not do now it does the next time."""
