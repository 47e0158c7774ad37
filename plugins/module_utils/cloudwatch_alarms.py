"""The alarms on an instance and the dashboard of it, in the words of CloudWatch's API; pure data, and no call.

An alarm is there only where its metrics are. docs/operating.md says of each what it means and what to do. Thresholds
are those of monitoring/rules.yml where that has the same alert.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ansible_collections.slm.serving.plugins.module_utils.cloudwatch_metrics import metrics_of

EC2 = "AWS/EC2"
MINUTE, FIVE_MINUTES, HOUR = 60, 300, 3600
ABOVE, FROM, BELOW = "GreaterThanThreshold", "GreaterThanOrEqualToThreshold", "LessThanThreshold"


class Series(NamedTuple):
    """One metric as an alarm or a line of the dashboard reads it.

    Attributes:
        name: of the metric.
        statistic: of the values of a period.
        namespace: another's than the application's.
    """

    name: str
    statistic: str
    namespace: str = ""


class Alarm(NamedTuple):
    """One alarm.

    Attributes:
        name: without the application's before it.
        text: what it says.
        series: what it reads, by the names that the expression has for it.
        comparison: of the value with the threshold.
        threshold: the same.
        period: seconds that one value is of.
        periods: how many values are looked at.
        breaching: how many of them have to be bad.
        expression: what becomes of the series; empty where it is one.
    """

    name: str
    text: str
    series: dict[str, Series]
    comparison: str
    threshold: float
    period: int = FIVE_MINUTES
    periods: int = 1
    breaching: int = 1
    expression: str = ""


def _one(name: str, statistic: str, namespace: str = "") -> dict[str, Series]:
    return {"m1": Series(name, statistic, namespace)}


ALARMS = (
    Alarm(
        "InstanceDown",
        "The instance fails AWS's status checks",
        _one("StatusCheckFailed", "Maximum", EC2),
        FROM,
        1,
        MINUTE,
        3,
        3,
    ),
    Alarm("GatewayDown", "The gateway shows no metrics", _one("gateway_up", "Maximum"), BELOW, 1, MINUTE, 3, 3),
    Alarm(
        "MetricsMissing",
        "The instance runs and sends no metrics",
        {"m1": Series("CPUUtilization", "Average", EC2), "m2": Series("gateway_up", "SampleCount")},
        FROM,
        1,
        periods=3,
        breaching=3,
        expression="IF(FILL(m1, -1) >= 0 AND FILL(m2, 0) < 1, 1, 0)",
    ),
    Alarm(
        "EngineUnavailable",
        "The gateway refuses every extraction because its engine is down",
        _one("engine_unavailable", "Minimum"),
        FROM,
        1,
        MINUTE,
        2,
        2,
    ),
    Alarm(
        "RequestsFailing",
        "More than 2 % of the requests end with a server error",
        {"m1": Series("request_failures", "Sum"), "m2": Series("requests", "Sum")},
        ABOVE,
        2,
        periods=2,
        breaching=2,
        expression="IF(m2 > 0, 100 * m1 / m2, 0)",
    ),
    Alarm(
        "RequestsSlow",
        "One extraction in twenty takes longer than 10 s",
        _one("request_seconds_p95", "Average"),
        ABOVE,
        10,
        periods=3,
        breaching=2,
    ),
    Alarm(
        "QueueLong",
        "Requests wait longer than 5 s for the engine",
        _one("queue_seconds_p95", "Average"),
        ABOVE,
        5,
        periods=3,
        breaching=2,
    ),
    # One in ten seconds, as the rule for Prometheus has it.
    Alarm("RequestsRefused", "There is no room: requests are refused", _one("requests_refused", "Sum"), ABOVE, 30),
    Alarm(
        "ValuesUngrounded",
        "An answer has more than two values that its text does not support",
        {"m1": Series("ungrounded_values", "Sum"), "m2": Series("extractions", "Sum")},
        ABOVE,
        2,
        HOUR,
        expression="IF(m2 > 0, m1 / m2, 0)",
    ),
    Alarm(
        "DiskFull",
        "The disk is fuller than 85 %",
        _one("disk_used_percent", "Maximum"),
        ABOVE,
        85,
        periods=3,
        breaching=3,
    ),
    Alarm(
        "MemoryFull",
        "The memory is fuller than 92 %",
        _one("mem_used_percent", "Average"),
        ABOVE,
        92,
        periods=3,
        breaching=3,
    ),
    Alarm("GpuErrors", "The GPU's driver reports an error (Xid)", _one("gpu_errors", "Sum"), FROM, 1),
    Alarm("GpuMissing", "The driver lists no GPU", _one("gpu_missing", "Minimum"), FROM, 1, MINUTE, 5, 5),
    Alarm(
        "CertificateEnds",
        "The edge's certificate ends within 14 days",
        _one("certificate_days_left", "Minimum"),
        BELOW,
        14,
        HOUR,
    ),
)


def no_traffic(hours: int) -> Alarm:
    """Return the alarm that nothing was extracted for some hours, of which CloudWatch looks at 24 at most."""
    text = f"Nothing was extracted for {hours} h"
    return Alarm("NoTraffic", text, _one("extractions", "Sum"), BELOW, 1, hours * HOUR)


def alarms_of(accelerator: str, edge_mode: str, no_traffic_hours: int) -> list[Alarm]:
    """Return the alarms on an instance: those whose metrics it has.

    Args:
        accelerator: that its engine computes on.
        edge_mode: what stands between clients and its gateway.
        no_traffic_hours: after how many without an extraction there is an alarm; 0 for none.
    """
    known = {each.name for each in metrics_of(accelerator, edge_mode)}
    every = (*ALARMS, *([no_traffic(no_traffic_hours)] if no_traffic_hours else []))
    return [each for each in every if all(one.namespace or one.name in known for one in each.series.values())]


def _metric(series: Series, application: str, instance_id: str) -> dict[str, Any]:
    dimensions = [{"Name": "InstanceId", "Value": instance_id}] if series.namespace == EC2 else []
    return {"Namespace": series.namespace or application, "MetricName": series.name, "Dimensions": dimensions}


def as_aws(alarm: Alarm, application: str, instance_id: str, topic: str) -> dict[str, Any]:
    """Return an alarm as PutMetricAlarm takes it.

    Args:
        alarm: the alarm.
        application: the namespace of its metrics, and what its name begins with.
        instance_id: of the instance.
        topic: ARN of the topic that it is told to.
    """
    request: dict[str, Any] = {
        "AlarmName": f"{application}-{alarm.name}",
        "AlarmDescription": f"{alarm.text}. What to do: docs/operating.md, {alarm.name}",
        "ActionsEnabled": True,
        "AlarmActions": [topic],
        "OKActions": [topic],
        "ComparisonOperator": alarm.comparison,
        "Threshold": float(alarm.threshold),
        "EvaluationPeriods": alarm.periods,
        "DatapointsToAlarm": alarm.breaching,
        # An instance that was stopped on purpose sends nothing; one that runs and sends nothing is MetricsMissing.
        "TreatMissingData": "notBreaching",
    }
    if not alarm.expression:
        (series,) = alarm.series.values()
        metric = _metric(series, application, instance_id)
        return request | metric | {"Statistic": series.statistic, "Period": alarm.period}
    queries = [
        {
            "Id": name,
            "MetricStat": {
                "Metric": _metric(series, application, instance_id),
                "Period": alarm.period,
                "Stat": series.statistic,
            },
            "ReturnData": False,
        }
        for name, series in alarm.series.items()
    ]
    result = {"Id": "result", "Expression": alarm.expression, "Label": alarm.name, "ReturnData": True}
    return request | {"Metrics": [result, *queries]}


# The dashboard: a title with the metrics below it.
CHARTS: dict[str, tuple[Series, ...]] = {
    "Requests": (
        Series("requests", "Sum"),
        Series("request_failures", "Sum"),
        Series("requests_refused", "Sum"),
        Series("engine_failures", "Sum"),
    ),
    "Seconds (p95)": (Series("request_seconds_p95", "Average"), Series("queue_seconds_p95", "Average")),
    "Answers": (Series("extractions", "Sum"), Series("ungrounded_values", "Sum")),
    "Serving": (Series("gateway_up", "Minimum"), Series("engine_unavailable", "Maximum")),
    "Engine": (Series("engine_cache_used_percent", "Average"), Series("engine_preemptions", "Sum")),
    "Instance": (
        Series("mem_used_percent", "Average"),
        Series("swap_used_percent", "Average"),
        Series("disk_used_percent", "Maximum"),
        Series("CPUUtilization", "Average", EC2),
    ),
    "GPU": (
        Series("nvidia_smi_utilization_gpu", "Average"),
        Series("nvidia_smi_temperature_gpu", "Maximum"),
        Series("gpu_errors", "Sum"),
        Series("gpu_missing", "Maximum"),
    ),
    "Certificate": (Series("certificate_days_left", "Minimum"),),
}
COLUMNS, WIDTH, HEIGHT, HEAD = 2, 12, 6, 2


def mark(application: str) -> str:
    """Return the words by which a dashboard is known as ours: a dashboard has no tags."""
    return f"Made by provision.yml of {application}"


def dashboard(metrics: set[str], alarms: list[str], application: str, instance_id: str, region: str) -> dict[str, Any]:
    """Return the dashboard's body as PutDashboard takes it, before it is made to text.

    Args:
        metrics: names of those that the instance has.
        alarms: ARNs of the alarms on it.
        application: the namespace of the metrics.
        instance_id: of the instance.
        region: of all of it.
    """
    text = f"{mark(application)}: changes made here are lost. What each alarm means: docs/operating.md"
    widgets: list[dict[str, Any]] = [
        {"type": "text", "x": 0, "y": 0, "width": 2 * WIDTH, "height": HEAD, "properties": {"markdown": text}},
        {
            "type": "alarm",
            "x": 0,
            "y": HEAD,
            "width": 2 * WIDTH,
            "height": HEIGHT,
            "properties": {"title": "Alarms", "alarms": alarms},
        },
    ]
    charts = {
        title: [one for one in series if one.namespace or one.name in metrics] for title, series in CHARTS.items()
    }
    for index, (title, series) in enumerate((title, some) for title, some in charts.items() if some):
        row, column = divmod(index, COLUMNS)
        lines = [_line(one, application, instance_id) for one in series]
        properties = {"title": title, "region": region, "view": "timeSeries", "period": MINUTE, "metrics": lines}
        place = {"x": column * WIDTH, "y": HEAD + HEIGHT * (row + 1), "width": WIDTH, "height": HEIGHT}
        widgets.append({"type": "metric", **place, "properties": properties})
    return {"widgets": widgets}


def _line(series: Series, application: str, instance_id: str) -> list[Any]:
    instance = ["InstanceId", instance_id] if series.namespace == EC2 else []
    return [series.namespace or application, series.name, *instance, {"stat": series.statistic}]
