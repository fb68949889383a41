"""What the tests share: boxes and clients that are put away when a test has ended."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
import trustme
from boxes import SAMPLE_PLUGINS, Newborn, start_box
from hypothesis import settings
from raw_mqtt import RawClient

from broker.connection import Connection
from broker.host import Host

# The same everywhere, in CI too: random, so that each run tries something new, and a failure prints what reproduces it.
# A case that was found is kept as an @example, not in a folder. `--hypothesis-profile=long` is for minutes by hand.
settings.register_profile("box", deadline=None, print_blob=True, database=None)
settings.register_profile("long", settings.get_profile("box"), max_examples=5000)
settings.load_profile("box")


def examples(number: int) -> settings:
    """So many examples of what costs more than a plain call, instead of the profile's 100, and as much more by hand."""
    return settings(max_examples=max(1, number * settings.default.max_examples // 100))  # type: ignore[union-attr]


StartBox = Callable[..., Awaitable[Host]]
Living = Callable[[type], int]
OpenClient = Callable[..., Awaitable[RawClient]]


@asynccontextmanager
async def boxes(tmp_path: Path, **always: Any) -> AsyncIterator[StartBox]:
    """Starts boxes with these settings, and stops them at the end."""
    async with AsyncExitStack() as started:

        async def start(**overrides: Any) -> Host:
            host = await start_box(tmp_path, **{**always, **overrides})
            started.push_async_callback(host.stop)
            return host

        yield start


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[StartBox]:
    """``await box(limits={…})`` starts a box with the sample plugins; the sections are those of the settings."""
    async with boxes(tmp_path, plugins=SAMPLE_PLUGINS) as start:
        yield start


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one_box(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Host]:
    """One box with the sample plugins for all of a module's tests: each must leave nothing behind in it."""
    limits = {"connections_per_second": 1e6, "connections_burst": 1_000_000, "messages_burst": 1_000_000}
    host = await start_box(tmp_path_factory.mktemp("one"), plugins=SAMPLE_PLUGINS, limits=limits)
    yield host
    await host.stop()


@pytest.fixture
async def cinema(tmp_path: Path) -> AsyncIterator[StartBox]:
    """``await cinema(limits={…})`` starts a box as default.toml has it, with the cinema's own plugins."""
    async with boxes(tmp_path) as start:
        yield start


@pytest.fixture
async def client() -> AsyncIterator[OpenClient]:
    """``await client(host, "web")`` opens a raw client at a door; it is closed when the test has ended."""
    opened: list[RawClient] = []

    async def open_client(host: Host, door: str = "tcp", **options: Any) -> RawClient:
        opened.append(await RawClient.open(host, door, **options))
        return opened[-1]

    yield open_client
    for raw in opened:
        await raw.close()


@pytest.fixture(params=["tcp", "web"])
def door(request: pytest.FixtureRequest) -> str:
    """Each door in turn."""
    return str(request.param)


class Certificate(NamedTuple):
    """A certificate for localhost, its key, and the authority that issued it: three files."""

    cert: Path
    key: Path
    authority: Path


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    folder = tmp_path_factory.mktemp("tls")
    files = Certificate(folder / "cert.pem", folder / "key.pem", folder / "authority.pem")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(files.authority))
    issued = authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(str(files.key))
    for pem in issued.cert_chain_pems:
        pem.write_to_path(str(files.cert), append=True)
    return files


def encrypted(certificate: Certificate) -> dict[str, Any]:
    """The section ``listeners`` with which both doors speak TLS."""
    files = {"certfile": str(certificate.cert), "keyfile": str(certificate.key)}
    return {"web": files, "tcp": files}


@pytest.fixture
def living() -> Living:
    """``living(Connection)``: how many of these, or of transports and protocols, were made since the test began and are
    still there."""
    return Newborn(asyncio.BaseProtocol, asyncio.BaseTransport, Connection).number_of


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What is freed in here is freed without it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
