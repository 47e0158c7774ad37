"""Routers of a pool: Caddy with the file that the role engine_pool renders, on loopback, before fake engines."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import aiohttp
import pytest

from gateway.settings import Settings
from tests.fakes.engine.scripted import FakeEngine, fake_engine
from tests.gateway.conftest import Gateway, running
from tests.local_region.docker.certificates import Authority
from tests.support import caddy, pool_certificate
from tests.support.pool_certificate import NAME
from tests.support.ports import free_port
from tests.support.rendering import value

KEY = "models-and-template"
START_SECONDS = 60


def pool_file(**changes: Any) -> str:
    """Return the router's file with these variables of the role."""
    return str(value("engine_pool", "_engine_pool_caddyfile", changes))


@dataclass
class Member:
    """An instance of a pool: an engine, its router, and a gateway before that.

    Attributes:
        inside: where the router is for the gateway.
        door: where it is for other routers.
        log: everything that Caddy wrote.
    """

    engine: FakeEngine
    folder: Path
    certificate: Path
    key: str = KEY
    inside: int = field(default_factory=free_port)
    door: int = field(default_factory=free_port)
    alive: int = field(default_factory=free_port)
    ways: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where the gateway finds the router: by a name, as in a deployment."""
        return f"http://localhost:{self.inside}"

    @property
    def log(self) -> Path:
        """Everything that Caddy wrote."""
        return self.folder / "log"

    def write(self, others: Sequence[Member], state: str = "open", **changes: Any) -> None:
        """Put a file into its place as the role does, by a rename."""
        doors = [] if state == "alone" else [f"127.0.0.1:{other.door}" for other in others]
        text = pool_file(
            _engine_pool_state=state,
            _engine_pool_doors=doors,
            _engine_pool_inside="127.0.0.1",
            _engine_pool_engine=self.engine.url.removeprefix("http://"),
            _engine_pool_certificate=str(self.certificate),
            _engine_pool_listen={"inside": self.inside, "door": self.door, "alive": self.alive, "ways": self.ways},
            **changes,
        )
        (self.folder / "new").write_text(text, encoding="utf-8")
        (self.folder / "new").replace(self.folder / "Caddyfile")

    async def start(self) -> None:
        """Start Caddy as its container does, and wait until the container's health check would pass."""
        command = [caddy.program(), "run", "--config", "Caddyfile", "--adapter", "caddyfile", "--watch"]
        environment = {"HOME": str(self.folder), "PATH": os.defpath, "ENGINE_KEY": self.key}
        with self.log.open("wb") as output:
            self.process = _run(command, output, environment, self.folder)
        async with asyncio.timeout(START_SECONDS), aiohttp.ClientSession() as session:
            while True:
                assert self.process.poll() is None, self.log.read_text()
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"http://127.0.0.1:{self.alive}/") as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.02)

    def stop(self) -> None:
        """End Caddy at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(START_SECONDS)


def _run(command: list[str], output: IO[bytes], environment: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=output, stderr=output, env=environment, cwd=folder)


@dataclass
class Pool:
    """The members, each with a router that runs, and the gateway of the first."""

    members: list[Member]
    gateway: Gateway

    @property
    def engines(self) -> list[FakeEngine]:
        """The engines, in the members' order."""
        return [member.engine for member in self.members]

    @property
    def asked(self) -> list[int]:
        """How many requests each engine has had."""
        return [len(engine.bodies) for engine in self.engines]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the members' one certificate with its key; whoever trusts it needs no authority."""
    folder = tmp_path_factory.mktemp("pool")
    path = folder / "pool.pem"
    path.write_text(pool_certificate.make(folder), encoding="ascii")
    return path


@pytest.fixture
async def members(tmp_path: Path, certificate: Path) -> AsyncIterator[list[Member]]:
    """Return two members that do not run yet; they end with the test."""
    async with contextlib.AsyncExitStack() as stack:
        made = []
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            engine = await stack.enter_async_context(fake_engine())
            made.append(Member(engine, tmp_path / name, certificate))
            stack.callback(made[-1].stop)
        yield made


@pytest.fixture
async def pool(members: list[Member]) -> AsyncIterator[Pool]:
    """Return a pool whose members use each other, and the gateway of the first as a deployment sets it."""
    for member in members:
        member.write([other for other in members if other is not member])
    await asyncio.gather(*(member.start() for member in members))
    async with gateway_of(members[0]) as gateway:
        yield Pool(members, gateway)


@contextlib.asynccontextmanager
async def gateway_of(member: Member, **settings: Any) -> AsyncIterator[Gateway]:
    """Run a gateway before a member's router."""
    chosen = {"engine_url": member.url, "auth": "off", "engine_patience": 30, **settings}
    async with running(Settings.model_validate(chosen)) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a certificate of the pool's name that is not the pool's."""
    path = tmp_path_factory.mktemp("stranger") / "certificate.pem"
    path.write_bytes(b"".join(Authority("another").issue(NAME)))
    return path
