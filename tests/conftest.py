"""What all tests share: how they are spread over processes, and the tables at the end of a run."""

from collections import defaultdict
from pathlib import Path

import pytest

from tests.drills.table import markdown, outcomes

# A scenario of molecule has a region of its own.
EACH_BY_ITSELF = "tests/roles/test_molecule.py"
# Fixtures that make a region for a whole folder.
SHARED = {"region", "bare", "drill_region"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """For `pytest -n`: keep together what shares a region or a file, and begin with what takes longest."""
    if not hasattr(config, "workerinput"):  # one process: the order of the files
        return
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(key=lambda item: (item.get_closest_marker("region") is None, item.get_closest_marker("slow") is None))


def _group(item: pytest.Item) -> str:
    """The folder where a test uses the region that its folder's conftest makes, else the file, or the test itself."""
    file = item.nodeid.partition("::")[0]
    if file == EACH_BY_ITSELF:
        return item.nodeid
    fixtures = getattr(item, "fixturenames", ())
    own = isinstance(item, pytest.Function) and hasattr(item.module, "region")
    return Path(file).parent.as_posix() if SHARED & set(fixtures) and not own else file


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what each fault drill came to, and where the time went, before pytest's own summary."""
    every = [
        report for kind in terminalreporter.stats.values() for report in kind if isinstance(report, pytest.TestReport)
    ]
    if rows := outcomes(every):
        terminalreporter.section("fault drills")
        terminalreporter.write_line(markdown(rows))
    seconds: dict[str, float] = defaultdict(float)
    for report in every:  # one each for set-up, test and tear-down
        seconds[report.nodeid.partition("::")[0]] += report.duration
    terminalreporter.section("where the time went")
    for path, spent in sorted(seconds.items(), key=lambda item: -item[1]):
        if spent >= 0.5:
            terminalreporter.write_line(f"{spent:8.1f} s  {path}")
    terminalreporter.write_line(f"{sum(seconds.values()):8.1f} s  in all tests")
