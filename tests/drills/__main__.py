"""Run all fault drills; their table, in Markdown, is printed at the end: `python -m tests.drills`.

Takes pytest's own arguments, such as `-k registry`. Exit code: pytest's.
"""

from __future__ import annotations

import argparse
import sys

import pytest

from tests.support.drill_table import Outcome, markdown, outcomes, reports
from tests.support.tables import FAULT_DRILLS, add_write_option, write

# Those with the stand-in beside those with vLLM, each kind in a region of its own.
PROCESSES = ("-n", "2", "--dist", "loadscope")
FILES = ("tests/drills", "tests/playbooks/test_failed_deployment.py")
# They share the region and are no faults of the table.
NO_DRILLS = [f"--ignore=tests/drills/test_{name}.py" for name in ("alarms", "documented_commands", "idle_stop")]


class _Recorder:
    """A plugin of pytest that keeps the outcomes of a run."""

    outcomes: list[Outcome]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Read them off the reports."""
        self.outcomes = outcomes(reports(terminalreporter))


def main(arguments: list[str]) -> int:
    """Run them and return the exit code; the page is written only after a run of all drills that succeeded."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.drills",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_write_option(parser, FAULT_DRILLS)
    args, of_pytest = parser.parse_known_args(arguments)
    if args.write and of_pytest:
        parser.error("--write is for the table of all drills: leave pytest's arguments out")
    recorder = _Recorder()
    code = int(pytest.main([*PROCESSES, *FILES, *NO_DRILLS, *of_pytest], plugins=[recorder]))
    if args.write and code == 0:
        write(markdown(recorder.outcomes), args.write, parser.prog)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
