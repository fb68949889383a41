"""Every setting, validated. The defaults stand in default.toml and nowhere else."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_settings import NoDecode


class Bind(NamedTuple):
    """Where a door listens. ``host`` ``localhost`` means both loopbacks; port 0 lets the system choose."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def addresses(self) -> tuple[str, ...]:
        return ("127.0.0.1", "::1") if self.host == "localhost" else (self.host,)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _parse_bind(value: Any) -> Any:
    if isinstance(value, Bind) or value is None:
        return value
    if not isinstance(value, str):
        raise ValueError("must be text, host:port")
    if value == "":
        return None
    host, separator, port = value.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not separator or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("must be host:port, such as localhost:9001 or 0.0.0.0:9001")
    return Bind(host, int(port))


def _optional_file(value: Any) -> Any:
    return None if value == "" else value


def _leads_somewhere(value: Path) -> Path:
    try:
        value.resolve()
    except (OSError, RuntimeError) as error:  # the latter until Python 3.12
        raise ValueError("is a link that leads back to itself") from error
    return value


def _some_path(value: Any) -> Any:
    if value == "":
        raise ValueError("must name a folder")
    return value


def _known_timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError("must be an IANA time zone, such as Europe/Amsterdam") from error
    return value


def _currency(value: str) -> str:
    if re.fullmatch(r"[A-Z]{3}", value) is None:
        raise ValueError("must be three capital letters, such as EUR")
    return value


def _origin(value: str) -> str:
    if re.fullmatch(r"https?://(\[[0-9A-Fa-f:.]+\]|[^\s/?#@:\[\]\\]+)(:[0-9]{1,5})?", value) is None:
        raise ValueError("must be http:// or https:// and a host, without a path, such as https://box.example.org")
    return value


OptionalBind = Annotated[Bind | None, NoDecode, BeforeValidator(_parse_bind)]
RequiredBind = Annotated[Bind, NoDecode, BeforeValidator(_parse_bind)]
OptionalFile = Annotated[Path | None, BeforeValidator(_optional_file)]
Positive = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CinemaSettings(Section):
    name: Annotated[str, Field(min_length=1, max_length=200)]
    timezone: Annotated[str, AfterValidator(_known_timezone)]
    currency: Annotated[str, AfterValidator(_currency)]
    languages: Annotated[list[str], Field(min_length=1)]


class DatabaseSettings(Section):
    path: Annotated[Path, AfterValidator(_leads_somewhere)]


class BackupSettings(Section):
    interval_hours: Natural
    keep: Positive
    path: Annotated[Path, BeforeValidator(_some_path)]
    second_path: OptionalFile

    @model_validator(mode="after")
    def _two_places(self) -> BackupSettings:
        if self.second_path == self.path:
            raise ValueError("second_path is path itself: name a folder on another disk, or leave it empty")
        return self


class DoorSettings(Section):
    certfile: OptionalFile
    keyfile: OptionalFile
    plaintext: bool

    @model_validator(mode="after")
    def _both_files(self) -> DoorSettings:
        if (self.certfile is None) != (self.keyfile is None):
            raise ValueError("certfile and keyfile go together: set both or neither")
        bind: Bind | None = getattr(self, "bind", None)
        if bind is not None and not bind.is_loopback and self.certfile is None and not self.plaintext:
            raise ValueError(
                f"{bind} is beyond loopback: set certfile and keyfile, "
                "or plaintext = true if passwords may travel there in clear"
            )
        return self


class WebSettings(DoorSettings):
    bind: RequiredBind
    public_urls: list[Annotated[str, AfterValidator(_origin)]]
    trusted_proxies: list[ipaddress.IPv4Network | ipaddress.IPv6Network]


class TcpSettings(DoorSettings):
    bind: OptionalBind


class MetricsSettings(Section):
    bind: OptionalBind


class ListenersSettings(Section):
    web: WebSettings
    tcp: TcpSettings
    metrics: MetricsSettings


class AuthSettings(Section):
    allow_guests: bool
    allow_registration: bool
    token_hours: Positive
    kiosk_token_hours: Positive
    default_role: str


class BookingSettings(Section):
    hold_seconds: Annotated[int, Field(ge=1, le=3600)]
    hold_max_seconds: Positive
    max_seats: Positive
    max_held_seats: Positive
    max_seats_per_showing: Positive
    max_held_per_address: Positive
    max_share_per_address: Annotated[int, Field(ge=1, le=100)]
    sales_close_minutes: int
    cancel_until_minutes: Natural


class FanoutSettings(Section):
    window_milliseconds: Annotated[int, Field(ge=0, le=1000)]


class LimitsSettings(Section):
    max_packet_bytes: Annotated[int, Field(ge=1024, le=268_435_455)]
    connect_seconds: Positive
    max_keep_alive_seconds: Positive
    max_connections: Positive
    max_connections_per_address: Positive
    connections_per_second: Positive
    connections_burst: Positive
    messages_per_second: Positive
    messages_burst: Positive
    subscriptions: Positive
    subscriptions_per_packet: Positive
    outbound_bytes: Annotated[int, Field(ge=4096)]
    stuck_seconds: Positive
    retained_messages: Natural
    login_failures_per_minute: Positive
    login_failures_per_username: Positive
    registrations_per_hour: Positive
    registrations_total: Positive
    visitors_per_hour: Positive
    visitors_total: Positive


class RolePolicy(Section):
    """What a role may publish, as topics, and subscribe to, as topic filters; ``{user_id}`` is its own."""

    publish: list[str]
    subscribe: list[str]


def _without_those_switched_off(value: Any) -> Any:
    """A plugin set to ``false`` is not loaded: the way to take one of the defaults out."""
    return (
        {path: options for path, options in value.items() if options is not False} if isinstance(value, dict) else value
    )


class Settings(Section):
    cinema: CinemaSettings
    database: DatabaseSettings
    backup: BackupSettings
    listeners: ListenersSettings
    auth: AuthSettings
    booking: BookingSettings
    fanout: FanoutSettings
    limits: LimitsSettings
    policy: dict[str, RolePolicy]
    plugins: Annotated[dict[str, dict[str, Any]], BeforeValidator(_without_those_switched_off)]
