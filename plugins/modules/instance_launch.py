"""Launch instances, each in the first of several subnets whose zone has the capacity.

An own module, because amazon.aws.ec2_instance knows one subnet, and asks for a capacity that a zone lacks ten times,
over minutes, in the same zone.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_launch
short_description: Launch instances where there is capacity
description:
  - Tries one subnet after the other while AWS lacks the capacity in its zone, and waits until the instance runs.
  - Each next instance is tried first in the zone that has the fewest, and last where this call found no capacity.
  - Launches O(count) each time that it is called; whether there are any already is for the caller to know.
options:
  count:
    description: How many to launch, one after the other.
    type: int
    default: 1
  zones_there:
    description: The zone of each instance that is there already.
    type: list
    elements: str
    default: []
  instance_type:
    description: The instance type.
    type: str
    required: true
  image_id:
    description: The image.
    type: str
    required: true
  subnets:
    description: The subnets to try, in this order, all of one VPC; each with C(id) and C(zone).
    type: list
    elements: dict
    required: true
    suboptions:
      id:
        description: Its id.
        type: str
        required: true
      zone:
        description: Its zone.
        type: str
        required: true
  security_group:
    description: Id of the security group.
    type: str
    required: true
  instance_profile:
    description: Name of the instance profile.
    type: str
    required: true
  public_address:
    description: Whether the instance gets a public address; V(subnet) leaves that to the subnet.
    type: str
    choices: [subnet, always, never]
    default: subnet
  volume:
    description: The root volume, encrypted gp3 that goes with the instance.
    type: dict
    required: true
    suboptions:
      device:
        description: Name of the image's root device.
        type: str
        required: true
      gib:
        description: Size in GiB.
        type: int
        required: true
      throughput:
        description: Throughput in MiB/s.
        type: int
        default: 125
      iops:
        description: Operations per second.
        type: int
        default: 3000
  tags:
    description: Tags of the instance and its volume.
    type: dict
    required: true
  timeout:
    description: Seconds until the instance runs.
    type: int
    default: 600
author:
  - The slm-ft-serving developers (!UNKNOWN)
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Launch the instance
  slm.serving.instance_launch:
    region: eu-central-1
    instance_type: g6.2xlarge
    image_id: ami-0123456789abcdef0
    subnets:
      - {id: subnet-0123456789abcdef0, zone: eu-central-1a}
      - {id: subnet-0123456789abcdef1, zone: eu-central-1b}
    security_group: sg-0123456789abcdef0
    instance_profile: slm-ft-serving-instance
    volume: {device: /dev/sda1, gib: 200, throughput: 500}
    tags: {Application: slm-ft-serving}
"""

RETURN = r"""
instances:
  description: The instances, in the order in which they were launched.
  returned: success, except in check mode
  type: list
  elements: dict
  contains:
    id:
      description: Its id.
      returned: always
      type: str
    zone:
      description: Its zone.
      returned: always
      type: str
    public_address:
      description: Its public IPv4 address; empty where it has none.
      returned: always
      type: str
refused:
  description: The zones that were tried before and have no capacity, with AWS's reason.
  returned: success, except in check mode
  type: list
  elements: str
"""

import contextlib
import time
import uuid
from collections import Counter
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import paginated_query_with_retries
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import boto3_tag_specifications
from ansible_collections.slm.serving.plugins.module_utils.aws_errors import code_of, fail, reason

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

# EC2's codes of what one zone, or one subnet, lacks and another may have:
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
ELSEWHERE = {
    "InsufficientCapacity",
    "InsufficientFreeAddressesInSubnet",
    "InsufficientHostCapacity",
    "InsufficientInstanceCapacity",
    "InsufficientVolumeCapacity",
    "Unsupported",
    "VolumeTypeNotAvailableInZone",
}
# What no other zone would change, and what to do about it.
ADVICE = {
    "VcpuLimitExceeded": (
        "The account's quota of vCPUs is reached, in every zone. Stop other instances of this kind, or ask for more in"
        " the Service Quotas console"
    ),
    "InstanceLimitExceeded": (
        "The account's limit of instances is reached, in every zone. Stop others, or ask for more in the Service Quotas"
        " console"
    ),
    "MaxSpotInstanceCountExceeded": "The account's limit of Spot instances is reached: ask for more, or stop others",
    "VolumeLimitExceeded": "The account's limit of EBS storage is reached: delete volumes, or ask for more",
    "PendingVerification": "AWS is still verifying the account for this region: try again when its mail has come",
    "Blocked": "AWS has blocked the account: ask AWS Support",
    "OptInRequired": "The image or the region has to be subscribed to first, by the account's owner",
    "UnauthorizedOperation": (
        "The credentials may not launch the instance: they need ec2:RunInstances and ec2:CreateTags, and iam:PassRole"
        " on the instance's role"
    ),
}
PROFILE_ERROR = "Invalid IAM Instance Profile"
PROFILE_SECONDS = 60.0  # in which IAM's new profile gets known to EC2
POLL_SECONDS = 2.0


class NoCapacityError(Exception):
    """What one zone lacks; the message is AWS's reason."""


class Launch:
    """The launch of instances that are alike."""

    def __init__(self, client: Any, params: dict[str, Any]) -> None:
        """Take what to launch.

        Args:
            client: of EC2.
            params: the module's.
        """
        self._client, self._params = client, params

    def launch_in(self, subnet: str) -> dict[str, Any]:
        """Return the running instance.

        Args:
            subnet: where.

        Raises:
            NoCapacityError: the subnet or its zone has no room.
            TimeoutError: it does not run in time.
            RuntimeError: it ended at once, for another reason.
        """
        try:
            answer = self._run(subnet)
        except botocore.exceptions.ClientError as error:
            if code_of(error) in ELSEWHERE:
                raise NoCapacityError(reason(error)) from error
            raise
        return self._running(answer["Instances"][0]["InstanceId"])

    def _run(self, subnet: str) -> dict[str, Any]:
        """Call RunInstances, again while EC2 does not know the profile yet."""
        request = self._request(subnet)
        deadline = time.monotonic() + PROFILE_SECONDS
        while True:
            try:
                answer: dict[str, Any] = self._client.run_instances(**request, aws_retry=True)
            except botocore.exceptions.ClientError as error:
                if PROFILE_ERROR not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(POLL_SECONDS)
            else:
                return answer

    def _request(self, subnet: str) -> dict[str, Any]:
        params, volume = self._params, self._params["volume"]
        interface: dict[str, Any] = {"DeviceIndex": 0, "SubnetId": subnet, "Groups": [params["security_group"]]}
        if params["public_address"] != "subnet":
            interface["AssociatePublicIpAddress"] = params["public_address"] == "always"
        return {
            # The same request sent again launches no second one.
            "ClientToken": str(uuid.uuid4()),
            "MinCount": 1,
            "MaxCount": 1,
            "ImageId": params["image_id"],
            "InstanceType": params["instance_type"],
            "IamInstanceProfile": {"Name": params["instance_profile"]},
            "NetworkInterfaces": [interface],
            # Version 2 only, and one hop: a container does not get at the instance's credentials.
            "MetadataOptions": {"HttpEndpoint": "enabled", "HttpTokens": "required", "HttpPutResponseHopLimit": 1},
            "BlockDeviceMappings": [
                {
                    "DeviceName": volume["device"],
                    "Ebs": {
                        "VolumeSize": volume["gib"],
                        "VolumeType": "gp3",
                        "Throughput": volume["throughput"],
                        "Iops": volume["iops"],
                        "Encrypted": True,
                        "DeleteOnTermination": True,
                    },
                }
            ],
            "TagSpecifications": boto3_tag_specifications(params["tags"], types=["instance", "volume"]),
        }

    def _running(self, instance_id: str) -> dict[str, Any]:
        """Wait until the instance runs, and return it as EC2 describes it."""
        deadline = time.monotonic() + self._params["timeout"]
        while True:
            instance = self._describe(instance_id)
            state = instance.get("State", {}).get("Name", "pending")
            if state == "running":
                return instance
            if state in ("shutting-down", "terminated"):
                why = instance.get("StateReason", {})
                said = f"{why.get('Code', state)}: {why.get('Message', 'no reason given')}"
                # It was accepted, and there was no room for it after all.
                if why.get("Code", "").rpartition(".")[2] in ELSEWHERE:
                    raise NoCapacityError(said)
                raise RuntimeError(f"The instance {instance_id} ended as soon as it was launched ({said}).")
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"The instance {instance_id} is still {state} after {self._params['timeout']} s. It is billed as"
                    " soon as it runs: run the playbook again, which goes on with it, or remove it with"
                    " playbooks/teardown.yml."
                )
            time.sleep(POLL_SECONDS)

    def _describe(self, instance_id: str) -> dict[str, Any]:
        """Return the instance as EC2 describes it; empty while EC2 does not know it yet."""
        filters = [{"Name": "instance-id", "Values": [instance_id]}]
        answer = paginated_query_with_retries(self._client, "describe_instances", Filters=filters)
        return next((each for reservation in answer["Reservations"] for each in reservation["Instances"]), {})


def no_capacity(instance_type: str, region: str, refused: list[str], launched: list[str]) -> str:
    """Return what to do where no zone has the capacity.

    Args:
        instance_type: of the instance that found none.
        region: that was asked.
        refused: what AWS said, by zone.
        launched: ids of those that run since.
    """
    zones = "\n".join(f"  {each}" for each in refused)
    another, there = "", ""
    if launched:
        verbs = "run now and are" if len(launched) > 1 else "runs now and is"
        another, there = "further ", f"{', '.join(launched)} {verbs} billed, "
    return (
        f"No {another}{instance_type} could be launched in {region}; {there}the rest of what provision.yml makes is"
        f" there, and another run goes on from here. What AWS said, by zone:\n{zones}\n"
        "Try again later; or name another type with -e infrastructure_instance_type=TYPE (such as another size of the"
        " same family); or a subnet in another zone with -e infrastructure_subnet_id=SUBNET; or take another region"
        " (AWS_REGION); or have AWS reserve one: an On-Demand Capacity Reservation is billed from the moment on that it"
        " exists (`aws ec2 create-capacity-reservation`)."
    )


class Placements:
    """Where instances went and where there was no room for one."""

    def __init__(self, zones_there: list[str]) -> None:
        """Begin with what is there.

        Args:
            zones_there: the zone of each instance that is there already.
        """
        self._used = Counter(zones_there)
        self._full: set[str] = set()
        self.refused: list[str] = []

    def in_order(self, subnets: list[dict[str, str]]) -> list[dict[str, str]]:
        """Return the subnets in the order in which to try them for the next instance."""
        return sorted(subnets, key=lambda subnet: (subnet["zone"] in self._full, self._used[subnet["zone"]]))

    def use(self, zone: str) -> None:
        """Note an instance."""
        self._used[zone] += 1

    def refuse(self, zone: str, why: str) -> None:
        """Note a zone without room; what AWS says again is told once."""
        self._full.add(zone)
        if (line := f"{zone}: {why}") not in self.refused:
            self.refused.append(line)


def launch(client: Any, module: AnsibleAWSModule) -> dict[str, Any]:
    """Launch as many as are wanted, each where there is room, and return the module's answer."""
    attempt, placements = Launch(client, module.params), Placements(module.params["zones_there"])
    launched: list[dict[str, str]] = []
    while len(launched) < module.params["count"]:
        try:
            launched.append(_launch_next(attempt, module.params["subnets"], placements))
        except NoCapacityError:
            ids = [each["id"] for each in launched]
            message = no_capacity(module.params["instance_type"], module.region, placements.refused, ids)
            module.fail_json(msg=message, refused=placements.refused, instances=launched)
    return {"changed": bool(launched), "instances": launched, "refused": placements.refused}


def _launch_next(attempt: Launch, subnets: list[dict[str, str]], placements: Placements) -> dict[str, str]:
    """Launch one instance in the first subnet that has room. Raises NoCapacityError where none has."""
    for subnet in placements.in_order(subnets):
        try:
            instance = attempt.launch_in(subnet["id"])
        except NoCapacityError as error:
            placements.refuse(subnet["zone"], str(error))
            continue
        placements.use(subnet["zone"])
        address = str(instance.get("PublicIpAddress", ""))
        return {"id": instance["InstanceId"], "zone": subnet["zone"], "public_address": address}
    raise NoCapacityError


def main() -> None:
    """Launch the instances."""
    text: dict[str, Any] = {"type": "str", "required": True}
    module = AnsibleAWSModule(
        argument_spec={
            "count": {"type": "int", "default": 1},
            "zones_there": {"type": "list", "elements": "str", "default": []},
            "instance_type": text,
            "image_id": text,
            "subnets": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {"id": text, "zone": text},
            },
            "security_group": text,
            "instance_profile": text,
            "public_address": {"type": "str", "choices": ["subnet", "always", "never"], "default": "subnet"},
            "volume": {
                "type": "dict",
                "required": True,
                "options": {
                    "device": text,
                    "gib": {"type": "int", "required": True},
                    "throughput": {"type": "int", "default": 125},
                    "iops": {"type": "int", "default": 3000},
                },
            },
            "tags": {"type": "dict", "required": True},
            "timeout": {"type": "int", "default": 600},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=True)
    # boto3 itself would ask again for a capacity that is not there, since EC2 answers 500.
    once = botocore.config.Config(retries={"total_max_attempts": 1})
    client = module.client("ec2", retry_decorator=AWSRetry.jittered_backoff(retries=5), config=once)
    try:
        answer = launch(client, module)
    except botocore.exceptions.ClientError as error:
        fail(module, error, ADVICE.get(code_of(error), "EC2 did not launch the instance"))
    except botocore.exceptions.BotoCoreError as error:
        fail(module, error, "EC2 did not launch the instance")
    except (RuntimeError, TimeoutError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
