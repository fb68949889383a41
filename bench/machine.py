"""Where this ran, for numbers mean little without it."""

from __future__ import annotations

import os
import platform
import statistics
import time
from importlib import metadata
from pathlib import Path

from bench import systems

WORK = 400_000


def sentence(folder: Path) -> str:
    """``folder`` is on the disk that the databases are on."""
    return (
        f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, mosquitto {systems.mosquitto_version()}, "
        f"amqtt {metadata.version('amqtt')}; one fsync takes {_fsync_milliseconds(folder):.2f} ms"
    )


def work_milliseconds() -> float:
    """The CPU that a fixed piece of work takes at this moment: how fast the machine is just now."""
    began = time.process_time()
    total = 0
    for number in range(WORK):
        total += number * number
    return (time.process_time() - began) * 1000


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _fsync_milliseconds(folder: Path) -> float:
    times: list[float] = []
    with (folder / "fsync").open("wb") as file:
        for _ in range(50):
            file.write(b"x" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)
