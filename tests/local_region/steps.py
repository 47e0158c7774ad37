"""Progress of the commands: what each step does, and how long it took."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Write = Callable[[str], None]


def to_stderr(line: str) -> None:
    """Write a line to standard error, so that `env` keeps standard output to itself."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


class Steps:
    """A report of steps as they begin and end."""

    def __init__(self, write: Write = to_stderr) -> None:
        """Start the clock of all steps.

        Args:
            write: Takes a line.
        """
        self._write = write
        self._began = time.monotonic()

    @contextmanager
    def step(self, what: str) -> Iterator[Write]:
        """Report a step's beginning and end; yield a function for lines in between."""
        began = time.monotonic()
        self._write(f"==> {what}")
        yield self.line
        self._write(f"    done in {time.monotonic() - began:.1f} s")

    def line(self, text: str) -> None:
        """Report something within a step."""
        self._write(f"    {text}")

    def total(self, what: str) -> None:
        """Report the end of all steps, with the time since the first."""
        self._write(f"{what} ({time.monotonic() - self._began:.1f} s)")
