"""Reading the settings: default.toml, then the owner's file, then the environment."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings.exceptions import SettingsError as SourceError

from config.settings import Settings

DEFAULTS = Path(__file__).with_name("default.toml")
ENVIRONMENT_PREFIX = "LYNRIE_"


class SettingsError(Exception):
    """The settings cannot be used; the message has one line per finding, each saying what is allowed."""


def load_settings(file: Path | None = None, **overrides: Any) -> Settings:
    """Read and validate all settings.

    ``overrides`` are sections (nested dictionaries) that stand over everything else, as the command line's own
    options do. Raises SettingsError naming each wrong setting, its value and what is allowed.
    """
    if file is not None and not file.is_file():
        raise SettingsError(f"{file}: there is no such configuration file")
    _check_environment()

    class Loader(BaseSettings, Settings):
        model_config = SettingsConfigDict(
            env_prefix=ENVIRONMENT_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
        )

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            files = [TomlConfigSettingsSource(settings_cls, DEFAULTS)]
            if file is not None:
                files.insert(0, TomlConfigSettingsSource(settings_cls, file))
            return (init_settings, EnvSettingsSource(settings_cls), *files)

    try:
        return Loader(**overrides)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: not valid TOML: {error}") from error
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from error
    except SourceError as error:
        raise SettingsError(f"the environment: {error}") from error
    except ValidationError as error:
        raise SettingsError(_findings(error)) from error


# What is wrong, in words


def _findings(error: ValidationError) -> str:
    return "\n".join(dict.fromkeys(_finding(dict(detail)) for detail in error.errors(include_url=False)))


def _finding(detail: dict[str, Any]) -> str:
    location = list(detail["loc"])
    if index := next((place for place, part in enumerate(location) if isinstance(part, int)), 0):
        location = location[: index + 1]  # what follows are the types that were tried
    name, value = _name(location), detail["input"]
    if detail["type"] == "extra_forbidden":
        return f"{name}: there is no such setting"
    if detail["type"] == "missing":
        return f"{name}: this setting is missing"
    if isinstance(value, dict):
        return f"{name}: {_allowed(detail, location)}"
    return f"{name} = {str(value).lower() if isinstance(value, bool) else repr(value)}: {_allowed(detail, location)}"


def _name(location: Sequence[int | str]) -> str:
    """The variable that set it, or the dotted name; an item of a list has its index, from 0."""
    names = [part for part in location if isinstance(part, str)]
    variable = f"{ENVIRONMENT_PREFIX}{'__'.join(names)}".upper()
    indexes = "".join(f"[{part}]" for part in location if isinstance(part, int))
    return (variable if variable in map(str.upper, os.environ) else ".".join(names)) + indexes


_KINDS = {
    "int": "must be a whole number",
    "bool": "must be true or false",
    "string": "must be text",
    "path": "must be text, the path of a file",
    "list": "must be a list",
    "dict": "must be a section of settings",
    "model": "must be a section of settings",
    "ip": "must be an IP address or network, such as 10.0.0.0/8",
}


def _allowed(detail: dict[str, Any], location: Sequence[int | str]) -> str:
    kind = str(detail["type"])
    if kind in ("greater_than_equal", "less_than_equal"):
        low, high = _limit(location, "ge"), _limit(location, "le")
        if low is not None and high is not None:
            return f"must be {low} to {high}"
        return f"must be at least {low}" if low is not None else f"must be at most {high}"
    if kind in ("string_too_short", "too_short"):
        return "must not be empty"
    if kind == "string_too_long":
        return f"must be at most {detail['ctx']['max_length']} characters"
    if kind == "value_error":
        return str(detail["msg"]).removeprefix("Value error, ")
    return _KINDS.get(kind.split("_")[0], str(detail["msg"]))


def _field(location: Sequence[int | str]) -> tuple[Any, list[Any]]:
    """A setting's type and what else is said of it; type None where there is no such setting."""
    kind: Any = Settings
    metadata: list[Any] = []
    for part in location:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = kind.model_fields.get(str(part))
            kind, metadata = (field.annotation, list(field.metadata)) if field is not None else (None, [])
        elif get_origin(kind) is dict:
            kind, metadata = get_args(kind)[1], []
    return kind, metadata


def _limit(location: Sequence[int | str], which: str) -> Any:
    return next((getattr(each, which) for each in _field(location)[1] if hasattr(each, which)), None)


_LISTS = {"public_urls": '["https://box.example.org"]', "trusted_proxies": '["10.0.0.0/8"]', "languages": '["en"]'}


def _check_environment() -> None:
    """Whether the variables name sections that there are, and those of lists and sections are JSON."""
    known = set(Settings.model_fields)
    findings = []
    for name, value in os.environ.items():
        if not name.upper().startswith(ENVIRONMENT_PREFIX):
            continue
        location = name[len(ENVIRONMENT_PREFIX) :].lower().split("__")
        if location[0] not in known:
            findings.append(f"{name}: there is no section “{location[0]}”; known are {', '.join(sorted(known))}")
            continue
        kind, _ = _field(location)
        if get_origin(kind) is list and not isinstance(_json(value), list):
            example = _LISTS.get(location[-1], '["a", "b"]')
            findings.append(f"{name} = {value!r}: a list is written as JSON, such as {example}")
        elif (get_origin(kind) is dict or (isinstance(kind, type) and issubclass(kind, BaseModel))) and not isinstance(
            _json(value), dict
        ):
            findings.append(f'{name} = {value!r}: a section is written as JSON, such as {{"setting": "value"}}')
    if findings:
        raise SettingsError("\n".join(findings))


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
