"""A cinema from a file: what becomes of rows, who is updated, and that a wrong file changes nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from broker.plugin import BoxPlugin
from broker.storage.database import DatabaseError
from config import Settings, load_settings
from plugins.auth import passwords, users
from plugins.auth.users import MIGRATIONS as USER_TABLES
from plugins.booking import demo
from plugins.booking.demo import DemoRefusedError
from plugins.booking.imports import Imported, ImportFileError, import_file, parse, transaction
from plugins.booking.schema import migrations as cinema_tables

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC).timestamp()

ROOM = {
    "name": "Room 1",
    "rows": [
        {"row": "A", "seats": 12, "offset": 1, "aisles_after": [4], "types": {"1": "wheelchair"}, "blocked": [7]},
        {"row": "B", "seats": 14, "type": "premium"},
    ],
}
SHOWING = {
    "title": "The Clockmaker",
    "room": "Room 1",
    "starts_at": "2030-01-01T20:00",
    "minutes": 95,
    "price": "9.50",
    "prices": {"premium": "12.00"},
}
USER = {"username": "k1", "password": "a long enough one", "role": "kiosk", "email": "k@example.org", "name": "K"}


class Users(BoxPlugin):
    migrations = classmethod(lambda cls: USER_TABLES)  # type: ignore[assignment]  # a class of one line


class Bookings(BoxPlugin):
    migrations = classmethod(lambda cls: cinema_tables)  # type: ignore[assignment]  # as above


PLUGINS: Sequence[type] = (Users, Bookings)


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """argon2 takes its time by design, and these tests are not about it."""
    monkeypatch.setattr(passwords, "hash_password", lambda password: f"hash of {password}")
    monkeypatch.setattr(passwords, "verify_password", lambda password, known: known == f"hash of {password}")


@dataclass
class Office:
    """A database to import into, and a file to import from."""

    folder: Path
    settings: Settings

    def bring(self, **cinema: Any) -> Imported:
        file = self.folder / "cinema.json"
        file.write_text(json.dumps(cinema), encoding="utf-8")
        return import_file(file, self.settings, PLUGINS, now=NOW)

    def refuses(self, **cinema: Any) -> str:
        """The findings; nothing may have changed."""
        before = self.everything()
        with pytest.raises(ImportFileError) as refusal:
            self.bring(**cinema)
        assert self.everything() == before
        return str(refusal.value)

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        with transaction(self.settings, PLUGINS) as db:
            return list(db.conn.execute(query, parameters))

    def do(self, statement: str, *parameters: object) -> None:
        with transaction(self.settings, PLUGINS) as db:
            db.conn.execute(statement, parameters)

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        return {table: self.rows(f"SELECT * FROM {table}") for table in ("rooms", "seats", "showings", "users")}

    def sell(self, row: str, number: int) -> None:
        """Book one seat of the first showing for the first user."""
        [(showing_id, room_id)] = self.rows("SELECT showing_id, room_id FROM showings LIMIT 1")
        [(user_id,)] = self.rows("SELECT user_id FROM users LIMIT 1")
        [(seat_id,)] = self.rows(
            'SELECT seat_id FROM seats WHERE room_id = ? AND "row" = ? AND number = ?', room_id, row, number
        )
        with transaction(self.settings, PLUGINS) as db:
            db.table("bookings").insert(
                {
                    "booking_id": "b",
                    "number": "AAAAAA",
                    "showing_id": showing_id,
                    "user_id": user_id,
                    "requested_by": user_id,
                    "status": "confirmed",
                    "message": "",
                    "total_cents": 950,
                    "currency": "EUR",
                    "key": "k",
                    "created_at": NOW,
                }
            )
            db.table("booking_seats").insert({"booking_id": "b", "seat_id": seat_id, "place": 0, "price_cents": 950})


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path, load_settings(None, database={"path": tmp_path / "cinema.db"}))


def test_the_example_of_the_protocol_is_imported(office: Office) -> None:
    imported = office.bring(
        rooms=[ROOM],
        showings=[{**SHOWING, "title": "…"}],
        users=[
            {"username": "k1", "password": "choose-a-long-one", "role": "kiosk", "email": "k1@example.org", "name": "…"}
        ],
    )
    assert str(imported) == "1 room (1 new) with 25 seats, 1 showing (1 new) and 1 user (1 new) imported"


# Rows


def test_offset_aisles_types_and_blocked_seats_decide_numbers_and_places(office: Office) -> None:
    office.bring(rooms=[ROOM])
    seats = office.rows('SELECT number, x, y, type FROM seats WHERE "row" = ? ORDER BY position', "A")
    assert [number for number, *_ in seats] == [1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12]
    assert [x for _, x, *_ in seats] == [1, 2, 3, 4, 6, 7, 9, 10, 11, 12, 13]
    assert {y for *_, y, _ in seats} == {0}
    assert [kind for *_, kind in seats] == ["wheelchair"] + ["standard"] * 10


def test_the_next_row_is_behind_it_and_has_its_own_type(office: Office) -> None:
    office.bring(rooms=[ROOM])
    seats = office.rows('SELECT x, y, type FROM seats WHERE "row" = ? ORDER BY position', "B")
    assert seats == [(x, 1, "premium") for x in range(14)]


def test_room_order_is_row_by_row_in_the_files_order(office: Office) -> None:
    office.bring(rooms=[{"name": "R", "rows": [{"row": "Z", "seats": 2}, {"row": "A", "seats": 1}]}])
    assert office.rows('SELECT "row", number FROM seats ORDER BY position') == [("Z", 1), ("Z", 2), ("A", 1)]


# Showings and users


def test_a_time_without_an_offset_is_the_cinemas(office: Office) -> None:
    office.bring(rooms=[ROOM], showings=[SHOWING])
    [(starts_at, ends_at)] = office.rows("SELECT starts_at, ends_at FROM showings")
    assert datetime.fromtimestamp(starts_at, UTC) == datetime(2030, 1, 1, 19, tzinfo=UTC)  # Amsterdam's winter
    assert ends_at - starts_at == 95 * 60


def test_a_time_with_an_offset_is_taken_at_its_word(office: Office) -> None:
    office.bring(rooms=[ROOM], showings=[{**SHOWING, "starts_at": "2030-01-01T20:00:00-05:00"}])
    [(starts_at,)] = office.rows("SELECT starts_at FROM showings")
    assert datetime.fromtimestamp(starts_at, UTC) == datetime(2030, 1, 2, 1, tzinfo=UTC)


def test_an_hour_that_the_clocks_leave_out_is_refused(office: Office) -> None:
    finding = office.refuses(rooms=[ROOM], showings=[{**SHOWING, "starts_at": "2030-03-31T02:30"}])
    assert "showings[0].starts_at" in finding
    assert "Europe/Amsterdam's clocks on that day: they go to summer time" in finding


def test_a_price_for_a_type_that_no_seat_has_is_refused(office: Office) -> None:
    room = {"name": "R", "rows": [{"row": "A", "seats": 2, "types": {"2": "premium"}}]}
    showing = {**SHOWING, "room": "R", "prices": {"premum": "12.00"}}
    assert office.refuses(rooms=[room], showings=[showing]).endswith(
        "showings[0].prices.premum: no seat of the room is of this type; there are premium, standard"
    )


def test_what_the_owner_may_not_have_meant_is_told_and_imported(office: Office) -> None:
    room = {"name": "R", "rows": [{"row": "A", "seats": 2}]}

    def showing(title: str, starts_at: str) -> dict[str, Any]:
        return {"title": title, "room": "R", "starts_at": starts_at, "minutes": 60, "price": "9.50"}

    after = [showing("One", "2090-01-01T20:00"), showing("Two", "2090-01-01T21:00")]
    assert office.bring(rooms=[room], showings=after).notices == ()
    wrong = [showing("Three", "2090-01-01T20:30"), showing("Old", "1990-01-01T20:00")]
    assert office.bring(showings=wrong).notices == (
        "R: “Three” at 2090-01-01 20:30 overlaps with “One” at 2090-01-01 20:00",
        "R: “Two” at 2090-01-01 21:00 overlaps with “Three” at 2090-01-01 20:30",
        "“Old” at 1990-01-01 20:00 is over already",
    )
    assert len(office.rows("SELECT 1 FROM showings")) == 4


def test_a_rooms_changed_plan_is_told(office: Office) -> None:
    assert office.bring(rooms=[{"name": "R", "rows": [{"row": "A", "seats": 25}]}]).notices == ()
    assert office.bring(rooms=[{"name": "R", "rows": [{"row": "A", "seats": 3}]}]).notices == ("R: 22 seats removed",)
    rows = [{"row": "A", "seats": 2}, {"row": "B", "seats": 2}]
    assert office.bring(rooms=[{"name": "R", "rows": rows}]).notices == ("R: 2 seats added, 1 seat removed",)
    # Made for the removal alone: each sale would pay for it.
    assert office.rows("SELECT 1 FROM sqlite_master WHERE name = 'sales_of_a_seat'") == []


def test_minutes_are_120_when_left_out(office: Office) -> None:
    office.bring(rooms=[ROOM], showings=[{key: value for key, value in SHOWING.items() if key != "minutes"}])
    assert office.rows("SELECT ends_at - starts_at FROM showings") == [(120 * 60,)]


def test_prices_are_kept_in_cents(office: Office) -> None:
    office.bring(rooms=[ROOM], showings=[SHOWING])
    [(price, prices, currency)] = office.rows("SELECT price_cents, prices, currency FROM showings")
    assert (price, json.loads(prices), currency) == (950, {"premium": 1200}, "EUR")


def test_users_can_sign_in_with_the_files_password(office: Office) -> None:
    office.bring(users=[USER])
    assert office.rows("SELECT username, role, password_hash, email, name FROM users") == [
        ("k1", "kiosk", "hash of a long enough one", "k@example.org", "K")
    ]


# Once more


def test_the_same_file_again_changes_nothing(office: Office) -> None:
    office.bring(rooms=[ROOM], showings=[SHOWING], users=[USER])
    before = office.everything()
    again = office.bring(rooms=[ROOM], showings=[SHOWING], users=[USER])
    assert office.everything() == before
    assert (again.rooms.added, again.showings.added, again.users.added) == (0, 0, 0)


def test_what_exists_is_updated_and_nothing_is_removed(office: Office) -> None:
    office.bring(rooms=[ROOM, {**ROOM, "name": "Room 2"}], showings=[SHOWING], users=[USER])
    office.bring(showings=[{**SHOWING, "title": "Salt and Snow"}], users=[{**USER, "role": "manager"}])
    assert office.rows("SELECT title FROM showings") == [("Salt and Snow",)]
    assert office.rows("SELECT role FROM users") == [("manager",)]
    assert office.rows("SELECT count(*) FROM rooms") == [(2,)]


def test_a_room_known_by_its_id_may_get_another_name(office: Office) -> None:
    room_id = "6f1d4a52-9b53-4c39-9d37-0d3b8f1c5a01"
    office.bring(rooms=[{**ROOM, "room_id": room_id}])
    office.bring(rooms=[{**ROOM, "room_id": room_id, "name": "Lumière"}])
    assert office.rows("SELECT room_id, name FROM rooms") == [(room_id, "Lumière")]


def test_a_showing_known_by_its_id_may_start_at_another_time(office: Office) -> None:
    showing = {**SHOWING, "showing_id": "0a4b8c1e-53c2-4d35-8b67-5f4c9d2e7a10"}
    office.bring(rooms=[ROOM], showings=[showing])
    office.bring(showings=[{**showing, "starts_at": "2030-01-01T21:00"}])
    assert office.rows("SELECT count(*) FROM showings") == [(1,)]


def test_a_cancelled_showing_stays_cancelled(office: Office) -> None:
    office.bring(rooms=[ROOM], showings=[SHOWING])
    office.do("UPDATE showings SET status = 'cancelled'")
    office.bring(rooms=[ROOM], showings=[SHOWING])
    assert office.rows("SELECT status FROM showings") == [("cancelled",)]


def test_a_larger_plan_keeps_its_seats_and_raises_the_showings_version(office: Office) -> None:
    office.bring(rooms=[ROOM], showings=[SHOWING])
    before = set(office.rows("SELECT seat_id FROM seats"))
    [(version,)] = office.rows("SELECT version FROM showings")
    office.bring(rooms=[{**ROOM, "rows": [*ROOM["rows"], {"row": "C", "seats": 3}]}])
    assert before < set(office.rows("SELECT seat_id FROM seats"))
    assert office.rows("SELECT version FROM showings")[0][0] > version


def test_an_unsold_seat_can_be_taken_out_even_while_it_is_held(office: Office) -> None:
    office.bring(rooms=[ROOM], showings=[SHOWING], users=[USER])
    office.do(
        "INSERT INTO seat_claims (showing_id, seat_id, room_id, held_for, held_by, held_run, held_since, held_until) "
        "SELECT showing_id, seat_id, room_id, 'u', 'u', 'u', 0, 1e12 FROM showings JOIN seats USING (room_id) "
        "WHERE \"row\" = 'B' AND number = 1"
    )
    office.bring(rooms=[{**ROOM, "rows": ROOM["rows"][:1]}])
    assert office.rows("SELECT count(*) FROM seats") == [(11,)]
    assert office.rows("SELECT count(*) FROM seat_claims") == [(0,)]


def test_a_sold_seat_cannot_be_taken_out_of_its_room(office: Office) -> None:
    office.bring(rooms=[ROOM], showings=[SHOWING], users=[USER])
    office.sell("B", 14)
    finding = office.refuses(rooms=[{**ROOM, "rows": [ROOM["rows"][0], {"row": "B", "seats": 13}]}])
    assert "rooms[0].rows: seat 14 of row B was sold" in finding


def test_a_showing_with_sold_seats_stays_in_its_room(office: Office) -> None:
    showing = {**SHOWING, "showing_id": "0a4b8c1e-53c2-4d35-8b67-5f4c9d2e7a10"}
    office.bring(rooms=[ROOM, {**ROOM, "name": "Room 2"}], showings=[showing], users=[USER])
    office.sell("A", 1)
    assert "showings[0].room" in office.refuses(showings=[{**showing, "room": "Room 2"}])


def test_the_last_manager_stays_one(office: Office) -> None:
    office.bring(users=[{**USER, "role": "manager"}])
    assert "users[0].role" in office.refuses(users=[USER])


# Wrong files


@pytest.mark.parametrize(
    ("cinema", "finding"),
    [
        ({"rooms": [{**ROOM, "rows": [{"row": "A", "seats": 101}]}]}, "rooms[0].rows[0].seats: must be less than"),
        ({"rooms": [{**ROOM, "rows": [{"row": "A", "seats": 0}]}]}, "rooms[0].rows[0].seats"),
        ({"rooms": [{**ROOM, "rows": []}]}, "rooms[0].rows"),
        (
            {"rooms": [{**ROOM, "rows": [{"row": str(row), "seats": 100} for row in range(51)]}]},
            "rooms[0]: the room has 5100 seats",
        ),
        ({"rooms": [{**ROOM, "rows": [{"row": "A", "seats": 2}] * 2}]}, "rooms[0]: row A is there twice"),
        ({"rooms": [{**ROOM, "rows": [{"row": "A", "seats": 2, "blocked": [3]}]}]}, "blocked names seat 3"),
        ({"rooms": [{**ROOM, "rows": [{"row": "A", "seats": 2, "types": {"3": "x"}}]}]}, "types names seat 3"),
        ({"rooms": [{**ROOM, "rows": [{"row": "A", "seats": 2, "typo": 1}]}]}, "rows[0].typo: there is no such field"),
        ({"rooms": [ROOM, ROOM]}, "rooms[1]: this is the same as rooms[0]"),
        ({"rooms": [{"name": "R"}]}, "rooms[0].rows: this field is missing"),
        ({"showings": [SHOWING]}, "showings[0].room: there is no such room"),
        ({"rooms": [ROOM], "showings": [SHOWING, SHOWING]}, "showings[1]: this is the same as showings[0]"),
        ({"rooms": [ROOM], "showings": [{**SHOWING, "price": 9.5}]}, "showings[0].price: must be a decimal"),
        ({"rooms": [ROOM], "showings": [{**SHOWING, "price": "-1"}]}, "showings[0].price: must be a decimal"),
        ({"rooms": [ROOM], "showings": [{**SHOWING, "starts_at": "soon"}]}, "showings[0].starts_at: must be a date"),
        ({"rooms": [ROOM], "showings": [{**SHOWING, "starts_at": "2030-01-01"}]}, "showings[0].starts_at: must have"),
        (
            {"rooms": [ROOM], "showings": [{**SHOWING, "starts_at": "9999-01-01T20:00"}]},
            "showings[0].starts_at: must be in a year from 1970 to 9998",
        ),
        (
            {"rooms": [ROOM], "showings": [{**SHOWING, "starts_at": "9998-12-31T23:00", "minutes": 120}]},
            "showings[0].starts_at: must be in a year from 1970 to 9998, as must the end",
        ),
        ({"rooms": [ROOM], "showings": [{**SHOWING, "title": "a\nb"}]}, "showings[0].title: must be text"),
        ({"users": [{**USER, "username": "Not Good"}]}, "users[0].username: must be 1 to 32"),
        ({"users": [{**USER, "role": "guest"}]}, "users[0].role: must be"),
        ({"users": [{"username": "k1"}]}, "users[0].password: this field is missing"),
        ({"users": [{**USER, "password": "secret"}]}, "users[0].password: must be 10 to 1024 bytes long"),
        ({"users": [{**USER, "password": "é" * 513}]}, "users[0].password: must be 10 to 1024 bytes long"),
        ({"users": [{**USER, "name": "K\u200b"}]}, "users[0].name: must not contain"),
    ],
)
def test_a_wrong_file_changes_nothing_and_says_where(office: Office, cinema: dict[str, Any], finding: str) -> None:
    office.bring(users=[{**USER, "username": "already.here"}])
    assert finding in office.refuses(**cinema)


def test_a_mistake_at_the_end_takes_back_what_came_before_it(office: Office) -> None:
    finding = office.refuses(rooms=[ROOM], users=[USER], showings=[SHOWING, {**SHOWING, "room": "Room 9"}])
    assert "showings[1].room: there is no such room" in finding


def test_findings_do_not_repeat_a_password(office: Office) -> None:
    assert "secret" not in office.refuses(users=[{**USER, "password": ["secret"]}])


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null", b"[" * 100_000])
def test_what_is_not_a_json_object_is_refused_in_a_sentence(content: bytes) -> None:
    with pytest.raises(ImportFileError):
        parse(content)


def test_a_byte_order_mark_is_no_mistake() -> None:
    assert parse(b'\xef\xbb\xbf{"users": []}').users == []


def test_a_damaged_database_is_told_in_a_sentence(office: Office) -> None:
    office.settings.database.path.write_bytes(b"This is not a database. " * 100)
    with pytest.raises(DatabaseError, match="damaged"):
        office.bring(rooms=[ROOM])


# The demo


def _seven_days() -> list[str]:
    return [(datetime.fromtimestamp(NOW, UTC) + timedelta(days=ahead)).date().isoformat() for ahead in range(1, 8)]


def test_the_demo_has_two_rooms_showings_on_seven_days_and_its_users(office: Office) -> None:
    demo.prepare(office.settings, PLUGINS, now=NOW)
    seats = [count for (count,) in office.rows("SELECT count(*) FROM seats GROUP BY room_id")]
    assert len(seats) == 2
    assert min(seats) >= 60
    assert dict(office.rows("SELECT username, role FROM users")) == demo.USERS
    starts = [
        datetime.fromtimestamp(at, ZoneInfo("Europe/Amsterdam"))
        for (at,) in office.rows("SELECT starts_at FROM showings")
    ]
    assert sorted({start.date().isoformat() for start in starts}) == _seven_days()
    assert all(18 <= start.hour < 22 for start in starts)


def test_each_start_tops_the_demo_up(office: Office) -> None:
    demo.prepare(office.settings, PLUGINS, now=NOW)
    [(before,)] = office.rows("SELECT count(*) FROM showings")
    demo.prepare(office.settings, PLUGINS, now=NOW)
    assert office.rows("SELECT count(*) FROM showings") == [(before,)]
    demo.prepare(office.settings, PLUGINS, now=NOW + 3 * 86400)
    assert office.rows("SELECT count(*) FROM showings") == [(before // 7 * 10,)]


def test_a_topped_up_demo_leaves_a_managers_changes_alone(office: Office) -> None:
    demo.prepare(office.settings, PLUGINS, now=NOW)
    office.do("UPDATE showings SET title = 'Mine', status = 'cancelled'")
    before = office.everything()
    demo.prepare(office.settings, PLUGINS, now=NOW)
    assert office.everything() == before


def test_the_demo_never_touches_a_database_of_ones_own(office: Office) -> None:
    office.bring(rooms=[ROOM])
    before = office.everything()
    with pytest.raises(DemoRefusedError):
        demo.prepare(office.settings, PLUGINS, now=NOW)
    assert office.everything() == before


def test_a_demos_passwords_are_what_they_are_said_to_be(office: Office) -> None:
    demo.prepare(office.settings, PLUGINS, now=NOW)
    with transaction(office.settings, PLUGINS) as db:
        bob = users.by_username(db, "bob")
    assert bob is not None
    assert bob.password_hash == "hash of bob-demo"
