#!/usr/bin/python
"""Find where an instance can be started, and from what: subnet, image, and whether the account may have one at all.

An own module: the ready ones answer each of these questions alone, and none asks for a zone that has the instance type.
"""

from __future__ import annotations

import contextlib

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

DOCUMENTATION = r"""
module: instance_placement_info
short_description: Where an instance can be started, and from what
description:
  - Changes nothing. What stands in the way comes back as C(problems), all of it at once.
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
    description: Public parameter that names the image.
    type: str
    required: true
  volume_gib:
    description: Size of the root volume.
    type: int
    required: true
"""

RETURN = r"""
subnet_id:
  description: The subnet.
  type: str
vpc_id:
  description: The subnet's VPC.
  type: str
zone:
  description: The subnet's zone.
  type: str
image_id:
  description: The image.
  type: str
image_name:
  description: The image's name.
  type: str
root_device:
  description: Name of the image's root device.
  type: str
problems:
  description: What stands in the way, a sentence each.
  type: list
"""

# Running On-Demand G and VT instances, counted in vCPUs: https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html
GPU_QUOTA = "L-DB2E81BA"
GPU_FAMILIES = ("g", "vt")


class Placement:
    """The questions; what cannot be answered becomes a problem."""

    def __init__(self, module: AnsibleAWSModule) -> None:
        """Take the module's parameters and make the clients."""
        retry = AWSRetry.jittered_backoff(retries=5)
        self.wanted = module.params
        self.region = module.region
        self.ec2, self.ssm = (module.client(name, retry_decorator=retry) for name in ("ec2", "ssm"))
        # Not retried: where it cannot be asked, EC2 itself says so later.
        self.quotas = module.client("service-quotas")
        self.problems: list[str] = []

    def subnet(self) -> dict:
        """Return the subnet to use; empty when there is none."""
        offered = self.ec2.describe_instance_type_offerings(
            LocationType="availability-zone",
            Filters=[{"Name": "instance-type", "Values": [self.wanted["instance_type"]]}],
            aws_retry=True,
        )["InstanceTypeOfferings"]
        zones = {each["Location"] for each in offered}
        if not zones:
            self.problems.append(
                f"{self.region} has no {self.wanted['instance_type']}. Take another region (AWS_REGION) or name another"
                " type with -e infrastructure_instance_type=TYPE."
            )
            return {}
        if self.wanted["subnet_id"]:
            return self._named_subnet(zones)
        default = [{"Name": "default-for-az", "Values": ["true"]}]
        found = self.ec2.describe_subnets(Filters=default, aws_retry=True)["Subnets"]
        suitable = sorted((each for each in found if each["AvailabilityZone"] in zones), key=_by_zone)
        if not suitable:
            self.problems.append(
                f"No zone that has {self.wanted['instance_type']} has a default subnet. Make the default VPC with"
                " `aws ec2 create-default-vpc`, or name a subnet that reaches the internet, in one of the zones"
                f" {', '.join(sorted(zones))}, with -e infrastructure_subnet_id=SUBNET."
            )
        return suitable[0] if suitable else {}

    def _named_subnet(self, zones: set) -> dict:
        name = self.wanted["subnet_id"]
        # As a filter: a name that does not exist is then no error.
        chosen = [{"Name": "subnet-id", "Values": [name]}]
        found = self.ec2.describe_subnets(Filters=chosen, aws_retry=True)["Subnets"]
        if not found:
            self.problems.append(
                f"There is no subnet {name} in {self.region}. Correct infrastructure_subnet_id, or leave it out."
            )
            return {}
        if found[0]["AvailabilityZone"] not in zones:
            self.problems.append(
                f"The subnet {name} is in {found[0]['AvailabilityZone']}, which has no {self.wanted['instance_type']}."
                f" Take one in {', '.join(sorted(zones))}."
            )
        return found[0]

    def image(self) -> dict:
        """Return the image that the public parameter names; empty when there is none."""
        name = self.wanted["ami_parameter"]
        answer = self.ssm.get_parameters(Names=[name], aws_retry=True)["Parameters"]
        if not answer:
            self.problems.append(
                f"{self.region} has no public parameter {name}. Name another with -e infrastructure_ami_parameter=NAME."
            )
            return {}
        chosen = [{"Name": "image-id", "Values": [answer[0]["Value"]]}]
        found = self.ec2.describe_images(Filters=chosen, aws_retry=True)["Images"]
        if not found:
            self.problems.append(f"The image {answer[0]['Value']} that {name} names is not to be seen.")
            return {}
        self._check_size(found[0])
        return found[0]

    def _check_size(self, image: dict) -> None:
        sizes = [each["Ebs"].get("VolumeSize", 0) for each in image.get("BlockDeviceMappings", []) if "Ebs" in each]
        if sizes and max(sizes) > self.wanted["volume_gib"]:
            self.problems.append(
                f"The image {image['ImageId']} needs {max(sizes)} GiB: set infrastructure_volume_gib to that at least."
            )

    def check_quota(self) -> None:
        """Report a quota of vCPUs that is smaller than the type; a new account's is 0."""
        if not self.wanted["instance_type"].startswith(GPU_FAMILIES):
            return
        try:
            allowed = self.quotas.get_service_quota(ServiceCode="ec2", QuotaCode=GPU_QUOTA)["Quota"]["Value"]
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
            return  # No right to ask, which is no obstacle.
        described = self.ec2.describe_instance_types(InstanceTypes=[self.wanted["instance_type"]], aws_retry=True)
        needed = described["InstanceTypes"][0]["VCpuInfo"]["DefaultVCpus"]
        if allowed < needed:
            self.problems.append(
                f"The account may run {allowed:g} vCPUs of GPU instances in {self.region}, and"
                f" {self.wanted['instance_type']} has {needed}. Ask for more, and wait for AWS's consent: aws"
                f" service-quotas request-service-quota-increase --service-code ec2 --quota-code {GPU_QUOTA}"
                f" --desired-value {needed}"
            )


def _by_zone(subnet: dict) -> str:
    return subnet["AvailabilityZone"]


def main() -> None:
    """Find and report."""
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
    subnet, image = {}, {}
    for question in (placement.subnet, placement.image, placement.check_quota):
        try:
            answer = question()
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            placement.problems.append(f"AWS does not tell where an instance can be started: {error}")
            continue
        subnet = answer if question == placement.subnet else subnet
        image = answer if question == placement.image else image
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
