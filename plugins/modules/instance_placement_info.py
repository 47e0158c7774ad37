"""Find a subnet and an image for an instance of a type, and check the quota.

An own module: the ready ones answer each of these questions alone, and none finds a zone that has the instance type.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_placement_info
short_description: Find a subnet and an image for an instance, and check the quota
description:
  - Changes nothing. Everything that prevents a start is returned in RV(problems).
options:
  instance_type:
    description: The instance type.
    type: str
    required: true
  subnet_id:
    description: The subnet; empty means a default subnet of a zone that has the instance type.
    type: str
    default: ""
  ami_parameter:
    description: Public parameter of Systems Manager that holds the image's id.
    type: str
    required: true
  volume_gib:
    description: Size of the root volume in GiB.
    type: int
    required: true
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
    ami_parameter: /aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id
    volume_gib: 80
  register: placement
"""

RETURN = r"""
subnet_id:
  description: The subnet; empty where none is suitable.
  returned: success
  type: str
vpc_id:
  description: The subnet's VPC.
  returned: success
  type: str
zone:
  description: The subnet's zone.
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
problems:
  description: A sentence for each thing that prevents a start.
  returned: success
  type: list
  elements: str
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

# Running On-Demand G and VT instances, counted in vCPUs: https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html
GPU_QUOTA = "L-DB2E81BA"
GPU_FAMILIES = ("g", "vt")


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

    @contextlib.contextmanager
    def errors_as_problems(self) -> Iterator[None]:
        """Add an error of AWS to the problems."""
        try:
            yield
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            self.problems.append(f"AWS does not say where an instance can be started: {error}")

    def subnet(self) -> dict[str, Any]:
        """Return the subnet to use; empty when none is suitable."""
        offerings = self.ec2.describe_instance_type_offerings(
            LocationType="availability-zone",
            Filters=[{"Name": "instance-type", "Values": [self.params["instance_type"]]}],
            aws_retry=True,
        )["InstanceTypeOfferings"]
        zones = {each["Location"] for each in offerings}
        if not zones:
            self.problems.append(
                f"{self.region} has no {self.params['instance_type']}. Take another region (AWS_REGION) or name another"
                " type with -e infrastructure_instance_type=TYPE."
            )
            return {}
        if self.params["subnet_id"]:
            return self._named_subnet(zones)
        default = [{"Name": "default-for-az", "Values": ["true"]}]
        subnets = self.ec2.describe_subnets(Filters=default, aws_retry=True)["Subnets"]
        suitable = sorted((each for each in subnets if each["AvailabilityZone"] in zones), key=_zone)
        if not suitable:
            self.problems.append(
                f"No zone that has {self.params['instance_type']} has a default subnet. Make the default VPC with"
                " `aws ec2 create-default-vpc`, or name a subnet that reaches the internet, in one of the zones"
                f" {', '.join(sorted(zones))}, with -e infrastructure_subnet_id=SUBNET."
            )
        return suitable[0] if suitable else {}

    def _named_subnet(self, zones: set[str]) -> dict[str, Any]:
        name = self.params["subnet_id"]
        # A filter: an id that does not exist is then no error.
        filters = [{"Name": "subnet-id", "Values": [name]}]
        subnets: list[dict[str, Any]] = self.ec2.describe_subnets(Filters=filters, aws_retry=True)["Subnets"]
        if not subnets:
            self.problems.append(
                f"There is no subnet {name} in {self.region}. Correct infrastructure_subnet_id, or leave it out."
            )
            return {}
        if subnets[0]["AvailabilityZone"] not in zones:
            self.problems.append(
                f"The subnet {name} is in {subnets[0]['AvailabilityZone']}, which has no"
                f" {self.params['instance_type']}. Take one in {', '.join(sorted(zones))}."
            )
        return subnets[0]

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
        images: list[dict[str, Any]] = self.ec2.describe_images(Filters=filters, aws_retry=True)["Images"]
        if not images:
            self.problems.append(f"The image {answer[0]['Value']} that {name} names cannot be found.")
            return {}
        self._check_size(images[0])
        return images[0]

    def _check_size(self, image: dict[str, Any]) -> None:
        sizes = [each["Ebs"].get("VolumeSize", 0) for each in image.get("BlockDeviceMappings", []) if "Ebs" in each]
        if sizes and max(sizes) > self.params["volume_gib"]:
            self.problems.append(
                f"The image {image['ImageId']} needs {max(sizes)} GiB: set infrastructure_volume_gib to that at least."
            )

    def check_quota(self) -> None:
        """Add a problem where the quota of vCPUs is smaller than the type; a new account's is 0."""
        if not self.params["instance_type"].startswith(GPU_FAMILIES):
            return
        try:
            allowed = self.quotas.get_service_quota(ServiceCode="ec2", QuotaCode=GPU_QUOTA)["Quota"]["Value"]
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
            return  # The start does not need the permission to read the quota.
        described = self.ec2.describe_instance_types(InstanceTypes=[self.params["instance_type"]], aws_retry=True)
        needed = described["InstanceTypes"][0]["VCpuInfo"]["DefaultVCpus"]
        if allowed < needed:
            self.problems.append(
                f"The account may run {allowed:g} vCPUs of GPU instances in {self.region}, and"
                f" {self.params['instance_type']} has {needed}. Ask for more, and wait for AWS's approval: aws"
                f" service-quotas request-service-quota-increase --service-code ec2 --quota-code {GPU_QUOTA}"
                f" --desired-value {needed}"
            )


def _zone(subnet: dict[str, Any]) -> str:
    return str(subnet["AvailabilityZone"])


def main() -> None:
    """Return the placement and the problems."""
    module = AnsibleAWSModule(
        argument_spec={
            "instance_type": {"type": "str", "required": True},
            "subnet_id": {"type": "str", "default": ""},
            "ami_parameter": {"type": "str", "required": True},
            "volume_gib": {"type": "int", "required": True},
        },
        supports_check_mode=True,
    )
    placement = Placement(module)
    subnet: dict[str, Any] = {}
    image: dict[str, Any] = {}
    with placement.errors_as_problems():
        subnet = placement.subnet()
    with placement.errors_as_problems():
        image = placement.image()
    with placement.errors_as_problems():
        placement.check_quota()
    module.exit_json(
        changed=False,
        subnet_id=subnet.get("SubnetId", ""),
        vpc_id=subnet.get("VpcId", ""),
        zone=subnet.get("AvailabilityZone", ""),
        image_id=image.get("ImageId", ""),
        image_name=image.get("Name", ""),
        root_device=image.get("RootDeviceName", "/dev/sda1"),
        problems=placement.problems,
    )


if __name__ == "__main__":
    main()
