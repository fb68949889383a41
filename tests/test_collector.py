"""The garbage collector of the process that serves; in a process of its own, for the tests have one too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def in_a_process_of_its_own(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_the_start_has_made_is_looked_at_no_more_and_what_comes_later_is() -> None:
    told = in_a_process_of_its_own("""
import gc, weakref
from broker import collector
class Thing: pass
collector.settle()
assert gc.get_freeze_count() > 1000
assert gc.get_threshold() == collector.THRESHOLDS
later = Thing(); later.itself = later; ref = weakref.ref(later); del later
gc.collect()
print(ref())
""")
    assert told == "None"


def test_everything_is_looked_at_in_quiet_and_only_then() -> None:
    told = in_a_process_of_its_own("""
import asyncio, gc, weakref
from broker import collector
class Thing: pass
async def main():
    gc.disable()  # so that only the quiet look finds it
    thing = Thing(); thing.itself = thing; ref = weakref.ref(thing); del thing
    asked = []
    def is_quiet():
        asked.append(ref() is not None)
        return len(asked) == 3
    collecting = asyncio.create_task(collector.collect_in_quiet(is_quiet, every_seconds=0.001))
    async with asyncio.timeout(30):
        while len(asked) < 4:
            await asyncio.sleep(0.001)
    print(asked[:4])
asyncio.run(main())
""")
    assert told == "[True, True, True, False]"
