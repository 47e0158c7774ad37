"""connect.yml: the gateway is asked through a session of Systems Manager, which ends with the playbook."""

from __future__ import annotations

import re

import pytest

from tests.local_region.region import LocalRegion
from tests.support.gateway_client import golden_note, request
from tests.support.runner import RunningPlaybook

pytestmark = pytest.mark.region

ADDRESS = re.compile(r"The gateway is at (http://127\.0\.0\.1:\d+) until Ctrl-C")
# Ansible's own for Ctrl-C.
INTERRUPTED = 99


def test_gateway_is_reached_through_systems_manager_until_ctrl_c(serving: LocalRegion) -> None:
    note = golden_note()
    with RunningPlaybook(serving, "connect", "-e", "connect_local_port=0") as playbook:
        # Not the name of the task alone.
        playbook.wait_for("until Ctrl-C ends this")
        found = ADDRESS.search(playbook.output())
        assert found, playbook.output()
        assert found[1] != serving.env()["GATEWAY_URL"]
        status, answer = request(serving, "/api/v1/extract", {"text": note["text"]}, address=found[1])
        assert status == 200
        assert {field: answer[field] for field in note["expected"]} == note["expected"]
        playbook.interrupt()
        run = playbook.finish()
    assert (run.returncode, run.sessions) == (INTERRUPTED, 1), run.output
    assert serving.client("ssm").describe_sessions(State="Active")["Sessions"] == []
    with pytest.raises(OSError, match="refused"):
        request(serving, "/health", address=found[1])
