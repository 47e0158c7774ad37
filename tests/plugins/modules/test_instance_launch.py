"""Launching an instance in the first zone that has room."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import botocore.exceptions
import pytest
from ansible_collections.slm.serving.plugins.modules import instance_launch

from tests.support.pages import Paginated

SUBNETS = [{"id": f"subnet-{zone}", "zone": f"us-east-1{zone}"} for zone in "abc"]
PARAMETERS: dict[str, Any] = {
    "instance_type": "g6.2xlarge",
    "image_id": "ami-1",
    "subnets": SUBNETS,
    "security_group": "sg-1",
    "instance_profile": "profile",
    "public_address": "subnet",
    "volume": {"device": "/dev/sda1", "gib": 200, "throughput": 500, "iops": 3000},
    "tags": {"Application": "slm-ft-serving"},
    "timeout": 600,
    "count": 1,
    "zones_there": [],
}
NO_PROFILE = "Value (profile) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"


class ModuleFailedError(Exception):
    """What fail_json says."""


class FakeEc2(Paginated):
    """EC2 with an answer for each subnet: an error's code and message, or the states that the instance goes through."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers
        self.asked: list[dict[str, Any]] = []
        self._states: list[dict[str, Any]] = []

    def run_instances(self, aws_retry: bool, **request: Any) -> dict[str, Any]:
        """Answer as EC2."""
        assert aws_retry
        self.asked.append(request)
        answer = self._answers[self._zone(request)]
        if isinstance(answer, list) and isinstance(answer[0], tuple):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, tuple):
            code, message = answer
            raise botocore.exceptions.ClientError({"Error": {"Code": code, "Message": message}}, "RunInstances")
        self._states = list(answer)
        return {"Instances": [{"InstanceId": f"i-{self._zone(request)}"}]}

    def describe_instances(self, **_: Any) -> dict[str, Any]:
        """Answer as EC2; at first it does not know the instance."""
        state = self._states.pop(0) if len(self._states) > 1 else self._states[0]
        instance = {"InstanceId": "i-1", "State": {"Name": state["name"]}, "PublicIpAddress": "192.0.2.1", **state}
        return {"Reservations": [{"Instances": [instance]}] if state["name"] else []}

    @staticmethod
    def _zone(request: dict[str, Any]) -> str:
        return str(request["NetworkInterfaces"][0]["SubnetId"]).removeprefix("subnet-")

    @property
    def zones(self) -> list[str]:
        """Return the zones that were asked, in order."""
        return [self._zone(request) for request in self.asked]


RUNNING = [{"name": ""}, {"name": "pending"}, {"name": "running"}]
FULL = ("InsufficientInstanceCapacity", "We currently do not have sufficient capacity")


def launch(aws: FakeEc2, **changes: Any) -> dict[str, Any]:
    """Launch and return the module's answer. Raises ModuleFailedError."""

    def fail(msg: str, **_: object) -> None:
        raise ModuleFailedError(msg)

    module: Any = SimpleNamespace(params=PARAMETERS | changes, region="us-east-1", fail_json=fail)
    return instance_launch.launch(aws, module)


def zones_of(answer: dict[str, Any]) -> list[str]:
    """Return the zones of the instances that were launched."""
    return [each["zone"] for each in answer["instances"]]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance_launch, "POLL_SECONDS", 0.0)


def test_the_next_zone_is_tried_while_one_has_no_room() -> None:
    aws = FakeEc2(a=FULL, b=("Unsupported", "not supported in your requested Availability Zone"), c=RUNNING)
    answer = launch(aws)
    assert answer["instances"] == [{"id": "i-1", "zone": "us-east-1c", "public_address": "192.0.2.1"}]
    assert aws.zones == ["a", "b", "c"]
    assert [each.partition(":")[0] for each in answer["refused"]] == ["us-east-1a", "us-east-1b"]


def test_an_instance_that_ends_for_want_of_capacity_is_tried_in_the_next_zone() -> None:
    reason = {"Code": "Server.InsufficientInstanceCapacity", "Message": "no room"}
    aws = FakeEc2(a=[{"name": "pending"}, {"name": "terminated", "StateReason": reason}], b=RUNNING)
    assert zones_of(launch(aws)) == ["us-east-1b"]


def test_a_subnet_without_free_addresses_is_passed_over() -> None:
    assert zones_of(launch(FakeEc2(a=("InsufficientFreeAddressesInSubnet", "full"), b=RUNNING))) == ["us-east-1b"]


def test_where_no_zone_has_room_all_of_them_and_the_ways_out_are_named() -> None:
    with pytest.raises(ModuleFailedError) as failed:
        launch(FakeEc2(a=FULL, b=FULL, c=FULL))
    message = str(failed.value)
    words = ("us-east-1a", "us-east-1b", "us-east-1c", "InsufficientInstanceCapacity", "infrastructure_instance_type")
    ways = ("infrastructure_subnet_id", "AWS_REGION", "create-capacity-reservation", "later")
    assert [word for word in (*words, *ways) if word not in message] == []


@pytest.mark.parametrize(
    ("there", "count", "zones"),
    [
        ([], 3, "abc"),
        ([], 5, "abcab"),
        (["a"], 2, "bc"),
        # Where two have as few, the first in the order of the subnets.
        (["b", "c"], 2, "aa"),
        (["a", "a", "b"], 1, "c"),
        # Of a zone that none is tried in any more.
        (["z", "a"], 2, "bc"),
    ],
)
def test_each_next_instance_is_launched_in_the_zone_that_has_the_fewest(
    there: list[str], count: int, zones: str
) -> None:
    answer = launch(
        FakeEc2(a=RUNNING, b=RUNNING, c=RUNNING), count=count, zones_there=[f"us-east-1{zone}" for zone in there]
    )
    assert zones_of(answer) == [f"us-east-1{zone}" for zone in zones]


def test_a_zone_that_was_full_is_not_asked_again_while_another_has_room() -> None:
    aws = FakeEc2(a=RUNNING, b=FULL, c=RUNNING)
    answer = launch(aws, count=3)
    assert zones_of(answer) == ["us-east-1a", "us-east-1c", "us-east-1a"]
    assert aws.zones == ["a", "b", "c", "a"]
    assert len(answer["refused"]) == 1


def test_what_was_launched_before_the_zones_were_full_is_named() -> None:
    class OnlyOne(FakeEc2):
        def run_instances(self, aws_retry: bool, **request: Any) -> dict[str, Any]:
            self._answers["a"] = FULL if self.asked else RUNNING
            return super().run_instances(aws_retry, **request)

    aws = OnlyOne(b=FULL, c=FULL)
    with pytest.raises(ModuleFailedError, match=r"No further g6\.2xlarge .* i-1 runs now and is billed"):
        launch(aws, count=2)


@pytest.mark.parametrize("code", ["VcpuLimitExceeded", "InstanceLimitExceeded", "UnauthorizedOperation", "Blocked"])
def test_what_no_other_zone_changes_is_asked_once_and_explained(code: str) -> None:
    aws = FakeEc2(a=(code, "no"), b=RUNNING)
    with pytest.raises(botocore.exceptions.ClientError, match=code):
        launch(aws)
    assert aws.zones == ["a"]
    assert instance_launch.ADVICE[code]


def test_a_profile_that_is_not_known_yet_is_waited_for() -> None:
    aws = FakeEc2(a=[("InvalidParameterValue", NO_PROFILE)] * 2 + [FULL], b=RUNNING)
    assert zones_of(launch(aws)) == ["us-east-1b"]
    assert aws.zones == ["a", "a", "a", "b"]


def test_a_profile_that_stays_unknown_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance_launch, "PROFILE_SECONDS", -1.0)
    with pytest.raises(botocore.exceptions.ClientError, match="Invalid IAM Instance Profile"):
        launch(FakeEc2(a=("InvalidParameterValue", NO_PROFILE)))


def test_an_instance_that_ends_for_another_reason_is_an_error() -> None:
    reason = {"Code": "Client.InternalError", "Message": "the key may not be used"}
    with pytest.raises(RuntimeError, match="the key may not be used"):
        launch(FakeEc2(a=[{"name": "terminated", "StateReason": reason}]))


def test_an_instance_that_stays_pending_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(TimeoutError, match=r"still pending.*run the playbook again"):
        launch(FakeEc2(a=[{"name": "pending"}]), timeout=-1)


@pytest.mark.parametrize(("choice", "asked"), [("subnet", None), ("always", True), ("never", False)])
def test_a_public_address_is_asked_for_as_chosen(choice: str, asked: bool | None) -> None:
    aws = FakeEc2(a=RUNNING)
    launch(aws, public_address=choice)
    assert aws.asked[0]["NetworkInterfaces"][0].get("AssociatePublicIpAddress") == asked


def test_the_request_is_one_that_ec2_understands_and_is_sent_with_a_token_of_its_own() -> None:
    """Check it with EC2's own model."""
    import botocore.session
    from botocore.validate import ParamValidator

    aws = FakeEc2(a=FULL, b=RUNNING)
    launch(aws)
    shape = botocore.session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape
    assert shape
    assert ParamValidator().validate(aws.asked[0], shape).generate_report() == ""
    assert aws.asked[0]["ClientToken"] != aws.asked[1]["ClientToken"]
    ebs = aws.asked[0]["BlockDeviceMappings"][0]["Ebs"]
    assert (ebs["VolumeSize"], ebs["Throughput"], ebs["Encrypted"]) == (200, 500, True)
