#!/usr/bin/env python3
"""Stop the instance once nothing has used it for a while. Run by a timer each minute; prints one line of JSON.

What counts as use: a request under /api or /v1 with a valid key, a request that runs or waits, a training, a session of
Systems Manager (so every playbook that is at work), and a unit that is starting. A reading that fails counts as use:
an instance that nobody understands goes on running, and its log says why.

Running requests finish: the stack's unit drains the gateway before the machine goes down. A power-off from within stops
an EC2 instance, and EBS keeps its disk; the role has checked that it does not terminate it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEFAULT_CONFIGURATION = Path("/opt/slm-ft-serving/shared/idle-stop.json")
STATE = Path("/run/slm-ft-serving/idle-stop.json")
TIMEOUT = 10
SAMPLE = re.compile(r"(?P<name>[a-z_]+)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)")
REQUESTS = "llm_requests_total"
# Of anybody without a key, of anybody at all: a scan of the port keeps no instance running.
NO_USE = {"401", "404", "405", "429"}
AT_WORK = ("gateway_running", "gateway_queue_waiting")


@dataclass(frozen=True)
class Reading:
    """What was seen now.

    Attributes:
        use: why the instance is in use whatever was seen before; None when nothing says so.
        requests: how many the gateway has answered since it started; None when it was not asked.
    """

    use: str | None
    requests: float | None = None


@dataclass(frozen=True)
class State:
    """What the last run left.

    Attributes:
        since: when the instance was in use for the last time, in seconds of the machine's monotonic clock.
        requests: as the last reading had them.
    """

    since: float
    requests: float | None = None


@dataclass(frozen=True)
class Decision:
    """What follows from a reading.

    Attributes:
        state: for the next run.
        use: why the instance counts as in use; None when it is idle.
        idle: seconds for which it has been.
        stop: whether it is to stop now.
    """

    state: State
    use: str | None
    idle: float
    stop: bool


def decide(before: State | None, reading: Reading, now: float, seconds: float) -> Decision:
    """Return what follows from a reading.

    Args:
        before: what the last run left; None at the first since the boot, which begins the wait.
        reading: what was seen now.
        now: seconds of the monotonic clock.
        seconds: for which the instance has to be idle.
    """
    use = reading.use
    if use is None and before is None:
        use = "the instance has just started"
    elif use is None and before is not None and reading.requests != before.requests:
        # A gateway that was started again counts from 0: less than before is a change too.
        use = "requests were answered"
    if use is not None or before is None:
        return Decision(State(now, reading.requests), use, 0.0, False)
    idle = now - before.since
    return Decision(State(before.since, reading.requests), None, idle, idle >= seconds)


def samples(text: str) -> Iterable[tuple[str, dict[str, str], float]]:
    """Yield name, labels and value of each line of Prometheus's text format."""
    for line in text.splitlines():
        match = None if line.startswith("#") else SAMPLE.fullmatch(line)
        if match is not None:
            labels = dict(re.findall(r'([a-z_]+)="([^"]*)"', match["labels"] or ""))
            yield match["name"], labels, float(match["value"])


def gateway_reading(text: str) -> Reading:
    """Return what the gateway's metrics say.

    Raises:
        ValueError: they are not the gateway's.
    """
    requests, at_work, known = 0.0, 0.0, False
    for name, labels, value in samples(text):
        known = known or name in AT_WORK
        if name in AT_WORK:
            at_work += value
        elif name == REQUESTS and labels.get("status") not in NO_USE:
            requests += value if labels.get("route", "").startswith(("/api/", "/v1/")) else 0.0
    if not known:
        raise ValueError("what answers is not the gateway")
    return Reading("requests run or wait" if at_work else None, requests)


def ask_gateway(url: str) -> Reading:
    """Return what the gateway's metrics say now; that they cannot be read counts as use."""
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=TIMEOUT) as answer:
            return gateway_reading(answer.read().decode())
    except (OSError, ValueError) as error:
        return Reading(f"the gateway's metrics cannot be read: {error}")


def busy_unit(stack: str, training: str) -> str | None:
    """Say which unit is at work, or that it cannot be known; None when none is.

    Args:
        stack: is at work while it starts or stops.
        training: is at work as long as it is active too.
    """
    for unit in (stack, training):
        command = ["systemctl", "show", "--property", "ActiveState", "--value", unit]
        try:
            shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT).stdout.strip()
        except (OSError, subprocess.SubprocessError) as error:
            return f"systemd cannot be asked about {unit}: {error}"
        if shown in ("activating", "reloading", "deactivating") or (shown == "active" and unit == training):
            return f"{unit} is {shown}"
    return None


def session(programs: Iterable[str], processes: Path = Path("/proc")) -> str | None:
    """Say that a session is open, by the program that holds it; None when none is."""
    wanted = set(programs)
    for path in processes.glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")[:2]  # an interpreter, and its script
        except OSError:
            continue  # it has ended meanwhile
        if wanted & {os.path.basename(os.fsdecode(word)) for word in words}:  # noqa: PTH119 - no path of this machine
            return "a session is open"
    return None


def look(configuration: dict[str, Any]) -> Reading:
    """Return what is to be seen now; what costs least is looked at first."""
    use = session(configuration["sessions"]) or busy_unit(configuration["stack"], configuration["training"])
    return Reading(use) if use is not None else ask_gateway(configuration["metrics"])


def kept(path: Path) -> State | None:
    """Return what the last run left, or None where there is nothing of use."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return State(float(content["since"]), content["requests"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep(path: Path, state: State) -> None:
    """Leave a state for the next run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps({"since": state.since, "requests": state.requests}), encoding="utf-8")
    beside.replace(path)


def power_off(stack: str) -> None:
    """Drain and stop the stack, then the machine. A stack that does not stop keeps nothing running: it costs money."""
    subprocess.run(["systemctl", "stop", stack], check=False)
    subprocess.run(["systemctl", "poweroff"], check=True)


def run(
    configuration: dict[str, Any], *, state: Path, look: Callable[[dict[str, Any]], Reading], now: float
) -> Decision:
    """Look once, leave the state for the next run, and return what follows."""
    decision = decide(kept(state), look(configuration), now, 60 * configuration["minutes"])
    keep(state, decision.state)
    return decision


def main(arguments: list[str] | None = None) -> int:
    """Look once, and stop the instance where nothing has used it for long enough."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configuration", type=Path, default=DEFAULT_CONFIGURATION)
    parser.add_argument("--state", type=Path, default=STATE, help="what one run leaves for the next")
    parser.add_argument("--dry-run", action="store_true", help="say what follows, and stop nothing")
    options = parser.parse_args(arguments)
    configuration = json.loads(options.configuration.read_text(encoding="utf-8"))
    if not configuration["minutes"]:
        return 0
    decision = run(configuration, state=options.state, look=look, now=time.monotonic())
    if decision.stop:
        # Somebody may have come since.
        decision = run(configuration, state=options.state, look=look, now=time.monotonic())
    told = {"idle_seconds": round(decision.idle), "use": decision.use, "stop": decision.stop}
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
    if decision.stop and not options.dry_run:
        power_off(configuration["stack"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
