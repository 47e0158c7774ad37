"""Engines that come up but do no work, and a first deployment, which has no release to go back to."""

from __future__ import annotations

import json

import pytest

from tests.drills.conftest import Begin
from tests.drills.drill import current_release
from tests.local_region.region import LocalRegion
from tests.playbooks.gateway_client import is_serving
from tests.playbooks.runner import run_playbook

pytestmark = pytest.mark.region

FORGET_ALL_RELEASES = (
    "systemctl stop slm-ft-serving.service; docker compose --project-name slm-ft-serving down; "
    "rm -rf /opt/slm-ft-serving/current /opt/slm-ft-serving/releases"
)
CRASH = json.dumps({"inference_stack_engine_options": {"stand-in": "crash"}})


def test_engine_that_is_healthy_and_makes_no_token(region: LocalRegion, begin: Begin) -> None:
    hang = {"inference_stack_engine_options": {"stand-in": "hang"}, "inference_stack_start_timeout": 20}
    with begin("engine healthy, but it makes no token") as drill:
        drill.failed(run_playbook(region, "deploy", "-e", json.dumps(hang)), "gateway")


def test_first_deployment_whose_engine_crashes(region: LocalRegion) -> None:
    """A clean failure: nothing runs, nothing is current, and the next deployment succeeds."""
    region.exec(FORGET_ALL_RELEASES)
    run_playbook(region, "deploy", "-e", CRASH).must_fail_naming(
        "engine container crashes at start", "the stand-in was told to crash", "no earlier release"
    )
    assert current_release(region) == ""
    assert region.exec("docker ps --quiet").stdout == ""
    run_playbook(region, "deploy").must_succeed()
    assert is_serving(region)
