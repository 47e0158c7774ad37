"""The systemd units of the stack: what they are at, and what the unit of the secrets says when it fails."""

from __future__ import annotations

import json
import time

from ansible_collections.slm.serving.plugins.module_utils.process import run
from ansible_collections.slm.serving.plugins.module_utils.redaction import redact

SECRETS = "slm-ft-serving-secrets.service"
JOURNAL_LINES = "20"


def state(unit: str) -> tuple[str, str]:
    """Return a unit's state, such as `active`, and its finer one, such as `auto-restart`.

    One that waits for its turn, as early in a boot, is `activating` like one that has begun.
    """
    shown = run(["systemctl", "show", "--property", "ActiveState,SubState,Job", unit]).stdout
    values = dict(line.partition("=")[::2] for line in shown.splitlines())
    active = values.get("ActiveState", "unknown")
    if active in {"inactive", "failed"} and values.get("Job", "0") not in {"", "0"}:
        active = "activating"
    return active, values.get("SubState", "unknown")


def started(unit: str) -> float | None:
    """Return when a unit's main process was started, in seconds since the epoch; None when it was not.

    By the monotonic clock: systemd before 251, as on Ubuntu 22.04, tells a date in words only.
    """
    shown = run(["systemctl", "show", "--property", "ExecMainStartTimestampMonotonic", unit]).stdout
    microseconds = shown.strip().partition("=")[2]
    if not microseconds.isdigit() or int(microseconds) == 0:
        return None
    return time.time() - (time.clock_gettime(time.CLOCK_MONOTONIC) - int(microseconds) / 1e6)


def secrets_problem() -> str | None:
    """Return why the secrets could not be fetched at the last try, or None."""
    if state(SECRETS)[0] != "failed":
        return None
    command = ["journalctl", "--unit", SECRETS, "--lines", JOURNAL_LINES, "--no-pager", "--output", "cat"]
    lines = run(command).stdout.splitlines()
    for line in reversed(lines):
        try:
            told = json.loads(line)
        except ValueError:
            continue  # systemd's own words.
        if isinstance(told, dict) and told.get("problem"):
            return redact(str(told["problem"]))
    return f"`journalctl --unit {SECRETS}` on the instance says why"
