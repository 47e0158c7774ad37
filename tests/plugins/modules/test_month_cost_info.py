"""What an instance, its volumes and its address cost in the month so far."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import boto3
import botocore.exceptions
import pytest
from ansible_collections.slm.serving.plugins.modules.month_cost_info import Month

from tests.support.aws_account import mock_aws

NOW = dt.datetime(2026, 11, 11, tzinfo=dt.UTC)  # ten days, 240 hours of the month
INSTANCE = "i-0123456789abcdef0"
PRICES = {"instance_hour": 1.0, "address_hour": 0.01, "volume_gib_month": 0.1, "throughput_month": 0.04}
PARAMS = {
    "instance_id": INSTANCE,
    "running_since": "2026-11-10T22:00:00+00:00",
    "application": "slm-ft-serving",
    "public_address": True,
    "prices": PRICES,
    "month_hours": 730,
}
VOLUME = {
    "VolumeId": "vol-1",
    "VolumeType": "gp3",
    "Size": 200,
    "Throughput": 525,
    "Iops": 3000,
    "CreateTime": dt.datetime(2026, 5, 1, tzinfo=dt.UTC),
}


class Answers:
    """CloudWatch and EC2: each operation has its pages, or refuses."""

    def __init__(self, **pages: Any) -> None:
        self.pages = {
            "get_metric_data": [{"MetricDataResults": [{"Values": []}]}],
            "describe_volumes": [{"Volumes": []}],
            "describe_addresses": [{"Addresses": []}],
        } | pages
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def get_paginator(self, operation: str) -> Any:
        """Return a paginator of one operation."""

        class Paginator:
            def paginate(_, **arguments: Any) -> Any:  # noqa: N805 - the client is the outer self
                return self._answer(operation, arguments)

        return Paginator()

    def describe_addresses(self, **arguments: Any) -> Any:
        """Answer the one call that has no pages."""
        return self._answer("describe_addresses", arguments)[0]

    def _answer(self, operation: str, arguments: dict[str, Any]) -> Any:
        self.asked.append((operation, arguments))
        answer = self.pages[operation]
        if isinstance(answer, Exception):
            raise answer
        return answer


def month(answers: Answers | None = None, **params: Any) -> dict[str, Any]:
    """Return what the module tells."""
    answers = answers or Answers()
    return Month(PARAMS | params, {"ec2": answers, "cloudwatch": answers}, NOW).summary()


def costs(found: dict[str, Any]) -> dict[str, float]:
    """Return the costs by what is billed."""
    return {each["what"]: each["usd"] for each in found["costs"]}


def test_the_present_run_and_the_samples_before_it_are_the_months_hours() -> None:
    pages = [{"MetricDataResults": [{"Values": [1.0] * 30}]}, {"MetricDataResults": [{"Values": [5.0] * 6}]}]
    found = month(Answers(get_metric_data=pages))
    assert (found["month"], found["hours"]) == ("2026-11", 5.0)
    assert costs(found) == {"the instance, 5.0 h": 5.0, "a public address while it ran": 0.05}
    assert found["usd"] == 5.05


@pytest.mark.parametrize(
    ("since", "hours", "asked"),
    [
        ("2026-10-20T00:00:00+00:00", 240.0, False),
        ("2026-11-01T00:03:00+00:00", 239.95, False),
        ("2026-11-10T23:00:00", 1.0, True),
        ("2026-11-11T00:00:00+01:00", 1.0, True),
        ("", 0.0, True),
    ],
)
def test_only_what_lies_before_the_present_run_is_asked_of_cloudwatch(since: str, hours: float, asked: bool) -> None:
    answers = Answers()
    assert month(answers, running_since=since)["hours"] == hours
    assert ("get_metric_data" in dict(answers.asked)) is asked


def test_the_sample_in_which_the_present_run_began_is_not_counted_twice() -> None:
    answers = Answers()
    month(answers, running_since="2026-11-10T22:07:31+00:00")
    assert dict(answers.asked)["get_metric_data"]["EndTime"] == dt.datetime(2026, 11, 10, 22, 5, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("made", "hours"), [(VOLUME["CreateTime"], 240), (dt.datetime(2026, 11, 10, tzinfo=dt.UTC), 24)]
)
def test_a_volume_costs_by_size_and_throughput_since_it_was_made(made: dt.datetime, hours: int) -> None:
    found = month(Answers(describe_volumes=[{"Volumes": [VOLUME | {"CreateTime": made}]}]))
    assert costs(found)["200 GiB of gp3"] == round((200 * 0.1 + 400 * 0.04) * hours / 730, 2)


def test_a_volume_that_is_attached_and_tagged_is_counted_once_and_another_too() -> None:
    volumes = [{"Volumes": [VOLUME]}, {"Volumes": [VOLUME | {"VolumeId": "vol-2", "Size": 50}]}]
    answers = Answers(describe_volumes=volumes)
    assert {"200 GiB of gp3", "50 GiB of gp3"} < set(costs(month(answers)))
    assert len(month(answers)["costs"]) == 4
    asked = [
        arguments["Filters"][0]["Name"] for operation, arguments in answers.asked if operation == "describe_volumes"
    ]
    assert asked[:2] == ["attachment.instance-id", "tag:Application"]


def test_what_has_no_known_price_is_named() -> None:
    odd = [VOLUME | {"VolumeType": "io2"}, VOLUME | {"VolumeId": "vol-2", "Iops": 6000}]
    unknown = month(Answers(describe_volumes=[{"Volumes": odd}]))["unknown"]
    assert unknown == [
        "the volume vol-1: the price of io2 is not known",
        "the volume vol-2: the price of more than 3000 operations is not known",
    ]


def test_an_elastic_ip_costs_while_the_instance_is_stopped_too() -> None:
    answers = Answers(describe_addresses=[{"Addresses": [{"PublicIp": "192.0.2.1"}]}])
    assert costs(month(answers, running_since=""))["Elastic IP 192.0.2.1"] == 2.4
    assert "a public address while it ran" not in costs(month(answers))


def test_an_instance_without_an_address_pays_for_none() -> None:
    assert list(costs(month(public_address=False))) == ["the instance, 2.0 h"]


@pytest.mark.parametrize("operation", ["get_metric_data", "describe_volumes", "describe_addresses"])
def test_what_aws_refuses_to_tell_is_named_and_the_rest_is_counted(operation: str) -> None:
    refused = botocore.exceptions.ClientError({"Error": {"Code": "AccessDenied", "Message": "no right"}}, operation)
    found = month(Answers(**{operation: refused}))
    assert costs(found)["the instance, 2.0 h"] == 2.0
    assert [words.partition(": ")[2] for words in found["unknown"]] == ["AccessDenied: no right"]


@pytest.fixture
def cloudwatch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a client of an empty account."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield boto3.client("cloudwatch", region_name="us-east-1")


def test_cloudwatch_is_asked_for_the_instances_samples_of_this_month(cloudwatch: Any) -> None:
    def sample(name: str, day: int, month: int = 11) -> None:
        data = {"MetricName": "CPUUtilization", "Value": 3.0, "Dimensions": [{"Name": "InstanceId", "Value": name}]}
        moments = [dt.datetime(2026, month, day, 8, 5 * k, tzinfo=dt.UTC) for k in range(12)]
        cloudwatch.put_metric_data(Namespace="AWS/EC2", MetricData=[data | {"Timestamp": each} for each in moments])

    sample(INSTANCE, 3)
    sample(INSTANCE, 5)
    sample(INSTANCE, 31, month=10)
    sample("i-another", 4)
    client = {"cloudwatch": cloudwatch}
    assert Month(PARAMS, client, NOW).hours_before() == pytest.approx(2.0)
