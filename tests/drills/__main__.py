"""Run all fault drills and print their table in Markdown: `python -m tests.drills`.

Takes pytest's own arguments, such as `-k registry`. Exit code: pytest's.
"""

import sys

import pytest

from tests.drills.table import markdown, outcomes

FILES = ("tests/drills", "tests/playbooks/test_failed_deployment.py")


class Collected:
    """Keeps the reports of a run."""

    def __init__(self) -> None:
        """Begin with none."""
        self.reports: list[pytest.TestReport] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take one."""
        self.reports.append(report)


def main(arguments: list[str]) -> int:
    """Run them; give the exit code."""
    if {"-h", "--help"} & set(arguments):
        sys.stdout.write(__doc__ or "")
        return 0
    collected = Collected()
    code = pytest.main([*FILES, *arguments], plugins=[collected])
    sys.stdout.write(f"\n{markdown(outcomes(collected.reports))}\n")
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
