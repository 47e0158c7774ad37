"""Where an instance can be started, from which image, and what does not fit."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import botocore.exceptions
import pytest
from ansible_collections.slm.serving.plugins.module_utils.disk_need import image_bytes
from ansible_collections.slm.serving.plugins.modules.instance_placement_info import Placement

from tests.support.pages import Paginated, client_with_pages
from tests.support.role_variables import defaults

# Bytes. vllm/vllm-openai, compressed: vllm-project/vllm, issue 27154 (October 2025). Llama 3.1 8B in bfloat16.
ENGINE, BASE_MODEL = 12_640_000_000, 16_060_000_000
# GiB of the snapshots of AWS's Deep Learning AMIs with one CUDA and with four.
SINGLE_CUDA, MULTI_CUDA = 35, 75
TO_THE_INTERNET = {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-1", "State": "active"}
TO_A_NAT_GATEWAY = {"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1", "State": "active"}
LOCAL = {"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "State": "active"}
INTERFACES = ("ssm", "ssmmessages", "ec2messages", "ecr.api", "ecr.dkr", "secretsmanager", "sts", "logs")


def endpoint(service: str, **more: Any) -> dict[str, Any]:
    """Return an endpoint that can be used."""
    name = f"com.amazonaws.us-east-1.{service}"
    interface = {"ServiceName": name, "VpcEndpointType": "Interface", "State": "available", "PrivateDnsEnabled": True}
    return interface | more


S3_GATEWAY = endpoint("s3", VpcEndpointType="Gateway", PrivateDnsEnabled=False, RouteTableIds=["rtb-main"])
ALL_ENDPOINTS = [*(endpoint(service) for service in INTERFACES), S3_GATEWAY]


class FakeAws(Paginated):
    """An account: zones that have the type, subnets and their ways out, an image, and the quota of GPU instances."""

    def __init__(
        self,
        *,
        zones: str = "ab",
        subnets: str = "ab",
        public: str = "abc",
        image_gib: int = SINGLE_CUDA,
        architecture: str = "x86_64",
        vcpus: int = 8,
        running: int = 0,
        route: dict[str, Any] = TO_THE_INTERNET,
        own_routes: dict[str, dict[str, Any]] | None = None,
        endpoints: list[dict[str, Any]] | None = None,
        vpcs: dict[str, str] | None = None,
    ) -> None:
        self._vpcs = vpcs or {}
        self._zones, self._subnets, self._public = zones, subnets, public
        self._image_gib, self._architecture = image_gib, architecture
        self._vcpus, self._running = vcpus, running
        self._route, self._own_routes, self._endpoints = route, own_routes or {}, endpoints or []

    def describe_instance_type_offerings(self, **_: Any) -> dict[str, Any]:
        """Answer as EC2."""
        return {"InstanceTypeOfferings": [{"Location": zone} for zone in self._zones]}

    def describe_subnets(self, Filters: list[dict[str, Any]], **_: Any) -> dict[str, Any]:  # noqa: N803
        """Answer as EC2; the subnet of the zone a is subnet-a."""
        named = [each.removeprefix("subnet-") for each in Filters[0]["Values"]]
        zones = [zone for zone in self._subnets if named == ["true"] or zone in named]
        return {
            "Subnets": [
                {
                    "SubnetId": f"subnet-{zone}",
                    "AvailabilityZone": zone,
                    "VpcId": self._vpcs.get(zone, "v"),
                    "MapPublicIpOnLaunch": zone in self._public,
                }
                for zone in zones
            ]
        }

    def describe_route_tables(self, **_: Any) -> dict[str, Any]:
        """Answer as EC2: the main table, and those of single subnets."""
        main = {"RouteTableId": "rtb-main", "Associations": [{"Main": True}], "Routes": [LOCAL, self._route]}
        own = [
            {"RouteTableId": f"rtb-{zone}", "Associations": [{"SubnetId": f"subnet-{zone}"}], "Routes": [LOCAL, route]}
            for zone, route in self._own_routes.items()
        ]
        return {"RouteTables": [main, *own]}

    def describe_vpc_endpoints(self, **_: Any) -> dict[str, Any]:
        """Answer as EC2."""
        return {"VpcEndpoints": self._endpoints}

    def get_parameters(self, Names: list[str], **_: Any) -> dict[str, Any]:  # noqa: N803
        """Answer as Systems Manager."""
        return {"Parameters": [{"Name": Names[0], "Value": "ami-1"}] if self._image_gib else []}

    def describe_images(self, **_: Any) -> dict[str, Any]:
        """Answer as EC2."""
        mapping = {"Ebs": {"VolumeSize": self._image_gib}}
        return {"Images": [{"ImageId": "ami-1", "Architecture": self._architecture, "BlockDeviceMappings": [mapping]}]}

    def get_service_quota(self, **_: Any) -> dict[str, Any]:
        """Answer as Service Quotas."""
        return {"Quota": {"Value": float(self._vcpus)}}

    def describe_instance_types(self, **_: Any) -> dict[str, Any]:
        """Answer as EC2."""
        processor = {"SupportedArchitectures": ["x86_64"]}
        gpu = {"Name": "T4", "Manufacturer": "NVIDIA", "MemoryInfo": {"SizeInMiB": 16384}}
        about = {"VCpuInfo": {"DefaultVCpus": 8}, "ProcessorInfo": processor, "GpuInfo": {"Gpus": [gpu]}}
        return {"InstanceTypes": [about]}

    def describe_instances(self, **_: Any) -> dict[str, Any]:
        """Answer as EC2 about the running instances."""
        running = {"InstanceType": "g6.2xlarge", "CpuOptions": {"CoreCount": self._running, "ThreadsPerCore": 1}}
        spot = {**running, "InstanceLifecycle": "spot"}
        other = {**running, "InstanceType": "t3.large"}
        return {"Reservations": [{"Instances": [running, spot, other]}]}


def find_placement(aws: FakeAws, subnet: str = "", **options: Any) -> tuple[list[str], Placement]:
    """Return the subnets to try, and all that was found out."""
    parameters = {
        "instance_type": "g6.2xlarge",
        "count": 1,
        "subnet_id": subnet,
        "public_address": "subnet",
        "ami_parameter": "/ami",
        "accelerator": "cpu",
        "engine_profile": "",
        "engine_options": {},
        **{name: defaults("infrastructure")[f"infrastructure_{name}"] for name in SIZES},
        **options,
    }
    module = SimpleNamespace(params=parameters, region="us-east-1", client=lambda *_, **__: aws)
    placement = Placement(module)
    answer = placement.subnets()
    placement.check_type(placement.image())
    return [each["SubnetId"] for each in answer], placement


SIZES = ("volume_gib", "images_bytes", "models_bytes")


def test_default_subnets_of_the_zones_with_the_type_are_tried_in_order() -> None:
    subnets, placement = find_placement(FakeAws(zones="cb", subnets="abc"))
    assert (subnets, placement.problems) == (["subnet-b", "subnet-c"], [])


def test_a_named_subnet_is_tried_alone() -> None:
    assert find_placement(FakeAws(), "subnet-b")[0] == ["subnet-b"]


def test_several_named_subnets_are_tried_in_their_order_and_each_has_to_do() -> None:
    subnets, placement = find_placement(FakeAws(), "subnet-b, subnet-a,")
    assert (subnets, placement.problems) == (["subnet-b", "subnet-a"], [])
    problems = find_placement(FakeAws(zones="a"), "subnet-z,subnet-b")[1].problems
    assert ["subnet-z" in problems[0], "which has no g6.2xlarge" in problems[1]] == [True, True]
    (problem,) = find_placement(FakeAws(vpcs={"b": "w"}), "subnet-a,subnet-b")[1].problems
    assert "in several VPCs, v, w" in problem


def test_the_quota_has_to_have_room_for_all_that_are_to_be_started() -> None:
    assert find_placement(FakeAws(vcpus=24), count=3)[1].problems == []
    (problem,) = find_placement(FakeAws(vcpus=16), count=3)[1].problems
    assert "3 more g6.2xlarge have 24" in problem
    assert problem.endswith("--desired-value 24")


def test_a_default_subnet_without_a_way_out_is_passed_over() -> None:
    subnets, placement = find_placement(FakeAws(own_routes={"a": LOCAL}))
    assert (subnets, placement.problems) == (["subnet-b"], [])


@pytest.mark.parametrize(
    ("aws", "subnet", "word"),
    [
        (FakeAws(zones=""), "", "us-east-1 has no g6.2xlarge"),
        (FakeAws(zones="a", subnets="b"), "", "create-default-vpc"),
        (FakeAws(), "subnet-z", "no subnet subnet-z"),
        (FakeAws(zones="a"), "subnet-b", "is in b, which has no g6.2xlarge"),
        (FakeAws(image_gib=0), "", "no public parameter /ami"),
        (FakeAws(image_gib=200), "", "infrastructure_volume_gib to 259 at least"),
        (FakeAws(architecture="arm64"), "", "is for arm64, and g6.2xlarge runs x86_64"),
        (FakeAws(vcpus=0), "", "request-service-quota-increase"),
        (FakeAws(vcpus=8, running=4), "", "--desired-value 12"),
        (FakeAws(public=""), "subnet-a", "infrastructure_public_address=always"),
        (FakeAws(own_routes={"b": LOCAL}), "subnet-b", "no route to an internet or NAT gateway"),
        (FakeAws(route={**TO_A_NAT_GATEWAY, "State": "blackhole"}), "subnet-a", "was deleted"),
    ],
)
def test_each_obstacle_is_a_problem(aws: FakeAws, subnet: str, word: str) -> None:
    (problem,) = find_placement(aws, subnet)[1].problems
    assert word in problem


@pytest.mark.parametrize(
    ("aws", "public_address"),
    [
        (FakeAws(route=TO_A_NAT_GATEWAY, public=""), "subnet"),
        (FakeAws(route=TO_A_NAT_GATEWAY), "never"),
        (FakeAws(public=""), "always"),
        (FakeAws(route=LOCAL, public="", endpoints=ALL_ENDPOINTS), "never"),
        (FakeAws(route=LOCAL, endpoints=[*ALL_ENDPOINTS[:-1], endpoint("s3")]), "never"),
    ],
)
def test_nat_gateway_public_address_and_endpoints_are_ways_out(aws: FakeAws, public_address: str) -> None:
    assert find_placement(aws, "subnet-a", public_address=public_address)[1].problems == []


@pytest.mark.parametrize(
    ("endpoints", "missing"),
    [
        (ALL_ENDPOINTS[1:], "for ssm:"),
        ([*ALL_ENDPOINTS[:-1], endpoint("s3", State="pending")], "for s3:"),
        ([*ALL_ENDPOINTS[:-1], {**S3_GATEWAY, "RouteTableIds": ["rtb-other"]}], "for s3:"),
        ([*ALL_ENDPOINTS[1:], endpoint("ssm", PrivateDnsEnabled=False)], "for ssm:"),
        ([], "for ssm, ssmmessages, ec2messages, s3, ecr.api, ecr.dkr, secretsmanager, sts, logs:"),
    ],
)
def test_endpoints_that_are_missing_or_of_no_use_are_named(endpoints: list[dict[str, Any]], missing: str) -> None:
    (problem,) = find_placement(FakeAws(route=LOCAL, endpoints=endpoints), "subnet-a")[1].problems
    assert missing in problem


def test_without_the_right_to_read_routes_the_start_goes_on_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    denied = botocore.exceptions.ClientError({"Error": {"Code": "UnauthorizedOperation"}}, "DescribeRouteTables")

    def refuse(*_: object, **__: object) -> None:
        raise denied

    monkeypatch.setattr(FakeAws, "describe_route_tables", refuse)
    subnets, placement = find_placement(FakeAws())
    assert (subnets, placement.problems) == (["subnet-a", "subnet-b"], [])
    assert "UnauthorizedOperation" in placement.warnings[0]


def test_gpu_that_fits_neither_profile_nor_model_is_a_problem_where_the_engine_computes_on_it() -> None:
    assert find_placement(FakeAws(), models_bytes=BASE_MODEL)[1].problems == []
    problems = find_placement(FakeAws(), models_bytes=BASE_MODEL, accelerator="gpu", engine_profile="quality")[
        1
    ].problems
    assert [words for words in ("quality needs 8.0", "GPU has 17.2 GB") if words not in str(problems)] == []
    assert len(problems) == 2


def test_the_default_volume_holds_two_versions_of_the_engine_and_the_model() -> None:
    twice: dict[str, Any] = {"images_bytes": 2 * ENGINE, "models_bytes": BASE_MODEL}
    _, placement = find_placement(FakeAws(image_gib=SINGLE_CUDA), **twice)
    assert placement.problems == []
    assert placement.needed_gib > SINGLE_CUDA + 2 * image_bytes(ENGINE) / 2**30


@pytest.mark.parametrize("snapshot", [SINGLE_CUDA, MULTI_CUDA])
def test_80_gib_hold_no_deployment(snapshot: int) -> None:
    (problem,) = find_placement(FakeAws(image_gib=snapshot), volume_gib=80)[1].problems
    assert f"infrastructure_volume_gib to {snapshot + 59}" in problem


def test_zones_subnets_routes_endpoints_and_images_are_read_to_the_last_page() -> None:
    own = {"RouteTableId": "rtb-b", "Associations": [{"SubnetId": "subnet-b"}], "Routes": [LOCAL]}
    main = {"RouteTableId": "rtb", "Associations": [{"Main": True}], "Routes": [LOCAL, TO_THE_INTERNET]}
    ec2 = client_with_pages(
        "ec2",
        describe_instance_type_offerings=[{"Location": zone} for zone in "abc"],
        describe_subnets=[
            {"SubnetId": f"subnet-{zone}", "AvailabilityZone": zone, "VpcId": "v", "MapPublicIpOnLaunch": zone != "c"}
            for zone in "abc"
        ],
        describe_route_tables=[main, own],
        # The only way of the subnet in the zone b; that of S3 is on the last page.
        describe_vpc_endpoints=[*ALL_ENDPOINTS[:-1], S3_GATEWAY | {"RouteTableIds": ["rtb-b"]}],
        describe_images=[{"ImageId": "ami-1"}],
    )
    ssm = SimpleNamespace(get_parameters=lambda **_: {"Parameters": [{"Value": "ami-1"}]})
    parameters = {"instance_type": "g6.2xlarge", "subnet_id": "", "public_address": "subnet", "ami_parameter": "/ami"}
    module = SimpleNamespace(
        params=parameters | dict.fromkeys(SIZES, 0) | {"volume_gib": 100},
        region="us-east-1",
        client=lambda name, **_: ssm if name == "ssm" else ec2,
    )
    placement = Placement(module)
    assert [each["SubnetId"] for each in placement.subnets()] == ["subnet-a", "subnet-b"]
    assert placement.image() == {"ImageId": "ami-1"}
    assert (placement.problems, placement.warnings) == ([], [])
