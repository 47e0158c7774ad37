"""Make, correct or remove an Auto Scaling group with its lifecycle hooks, its warm pool and its step policies.

An own module: in check mode amazon.aws.autoscaling_group calls every group that is there changed, and no ready module
knows warm pools, or a step that begins at the threshold.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: scaling_group
short_description: Make, correct or remove an Auto Scaling group, its hooks, its warm pool and its policies
description:
  - The group has no instance at first and 0 at least; how many it has is for its policies to say, and stays as it is.
  - Instances that are not needed are kept in a warm pool, stopped, and go back into it.
author:
  - The slm-ft-serving developers (!UNKNOWN)
options:
  name:
    description: The group.
    type: str
    required: true
  state:
    description: Whether it is there. Its instances go with it.
    type: str
    choices: [present, absent]
    default: present
  launch_template:
    description: Name of the launch template.
    type: str
    default: ""
  launch_template_version:
    description: Version of the launch template.
    type: str
    default: ""
  subnets:
    description: Ids of the subnets that its instances are in.
    type: list
    elements: str
    default: []
  target_group:
    description: ARN of the target group that its instances are registered with.
    type: str
    default: ""
  max_size:
    description: How many instances may be in service.
    type: int
    default: 0
  grace_period:
    description: Seconds in which the load balancer may find a new instance unhealthy.
    type: int
    default: 120
  hooks:
    description: The lifecycle hooks.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Its name.
        type: str
        required: true
      transition:
        description: What it holds up.
        type: str
        choices: [launching, terminating]
        required: true
      seconds:
        description: For how long at most.
        type: int
        required: true
      result:
        description: What happens then.
        type: str
        choices: [ABANDON, CONTINUE]
        required: true
  policies:
    description: The step policies.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Its name.
        type: str
        required: true
      warmup:
        description: Seconds in which a new instance is not counted.
        type: int
        required: true
      steps:
        description: By how many instances the group changes, from how far above or below the alarm's threshold on.
        type: list
        elements: dict
        required: true
        suboptions:
          lower:
            description: Where the step begins, less the threshold; none means without an end.
            type: float
          upper:
            description: Where it ends, less the threshold; none means without an end.
            type: float
          change:
            description: How many more; fewer with a minus.
            type: int
            required: true
  tags:
    description: Tags of the group and of its instances.
    type: dict
    default: {}
  timeout:
    description: Seconds until a group that is removed, and its instances, are gone.
    type: int
    default: 900
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Have up to three more instances
  slm.serving.scaling_group:
    region: eu-central-1
    name: slm-ft-serving
    launch_template: slm-ft-serving
    launch_template_version: "1"
    subnets: [subnet-0123456789abcdef0]
    max_size: 3
    hooks:
      - {name: serves, transition: launching, seconds: 1500, result: ABANDON}
    policies:
      - name: more
        warmup: 240
        steps:
          - {lower: 0, change: 1}
"""

RETURN = r"""
changes:
  description: What was, or would be, changed.
  returned: success
  type: list
  elements: str
policies:
  description: ARN of each policy by its name; empty in check mode where it is not there.
  returned: success
  type: dict
"""

import contextlib
import time
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import paginated_query_with_retries
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.slm.serving.plugins.module_utils.aws_errors import fail
from ansible_collections.slm.serving.plugins.module_utils.scaling_groups import described

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

TRANSITIONS = {
    "launching": "autoscaling:EC2_INSTANCE_LAUNCHING",
    "terminating": "autoscaling:EC2_INSTANCE_TERMINATING",
}
# Instances that are not needed for now: stopped, and used again.
WARM_POOL = {"PoolState": "Stopped", "MinSize": 0, "InstanceReusePolicy": {"ReuseOnScaleIn": True}}
POLL_SECONDS = 5.0


class ScalingGroup:
    """A group, and what belongs to it."""

    def __init__(self, client: Any, params: dict[str, Any], *, check: bool) -> None:
        """Take what is wanted.

        Args:
            client: of Auto Scaling.
            params: the module's.
            check: whether to change nothing.
        """
        self._client, self._params, self._check = client, params, check
        self._name = params["name"]
        self.changes: list[str] = []

    def _change(self, words: str, operation: str, **request: Any) -> None:
        """Note a change, and make it unless only to be told."""
        self.changes.append(words)
        if not self._check:
            getattr(self._client, operation)(AutoScalingGroupName=self._name, **request, aws_retry=True)

    def ensure(self) -> dict[str, str]:
        """Have the group, its hooks before the pool that makes its first instances; return its policies' ARNs."""
        there = described(self._client, self._name)
        self._ensure_group(there)
        self._ensure_hooks(there)
        self._ensure_warm_pool(there)
        return self._ensure_policies(there)

    def _ensure_group(self, there: dict[str, Any] | None) -> None:
        params = self._params
        template = {
            "LaunchTemplateName": params["launch_template"],
            "Version": params["launch_template_version"],
        }
        wanted = {
            "MinSize": 0,
            "MaxSize": params["max_size"],
            "VPCZoneIdentifier": ",".join(sorted(params["subnets"])),
            "HealthCheckType": "ELB",
            "HealthCheckGracePeriod": params["grace_period"],
        }
        tags = [
            {
                "ResourceId": self._name,
                "ResourceType": "auto-scaling-group",
                "Key": key,
                "Value": value,
                "PropagateAtLaunch": True,
            }
            for key, value in sorted(params["tags"].items())
        ]
        if there is None:
            self._change(
                "group",
                "create_auto_scaling_group",
                DesiredCapacity=0,
                LaunchTemplate=template,
                TargetGroupARNs=[params["target_group"]],
                Tags=tags,
                **wanted,
            )
            return
        has = {key: there.get(key) for key in wanted}
        has["VPCZoneIdentifier"] = ",".join(sorted(str(has["VPCZoneIdentifier"]).split(",")))
        same_template = template.items() <= there.get("LaunchTemplate", {}).items()
        if has != wanted or not same_template:
            self._change("group", "update_auto_scaling_group", LaunchTemplate=template, **wanted)
        if params["target_group"] not in there.get("TargetGroupARNs", []):
            self._change("target group", "attach_load_balancer_target_groups", TargetGroupARNs=[params["target_group"]])
        missing = [tag for tag in tags if not any(tag.items() <= each.items() for each in there.get("Tags", []))]
        if missing:
            self.changes.append("tags")
            if not self._check:
                self._client.create_or_update_tags(Tags=missing, aws_retry=True)

    def _ensure_hooks(self, there: dict[str, Any] | None) -> None:
        has: dict[str, dict[str, Any]] = {}
        if there is not None:
            hooks = self._client.describe_lifecycle_hooks(AutoScalingGroupName=self._name, aws_retry=True)
            has = {each["LifecycleHookName"]: each for each in hooks["LifecycleHooks"]}
        for hook in self._params["hooks"]:
            wanted = {
                "LifecycleHookName": hook["name"],
                "LifecycleTransition": TRANSITIONS[hook["transition"]],
                "HeartbeatTimeout": hook["seconds"],
                "DefaultResult": hook["result"],
            }
            if not wanted.items() <= has.get(hook["name"], {}).items():
                self._change(f"hook {hook['name']}", "put_lifecycle_hook", **wanted)

    def _ensure_warm_pool(self, there: dict[str, Any] | None) -> None:
        has = (there or {}).get("WarmPoolConfiguration", {})
        if not WARM_POOL.items() <= has.items():
            self._change("warm pool", "put_warm_pool", **WARM_POOL)

    def _ensure_policies(self, there: dict[str, Any] | None) -> dict[str, str]:
        for policy in self._params["policies"]:
            wanted = {
                "PolicyName": policy["name"],
                "PolicyType": "StepScaling",
                "AdjustmentType": "ChangeInCapacity",
                "MetricAggregationType": "Average",
                "EstimatedInstanceWarmup": policy["warmup"],
                "StepAdjustments": [_step(each) for each in policy["steps"]],
            }
            has = self._policies(there).get(policy["name"], {})
            if not wanted.items() <= has.items():
                self._change(f"policy {policy['name']}", "put_scaling_policy", **wanted)
        after = described(self._client, self._name) if self.changes and not self._check else there
        return {name: str(each["PolicyARN"]) for name, each in self._policies(after).items()}

    def _policies(self, there: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
        if there is None:
            return {}
        names = [each["name"] for each in self._params["policies"]]
        if not names:
            return {}
        answer = self._client.describe_policies(AutoScalingGroupName=self._name, PolicyNames=names, aws_retry=True)
        return {each["PolicyName"]: each for each in answer["ScalingPolicies"]}

    def remove(self, ec2: Any) -> None:
        """Remove the group with its instances, and wait until all of it is gone.

        Args:
            ec2: client of EC2.

        Raises:
            TimeoutError: it takes too long.
        """
        there = described(self._client, self._name)
        if there is not None:
            # First, as AWS does not delete a group that has one.
            if "WarmPoolConfiguration" in there:
                self._change("warm pool", "delete_warm_pool", ForceDelete=True)
                self._wait(lambda: "WarmPoolConfiguration" in (described(self._client, self._name) or {}), "warm pool")
            self._change("group", "delete_auto_scaling_group", ForceDelete=True)
        if not self._check:
            # What it holds on to, security groups and the image among them, can go only after its instances.
            self._wait(lambda: described(self._client, self._name) is not None, "group")
            self._wait(lambda: bool(instances_of(ec2, self._name)), "group's instances")

    def _wait(self, is_there: Any, what: str) -> None:
        deadline = time.monotonic() + self._params["timeout"]
        while not self._check and is_there():
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"The {what} of {self._name} is not gone after {self._params['timeout']} s. Run the playbook again,"
                    " which goes on from here."
                )
            time.sleep(POLL_SECONDS)


def _step(step: dict[str, Any]) -> dict[str, Any]:
    bounds = {"MetricIntervalLowerBound": step["lower"], "MetricIntervalUpperBound": step["upper"]}
    return {
        **{name: value for name, value in bounds.items() if value is not None},
        "ScalingAdjustment": step["change"],
    }


def instances_of(ec2: Any, name: str) -> list[str]:
    """Return the ids of a group's instances that are not terminated.

    Args:
        ec2: client of EC2.
        name: the group's.
    """
    filters = [{"Name": "tag:aws:autoscaling:groupName", "Values": [name]}]
    answer = paginated_query_with_retries(ec2, "describe_instances", Filters=filters)
    every = [each for reservation in answer["Reservations"] for each in reservation["Instances"]]
    return [each["InstanceId"] for each in every if each["State"]["Name"] != "terminated"]


def main() -> None:
    """Make, correct or remove the group."""
    text, number = {"type": "str", "required": True}, {"type": "int", "required": True}
    module = AnsibleAWSModule(
        argument_spec={
            "name": text,
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "launch_template": {"type": "str", "default": ""},
            "launch_template_version": {"type": "str", "default": ""},
            "subnets": {"type": "list", "elements": "str", "default": []},
            "target_group": {"type": "str", "default": ""},
            "max_size": {"type": "int", "default": 0},
            "grace_period": {"type": "int", "default": 120},
            "hooks": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": text,
                    "transition": {**text, "choices": list(TRANSITIONS)},
                    "seconds": number,
                    "result": {**text, "choices": ["ABANDON", "CONTINUE"]},
                },
            },
            "policies": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": text,
                    "warmup": number,
                    "steps": {
                        "type": "list",
                        "elements": "dict",
                        "required": True,
                        "options": {"lower": {"type": "float"}, "upper": {"type": "float"}, "change": number},
                    },
                },
            },
            "tags": {"type": "dict", "default": {}},
            "timeout": {"type": "int", "default": 900},
        },
        supports_check_mode=True,
    )
    client = module.client("autoscaling", retry_decorator=AWSRetry.jittered_backoff())
    group = ScalingGroup(client, module.params, check=module.check_mode)
    policies: dict[str, str] = {}
    try:
        if module.params["state"] == "present":
            policies = group.ensure()
        else:
            group.remove(module.client("ec2", retry_decorator=AWSRetry.jittered_backoff()))
    except TimeoutError as error:
        module.fail_json(msg=str(error))
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        fail(module, error, f"Auto Scaling did not change the group {module.params['name']}")
    module.exit_json(changed=bool(group.changes), changes=group.changes, policies=policies)


if __name__ == "__main__":
    main()
