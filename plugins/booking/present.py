"""The present: what every subscriber of the cinema's topics gets first.

:class:`Copy` is the cinema in memory as the subscribers know it: read once from the database, then changed by exactly
what is told live, so that the present and the live messages never contradict each other. Four small classes over it
are the presents of the four kinds of topics. Whatever is encoded is kept until it changes.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from pydantic_core import to_json

from broker.plugin import Identity, Message, Present
from broker.topics import matches
from plugins.booking import rules
from plugins.booking.cinema import Effects, Hold, Notice, Outcome, Seat, SeatChange, SeatsOf, Showing, Snapshot
from plugins.booking.wire import (
    BookingConfirm,
    HoldNotice,
    SeatState,
    ShowingUpdate,
    is_id,
    iso,
    iso_seconds,
    money,
)

SEATS_TOPIC = "seats/status/"
SHOWINGS_TOPIC = "showing/update/"
BOOKINGS_TOPIC = "booking/confirm/"
USERS_TOPIC = "users/"
HOLDS_SUFFIX = "/holds"

OLD_OUTCOMES = 1000
"""Outcomes of showings that are over, kept for those who asked for them lately."""

Clock = Callable[[], float]


def inbox(user_id: str) -> str:
    """Where a user is told of holds."""
    return f"{USERS_TOPIC}{user_id}{HOLDS_SUFFIX}"


# From nouns to messages


def confirmation(outcome: Outcome) -> BookingConfirm:
    """A booking's outcome as it is told, always in the same bytes."""
    failed = outcome.status == "failed"
    return BookingConfirm(
        booking_id=outcome.booking_id,
        status=outcome.status,
        message=outcome.message,
        timestamp=iso(outcome.at),
        number=outcome.number,
        total=None if outcome.total_cents is None else money(outcome.total_cents),
        currency=outcome.currency,
        showing_id=None if failed else outcome.showing_id,
        seat_ids=outcome.seat_ids,
        key=outcome.key,
        code=outcome.code,
    )


def hold_notice(notice: Notice, at: float) -> HoldNotice:
    """What is told of a hold at the moment ``at``."""
    return HoldNotice(
        showing_id=notice.showing_id,
        seat_ids=notice.seat_ids,
        status=notice.status,
        message=notice.message,
        timestamp=iso(at),
        booking_id=notice.booking_id,
        expires_at=None if notice.expires_at is None else iso(notice.expires_at),
        code=notice.code,
    )


def showing_update(showing: Showing, seats: int, available: int, version: int, now: float) -> ShowingUpdate:
    """A showing as it is told, with so many seats of which so many are available."""
    return ShowingUpdate(
        showing_id=showing.showing_id,
        title=showing.title,
        starts_at=iso_seconds(showing.starts_at),
        ends_at=iso_seconds(showing.ends_at),
        room_id=showing.room_id,
        room=showing.room,
        price=money(showing.price_cents),
        prices={seat_type: money(cents) for seat_type, cents in showing.prices.items()} or None,
        currency=showing.currency,
        status=showing.status,
        seats_total=seats,
        seats_available=available,
        version=version,
        timestamp=iso(now),
    )


def _running(holds: Iterable[Hold]) -> list[Notice]:
    """The running holds as notices: one for each showing, booking, and pair of users, the earliest end first."""
    groups: dict[tuple[str, str | None, str, str], list[Hold]] = {}
    for hold in sorted(holds, key=lambda hold: (hold.until, hold.seat_id)):
        groups.setdefault((hold.showing_id, hold.booking_id, hold.user_id, hold.placed_by), []).append(hold)
    return [
        Notice(
            inboxes=tuple(dict.fromkeys((user_id, placed_by))),
            showing_id=showing_id,
            seat_ids=tuple(hold.seat_id for hold in group),
            status="held",
            message="Held.",
            booking_id=booking_id,
            expires_at=group[0].until,
        )
        for (showing_id, booking_id, user_id, placed_by), group in groups.items()
    ]


class Plan:
    """A room's seats in room order, with what is the same in each message about them."""

    def __init__(self, seats: Sequence[Seat]) -> None:
        self.seats = tuple(seats)
        self.places = {seat.seat_id: place for place, seat in enumerate(self.seats)}
        # The order of the fields is that of wire.PresentSeat and wire.PlanSeat; a test holds them together.
        self.heads = [b'"seat_id":' + to_json(seat.seat_id) + b',"status":"' for seat in self.seats]
        self.tails = [
            b',"row":%b,"number":%d,"type":%b,"x":%d,"y":%d}'
            % (to_json(seat.row), seat.number, to_json(seat.type), seat.x, seat.y)
            for seat in self.seats
        ]


class LiveShowing:
    """One showing with its seats' states and what was encoded of it."""

    def __init__(self, showing: Showing, plan: Plan) -> None:
        self.showing = showing
        self.plan = plan
        self.version = showing.version
        self.states: list[SeatState] = ["available"] * len(plan.seats)
        self.available = len(plan.seats)
        self._seat_messages: tuple[Message, ...] | None = None
        self._update_messages: tuple[Message, ...] | None = None
        self._seat_plan: bytes | None = None

    @classmethod
    def of(cls, known: SeatsOf) -> LiveShowing:
        """One that is not kept in memory, because it is over or cancelled."""
        live = cls(known.showing, Plan(known.plan))
        for seat_id in known.held:
            live.set_state(seat_id, "reserved")
        for seat_id in known.sold:
            live.set_state(seat_id, "booked")
        return live

    def set_state(self, seat_id: str, state: SeatState) -> None:
        place = self.plan.places.get(seat_id)
        if place is None:
            return
        self.available += (state == "available") - (self.states[place] == "available")
        self.states[place] = state

    def changed(self) -> None:
        self._seat_messages = self._update_messages = self._seat_plan = None

    def has_the_seats_of(self, other: LiveShowing) -> bool:
        return (self.version, self.plan.seats, self.states) == (other.version, other.plan.seats, other.states)

    def reads_like(self, other: LiveShowing) -> bool:
        """Whether both give the same ``showing/update``, its version and timestamp aside."""
        return self.available == other.available and self.update(0).model_copy(update={"version": 0}) == other.update(
            0
        ).model_copy(update={"version": 0})

    def seat_messages(self, now: float) -> tuple[Message, ...]:
        """One message for each seat, all with the current version: assembled, for a room has thousands."""
        if self._seat_messages is None:
            head = b'{"showing_id":' + to_json(self.showing.showing_id) + b","
            versioned = b'","version":%d,"timestamp":' % self.version + to_json(iso(now))
            between = {state: state.encode() + versioned for state in ("available", "reserved", "booked")}
            self._seat_messages = tuple(
                Message(head + seat_head + between[state] + tail)
                for seat_head, state, tail in zip(self.plan.heads, self.states, self.plan.tails, strict=True)
            )
        return self._seat_messages

    def update(self, now: float) -> ShowingUpdate:
        return showing_update(self.showing, len(self.plan.seats), self.available, self.version, now)

    def update_messages(self, now: float) -> tuple[Message, ...]:
        if self._update_messages is None:
            self._update_messages = (Message(self.update(now).encode(), qos=1),)
        return self._update_messages

    def seat_plan(self) -> bytes:
        """A :class:`plugins.booking.wire.SeatPlan` as JSON: all seats with the current version, assembled once for all
        who ask, for a room has thousands and strangers may ask for them."""
        if self._seat_plan is None:
            states = {state: state.encode() + b'"' for state in ("available", "reserved", "booked")}
            self._seat_plan = b'{"showing_id":%b,"version":%d,"seats":[%b]}' % (
                to_json(self.showing.showing_id),
                self.version,
                b",".join(
                    b"{" + head + states[state] + tail
                    for head, state, tail in zip(self.plan.heads, self.states, self.plan.tails, strict=True)
                ),
            )
        return self._seat_plan


@dataclass(slots=True)
class Differences:
    """What another process changed: showings whose seats, or whose own fields, differ, bookings' outcomes, and the
    holds that it ended."""

    plans: list[str] = field(default_factory=list)
    showings: list[str] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)


class Copy:
    """The cinema in memory: showings not over with their seats, bookings of these, recent failures, running holds.

    Nothing here waits or writes. :meth:`apply` must get every transaction's effects, in order, before they are told.
    """

    def __init__(self) -> None:
        self.showings: dict[str, LiveShowing] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.holds: dict[tuple[str, str], Hold] = {}
        self._plans: dict[str, Plan] = {}
        self._outcomes_of: dict[str, dict[str, None]] = {}
        self._holds_of: dict[str, dict[tuple[str, str], None]] = {}
        self._old: dict[str, Outcome] = {}
        self._old_ids = array("Q")  # sorted; eight bytes for each booking of a showing that is over
        self._confirm_messages: dict[str, tuple[Message, ...]] = {}
        self._hold_messages: dict[str, tuple[Message, ...]] = {}

    @classmethod
    def of(cls, snapshot: Snapshot) -> Copy:
        """The copy that the database can rebuild."""
        copy = cls()
        copy._plans = {room_id: Plan(seats) for room_id, seats in snapshot.plans.items()}
        for showing in snapshot.showings:
            live = copy.showings[showing.showing_id] = LiveShowing(showing, copy._plans[showing.room_id])
            for seat_id in snapshot.sold[showing.showing_id]:
                live.set_state(seat_id, "booked")
        for hold in snapshot.holds:
            copy._keep_hold(hold)
            if hold.showing_id in copy.showings:
                copy.showings[hold.showing_id].set_state(hold.seat_id, "reserved")
        for outcome in snapshot.outcomes:
            copy._keep_outcome(outcome)
        copy._add_old_ids(snapshot.old_bookings)
        return copy

    # Changing

    def apply(self, effects: Effects) -> None:
        """Take a transaction's effects in."""
        for change in effects.seats:
            self._change_seat(change)
        for hold in effects.extended:
            self._drop_hold((hold.showing_id, hold.seat_id))
            self._keep_hold(hold)
        for changed in effects.showings:
            self._change_showing(changed.showing, changed.plan)
        for outcome in effects.outcomes:
            self._keep_outcome(outcome)
        for booking_id in effects.forgotten:
            self._drop_outcome(booking_id)

    def evict(self, now: float) -> None:
        """Forget showings that are over with their bookings, and failures after their day."""
        over = {showing_id for showing_id, live in self.showings.items() if live.showing.is_over(now)}
        for showing_id in over:
            del self.showings[showing_id]
        old = [
            outcome.booking_id
            for outcome in self.outcomes.values()
            if (
                outcome.at <= now - rules.FAILURES_KEPT_SECONDS
                if outcome.status == "failed"
                else outcome.showing_id not in self.showings
            )
        ]
        self._add_old_ids(booking_id for booking_id in old if self.outcomes[booking_id].status != "failed")
        for booking_id in old:
            self._drop_outcome(booking_id)
        self._old.clear()
        self._confirm_messages.clear()

    def is_perhaps_old(self, booking_id: str) -> bool:
        """Whether the database may know a booking of a showing that is over by this id. A client's new id is nearly
        never mistaken for one, so that subscribing to a booking's answer before it is asked for costs no reading."""
        number = _first_bits(booking_id)
        place = bisect_left(self._old_ids, number)
        return place < len(self._old_ids) and self._old_ids[place] == number

    def _add_old_ids(self, booking_ids: Iterable[str]) -> None:
        self._old_ids = array("Q", sorted({*self._old_ids, *map(_first_bits, booking_ids)}))

    def remember_old(self, outcome: Outcome) -> None:
        """Keep for a while what was read of a showing that is over, unless something newer is known."""
        if outcome.booking_id in self.outcomes:
            return
        while len(self._old) >= OLD_OUTCOMES:
            del self._old[next(iter(self._old))]
        self._old[outcome.booking_id] = outcome

    def _change_seat(self, change: SeatChange) -> None:
        key = (change.showing_id, change.seat_id)
        self._drop_hold(key)
        if change.hold is not None:
            self._keep_hold(change.hold)
        live = self.showings.get(change.showing_id)
        if live is not None:
            live.set_state(change.seat_id, change.status)
            live.version = change.version
            live.changed()

    def _change_showing(self, showing: Showing, plan: Sequence[Seat] | None) -> None:
        live = self.showings.get(showing.showing_id)
        if plan is not None:
            for key in [key for key in self.holds if key[0] == showing.showing_id]:
                self._drop_hold(key)
            self.showings[showing.showing_id] = LiveShowing(showing, self._plan(showing.room_id, plan))
        elif live is not None:
            live.showing = showing
            live.version = showing.version
            live.changed()

    def _plan(self, room_id: str, seats: Sequence[Seat]) -> Plan:
        known = self._plans.get(room_id)
        if known is None or known.seats != tuple(seats):
            known = self._plans[room_id] = Plan(seats)
        return known

    def _keep_hold(self, hold: Hold) -> None:
        key = (hold.showing_id, hold.seat_id)
        self.holds[key] = hold
        for user_id in {hold.user_id, hold.placed_by}:
            self._holds_of.setdefault(user_id, {})[key] = None
            self._hold_messages.pop(user_id, None)

    def _drop_hold(self, key: tuple[str, str]) -> None:
        hold = self.holds.pop(key, None)
        if hold is None:
            return
        for user_id in {hold.user_id, hold.placed_by}:
            theirs = self._holds_of[user_id]
            del theirs[key]
            if not theirs:
                del self._holds_of[user_id]
            self._hold_messages.pop(user_id, None)

    def _keep_outcome(self, outcome: Outcome) -> None:
        self._old.pop(outcome.booking_id, None)
        self._confirm_messages.pop(outcome.booking_id, None)
        self.outcomes[outcome.booking_id] = outcome
        for user_id in {outcome.user_id, outcome.requested_by}:
            self._outcomes_of.setdefault(user_id, {})[outcome.booking_id] = None

    def _drop_outcome(self, booking_id: str) -> None:
        self._confirm_messages.pop(booking_id, None)
        outcome = self.outcomes.pop(booking_id, None)
        if outcome is None:
            return
        for user_id in {outcome.user_id, outcome.requested_by}:
            theirs = self._outcomes_of[user_id]
            del theirs[booking_id]
            if not theirs:
                del self._outcomes_of[user_id]

    # Asking

    def differences(self, newer: Copy) -> Differences:
        """What another process changed between this copy and a newer one."""
        differences = Differences()
        for showing_id, live in newer.showings.items():
            known = self.showings.get(showing_id)
            if known is None or not known.has_the_seats_of(live):
                differences.plans.append(showing_id)
            if known is None or not known.reads_like(live):
                differences.showings.append(showing_id)
        differences.outcomes = [
            outcome
            for booking_id, outcome in newer.outcomes.items()
            if booking_id not in self.outcomes or self.outcomes[booking_id] != outcome
        ]
        differences.holds = [hold for seat, hold in self.holds.items() if seat not in newer.holds]
        return differences

    def in_sight(self, now: float) -> list[LiveShowing]:
        """The showings scheduled and not over, by their start."""
        seen = [live for live in self.showings.values() if live.showing.is_open_to_view(now)]
        return sorted(seen, key=lambda live: (live.showing.starts_at, live.showing.showing_id))

    def outcome(self, booking_id: str) -> Outcome | None:
        return self.outcomes.get(booking_id) or self._old.get(booking_id)

    def mine(self, identity: Identity, now: float) -> list[Outcome]:
        """One's confirmed and cancelled bookings of showings that are not over; of these a kiosk's of its last hour."""
        if identity.user_id is None:
            return []
        outcomes = [self.outcomes[booking_id] for booking_id in self._outcomes_of.get(identity.user_id, ())]
        since = now - rules.KIOSK_MINE_SECONDS if identity.role == "kiosk" else 0
        return [outcome for outcome in outcomes if outcome.at > since and self._is_coming(outcome, now)]

    def _is_coming(self, outcome: Outcome, now: float) -> bool:
        live = self.showings.get(outcome.showing_id)
        return outcome.status != "failed" and live is not None and not live.showing.is_over(now)

    def holds_of(self, user_id: str) -> list[Notice]:
        """The running holds for a user and by them."""
        return _running(self.holds[key] for key in self._holds_of.get(user_id, ()))

    def has_holds(self, user_id: str) -> bool:
        return user_id in self._holds_of

    def confirm_messages(self, outcome: Outcome) -> tuple[Message, ...]:
        messages = self._confirm_messages.get(outcome.booking_id)
        if messages is None:
            messages = (Message(confirmation(outcome).encode(), qos=1),)
            self._confirm_messages[outcome.booking_id] = messages
        return messages

    def hold_messages(self, user_id: str, now: float) -> tuple[Message, ...]:
        messages = self._hold_messages.get(user_id)
        if messages is None:
            notices = self.holds_of(user_id)
            messages = tuple(Message(hold_notice(notice, now).encode(), qos=1) for notice in notices)
            if messages:  # what is empty is dropped from memory, not kept in it for each who asked
                self._hold_messages[user_id] = messages
        return messages


def _first_bits(booking_id: str) -> int:
    return int(booking_id.replace("-", "")[:16], 16)


# The presents of the four kinds of topics. They share one copy through the service, which replaces it when another
# process wrote; hence a function that answers it.


class _CinemaPresent(Present):
    """What the four have in common."""

    def __init__(self, copy: Callable[[], Copy], clock: Clock) -> None:
        self._copy = copy
        self._clock = clock

    async def prepare(self, topic_filter: str, identity: Identity) -> None:
        """All is in memory."""


def _is_about(topic_filter: str, prefix: str) -> bool:
    """Whether a filter can match topics under the prefix. One that begins with a wildcard, such as ``#``, asks for no
    present: it is a manager's who watches everything."""
    if topic_filter.startswith(prefix):
        return True
    return topic_filter[0] not in "#+" and ("#" in topic_filter or "+" in topic_filter)


class SeatsPresent(_CinemaPresent):
    """``seats/status/{showing_id}``: one message for each seat, in room order."""

    def topics(self, topic_filter: str, identity: Identity) -> Iterable[str]:
        return _showing_topics(SEATS_TOPIC, topic_filter, self._copy(), self._clock())

    def messages(self, topic: str, identity: Identity) -> Sequence[Message]:
        live = self._copy().showings.get(topic.removeprefix(SEATS_TOPIC))
        now = self._clock()
        return live.seat_messages(now) if live is not None and live.showing.is_open_to_view(now) else ()

    def replaces_backlog(self, topic: str) -> bool:
        return topic.startswith(SEATS_TOPIC)


class ShowingsPresent(_CinemaPresent):
    """``showing/update/{showing_id}``: the showing, while it is scheduled and not over."""

    def topics(self, topic_filter: str, identity: Identity) -> Iterable[str]:
        return _showing_topics(SHOWINGS_TOPIC, topic_filter, self._copy(), self._clock())

    def messages(self, topic: str, identity: Identity) -> Sequence[Message]:
        # A cancelled one has no present to begin with, but who was too slow for the news must still learn it.
        live = self._copy().showings.get(topic.removeprefix(SHOWINGS_TOPIC))
        return live.update_messages(self._clock()) if live is not None else ()

    def replaces_backlog(self, topic: str) -> bool:
        return topic.startswith(SHOWINGS_TOPIC)


def _showing_topics(prefix: str, topic_filter: str, copy: Copy, now: float) -> list[str]:
    if not _is_about(topic_filter, prefix):
        return []
    live = copy.showings.get(topic_filter.removeprefix(prefix))
    if live is not None and topic_filter.startswith(prefix):
        return [topic_filter] if live.showing.is_open_to_view(now) else []
    if topic_filter[-1] not in "#+":
        return []
    topics = (prefix + live.showing.showing_id for live in copy.in_sight(now))
    return [topic for topic in topics if matches(topic_filter, topic)]


class BookingsPresent(_CinemaPresent):
    """``booking/confirm/{booking_id}``: its outcome, to those who may see it; with a wildcard one's own.

    ``read_old`` reads the outcome of a booking whose showing is over, which is not kept in memory.
    """

    def __init__(
        self,
        copy: Callable[[], Copy],
        clock: Clock,
        read_old: Callable[[str], Awaitable[Outcome | None]],
    ) -> None:
        super().__init__(copy, clock)
        self._read_old = read_old

    async def prepare(self, topic_filter: str, identity: Identity) -> None:
        booking_id = topic_filter.removeprefix(BOOKINGS_TOPIC)
        if not topic_filter.startswith(BOOKINGS_TOPIC) or not is_id(booking_id):
            return
        copy = self._copy()
        if copy.outcome(booking_id) is None and copy.is_perhaps_old(booking_id) and not identity.is_guest:
            outcome = await self._read_old(booking_id)
            if outcome is not None:
                self._copy().remember_old(outcome)

    def topics(self, topic_filter: str, identity: Identity) -> Iterable[str]:
        if not _is_about(topic_filter, BOOKINGS_TOPIC):
            return []
        if topic_filter.startswith(BOOKINGS_TOPIC) and topic_filter[-1] not in "#+":
            return [topic_filter] if self._visible(topic_filter, identity) is not None else []
        if identity.role == "manager":
            return []
        topics = (BOOKINGS_TOPIC + outcome.booking_id for outcome in self._copy().mine(identity, self._clock()))
        return [topic for topic in topics if matches(topic_filter, topic)]

    def messages(self, topic: str, identity: Identity) -> Sequence[Message]:
        outcome = self._visible(topic, identity)
        return () if outcome is None else self._copy().confirm_messages(outcome)

    def replaces_backlog(self, topic: str) -> bool:
        return False

    def _visible(self, topic: str, identity: Identity) -> Outcome | None:
        outcome = self._copy().outcome(topic.removeprefix(BOOKINGS_TOPIC))
        if outcome is None or not outcome.is_visible_to(identity.user_id, identity.role):
            return None
        return outcome


class HoldsPresent(_CinemaPresent):
    """``users/{user_id}/holds``: one's running holds. Nobody gets another's, managers neither."""

    def topics(self, topic_filter: str, identity: Identity) -> Iterable[str]:
        if identity.user_id is None or not topic_filter.startswith(USERS_TOPIC):
            return []
        if not self._copy().has_holds(identity.user_id):
            return []
        own = inbox(identity.user_id)
        if identity.role == "manager" and not topic_filter.startswith(f"{USERS_TOPIC}{identity.user_id}/"):
            return []
        return [own] if matches(topic_filter, own) else []

    def messages(self, topic: str, identity: Identity) -> Sequence[Message]:
        if identity.user_id is None or topic != inbox(identity.user_id):
            return ()
        return self._copy().hold_messages(identity.user_id, self._clock())

    def replaces_backlog(self, topic: str) -> bool:
        return False
