"""Ray Serve beside HAProxy before the same two engines: what each adds, and what is lost when one of two is killed.

    python -m tests.benchmarks.fleet.peers

Callers send chat completions to HAProxy with two gateways that pass them on, to vllm-router, and to Ray Serve with two
replicas that do nothing else. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.fleet import stacks
from tests.benchmarks.fleet.balancer import REPEATING, balancer
from tests.benchmarks.fleet.report import Report
from tests.benchmarks.fleet.scenes import Fault, load, steady
from tests.benchmarks.fleet.stacks import SLOTS, Gateway, start_engine
from tests.benchmarks.gateway import PEERS, running, write_bodies
from tests.support import environments
from tests.support.ports import free_port
from tests.support.tables import BENCHMARKS, add_write_option, publish

# Short, so that what is added to it can be seen.
LATENCY = 0.1
CALLERS = 4
_PATH = "/v1/chat/completions"


@dataclass(frozen=True)
class Target:
    """Something to measure.

    Attributes:
        name: for the table.
        url: its address.
        processes: that it consists of, without engines and without children.
        kill: ends one of two parts.
    """

    name: str
    url: str
    processes: list[int]
    kill: Callable[[], None] | None = None


def ray_target(stack: contextlib.ExitStack, folder: Path, urls: list[str]) -> Target:
    """Start Ray Serve."""
    port = free_port()
    python = environments.programs(PEERS / "ray.txt", environments.CACHE / "peers" / "ray") / "python"
    command = [str(python), str(PEERS / "ray_proxy.py"), str(port), *urls]
    # It would report to its makers that it was used, and leave a token in the home folder.
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "HOME": str(folder)}
    process = stack.enter_context(running(command, folder / "ray.log", **quiet))
    stacks.wait_for_health(port, folder / "ray.log", "/", seconds=600)

    def kill() -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as response:
            os.kill(int(response.headers["X-Replica"]), signal.SIGKILL)

    return Target("Ray Serve, two replicas", f"http://127.0.0.1:{port}", [process], kill)


def gateways_target(stack: contextlib.ExitStack, folder: Path, urls: list[str]) -> Target:
    """Start two gateways behind a balancer."""
    gateways = [Gateway(free_port(), url, SLOTS, folder / f"gateway-{number}.log") for number, url in enumerate(urls)]
    for gateway in gateways:
        gateway.start()
        stack.callback(gateway.end, signal.SIGKILL)
    for gateway in gateways:
        gateway.wait()
    before = stack.enter_context(balancer(folder, [each.port for each in gateways], REPEATING))
    processes = [*(each.pid for each in gateways), before.process]
    return Target("HAProxy and two gateways", before.url, processes, lambda: gateways[0].end(signal.SIGKILL))


def measure(report: Report, folder: Path, seconds: float) -> None:
    """Measure one after the other."""
    bodies = write_bodies(folder).chat
    for name in ("gateways", "router", "ray"):
        sys.stderr.write(f"{name}\n")
        with contextlib.ExitStack() as stack:
            urls = [start_engine(stack, folder / f"{name}-{number}.log", LATENCY)[0] for number in range(2)]
            if name == "gateways":
                target = gateways_target(stack, folder, urls)
            elif name == "router":
                url, process = stacks.start_router(stack, folder, urls)
                target = Target("vllm-router", url, [process])
            else:
                target = ray_target(stack, folder, urls)
            url = f"{target.url}{_PATH}"
            alone = steady(url, bodies, target.processes, 1, seconds)
            many = steady(url, bodies, target.processes, CALLERS, seconds)
            report.peers.append(
                (target.name, alone, many, None if target.kill is None else killed(url, bodies, target.kill))
            )


def killed(url: str, bodies: Path, kill: Callable[[], None]) -> Fault:
    """Kill one of two under load; callers try each request once."""
    with load(url, bodies, CALLERS) as work:
        time.sleep(3.0)
        kill()
        time.sleep(8.0)
        return Fault(work.end(), 0.0)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.fleet.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_write_option(parser, BENCHMARKS)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement under load, a fifth warm-up")
    args = parser.parse_args()
    report = Report()
    try:
        with tempfile.TemporaryDirectory() as name:
            measure(report, Path(name), args.seconds)
    except Exception:
        sys.stderr.write(f"{report.text()}\n")
        raise
    publish(report.text(), args.write, parser.prog)


if __name__ == "__main__":
    main()
