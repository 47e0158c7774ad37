"""A plugin of pytest for `make test`: what pytest-cov measured, in one line for each package."""

import os
from pathlib import Path

import coverage
import pytest
from coverage.exceptions import NoDataError


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the share of lines that ran in the process of a test, for each package of `--cov`."""
    measured = coverage.Coverage()
    measured.load()
    terminalreporter.section("coverage of lines")
    with Path(os.devnull).open("w") as nowhere:
        try:
            for package in config.getoption("cov_source"):
                share = measured.report(include=[f"{package}/*"], file=nowhere)
                terminalreporter.write_line(f"{share:8.1f} %  {package}")
            terminalreporter.write_line(f"{measured.report(file=nowhere):8.1f} %  in all")
        except NoDataError:  # a run that was interrupted; what it found before is to be seen all the same
            terminalreporter.write_line("nothing was measured")
