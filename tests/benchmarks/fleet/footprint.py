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
    parents, left_out = dict[int, int](), set[int]()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            number = int(path.parent.name)
            command = (path.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            parents[number] = int(path.read_text().rpartition(")")[2].split()[1])
            if without and re.search(without, command):
                left_out.add(number)

    def with_ancestors(number: int) -> set[int]:
        line = set[int]()
        while number in parents and number not in line:
            line.add(number)
            number = parents[number]
        return line

    wanted = set(roots)
    lines = {number: with_ancestors(number) for number in parents}
    return sorted(number for number, line in lines.items() if line & wanted and not line & left_out)


def footprint(processes: Sequence[int]) -> Footprint:
    """Return what processes hold now; those that have ended do not count."""
    held = []
    for number in processes:
        with contextlib.suppress(OSError):
            matched = _PSS.search(Path(f"/proc/{number}/smaps_rollup").read_text())
            held.append(int(matched[1]) if matched else 0)
    return Footprint(len(held), sum(held) / 1024)
