"""An instance that goes away, comes back, or has no room or a wrong clock."""

from __future__ import annotations

import time

import pytest

from tests.drills.test_controller import ACTIVATION, LESS_PATIENCE, SLOW_ENGINE
from tests.local_region.region import LocalRegion
from tests.support.drill import Begin
from tests.support.gateway_client import is_serving
from tests.support.runner import RunningPlaybook, run_playbook

pytestmark = pytest.mark.region

REBOOT_SECONDS = 180


def instance_id(region: LocalRegion) -> str:
    """Return the instance's id, as the operator's settings name it."""
    parameter = region.client("ssm").get_parameter(Name="/slm-ft-serving/ec2/instance-id")
    value: str = parameter["Parameter"]["Value"]
    return value


def test_instance_stopped_in_mid_deployment(region: LocalRegion, begin: Begin) -> None:
    with (
        begin("instance stopped in mid-deployment") as drill,
        RunningPlaybook(region, "deploy", "-e", SLOW_ENGINE, "-e", LESS_PATIENCE) as deployment,
    ):
        deployment.wait_for(ACTIVATION)
        region.client("ec2").stop_instances(InstanceIds=[instance_id(region)])
        drill.failed(deployment.finish(), "stopped", "is back and verified")


def test_reboot_while_serving(region: LocalRegion, begin: Begin) -> None:
    with begin("reboot of the instance while it serves") as drill:
        region.client("ec2").reboot_instances(InstanceIds=[instance_id(region)])
        deadline = time.monotonic() + REBOOT_SECONDS
        while is_serving(region):
            assert time.monotonic() < deadline, "it does not go down"
            time.sleep(0.2)
        while not is_serving(region):
            assert time.monotonic() < deadline, f"it does not serve again within {REBOOT_SECONDS} s"
            time.sleep(0.2)
        drill.succeeded("the unit brings it back at boot, with no playbook")


@pytest.mark.nightly
def test_instance_whose_clock_is_an_hour_behind(region: LocalRegion, begin: Begin) -> None:
    """A container has its machine's clock, so AWS's own is set wrong: what differs is the same."""
    region.faults.switch_on("clock", "3600")
    with begin("clock wrong by an hour") as drill:
        drill.failed(run_playbook(region, "deploy"), "clock is", "behind AWS's", "set-ntp")
