"""The messages: what is read, what is refused and how, what is written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from small_cinema import SEATS, SHOWING

from broker.plugin import Refusal
from plugins.booking.wire import (
    BookingConfirm,
    BookingRequest,
    CancelRequest,
    HoldRequest,
    PaidRequest,
    ShowingRequest,
    cents_of,
    is_id,
    iso,
    money,
    parse,
    seconds_of,
)

UNSEEN = "\u061c\u200b\u200e\u200f\ufeff"
WHOLE = {"showing_id": SHOWING, "seat_ids": list(SEATS[:2]), "timestamp": "2030-01-01T00:00:00Z"}


def refused(model: type[BaseModel], body: Any) -> Refusal:
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(Refusal) as caught:
        parse(model, payload)
    return caught.value


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"\xff\xfe", b'{"a": "\xc3"}', b'{"showing_id": "\\ud800"}', b"[" * 100_000, b"nonsense"]
)
def test_what_is_not_utf8_json_is_invalid_json(payload: bytes) -> None:
    assert refused(BookingRequest, payload).code == "invalid_json"


@pytest.mark.parametrize("body", [[], "text", 1, None, {}])
def test_another_shape_is_an_invalid_request(body: Any) -> None:
    assert refused(BookingRequest, body).code == "invalid_request"


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"showing_id": SHOWING.upper().replace("1", "A")}, "showing_id"),
        ({"showing_id": SHOWING.replace("-", "")}, "showing_id"),
        ({"showing_id": SHOWING + "\n"}, "showing_id"),
        ({"showing_id": "{" + SHOWING + "}"}, "showing_id"),
        ({"showing_id": 7}, "showing_id"),
        ({"showing_id": None}, "showing_id"),
        ({"seat_ids": []}, "seat_ids"),
        ({"seat_ids": [SEATS[0], SEATS[0]]}, "seat_ids"),
        ({"seat_ids": [SEATS[0], "x"]}, "seat_ids"),
        ({"seat_ids": SEATS[0]}, "seat_ids"),
        ({"booking_id": "x"}, "booking_id"),
        ({"user_id": "x"}, "user_id"),
        ({"timestamp": "x" * 65}, "timestamp"),
        ({"timestamp": True}, "timestamp"),
        ({"timestamp": {}}, "timestamp"),
        ({"timestamp": 10**400}, "timestamp"),
        ({"email": "nobody"}, "email"),
        ({"email": "a@b\r\nBcc: c@d"}, "email"),
        ({"email": "a@" + "b" * 254}, "email"),
        *[({"email": f"a@b{unseen}.example"}, "email") for unseen in UNSEEN],
    ],
)
def test_a_refusal_names_the_field_and_what_is_allowed_but_not_the_input(changed: dict[str, Any], field: str) -> None:
    refusal = refused(BookingRequest, WHOLE | changed)
    assert refusal.code == "invalid_request"
    assert refusal.message.startswith(f"{field} must be ")


def test_a_refusal_repeats_nothing_of_the_input() -> None:
    secret = "<script>hunter2"
    for field in (*WHOLE, "user_id", "booking_id", "email"):
        for wrong in (secret, [secret], {secret: secret}):
            if field == "timestamp" and wrong == secret:
                continue
            refusal = refused(BookingRequest, WHOLE | {field: wrong})
            assert "hunter2" not in refusal.message + json.dumps(refusal.details)
    prices = {"action": "update", "showing": {"showing_id": SHOWING, "prices": {secret: secret}}}
    assert "hunter2" not in refused(ShowingRequest, prices).message


def test_a_refusal_carries_the_ids_that_were_well_formed() -> None:
    refusal = refused(BookingRequest, WHOLE | {"booking_id": SEATS[3], "user_id": "x", "seat_ids": []})
    assert refusal.details == {"booking_id": SEATS[3], "showing_id": SHOWING}


@pytest.mark.parametrize("timestamp", ["", "yesterday", "9999-99-99", 0, -1, 1.5, 1_700_000_000_000])
def test_the_clients_clock_may_say_anything(timestamp: Any) -> None:
    assert parse(HoldRequest, json.dumps(WHOLE | {"timestamp": timestamp}).encode()).timestamp == timestamp


def test_unknown_fields_are_ignored_and_null_is_left_out() -> None:
    request = parse(BookingRequest, json.dumps(WHOLE | {"seatId": "x", "user_id": None, "email": None}).encode())
    assert request.user_id is None
    assert request.seat_ids == SEATS[:2]


@pytest.mark.parametrize("model", [BookingRequest, HoldRequest])
def test_a_command_without_its_timestamp_has_another_shape(model: type[Any]) -> None:
    bare = {name: value for name, value in WHOLE.items() if name != "timestamp"}
    assert refused(model, bare | {"booking_id": SEATS[3]}).message.startswith("timestamp is missing")


@pytest.mark.parametrize(
    ("action", "fields", "begins"),
    [
        ("destroy", {}, "action must be"),
        ("create", {"title": "A", "starts_at": "2030-01-01T20:00Z", "room": "R"}, "showing.price is missing"),
        ("create", {"title": "A", "starts_at": "2030-01-01T20:00Z", "price": "1"}, "showing.room is missing"),
        ("update", {"starts_at": "2030-01-01T20:00"}, "showing.starts_at must be a time"),
        ("update", {"starts_at": "tomorrow"}, "showing.starts_at must be a time"),
        ("update", {"starts_at": "9999-01-01T00:00:00Z"}, "showing.starts_at must be a time"),
        ("update", {"ends_at": "9999-12-31T23:59:00Z"}, "showing.ends_at must be a time"),
        ("update", {"starts_at": "1969-12-31T23:59:59Z"}, "showing.starts_at must be a time"),
        ("update", {"price": "-1"}, "showing.price must be a decimal"),
        ("update", {"price": 9.5}, "showing.price must be a decimal"),
        ("update", {"price": "9.999"}, "showing.price must be a decimal"),
        ("update", {"title": "A\u202eB"}, "showing.title must be text"),
        ("update", {"title": "\x1b[2J"}, "showing.title must be text"),
        *[("update", {"title": f"A{unseen}B"}, "showing.title must be text") for unseen in UNSEEN],
        *[("update", {"room": f"A{unseen}B"}, "showing.room must be the name") for unseen in UNSEEN],
        ("update", {"title": "x" * 201}, "showing.title must be text"),
        ("update", {"minutes": 0}, "showing.minutes must be"),
        ("update", {"minutes": 90, "ends_at": "2030-01-01T20:00Z"}, "ends_at and minutes say the same"),
        ("update", {"room": "R", "room_id": SHOWING}, "room_id and room say the same"),
    ],
)
def test_a_showing_request_is_read_strictly(action: str, fields: dict[str, Any], begins: str) -> None:
    refusal = refused(ShowingRequest, {"action": action, "showing": {"showing_id": SHOWING} | fields})
    assert refusal.message.startswith(begins)


def test_a_title_keeps_the_joiners_that_it_is_written_with() -> None:
    title = "می\u200cخواهم 👩\u200d🚀"
    showing = {"showing_id": SHOWING, "title": title}
    assert parse(ShowingRequest, json.dumps({"action": "update", "showing": showing}).encode()).showing.title == title


def test_how_it_was_paid_must_be_said_but_may_be_null() -> None:
    assert parse(PaidRequest, b'{"paid": null}').paid is None
    assert refused(PaidRequest, {}).message.startswith("paid is missing")
    assert refused(PaidRequest, {"paid": "gold"}).code == "invalid_request"


@given(st.binary(max_size=200))
def test_no_bytes_end_in_anything_but_a_refusal(payload: bytes) -> None:
    assert refused(CancelRequest, payload).code in ("invalid_json", "invalid_request")


@given(st.integers(min_value=0, max_value=99_999_999))
def test_money_is_read_as_it_is_written(cents: int) -> None:
    assert cents_of(money(cents)) == cents


def test_money_and_times_have_one_form() -> None:
    assert [money(0), money(5), money(950), money(123456)] == ["0.00", "0.05", "9.50", "1234.56"]
    assert [cents_of("9"), cents_of("9.5"), cents_of("9.50")] == [900, 950, 950]
    assert iso(1_900_000_000.25) == "2030-03-17T17:46:40.250Z"
    assert seconds_of("2030-03-17T18:46:40+01:00") == 1_900_000_000


def test_what_is_none_is_left_out() -> None:
    message = BookingConfirm(booking_id="b", status="failed", message="m", timestamp="t", code="c")
    assert json.loads(message.encode()) == {
        "booking_id": "b", "status": "failed", "message": "m", "timestamp": "t", "code": "c"
    }  # fmt: skip


def test_an_id_is_a_lower_case_uuid_with_hyphens() -> None:
    assert is_id(SHOWING)
    assert not any(map(is_id, [None, 1, "", SHOWING + "\n", SHOWING[:-1] + "A", SHOWING.replace("-", "")]))


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity"])
@pytest.mark.parametrize("field", [b"timestamp", b"of_no_interest"])
def test_what_json_does_not_know_is_not_json(field: bytes, number: bytes) -> None:
    with pytest.raises(Refusal) as refusal:
        parse(HoldRequest, json.dumps(WHOLE).encode().removesuffix(b"}") + b', "' + field + b'": ' + number + b"}")
    assert refusal.value.code == "invalid_json"
