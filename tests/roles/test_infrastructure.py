"""What provisioning finds out before it makes anything: networks, placement, quota, price, differences."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.filter import instance_differences, network_problems
from ansible_collections.slm.serving.plugins.modules import instance_placement_info, instance_price_info

from tests.local_region.names import REPOSITORY_ROOT
from tests.support.rendering import value
from tests.support.role_variables import ROLES


def test_named_networks_are_no_problem() -> None:
    assert (
        network_problems.network_problems(["10.0.0.0/8", "2001:db8::/32", "198.51.100.7/32"], allow_everyone=False)
        == []
    )


@pytest.mark.parametrize(
    ("network", "word"),
    [
        ("0.0.0.0/0", "whole internet"),
        ("::/0", "whole internet"),
        ("10.0.0.1/8", "host bits"),
        ("everyone", "no network"),
        ("10.0.0.1", "write 10.0.0.1/32"),
    ],
)
def test_network_that_is_a_likely_mistake_is_refused(network: str, word: str) -> None:
    (problem,) = network_problems.network_problems([network], allow_everyone=False)
    assert word in problem


def test_everyone_may_call_when_the_operator_asks_for_it() -> None:
    assert network_problems.network_problems(["0.0.0.0/0", "::/0"], allow_everyone=True) == []


def test_nobody_may_call_is_a_problem() -> None:
    (problem,) = network_problems.network_problems([], allow_everyone=False)
    assert "-e infrastructure_gateway_cidrs=" in problem


WANTED = {"type": "g6.2xlarge", "volume_gib": 80, "security_group": "gateway"}
AS_WANTED = {
    "type": "g6.2xlarge",
    "metadata_tokens": "required",
    "key_pair": "",
    "security_groups": ["gateway"],
    "volumes": [{"size": 80, "volume_type": "gp3", "encrypted": True}],
}


def test_instance_with_the_required_properties_has_no_differences() -> None:
    assert instance_differences.instance_differences(AS_WANTED, WANTED) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"type": "t3.large"}, "t3.large"),
        ({"metadata_tokens": "optional"}, "IMDSv1"),
        ({"key_pair": "k"}, "SSH"),
        ({"security_groups": ["default"]}, "default"),
        ({"volumes": [{"size": 8, "volume_type": "gp3", "encrypted": True}]}, "8 GiB"),
        ({"volumes": [{"size": 80, "volume_type": "gp3", "encrypted": False}]}, "not encrypted"),
        ({"volumes": [{"size": 80, "volume_type": "gp2", "encrypted": True}]}, "gp2"),
    ],
)
def test_each_difference_of_an_instance_is_reported(change: dict[str, Any], word: str) -> None:
    (difference,) = instance_differences.instance_differences(AS_WANTED | change, WANTED)
    assert word in difference


FALLBACK = {
    "region": "us-east-1",
    "instance_type": "g6.2xlarge",
    "instance_hour": 1.5,
    "volume_gib_month": 0.5,
    "source": "somewhere",
}


class FakePriceList:
    """Answers GetProducts with the prices that it was given, whatever is asked."""

    def __init__(self, *prices: str) -> None:
        terms = [{"priceDimensions": {"d": {"pricePerUnit": {"USD": price}}}} for price in prices]
        self._products = [json.dumps({"terms": {"OnDemand": {"t": term}}}) for term in terms]

    def get_products(self, **_: Any) -> dict[str, Any]:
        """As the client's."""
        return {"PriceList": self._products}


def test_the_price_lists_one_price_is_taken() -> None:
    assert instance_price_info.listed(FakePriceList("0.25"), "us-east-1", "g6.2xlarge")["instance_hour"] == 0.25


@pytest.mark.parametrize("prices", [(), ("1", "2")])
def test_no_price_is_made_up_where_the_list_has_not_exactly_one(prices: tuple[str, ...]) -> None:
    with pytest.raises(LookupError):
        instance_price_info.listed(FakePriceList(*prices), "us-east-1", "g6.2xlarge")


def test_the_fallback_is_for_its_own_region_and_type_only() -> None:
    assert instance_price_info.fallen_back(FALLBACK, "us-east-1", "g6.2xlarge")["instance_hour"] == 1.5
    assert instance_price_info.fallen_back(FALLBACK, "eu-west-1", "g6.2xlarge")["known"] is False
    assert instance_price_info.fallen_back(FALLBACK, "us-east-1", "g6.xlarge")["known"] is False


class FakeAws:
    """Answers what a placement asks: zones that have the type, subnets, an image, and the quota of GPU instances."""

    def __init__(self, *, zones: str = "ab", subnets: str = "ab", image_gib: int = 35, vcpus: int = 8) -> None:
        self._zones, self._subnets, self._image_gib, self._vcpus = zones, subnets, image_gib, vcpus

    def describe_instance_type_offerings(self, **_: Any) -> dict[str, Any]:
        """As EC2."""
        return {"InstanceTypeOfferings": [{"Location": zone} for zone in self._zones]}

    def describe_subnets(self, Filters: list[dict[str, Any]], **_: Any) -> dict[str, Any]:  # noqa: N803
        """As EC2; the subnet of the zone a is subnet-a."""
        named = Filters[0]["Values"][0].removeprefix("subnet-")
        zones = [zone for zone in self._subnets if named in ("true", zone)]
        return {"Subnets": [{"SubnetId": f"subnet-{zone}", "AvailabilityZone": zone, "VpcId": "v"} for zone in zones]}

    def get_parameters(self, Names: list[str], **_: Any) -> dict[str, Any]:  # noqa: N803
        """As Systems Manager."""
        return {"Parameters": [{"Name": Names[0], "Value": "ami-1"}] if self._image_gib else []}

    def describe_images(self, **_: Any) -> dict[str, Any]:
        """As EC2."""
        mapping = {"Ebs": {"VolumeSize": self._image_gib}}
        return {"Images": [{"ImageId": "ami-1", "BlockDeviceMappings": [mapping]}]}

    def get_service_quota(self, **_: Any) -> dict[str, Any]:
        """As Service Quotas."""
        return {"Quota": {"Value": float(self._vcpus)}}

    def describe_instance_types(self, **_: Any) -> dict[str, Any]:
        """As EC2."""
        return {"InstanceTypes": [{"VCpuInfo": {"DefaultVCpus": 8}}]}


def placed(aws: FakeAws, subnet: str = "") -> tuple[str, list[str]]:
    """Return the subnet that is found, and the problems."""
    parameters = {"instance_type": "g6.2xlarge", "subnet_id": subnet, "ami_parameter": "/ami", "volume_gib": 80}
    module = SimpleNamespace(params=parameters, region="us-east-1", client=lambda *_, **__: aws)
    placement = instance_placement_info.Placement(module)
    found = placement.subnet()
    placement.image()
    placement.check_quota()
    return found.get("SubnetId", ""), placement.problems


def test_a_default_subnet_of_a_zone_that_has_the_type_is_taken() -> None:
    assert placed(FakeAws(zones="bc", subnets="abc")) == ("subnet-b", [])


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
def test_obstacles_to_an_instance_are_reported(aws: FakeAws, subnet: str, word: str) -> None:
    (problem,) = placed(aws, subnet)[1]
    assert word in problem


def kept_and_removed(**variables: Any) -> tuple[set[str], set[str]]:
    """Return what teardown keeps and removes, of two buckets and a repository that hold something, and a role."""
    things: list[dict[str, Any]] = [
        {"kind": "bucket", "name": "transfer", "holds_data": True},
        {"kind": "bucket", "name": "models", "holds_data": True},
        {"kind": "repository", "name": "engine", "holds_data": True},
        {"kind": "role", "name": "role"},
        {"kind": "bucket", "name": "theirs", "holds_data": True, "ours": False},
    ]
    looked = {"things": [{"ours": True, "key": f"{each['kind']} {each['name']}", **each} for each in things]}
    known = {
        "infrastructure_region": "us-east-1",
        "infrastructure_account": "1",
        "infrastructure_settings": {"s3/transfer-bucket": "transfer", "s3/models-bucket": "models"},
        "_infrastructure_looked": looked,
        **variables,
    }
    kept, removed = (value("infrastructure", f"_infrastructure_{name}", known) for name in ("kept", "removal"))
    return {each["name"] for each in kept}, {each["name"] for each in removed}


def test_data_is_kept_and_leftovers_of_a_transfer_are_not() -> None:
    assert kept_and_removed() == ({"models", "engine"}, {"transfer", "role"})


def test_data_goes_when_it_is_named() -> None:
    assert kept_and_removed(infrastructure_delete_data=["images"]) == ({"models"}, {"transfer", "role", "engine"})


def test_models_in_the_bucket_of_the_transfers_are_kept() -> None:
    kept, _ = kept_and_removed(infrastructure_models_bucket="transfer")
    assert "transfer" in kept


def test_teardown_knows_every_parameter_that_other_roles_write() -> None:
    """The tasks that put one, and the names that they put it under unless told otherwise."""
    tasks = {
        path.parents[1].name
        for path in ROLES.glob("*/tasks/*.yml")
        if "ssm_parameter:" in path.read_text(encoding="utf-8")
    }
    assert tasks == {"adapter_gate", "finetune"}
    inventory = (REPOSITORY_ROOT / "inventory/group_vars/all.yml").read_text(encoding="utf-8")
    (serving,) = re.findall(r'adapter_gate_parameter: "{{ stack_parameter_path }}/(.+)"', inventory)
    candidate = value("finetune", "finetune_parameter", {}).removeprefix("/slm-ft-serving/")
    assert value("infrastructure", "_infrastructure_records", {}) == [serving, candidate]
