"""Where the time goes from `start.yml` to the first answer.

    python -m tests.benchmarks.cold_start

Deploys into a local region of its own, stops the instance, and starts it while a client asks for the golden note's
extraction until it gets one; and all that a second time, for one start says little of the next.
Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import platform
import re
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from tests.local_region import names
from tests.local_region.docker.machine import AGENT_UNIT
from tests.local_region.region import ENGINES, LocalRegion
from tests.support.gateway_client import golden_note, request
from tests.support.runner import run_playbook
from tests.support.tables import BENCHMARKS, add_write_option, publish

SECONDS_BETWEEN_ATTEMPTS = 0.1
STARTS = 2
ENGINE_CONTAINER = "slm-ft-serving-engine-1"
UNIT_TIME = "systemctl show --value --timestamp=us+utc --property={property} {unit}"
# The phases that a unit of the instance ends, in order: the property that says when.
UNITS = (
    ("the instance's kernel and systemd begin", "UserspaceTimestamp", ""),
    ("Docker serves", "ActiveEnterTimestamp", "docker.service"),
    ("the agent of Systems Manager takes sessions", "ActiveEnterTimestamp", AGENT_UNIT),
    ("the secrets are there", "ActiveEnterTimestamp", "slm-ft-serving-secrets.service"),
)
# The phases that a line of the engine's log ends.
LINES = (
    (
        "the engine's program is loaded",
        re.compile(r"Initializing a V1 LLM engine|Starting to load model|Using model weights"),
    ),
    ("the weights are read", re.compile(r"Loading weights took|Model loading took")),
    ("memory is measured, and what is compiled is", re.compile(r"init engine .*took")),
    ("the engine takes requests", re.compile(r"Application startup complete")),
)


def moments(region: LocalRegion) -> Iterator[tuple[str, float]]:
    """Yield what happened on the instance since it started, and when, in seconds since the epoch."""
    for phase, name, unit in UNITS:
        shown = region.exec(UNIT_TIME.format(property=name, unit=unit)).stdout.strip()
        with contextlib.suppress(ValueError):
            moment = datetime.datetime.strptime(shown.replace("UTC", "+0000"), "%a %Y-%m-%d %H:%M:%S.%f %z")
            yield phase, moment.timestamp()
    started = region.exec(f"docker inspect --format '{{{{.State.StartedAt}}}}' {ENGINE_CONTAINER}").stdout.strip()
    yield "the engine's container starts", _timestamp(started)
    log = region.exec(f"docker logs --timestamps --since {started} {ENGINE_CONTAINER} 2>&1").stdout.splitlines()
    for phase, pattern in LINES:
        if line := next((line for line in log if pattern.search(line)), None):
            yield phase, _timestamp(line.partition(" ")[0])


def _timestamp(text: str) -> float:
    """Return the seconds since the epoch of Docker's time, which has nanoseconds."""
    return datetime.datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", text)).timestamp()


def first_answer(region: LocalRegion) -> float:
    """Ask until an extraction is answered, and return when it was."""
    body = {"text": golden_note()["text"]}
    while True:
        with contextlib.suppress(OSError):
            if request(region, "/api/v1/extract", body)[0] == 200:
                return time.time()
        time.sleep(SECONDS_BETWEEN_ATTEMPTS)


def start(region: LocalRegion) -> list[tuple[str, float]]:
    """Stop the instance, start it, and return the phases with their ends, in seconds since start.yml began.

    Raises:
        AssertionError: A playbook fails; the message holds its output.
    """
    run_playbook(region, "stop").must_succeed()
    began = time.time()
    with ThreadPoolExecutor(1) as client:
        answered = client.submit(first_answer, region)
        run_playbook(region, "start").must_succeed()
        ended = time.time()
    phases = [*moments(region), ("the first extraction is answered", answered.result()), ("`start.yml` ends", ended)]
    return sorted(((phase, moment - began) for phase, moment in phases), key=lambda one: one[1])


def measure(engine: str) -> list[list[tuple[str, float]]]:
    """Return the phases of each start, in a fresh region."""
    with LocalRegion(names.of_this_copy("cold-start"), engine=engine).fresh() as region:
        say("the deployment")
        run_playbook(region, "deploy").must_succeed()
        starts = []
        for number in range(1, STARTS + 1):
            say(f"start {number} of {STARTS}")
            starts.append(start(region))
        return starts


def say(line: str) -> None:
    """Report progress."""
    sys.stderr.write(f"== {line}\n")


def table(starts: list[list[tuple[str, float]]]) -> Iterator[str]:
    """Yield the lines of the table: the last start's phases in order, with each start's seconds."""
    yield f"| seconds after `start.yml` began | {' | '.join(f'start {n}' for n in range(1, len(starts) + 1))} |"
    yield f"|---|{'---:|' * len(starts)}"
    ends = [dict(phases) for phases in starts]
    for phase, _ in starts[-1]:
        cells = [f"{each[phase]:.1f}" if phase in each else "" for each in ends]
        yield f"| {phase} | {' | '.join(cells)} |"


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.cold_start",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--engine",
        choices=list(ENGINES),
        default="vllm",
        help="vLLM's CPU build, or the fake that starts in a moment (default: %(default)s)",
    )
    add_write_option(parser, BENCHMARKS)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    starts = measure(options.engine)
    heading = (
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {os.cpu_count()} cores, {platform.machine()}, engine "
        f"{options.engine}, load average before: {load:.1f}"
    )
    publish("\n".join([heading, "", *table(starts)]), options.write, parser.prog)
    return 0


if __name__ == "__main__":
    sys.exit(main())
