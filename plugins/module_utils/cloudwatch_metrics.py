"""Every metric that an instance puts into CloudWatch, in one list: what is sent, watched and shown is named here.

All are in one namespace, the application's, and none has a dimension: each combination of dimensions is billed as a
metric of its own, and an alarm outlives the instance that it watches. Standard library only, for plugins and tests.
"""

from __future__ import annotations

from typing import NamedTuple

# What brings a metric: Amazon's agent, or the role's own script, which reads what the agent cannot.
AGENT, SCRIPT = "agent", "script"
# Where a metric is there at all.
ALWAYS, GPU, ENCRYPTED = "always", "gpu", "encrypted"
# Modes of the edge in which it has a certificate of its own.
WITH_CERTIFICATE = ("acme", "certificate")


class Metric(NamedTuple):
    """One metric.

    Attributes:
        name: in CloudWatch.
        source: what brings it.
        unit: CloudWatch's.
        text: what it is.
        where: on which instances it is there.
        section: of the agent's configuration.
        measurement: the same metric in that section.
    """

    name: str
    source: str
    unit: str
    text: str
    where: str = ALWAYS
    section: str = ""
    measurement: str = ""


METRICS = (
    Metric("gateway_up", SCRIPT, "Count", "1 while the gateway shows its metrics, else 0"),
    Metric("engine_unavailable", SCRIPT, "Count", "1 while the gateway refuses extractions because its engine is down"),
    Metric("requests", SCRIPT, "Count", "requests under `/api` and `/v1` that were answered"),
    Metric("request_failures", SCRIPT, "Count", "of them, server errors other than 503"),
    Metric("requests_refused", SCRIPT, "Count", "requests refused for want of room"),
    Metric("requests_at_work", SCRIPT, "Count", "requests that run or wait at the moment"),
    Metric("request_seconds_p95", SCRIPT, "Seconds", "95th percentile of an extraction, of the last minute"),
    Metric("queue_seconds_p95", SCRIPT, "Seconds", "the same of the wait for a slot at the engine"),
    Metric("engine_failures", SCRIPT, "Count", "calls of the engine that failed"),
    Metric("extractions", SCRIPT, "Count", "extractions that came to an answer"),
    Metric("ungrounded_values", SCRIPT, "Count", "their values without evidence in the text"),
    Metric("engine_cache_used_percent", SCRIPT, "Percent", "the engine's memory for running requests (KV cache)"),
    Metric("engine_preemptions", SCRIPT, "Count", "requests that the engine put back because that memory was full"),
    Metric("gpu_missing", SCRIPT, "Count", "1 while `nvidia-smi` lists no GPU, else 0", GPU),
    Metric("gpu_errors", SCRIPT, "Count", "lines `Xid` of the driver in the kernel's log", GPU),
    Metric("certificate_days_left", SCRIPT, "None", "days until the edge's certificate ends", ENCRYPTED),
    Metric("mem_used_percent", AGENT, "Percent", "memory in use", section="mem", measurement="used_percent"),
    Metric("swap_used_percent", AGENT, "Percent", "swap in use", section="swap", measurement="used_percent"),
    Metric("disk_used_percent", AGENT, "Percent", "the root volume in use", section="disk", measurement="used_percent"),
    Metric("nvidia_smi_utilization_gpu", AGENT, "Percent", "how busy the GPU is", GPU, "nvidia_gpu", "utilization_gpu"),
    Metric(
        "nvidia_smi_temperature_gpu", AGENT, "None", "the GPU's temperature (°C)", GPU, "nvidia_gpu", "temperature_gpu"
    ),
)


def metrics_of(accelerator: str, edge_mode: str) -> list[Metric]:
    """Return the metrics of an instance.

    Args:
        accelerator: that its engine computes on.
        edge_mode: what stands between clients and its gateway.
    """
    there = {ALWAYS} | ({GPU} if accelerator == "gpu" else set())
    there |= {ENCRYPTED} if edge_mode in WITH_CERTIFICATE else set()
    return [each for each in METRICS if each.where in there]
