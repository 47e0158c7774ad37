"""Alarms of CloudWatch, evaluated as CloudWatch does it: no emulator does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import fmean
from typing import Any

# What has been sent of each metric, by its name.
Readings = Mapping[str, float]
STATISTICS: dict[str, Callable[[list[float]], float]] = {
    "Average": fmean,
    "Maximum": max,
    "Minimum": min,
    # Of each minute, in the five that an alarm with this statistic looks at.
    "SampleCount": lambda readings: 5 * len(readings),
    "Sum": sum,
}


class Term(float):
    """A value in an expression, by which can be divided where it is 0: the other branch of an IF is computed too."""

    def __rtruediv__(self, other: float) -> float:
        """Return the quotient; of a division by 0 nothing that is more than any threshold."""
        return float(other) / float(self) if self else float("nan")

    def __truediv__(self, other: float) -> float:
        """Return the quotient, likewise."""
        return float(self) / float(other) if other else float("nan")


def evaluated(alarm: Mapping[str, Any], senders: Mapping[str, Readings]) -> bool:
    """Return whether an alarm goes off where each of its periods has these readings.

    Metric math has C's operators besides those in words, of which the expressions use none.

    Args:
        alarm: As AWS takes it.
        senders: The readings of each instance by its id, none while it is stopped; of a load balancer by the value of
            its dimension LoadBalancer.
    """
    queries = {
        each["Id"]: (each["MetricStat"]["Metric"], each["MetricStat"]["Stat"])
        for each in alarm.get("Metrics", [])
        if "MetricStat" in each
    }
    values = {key: read(metric, statistic, senders) for key, (metric, statistic) in queries.items()}
    if not queries:
        found = read(alarm, alarm["Statistic"], senders)
    elif all(each is None for each in values.values()):
        found = None
    else:
        names = {
            "IF": lambda condition, then, otherwise: then if condition else otherwise,
            "FILL": lambda one, filler: filler if one is None else one,
            **{key: None if one is None else Term(one) for key, one in values.items()},
        }
        expression = alarm["Metrics"][0]["Expression"]
        missing = [key for key, one in values.items() if one is None and f"FILL({key}," not in expression]
        # A series that is not there and not filled leaves no result.
        found = None if missing else eval(expression, {"__builtins__": {}}, names)  # noqa: S307 - the list's own
    compare = {
        "GreaterThanThreshold": lambda one: one > alarm["Threshold"],
        "GreaterThanOrEqualToThreshold": lambda one: one >= alarm["Threshold"],
        "LessThanThreshold": lambda one: one < alarm["Threshold"],
    }
    return found is not None and bool(compare[alarm["ComparisonOperator"]](found))


def read(metric: Mapping[str, Any], statistic: str, senders: Mapping[str, Readings]) -> float | None:
    """Return what CloudWatch has of a metric: of one sender with its dimension, of all together without."""
    # A target group's are its balancer's.
    names = [each["Value"] for each in metric["Dimensions"] if each["Name"] != "TargetGroup"] or list(senders)
    readings = [senders[each][metric["MetricName"]] for each in names if metric["MetricName"] in senders[each]]
    return STATISTICS[statistic](readings) if readings else None
