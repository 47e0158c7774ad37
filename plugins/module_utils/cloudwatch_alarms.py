"""The alarms on the instances and their dashboard, in the words of CloudWatch's API; pure data, and no call.

An alarm is there only where its metrics are. docs/operating.md says of each what it means and what to do. Thresholds
are those of monitoring/rules.yml where that has the same alert.

Of several instances the application's metrics are one series, so a statistic is over all of them: what one of them may
not have is read as the worst of them, and what clients notice as the whole. EC2's metrics are each instance's own, and
those of Elastic Load Balancing the balancer's, where there is one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ansible_collections.slm.serving.plugins.module_utils.cloudwatch_metrics import metrics_of

EC2, BALANCER = "AWS/EC2", "AWS/ApplicationELB"
# The dimensions of the balancer's metrics: of its targets, and of itself alone.
TARGETS, ITSELF = ("LoadBalancer", "TargetGroup"), ("LoadBalancer",)
MINUTE, FIVE_MINUTES, HOUR = 60, 300, 3600
# AWS lets an alarm read ten metrics; one reads a metric of each instance and one of all.
MOST_INSTANCES = 9
ABOVE, FROM, BELOW = "GreaterThanThreshold", "GreaterThanOrEqualToThreshold", "LessThanThreshold"


class Series(NamedTuple):
    """One metric as an alarm or a line of the dashboard reads it.

    Attributes:
        name: of the metric.
        statistic: of the values of a period.
        namespace: another's than the application's.
        dimensions: names of those that a balancer's has.
    """

    name: str
    statistic: str
    namespace: str = ""
    dimensions: tuple[str, ...] = ()


class Watched(NamedTuple):
    """What is watched.

    Attributes:
        application: the namespace of its metrics, and what the alarms' names begin with.
        instance_ids: of the instances, MOST_INSTANCES at most.
        balancer: the values of its metrics' dimensions by their names; nothing where there is no balancer.
    """

    application: str
    instance_ids: list[str]
    balancer: dict[str, str]


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
        expression: what becomes of the series, with `{instances}` for the sum over the instances; empty where it is
            the one series, or that sum.
        instance: what is summed, of `{m1}`, the series of EC2's.
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
    instance: str = ""


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
        instance="FILL({m1}, 0)",
    ),
    Alarm("GatewayDown", "The gateway shows no metrics", _one("gateway_up", "Minimum"), BELOW, 1, MINUTE, 3, 3),
    Alarm(
        "MetricsMissing",
        "The instance runs and sends no metrics",
        {"m1": Series("CPUUtilization", "Average", EC2), "m2": Series("gateway_up", "SampleCount")},
        FROM,
        1,
        periods=3,
        breaching=3,
        # A reading a minute of each that runs, and four may be late: none at all of one is five too few.
        expression="IF(FILL(m2, 0) < 5 * ({instances}) - 4, 1, 0)",
        instance="IF(FILL({m1}, -1) >= 0, 1, 0)",
    ),
    Alarm(
        "EngineUnavailable",
        "The gateway refuses every extraction because its engine is down",
        _one("engine_unavailable", "Maximum"),
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
        _one("mem_used_percent", "Maximum"),
        ABOVE,
        92,
        periods=3,
        breaching=3,
    ),
    Alarm("GpuErrors", "The GPU's driver reports an error (Xid)", _one("gpu_errors", "Sum"), FROM, 1),
    Alarm("GpuMissing", "The driver lists no GPU", _one("gpu_missing", "Maximum"), FROM, 1, MINUTE, 5, 5),
    Alarm(
        "CertificateEnds",
        "The edge's certificate ends within 14 days",
        _one("certificate_days_left", "Minimum"),
        BELOW,
        14,
        HOUR,
    ),
    # Longer than a start takes, in which a target has not passed its checks yet. One that is stopped, leaving or out is
    # not counted.
    Alarm(
        "TargetsUnhealthy",
        "The load balancer finds an instance that runs not healthy",
        {"m1": Series("UnHealthyHostCount", "Maximum", BALANCER, TARGETS)},
        FROM,
        1,
        MINUTE,
        10,
        10,
    ),
    # A count, no share: its RequestCount leaves out those for which there was no target. While no instance runs, as
    # after an idle stop, a refusal is what is meant.
    Alarm(
        "BalancerFailing",
        "The load balancer itself answers requests with errors",
        {
            "m1": Series("CPUUtilization", "Average", EC2),
            "m2": Series("HTTPCode_ELB_5XX_Count", "Sum", BALANCER, ITSELF),
        },
        ABOVE,
        10,
        periods=2,
        breaching=2,
        expression="IF({instances} > 0, FILL(m2, 0), 0)",
        instance="IF(FILL({m1}, -1) >= 0, 1, 0)",
    ),
)


def no_traffic(hours: int) -> Alarm:
    """Return the alarm that nothing was extracted for some hours, of which CloudWatch looks at 24 at most."""
    text = f"Nothing was extracted for {hours} h"
    return Alarm("NoTraffic", text, _one("extractions", "Sum"), BELOW, 1, hours * HOUR)


def alarms_of(accelerator: str, edge_mode: str, no_traffic_hours: int, *, balanced: bool) -> list[Alarm]:
    """Return the alarms on the instances: those whose metrics there are.

    Args:
        accelerator: that their engines compute on.
        edge_mode: what stands between clients and a gateway.
        no_traffic_hours: after how many without an extraction there is an alarm; 0 for none.
        balanced: whether a load balancer is before them.
    """
    known = {each.name for each in metrics_of(accelerator, edge_mode)}
    every = (*ALARMS, *([no_traffic(no_traffic_hours)] if no_traffic_hours else []))
    return [each for each in every if all(_is_there(one, known, balanced) for one in each.series.values())]


def _is_there(series: Series, known: set[str], balanced: bool) -> bool:
    return balanced if series.namespace == BALANCER else bool(series.namespace) or series.name in known


def _dimensions(series: Series, watched: Watched, instance_id: str) -> dict[str, str]:
    if series.namespace == EC2:
        return {"InstanceId": instance_id}
    return {name: watched.balancer[name] for name in series.dimensions}


def _metric(series: Series, watched: Watched, instance_id: str) -> dict[str, Any]:
    dimensions = _dimensions(series, watched, instance_id).items()
    return {
        "Namespace": series.namespace or watched.application,
        "MetricName": series.name,
        "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions],
    }


def _expression(alarm: Alarm, count: int) -> str:
    """Return what becomes of an alarm's series with so many instances; empty where it is one series as it is."""
    instances = " + ".join(alarm.instance.format(m1=_id("m1", index)) for index in range(count))
    if alarm.expression:
        return alarm.expression.format(instances=instances)
    return instances if count > 1 else ""


def _id(name: str, index: int) -> str:
    return f"{name}_{index + 1}" if index else name


def as_aws(alarm: Alarm, watched: Watched, topic: str) -> dict[str, Any]:
    """Return an alarm as PutMetricAlarm takes it.

    Args:
        alarm: the alarm.
        watched: what it is on.
        topic: ARN of the topic that it is told to.
    """
    request: dict[str, Any] = {
        "AlarmName": f"{watched.application}-{alarm.name}",
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
    metrics = {
        _id(name, index): (_metric(series, watched, instance_id), series.statistic)
        for name, series in alarm.series.items()
        for index, instance_id in enumerate(watched.instance_ids if series.namespace == EC2 else [""])
    }
    expression = _expression(alarm, len(watched.instance_ids)) if alarm.expression or alarm.instance else ""
    if not expression:
        ((metric, statistic),) = metrics.values()
        return request | metric | {"Statistic": statistic, "Period": alarm.period}
    queries = [
        {
            "Id": name,
            "MetricStat": {"Metric": metric, "Period": alarm.period, "Stat": statistic},
            "ReturnData": False,
        }
        for name, (metric, statistic) in metrics.items()
    ]
    result = {"Id": "result", "Expression": expression, "Label": alarm.name, "ReturnData": True}
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
    "At work": (Series("requests_at_work", "Average"), Series("requests_at_work", "Maximum")),
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
    "Load balancer": (
        Series("HealthyHostCount", "Minimum", BALANCER, TARGETS),
        Series("UnHealthyHostCount", "Maximum", BALANCER, TARGETS),
        Series("HTTPCode_ELB_5XX_Count", "Sum", BALANCER, ITSELF),
    ),
}
COLUMNS, WIDTH, HEIGHT, HEAD = 2, 12, 6, 2


def mark(application: str) -> str:
    """Return the words by which a dashboard is known as ours: a dashboard has no tags."""
    return f"Made by provision.yml of {application}"


def dashboard(metrics: set[str], alarms: list[str], watched: Watched, region: str) -> dict[str, Any]:
    """Return the dashboard's body as PutDashboard takes it, before it is made to text.

    Args:
        metrics: names of those that the instances have.
        alarms: ARNs of the alarms on them.
        watched: what it shows.
        region: of all of it.
    """
    text = f"{mark(watched.application)}: changes made here are lost. What each alarm means: docs/operating.md"
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
        title: [one for one in series if _is_there(one, metrics, bool(watched.balancer))]
        for title, series in CHARTS.items()
    }
    for index, (title, series) in enumerate((title, some) for title, some in charts.items() if some):
        row, column = divmod(index, COLUMNS)
        lines = [line for one in series for line in _lines(one, watched)]
        properties = {"title": title, "region": region, "view": "timeSeries", "period": MINUTE, "metrics": lines}
        place = {"x": column * WIDTH, "y": HEAD + HEIGHT * (row + 1), "width": WIDTH, "height": HEIGHT}
        widgets.append({"type": "metric", **place, "properties": properties})
    return {"widgets": widgets}


def _lines(series: Series, watched: Watched) -> list[list[Any]]:
    places = watched.instance_ids if series.namespace == EC2 else [""]
    every = [_dimensions(series, watched, each).items() for each in places]
    words = [[word for pair in dimensions for word in pair] for dimensions in every]
    return [[series.namespace or watched.application, series.name, *each, {"stat": series.statistic}] for each in words]
