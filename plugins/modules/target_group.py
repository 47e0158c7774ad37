"""Create, correct or remove the target group of a load balancer, and register new instances in it.

An own module: community.aws.elb_target_group has no check mode, tags a group only after it was made, and takes every
target that it is not given out of the group, also one that a deployment is about to put in again.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: target_group
short_description: Create, correct or remove a target group of instances
description:
  - The targets are instances that speak HTTP.
  - Only what is named is registered, and nothing is ever taken out, since that is a deployment's business.
options:
  name:
    description: The group.
    type: str
    required: true
  state:
    description: V(absent) removes it.
    type: str
    choices: [present, absent]
    default: present
  vpc_id:
    description: VPC of the instances. A group that is there keeps its own.
    type: str
    default: ""
  port:
    description: Port of the instances. A group that is there keeps its own.
    type: int
    default: 80
  health_check:
    description: How a target is known to serve.
    type: dict
    default: {}
    suboptions:
      path:
        description: Path that is asked for.
        type: str
        default: /
      codes:
        description: Status codes of one that serves.
        type: str
        default: "200"
      interval:
        description: Seconds between two questions.
        type: int
        default: 10
      timeout:
        description: Seconds for an answer.
        type: int
        default: 5
      healthy:
        description: Good answers in a row after which it gets requests.
        type: int
        default: 2
      unhealthy:
        description: Bad answers in a row after which it gets none.
        type: int
        default: 2
  attributes:
    description: Attributes by the names that AWS gives them; others stay.
    type: dict
    default: {}
  instances:
    description: Instances to register.
    type: list
    elements: str
    default: []
  instances_of_a_new_group:
    description: Instances to register besides where the group is made.
    type: list
    elements: str
    default: []
  tags:
    description: Tags to add; others stay.
    type: dict
    default: {}
author:
  - The slm-ft-serving developers (!UNKNOWN)
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Create a target group and register a new instance
  slm.serving.target_group:
    region: eu-central-1
    name: slm-ft-serving-gateway
    vpc_id: vpc-0123456789abcdef0
    port: 8080
    health_check: {path: /health}
    attributes: {load_balancing.algorithm.type: least_outstanding_requests}
    instances: [i-0123456789abcdef0]
    tags: {Application: slm-ft-serving}
"""

RETURN = r"""
arn:
  description: The group; empty where there is none, and in check mode where it is to be made.
  returned: success
  type: str
differences:
  description: What differed.
  returned: success
  type: list
  elements: str
  sample: [group, health check, attributes, tags, targets]
"""

import contextlib
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)
from ansible_collections.slm.serving.plugins.module_utils.aws_errors import fail

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

PROTOCOL = "HTTP"


class UnchangeableError(Exception):
    """The group differs in what AWS does not change; the message says what to do."""


class Group:
    """One target group."""

    def __init__(self, client: Any, params: dict[str, Any]) -> None:
        """Read the group.

        Args:
            client: of Elastic Load Balancing.
            params: the module's.
        """
        self._client = client
        self._params = params
        self.about = self._describe()

    @property
    def arn(self) -> str:
        """The group's; empty where there is none."""
        return str(self.about.get("TargetGroupArn", ""))

    def _describe(self) -> dict[str, Any]:
        try:
            answer = self._client.describe_target_groups(Names=[self._params["name"]], aws_retry=True)
        except is_boto3_error_code("TargetGroupNotFound"):
            return {}
        about: dict[str, Any] = answer["TargetGroups"][0]
        return about

    def wanted_check(self) -> dict[str, Any]:
        """Return the health check that it is to have, by AWS's names."""
        check = self._params["health_check"]
        return {
            "HealthCheckProtocol": PROTOCOL,
            "HealthCheckPath": check["path"],
            "HealthCheckIntervalSeconds": check["interval"],
            "HealthCheckTimeoutSeconds": check["timeout"],
            "HealthyThresholdCount": check["healthy"],
            "UnhealthyThresholdCount": check["unhealthy"],
            "Matcher": {"HttpCode": check["codes"]},
        }

    def current(self) -> dict[str, Any]:
        """Return what the group is like as far as the module decides it; empty where there is none."""
        if not self.about:
            return {}
        wanted = self._wanted_attributes()
        return {
            "health check": {name: self.about.get(name) for name in self.wanted_check()},
            "attributes": {name: value for name, value in self._attributes().items() if name in wanted},
            "tags": {name: value for name, value in self._tags().items() if name in self._params["tags"]},
            "targets": sorted(set(self._params["instances"]) & self._registered()),
        }

    def wanted(self) -> dict[str, Any]:
        """Return what the group is to be like."""
        instances = set(self._params["instances"])
        if not self.about:
            instances |= set(self._params["instances_of_a_new_group"])
        return {
            "health check": self.wanted_check(),
            "attributes": self._wanted_attributes(),
            "tags": self._params["tags"],
            "targets": sorted(instances),
        }

    def _wanted_attributes(self) -> dict[str, str]:
        return {name: str(value) for name, value in self._params["attributes"].items()}

    def _attributes(self) -> dict[str, str]:
        answer = self._client.describe_target_group_attributes(TargetGroupArn=self.arn, aws_retry=True)
        return {each["Key"]: each["Value"] for each in answer["Attributes"]}

    def _tags(self) -> dict[str, str]:
        (answer,) = self._client.describe_tags(ResourceArns=[self.arn], aws_retry=True)["TagDescriptions"]
        tags: dict[str, str] = boto3_tag_list_to_ansible_dict(answer["Tags"])
        return tags

    def _registered(self) -> set[str]:
        """Return the instances of the group; not asked for where none is to be registered."""
        if not self._params["instances"]:
            return set()
        answer = self._client.describe_target_health(TargetGroupArn=self.arn, aws_retry=True)
        # One that is taken out just now counts as gone.
        staying = [each for each in answer["TargetHealthDescriptions"] if each["TargetHealth"]["State"] != "draining"]
        return {each["Target"]["Id"] for each in staying}

    def check_what_stays(self) -> None:
        """Raise UnchangeableError where the group has another port or VPC than it is to have."""
        wanted = {"Protocol": PROTOCOL, "Port": self._params["port"], "VpcId": self._params["vpc_id"]}
        differing = [
            f"{name} is {self.about.get(name)} and not {value}"
            for name, value in wanted.items()
            if self.about and self.about.get(name) != value
        ]
        if differing:
            raise UnchangeableError(
                f"The target group {self._params['name']} differs in what AWS does not change: {', '.join(differing)}."
                " Give what it has; or remove the load balancer and then the group by hand, and run again."
            )

    def differences(self) -> list[str]:
        """Return what differs; `group` where there is none."""
        if not self.about:
            return ["group", *(["targets"] if self.wanted()["targets"] else [])]
        current = self.current()
        return [part for part, value in self.wanted().items() if current[part] != value]

    def correct(self) -> None:
        """Make the group where it is missing, and correct what differs."""
        current, wanted = self.current(), self.wanted()
        if not self.about:
            self.about = self._create()
            current = {**wanted, "attributes": {}, "targets": []}
        if current["health check"] != wanted["health check"]:
            self._client.modify_target_group(TargetGroupArn=self.arn, aws_retry=True, **self.wanted_check())
        if current["attributes"] != wanted["attributes"]:
            attributes = [{"Key": name, "Value": value} for name, value in wanted["attributes"].items()]
            self._client.modify_target_group_attributes(TargetGroupArn=self.arn, Attributes=attributes, aws_retry=True)
        if current["tags"] != wanted["tags"]:
            tags = ansible_dict_to_boto3_tag_list(wanted["tags"])
            self._client.add_tags(ResourceArns=[self.arn], Tags=tags, aws_retry=True)
        if new := sorted(set(wanted["targets"]) - set(current["targets"])):
            targets = [{"Id": each} for each in new]
            self._client.register_targets(TargetGroupArn=self.arn, Targets=targets, aws_retry=True)

    def _create(self) -> dict[str, Any]:
        answer = self._client.create_target_group(
            Name=self._params["name"],
            Protocol=PROTOCOL,
            Port=self._params["port"],
            VpcId=self._params["vpc_id"],
            TargetType="instance",
            Tags=ansible_dict_to_boto3_tag_list(self._params["tags"]),
            aws_retry=True,
            **self.wanted_check(),
        )
        about: dict[str, Any] = answer["TargetGroups"][0]
        return about

    def remove(self) -> None:
        """Remove the group."""
        self._client.delete_target_group(TargetGroupArn=self.arn, aws_retry=True)


def main() -> None:
    """Create, correct or remove the group."""
    text, number = {"type": "str"}, {"type": "int"}
    instances: dict[str, Any] = {"type": "list", "elements": "str", "default": []}
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "vpc_id": {**text, "default": ""},
            "port": {**number, "default": 80},
            "health_check": {
                "type": "dict",
                "default": {},
                "apply_defaults": True,
                "options": {
                    "path": {**text, "default": "/"},
                    "codes": {**text, "default": "200"},
                    "interval": {**number, "default": 10},
                    "timeout": {**number, "default": 5},
                    "healthy": {**number, "default": 2},
                    "unhealthy": {**number, "default": 2},
                },
            },
            "attributes": {"type": "dict", "default": {}},
            "instances": instances,
            "instances_of_a_new_group": instances,
            "tags": {"type": "dict", "default": {}},
        },
        required_if=[("state", "present", ["vpc_id", "port"])],
        supports_check_mode=True,
    )
    client = module.client("elbv2", retry_decorator=AWSRetry.jittered_backoff())
    diff: dict[str, Any] = {}
    try:
        group = Group(client, module.params)
        if module.params["state"] == "absent":
            differences = ["group"] if group.about else []
            if differences and not module.check_mode:
                group.remove()
        else:
            group.check_what_stays()
            diff = {"before": group.current(), "after": group.wanted()}
            differences = group.differences()
            if differences and not module.check_mode:
                group.correct()
    except UnchangeableError as error:
        module.fail_json(msg=str(error))
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        fail(module, error, f"Elastic Load Balancing did not change the target group {module.params['name']}")
    module.exit_json(changed=bool(differences), arn=group.arn, differences=differences, diff=diff)


if __name__ == "__main__":
    main()
