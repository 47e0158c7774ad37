"""What the account has: read to the last page, and from answers that have no more than AWS always sends."""

from __future__ import annotations

from typing import Any

from ansible_collections.slm.serving.plugins.modules import instance_launch, instance_profile_association
from ansible_collections.slm.serving.plugins.modules.infrastructure_info import Account

from tests.support.pages import client_with_pages

PARAMETERS = {
    "application": "app",
    "security_group": "app-gateway",
    "parameter_path": "/app",
    "instance_id": "",
    "tags": {"Application": "app"},
}


def account(**clients: Any) -> Account:
    """Return an account with these clients."""
    made = Account.__new__(Account)
    made.params, made.clients = PARAMETERS, clients
    return made


def names(things: list[dict[str, Any]]) -> list[str]:
    """Return the things' names."""
    return [each["name"] for each in things]


def test_instances_and_security_groups_are_read_to_the_last_page() -> None:
    instances = [
        {"Instances": [{"InstanceId": f"i-{number}", "InstanceType": "g6.2xlarge", "State": {"Name": "running"}}]}
        for number in range(3)
    ]
    groups = [
        {"GroupName": "app-gateway", "GroupId": f"sg-{number}", "VpcId": "vpc-1", "IpPermissions": []}
        for number in range(3)
    ]
    ours = account(ec2=client_with_pages("ec2", describe_instances=instances, describe_security_groups=groups))
    assert names(ours.instances()) == ["i-0", "i-1", "i-2"]
    assert [each["id"] for each in ours.security_groups("security group", "app-gateway")] == ["sg-0", "sg-1", "sg-2"]


def test_the_oldest_instance_is_the_first_in_whatever_order_ec2_answers() -> None:
    times = {"i-2": "2026-11-01", "i-0": "2026-11-03", "i-1": "2026-11-03"}
    instances = [
        {"Instances": [{"InstanceId": name, "InstanceType": "x", "State": {"Name": "running"}, "LaunchTime": time}]}
        for name, time in times.items()
    ]
    found = account(ec2=client_with_pages("ec2", describe_instances=instances)).instances()
    assert names(found) == ["i-2", "i-0", "i-1"]


BALANCER = {"name": "app", "target_group": "app-gateway", "security_group": "app-balancer", "only_with_its_group": True}


def test_a_load_balancer_is_asked_for_only_where_there_is_its_group() -> None:
    """Who never had one need not have the rights for it."""
    ours = account(ec2=client_with_pages("ec2", describe_security_groups=[]), elbv2=None)
    ours.params = PARAMETERS | {"load_balancer": BALANCER}
    assert ours.balanced() == []


def test_parameters_are_read_to_the_last_page() -> None:
    parameters = [{"Name": f"/app/{number}"} for number in range(3)]
    ours = account(ssm=client_with_pages("ssm", describe_parameters=parameters))
    assert names(ours.parameters()) == ["/app/0", "/app/1", "/app/2"]


def test_log_group_behind_others_of_its_prefix_is_found() -> None:
    groups = [{"logGroupName": name, "arn": f"arn:{name}:*"} for name in ("/app/a", "/app")]
    logs = client_with_pages("logs", describe_log_groups=groups)
    logs.list_tags_for_resource = lambda resourceArn, **_: {"tags": {"Name": resourceArn}}  # noqa: N803 # boto3's name
    (group,) = account(logs=logs).log_group("/app")
    assert group["tags"] == {"Name": "arn:/app"}


def test_profile_of_an_instance_is_found_behind_an_empty_page() -> None:
    there = {"AssociationId": "iip-1", "IamInstanceProfile": {"Arn": "arn:aws:iam::1:instance-profile/other"}}
    ec2 = client_with_pages("ec2", describe_iam_instance_profile_associations=[there])
    assert instance_profile_association.association_of(ec2, "i-1") == there
    none = client_with_pages("ec2", describe_iam_instance_profile_associations=[])
    assert instance_profile_association.association_of(none, "i-1") is None


def test_launched_instance_is_found_behind_an_empty_page() -> None:
    ec2 = client_with_pages("ec2", describe_instances=[{"Instances": [{"InstanceId": "i-1"}]}])
    assert instance_launch.Launch(ec2, {})._describe("i-1") == {"InstanceId": "i-1"}
