"""The target group, made, corrected and removed in an account of moto's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import boto3
import pytest
from ansible_collections.slm.serving.plugins.modules.target_group import Group, UnchangeableError

from tests.support.aws_account import mock_aws

OURS = {"Application": "slm-ft-serving"}
CHECK = {"path": "/health", "codes": "200", "interval": 10, "timeout": 5, "healthy": 2, "unhealthy": 2}


class Client:
    """A client of Elastic Load Balancing, as AnsibleAWSModule wraps it: its calls take `aws_retry`."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return partial(self._call, name)

    def _call(self, name: str, aws_retry: bool = False, **arguments: Any) -> Any:
        return getattr(self._client, name)(**arguments)


class Account:
    """Two instances of an account, and a target group of a name that no other test has."""

    def __init__(self, elb: Client, vpc: str, name: str) -> None:
        self.elb, self.vpc, self.name = elb, vpc, name
        self.first, self.second = "i-0123456789abcdef0", "i-0123456789abcdef1"

    def group(self, **changes: Any) -> Group:
        """Return the group with the module's parameters."""
        params = {
            "name": self.name,
            "vpc_id": self.vpc,
            "port": 8080,
            "health_check": CHECK,
            "attributes": {"deregistration_delay.timeout_seconds": 120},
            "instances": [],
            "instances_of_a_new_group": [],
            "tags": OURS,
        }
        return Group(self.elb, params | changes)

    def present(self, **changes: Any) -> list[str]:
        """Have the group there; return what differed."""
        group = self.group(**changes)
        group.check_what_stays()
        differences = group.differences()
        if differences:
            group.correct()
        return differences

    def registered(self) -> set[str]:
        """Return the instances of the group."""
        answer = self.elb.describe_target_health(TargetGroupArn=self.group().arn)
        return {each["Target"]["Id"] for each in answer["TargetHealthDescriptions"]}


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[tuple[Client, str]]:
    """Return a client and the VPC of an account: to make one costs more than all the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
        with mock_aws():
            vpc = boto3.client("ec2", region_name="us-east-1").describe_vpcs()["Vpcs"][0]["VpcId"]
            yield Client(boto3.client("elbv2", region_name="us-east-1")), str(vpc)


@pytest.fixture
def account(elsewhere: tuple[Client, str], request: pytest.FixtureRequest) -> Account:
    """Return an account without a target group of the test's name."""
    return Account(*elsewhere, hashlib.sha256(request.node.name.encode()).hexdigest()[:32])


def test_a_group_is_made_once_with_its_tags_and_what_was_there_before_it(account: Account) -> None:
    given = {"instances": [account.second], "instances_of_a_new_group": [account.first]}
    assert account.present(**given) == ["group", "targets"]
    assert account.registered() == {account.first, account.second}
    about = account.group().about
    assert (about["Protocol"], about["Port"], about["TargetType"]) == ("HTTP", 8080, "instance")
    assert (about["HealthCheckPath"], about["Matcher"]["HttpCode"]) == ("/health", "200")
    assert account.group().current()["tags"] == OURS
    assert account.present(**given) == []


def test_only_what_differs_is_corrected(account: Account) -> None:
    account.present()
    changed = {"health_check": CHECK | {"path": "/live"}, "attributes": {"stickiness.enabled": "false"}}
    assert account.present(**changed) == ["health check"]
    assert account.present(attributes={"deregistration_delay.timeout_seconds": 90}, health_check=CHECK) == [
        "health check",
        "attributes",
    ]
    assert account.present(tags=OURS | {"more": "x"}) == ["attributes", "tags"]
    assert account.present() == []


def test_what_was_taken_out_is_put_in_again_only_by_its_name(account: Account) -> None:
    account.present(instances=[account.first, account.second])
    account.elb.deregister_targets(TargetGroupArn=account.group().arn, Targets=[{"Id": account.first}])
    assert account.present(instances_of_a_new_group=[account.first, account.second]) == []
    assert account.registered() == {account.second}
    assert account.present(instances=[account.first]) == ["targets"]
    assert account.registered() == {account.first, account.second}


@pytest.mark.parametrize("change", [{"port": 9090}, {"vpc_id": "vpc-0123456789abcdef0"}])
def test_what_aws_does_not_change_is_an_error_that_says_what_to_do(account: Account, change: dict[str, Any]) -> None:
    account.present()
    with pytest.raises(UnchangeableError, match=r"(Port|VpcId) is .* Give what it has; or remove"):
        account.present(**change)


def test_a_group_is_removed(account: Account) -> None:
    account.present()
    account.group().remove()
    assert account.group().about == {}
