"""How `pytest -n` spreads the tests over its processes: those that share a region stay together."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path, PurePosixPath

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.local_region.names import REPOSITORY_ROOT

# Each scenario of molecule has a region, or an account, of its own.
SCENARIOS = "test_molecule.py"


def group(nodeid: str) -> str:
    """Return what has to stay in one process with a test: its folder where that shares a region, else its file.

    A folder shares a region when its own conftest.py makes one. A molecule scenario stands for itself.
    """
    file = PurePosixPath(nodeid.partition("::")[0])
    if file.name == SCENARIOS:
        return nodeid
    return str(file.parent if _shares_a_region(REPOSITORY_ROOT / file.parent) else file)


def longest_first(items: list[pytest.Item]) -> None:
    """Sort tests so that what takes longest begins first, and what is small is left to fill the gaps at the end.

    The groups with most tests that need a region come first, then the tests with a region of their own, then the groups
    with a slow test. The others of such a group go with it, also where the slow ones are left out: what is beside
    ansible-lint takes longer than most files.
    """
    sizes = Counter(group(item.nodeid) for item in items if item.get_closest_marker("region"))
    slow = {group(item.nodeid) for item in items if item.get_closest_marker("slow")}

    def rank(item: pytest.Item) -> tuple[int, bool]:
        return -sizes[group(item.nodeid)], group(item.nodeid) not in slow

    items.sort(key=rank)


@cache
def _shares_a_region(folder: Path) -> bool:
    conftest = folder / "conftest.py"
    return conftest.is_file() and "LocalRegion(" in conftest.read_text(encoding="utf-8")


class Scheduling(LoadScopeScheduling):  # type: ignore[misc] # pytest-xdist ships no types
    """pytest-xdist's `loadscope` with these groups.

    Until https://github.com/pytest-dev/pytest-xdist/issues/1386 is closed in a release: under pytest 9.2 its own
    `loadgroup` groups nothing, and fails nothing. Then `group` can mark each test with `xdist_group` instead.
    """

    def _split_scope(self, nodeid: str) -> str:
        """Return a test's group."""
        return group(nodeid)
