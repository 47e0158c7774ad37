"""Where a load balancer can be, and which certificates it takes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import botocore.exceptions
import pytest
from ansible_collections.slm.serving.plugins.modules.load_balancer_placement_info import Placement

from tests.support.pages import Paginated

ARN = "arn:aws:acm:us-east-1:123456789012:certificate/12345678-1234-1234-1234-123456789012"
TO_THE_INTERNET = {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-1", "State": "active"}
TO_A_NAT_GATEWAY = {"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1", "State": "active"}


class FakeAws(Paginated):
    """EC2 and ACM: the subnets a, b and so on, each in the zone of its name, and a certificate."""

    def __init__(self, *, subnets: str = "abc", private: str = "", others: str = "", **certificate: Any) -> None:
        """Take what there is.

        Args:
            subnets: their zones.
            private: those that lead to a NAT gateway.
            others: those of another VPC.
            certificate: as ACM describes it; with `error` the code of its refusal.
        """
        self._subnets, self._private, self._others, self._certificate = subnets, private, others, certificate

    def describe_subnets(self, Filters: list[dict[str, Any]], **_: Any) -> dict[str, Any]:  # noqa: N803 # boto3's name
        """Answer as EC2."""
        named = Filters[0]["Values"]
        return {
            "Subnets": [
                {"SubnetId": f"subnet-{zone}", "AvailabilityZone": zone, "VpcId": "w" if zone in self._others else "v"}
                for zone in self._subnets
                if named == ["true"] or f"subnet-{zone}" in named
            ]
        }

    def describe_route_tables(self, **_: Any) -> dict[str, Any]:
        """Answer as EC2."""
        routes = {zone: TO_A_NAT_GATEWAY if zone in self._private else TO_THE_INTERNET for zone in self._subnets}
        return {
            "RouteTables": [
                {"RouteTableId": zone, "Associations": [{"SubnetId": f"subnet-{zone}"}], "Routes": [route]}
                for zone, route in routes.items()
            ]
        }

    def describe_certificate(self, CertificateArn: str, **_: Any) -> dict[str, Any]:  # noqa: N803 # boto3's name
        """Answer as ACM."""
        if code := self._certificate.get("error"):
            raise botocore.exceptions.ClientError({"Error": {"Code": code, "Message": "no"}}, "DescribeCertificate")
        about = {"CertificateArn": CertificateArn, "Status": "ISSUED", "DomainName": "notes.example.org"}
        return {"Certificate": about | self._certificate}


def place(aws: FakeAws, **options: Any) -> tuple[str, Placement]:
    """Return the zones of the subnets, and all that was found out."""
    parameters = {
        "subnet_ids": [],
        "zones": [],
        "vpc_ids": [],
        "scheme": "internet-facing",
        "certificate_arn": ARN,
        "domain": "",
        **options,
    }
    placement = Placement(SimpleNamespace(params=parameters, region="us-east-1", client=lambda *_, **__: aws))
    subnets = placement.subnets()
    placement.check_certificate()
    return "".join(each["zone"] for each in subnets), placement


def test_one_subnet_of_each_zone_may_be_taken_whatever_the_instances_type_has() -> None:
    zones, placement = place(FakeAws(subnets="cab"), zones=["a"], vpc_ids=["v"])
    assert (zones, placement.problems, placement.warnings) == ("abc", [], [])


def test_a_default_subnet_that_the_internet_does_not_lead_to_is_passed_over_unless_it_is_internal() -> None:
    assert place(FakeAws(private="b"))[0] == "ac"
    assert place(FakeAws(private="b"), scheme="internal")[0] == "abc"


@pytest.mark.parametrize(
    ("aws", "options", "words"),
    [
        (FakeAws(subnets="a"), {}, "subnets in two zones of one VPC, and there are some in a"),
        (FakeAws(subnets=""), {}, "some in none"),
        (FakeAws(), {"subnet_ids": ["subnet-a"]}, "subnets in two zones"),
        (FakeAws(), {"subnet_ids": ["subnet-a", "subnet-z"]}, "no subnet subnet-z"),
        (FakeAws(others="b"), {"subnet_ids": ["subnet-a", "subnet-b"]}, "several VPCs, v, w"),
        (FakeAws(), {"vpc_ids": ["w"]}, "several VPCs, v, w"),
        (
            FakeAws(private="b"),
            {"subnet_ids": ["subnet-a", "subnet-b"]},
            "infrastructure_load_balancer_scheme=internal",
        ),
        (FakeAws(), {"zones": ["c", "d"]}, "in d, where the load balancer would have no subnet"),
    ],
)
def test_subnets_that_will_not_do_are_a_problem_that_says_what_to_do(
    aws: FakeAws, options: dict[str, Any], words: str
) -> None:
    (problem,) = place(aws, **options)[1].problems
    assert words in problem
    assert "infrastructure_load_balancer_s" in problem


@pytest.mark.parametrize("domain", ["", "notes.example.org"])
def test_without_a_certificate_the_way_to_one_is_said(domain: str) -> None:
    (problem,) = place(FakeAws(), certificate_arn="", domain=domain)[1].problems
    name = domain or "NAME"
    command = f"aws acm request-certificate --region us-east-1 --validation-method DNS --domain-name {name}"
    assert command in problem
    assert "infrastructure_certificate_arn=ARN" in problem


@pytest.mark.parametrize(
    ("certificate", "options", "words"),
    [
        ({}, {"certificate_arn": ARN.replace("us-east-1", "eu-west-1")}, "no certificate of ACM in us-east-1"),
        ({}, {"certificate_arn": "arn:aws:iam::1:server-certificate/x"}, "no certificate of ACM"),
        ({"error": "ResourceNotFoundException"}, {}, "There is no certificate"),
        ({"Status": "PENDING_VALIDATION"}, {}, "is PENDING_VALIDATION"),
        ({"Status": "EXPIRED"}, {}, "is EXPIRED"),
        ({}, {"domain": "other.example.org"}, "is for notes.example.org, and clients that call other.example.org"),
        ({"DomainName": "*.example.org"}, {"domain": "a.b.example.org"}, "would refuse it"),
        ({"DomainName": "*.example.org"}, {"domain": "example.org"}, "would refuse it"),
        ({}, {"domain": "https://notes.example.org"}, "is no host name"),
        ({}, {"domain": "Notes.example.org"}, "is no host name"),
    ],
)
def test_a_certificate_that_listener_or_clients_refuse_is_a_problem(
    certificate: dict[str, Any], options: dict[str, Any], words: str
) -> None:
    (problem,) = place(FakeAws(**certificate), **options)[1].problems
    assert words in problem


@pytest.mark.parametrize("names", [{}, {"DomainName": "*.example.org"}, {"SubjectAlternativeNames": ["*.example.org"]}])
def test_a_certificate_with_the_domain_will_do(names: dict[str, Any]) -> None:
    assert place(FakeAws(**names), domain="notes.example.org")[1].problems == []


def test_a_certificate_that_may_not_be_looked_at_is_a_warning() -> None:
    placement = place(FakeAws(error="AccessDeniedException"))[1]
    assert placement.problems == []
    assert "could not be checked" in placement.warnings[0]
