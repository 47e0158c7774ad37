"""Commands that modules run on the instance, and what they say when they fail.

Only the standard library: nothing has to be installed on the instance for it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Any


class StackError(Exception):
    """What failed on the instance, in words for the operator."""


class TooLateError(StackError):
    """A command did not end in its time."""


def run(argv: Sequence[str], timeout: float = 60, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return it, its output captured as text.

    Args:
        argv: the command.
        timeout: seconds that it may take.
        options: further arguments of `subprocess.run`; they win.

    Raises:
        TooLateError: it takes longer.
        StackError: it is not installed.
    """
    options = {"capture_output": True, "text": True, "errors": "replace", "check": False, **options}
    try:
        return subprocess.run(argv, timeout=timeout, **options)
    except subprocess.TimeoutExpired as error:
        raise TooLateError(f"`{' '.join(argv[:3])}` did not end within {timeout:.0f} s") from error
    except FileNotFoundError as error:
        raise StackError(f"the command {argv[0]} is not installed on the instance") from error


def last_line(text: str) -> str:
    """Return the last line that is not empty; commands say there what went wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"


def journal(unit: str) -> str:
    """Return the last line that a systemd unit logged."""
    return last_line(run(["journalctl", "--unit", unit, "--lines", "5", "--no-pager", "--output", "cat"]).stdout)
