"""The Auto Scaling group, made, corrected, held back and removed in an account of moto's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import boto3
import pytest
from ansible_collections.slm.serving.plugins.module_utils.scaling_groups import described
from ansible_collections.slm.serving.plugins.modules import scaling_group_processes
from ansible_collections.slm.serving.plugins.modules.scaling_group import ScalingGroup, instances_of

from tests.support.aws_account import mock_aws

OURS = {"Application": "slm-ft-serving", "ManagedBy": "provision.yml"}
HOOKS = [
    {"name": "serves", "transition": "launching", "seconds": 1500, "result": "ABANDON"},
    {"name": "drained", "transition": "terminating", "seconds": 900, "result": "CONTINUE"},
]
POLICIES = [
    {
        "name": "more",
        "warmup": 240,
        "steps": [{"lower": 0.0, "upper": 16.0, "change": 1}, {"lower": 16.0, "upper": None, "change": 2}],
    },
    {"name": "fewer", "warmup": 240, "steps": [{"lower": None, "upper": 0.0, "change": -1}]},
]


class Client:
    """A client of boto3, as AnsibleAWSModule wraps it: its calls take `aws_retry`."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        if name == "get_paginator":
            return self._client.get_paginator
        return partial(self._call, name)

    def _call(self, name: str, aws_retry: bool = False, **arguments: Any) -> Any:
        return getattr(self._client, name)(**arguments)


class Account:
    """An account with a network, a target group and a launch template."""

    def __init__(self, name: str) -> None:
        self.name = name
        session: Any = boto3.Session(region_name="us-east-1")
        self.scaling, self.ec2, self.elb = (Client(session.client(each)) for each in ("autoscaling", "ec2", "elbv2"))
        subnets = self.ec2.describe_subnets()["Subnets"]
        self.subnets = [each["SubnetId"] for each in subnets[:2]]
        vpc = subnets[0]["VpcId"]
        made = self.elb.create_target_group(Name=name[-32:].strip("-"), Protocol="HTTP", Port=8080, VpcId=vpc)
        self.target_group = made["TargetGroups"][0]["TargetGroupArn"]
        image = self.ec2.register_image(Name=name)["ImageId"]
        data = {"ImageId": image, "InstanceType": "g6.2xlarge"}
        self.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)
        self.ec2.create_launch_template_version(LaunchTemplateName=name, LaunchTemplateData=data)

    def group(self, *, check: bool = False, **changes: Any) -> ScalingGroup:
        """Return the group with the module's parameters."""
        params = {
            "name": self.name,
            "launch_template": self.name,
            "launch_template_version": "1",
            "subnets": self.subnets,
            "target_group": self.target_group,
            "max_size": 3,
            "grace_period": 120,
            "hooks": HOOKS,
            "policies": POLICIES,
            "tags": OURS,
            "timeout": 5,
        }
        return ScalingGroup(self.scaling, params | changes, check=check)

    def present(self, *, check: bool = False, **changes: Any) -> list[str]:
        """Have the group there; return what was changed."""
        group = self.group(check=check, **changes)
        group.ensure()
        return group.changes

    def processes(self, *, check: bool = False, **params: Any) -> tuple[bool, bool]:
        """Suspend, resume and size; return what the module does."""
        every: dict[str, Any] = {"name": self.name, "suspended": [], "resumed": [], "desired": None}
        return scaling_group_processes.ensure(self.scaling, every | params, check=check)

    @property
    def there(self) -> dict[str, Any]:
        """The group as AWS describes it."""
        found = described(self.scaling, self.name)
        assert found
        return found


@pytest.fixture(scope="module")
def aws() -> Iterator[None]:
    """Have an account of moto's, which all tests here share: to make one costs more than all of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
        with mock_aws():
            yield


@pytest.fixture
def account(aws: None, request: pytest.FixtureRequest) -> Account:
    """Return an account without a group of the test's name."""
    return Account(re.sub(r"[^a-z]+", "-", request.node.name))


def test_a_group_is_made_with_all_that_belongs_to_it_and_without_an_instance(account: Account) -> None:
    assert account.present() == ["group", "hook serves", "hook drained", "warm pool", "policy more", "policy fewer"]
    group = account.there
    assert (group["MinSize"], group["MaxSize"], group["DesiredCapacity"], group["Instances"]) == (0, 3, 0, [])
    assert (group["HealthCheckType"], group["TargetGroupARNs"]) == ("ELB", [account.target_group])
    assert group["WarmPoolConfiguration"]["PoolState"] == "Stopped"
    assert group["WarmPoolConfiguration"]["InstanceReusePolicy"] == {"ReuseOnScaleIn": True}
    hooks = account.scaling.describe_lifecycle_hooks(AutoScalingGroupName=account.name)["LifecycleHooks"]
    assert {each["LifecycleHookName"]: each["DefaultResult"] for each in hooks} == {
        "serves": "ABANDON",
        "drained": "CONTINUE",
    }
    assert {each["Key"]: each["PropagateAtLaunch"] for each in group["Tags"]} == dict.fromkeys(OURS, True)


def test_another_run_changes_nothing_whatever_the_load_has_made_of_it(account: Account) -> None:
    account.present()
    account.processes(desired=2)
    assert account.present() == []
    assert account.there["DesiredCapacity"] == 2


def test_in_check_mode_nothing_is_made_and_all_of_it_told(account: Account) -> None:
    assert len(account.present(check=True)) == 6
    assert described(account.scaling, account.name) is None
    account.present()
    assert account.present(check=True, max_size=5) == ["group"]
    assert account.there["MaxSize"] == 3


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"max_size": 5}, ["group"]),
        ({"launch_template_version": "2"}, ["group"]),
        ({"hooks": [HOOKS[0] | {"seconds": 60}, HOOKS[1]]}, ["hook serves"]),
        ({"policies": [POLICIES[0], POLICIES[1] | {"warmup": 60}]}, ["policy fewer"]),
        ({"tags": OURS | {"Release": "2"}}, ["tags"]),
    ],
    ids=["size", "version", "hook", "policy", "tags"],
)
def test_what_differs_is_corrected_and_nothing_else(
    account: Account, changes: dict[str, Any], expected: list[str]
) -> None:
    account.present()
    assert account.present(**changes) == expected
    assert account.present(**changes) == []


def test_policies_are_found_by_their_names(account: Account) -> None:
    arns = account.group().ensure()
    assert arns.keys() == {"more", "fewer"}
    answer = account.scaling.describe_policies(AutoScalingGroupName=account.name)["ScalingPolicies"]
    (more,) = (each for each in answer if each["PolicyARN"] == arns["more"])
    assert [each["ScalingAdjustment"] for each in more["StepAdjustments"]] == [1, 2]
    # A step from the threshold on: a bound of 0 is one.
    assert more["StepAdjustments"][0]["MetricIntervalLowerBound"] == 0


def test_instances_have_the_tags_and_are_registered(account: Account) -> None:
    account.present()
    account.processes(desired=2)
    ids = instances_of(account.ec2, account.name)
    assert len(ids) == 2
    health = account.elb.describe_target_health(TargetGroupArn=account.target_group)["TargetHealthDescriptions"]
    assert {each["Target"]["Id"] for each in health} == set(ids)
    (reservation, *_) = account.ec2.describe_instances(InstanceIds=ids)["Reservations"]
    tags = {each["Key"]: each["Value"] for each in reservation["Instances"][0]["Tags"]}
    assert OURS.items() <= tags.items()


def test_a_removed_group_leaves_no_instance(account: Account) -> None:
    account.present()
    account.processes(desired=2)
    group = account.group()
    group.remove(account.ec2)
    assert group.changes == ["warm pool", "group"]
    assert described(account.scaling, account.name) is None
    assert instances_of(account.ec2, account.name) == []
    again = account.group()
    again.remove(account.ec2)
    assert again.changes == []


def test_processes_are_suspended_and_resumed_by_name(account: Account) -> None:
    account.present()
    assert account.processes(suspended=["Launch", "AlarmNotification"]) == (True, True)
    assert account.processes(suspended=["Launch"]) == (False, True)
    assert account.processes(resumed=["Launch"], check=True) == (True, True)
    assert account.processes(resumed=["Launch", "Terminate"]) == (True, True)
    assert [each["ProcessName"] for each in account.there["SuspendedProcesses"]] == ["AlarmNotification"]


def test_the_processes_of_no_group_are_no_failure(account: Account) -> None:
    assert account.processes(suspended=["Launch"], desired=0) == (False, False)
