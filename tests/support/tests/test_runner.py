"""What the tests read of a playbook's run, and of the requests sent meanwhile."""

from __future__ import annotations

import pytest

from tests.support.drill import shortened
from tests.support.drill_table import Outcome, markdown
from tests.support.prober import NO_ANSWER, Probe, seconds_by_status, seconds_until_serving_again
from tests.support.runner import PlaybookRun

OUTPUT = """\
TASK [images : Pull] ***
fatal: [i-1]: FAILED! =>
    changed: false
    msg: the first that failed

TASK [rollback : Say what failed] ***
fatal: [i-1]: FAILED! =>
    changed: false
    msg: |-
        The deployment failed.
        Pull: no such tag 'v9'

PLAY RECAP ***
i-1        : ok=2   changed=3    unreachable=0    failed=1
localhost  : ok=9   changed=1    unreachable=0    failed=0
"""


def test_message_is_that_of_the_last_failure() -> None:
    run = PlaybookRun(2, OUTPUT, sessions=0, seconds=0)
    assert run.message == "The deployment failed.\nPull: no such tag 'v9'"
    assert run.changed == 4
    run.must_fail_naming("no such tag", "v9")
    with pytest.raises(AssertionError, match="the first"):
        run.must_fail_naming("the first")
    with pytest.raises(AssertionError):
        PlaybookRun(0, OUTPUT, sessions=0, seconds=0).must_fail_naming("no such tag")


def probed(*statuses: int) -> list[Probe]:
    """Return probes sent once a second and answered after a tenth."""
    return [Probe(float(at), at + 0.1, status) for at, status in enumerate(statuses)]


@pytest.mark.parametrize(
    ("statuses", "seconds"),
    [
        ((200, 200), 0.0),
        ((200, 503, NO_ANSWER, 200), 2.1),
        ((200, 503, 200, 503, 200, 200), 3.1),
        ((200, 503), float("inf")),
    ],
)
def test_seconds_until_serving_again(statuses: tuple[int, ...], seconds: float) -> None:
    assert seconds_until_serving_again(probed(*statuses)) == pytest.approx(seconds)


def test_seconds_by_status() -> None:
    assert seconds_by_status(probed(200, 503, NO_ANSWER, NO_ANSWER, 200)) == {503: 1.0, NO_ANSWER: 2.0}


def test_table_of_drills() -> None:
    rows = [
        Outcome("reboot", "vLLM", "a | b", 61.25),
        Outcome("no release yet", "stand-in", "why", None),
        Outcome("registry down", "stand-in", shortened(f"1. no\n answer of r@sha256:{'0' * 64}"), 0.0),
    ]
    assert markdown(rows).splitlines()[2:] == [
        "| no release yet | stand-in | why | nothing served before |",
        "| registry down | stand-in | no answer of r | never stopped |",
        "| reboot | vLLM | a / b | 61.2 s |",
    ]
