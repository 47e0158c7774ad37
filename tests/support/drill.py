"""A fault drill: what served before a fault has to serve after it, and the operator has to be told why."""

from __future__ import annotations

import http
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.local_region.region import LocalRegion
from tests.support.drill_table import Outcome
from tests.support.gateway_client import golden_note, request
from tests.support.prober import Prober
from tests.support.runner import PlaybookRun

CURRENT = "/opt/slm-ft-serving/current"
LONGEST_LINE = 220


@dataclass
class Drill:
    """One fault in one region that serves."""

    region: LocalRegion
    fault: str
    happened: str = field(default="", init=False)

    def __post_init__(self) -> None:
        self.release = current_release(self.region)

    def failed(self, run: PlaybookRun, *words: str) -> None:
        """Takes the run that had to fail; its message must have each of the words, the cause's own first.

        Raises AssertionError.
        """
        self.happened = cause(run, *words)

    def succeeded(self, happened: str) -> None:
        """Takes what happened, where the stack heals by itself."""
        self.happened = shortened(happened)

    def old_release_serves(self) -> None:
        """The release from before is current and answers the golden note right. Raises AssertionError."""
        assert current_release(self.region) == self.release
        note = golden_note()
        status, answer = request(self.region, "/api/v1/extract", {"text": note["text"]})
        assert status == http.HTTPStatus.OK, answer
        assert {name: answer[name] for name in note["expected"]} == note["expected"]


@contextmanager
def drill(
    region: LocalRegion, fault: str, record: Callable[[Outcome], None], *, engine: str, interval: float
) -> Iterator[Drill]:
    """Sends requests while the body of `with` brings a fault about; afterwards the old release has to serve.

    record: gets the outcome. interval: seconds between two requests. Raises AssertionError.
    """
    this = Drill(region, fault)
    with Prober(region, "/api/v1/extract", {"text": golden_note()["text"]}, interval=interval) as prober:
        yield this
        this.old_release_serves()
        time.sleep(2 * interval)  # A request that the gateway now answers.
    assert this.happened, "the drill did not say what happened"
    record(Outcome(fault, engine, this.happened, round(prober.seconds_until_serving_again(), 1)))


def cause(run: PlaybookRun, *words: str) -> str:
    """Gives the line of a failed run's message that has the first of the words; the message must have each of them.

    Raises AssertionError.
    """
    message = run.must_fail_naming(*words).message
    return shortened(next(line for line in message.splitlines() if words[0] in line))


def current_release(region: LocalRegion) -> str:
    """Gives the name of the release that `current` points to; empty when there is none."""
    return region.exec(f"readlink {CURRENT} || true").stdout.strip().rpartition("/")[2]


def shortened(text: str) -> str:
    """Gives the text in one line without digests and a list's number, cut where it is too long for a table."""
    line = re.sub(r"@sha256:[0-9a-f]{64}|^\d+\. ", "", " ".join(text.split()))
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…"
