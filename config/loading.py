"""Reading the settings: default.toml, then the owner's file, then the environment."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError
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
    known = set(Settings.model_fields)
    for name in os.environ:
        section = name.removeprefix(ENVIRONMENT_PREFIX).split("__")[0].lower()
        if name.startswith(ENVIRONMENT_PREFIX) and section not in known:
            raise SettingsError(f"{name}: there is no section “{section}”; known are {', '.join(sorted(known))}")

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
        raise SettingsError(f'{error}: lists are written as JSON in the environment, such as ["a", "b"]') from error
    except ValidationError as error:
        raise SettingsError("\n".join(_finding(dict(detail)) for detail in error.errors())) from error


def _finding(detail: dict[str, Any]) -> str:
    name = ".".join(str(part) for part in detail["loc"])
    allowed = str(detail["msg"]).removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        return f"{name}: there is no such setting"
    if isinstance(detail["input"], dict):
        return f"{name}: {allowed}"
    return f"{name} = {detail['input']!r}: {allowed}"
