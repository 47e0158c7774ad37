"""A gateway under uvicorn on a free loopback port, before a fake engine."""

import asyncio
import io
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp
import pytest
import uvicorn
from hypothesis import HealthCheck, settings

from gateway.app import create_app
from gateway.observability.logs import configure_logging
from gateway.server.run import configuration
from gateway.services import Services
from gateway.settings import Settings
from tests.fakes.engine.scripted import FakeEngine, fake_engine

if TYPE_CHECKING:
    from tests.gateway.command_line import Background

# How fast the machine is says nothing about what is tested.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

NOTE = (
    "64-year-old woman with stage IV lung adenocarcinoma. Molecular testing identified EGFR L858R and PD-L1 expression "
    "was 40%. She received osimertinib and had a partial response."
)


@dataclass
class Reply:
    """A response that was read whole."""

    status: int
    headers: Any
    body: bytes
    json: Any


@dataclass
class Gateway:
    """A running gateway."""

    url: str
    session: aiohttp.ClientSession
    services: Services

    async def call(self, method: str, path: str, **options: Any) -> Reply:
        """Send a request and read the answer."""
        async with self.session.request(method, self.url + path, **options) as response:
            body = await response.read()
            is_json = response.content_type in ("application/json", "application/problem+json")
            return Reply(
                response.status, response.headers, body, await response.json(content_type=None) if is_json else None
            )

    async def extract(self, text: str = NOTE, **more: Any) -> Reply:
        """POST /api/v1/extract."""
        return await self.call("POST", "/api/v1/extract", json={"text": text, **more})


class StartGateway(Protocol):
    """Starts a gateway; settings are named as in `Settings`."""

    async def __call__(self, **settings: Any) -> Gateway:
        """Start one before the test's engine."""


async def until(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds; a second at most, which the contract gives a cancelled request."""
    async with asyncio.timeout(1):
        while not condition():  # noqa: ASYNC110 - what is watched has no event
            await asyncio.sleep(0.01)


def free_port() -> int:
    """Return a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Gateway]:
    """Yield a gateway with these settings."""
    app = create_app(settings)
    config = configuration(app, settings.model_copy(update={"port": 0}))
    config.load()
    server = uvicorn.Server(config)
    # The parts of `Server.serve` without its signal handlers and its loop, whose ticks would make each test slower.
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        async with aiohttp.ClientSession() as session:
            yield Gateway(f"http://127.0.0.1:{port}", session, app.state.services)
    finally:
        async with asyncio.timeout(5):
            await server.shutdown()


@pytest.fixture
async def engine() -> AsyncIterator[FakeEngine]:
    """Yield a fake engine."""
    async with fake_engine() as fake:
        yield fake


@pytest.fixture
async def start_gateway(engine: FakeEngine) -> AsyncIterator[StartGateway]:
    """Start gateways before the fake engine, without keys unless a test asks for them."""
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> Gateway:
            chosen = Settings(**({"engine_url": engine.url, "auth": "off"} | settings))
            return await stack.enter_async_context(running(chosen))

        yield start


@pytest.fixture
async def gateway(start_gateway: StartGateway) -> Gateway:
    """Return a gateway with default settings, but without keys."""
    return await start_gateway()


@pytest.fixture
def log() -> Callable[[], str]:
    """Everything that is logged from here on, at every level."""
    stream = io.StringIO()
    configure_logging("DEBUG", stream)
    return stream.getvalue


@pytest.fixture(scope="module")
def servers() -> Iterator["Background"]:
    """Yield an engine and gateways in a thread, for all tests of a file: commands run in the test's own."""
    from tests.gateway.command_line import background

    with background() as running_servers:
        yield running_servers


@pytest.fixture(scope="module")
def shared_url(servers: "Background") -> Iterator[str]:
    """Yield the address of a gateway for all tests of a file; `url` is what they take."""
    with servers.gateway() as address:
        yield address


@pytest.fixture
def url(servers: "Background", shared_url: str) -> str:
    """Return the address of the file's gateway; its engine is as it was at its start."""
    servers.fresh_engine()
    return shared_url
