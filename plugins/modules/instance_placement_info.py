"""Find subnets and an image for instances of a type, and check ways out, disk, processor and quota.

An own module: the ready ones answer each of these questions alone, and none finds a zone that has the instance type.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_placement_info
short_description: Find subnets and an image for an instance, and check that they fit
description:
  - Changes nothing. Everything that prevents a start, or a deployment after it, is returned in RV(problems).
options:
  instance_type:
    description: The instance type.
    type: str
    required: true
  count:
    description: How many instances are to be started, for which the quota has to have room.
    type: int
    default: 1
  subnet_id:
    description:
      - The subnet, or several of one VPC with commas between them.
      - Empty means the default subnets of the zones that have the instance type.
    type: str
    default: ""
  public_address:
    description:
      - Whether the instance gets a public address. V(subnet) leaves that to the subnet.
    type: str
    choices: [subnet, always, never]
    default: subnet
  ami_parameter:
    description: Public parameter of Systems Manager that holds the image's id.
    type: str
    required: true
  volume_gib:
    description: Size of the root volume in GiB.
    type: int
    required: true
  images_bytes:
    description: Bytes of the compressed layers of the container images that come to the volume.
    type: int
    default: 0
  models_bytes:
    description: Bytes of the models that come to the volume, and to the GPU.
    type: int
    default: 0
  accelerator:
    description: What the engine computes on. With V(gpu) the type has to have one that fits engine and model.
    type: str
    choices: [gpu, cpu]
    default: cpu
  engine_profile:
    description: The engine's profile; empty means the default.
    type: str
    default: ""
  engine_options:
    description: Options of the engine that the operator has set; what they replace of the profile is not checked.
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
- name: Find where an instance can be started
  slm.serving.instance_placement_info:
    region: eu-central-1
    instance_type: g6.2xlarge
    ami_parameter: /aws/service/deeplearning/ami/x86_64/base-with-single-cuda-ubuntu-24.04/latest/ami-id
    volume_gib: 200
    images_bytes: 12640000000
    models_bytes: 16060000000
    accelerator: gpu
  register: placement
"""

RETURN = r"""
subnets:
  description: The subnets to try, in this order; all of one VPC.
  returned: success
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
vpc_id:
  description: The subnets' VPC; empty where there is no subnet.
  returned: success
  type: str
image_id:
  description: Id of the image; empty where there is none.
  returned: success
  type: str
image_name:
  description: The image's name.
  returned: success
  type: str
root_device:
  description: Name of the image's root device.
  returned: success
  type: str
needed_gib:
  description: GiB that the volume needs for the image, the container images and the models.
  returned: success
  type: int
problems:
  description: A sentence for each thing that prevents a start.
  returned: success
  type: list
  elements: str
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import paginated_query_with_retries
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.slm.serving.plugins.module_utils.aws_errors import reason
from ansible_collections.slm.serving.plugins.module_utils.disk_need import GIB, needed_bytes, volume_gib
from ansible_collections.slm.serving.plugins.module_utils.gpu_fit import gpu_problems
from ansible_collections.slm.serving.plugins.module_utils.subnet_reach import Reach
from ansible_collections.slm.serving.plugins.module_utils.vcpu_quotas import quota_of, running_vcpus

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore


class Placement:
    """A place for an instance; what prevents a start is collected in `problems`."""

    def __init__(self, module: AnsibleAWSModule) -> None:
        """Make the clients."""
        retry = AWSRetry.jittered_backoff(retries=5)
        self.params = module.params
        self.region = module.region
        self.ec2, self.ssm = (module.client(name, retry_decorator=retry) for name in ("ec2", "ssm"))
        # Not retried: EC2 itself reports an exceeded quota later.
        self.quotas = module.client("service-quotas")
        self.problems: list[str] = []
        self.warnings: list[str] = []
        self.needed_gib = 0

    @contextlib.contextmanager
    def errors_as_problems(self) -> Iterator[None]:
        """Add an error of AWS to the problems."""
        try:
            yield
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            self.problems.append(f"AWS does not say where an instance can be started: {reason(error)}")

    def subnets(self) -> list[dict[str, Any]]:
        """Return the subnets to try, one for each zone; empty when none is suitable."""
        offerings = paginated_query_with_retries(
            self.ec2,
            "describe_instance_type_offerings",
            LocationType="availability-zone",
            Filters=[{"Name": "instance-type", "Values": [self.params["instance_type"]]}],
        )["InstanceTypeOfferings"]
        zones = {each["Location"] for each in offerings}
        if not zones:
            self.problems.append(
                f"{self.region} has no {self.params['instance_type']}. Take another region (AWS_REGION) or name another"
                " type with -e infrastructure_instance_type=TYPE."
            )
            return []
        if self.params["subnet_id"].strip(" ,"):
            return self._with_a_way_out(self._named_subnets(zones))
        default = [{"Name": "default-for-az", "Values": ["true"]}]
        subnets = paginated_query_with_retries(self.ec2, "describe_subnets", Filters=default)["Subnets"]
        suitable = sorted((each for each in subnets if each["AvailabilityZone"] in zones), key=_zone)
        if not suitable:
            self.problems.append(
                f"No zone that has {self.params['instance_type']} has a default subnet. Make the default VPC with"
                " `aws ec2 create-default-vpc`, or name a subnet that reaches the internet, in one of the zones"
                f" {', '.join(sorted(zones))}, with -e infrastructure_subnet_id=SUBNET."
            )
        return self._with_a_way_out(suitable)

    def _named_subnets(self, zones: set[str]) -> list[dict[str, Any]]:
        """Return the subnets that were named, in that order, with a problem for each that will not do."""
        names = [name.strip() for name in self.params["subnet_id"].split(",") if name.strip()]
        # A filter: an id that does not exist is then no error.
        filters = [{"Name": "subnet-id", "Values": names}]
        answer = paginated_query_with_retries(self.ec2, "describe_subnets", Filters=filters)
        found: dict[str, dict[str, Any]] = {each["SubnetId"]: each for each in answer["Subnets"]}
        for name in names:
            if name not in found:
                self.problems.append(
                    f"There is no subnet {name} in {self.region}. Correct infrastructure_subnet_id, or leave it out."
                )
            elif found[name]["AvailabilityZone"] not in zones:
                self.problems.append(
                    f"The subnet {name} is in {found[name]['AvailabilityZone']}, which has no"
                    f" {self.params['instance_type']}. Take one in {', '.join(sorted(zones))}."
                )
        subnets = [found[name] for name in dict.fromkeys(names) if name in found]
        vpcs = sorted({each["VpcId"] for each in subnets})
        if len(vpcs) > 1:
            self.problems.append(
                f"The subnets of infrastructure_subnet_id are in several VPCs, {', '.join(vpcs)}. Name some of one."
            )
        return subnets

    def _with_a_way_out(self, subnets: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the subnets from which AWS is reached; all of them, and a problem each, where none is."""
        if not subnets:
            return []
        try:
            reach = Reach(self.ec2, self.region, subnets[0]["VpcId"])
            found = {each["SubnetId"]: reach.problem(each, self.params["public_address"]) for each in subnets}
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            # The start does not need the permission to read route tables.
            self.warnings.append(
                f"Whether the instance will reach AWS from its subnet could not be checked: {reason(error)}"
            )
            return subnets
        suitable = [each for each in subnets if not found[each["SubnetId"]]]
        if not suitable:
            self.problems += found.values()
        return suitable or subnets

    def image(self) -> dict[str, Any]:
        """Return the image that the public parameter names; empty when there is none."""
        name = self.params["ami_parameter"]
        answer = self.ssm.get_parameters(Names=[name], aws_retry=True)["Parameters"]
        if not answer:
            self.problems.append(
                f"{self.region} has no public parameter {name}. Name another with -e infrastructure_ami_parameter=NAME."
            )
            return {}
        filters = [{"Name": "image-id", "Values": [answer[0]["Value"]]}]
        found = paginated_query_with_retries(self.ec2, "describe_images", Filters=filters)
        images: list[dict[str, Any]] = found["Images"]
        if not images:
            self.problems.append(f"The image {answer[0]['Value']} that {name} names cannot be found.")
            return {}
        self._check_size(images[0])
        return images[0]

    def _check_size(self, image: dict[str, Any]) -> None:
        """Add a problem where the volume cannot hold the image, the container images and the models."""
        mappings = image.get("BlockDeviceMappings", [])
        snapshot = max((each["Ebs"].get("VolumeSize", 0) for each in mappings if "Ebs" in each), default=0)
        needed = needed_bytes(self.params["images_bytes"], self.params["models_bytes"])
        self.needed_gib = volume_gib(snapshot, needed)
        if self.needed_gib > self.params["volume_gib"]:
            self.problems.append(
                f"A volume of {self.params['volume_gib']} GiB is too small: the image {image['ImageId']} takes up to"
                f" {snapshot} GiB, and the container images, the models and what has to stay free {-(-needed // GIB)}"
                f" GiB. Set infrastructure_volume_gib to {self.needed_gib} at least; every further version of the"
                " engine's image takes as much again."
            )

    def check_type(self, image: dict[str, Any]) -> None:
        """Add a problem where the type does not run image or engine, or the quota of vCPUs is too small for it.

        Args:
            image: as EC2 describes it; empty where there is none.
        """
        types = [self.params["instance_type"]]
        described = self.ec2.describe_instance_types(InstanceTypes=types, aws_retry=True)["InstanceTypes"][0]
        architectures = described.get("ProcessorInfo", {}).get("SupportedArchitectures", [])
        architecture = image.get("Architecture", "")
        if architecture and architectures and architecture not in architectures:
            self.problems.append(
                f"The image {image['ImageId']} is for {architecture}, and {types[0]} runs {', '.join(architectures)}."
                " Name another with -e infrastructure_ami_parameter=NAME, or another type."
            )
        if self.params["accelerator"] == "gpu":
            profile, options = self.params["engine_profile"], self.params["engine_options"]
            what, size = f"The instance type is {types[0]}", self.params["models_bytes"]
            self.problems += gpu_problems(what, described, profile, options, size)
        self._check_quota(described["VCpuInfo"]["DefaultVCpus"])

    def _check_quota(self, vcpus: int) -> None:
        """Add a problem where the quota has no room; a new account's for GPUs is 0.

        Args:
            vcpus: of one instance.
        """
        needed = vcpus * self.params["count"]
        code, title = quota_of(self.params["instance_type"])
        if not code:
            return
        try:
            allowed = self.quotas.get_service_quota(ServiceCode="ec2", QuotaCode=code)["Quota"]["Value"]
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
            return  # The start does not need the permission to read the quota.
        used = running_vcpus(self.ec2, code)
        if allowed < used + needed:
            self.problems.append(
                f"The quota {title} in {self.region} is {allowed:g} vCPUs, {used} run, and"
                f" {self._instances_have(needed)}. Ask for more, and wait for AWS's approval: aws"
                f" service-quotas request-service-quota-increase --service-code ec2 --quota-code {code}"
                f" --desired-value {used + needed}"
            )

    def _instances_have(self, needed: int) -> str:
        count, name = self.params["count"], self.params["instance_type"]
        return f"{name} has {needed}" if count == 1 else f"{count} more {name} have {needed}"


def _zone(subnet: dict[str, Any]) -> str:
    return str(subnet["AvailabilityZone"])


def main() -> None:
    """Return the placement and the problems."""
    module = AnsibleAWSModule(
        argument_spec={
            "instance_type": {"type": "str", "required": True},
            "count": {"type": "int", "default": 1},
            "subnet_id": {"type": "str", "default": ""},
            "public_address": {"type": "str", "choices": ["subnet", "always", "never"], "default": "subnet"},
            "ami_parameter": {"type": "str", "required": True},
            "volume_gib": {"type": "int", "required": True},
            "images_bytes": {"type": "int", "default": 0},
            "models_bytes": {"type": "int", "default": 0},
            "accelerator": {"type": "str", "choices": ["gpu", "cpu"], "default": "cpu"},
            "engine_profile": {"type": "str", "default": ""},
            "engine_options": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    placement = Placement(module)
    subnets: list[dict[str, Any]] = []
    image: dict[str, Any] = {}
    with placement.errors_as_problems():
        subnets = placement.subnets()
    with placement.errors_as_problems():
        image = placement.image()
    with placement.errors_as_problems():
        placement.check_type(image)
    for warning in placement.warnings:
        module.warn(warning)
    module.exit_json(
        changed=False,
        subnets=[{"id": each["SubnetId"], "zone": each["AvailabilityZone"]} for each in subnets],
        vpc_id=subnets[0]["VpcId"] if subnets else "",
        image_id=image.get("ImageId", ""),
        image_name=image.get("Name", ""),
        root_device=image.get("RootDeviceName", "/dev/sda1"),
        needed_gib=placement.needed_gib,
        problems=placement.problems,
    )


if __name__ == "__main__":
    main()
