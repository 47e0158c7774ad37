"""What all tests share: the table of where the time went."""

from collections import defaultdict
from pathlib import Path

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the seconds spent in each test file, set-up and tear-down included, before pytest's own summary."""
    seconds: dict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid.partition("::")[0]] += report.duration
    terminalreporter.section("where the time went")
    for path, spent in sorted(seconds.items(), key=lambda item: -item[1]):
        if spent >= 0.5:
            terminalreporter.write_line(f"{spent:8.1f} s  {Path(path)}")
    terminalreporter.write_line(f"{sum(seconds.values()):8.1f} s  in all tests")
