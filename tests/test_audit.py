"""The audit trail: what is written at once, what is gathered, and that it can be neither changed nor out of step."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlite_utils
from hypothesis import given
from hypothesis import strategies as st

from broker.audit import (
    GATHER_SECONDS,
    KINDS_TOLD_APART,
    MIGRATIONS,
    SHARE_OF_ADDRESS,
    Audit,
    Entry,
    Floods,
    Row,
    find,
    record,
)
from broker.storage.database import Database, StorageUnavailableError, connect, migrate

NOON = 1_900_000_000.0
ALICE, BOB = "a11ce", "b0b"
MINUTE_LIMIT = dict(KINDS_TOLD_APART)[60]
DAY_LIMIT = dict(KINDS_TOLD_APART)[24 * 3600]


def hold(account: str | None = ALICE, address: str | None = "192.0.2.1", **more: str) -> Entry:
    return Entry(account, address, "seats/hold", more.pop("outcome", "held"), **more)


# What is written of a flood


def test_the_first_of_a_kind_is_written_at_once_and_what_repeats_it_is_not() -> None:
    floods = Floods()
    assert floods.note(hold(), NOON) == [Row(NOON, None, hold())]
    assert [floods.note(hold(), NOON + second) for second in range(1, 60)] == [[]] * 59


def test_when_the_minute_is_over_the_repetitions_are_one_row() -> None:
    floods = Floods()
    for second in (0, 5, 6, 59):
        floods.note(hold(), NOON + second)
    assert floods.due(NOON + 59) == []
    assert floods.due(NOON + GATHER_SECONDS) == [Row(NOON + 5, NOON + 59, hold(), 3)]
    assert floods.due(NOON + GATHER_SECONDS) == []


def test_one_that_was_not_repeated_leaves_no_second_row() -> None:
    floods = Floods()
    floods.note(hold(), NOON)
    assert floods.due(NOON + GATHER_SECONDS) == []
    assert len(floods) == 0


def test_another_minute_begins_with_what_was_left_of_the_one_before() -> None:
    floods = Floods()
    floods.note(hold(), NOON)
    floods.note(hold(), NOON + 1)
    late = NOON + GATHER_SECONDS + 1
    assert floods.note(hold(), late) == [Row(NOON + 1, NOON + 1, hold()), Row(late, None, hold())]


@pytest.mark.parametrize(
    "other",
    [
        hold(BOB),
        hold(address="192.0.2.2"),
        hold(outcome="rejected"),
        hold(on_behalf_of=BOB),
        hold()._replace(action="x"),
    ],
)
def test_another_kind_is_told_apart(other: Entry) -> None:
    floods = Floods()
    floods.note(hold(), NOON)
    assert floods.note(other, NOON) == [Row(NOON, None, other)]


def test_gathered_ones_name_their_subject_where_all_have_the_same() -> None:
    floods = Floods()
    for subject in ("one", "one", "one"):
        floods.note(hold(subject=subject), NOON)
    for subject in ("one", "two", "one"):
        floods.note(hold(BOB, subject=subject), NOON)
    assert [row.entry.subject for row in floods.rest()] == ["one", None]


def test_a_clock_set_back_ends_the_minute() -> None:
    floods = Floods()
    floods.note(hold(), NOON)
    floods.note(hold(), NOON + 1)
    assert floods.due(NOON - 3600) == [Row(NOON + 1, NOON + 1, hold())]


def test_a_hundred_thousand_addresses_are_few_rows_whose_counts_add_up() -> None:
    floods = Floods()
    rows = []
    for number in range(100_000):
        rows += floods.note(hold(None, f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"), NOON)
        assert len(floods) <= MINUTE_LIMIT + 1
    rows += floods.rest()
    assert len(rows) == MINUTE_LIMIT + 1
    assert sum(row.times for row in rows) == 100_000
    assert rows[-1] == Row(NOON, NOON, hold(None, None), 100_000 - MINUTE_LIMIT)


def test_one_address_does_not_take_the_others_out_of_the_trail() -> None:
    floods = Floods()
    rows = [row for number in range(10_000) for row in floods.note(hold(str(number), "10.0.0.1"), NOON)]
    assert len(rows) == MINUTE_LIMIT // SHARE_OF_ADDRESS
    assert floods.note(hold("alice", "10.0.0.2"), NOON) == [Row(NOON, None, hold("alice", "10.0.0.2"))]


def test_a_whole_day_of_it_is_bounded_too() -> None:
    floods = Floods()
    day = NOON // 86400 * 86400
    rows = []
    for number in range(3 * DAY_LIMIT):
        rows += floods.note(hold(None, str(number)), day + number)
    named = [row for row in rows if row.entry.address is not None]
    assert len(named) == DAY_LIMIT
    assert len(rows) <= DAY_LIMIT + 24 * 60 + 1


def test_a_flood_of_one_action_and_outcome_hides_no_other() -> None:
    floods = Floods()
    for number in range(2 * MINUTE_LIMIT):
        floods.note(hold(None, str(number)), NOON)
    for other in (hold(outcome="rejected"), Entry(ALICE, "192.0.2.1", "booking/cancel", "forbidden")):
        assert floods.note(other, NOON) == [Row(NOON, None, other)]


def test_what_was_not_put_on_disk_is_counted_as_if_it_had_not_been() -> None:
    floods = Floods()
    floods.note(hold(), NOON)
    floods.note(hold(), NOON + 1)
    floods.settled(True)
    floods.note(hold(), NOON + 2)
    floods.note(hold(BOB), NOON + 2)
    floods.due(NOON + GATHER_SECONDS)
    floods.settled(False)
    assert floods.note(hold(BOB), NOON + 3) == [Row(NOON + 3, None, hold(BOB))]
    assert floods.rest() == [Row(NOON + 1, NOON + 1, hold())]


happenings = st.lists(
    st.tuples(st.sampled_from([hold(), hold(BOB), hold(BOB, outcome="x")]), st.floats(0, 50), st.booleans()),
    max_size=60,
)


@given(happenings)
def test_of_whatever_comes_each_is_counted_once(came: list[tuple[Entry, float, bool]]) -> None:
    floods, now, rows, told = Floods(), NOON, list[Row](), Counter[Entry]()
    for entry, pause, on_disk in came:
        now += pause
        written = floods.note(entry, now) + floods.due(now)
        floods.settled(on_disk)
        if on_disk:
            rows += written
            told[entry] += 1
    rows += floods.rest()
    counted = Counter[Entry]()
    for row in rows:
        counted[row.entry] += row.times
        assert row.until is None or row.at <= row.until
    assert counted == told


# The table


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite_utils.Database]:
    db = connect(tmp_path / "box.db")
    migrate(db, [MIGRATIONS])
    yield db
    db.conn.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET outcome = 'x'",
        "UPDATE OR REPLACE audit SET id = 2",
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit (id, at, action, outcome) VALUES (1, 0, 'x', 'x')",
        "REPLACE INTO audit (id, at, action, outcome) VALUES (2, 0, 'x', 'x')",
        "INSERT INTO audit (id, at, action, outcome) VALUES (1, 0, 'x', 'x') ON CONFLICT DO UPDATE SET at = 0",
    ],
)
def test_a_row_can_be_neither_changed_nor_taken_away(db: sqlite_utils.Database, statement: str) -> None:
    for at in (NOON, NOON + 1):
        record(db, at, hold())
    before = db.conn.execute("SELECT * FROM audit").fetchall()
    plain = sqlite3.connect(db.conn.execute("PRAGMA database_list").fetchone()[2])  # another program's, as it comes
    for connection in (db.conn, plain):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
    plain.close()
    assert db.conn.execute("SELECT * FROM audit").fetchall() == before


def test_the_latest_rows_are_found_the_latest_last(db: sqlite_utils.Database) -> None:
    for number in range(5):
        record(db, NOON + number, hold())
    assert [row.at for row in find(db, last=3)] == [NOON + 2, NOON + 3, NOON + 4]
    assert [row.at for row in find(db, last=9, since=NOON + 1, until=NOON + 3)] == [NOON + 1, NOON + 2]


def test_a_gathered_row_is_found_by_any_moment_of_its_time(db: sqlite_utils.Database) -> None:
    db["audit"].insert({"at": NOON, "until": NOON + 50, "action": "x", "outcome": "x", "count": 7})
    assert [row.times for row in find(db, last=9, since=NOON + 20, until=NOON + 30)] == [7]
    assert find(db, last=9, since=NOON + 51) == []


def test_rows_are_found_by_user_in_every_part_and_by_subject(db: sqlite_utils.Database) -> None:
    record(db, 1, hold(ALICE, subject="showing"))
    record(db, 2, hold("kiosk", on_behalf_of=ALICE))
    record(db, 3, Entry("manager", None, "user/change", "password", ALICE))
    record(db, 4, hold(BOB, subject="showing"))
    assert [row.at for row in find(db, last=9, users=[ALICE])] == [1, 2, 3]
    assert [row.at for row in find(db, last=9, subjects=["showing"])] == [1, 4]
    assert [row.at for row in find(db, last=9, users=[ALICE], subjects=["showing"])] == [1]
    assert find(db, last=9, users=[]) == []


# In a database that commits in groups


@dataclass
class Trail:
    """An audit trail on a real database, with a clock that the test turns."""

    path: Path
    time: float = NOON
    timers: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.database = Database(self.path, busy_timeout_seconds=0.05)
        self.audit = Audit(self.database, now=lambda: self.time, call_later=self._call_later)

    def _call_later(self, seconds: float, then: Callable[[], None]) -> asyncio.Handle:
        self.timers.append(then)
        return asyncio.get_running_loop().call_soon(lambda: None)

    def rows(self) -> list[Row]:
        """As another connection sees them."""
        db = connect(self.path, read_only=True)
        try:
            return find(db, last=1000)
        finally:
            db.conn.close()

    async def do(self, *entries: Entry, gather: bool = True) -> None:
        """Jobs of one transaction, one for each entry."""
        add = self.audit.gather if gather else self.audit.record

        def job(entry: Entry) -> Callable[[sqlite_utils.Database], None]:
            return lambda db: add(db, self.time, entry)

        await asyncio.gather(*(self.database.write(job(entry), quick=True) for entry in entries))

    async def look(self) -> None:
        """The box looks for what is to be written."""
        self.timers.pop()()
        await self.database.write(lambda db: None)

    def statements(self) -> list[str]:
        """What the connection that writes will be asked for from now on."""
        statements: list[str] = []
        assert self.database._db is not None
        self.database._db.conn.set_trace_callback(statements.append)
        return statements


@pytest.fixture
async def trail(tmp_path: Path) -> AsyncIterator[Trail]:
    trail = Trail(tmp_path / "box.db")
    trail.database.open([MIGRATIONS], settled=trail.audit.settled)
    trail.audit.open()
    yield trail
    await trail.database.close()


async def test_a_repetition_writes_nothing(trail: Trail) -> None:
    await trail.do(hold())
    statements = trail.statements()
    await trail.do(*[hold()] * 50)
    assert "COMMIT" in statements
    assert not [statement for statement in statements if "audit" in statement]
    assert trail.rows() == [Row(NOON, None, hold())]


async def test_after_its_minute_a_flood_is_two_rows_by_itself(trail: Trail) -> None:
    await trail.do(*[hold()] * 200)
    await trail.look()
    assert len(trail.rows()) == 1
    trail.time += GATHER_SECONDS
    await trail.look()
    assert [row.times for row in trail.rows()] == [1, 199]


async def test_closing_writes_what_is_still_being_gathered(trail: Trail) -> None:
    await trail.do(*[hold()] * 7, *[hold(BOB)] * 2)
    await trail.audit.close()
    assert [(row.entry, row.times) for row in trail.rows()] == [
        (hold(), 1),
        (hold(BOB), 1),
        (hold(), 6),
        (hold(BOB), 1),
    ]


async def test_a_transaction_that_fails_leaves_no_row_and_no_count(trail: Trail) -> None:
    await trail.do(hold())
    other = connect(trail.path)
    other.conn.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageUnavailableError):
        await trail.do(hold(), hold(BOB), gather=True)
    other.conn.close()
    await trail.do(hold(BOB))
    await trail.audit.close()
    assert [(row.entry, row.times) for row in trail.rows()] == [(hold(), 1), (hold(BOB), 1)]


async def test_what_failed_while_it_was_committed_leaves_no_row_and_no_count(trail: Trail) -> None:
    await trail.do(hold())

    def broken(db: sqlite_utils.Database) -> None:
        db.conn.execute("PRAGMA defer_foreign_keys = ON")
        trail.audit.gather(db, NOON, hold())
        trail.audit.gather(db, NOON, hold(BOB))
        trail.audit.record(db, NOON, hold("carol"))
        db.conn.execute("INSERT INTO child VALUES (1)")  # found out at the commit alone

    await trail.database.write(lambda db: [db.conn.execute(statement) for statement in PARENT_AND_CHILD])
    with pytest.raises(StorageUnavailableError):
        await trail.database.write(broken)
    await trail.audit.close()
    assert [(row.entry, row.times) for row in trail.rows()] == [(hold(), 1)]


PARENT_AND_CHILD = (
    "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
    "CREATE TABLE child (id INTEGER REFERENCES parent (id))",
)


async def test_what_a_plugin_mentions_by_itself_is_gathered_too(trail: Trail) -> None:
    for _ in range(3):
        trail.audit.gather_alone(hold())
    await trail.audit.close()
    assert [row.times for row in trail.rows()] == [1, 2]
