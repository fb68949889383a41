"""The box as a process of its own, started as its owner starts it, and what can happen to a process."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from boxes import ONE_ADDRESS

ROOT = Path(__file__).parents[2]
START_SECONDS = 30.0
"""Only guards against a box that never starts."""


class BoxProcess:
    """``run_broker.py`` with both doors on ports of the system's choice. ``environment`` are settings."""

    def __init__(self, process: asyncio.subprocess.Process, said: str) -> None:
        self.process = process
        self.said = said
        self.web = self._address(r"wss?://([0-9.]+|localhost):(\d+)")
        self.tcp = self._address(r"mqtts?://([0-9.]+|localhost):(\d+)")
        self._reading = asyncio.create_task(self._read_on())

    def _address(self, pattern: str) -> tuple[str, int]:
        found = re.search(pattern, self.said)
        assert found is not None, self.said
        return found[1], int(found[2])

    @classmethod
    async def start(cls, path: Path, *arguments: str, under: Sequence[str] = (), **environment: Any) -> BoxProcess:
        """Start a box and return when its doors are open."""
        process = await cls.spawn(path, *arguments, under=under, **environment)
        assert process.stdout is not None
        said = ""
        async with asyncio.timeout(START_SECONDS):
            while "mqtt://" not in said and "mqtts://" not in said:
                line = await process.stdout.readline()
                assert line, f"the box ended with {await process.wait()}: {said}"
                said += line.decode()
        return cls(process, said)

    @staticmethod
    async def spawn(
        path: Path, *arguments: str, under: Sequence[str] = (), **environment: Any
    ) -> asyncio.subprocess.Process:
        """Begin to start a box; ``under`` is a program that runs it, with its arguments."""
        settings = {
            "LYNRIE_DATABASE__PATH": str(path),
            "LYNRIE_LISTENERS__WEB__BIND": "127.0.0.1:0",
            "LYNRIE_LISTENERS__TCP__BIND": "127.0.0.1:0",
            **{f"LYNRIE_LIMITS__{name.upper()}": str(value) for name, value in ONE_ADDRESS.items()},
            **{name: str(value) for name, value in environment.items()},
        }
        return await asyncio.create_subprocess_exec(
            *under,
            sys.executable,
            str(ROOT / "run_broker.py"),
            *arguments,
            cwd=path.parent,
            env={**os.environ, **settings},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def _read_on(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.said += line.decode()

    async def cut_the_power(self) -> None:
        """kill -9: nothing of the process runs any more."""
        self.process.kill()
        await self.process.wait()
        await self._reading

    async def stop(self) -> int:
        """SIGTERM; the status, which must come within five seconds."""
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            status = await self.process.wait()
        await self._reading
        return status

    async def put_away(self) -> None:
        if self.process.returncode is None:
            await self.cut_the_power()
