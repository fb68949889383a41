"""The settings: defaults, a file over them, the environment over both, and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import Bind, SettingsError, load_settings
from plugins.booking.demo import database_is_chosen


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("LYNRIE_"):
            monkeypatch.delenv(name)


def file(folder: Path, text: str) -> Path:
    path = folder / "box.toml"
    path.write_text(text, encoding="utf-8")
    return path


# Where a setting comes from


def test_the_defaults_are_the_protocols() -> None:
    settings = load_settings()
    assert settings.listeners.web.bind == Bind("localhost", 9001)
    assert settings.listeners.tcp.bind is None
    assert settings.database.path == Path("data/cinema.db")
    assert settings.booking.hold_seconds == 300
    assert settings.limits.connect_seconds == 10
    assert settings.auth.allow_guests


def test_a_file_needs_only_what_differs(tmp_path: Path) -> None:
    settings = load_settings(file(tmp_path, '[cinema]\nname = "Rialto"\n'))
    assert settings.cinema.name == "Rialto"
    assert settings.cinema.currency == "EUR"


def test_the_environment_stands_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LYNRIE_BOOKING__HOLD_SECONDS", "60")
    monkeypatch.setenv("LYNRIE_LISTENERS__WEB__BIND", "127.0.0.1:9101")
    monkeypatch.setenv("LYNRIE_DATABASE__PATH", "elsewhere.db")
    settings = load_settings(file(tmp_path, "[booking]\nhold_seconds = 30\nmax_seats = 4\n"))
    assert settings.booking.hold_seconds == 60
    assert settings.booking.max_seats == 4
    assert settings.listeners.web.bind == Bind("127.0.0.1", 9101)
    assert settings.database.path == Path("elsewhere.db")


def test_one_role_of_the_policy_can_be_set_alone(tmp_path: Path) -> None:
    settings = load_settings(file(tmp_path, '[policy.guest]\nsubscribe = ["showing/update/#"]\n'))
    assert settings.policy["guest"].subscribe == ["showing/update/#"]
    assert settings.policy["manager"].subscribe == ["#"]


def test_a_door_is_switched_on_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LYNRIE_LISTENERS__TCP__BIND", "[::1]:1883")
    bind = load_settings().listeners.tcp.bind
    assert bind == Bind("::1", 1883)
    assert str(bind) == "[::1]:1883"


# Wrong settings


@pytest.mark.parametrize(
    ("text", "name", "value", "allowed"),
    [
        ("[booking]\nhold_seconds = 0", "booking.hold_seconds", "0", "must be 1 to 3600"),
        ("[booking]\nhold_seconds = 3601", "booking.hold_seconds", "3601", "must be 1 to 3600"),
        ('[listeners.web]\nbind = "9001"', "listeners.web.bind", "9001", "host:port"),
        ('[listeners.web]\nbind = "localhost:65536"', "listeners.web.bind", "localhost:65536", "host:port"),
        ('[cinema]\ntimezone = "Europe/Nowhere"', "cinema.timezone", "Europe/Nowhere", "IANA time zone"),
        ('[cinema]\ncurrency = "euro"', "cinema.currency", "euro", "must be three capital letters, such as EUR"),
        ('[limits]\nmax_connections = "many"', "limits.max_connections", "many", "must be a whole number"),
        ("[limits]\nmax_connections = 0", "limits.max_connections", "0", "must be at least 1"),
        ("[auth]\nallow_guests = 3", "auth.allow_guests", "3", "must be true or false"),
        ('[listeners.web]\ntrusted_proxies = ["home"]', "listeners.web.trusted_proxies[0]", "home", "an IP address"),
        ('[cinema]\nlanguages = "en"', "cinema.languages", "en", "must be a list"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_what_is_allowed(
    tmp_path: Path, text: str, name: str, value: str, allowed: str
) -> None:
    with pytest.raises(SettingsError) as wrong:
        load_settings(file(tmp_path, text))
    [line] = str(wrong.value).splitlines()
    assert line.startswith(name)
    assert value in line
    assert allowed in line


def test_a_path_that_leads_nowhere_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "one.db").symlink_to(tmp_path / "two.db")
    (tmp_path / "two.db").symlink_to(tmp_path / "one.db")
    with pytest.raises(SettingsError, match=r"^database\.path = .*one\.db.* leads back to itself$"):
        load_settings(database={"path": str(tmp_path / "one.db")})


def test_every_wrong_setting_has_its_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as wrong:
        load_settings(file(tmp_path, "[booking]\nhold_seconds = 0\nmax_seats = 0\n"))
    assert len(str(wrong.value).splitlines()) == 2


def test_a_setting_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"booking\.hold_second: there is no such setting"):
        load_settings(file(tmp_path, "[booking]\nhold_second = 1\n"))


@pytest.mark.parametrize("name", ["LYNRIE_BOKING__HOLD_SECONDS", "LYNRIE_BOOKING__HOLD_SECOND"])
def test_a_mistyped_name_in_the_environment_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "60")
    with pytest.raises(SettingsError, match="there is no"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("LYNRIE_BOOKING__HOLD_SECONDS", "0", " = '0': must be 1 to 3600"),
        ("LYNRIE_BOOKING__HOLD_SECOND", "1", ": there is no such setting"),
        (
            "LYNRIE_LISTENERS__WEB__PUBLIC_URLS",
            "https://box.example.org",
            " = 'https://box.example.org': a list is written as JSON, such as [\"https://box.example.org\"]",
        ),
        ("LYNRIE_CINEMA__LANGUAGES", '"en"', ' = \'"en"\': a list is written as JSON, such as ["en"]'),
        ("LYNRIE_BOOKING", "60", ' = \'60\': a section is written as JSON, such as {"setting": "value"}'),
    ],
)
def test_what_is_wrong_in_the_environment_is_told_by_the_variables_name(
    name: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as wrong:
        load_settings()
    assert str(wrong.value) == name + told


def test_a_door_beyond_loopback_needs_a_certificate_or_the_owners_word(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="plaintext = true"):
        load_settings(file(tmp_path, '[listeners.web]\nbind = "0.0.0.0:9001"\n'))
    load_settings(file(tmp_path, '[listeners.web]\nbind = "0.0.0.0:9001"\nplaintext = true\n'))


def test_a_file_that_is_not_toml_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"box\.toml: not valid TOML: .*line 2"):
        load_settings(file(tmp_path, "[booking]\nhold_seconds = \n"))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no such configuration file"):
        load_settings(tmp_path / "box.toml")


# Whether the demo may choose its own database


def test_the_demo_chooses_its_database_unless_the_owner_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not database_is_chosen(None)
    assert not database_is_chosen(file(tmp_path, "[booking]\nhold_seconds = 30\n"))
    assert database_is_chosen(file(tmp_path, '[database]\npath = "mine.db"\n'))
    monkeypatch.setenv("LYNRIE_DATABASE__PATH", "mine.db")
    assert database_is_chosen(None)
