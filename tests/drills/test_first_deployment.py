"""A first deployment has no release to go back to: it fails cleanly."""

from __future__ import annotations

import json

import pytest

from tests.local_region.region import LocalRegion
from tests.support.drill import cause, current_release
from tests.support.drill_table import Outcome
from tests.support.gateway_client import is_serving
from tests.support.runner import run_playbook

pytestmark = pytest.mark.region

FORGET_ALL_RELEASES = (
    "systemctl stop slm-ft-serving.service; docker compose --project-name slm-ft-serving down; "
    "rm -rf /opt/slm-ft-serving/current /opt/slm-ft-serving/releases"
)
CRASH = json.dumps({"inference_stack_engine_options": {"stand-in": "crash"}})


@pytest.mark.nightly
def test_first_deployment_whose_engine_crashes(region: LocalRegion, request: pytest.FixtureRequest) -> None:
    """A clean failure: nothing runs, nothing is current, and the next deployment succeeds."""
    region.exec(FORGET_ALL_RELEASES)
    happened = cause(
        run_playbook(region, "deploy", "-e", CRASH),
        *("engine container crashes at start", "the stand-in was told to crash", "no earlier release"),
    )
    assert current_release(region) == ""
    assert region.exec("docker ps --quiet").stdout == ""
    run_playbook(region, "deploy").must_succeed()
    assert is_serving(region)
    outcome = Outcome("engine crashes at the start of a first deployment", "stand-in", happened, None)
    request.node.user_properties.append(outcome.as_property())
