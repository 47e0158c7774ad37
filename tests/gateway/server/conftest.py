"""One gateway as a process, with uvloop as in production, before an engine in a thread."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.fakes.engine import stand_in
from tests.gateway.access.test_keys import line
from tests.gateway.conftest import free_port
from tests.gateway.server.raw_client import RawClient

KEY = "right"
BODY_BYTES = 200_000


class Engine(stand_in.Engine):
    """The stand-in, which takes its time where a test asks for it."""

    seconds = 0.0

    def do_POST(self) -> None:  # noqa: N802 - http.server's name
        """Answer a completion."""
        time.sleep(self.seconds)
        super().do_POST()


@dataclass
class Served:
    """A gateway in a process of its own."""

    port: int
    process: subprocess.Popen[bytes]
    log_file: Path
    engine: type[Engine]

    def connect(self) -> RawClient:
        """Return a client with a connection."""
        return RawClient(self.port)

    def memory(self) -> tuple[int, int]:
        """Return the KiB that the process holds, and the most that it held since `forget_peak`."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        now, peak = (int(status.partition(name)[2].split()[0]) for name in ("VmRSS:", "VmHWM:"))
        return now, peak

    def forget_peak(self) -> None:
        """Count the peak of memory from here on."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def log(self) -> str:
        """Return what was logged so far."""
        return self.log_file.read_text()


_started: list[subprocess.Popen[bytes]] = []


@pytest.fixture(autouse=True)
def _end_what_a_failed_test_left() -> Iterator[None]:
    """Kill what a test has started and not seen end; a later test would be blamed for it."""
    before = len(_started)
    yield
    for process in _started[before:]:
        process.kill()
        process.wait()


def start(tmp_path: Path, **settings: str) -> Served:
    """Start a gateway as a process and wait until it listens."""
    port = free_port()
    (tmp_path / "keys").write_text(line("ward", KEY))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    chosen = {"PORT": str(port), "API_KEYS_FILE": str(tmp_path / "keys"), "LOG_LEVEL": "DEBUG"} | settings
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve"],
            env=environment | {f"GATEWAY_{name}": value for name, value in chosen.items()},
            stderr=log,
        )
    _started.append(process)
    served = Served(port, process, tmp_path / "log", Engine)
    for _ in range(300):
        try:
            RawClient(port).__exit__()
            break
        except OSError:
            assert process.poll() is None, served.log()
            time.sleep(0.1)
    return served


@pytest.fixture(scope="session")
def engine_url() -> Iterator[str]:
    """Yield the address of an engine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Engine) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def served(engine_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Yield the gateway that these tests share; the key is `KEY`."""
    gateway = start(tmp_path_factory.mktemp("gateway"), ENGINE_URL=engine_url, MAX_BODY_BYTES=str(BODY_BYTES))
    yield gateway
    gateway.process.terminate()
    gateway.process.wait(20)
