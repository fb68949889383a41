"""Whatever is done in whatever order: no seat for two, none lost, no cap passed, no gap in a version, and the present
in memory is what the database would rebuild."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from small_cinema import (
    ALICE,
    BOB,
    HOUR,
    KIOSK,
    LATE_SHOWING,
    MANAGER,
    NOW,
    OTHER_SEATS,
    ROLES,
    SEATS,
    SHOWING,
    VISITOR,
    Desk,
    an_id,
    sender_of,
    terms,
)

from broker.plugin import Refusal
from plugins.booking.present import Copy
from plugins.booking.reading import snapshot
from plugins.booking.wire import ShowingRequest, iso_seconds

CAPS = {
    "max_seats": 3,
    "max_held_seats": 3,
    "max_seats_per_showing": 4,
    "max_held_per_address": 5,
    "max_share_per_address": 1,  # so that max_seats_per_showing is an address's share, too
}
FEW_SEATS = (*SEATS[:5], OTHER_SEATS[0])

senders = st.sampled_from([ALICE, BOB, VISITOR, KIOSK, MANAGER])
users = st.sampled_from([None, ALICE, BOB, KIOSK])
showings = st.sampled_from([SHOWING, LATE_SHOWING])
seat_sets = st.lists(st.sampled_from(FEW_SEATS), min_size=1, max_size=4, unique=True)
booking_ids = st.sampled_from([an_id(0xB00 + n) for n in range(8)])
addresses = st.sampled_from(["192.0.2.1", "192.0.2.2"])


class Cinema(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="ledger-"))
        self.desk = Desk(self.folder / "cinema.db", **CAPS)
        self.desk.db.conn.execute("PRAGMA synchronous = OFF")  # the disk is not what is tested
        self.copy = Copy.of(snapshot(self.desk.db, self.desk.now))
        self.versions = {showing_id: live.version for showing_id, live in self.copy.showings.items()}
        self.told: dict[str, dict[str, str]] = {showing_id: {} for showing_id in self.versions}

    def teardown(self) -> None:
        self.desk.db.conn.close()
        shutil.rmtree(self.folder)

    def act(self, action: Any, *args: Any, **kwargs: Any) -> None:
        try:
            decided = action(*args, **kwargs)
        except Refusal:
            return
        self.copy.apply(decided.effects)
        for seat in decided.effects.seats:
            self.versions[seat.showing_id] += 1
            assert seat.version == self.versions[seat.showing_id], "a gap in the version"
            self.told[seat.showing_id][seat.seat_id] = seat.status
        for change in decided.effects.showings:
            showing = change.showing
            if change.plan is not None:
                assert showing.version > self.versions[showing.showing_id]
                self.versions[showing.showing_id] = showing.version
                self.told[showing.showing_id] = {}
        if decided.effects.stale:
            self.copy = Copy.of(snapshot(self.desk.db, self.desk.now))

    def act_for(self, action: Any, sender: str, seats: list[str], user_id: str | None, **more: Any) -> None:
        """As the service does: who may act for themselves alone does so."""
        named = user_id if ROLES[sender] in ("kiosk", "manager") else None
        self.act(action, sender, seats, user_id=named, **more)

    @initialize(close=st.booleans())
    def some_begin_shortly_before_the_start(self, close: bool) -> None:
        if close:
            self.desk.now = NOW + 10 * HOUR - 700

    @rule(
        sender=senders, seats=seat_sets, user_id=users, showing_id=showings, booking_id=booking_ids, address=addresses
    )
    def book(self, **order: Any) -> None:
        self.act_for(self.desk.book, **order)

    @rule(
        sender=senders,
        seats=seat_sets,
        user_id=users,
        showing_id=showings,
        booking_id=st.none() | booking_ids,
        address=addresses,
    )
    def hold(self, **order: Any) -> None:
        self.act_for(self.desk.hold, **order)

    @rule(sender=senders, seats=seat_sets, user_id=users, showing_id=showings, booking_id=st.none() | booking_ids)
    def release(self, **order: Any) -> None:
        self.act_for(self.desk.release, **order)

    @rule(sender=senders, booking_id=booking_ids)
    def cancel(self, sender: str, booking_id: str) -> None:
        self.act(self.desk.cancel, sender, booking_id)

    @rule(seconds=st.sampled_from([1, 100, 299, 300, 301, 600, 3600]))
    def time_passes(self, seconds: int) -> None:
        self.desk.now += seconds

    @rule(by=st.sampled_from([-18_000, -60, 60, 18_000]))
    def the_clock_is_set(self, by: int) -> None:
        self.desk.now += by
        self.act(self.desk.run, self.desk.ledger.clock_set, by)
        self.copy = Copy.of(snapshot(self.desk.db, self.desk.now))

    @rule()
    def expire(self) -> None:
        self.act(self.desk.expire)

    @rule()
    def purge(self) -> None:
        self.act(self.desk.run, self.desk.ledger.purge)

    @rule(user_id=senders, cancel_bookings=st.booleans())
    def close_an_account(self, user_id: str, cancel_bookings: bool) -> None:
        self.act(self.desk.run, self.desk.ledger.end_user, user_id, cancel_bookings=cancel_bookings)

    @rule(
        action=st.sampled_from(["update", "update", "update", "cancel"]),
        showing_id=showings,
        fields=st.fixed_dictionaries(
            {},
            optional={
                "title": st.sampled_from(["One", "Two"]),
                "price": st.sampled_from(["1.00", "2.50"]),
                "room": st.sampled_from(["Room 1", "Room 2"]),
                "starts_at": st.sampled_from([iso_seconds(NOW + hours * HOUR) for hours in (1, 10, 30)]),
            },
        ),
    )
    def change_a_showing(self, action: str, showing_id: str, fields: dict[str, Any]) -> None:
        request = ShowingRequest.model_validate({"action": action, "showing": {"showing_id": showing_id} | fields})
        self.act(self.desk.run, self.desk.ledger.change_showing, sender_of(MANAGER), request)

    @rule()
    def restart(self) -> None:
        self.desk.db.conn.close()
        now = self.desk.now
        self.desk = Desk(self.folder / "cinema.db", **CAPS)
        self.desk.db.conn.execute("PRAGMA synchronous = OFF")
        self.desk.now = now
        self.copy = Copy.of(snapshot(self.desk.db, now))

    @invariant()
    def each_sold_seat_belongs_to_one_standing_booking(self) -> None:
        sold = Counter(
            self.desk.db.conn.execute(
                "SELECT showing_id, seat_id FROM bookings JOIN booking_seats USING (booking_id) "
                "WHERE status = 'confirmed'"
            )
        )
        assert max(sold.values(), default=1) == 1
        claimed = set(
            self.desk.db.conn.execute("SELECT showing_id, seat_id FROM seat_claims WHERE booking_id IS NOT NULL")
        )
        assert claimed == set(sold)

    @invariant()
    def no_cap_is_passed_by_a_customer(self) -> None:
        # A kiosk may hold and book more for a customer, who is then merely not given more by their own commands.
        execute = self.desk.db.conn.execute
        for user_id in (ALICE, BOB, VISITOR):
            (held,) = execute(
                "SELECT count(*) FROM seat_claims WHERE held_for = ? AND held_by = ?", (user_id, user_id)
            ).fetchone()
            assert held <= CAPS["max_held_seats"]
            for showing_id in (SHOWING, LATE_SHOWING):
                (own,) = execute(
                    "SELECT count(*) FROM bookings JOIN booking_seats USING (booking_id) WHERE status = 'confirmed' "
                    "AND showing_id = ? AND user_id = ? AND requested_by = user_id",
                    (showing_id, user_id),
                ).fetchone()
                assert own <= CAPS["max_seats_per_showing"]
        for (count,) in execute(
            "SELECT count(*) FROM seat_claims WHERE held_address IS NOT NULL GROUP BY held_address"
        ):
            assert count <= CAPS["max_held_per_address"]
        for (count,) in execute(
            "SELECT count(*) FROM (SELECT showing_id, held_address AS address FROM seat_claims UNION ALL "
            "SELECT showing_id, address FROM bookings JOIN booking_seats USING (booking_id) "
            "WHERE status = 'confirmed') WHERE address IS NOT NULL GROUP BY showing_id, address"
        ):
            assert count <= CAPS["max_seats_per_showing"]

    @invariant()
    def no_hold_lasts_longer_than_allowed(self) -> None:
        limits = terms(**CAPS)
        for since, until in self.desk.db.conn.execute(
            "SELECT held_since, held_until FROM seat_claims WHERE held_until IS NOT NULL"
        ):
            assert until - since <= limits.hold_max_seconds
            assert until <= self.desk.now + limits.hold_seconds

    @invariant()
    def what_was_told_is_how_it_is(self) -> None:
        states: dict[str, dict[str, str]] = {showing_id: {} for showing_id in self.told}
        for showing_id, seat_id, booking_id in self.desk.db.conn.execute(
            "SELECT showing_id, seat_id, booking_id FROM seat_claims"
        ):
            states[showing_id][seat_id] = "booked" if booking_id else "reserved"
        for showing_id, told in self.told.items():
            assert {seat: status for seat, status in told.items() if status != "available"} == states[showing_id]
        versions = dict(self.desk.db.conn.execute("SELECT showing_id, version FROM showings"))
        assert versions == self.versions

    @invariant()
    def the_present_is_what_the_database_would_rebuild(self) -> None:
        now = self.desk.now
        rebuilt = Copy.of(snapshot(self.desk.db, now))
        self.copy.evict(now)
        assert vars_of(self.copy) == vars_of(rebuilt)


def vars_of(copy: Copy) -> Any:
    return (
        {
            showing_id: (live.version, live.states, live.available, live.plan.seats, live.update(0))
            for showing_id, live in copy.showings.items()
        },
        copy.outcomes,
        copy.holds,
        {user_id: set(ids) for user_id, ids in copy._outcomes_of.items()},
        {user_id: set(keys) for user_id, keys in copy._holds_of.items()},
    )


TestCinema = Cinema.TestCase
TestCinema.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
