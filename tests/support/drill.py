"""A fault drill: what served before a fault has to serve after it, and the operator has to learn why it failed."""

from __future__ import annotations

import http
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import pytest

from tests.local_region.region import LocalRegion
from tests.support.drill_table import Outcome
from tests.support.gateway_client import golden_note, request
from tests.support.prober import Prober, seconds_until_serving_again
from tests.support.runner import PlaybookRun

CURRENT = "/opt/slm-ft-serving/current"
LONGEST_LINE = 150
# What differs from run to run, and what a table shows in its place.
RUNS_OWN = (
    (r"@sha256:[0-9a-f]{64}|^\d+\. ", ""),
    (r"\b\d{8}T\d{6}Z\b", "STAMP"),
    (r"\bi-[0-9a-f]{8,17}\b", "i-…"),
    (r"\b\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com\b", "REGISTRY"),
    (r"\barn:aws:\S+", "ARN"),
    (r"\bon \S+ \(process \d+\)", "on HOST (process N)"),
)


@dataclass
class Drill:
    """One fault in one region that serves."""

    region: LocalRegion
    fault: str
    happened: str = field(default="", init=False)

    def __post_init__(self) -> None:
        """Note the release that serves before the fault."""
        self.release = current_release(self.region)

    def failed(self, run: PlaybookRun, *words: str) -> None:
        """Note the cause that a failed run reports.

        Args:
            run: The run, which has to have failed.
            words: What its message must contain; the first is in the line that names the cause.

        Raises:
            AssertionError: It succeeded, or a word is missing.
        """
        self.happened = cause(run, *words)

    def succeeded(self, happened: str) -> None:
        """Note what happened, where the stack heals by itself."""
        self.happened = shortened(happened)

    def check_old_release_serves(self) -> None:
        """Check that the release from before is current and answers the golden note right.

        Raises:
            AssertionError: It is not, or does not.
        """
        assert current_release(self.region) == self.release
        note = golden_note()
        status, answer = request(self.region, "/api/v1/extract", {"text": note["text"]})
        assert status == http.HTTPStatus.OK, answer
        assert {name: answer[name] for name in note["expected"]} == note["expected"]


Begin = Callable[[str], AbstractContextManager[Drill]]


def recorded_drills(region: LocalRegion, item: pytest.Item, *, engine: str, seconds_between_requests: float) -> Begin:
    """Return a function that begins a drill, given its fault's name, and adds its outcome to a test's report.

    Args:
        region: Where a good release serves.
        item: The test.
        engine: What the table calls the region's engine.
        seconds_between_requests: Between two requests that measure how long nothing serves.
    """
    return lambda fault: _drill(region, fault, item, engine, seconds_between_requests)


@contextmanager
def _drill(region: LocalRegion, fault: str, item: pytest.Item, engine: str, interval: float) -> Iterator[Drill]:
    """Send requests while the body of `with` causes a fault; afterwards the old release has to serve."""
    drill = Drill(region, fault)
    with Prober(region, "/api/v1/extract", {"text": golden_note()["text"]}, interval=interval) as prober:
        yield drill
        drill.check_old_release_serves()
        time.sleep(2 * interval)  # A request that the gateway now answers.
    assert drill.happened, "the drill did not record what happened"
    outcome = Outcome(fault, engine, drill.happened, round(seconds_until_serving_again(prober.probes), 1))
    item.user_properties.append(outcome.as_property())


def cause(run: PlaybookRun, *words: str) -> str:
    """Return the line of a failed run's message that names the cause, shortened for a table.

    Args:
        run: The run, which has to have failed.
        words: What its message must contain; the line returned has the first.

    Raises:
        AssertionError: It succeeded, or a word is missing.
    """
    message = run.must_fail_naming(*words).message
    return shortened(next(line for line in message.splitlines() if words[0] in line))


def current_release(region: LocalRegion) -> str:
    """Return the name of the release that `current` points to; empty when there is none."""
    return region.exec(f"readlink {CURRENT} || true").stdout.strip().rpartition("/")[2]


def shortened(text: str) -> str:
    """Return a text in one line, without what is a run's own, cut where it is too long for a table."""
    line = " ".join(text.split())
    for pattern, shown in RUNS_OWN:
        line = re.sub(pattern, shown, line)
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…"
