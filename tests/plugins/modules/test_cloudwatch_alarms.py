"""Alarms and dashboard in an account of moto's: made once, corrected, removed, and nothing in check mode."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from ansible_collections.slm.serving.plugins.filter.cloudwatch import cloudwatch_alarms, cloudwatch_dashboard
from ansible_collections.slm.serving.plugins.modules import infrastructure_info

from tests.plugins.filter.test_cloudwatch import ALARM_ARN, INSTANCE
from tests.plugins.modules.test_session_document import Client
from tests.plugins.run import run_module
from tests.support.aws_account import mock_aws

REGION = "us-east-1"
TAGS = {"Application": "slm-ft-serving", "ManagedBy": "provision.yml"}
NAME = "slm-ft-serving"
TOPIC = "arn:aws:sns:us-east-1:123456789012:alarms"
COMMON = {"region": REGION, "access_key": "x", "secret_key": "x"}


@pytest.fixture
def cloudwatch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Yield a client of an account with nothing in it."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield boto3.client("cloudwatch", region_name=REGION)


def alarms(check: bool = False, absent: tuple[str, ...] = (), **changes: Any) -> dict[str, Any]:
    """Have the alarms there, and return the module's answer."""
    wanted = cloudwatch_alarms(INSTANCE | changes)
    given = {"alarms": [each for each in wanted if each["AlarmName"] not in absent], "absent": list(absent)}
    return run_module("cloudwatch_alarms", {**COMMON, **given, "tags": TAGS, "_ansible_check_mode": check})


def names(cloudwatch: Any) -> set[str]:
    """Return the names of the alarms that are there."""
    return {each["AlarmName"] for each in cloudwatch.describe_alarms()["MetricAlarms"]}


def test_alarms_are_made_once_and_corrected(cloudwatch: Any) -> None:
    assert alarms(check=True)["changed"]
    assert names(cloudwatch) == set()
    made = alarms()
    assert names(cloudwatch) == set(made["put"]) == {each["AlarmName"] for each in cloudwatch_alarms(INSTANCE)}
    again = alarms()
    assert (again["changed"], again["put"]) == (False, [])
    # Another instance is in those alone that read a metric of EC2.
    for ids in (["i-11111111111111111"], ["i-11111111111111111", "i-22222222222222222"], ["i-11111111111111111"]):
        moved = alarms(instance_ids=ids)
        assert moved["put"] == [f"{NAME}-{each}" for each in ("InstanceDown", "MetricsMissing", "BalancerFailing")]
    cloudwatch.put_metric_alarm(**(cloudwatch_alarms(INSTANCE)[1] | {"Threshold": 5.0}))
    assert "slm-ft-serving-GatewayDown" in alarms()["put"]


def test_alarms_that_are_no_longer_wanted_are_removed(cloudwatch: Any) -> None:
    alarms()
    gone = ("slm-ft-serving-NoTraffic", "slm-ft-serving-NeverThere")
    assert alarms(check=True, absent=gone)["removed"] == ["slm-ft-serving-NoTraffic"]
    assert "slm-ft-serving-NoTraffic" in names(cloudwatch)
    assert alarms(absent=gone)["removed"] == ["slm-ft-serving-NoTraffic"]
    assert "slm-ft-serving-NoTraffic" not in names(cloudwatch)


def dashboard(state: str = "present", check: bool = False, **changes: Any) -> dict[str, Any]:
    """Have the dashboard there or not, and return the module's answer."""
    body = {"body": cloudwatch_dashboard(INSTANCE | changes, ALARM_ARN)} if state == "present" else {}
    given = {**COMMON, "name": NAME, "state": state, "_ansible_check_mode": check}
    return run_module("cloudwatch_dashboard", given | body)


def test_a_dashboard_is_made_once_corrected_and_removed(cloudwatch: Any) -> None:
    assert dashboard(check=True)["changed"]
    assert cloudwatch.list_dashboards()["DashboardEntries"] == []
    assert dashboard()["changed"]
    assert not dashboard()["changed"]
    assert dashboard(instance_ids=["i-11111111111111111"])["changed"]
    assert "i-11111111111111111" in cloudwatch.get_dashboard(DashboardName=NAME)["DashboardBody"]
    assert dashboard("absent", check=True)["changed"]
    assert dashboard("absent")["changed"]
    assert not dashboard("absent")["changed"]


def account(**names: str) -> Any:
    """Return the questions about an account's monitoring."""
    found = infrastructure_info.Account.__new__(infrastructure_info.Account)
    found.clients = {
        "cloudwatch": Client(boto3.client("cloudwatch", region_name=REGION)),
        "sns": Client(boto3.client("sns", region_name=REGION)),
    }
    found.params = {"tags": TAGS, **names}
    return found


def test_what_provisioning_made_is_known_by_tags_and_words_and_what_it_did_not_is_foreign(cloudwatch: Any) -> None:
    asked = account(topic=TOPIC, alarm_prefix=f"{NAME}-", dashboard=NAME, dashboard_mark="Made by provision.yml")
    asked._every = lambda _, operation, **request: getattr(cloudwatch, operation)(**request)
    assert (asked.topic(), asked.alarms(), asked.dashboard()) == ([], [], [])
    alarms()
    dashboard()
    sns = boto3.client("sns", region_name=REGION)
    topic = sns.create_topic(Name="alarms", Tags=[{"Key": key, "Value": value} for key, value in TAGS.items()])
    theirs = cloudwatch_alarms(INSTANCE)[0] | {"AlarmName": "slm-ft-serving-Theirs"}
    cloudwatch.put_metric_alarm(**theirs)
    assert [(each["ours"], each["id"]) for each in asked.topic()] == [(True, topic["TopicArn"])]
    assert [each["name"] for each in asked.alarms() if not each["ours"]] == ["slm-ft-serving-Theirs"]
    assert len([each for each in asked.alarms() if each["ours"]]) == len(cloudwatch_alarms(INSTANCE))
    assert [each["ours"] for each in asked.dashboard()] == [True]
    cloudwatch.put_dashboard(DashboardName=NAME, DashboardBody=json.dumps({"widgets": []}))
    assert [each["ours"] for each in asked.dashboard()] == [False]
