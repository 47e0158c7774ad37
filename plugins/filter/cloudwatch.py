"""What roles ship to CloudWatch, watch and show there, from the one list of metrics; NAME.yml documents each filter."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.slm.serving.plugins.module_utils import cloudwatch_alarms as alarms
from ansible_collections.slm.serving.plugins.module_utils.cloudwatch_metrics import AGENT, SCRIPT, metrics_of

# The whole file system that images, models and logs are on.
DISK = "/"
# Names that the agent and CloudWatch give together: SECTION_MEASUREMENT.
DROPPED_DIMENSIONS = ("disk", "nvidia_gpu")
LONGEST_NO_TRAFFIC = 24  # hours, of AWS


def cloudwatch_script_metrics(instance: Mapping[str, Any]) -> dict[str, str]:
    """Return the metrics that the script sends, each with its unit.

    Args:
        instance: `accelerator` and `edge_mode`.
    """
    return {each.name: each.unit for each in _metrics(instance) if each.source == SCRIPT}


def _metrics(instance: Mapping[str, Any]) -> list[Any]:
    return metrics_of(instance["accelerator"], instance["edge_mode"])


def cloudwatch_agent_configuration(instance: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of Amazon's agent: the host's metrics, and the journal of containers and units.

    Args:
        instance: `application`, `region`, `accelerator`, `edge_mode`, `containers` (names of those whose log is
            shipped, by stream) and `units` (names of systemd's).
    """
    application = instance["application"]
    collected: dict[str, Any] = {}
    for metric in (each for each in _metrics(instance) if each.source == AGENT):
        section = collected.setdefault(metric.section, {"measurement": []})
        section["measurement"].append(metric.measurement)
    for name in DROPPED_DIMENSIONS:
        if name in collected:
            # The sum over all dimensions stays, which is the one that alarms and dashboard know.
            collected[name]["drop_original_metrics"] = list(collected[name]["measurement"])
    collected["disk"] |= {"resources": [DISK], "drop_device": True}
    stream = "{instance_id}"
    journal = [
        {
            "log_group_name": f"/{application}/containers",
            "log_stream_name": f"{stream}-{name}",
            "matches": [{"CONTAINER_NAME": container}],
        }
        for name, container in instance["containers"].items()
    ]
    journal.append(
        {
            "log_group_name": f"/{application}/units",
            "log_stream_name": stream,
            "units": list(instance["units"]),
        }
    )
    journal.append(
        {
            "log_group_name": f"/{application}/units",
            "log_stream_name": f"{stream}-kernel",
            # Each line of it is the machine's; what a firewall or a mount says is left out.
            "priority": "warning",
            "matches": [{"_TRANSPORT": "kernel"}],
        }
    )
    return {
        "agent": {
            "metrics_collection_interval": 60,
            "region": instance["region"],
            "run_as_user": "root",
            "omit_hostname": True,
            # What the agent would tell Amazon about itself.
            "usage_data": False,
        },
        "metrics": {
            "namespace": application,
            "aggregation_dimensions": [[]],
            "metrics_collected": collected,
        },
        "logs": {"logs_collected": {"journald": {"collect_list": journal}}},
    }


def cloudwatch_metrics(instance: Mapping[str, Any]) -> list[str]:
    """Return the names of all metrics of an instance, each of which is billed.

    Args:
        instance: `accelerator` and `edge_mode`.
    """
    return [each.name for each in _metrics(instance)]


def cloudwatch_alarm_metrics(alarm: Mapping[str, Any]) -> int:
    """Return how many metrics of an alarm are billed.

    Args:
        alarm: as AWS takes it.
    """
    return max(1, sum("MetricStat" in each for each in alarm.get("Metrics", [])))


def cloudwatch_alarms(instance: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the alarms on the instances as AWS takes them.

    Args:
        instance: what they have alike: `application`, `instance_ids`, `accelerator`, `edge_mode`, `topic` (its ARN),
            `no_traffic_hours` and `balancer` (the dimensions of its metrics; nothing where there is none).
    """
    every = alarms.alarms_of(
        instance["accelerator"],
        instance["edge_mode"],
        int(instance["no_traffic_hours"]),
        balanced=bool(instance["balancer"]),
    )
    return [alarms.as_aws(each, _watched(instance), instance["topic"]) for each in every]


def _watched(instance: Mapping[str, Any]) -> alarms.Watched:
    return alarms.Watched(instance["application"], list(instance["instance_ids"]), dict(instance["balancer"]))


def cloudwatch_dashboard(instance: Mapping[str, Any], alarm_arn: str) -> dict[str, Any]:
    """Return the dashboard of the instances as AWS takes it.

    Args:
        instance: as `cloudwatch_alarms` takes it, with `region`.
        alarm_arn: what the ARN of each alarm begins with.
    """
    names = {each.name for each in _metrics(instance)}
    arns = [alarm_arn + each["AlarmName"] for each in cloudwatch_alarms(instance)]
    return alarms.dashboard(names, arns, _watched(instance), instance["region"])


def cloudwatch_problems(email: str, setting: str, no_traffic_hours: int, instances: int) -> list[str]:
    """Return why no alarms can be made; nothing where none are asked for.

    Args:
        email: who is to be told.
        setting: whether anything is measured: `on` or `off`.
        no_traffic_hours: after how many without an extraction there is an alarm; 0 for none.
        instances: how many there are to be.
    """
    if not email:
        return []
    problems = []
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", email):
        problems.append(
            f"infrastructure_alarm_email: {email!r} is no address. The alarms need one to send their mail to; give one,"
            " or leave it empty."
        )
    if setting != "on":
        problems.append(
            "infrastructure_alarm_email: the setting monitoring/cloudwatch is off, so that nothing is measured. Set it"
            " to on, or leave the address out."
        )
    if not 0 <= no_traffic_hours <= LONGEST_NO_TRAFFIC:
        problems.append(
            f"infrastructure_alarm_no_traffic_hours: {no_traffic_hours} is none of 0 (no such alarm) to"
            f" {LONGEST_NO_TRAFFIC}."
        )
    if instances > alarms.MOST_INSTANCES:
        problems.append(
            f"infrastructure_alarm_email: alarms watch {alarms.MOST_INSTANCES} instances at most, since CloudWatch lets"
            f" one read ten metrics, and there would be {instances}. Leave the address out, and watch them with"
            " Prometheus (docs/monitoring.md)."
        )
    return problems


class FilterModule:
    """The filters, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "cloudwatch_agent_configuration": cloudwatch_agent_configuration,
            "cloudwatch_alarm_metrics": cloudwatch_alarm_metrics,
            "cloudwatch_alarms": cloudwatch_alarms,
            "cloudwatch_dashboard": cloudwatch_dashboard,
            "cloudwatch_metrics": cloudwatch_metrics,
            "cloudwatch_problems": cloudwatch_problems,
            "cloudwatch_script_metrics": cloudwatch_script_metrics,
        }
