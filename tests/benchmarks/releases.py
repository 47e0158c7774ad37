"""What clients see of a release: requests that failed, were refused or waited, by kind of release.

    python -m tests.benchmarks.releases

Runs the releases in a local region of its own, without an edge and with one, while clients have notes extracted without
a pause. A kind of release is a change of one of the stack's parts; an adapter's restarts the engine, as the engine's
does. Prints Markdown.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
from collections.abc import Iterator

from tests.local_region import names
from tests.local_region.region import ENGINES, LocalRegion
from tests.support.notes_load import Outcome
from tests.support.release_kinds import EDGE, EDGE_ITSELF, ENGINE, GATEWAY, release
from tests.support.runner import run_playbook
from tests.support.tables import BENCHMARKS, add_write_option, publish


def measure(engine: str) -> Iterator[tuple[str, str, Outcome]]:
    """Run all kinds of release in a fresh region; yield each kind, what clients ask, and the outcome."""
    with LocalRegion(
        names.of_this_copy("releases"), engine=engine, pushed=("engine", "gateway", "edge")
    ).fresh() as region:
        for base, asked, kinds in (
            ({}, "the gateway", (GATEWAY, ENGINE)),
            (EDGE, "the edge", (GATEWAY, ENGINE, EDGE_ITSELF)),
        ):
            variables = dict(base)
            say(f"a deployment to begin with; clients will ask {asked}")
            run_playbook(region, "deploy", "-e", json.dumps(variables)).must_succeed()
            for kind in kinds:
                say(f"a release of {kind.name}; clients ask {asked}")
                variables |= kind.variables
                yield kind.name, asked, release(region, variables, has_edge=bool(base))


def say(line: str) -> None:
    """Report progress."""
    sys.stderr.write(f"== {line}\n")


def table(rows: list[tuple[str, str, Outcome]]) -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| release of | clients ask | requests | failed | refused | longest, s |"
    yield "|---|---|---:|---:|---:|---:|"
    for kind, asked, seen in rows:
        yield f"| {kind} | {asked} | {seen.sent:,} | {seen.failed} | {seen.refused} | {seen.longest:.1f} |"


def main() -> int:
    """Measure and print; return the exit code."""
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.releases", description=__doc__, formatter_class=shape
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
    rows = list(measure(options.engine))
    now = datetime.datetime.now(datetime.UTC)
    lines = [
        f"{now:%Y-%m-%d}, {os.cpu_count()} cores, {platform.machine()}, engine {options.engine}, load average before: "
        f"{load:.1f}",
        "",
        *table(rows),
    ]
    publish("\n".join(lines), options.write, parser.prog)
    return 0


if __name__ == "__main__":
    sys.exit(main())
