"""``python talkative.py python run_broker.py …``: the box with all that Python, asyncio, aiohttp and amqtt can be made
to tell: every logger at DEBUG, and asyncio's note on each callback, with its arguments, however quick it was."""

import asyncio
import logging
import runpy
import sys
from typing import Any

really_configure, really_set_level, really_make = (
    logging.basicConfig,
    logging.Logger.setLevel,
    asyncio.BaseEventLoop.__init__,
)


def make(loop: asyncio.BaseEventLoop) -> None:
    really_make(loop)
    loop.slow_callback_duration = 0.0


def configure(**options: Any) -> None:
    really_configure(**options | {"level": logging.DEBUG})


logging.basicConfig = configure
logging.Logger.setLevel = lambda logger, level: really_set_level(logger, logging.DEBUG)
asyncio.BaseEventLoop.__init__ = make
sys.argv = sys.argv[2:]  # without this script and the interpreter
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
