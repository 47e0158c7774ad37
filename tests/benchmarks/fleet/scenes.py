"""What is done to a fleet, and what its callers see meanwhile."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.fleet.balancer import Balancer
from tests.benchmarks.fleet.callers import BEGUN, Outcome
from tests.benchmarks.fleet.stacks import SLOTS, Fleet
from tests.benchmarks.gateway import ROOT, memory

# More than an engine works on at once, so that no slot waits for a request.
CALLERS_A_STACK = SLOTS + 4
# Under a fault: less than two of three stacks can do, so that what is lost is the fault's and not overload's.
CALLERS_UNDER_FAULT = 2 * SLOTS
# A gateway works on eight texts of a batch at once.
BATCHES, BATCH_TEXTS = 2, 16
_SETTLE_SECONDS = 2.0
_MOST_SECONDS = 300.0


@dataclass(frozen=True)
class Tries:
    """How often callers try a request that nothing began to answer.

    Attributes:
        count: the first included.
        pause: seconds before the second.
    """

    count: int = 1
    pause: float = 0.0


ONCE = Tries()


@dataclass
class Load:
    """Callers that are at work; `outcome` is there when they have ended."""

    process: subprocess.Popen[str]
    outcome: Outcome | None = None

    def end(self) -> Outcome:
        """Have them end what they have begun, and return what they saw.

        Raises:
            ValueError: it does not add up.
        """
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> Outcome:
        """Wait until their time is over, and return what they saw.

        Raises:
            ValueError: it does not add up.
        """
        output, _ = self.process.communicate(timeout=_MOST_SECONDS)
        self.outcome = Outcome.parse(output)
        return self.outcome


@contextlib.contextmanager
def load(url: str, bodies: Path, callers: int, tries: Tries = ONCE, seconds: float = _MOST_SECONDS) -> Iterator[Load]:
    """Have callers send from a process of their own while the context lasts, or for some seconds.

    Raises:
        ValueError: the process did not begin.
    """
    command = [sys.executable, "-m", "tests.benchmarks.fleet.callers", url, str(bodies)]
    command += ["--callers", str(callers), "--seconds", str(seconds)]
    command += ["--tries", str(tries.count), "--pause", str(tries.pause)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        if process.stdout.readline().strip() != BEGUN:
            raise ValueError("the callers did not begin")
        yield Load(process)
    finally:
        process.kill()
        process.wait()


@dataclass(frozen=True)
class Steady:
    """A fleet under load with nothing else.

    Attributes:
        outcome: what callers saw.
        mebibytes: that gateways, router and balancer held at the end.
        cpu_ms: of them for each request; it hardly depends on what else the machine does.
    """

    outcome: Outcome
    mebibytes: float
    cpu_ms: float


def cpu_seconds(processes: Sequence[int]) -> float:
    """Return the processor time that processes and their children have used."""
    ticks, wanted = 0, set(processes)
    for path in sorted(Path("/proc").glob("[0-9]*/stat"), key=lambda path: int(path.parent.name)):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[1]) in wanted or int(path.parent.name) in wanted:
                wanted.add(int(path.parent.name))
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def steady(url: str, bodies: Path, processes: Sequence[int], callers: int, seconds: float) -> Steady:
    """Measure what some callers get, and what it costs the processes that are named."""
    before = cpu_seconds(processes)
    with load(url, bodies, callers, seconds=seconds) as work:
        outcome = work.wait()
    spent = cpu_seconds(processes) - before
    return Steady(outcome, memory(list(processes)), 1000 * spent / outcome.sent)


@dataclass(frozen=True)
class Fault:
    """What callers saw of a fault or a release.

    Attributes:
        outcome: of them.
        seconds: how long it took: until the balancer had noticed, or until the release was through.
    """

    outcome: Outcome
    seconds: float


def kill_gateway(fleet: Fleet, before: Balancer, bodies: Path, tries: Tries) -> Fault:
    """End a gateway by SIGKILL under load, and leave it so until the balancer has noticed and some time more."""
    with load(f"{before.url}/api/v1/extract", bodies, CALLERS_UNDER_FAULT, tries) as work:
        time.sleep(_SETTLE_SECONDS)
        fleet.gateways[0].end(signal.SIGKILL)
        noticed = before.wait_until("g0", up=False)
        time.sleep(_SETTLE_SECONDS)
        outcome = work.end()
    put_back(fleet, before, 0)
    return Fault(outcome, noticed)


def kill_engine(fleet: Fleet, before: Balancer, bodies: Path, tries: Tries) -> Fault:
    """End an engine by SIGKILL under load; the seconds are how long requests were lost at most."""
    with load(f"{before.url}/api/v1/extract", bodies, CALLERS_UNDER_FAULT, tries) as work:
        time.sleep(_SETTLE_SECONDS)
        os.killpg(fleet.engines[0], signal.SIGKILL)
        began = time.monotonic()
        # A gateway with an engine of its own is taken out; one behind a router stays.
        with contextlib.suppress(TimeoutError):
            before.wait_until("g0", up=False, seconds=10.0)
        noticed = time.monotonic() - began
        time.sleep(_SETTLE_SECONDS)
        return Fault(work.end(), noticed)


def put_back(fleet: Fleet, before: Balancer, number: int) -> None:
    """Start a gateway that has ended, and wait until the balancer gives it requests."""
    gateway = fleet.gateways[number]
    gateway.start()
    gateway.wait()
    before.command(f"set server gateways/g{number} state ready")
    before.wait_until(f"g{number}", up=True)


def roll(fleet: Fleet, before: Balancer, bodies: Path, *, taken_out: bool) -> Fault:
    """Replace one gateway after another under load; callers try each request once.

    Args:
        fleet: the stacks.
        before: their balancer.
        bodies: of requests.
        taken_out: whether each is taken out of the balancer and has ended its requests before it ends.
    """
    with load(f"{before.url}/api/v1/extract", bodies, CALLERS_UNDER_FAULT) as work:
        time.sleep(_SETTLE_SECONDS)
        began = time.monotonic()
        for number, gateway in enumerate(fleet.gateways):
            if taken_out:
                before.command(f"set server gateways/g{number} state drain")
                before.wait_until(f"g{number}", idle=True)
            gateway.end(signal.SIGTERM)
            put_back(fleet, before, number)
        seconds = time.monotonic() - began
        time.sleep(_SETTLE_SECONDS)
        return Fault(work.end(), seconds)


def beside_batches(url: str, bodies: Path, batches: Path, seconds: float) -> Outcome:
    """Return what some callers of single texts saw while others sent batches, which a balancer counts as one request.

    With the texts of the batches there are fewer than three engines have slots.
    """
    with load(f"{url}/api/v1/extract/batch", batches, BATCHES, seconds=seconds + 2 * _SETTLE_SECONDS) as others:
        time.sleep(_SETTLE_SECONDS)
        with load(f"{url}/api/v1/extract", bodies, SLOTS // 2, seconds=seconds) as work:
            outcome = work.wait()
        if lost := others.end().lost:
            raise ValueError(f"batches were lost: {lost}")
    return outcome
