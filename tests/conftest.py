"""What all tests share: how they are spread over processes, and the tables at the end of a run."""

import gc
import importlib.util
import signal
from collections import Counter, defaultdict
from typing import Any

import pytest

from tests.support.drill_table import markdown, outcomes, reports

# Before a test is imported, Ansible's loader has to find the collection; the training environment has no Ansible.
if importlib.util.find_spec("ansible"):
    from tests.support.collection import load_collections

    load_collections()

if importlib.util.find_spec("botocore"):
    from tests.support.service_models import keep_service_models

    keep_service_models()


def pytest_configure() -> None:
    """Let Ctrl-C reach what tests start, also where a shell put the run into the background and so ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep together, for `pytest -n`, what shares a region or a file."""
    from tests.support.processes import Scheduling  # the training environment has no pytest-xdist

    return Scheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes longest, for `pytest -n`; and let no test be lost."""
    for item in items:
        # Until a schemathesis after 4.32.5 gives the tests of operations an id each under pytest 9.2, as it does under
        # 9.1. On 2026-11-27 https://github.com/schemathesis/schemathesis/issues had nothing on it.
        if operation := getattr(item, "operation_label", None):
            item._id = item.id.with_params(operation)
    if shared := [nodeid for nodeid, times in Counter(item.nodeid for item in items).items() if times > 1]:
        raise pytest.UsageError(f"of the tests that have one id `pytest -n` would run only one: {', '.join(shared)}")
    if hasattr(config, "workerinput"):
        from tests.support.processes import longest_first

        longest_first(items)


def pytest_collection_finish() -> None:
    """Spare the garbage collector what was imported and collected: half a million objects that stay to the end."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print each fault drill's outcome, and where the time went, before pytest's own summary."""
    every = reports(terminalreporter)
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
