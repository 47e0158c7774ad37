"""A router that finds its engines in a file: what callers see of an engine that leaves it, and of one that dies.

    python -m tests.benchmarks.fleet.discovery

One gateway, smg, and two fake engines. The file is replaced by a rename, as Ansible replaces a file. Prints a Markdown
table.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.fleet.report import lost, machine
from tests.benchmarks.fleet.scenes import load
from tests.benchmarks.fleet.stacks import SLOTS, Gateway, start_engine, wait_for_health
from tests.benchmarks.gateway import PEERS, running, write_bodies
from tests.local_region.names import REPOSITORY_ROOT
from tests.support import environments
from tests.support.ports import free_port
from tests.support.tables import add_write_option, publish

PAGE = REPOSITORY_ROOT / "docs/decisions/0027-one-queue.md"
# Less than one engine can do, so that what is lost is the change's and not overload's.
CALLERS = SLOTS - 2
_SECONDS_AFTER = 6.0
_MOST_SECONDS = 120.0


def write_manifest(path: Path, urls: list[str]) -> None:
    """Replace the file of engines by a rename, so that no reader sees a part of it."""
    # smg takes one name of a model from an engine, its base's, and answers 404 for the adapter's.
    workers = [{"id": url.rpartition(":")[2], "url": url, "model_id": "medical-ie"} for url in urls]
    other = path.with_suffix(".new")
    other.write_text(json.dumps({"version": 1, "workers": workers}))
    other.replace(path)


def engines_of(port: int) -> set[str]:
    """Return the addresses of the engines that the router knows and takes for healthy."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/workers", timeout=10) as response:
        return {each["url"] for each in json.load(response)["workers"] if each["is_healthy"]}


def seconds_until(reached: Callable[[], bool]) -> float:
    """Wait for something, and return how long it took.

    Raises:
        TimeoutError: it did not come.
    """
    began = time.monotonic()
    while time.monotonic() - began < _MOST_SECONDS:
        if reached():
            return time.monotonic() - began
        time.sleep(0.1)
    raise TimeoutError("the router did not notice")


def start_router(stack: contextlib.ExitStack, manifest: Path, log: Path) -> tuple[int, int]:
    """Start smg, and return its port and its process."""
    port = free_port()
    programs = environments.programs(PEERS / "smg.txt", environments.CACHE / "peers" / "smg")
    command = [str(programs / "smg"), "launch", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--prometheus-port", str(free_port()), "--policy", "power_of_two", "--log-level", "warn"]
    command += ["--discovery-provider", "file", "--discovery-file", str(manifest)]
    command += ["--health-check-interval-secs", "1", "--health-failure-threshold", "2"]
    process = stack.enter_context(running(command, log))
    wait_for_health(port, log)
    return port, process


def measure(folder: Path) -> list[str]:
    """Return the table's rows."""
    bodies, rows = write_bodies(folder).extract, []
    with contextlib.ExitStack() as stack:
        engines = [start_engine(stack, folder / f"engine-{number}.log") for number in range(2)]
        urls = [url for url, _ in engines]
        manifest = folder / "engines.json"
        write_manifest(manifest, urls)
        port, _ = start_router(stack, manifest, folder / "smg.log")
        seconds_until(lambda: engines_of(port) == set(urls))
        gateway = Gateway(free_port(), f"http://127.0.0.1:{port}", SLOTS, folder / "gateway.log")
        gateway.start()
        stack.callback(gateway.end, signal.SIGKILL)
        gateway.wait()

        def seen(name: str, change: Callable[[], None], until: set[str]) -> None:
            with load(f"http://127.0.0.1:{gateway.port}/api/v1/extract", bodies, CALLERS) as work:
                time.sleep(2.0)
                change()
                noticed = seconds_until(lambda: engines_of(port) == until)
                time.sleep(_SECONDS_AFTER)
                outcome = work.end()
            cells = [name, f"{noticed:.1f}", f"{outcome.sent:,}", lost(outcome), f"{outcome.longest_ms:,.0f}"]
            rows.append(f"| {' | '.join(cells)} |")

        seen("an engine leaves the file", lambda: write_manifest(manifest, urls[:1]), set(urls[:1]))
        seen("an engine comes into the file", lambda: write_manifest(manifest, urls), set(urls))
        seen("kill -9 of an engine", lambda: os.killpg(engines[1][1], signal.SIGKILL), set(urls[:1]))
    return rows


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.fleet.discovery",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_write_option(parser, PAGE)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        rows = measure(Path(name))
    head = [
        "| gateway, smg, two engines | s until the router acts | sent | lost | longest ms |",
        "|---|---:|---:|---:|---:|",
    ]
    publish("\n".join([machine(), *head, *rows]), args.write, parser.prog)


if __name__ == "__main__":
    main()
