"""Whole stacks as processes: a gateway and a fake engine of fixed latency each, and a router where one is wanted."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.gateway import PEERS, ROOT, running
from tests.support import environments
from tests.support.ports import free_port

# An engine of these answers 8 requests a second: the gateway's few milliseconds of processor time for each leave two
# cores idle with three stacks, so that their number decides and not the machine.
LATENCY, SLOTS = 1.0, 8
_START_SECONDS = 120.0


@dataclass
class Gateway:
    """A gateway that can be killed, drained and started again at the same port."""

    port: int
    engine_url: str
    slots: int
    log: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it needs a moment until it answers."""
        environment = {
            "GATEWAY_PORT": str(self.port),
            "GATEWAY_ENGINE_URL": self.engine_url,
            "GATEWAY_AUTH": "off",
            "GATEWAY_MAX_CONCURRENCY": str(self.slots),
            "GATEWAY_QUEUE_TIMEOUT": "30",
            **self.settings,
        }
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "serve"],
                cwd=ROOT,
                env={**os.environ, **environment},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process."""
        assert self.process is not None
        return self.process.pid

    def end(self, how: signal.Signals) -> None:
        """Send it a signal and wait until it has ended."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, how)
        self.process.wait(60)

    def wait(self) -> None:
        """Wait until it is healthy.

        Raises:
            TimeoutError: it is not.
        """
        wait_for_health(self.port, self.log)


def wait_for_health(port: int, log: Path, path: str = "/health", *, seconds: float = _START_SECONDS) -> None:
    """Wait until a server answers its health check with 200.

    Raises:
        TimeoutError: it does not; the text has the end of its log.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            with contextlib.closing(connection):
                connection.request("GET", path)
                if connection.getresponse().status == 200:
                    return
        time.sleep(0.1)
    raise TimeoutError(f"no health at port {port}\n{log.read_text(errors='replace')[-2000:]}")


@dataclass
class Fleet:
    """Gateways with their engines."""

    gateways: list[Gateway] = field(default_factory=list)
    engines: list[int] = field(default_factory=list)
    router: int | None = None

    @property
    def ports(self) -> list[int]:
        """The gateways'."""
        return [each.port for each in self.gateways]

    def processes(self) -> list[int]:
        """Return what runs on the instances, without the engines."""
        return [each.pid for each in self.gateways] + ([] if self.router is None else [self.router])


def start(stack: contextlib.ExitStack, folder: Path, count: int, *, router: bool = False) -> Fleet:
    """Start some stacks and wait until they are healthy; they end with `stack`.

    Args:
        stack: gets what ends them.
        folder: for their logs.
        count: how many.
        router: whether one router stands between all gateways and all engines, with the queue before them.
    """
    fleet = Fleet()
    urls = []
    for number in range(count):
        url, process = start_engine(stack, folder / f"engine-{count}-{number}.log")
        urls.append(url)
        fleet.engines.append(process)
    slots = SLOTS
    if router:
        address, fleet.router = start_router(stack, folder, urls)
        urls, slots = [address] * count, SLOTS * count
    for number, url in enumerate(urls):
        kind = "routed" if router else "own"
        gateway = Gateway(free_port(), url, slots, folder / f"gateway-{count}-{kind}-{number}.log")
        gateway.start()
        stack.callback(gateway.end, signal.SIGKILL)
        fleet.gateways.append(gateway)
    for gateway in fleet.gateways:
        gateway.wait()
    return fleet


def start_engine(stack: contextlib.ExitStack, log: Path, latency: float = LATENCY) -> tuple[str, int]:
    """Start a fake engine of fixed latency, and return its address and its process."""
    port = free_port()
    command = [sys.executable, "-m", "tests.fakes.engine.instant", str(port)]
    command += ["--latency", str(latency), "--slots", str(SLOTS)]
    process = stack.enter_context(running(command, log))
    wait_for_health(port, log)
    return f"http://127.0.0.1:{port}", process


def start_router(stack: contextlib.ExitStack, folder: Path, urls: list[str]) -> tuple[str, int]:
    """Start vllm-router before some engines, and return its address and its process."""
    port, log = free_port(), folder / "router.log"
    programs = environments.programs(PEERS / "router.txt", environments.CACHE / "peers" / "router")
    # It refuses to choose the better of two where there is one.
    policy = "power_of_two" if len(urls) > 1 else "round_robin"
    command = [str(programs / "vllm-router"), "--worker-urls", *urls, "--policy", policy]
    command += ["--host", "127.0.0.1", "--port", str(port), "--prometheus-port", str(free_port())]
    command += ["--health-check-interval-secs", "1", "--health-failure-threshold", "2", "--log-level", "warning"]
    process = stack.enter_context(running(command, log))
    wait_for_health(port, log)
    return f"http://127.0.0.1:{port}", process
