"""What trees of processes hold of the machine's memory."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PSS = re.compile(r"^Pss: +(\d+) kB", re.MULTILINE)


@dataclass(frozen=True)
class Footprint:
    """Some processes.

    Attributes:
        processes: how many.
        mebibytes: that they hold; of what several share each has its part, so that sums are right.
    """

    processes: int
    mebibytes: float


def tree(roots: Sequence[int], without: str | None = None) -> list[int]:
    """Return processes and all their descendants.

    Args:
        roots: the processes.
        without: a regular expression; a process whose command line matches is left out with its descendants.
    """
    wanted, found = set(roots), []
    for path in sorted(Path("/proc").glob("[0-9]*/stat"), key=lambda path: int(path.parent.name)):
        with contextlib.suppress(OSError):
            number = int(path.parent.name)
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            command = (path.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if (number in wanted or parent in wanted) and not (without and re.search(without, command)):
                wanted.add(number)
                found.append(number)
    return found


def footprint(processes: Sequence[int]) -> Footprint:
    """Return what processes hold now; those that have ended do not count."""
    held = []
    for number in processes:
        with contextlib.suppress(OSError):
            matched = _PSS.search(Path(f"/proc/{number}/smaps_rollup").read_text())
            held.append(int(matched[1]) if matched else 0)
    return Footprint(len(held), sum(held) / 1024)
