"""What more stacks bring, and what is lost when one goes: one, two and three behind a load balancer, in one run.

    python -m tests.benchmarks.fleet

Each stack is a gateway and a fake engine that works on 8 requests at once and takes 1 s for each, so that the number
of stacks is measured and not the machine. HAProxy gives a request to the gateway with fewest and asks each for its
/health. Under load, one of three gateways is killed, all are replaced one after another, and an engine is killed; the
same with vllm-router between all gateways and all engines. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.fleet import scenes, stacks
from tests.benchmarks.fleet.balancer import CHECKED_OFTEN, LIKE_ALB, REPEATING, balancer
from tests.benchmarks.fleet.report import Report
from tests.benchmarks.fleet.scenes import BATCH_TEXTS, CALLERS_A_STACK, Tries
from tests.benchmarks.gateway import note, write_bodies
from tests.support.tables import BENCHMARKS, add_write_option, publish

STACKS = (1, 2, 3)
ROUTED = "with vllm-router"


@dataclass(frozen=True)
class Files:
    """Bodies of requests, one a line, and where logs go."""

    folder: Path
    single: Path
    batches: Path
    seconds: float


def say(text: str) -> None:
    """Say on standard error how far it is."""
    sys.stderr.write(f"{text}\n")


def measure_stacks(report: Report, files: Files, *, router: bool) -> None:
    """Measure one, two and three stacks under load."""
    name = ROUTED if router else "gateway with its own engine"
    for count in STACKS:
        say(f"{count} of {STACKS[-1]} stacks, {name}")
        with contextlib.ExitStack() as stack:
            fleet = stacks.start(stack, files.folder, count, router=router)
            before = stack.enter_context(balancer(files.folder, fleet.ports, CHECKED_OFTEN))
            processes = [*fleet.processes(), before.process]
            url = f"{before.url}/api/v1/extract"
            result = scenes.steady(url, files.single, processes, CALLERS_A_STACK * count, files.seconds)
            report.steady.append((name, count, result))


def measure_faults(report: Report, files: Files) -> None:
    """Kill and replace gateways of three stacks under load."""
    with contextlib.ExitStack() as stack:
        fleet = stacks.start(stack, files.folder, 3)
        for rules, told, tries in (
            (LIKE_ALB, "once", Tries()),
            (LIKE_ALB, "twice, at once", Tries(2)),
            (LIKE_ALB, "5 times, with pauses from 1 s", Tries(5, 1.0)),
            (CHECKED_OFTEN, "5 times, with pauses from 1 s", Tries(5, 1.0)),
            (REPEATING, "once", Tries()),
        ):
            say(f"kill -9 of a gateway: {rules.name}, callers try {told}")
            with balancer(files.folder, fleet.ports, rules) as before:
                fault = scenes.kill_gateway(fleet, before, files.single, tries)
            report.faults.append(("kill -9 of a gateway", rules.name, told, fault))
        for taken_out, name in ((True, "a gateway after another replaced"), (False, "the same, not taken out before")):
            say(name)
            with balancer(files.folder, fleet.ports, CHECKED_OFTEN) as before:
                fault = scenes.roll(fleet, before, files.single, taken_out=taken_out)
            report.faults.append((name, CHECKED_OFTEN.name, "once", fault))
        measure_batches(report, files, fleet, "gateway with its own engine")
        say("kill -9 of an engine")
        with balancer(files.folder, fleet.ports, CHECKED_OFTEN) as before:
            fault = scenes.kill_engine(fleet, before, files.single, Tries())
        report.faults.append(("kill -9 of an engine", CHECKED_OFTEN.name, "once", fault))


def measure_batches(report: Report, files: Files, fleet: stacks.Fleet, name: str) -> None:
    """Measure single texts beside batches."""
    say(f"single texts beside batches, {name}")
    with balancer(files.folder, fleet.ports, CHECKED_OFTEN) as before:
        outcome = scenes.beside_batches(before.url, files.single, files.batches, files.seconds)
    report.batches.append((name, outcome))


def measure_routed(report: Report, files: Files) -> None:
    """Do the same to three stacks with a router where it makes a difference."""
    with contextlib.ExitStack() as stack:
        fleet = stacks.start(stack, files.folder, 3, router=True)
        say(f"kill -9 of a gateway, {ROUTED}")
        with balancer(files.folder, fleet.ports, REPEATING) as before:
            fault = scenes.kill_gateway(fleet, before, files.single, Tries())
        report.faults.append((f"kill -9 of a gateway, {ROUTED}", REPEATING.name, "once", fault))
        say(f"a gateway after another replaced, {ROUTED}")
        with balancer(files.folder, fleet.ports, CHECKED_OFTEN) as before:
            fault = scenes.roll(fleet, before, files.single, taken_out=True)
        report.faults.append((f"a gateway after another replaced, {ROUTED}", CHECKED_OFTEN.name, "once", fault))
        measure_batches(report, files, fleet, ROUTED)
        say(f"kill -9 of an engine, {ROUTED}")
        with balancer(files.folder, fleet.ports, CHECKED_OFTEN) as before:
            fault = scenes.kill_engine(fleet, before, files.single, Tries())
        report.faults.append((f"kill -9 of an engine, {ROUTED}", CHECKED_OFTEN.name, "once", fault))


def write_files(folder: Path, seconds: float) -> Files:
    """Write the bodies of requests."""
    bodies = write_bodies(folder)
    texts = [note(number) for number in range(BATCH_TEXTS)]
    batches = folder / "batches.jsonl"
    batches.write_text(json.dumps({"items": [{"text": text} for text in texts]}) + "\n")
    return Files(folder, bodies.extract, batches, seconds)


def measure(report: Report, files: Files, *, router: bool) -> None:
    """Measure all."""
    measure_stacks(report, files, router=False)
    if router:
        measure_stacks(report, files, router=True)
    measure_faults(report, files)
    if router:
        measure_routed(report, files)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.fleet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_write_option(parser, BENCHMARKS)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement under load, a fifth warm-up")
    parser.add_argument("--without-router", action="store_true", help="leave vllm-router out")
    args = parser.parse_args()
    report = Report()
    try:
        with tempfile.TemporaryDirectory() as name:
            measure(report, write_files(Path(name), args.seconds), router=not args.without_router)
    except Exception:
        # Minutes of measuring are not thrown away for what failed after them.
        sys.stderr.write(f"{report.text()}\n")
        raise
    publish(report.text(), args.write, parser.prog)


if __name__ == "__main__":
    main()
