"""What is shipped to CloudWatch, watched and shown there: all from one list, and each alarm goes off for its fault."""

from __future__ import annotations

import re
from typing import Any

import botocore.session
import pytest
import yaml
from ansible_collections.slm.serving.plugins.filter.cloudwatch import (
    cloudwatch_agent_configuration,
    cloudwatch_alarm_metrics,
    cloudwatch_alarms,
    cloudwatch_dashboard,
    cloudwatch_metrics,
    cloudwatch_problems,
    cloudwatch_script_metrics,
)
from ansible_collections.slm.serving.plugins.module_utils.cloudwatch_alarms import (
    ALARMS,
    MOST_INSTANCES,
    mark,
    no_traffic,
)
from ansible_collections.slm.serving.plugins.module_utils.cloudwatch_metrics import METRICS
from botocore.validate import ParamValidator

from tests.local_region.names import REPOSITORY_ROOT
from tests.support.alarms import Readings, evaluated
from tests.support.rendering import value

INSTANCE: dict[str, Any] = {
    "application": "slm-ft-serving",
    "region": "us-east-1",
    "instance_ids": ["i-0123456789abcdef0"],
    "accelerator": "gpu",
    "edge_mode": "certificate",
    "containers": {"gateway": "slm-ft-serving-gateway-1", "engine": "slm-ft-serving-engine-1"},
    "units": ["slm-ft-serving.service"],
    "topic": "arn:aws:sns:us-east-1:123456789012:slm-ft-serving-alarms",
    "no_traffic_hours": 6,
    "balancer": {
        "LoadBalancer": "app/slm-ft-serving/0123456789abcdef",
        "TargetGroup": "targetgroup/slm-ft-serving/0123456789abcdef",
    },
}
SMALL: dict[str, Any] = {"accelerator": "cpu", "edge_mode": "off", "no_traffic_hours": 0, "balancer": {}}
SEVERAL = INSTANCE | {"instance_ids": ["i-0123456789abcdef0", "i-0123456789abcdef1", "i-0123456789abcdef2"]}
INSTANCES = [INSTANCE, INSTANCE | SMALL, INSTANCE | {"edge_mode": "plain"}, INSTANCE | {"accelerator": "cpu"}, SEVERAL]
BY_EC2 = {"StatusCheckFailed", "CPUUtilization"}
# With the dimensions that AWS gives them.
BY_BALANCER = {
    "HealthyHostCount": {"LoadBalancer", "TargetGroup"},
    "UnHealthyHostCount": {"LoadBalancer", "TargetGroup"},
    "HTTPCode_ELB_5XX_Count": {"LoadBalancer"},
}
ALARM_ARN = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:"
# What an instance sends that nothing is wrong with, and for each alarm what it sends while its fault lasts.
WELL: dict[str, float | None] = {
    "StatusCheckFailed": 0,
    "CPUUtilization": 20,
    "gateway_up": 1,
    "engine_unavailable": 0,
    "requests": 100,
    "request_failures": 1,
    "requests_refused": 1,
    "request_seconds_p95": 2,
    "queue_seconds_p95": 0.1,
    "extractions": 80,
    "ungrounded_values": 20,
    "disk_used_percent": 60,
    "mem_used_percent": 70,
    "gpu_errors": 0,
    "gpu_missing": 0,
    "certificate_days_left": 60,
    "UnHealthyHostCount": 0,
    "HTTPCode_ELB_5XX_Count": 1,
}
FAULTS: dict[str, dict[str, float | None]] = {
    "InstanceDown": {"StatusCheckFailed": 1},
    "GatewayDown": {"gateway_up": 0},
    "MetricsMissing": {name: None for name in WELL if name not in BY_EC2 | BY_BALANCER.keys()},
    "EngineUnavailable": {"engine_unavailable": 1},
    "RequestsFailing": {"request_failures": 3},
    "RequestsSlow": {"request_seconds_p95": 11},
    "QueueLong": {"queue_seconds_p95": 6},
    "RequestsRefused": {"requests_refused": 40},
    "ValuesUngrounded": {"ungrounded_values": 161},
    "DiskFull": {"disk_used_percent": 86},
    "MemoryFull": {"mem_used_percent": 93},
    "GpuErrors": {"gpu_errors": 1},
    "GpuMissing": {"gpu_missing": 1},
    "CertificateEnds": {"certificate_days_left": 13.5},
    "TargetsUnhealthy": {"UnHealthyHostCount": 1},
    "BalancerFailing": {"HTTPCode_ELB_5XX_Count": 11},
    "NoTraffic": {"extractions": 0, "ungrounded_values": 0},
}
# What is wrong with the whole, and not with one of several instances.
OF_ALL = {"RequestsFailing", "RequestsSlow", "QueueLong", "ValuesUngrounded", "NoTraffic"}


def shape(operation: str) -> Any:
    """Return what CloudWatch's model says that an operation takes."""
    return botocore.session.get_session().get_service_model("cloudwatch").operation_model(operation).input_shape


def shipped(instance: dict[str, Any]) -> set[str]:
    """Return the metrics without dimensions that an instance sends, by the configurations of agent and script."""
    sections = cloudwatch_agent_configuration(instance)["metrics"]["metrics_collected"]
    # The agent's own names: of the section's plugin, an underscore, and the measurement.
    plugins = {"nvidia_gpu": "nvidia_smi"}
    agent = {f"{plugins.get(name, name)}_{each}" for name, one in sections.items() for each in one["measurement"]}
    return agent | set(cloudwatch_script_metrics(instance))


def read_by(alarm: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the metrics that an alarm reads, each as Namespace, MetricName and Dimensions."""
    queries = [each["MetricStat"]["Metric"] for each in alarm.get("Metrics", []) if "MetricStat" in each]
    return queries or [{key: alarm[key] for key in ("Namespace", "MetricName", "Dimensions")}]


@pytest.mark.parametrize("instance", INSTANCES)
def test_alarms_and_dashboard_read_what_is_shipped_and_nothing_else(instance: dict[str, Any]) -> None:
    body = cloudwatch_dashboard(instance, ALARM_ARN)
    lines = [line for widget in body["widgets"] for line in widget["properties"].get("metrics", [])]
    read = [metric for alarm in cloudwatch_alarms(instance) for metric in read_by(alarm)]
    read += [
        {
            "Namespace": line[0],
            "MetricName": line[1],
            "Dimensions": [
                {"Name": name, "Value": value} for name, value in zip(line[2:-1:2], line[3:-1:2], strict=True)
            ],
        }
        for line in lines
    ]
    for metric in read:
        if metric["Namespace"] == "AWS/EC2":
            assert metric["MetricName"] in BY_EC2
            (dimension,) = metric["Dimensions"]
            assert dimension["Name"] == "InstanceId"
            assert dimension["Value"] in instance["instance_ids"]
        elif metric["Namespace"] == "AWS/ApplicationELB":
            dimensions = {each["Name"]: each["Value"] for each in metric["Dimensions"]}
            assert dimensions.keys() == BY_BALANCER[metric["MetricName"]]
            assert dimensions.items() <= instance["balancer"].items()
        else:
            assert metric["Namespace"] == "slm-ft-serving"
            assert metric["MetricName"] in shipped(instance)
            assert metric["Dimensions"] == []
    assert set(cloudwatch_metrics(instance)) == shipped(instance)
    assert {metric["MetricName"] for metric in read} >= shipped(instance), "shipped, billed, and looked at by nobody"


def test_what_an_instance_has_not_is_neither_shipped_nor_watched() -> None:
    small = INSTANCE | SMALL
    names = {each["AlarmName"] for each in cloudwatch_alarms(small)}
    assert not [name for name in shipped(small) | names if re.search("gpu|Gpu|nvidia|ertificate|NoTraffic", name)]
    assert {f"slm-ft-serving-{each.name}" for each in ALARMS} - names == {
        "slm-ft-serving-GpuErrors",
        "slm-ft-serving-GpuMissing",
        "slm-ft-serving-CertificateEnds",
        "slm-ft-serving-TargetsUnhealthy",
        "slm-ft-serving-BalancerFailing",
    }
    titles = [each["properties"].get("title") for each in cloudwatch_dashboard(small, ALARM_ARN)["widgets"]]
    assert "Load balancer" not in titles


def test_alarms_are_of_the_form_that_aws_takes() -> None:
    most = INSTANCE | {"instance_ids": [f"i-{index}" for index in range(MOST_INSTANCES)]}
    for alarm in [*cloudwatch_alarms(INSTANCE), *cloudwatch_alarms(most)]:
        assert ParamValidator().validate(alarm, shape("PutMetricAlarm")).generate_report() == ""
        assert alarm["TreatMissingData"] == "notBreaching"
        assert cloudwatch_alarm_metrics(alarm) <= 10
        period = alarm.get("Period") or alarm["Metrics"][1]["MetricStat"]["Period"]
        assert period % 60 == 0
        assert period * alarm["EvaluationPeriods"] <= 86400


def group(given: dict[str, Any], *readings: dict[str, float | None]) -> dict[str, Readings]:
    """Return what is sent: these by the instances, by all others what a good one does; by the balancer the first."""
    every: list[dict[str, float | None]] = [*readings, *([WELL] * (len(given["instance_ids"]) - len(readings)))]
    there = [{name: one for name, one in each.items() if one is not None} for each in every]
    own = [{name: one for name, one in each.items() if name not in BY_BALANCER} for each in there]
    balancer = {name: one for name, one in there[0].items() if name in BY_BALANCER}
    return {**dict(zip(given["instance_ids"], own, strict=True)), given["balancer"]["LoadBalancer"]: balancer}


NAMES = [each.name for each in (*ALARMS, no_traffic(6))]


def alarm_named(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return an alarm on these instances."""
    (alarm,) = [each for each in cloudwatch_alarms(given) if each["AlarmName"] == f"slm-ft-serving-{name}"]
    return alarm


@pytest.mark.parametrize("given", [INSTANCE, SEVERAL], ids=["one", "three"])
@pytest.mark.parametrize("name", NAMES)
def test_each_alarm_goes_off_for_its_fault_and_not_without(name: str, given: dict[str, Any]) -> None:
    alarm = alarm_named(name, given)
    assert evaluated(alarm, group(given, *[WELL | FAULTS[name]] * len(given["instance_ids"])))
    assert not evaluated(alarm, group(given))


@pytest.mark.parametrize("name", sorted(set(NAMES) - OF_ALL))
def test_the_fault_of_one_among_several_is_enough(name: str) -> None:
    assert evaluated(alarm_named(name, SEVERAL), group(SEVERAL, WELL | FAULTS[name]))


@pytest.mark.parametrize("stopped", [1, 2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_an_instance_that_was_stopped_raises_no_alarm(name: str, stopped: int) -> None:
    assert not evaluated(alarm_named(name, SEVERAL), group(SEVERAL, *[{}] * stopped))
    assert not evaluated(alarm_named(name, INSTANCE), group(INSTANCE, {}))


def test_without_a_request_no_share_of_them_is_an_alarm() -> None:
    quiet = WELL | dict.fromkeys(("requests", "request_failures", "extractions", "ungrounded_values"), 0.0)
    off = {name for name in NAMES if evaluated(alarm_named(name, INSTANCE), group(INSTANCE, quiet))}
    assert off == {"NoTraffic"}


@pytest.mark.parametrize("given", [INSTANCE, SEVERAL], ids=["one", "three"])
def test_calls_that_come_while_all_are_stopped_raise_no_alarm_and_while_one_runs_they_do(given: dict[str, Any]) -> None:
    refused: dict[str, float | None] = {"HTTPCode_ELB_5XX_Count": 500}
    running: dict[str, float | None] = {"CPUUtilization": 3}
    stopped: list[dict[str, float | None]] = [{}] * (len(given["instance_ids"]) - 1)
    alarm = alarm_named("BalancerFailing", given)
    assert not evaluated(alarm, group(given, refused, *stopped))
    assert evaluated(alarm, group(given, running | refused, *stopped))
    # While there are no errors its metric is not there.
    assert not evaluated(alarm, group(given, running))


@pytest.mark.parametrize("late", range(6))
def test_readings_that_come_late_are_not_missing(late: int) -> None:
    alarm = alarm_named("MetricsMissing", SEVERAL)
    expression = alarm["Metrics"][0]["Expression"]
    names = {"IF": lambda condition, then, otherwise: then if condition else otherwise, "FILL": lambda one, _: one}
    running = {"m1": 20, "m1_2": 20, "m1_3": 20}
    missing = eval(expression, {"__builtins__": {}}, {**names, **running, "m2": 15 - late})  # noqa: S307
    assert missing == (late >= 5)


def test_a_dashboard_has_every_alarm_and_says_whose_it_is() -> None:
    body = cloudwatch_dashboard(INSTANCE, ALARM_ARN)
    text, alarms, *charts = body["widgets"]
    assert mark("slm-ft-serving") in text["properties"]["markdown"]
    assert alarms["properties"]["alarms"] == [ALARM_ARN + each["AlarmName"] for each in cloudwatch_alarms(INSTANCE)]
    places = [(each["x"], each["y"]) for each in charts]
    assert len(set(places)) == len(places)
    assert all(each["x"] + each["width"] <= 24 for each in body["widgets"])
    assert value("infrastructure", "_infrastructure_dashboard_mark", {}) == mark("slm-ft-serving")


def test_the_agent_ships_containers_by_name_and_keeps_no_dimension() -> None:
    configuration = cloudwatch_agent_configuration(INSTANCE)
    journal = configuration["logs"]["logs_collected"]["journald"]["collect_list"]
    # An entry without a choice would ship the whole journal.
    assert [each for each in journal if not each.get("matches") and not each.get("units")] == []
    assert [each["matches"] for each in journal if each["log_group_name"].endswith("/containers")] == [
        [{"CONTAINER_NAME": name}] for name in INSTANCE["containers"].values()
    ]
    # The group and how long it is kept are provision.yml's: the instance may not set them.
    assert {key for each in journal for key in each} <= {
        *("log_group_name", "log_stream_name", "matches", "units", "priority"),
    }
    metrics = configuration["metrics"]
    assert metrics["aggregation_dimensions"] == [[]]
    assert configuration["agent"]["omit_hostname"]
    for name in ("disk", "nvidia_gpu"):
        section = metrics["metrics_collected"][name]
        assert section["drop_original_metrics"] == section["measurement"]
    assert metrics["metrics_collected"]["disk"]["resources"] == ["/"]


def test_the_trainings_log_is_not_shipped() -> None:
    units = value("cloudwatch", "_cloudwatch_instance", {"cloudwatch_region": "us-east-1"})["units"]
    assert "slm-ft-serving.service" in units
    assert [unit for unit in units if "training" in unit or unit == "docker.service"] == []


def test_log_groups_of_the_agent_are_those_that_provisioning_makes() -> None:
    groups = {
        each["log_group_name"]
        for each in cloudwatch_agent_configuration(INSTANCE)["logs"]["logs_collected"]["journald"]["collect_list"]
    }
    assert groups == set(value("infrastructure", "_infrastructure_shipped_log_groups", {}))


@pytest.mark.parametrize(
    ("email", "setting", "hours", "words"),
    [
        ("ops", "on", 0, "is no address"),
        ("ops@example.org", "off", 0, "monitoring/cloudwatch is off"),
        ("ops@example.org", "on", 25, "0 (no such alarm) to 24"),
        ("ops@example.org", "on", -1, "0 (no such alarm) to 24"),
    ],
)
def test_alarms_that_cannot_be_made_are_named(email: str, setting: str, hours: int, words: str) -> None:
    (problem,) = cloudwatch_problems(email, setting, hours, 1)
    assert words in problem


def test_more_instances_than_an_alarm_can_read_are_refused() -> None:
    assert cloudwatch_problems("ops@example.org", "on", 0, MOST_INSTANCES) == []
    (problem,) = cloudwatch_problems("ops@example.org", "on", 0, MOST_INSTANCES + 1)
    assert "alarms watch 9 instances at most" in problem


def test_without_an_address_nothing_is_a_problem() -> None:
    assert cloudwatch_problems("", "off", 99, 99) == []
    assert cloudwatch_problems("ops@example.org", "on", 24, 1) == []


def test_an_alarm_is_billed_by_the_metrics_that_it_reads() -> None:
    billed = {each["AlarmName"]: cloudwatch_alarm_metrics(each) for each in cloudwatch_alarms(INSTANCE)}
    assert billed["slm-ft-serving-GatewayDown"] == 1
    assert billed["slm-ft-serving-RequestsFailing"] == 2
    assert cloudwatch_alarm_metrics(alarm_named("InstanceDown", SEVERAL)) == 3
    assert cloudwatch_alarm_metrics(alarm_named("MetricsMissing", SEVERAL)) == 4


def test_thresholds_are_those_of_the_rules_for_prometheus() -> None:
    groups = yaml.safe_load((REPOSITORY_ROOT / "monitoring/rules.yml").read_text("utf-8"))["groups"]
    rules = {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"] if "alert" in rule}
    # In a share there, in percent here; in a second there, in five minutes here.
    scale = {"RequestsFailing": 100, "RequestsRefused": 300}
    for alarm in ALARMS:
        if alarm.name in ("RequestsFailing", "RequestsSlow", "QueueLong", "RequestsRefused", "ValuesUngrounded"):
            limit = float(rules[alarm.name].split()[-1])
            assert alarm.threshold == pytest.approx(limit * scale.get(alarm.name, 1)), alarm.name


def test_the_runbook_says_of_each_alarm_what_it_means_and_what_to_do() -> None:
    page = (REPOSITORY_ROOT / "docs/operating.md").read_text("utf-8")
    section = page.partition("\n## Alarms of CloudWatch\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    assert [row[0] for row in rows[2:]] == [each.name for each in (*ALARMS, no_traffic(6))]
    assert all(len(row) == 4 and all(row) for row in rows)


def test_the_page_lists_every_metric_with_its_price() -> None:
    page = (REPOSITORY_ROOT / "docs/monitoring.md").read_text("utf-8")
    price = value("infrastructure", "_infrastructure_prices", {})["metric_month"]
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (\w+) \| .* \| ([\d.]+) \|$", page, re.MULTILINE)
    assert rows == [(each.name, each.text, each.source, f"{price:.2f}") for each in METRICS]
