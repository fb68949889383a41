"""Boxes for tests: the real thing, on ports of loopback that the system chooses, with a database of its own."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from amqtt.plugins.base import BasePlugin
from pydantic import BaseModel

from broker.host import Host
from config import load_settings

SAMPLE_PLUGINS: dict[str, dict[str, Any]] = {
    "sample_plugins.DemoAuth": {},
    "sample_plugins.Rules": {},
    "sample_plugins.Recorder": {},
    "sample_plugins.Counter": {},
}

ONE_ADDRESS = {"connections_burst": 1_000_000, "messages_burst": 1_000_000}
"""How fast clients may come and speak: those of a test all come from one address."""

M = TypeVar("M", bound=BaseModel)
P = TypeVar("P", bound=BasePlugin[Any])


async def start_box(tmp_path: Path, *, plugins: dict[str, dict[str, Any]] | None = None, **overrides: Any) -> Host:
    """Start a box with both doors on 127.0.0.1, ports of the system's choice, and a database in ``tmp_path``.

    ``overrides`` are sections of the settings. A float stands over the validated settings as it is, so that a limit of
    whole seconds can be a short one here. ``plugins`` replaces those of default.toml, the cinema's. The caller stops
    the box.
    """
    listeners = {"web": {"bind": "127.0.0.1:0"}, "tcp": {"bind": "127.0.0.1:0"}}
    always = {"listeners": listeners, "limits": ONE_ADDRESS, "database": {"path": str(tmp_path / "box.db")}}
    sections = _merged(always, overrides)
    settings = load_settings(**_without_floats(sections))
    settings = _with_floats(settings, sections)
    if plugins is not None:
        settings = settings.model_copy(update={"plugins": plugins})
    host = Host(settings)
    await host.start()
    return host


def plugin(host: Host, kind: type[P]) -> P:
    """The box's plugin of that kind."""
    return next(loaded for loaded in host.broker.plugins_manager.plugins if isinstance(loaded, kind))


class Newborn:
    """The objects of some kinds that were made since and are still there; not what other tests have left."""

    def __init__(self, *kinds: type) -> None:
        self._kinds = kinds
        gc.collect()
        self._before = self._all()

    def __len__(self) -> int:
        return self.number_of(object)

    def number_of(self, kind: type) -> int:
        before = {id(found) for found in self._before}
        return sum(isinstance(found, kind) and id(found) not in before for found in self._all())

    def _all(self) -> list[object]:
        return [found for found in gc.get_objects() if isinstance(found, self._kinds)]


async def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    """Return as soon as the box has brought it about; ``seconds`` only guard against one that never does."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110  # what the box does inside sets no event
            await asyncio.sleep(0.002)


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        known = merged.get(name)
        merged[name] = _merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return merged


def _without_floats(section: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _without_floats(value) if isinstance(value, dict) else value
        for name, value in section.items()
        if not isinstance(value, float)
    }


def _with_floats(model: M, section: dict[str, Any]) -> M:
    changes = {
        name: _with_floats(getattr(model, name), value) if isinstance(value, dict) else value
        for name, value in section.items()
        if isinstance(value, float) or (isinstance(value, dict) and isinstance(getattr(model, name), BaseModel))
    }
    return model.model_copy(update=changes)
