"""status.yml: one screen from one session."""

from __future__ import annotations

import pytest

from tests.local_region import names
from tests.local_region.region import LocalRegion
from tests.support.runner import run_playbook

pytestmark = pytest.mark.region

STATUS_SESSIONS = 2


def test_status_fits_one_screen_and_takes_few_sessions(serving: LocalRegion) -> None:
    current = serving.exec("basename $(readlink /opt/slm-ft-serving/current)").stdout.strip()
    shown = run_playbook(serving, "status").must_succeed()
    assert shown.changed == 0
    assert shown.sessions <= STATUS_SESSIONS
    for words in (
        "status    serving",
        f"release   {current}, good",
        names.ENGINE_REPOSITORY,
        "engine is running (healthy)",
        "gpu       none (cpu)",
        "lock      free",
        "address   none, the port is closed; ansible-playbook playbooks/connect.yml opens a way in",
    ):
        assert words in shown.output, f"{words!r} is not in\n{shown.output}"


def test_status_reports_what_is_wrong_with_exit_code_0(serving: LocalRegion) -> None:
    serving.exec("docker stop slm-ft-serving-gateway-1", timeout=60)
    shown = run_playbook(serving, "status").must_succeed()
    serving.exec("docker start slm-ft-serving-gateway-1")
    assert "status    NOT WELL: gateway is exited" in shown.output
