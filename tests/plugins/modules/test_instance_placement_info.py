"""Where an instance can be started, and from which image."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.modules.instance_placement_info import Placement


class FakeAws:
    """An account: zones that have the type, subnets, an image, and the quota of GPU instances."""

    def __init__(self, *, zones: str = "ab", subnets: str = "ab", image_gib: int = 35, vcpus: int = 8) -> None:
        self._zones, self._subnets, self._image_gib, self._vcpus = zones, subnets, image_gib, vcpus

    def describe_instance_type_offerings(self, **_: Any) -> dict[str, Any]:
        """Answer as EC2."""
        return {"InstanceTypeOfferings": [{"Location": zone} for zone in self._zones]}

    def describe_subnets(self, Filters: list[dict[str, Any]], **_: Any) -> dict[str, Any]:  # noqa: N803
        """Answer as EC2; the subnet of the zone a is subnet-a."""
        named = Filters[0]["Values"][0].removeprefix("subnet-")
        zones = [zone for zone in self._subnets if named in ("true", zone)]
        return {"Subnets": [{"SubnetId": f"subnet-{zone}", "AvailabilityZone": zone, "VpcId": "v"} for zone in zones]}

    def get_parameters(self, Names: list[str], **_: Any) -> dict[str, Any]:  # noqa: N803
        """Answer as Systems Manager."""
        return {"Parameters": [{"Name": Names[0], "Value": "ami-1"}] if self._image_gib else []}

    def describe_images(self, **_: Any) -> dict[str, Any]:
        """Answer as EC2."""
        mapping = {"Ebs": {"VolumeSize": self._image_gib}}
        return {"Images": [{"ImageId": "ami-1", "BlockDeviceMappings": [mapping]}]}

    def get_service_quota(self, **_: Any) -> dict[str, Any]:
        """Answer as Service Quotas."""
        return {"Quota": {"Value": float(self._vcpus)}}

    def describe_instance_types(self, **_: Any) -> dict[str, Any]:
        """Answer as EC2."""
        return {"InstanceTypes": [{"VCpuInfo": {"DefaultVCpus": 8}}]}


def find_placement(aws: FakeAws, subnet: str = "") -> tuple[str, list[str]]:
    """Return the subnet and the problems."""
    parameters = {"instance_type": "g6.2xlarge", "subnet_id": subnet, "ami_parameter": "/ami", "volume_gib": 80}
    module = SimpleNamespace(params=parameters, region="us-east-1", client=lambda *_, **__: aws)
    placement = Placement(module)
    answer = placement.subnet()
    placement.image()
    placement.check_quota()
    return answer.get("SubnetId", ""), placement.problems


def test_default_subnet_of_a_zone_with_the_type_is_chosen() -> None:
    assert find_placement(FakeAws(zones="bc", subnets="abc")) == ("subnet-b", [])


@pytest.mark.parametrize(
    ("aws", "subnet", "word"),
    [
        (FakeAws(zones=""), "", "us-east-1 has no g6.2xlarge"),
        (FakeAws(zones="a", subnets="b"), "", "create-default-vpc"),
        (FakeAws(), "subnet-z", "no subnet subnet-z"),
        (FakeAws(zones="a"), "subnet-b", "is in b, which has no g6.2xlarge"),
        (FakeAws(image_gib=0), "", "no public parameter /ami"),
        (FakeAws(image_gib=100), "", "needs 100 GiB"),
        (FakeAws(vcpus=0), "", "request-service-quota-increase"),
    ],
)
def test_each_obstacle_is_a_problem(aws: FakeAws, subnet: str, word: str) -> None:
    (problem,) = find_placement(aws, subnet)[1]
    assert word in problem
