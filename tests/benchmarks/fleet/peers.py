"""Ray Serve LLM beside HAProxy with two whole stacks: what each adds to the engine, and what the death of one costs.

    python -m tests.benchmarks.fleet.peers

Both serve the small model with its adapter by two real engines, vLLM on the CPU of the version that is deployed; Ray
in two ways, by its own proxy and with HAProxy directly before the replicas. Callers send chat completions of 16 tokens.
The first run installs Ray and the engine into .ray-venv. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.tasks import load_task
from gateway.tasks.prompting import build_messages
from tests.benchmarks.fleet import ray_serve, small_engine
from tests.benchmarks.fleet.balancer import REPEATING, balancer
from tests.benchmarks.fleet.footprint import Footprint, footprint, tree
from tests.benchmarks.fleet.report import Compared, Report
from tests.benchmarks.fleet.scenes import Fault, load, steady
from tests.benchmarks.fleet.small_engine import ADAPTER, Vllm
from tests.benchmarks.fleet.stacks import SLOTS, Gateway, wait_for_health
from tests.benchmarks.gateway import TASK, note
from tests.support.ports import free_port
from tests.support.ray import environment
from tests.support.tables import BENCHMARKS, add_write_option, publish

CALLERS = 4
# Few tokens, so that what is added to the engine's time can be seen; few notes, so that engines soon know all prompts.
TOKENS, NOTES = 16, 8
_PATH = "/v1/chat/completions"
# How long callers go on after the fault is over.
_SETTLE_SECONDS = 3.0
_MOST_SECONDS = 280.0
# So many good answers one after another, that both engines have given some.
_GOOD_ANSWERS = 10


@dataclass(frozen=True)
class Target:
    """Something to measure.

    Attributes:
        name: for the tables.
        url: its address.
        model: the adapter's name there.
        processes: of which all others descend, the engines' too.
        engines: that are the engines' own; a pattern of command lines where they descend from the others.
        kill: ends one of two engines, and has another one started where nobody else does.
        two_serve: says whether two serve.
    """

    name: str
    url: str
    model: str
    processes: Callable[[], list[int]]
    engines: Callable[[], list[int]] | str
    kill: Callable[[], None]
    two_serve: Callable[[], bool]

    def without_engines(self) -> Footprint:
        """Return what it is beside the engines."""
        if isinstance(self.engines, str):
            return footprint(tree(self.processes(), without=self.engines))
        return footprint(sorted(set(tree(self.processes())) - set(tree(self.engines()))))


def is_healthy(port: int) -> bool:
    """Return whether a server's `/health` is 200."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def write_bodies(folder: Path, model: str) -> Path:
    """Return a file with a request's body a line."""
    task = load_task(TASK)
    path = folder / f"{model.replace(':', '-')}.jsonl"
    bodies = [
        {"model": model, "max_tokens": TOKENS, "temperature": 0, "messages": build_messages(task, note(number))}
        for number in range(NOTES)
    ]
    path.write_text("".join(json.dumps(body) + "\n" for body in bodies))
    return path


def wait_for_answers(name: str, address: str, bodies: Path) -> None:
    """Wait until a number of requests were answered one after another.

    Raises:
        TimeoutError: they are not.
    """
    end, good, last = time.monotonic() + _MOST_SECONDS, 0, "nothing"
    while good < _GOOD_ANSWERS:
        if time.monotonic() > end:
            raise TimeoutError(f"{name} does not answer: {last}")
        body = bodies.read_bytes().splitlines()[good % NOTES]
        request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                response.read()
            good += 1
        except urllib.error.HTTPError as error:
            good, last = 0, f"{error.code} {error.read()[:500]!r}"
            time.sleep(0.2)
        except OSError as error:
            good, last = 0, repr(error)
            time.sleep(0.2)


def start_engines(stack: contextlib.ExitStack, folder: Path) -> list[Vllm]:
    """Start two engines as their image does, and wait until they serve."""
    engines = [small_engine.vllm(stack, folder, number) for number in range(2)]
    for engine in engines:
        wait_for_health(engine.port, engine.log, seconds=_MOST_SECONDS)
    return engines


def gateways_target(stack: contextlib.ExitStack, folder: Path, engines: Sequence[Vllm]) -> Target:
    """Start two gateways behind a balancer, each before its own engine."""
    gateways = [
        # As the deployment sets it: requests wait for an engine that is made anew.
        Gateway(free_port(), engine.url, SLOTS, folder / f"gateway-{number}.log", {"GATEWAY_ENGINE_PATIENCE": "30"})
        for number, engine in enumerate(engines)
    ]
    for gateway in gateways:
        gateway.start()
        stack.callback(gateway.end, signal.SIGKILL)
    for gateway in gateways:
        gateway.wait()
    before = stack.enter_context(balancer(folder, [each.port for each in gateways], REPEATING))

    def kill() -> None:
        engines[0].end()
        # Docker does so, by the restart policy of the stack.
        engines[0].start()

    return Target(
        "HAProxy and two stacks",
        before.url,
        ADAPTER,
        lambda: [*(each.pid for each in gateways), before.process, *(each.pid for each in engines)],
        lambda: [each.pid for each in engines],
        kill,
        lambda: all(map(is_healthy, [*(each.port for each in engines), *(each.port for each in gateways)])),
    )


def ray_target(stack: contextlib.ExitStack, folder: Path, name: str, *, direct: bool) -> Target:
    """Start Ray Serve LLM."""
    started = ray_serve.cluster(stack, folder, direct=direct)
    seen_fewer = False

    def two_serve() -> bool:
        # Ray says two until it has noticed that one is dead.
        nonlocal seen_fewer
        seen_fewer = seen_fewer or started.engines() < 2
        return seen_fewer and started.engines() == 2

    return Target(
        name,
        started.url,
        ray_serve.MODEL,
        started.processes,
        ray_serve.ENGINE,
        started.kill_engine,
        two_serve,
    )


def compared(target: Target, folder: Path, seconds: float) -> Compared:
    """Measure a target, and kill one of its engines at the end."""
    bodies = write_bodies(folder, target.model)
    url = f"{target.url}{_PATH}"
    wait_for_answers(target.name, url, bodies)
    alone = steady(url, bodies, target.processes(), 1, seconds)
    many = steady(url, bodies, target.processes(), CALLERS, seconds)
    without, whole = target.without_engines(), footprint(tree(target.processes()))
    return Compared(target.name, alone, many, without, whole, killed(url, bodies, target))


def killed(url: str, bodies: Path, target: Target) -> Fault:
    """Kill one of two engines under load, and wait until two serve; callers try each request once.

    Raises:
        TimeoutError: no second one came.
    """
    with load(url, bodies, CALLERS) as work:
        time.sleep(_SETTLE_SECONDS)
        target.kill()
        began = time.monotonic()
        while not target.two_serve():
            if time.monotonic() - began > _MOST_SECONDS:
                raise TimeoutError(f"{target.name}: no second engine after {_MOST_SECONDS:.0f} s; {work.end()}")
            time.sleep(0.2)
        took = time.monotonic() - began
        time.sleep(_SETTLE_SECONDS)
        return Fault(work.end(), took)


def measure(report: Report, folder: Path, seconds: float) -> None:
    """Measure one after the other."""
    sys.stderr.write("two engines; alone, and behind HAProxy and gateways\n")
    with contextlib.ExitStack() as stack:
        engines = start_engines(stack, folder)
        bodies = write_bodies(folder, ADAPTER)
        for engine in engines:
            # They know the prompts then, as in what is compared.
            wait_for_answers("the engine", f"{engine.url}{_PATH}", bodies)
        report.engine = steady(f"{engines[0].url}{_PATH}", bodies, [engines[0].pid], 1, seconds).outcome
        report.peers.append(compared(gateways_target(stack, folder, engines), folder, seconds))
    for short, name, is_direct in (
        ("r", "Ray Serve LLM", False),
        ("d", "Ray Serve LLM, HAProxy and direct streaming", True),
    ):
        sys.stderr.write(f"{name}\n")
        with contextlib.ExitStack() as stack:
            report.peers.append(
                compared(ray_target(stack, folder / short, name, direct=is_direct), folder / short, seconds)
            )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.fleet.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_write_option(parser, BENCHMARKS)
    parser.add_argument("--seconds", type=float, default=12.0, help="of each measurement under load, a fifth warm-up")
    args = parser.parse_args()
    environment()
    report = Report()
    try:
        with tempfile.TemporaryDirectory(prefix="slm-") as name:
            measure(report, Path(name), args.seconds)
    except Exception:
        sys.stderr.write(f"{report.text()}\n")
        raise
    publish(report.text(), args.write, parser.prog)


if __name__ == "__main__":
    main()
