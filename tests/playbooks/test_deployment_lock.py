"""The deployment lock as playbooks hold it: its holder is reported, force breaks it, every ending releases it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.local_region import names
from tests.local_region.region import LocalRegion
from tests.support.runner import run_playbook

pytestmark = pytest.mark.region

KEY = "lock/deployment.json"
ELSEWHERE = {
    "playbook": "deploy.yml",
    "caller": "arn:aws:iam::123456789012:user/a-colleague",
    "host": "elsewhere",
    "machine": "another",
    "processes": "",
    "boot": "another",
    "pid": 4711,
    "started": "1",
    "lifetime": 3600,
}


@pytest.fixture
def colleague(bare: LocalRegion) -> Iterator[LocalRegion]:
    """Return a region in which somebody deploys from another machine."""
    bare.client("s3").put_object(Bucket=names.TRANSFER_BUCKET, Key=KEY, Body=json.dumps(ELSEWHERE).encode())
    yield bare
    bare.client("s3").delete_object(Bucket=names.TRANSFER_BUCKET, Key=KEY)
    bare.up()


def is_free(region: LocalRegion) -> bool:
    """Whether nobody holds the lock."""
    return not region.client("s3").list_objects_v2(Bucket=names.TRANSFER_BUCKET, Prefix=KEY).get("KeyCount")


def is_running(region: LocalRegion) -> bool:
    """Whether the instance runs."""
    reservations = region.client("ec2").describe_instances()["Reservations"]
    return any(each["State"]["Name"] == "running" for reservation in reservations for each in reservation["Instances"])


def test_stop_is_refused_in_mid_deployment_and_forced(colleague: LocalRegion) -> None:
    refused = run_playbook(colleague, "stop")
    assert refused.returncode != 0
    for words in ("user/a-colleague", "elsewhere", "process 4711", "deployment_lock_break=true"):
        assert words in refused.output
    assert refused.sessions == 0
    assert is_running(colleague)
    assert not is_free(colleague)

    forced = run_playbook(colleague, "stop", "-e", "deployment_lock_break=true").must_succeed()
    assert "user/a-colleague" in forced.output
    assert not is_running(colleague)
    assert is_free(colleague)


def test_lock_is_released_when_the_deployment_fails_on_the_instance(bare: LocalRegion) -> None:
    bare.faults.switch_on("deny", "GetSecretValue")
    run = run_playbook(bare, "deploy")
    bare.faults.switch_off()
    assert run.returncode != 0
    assert "Take the deployment lock" in run.output
    assert is_free(bare)


def test_lock_is_released_when_the_instance_does_not_start(bare: LocalRegion) -> None:
    ec2 = bare.client("ec2")
    instance = bare.up()
    ec2.stop_instances(InstanceIds=[instance])
    ec2.get_waiter("instance_stopped").wait(InstanceIds=[instance], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    bare.faults.switch_on("instance-start", "capacity")
    run = run_playbook(bare, "rollback")
    bare.faults.switch_off()
    bare.up()
    assert run.returncode != 0
    assert "InsufficientInstanceCapacity" in run.output
    assert "Try again later" in run.output
    assert is_free(bare)
