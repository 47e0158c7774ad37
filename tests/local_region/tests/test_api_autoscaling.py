"""A group's instances go through the states of AWS's, hold at its hooks, and are registered only while in service."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import botocore.exceptions
import pytest

from tests.fakes.account import Api

pytestmark = pytest.mark.slow

GROUP = "slm-ft-serving"
HOOKS = {"serves": "autoscaling:EC2_INSTANCE_LAUNCHING", "drained": "autoscaling:EC2_INSTANCE_TERMINATING"}


class Group:
    """A group of up to three, with hooks, and a target group."""

    def __init__(self, api: Api, *, warm: bool) -> None:
        self._api = api
        self.scaling, self.ec2, self.elb = (api.client(each) for each in ("autoscaling", "ec2", "elbv2"))
        subnet = self.ec2.describe_subnets()["Subnets"][0]
        made = self.elb.create_target_group(Name="targets", Protocol="HTTP", Port=8080, VpcId=subnet["VpcId"])
        self.target_group = made["TargetGroups"][0]["TargetGroupArn"]
        self.image = self.ec2.register_image(Name="first")["ImageId"]
        data = {"ImageId": self.image, "InstanceType": "g6.2xlarge"}
        self.ec2.create_launch_template(LaunchTemplateName=GROUP, LaunchTemplateData=data)
        self.scaling.create_auto_scaling_group(
            AutoScalingGroupName=GROUP,
            MinSize=0,
            MaxSize=3,
            DesiredCapacity=0,
            LaunchTemplate={"LaunchTemplateName": GROUP, "Version": "$Latest"},
            VPCZoneIdentifier=subnet["SubnetId"],
            TargetGroupARNs=[self.target_group],
            Tags=[{"Key": "Application", "Value": GROUP, "PropagateAtLaunch": True}],
        )
        for name, transition in HOOKS.items():
            self.scaling.put_lifecycle_hook(
                AutoScalingGroupName=GROUP, LifecycleHookName=name, LifecycleTransition=transition
            )
        if warm:
            self.scaling.put_warm_pool(
                AutoScalingGroupName=GROUP, PoolState="Stopped", InstanceReusePolicy={"ReuseOnScaleIn": True}
            )

    def want(self, count: int) -> None:
        """Set the desired capacity."""
        self.scaling.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=count)

    def states(self) -> list[str]:
        """Return the lifecycle states of those that are not in the warm pool."""
        group = self.scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])["AutoScalingGroups"][0]
        return sorted(each["LifecycleState"] for each in group["Instances"])

    def instances(self) -> dict[str, str]:
        """Return the state of each instance that EC2 has of the group, but for what is gone."""
        filters = [{"Name": "tag:aws:autoscaling:groupName", "Values": [GROUP]}]
        found = self.ec2.describe_instances(Filters=filters)["Reservations"]
        every = [each for reservation in found for each in reservation["Instances"]]
        states = {each["InstanceId"]: each["State"]["Name"] for each in every}
        return {name: state for name, state in states.items() if state not in {"terminated", "shutting-down"}}

    def complete(self, hook: str, instance_id: str = "") -> None:
        """Complete a hook for an instance, or for every one that it holds."""
        for each in [instance_id] if instance_id else list(self.instances()):
            try:
                self.scaling.complete_lifecycle_action(
                    LifecycleHookName=hook,
                    AutoScalingGroupName=GROUP,
                    LifecycleActionResult="CONTINUE",
                    InstanceId=each,
                )
            except botocore.exceptions.ClientError:
                if instance_id:
                    raise

    def registered(self) -> set[str]:
        """Return what would get requests, if a load balancer used the target group."""
        answer = self.elb.describe_target_health(TargetGroupArn=self.target_group)["TargetHealthDescriptions"]
        return {each["Target"]["Id"] for each in answer if each["TargetHealth"].get("Reason") == "Target.NotInUse"}


def _wait_for(what: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 10
    while not what():
        assert time.monotonic() < deadline, "did not happen within 10 s"
        time.sleep(0.02)


def test_one_that_is_made_gets_requests_once_its_hook_is_completed(api: Api) -> None:
    group = Group(api, warm=False)
    group.want(1)
    (instance_id,) = group.instances()
    assert (group.states(), group.registered()) == (["Pending:Wait"], set())
    group.complete("serves", instance_id)
    assert (group.states(), group.registered()) == (["InService"], {instance_id})
    with pytest.raises(botocore.exceptions.ClientError, match="No active Lifecycle Action found"):
        group.complete("serves", instance_id)


def test_one_that_goes_gets_no_requests_and_ends_once_its_hook_is_completed(api: Api) -> None:
    group = Group(api, warm=False)
    group.want(2)
    group.complete("serves")
    group.want(1)
    assert group.states() == ["InService", "Terminating:Wait"]
    assert len(group.registered()) == 1
    assert len(group.instances()) == 2
    group.complete("drained")
    assert group.states() == ["InService"]
    _wait_for(lambda: group.instances().keys() == group.registered())


def test_the_warm_pool_is_filled_used_and_filled_again(api: Api) -> None:
    group = Group(api, warm=True)
    assert len(group.instances()) == 3
    assert group.states() == []
    group.complete("serves")
    _wait_for(lambda: set(group.instances().values()) == {"stopped"})
    pool = set(group.instances())
    group.want(1)
    assert group.states() == ["Pending:Wait"]
    assert set(group.instances()) == pool, "none was made for it"
    group.complete("serves")
    assert len(group.registered()) == 1
    group.want(0)
    group.complete("drained")
    _wait_for(lambda: sorted(group.instances().values()) == ["stopped"] * 3)
    assert set(group.instances()) == pool
    assert group.registered() == set()


def test_a_group_that_may_not_launch_waits_until_it_may(api: Api) -> None:
    group = Group(api, warm=False)
    group.scaling.suspend_processes(AutoScalingGroupName=GROUP, ScalingProcesses=["Launch"])
    group.want(1)
    assert group.instances() == {}
    group.scaling.resume_processes(AutoScalingGroupName=GROUP, ScalingProcesses=["Launch"])
    assert len(group.instances()) == 1


def test_a_refresh_replaces_what_another_image_launched(api: Api) -> None:
    group = Group(api, warm=False)
    group.want(1)
    group.complete("serves")
    (old,) = group.instances()
    image = group.ec2.register_image(Name="second")["ImageId"]
    group.ec2.create_launch_template_version(
        LaunchTemplateName=GROUP, LaunchTemplateData={"ImageId": image, "InstanceType": "g6.2xlarge"}
    )
    started = group.scaling.start_instance_refresh(AutoScalingGroupName=GROUP)["InstanceRefreshId"]
    told = group.scaling.describe_instance_refreshes(AutoScalingGroupName=GROUP)["InstanceRefreshes"]
    assert [each["InstanceRefreshId"] for each in told] == [started]
    (new,) = group.instances().keys() - {old}
    group.complete("serves", new)
    group.complete("drained", old)
    _wait_for(lambda: set(group.instances()) == {new})
    assert group.registered() == {new}


def test_a_group_that_is_removed_leaves_no_instance(api: Api) -> None:
    group = Group(api, warm=True)
    group.want(1)
    group.scaling.delete_warm_pool(AutoScalingGroupName=GROUP, ForceDelete=True)
    group.scaling.delete_auto_scaling_group(AutoScalingGroupName=GROUP, ForceDelete=True)
    _wait_for(lambda: group.instances() == {})
    assert group.scaling.describe_auto_scaling_groups()["AutoScalingGroups"] == []
