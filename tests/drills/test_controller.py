"""Controllers that die, lose their session, or meet another one."""

from __future__ import annotations

import json

import pytest

from tests.local_region.region import LocalRegion
from tests.support.drill import Begin, current_release
from tests.support.runner import RunningPlaybook, run_playbook

pytestmark = pytest.mark.region

# With the first digit of the release.
ACTIVATION = "TASK [release : Activate the release 2"
# Long enough for a test to do something while the new engine loads.
SLOW_ENGINE = json.dumps({"inference_stack_engine_options": {"stand-in-load": 8}})

# The connection tries on for seven seconds and not for a minute.
LESS_PATIENCE = "ansible_aws_ssm_retries=3"


def test_deployment_whose_sessions_drop_in_mid_task(region: LocalRegion, begin: Begin) -> None:
    """One that drops is opened again by the connection itself, so all of them do until the task is lost."""
    with (
        begin("session dropped in mid-task") as drill,
        RunningPlaybook(region, "deploy", "-e", SLOW_ENGINE, "-e", LESS_PATIENCE) as deployment,
    ):
        deployment.wait_for(ACTIVATION)
        region.faults.switch_on("session-drop", "0 0")
        deployment.wait_for("TASK [ec2_instance : Validating arguments against arg spec 'recover'")
        region.faults.switch_off("session-drop")
        drill.failed(deployment.finish(), "session with the instance", "is back and verified")


def test_controller_killed_and_run_again(region: LocalRegion, begin: Begin) -> None:
    """The first run leaves its lock and a release that is half up; the second wants what served before."""
    with begin("controller killed in mid-deployment, run again") as drill:
        with RunningPlaybook(region, "deploy", "-e", SLOW_ENGINE) as deployment:
            deployment.wait_for(ACTIVATION)
            region.exec("for try in $(seq 300); do docker ps | grep -q 'starting' && exit 0; sleep 0.1; done; exit 1")
            deployment.kill()
        again = run_playbook(region, "deploy").must_succeed()
        assert "no longer runs" in " ".join(again.output.split()), again.output
        drill.release = current_release(region)
        drill.succeeded("the second run takes the dead one's lock over and brings the wanted release up")


@pytest.mark.nightly
def test_second_deployment_at_once_is_refused(region: LocalRegion, begin: Begin) -> None:
    region.faults.switch_on("session-latency", "1")  # The first is to be at it when the second comes.
    with begin("two deployments at once") as drill, RunningPlaybook(region, "deploy") as first:
        first.wait_for("TASK [preflight : Check the instance")
        drill.failed(run_playbook(region, "deploy"), "deploy.yml")
        first.finish().must_succeed()
