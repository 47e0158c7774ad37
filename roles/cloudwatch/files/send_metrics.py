#!/usr/bin/env python3
"""Send CloudWatch what Amazon's agent cannot read: run by a timer each minute; prints one line of JSON.

The agent drops Prometheus's histograms, so that the gateway's 95th percentiles are computed here, of what was counted
since the last run. What else is read: whether the driver lists a GPU, its errors in the kernel's log, and when the
edge's certificate ends. Only numbers are sent, under names that the configuration lists; no text of anything that is
read leaves the instance.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import re
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

DEFAULT_CONFIGURATION = Path("/opt/slm-ft-serving/shared/cloudwatch.json")
STATE = Path("/run/slm-ft-serving/cloudwatch.json")
TIMEOUT = 10
AWS_TIMEOUT = 45
SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
PERCENTILE = 0.95
NO_ROOM = {"queue_full", "queue_timeout", "share_taken", "connections"}
# What holds at the moment; all else is counted since the gateway started.
NOW = ("engine_unavailable", "requests_at_work")
DRIVER_ERROR = "NVRM: Xid"
ENGINE_METRICS = """\
import sys, urllib.request
sys.stdout.write(urllib.request.urlopen("http://127.0.0.1:8000/metrics", timeout=5).read().decode())
"""
Sample = tuple[str, dict[str, str], float]
Totals = dict[str, float]


def samples(text: str) -> Iterable[Sample]:
    """Yield name, labels and value of each line of Prometheus's text format that has a finite value."""
    for line in text.splitlines():
        match = None if line.startswith("#") else SAMPLE.fullmatch(line)
        if match is None:
            continue
        try:
            value = float(match["value"])
        except ValueError:
            continue
        if math.isfinite(value):
            yield match["name"], dict(LABEL.findall(match["labels"] or "")), value


def gateway_totals(text: str) -> Totals:
    """Return what the gateway has counted since it started, by what each is called here; buckets as NAME:LIMIT.

    Raises:
        ValueError: it is not the gateway's text.
    """
    totals: Totals = dict.fromkeys(
        (
            *("requests", "request_failures", "requests_refused", "engine_failures"),
            *("extractions", "ungrounded_values", *NOW),
        ),
        0.0,
    )
    known = False
    for name, labels, value in samples(text):
        known = known or name == "gateway_build_info"
        for key in _keys(name, labels):
            totals[key] = totals.get(key, 0.0) + value
    if not known:
        raise ValueError("what answers is not the gateway")
    return totals


def _keys(name: str, labels: Mapping[str, str]) -> Iterable[str]:
    """Yield what a sample of the gateway counts for."""
    status, route = labels.get("status", ""), labels.get("route", "")
    if name == "llm_requests_total" and route.startswith(("/api/", "/v1/")):
        yield "requests"
        # A refusal for want of room is counted where it is made.
        if status.startswith("5") and status != "503":
            yield "request_failures"
    elif name == "gateway_refusals_total" and labels.get("reason") in NO_ROOM:
        yield "requests_refused"
    elif name == "gateway_engine_failures_total":
        yield "engine_failures"
    elif name == "gateway_extractions_total" and labels.get("outcome") == "ok":
        yield "extractions"
    elif name == "gateway_ungrounded_values_total":
        yield "ungrounded_values"
    elif name == "gateway_circuit_open":
        yield "engine_unavailable"
    elif name in ("gateway_running", "gateway_queue_waiting"):
        yield "requests_at_work"
    elif name == "llm_request_duration_seconds_bucket" and route == "/api/v1/extract":
        yield f"request_seconds_p95:{labels.get('le')}"
    elif name == "gateway_queue_wait_seconds_bucket":
        yield f"queue_seconds_p95:{labels.get('le')}"


def increase(before: Mapping[str, float], now: Mapping[str, float]) -> Totals:
    """Return what was counted meanwhile; a gateway that was started again counts from 0."""
    started_again = any(now.get(key, 0.0) < value for key, value in before.items())
    return {key: value - (0.0 if started_again else before.get(key, 0.0)) for key, value in now.items()}


def percentile(buckets: Mapping[float, float], part: float) -> float | None:
    """Return a percentile of a histogram, as Prometheus's histogram_quantile does; None of one that is empty.

    Args:
        buckets: how many values are at most each limit.
        part: of the values, such as 0.95.
    """
    limits = sorted(buckets)
    if not limits or buckets[limits[-1]] <= 0:
        return None
    rank = part * buckets[limits[-1]]
    below, floor = 0.0, 0.0
    for limit in limits:
        if buckets[limit] >= rank:
            if math.isinf(limit):
                return floor
            return floor + (limit - floor) * (rank - below) / max(buckets[limit] - below, 1e-9)
        below, floor = buckets[limit], limit
    return floor


def gateway_readings(before: Mapping[str, float] | None, now: Totals) -> dict[str, float | None]:
    """Return what is sent of the gateway.

    Args:
        before: the totals of the last run; None after a boot, when a difference would be of all time.
        now: the totals.
    """
    readings: dict[str, float | None] = {
        "gateway_up": 1.0,
        "engine_unavailable": float(now["engine_unavailable"] > 0),
        "requests_at_work": now["requests_at_work"],
    }
    if before is None:
        return readings
    counted = increase({key: value for key, value in before.items() if key not in NOW}, now)
    readings |= {key: value for key, value in counted.items() if ":" not in key and key not in NOW}
    for name in ("request_seconds_p95", "queue_seconds_p95"):
        found = {key.partition(":")[2]: value for key, value in counted.items() if key.startswith(f"{name}:")}
        readings[name] = percentile({float(limit): value for limit, value in found.items()}, PERCENTILE)
    return readings


def engine_readings(before: Mapping[str, float] | None, text: str) -> tuple[dict[str, float | None], Totals]:
    """Return what is sent of the engine, and its totals for the next run."""
    used, preempted, known = 0.0, 0.0, False
    for name, _, value in samples(text):
        if name == "vllm:kv_cache_usage_perc":
            used, known = max(used, value), True
        elif name == "vllm:num_preemptions_total":
            preempted += value
    now = {"engine_preemptions": preempted}
    if not known:
        return {}, now
    more = None if before is None else increase(before, now)["engine_preemptions"]
    return {"engine_cache_used_percent": 100 * used, "engine_preemptions": more}, now


def fetch(url: str) -> str:
    """Return what the gateway shows.

    Raises:
        OSError: it does not answer, or not in time.
    """
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:  # noqa: S310 - of the configuration
        text: str = answer.read().decode(errors="replace")
    return text


def program(*command: str, text: str = "") -> str | None:
    """Return what a program prints; None where it fails, is not there or takes too long."""
    try:
        result = subprocess.run(command, input=text, capture_output=True, text=True, timeout=TIMEOUT * 3, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout if result.returncode == 0 else None


def missing_gpu() -> float:
    """Return 1 where the driver lists no GPU."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    return float(not (program(*command) or "").strip())


def gpu_errors(since: float) -> float | None:
    """Return how many errors the GPU's driver has logged since a time; None where the log cannot be read."""
    command = ["journalctl", "--dmesg", "--no-pager", "--output=cat", f"--since=@{int(since)}"]
    log = program(*command)
    return None if log is None else float(log.count(DRIVER_ERROR))


def certificate_days_left(port: int, domain: str, now: float) -> float | None:
    """Return the days until the certificate ends that an edge on this machine shows; None where it shows none.

    Not checked here: what clients would refuse has to be told too.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        plain = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        with plain, context.wrap_socket(plain, server_hostname=domain) as connection:
            shown = connection.getpeercert(binary_form=True)
    except OSError:
        return None
    pem = ssl.DER_cert_to_PEM_cert(shown) if shown else ""
    command = ["openssl", "x509", "-noout", "-enddate"]
    end = program(*command, text=pem) if pem else None
    if end is None:
        return None
    return (ssl.cert_time_to_seconds(end.strip().partition("=")[2]) - now) / 86400


def look(settings: Mapping[str, Any], before: Mapping[str, Any], now: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return every reading by its metric's name, and what the next run has to know.

    Args:
        settings: of the configuration.
        before: what the last run left; empty after a boot.
        now: the time.
    """
    wanted = settings["metrics"]
    state: dict[str, Any] = {"time": now, "gateway": before.get("gateway"), "engine": before.get("engine")}
    readings: dict[str, float | None] = {"gateway_up": 0.0}
    # Without traffic nothing else asks the engine, and the gateway would not know that it is down, or back.
    with contextlib.suppress(OSError):
        fetch(settings["gateway"].rpartition("/")[0] + "/health")
    try:
        state["gateway"] = gateway_totals(fetch(settings["gateway"]))
        readings |= gateway_readings(before.get("gateway"), state["gateway"])
    except (OSError, ValueError):
        pass  # That it is not up is what is sent.
    command = ["docker", "exec", settings["engine_container"], "python3", "-c", ENGINE_METRICS]
    text = program(*command)
    if text is not None:
        found, state["engine"] = engine_readings(before.get("engine"), text)
        readings |= found
    if "gpu_missing" in wanted:
        readings["gpu_missing"] = missing_gpu()
        readings["gpu_errors"] = gpu_errors(before.get("time", now - 60))
    if "certificate_days_left" in wanted:
        edge = settings["edge"]
        readings["certificate_days_left"] = certificate_days_left(int(edge["port"]), str(edge["domain"]), now)
    return {name: value for name, value in readings.items() if value is not None and name in wanted}, state


def metric_data(readings: Mapping[str, float], units: Mapping[str, str], now: float) -> list[dict[str, Any]]:
    """Return readings as PutMetricData takes them.

    Args:
        readings: each by its metric's name.
        units: of each metric.
        now: the time.
    """
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    return [
        {"MetricName": name, "Value": round(value, 6), "Unit": units[name], "Timestamp": stamp}
        for name, value in sorted(readings.items())
    ]


def send(settings: Mapping[str, Any], data: list[dict[str, Any]]) -> str | None:
    """Send readings; return why that failed, or None."""
    command = ["aws", "cloudwatch", "put-metric-data", "--namespace", settings["namespace"]]
    command += ["--region", settings["region"], "--metric-data", json.dumps(data)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=AWS_TIMEOUT, check=False)
    except FileNotFoundError:
        return "the aws command is not installed on the instance"
    except subprocess.TimeoutExpired:
        return f"CloudWatch did not answer within {AWS_TIMEOUT} s"
    if result.returncode == 0:
        return None
    lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"aws ended with exit code {result.returncode}"


def read_state(path: Path) -> dict[str, Any]:
    """Return what the last run left; nothing where it left nothing that can be read."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) and isinstance(state.get("time"), (int, float)) else {}


def run(
    settings: Mapping[str, Any], state: Path, now: float, deliver: Callable[..., str | None] = send
) -> tuple[list[dict[str, Any]], str | None]:
    """Read, and send what was read; return that, and why it failed or None.

    Args:
        settings: of the configuration.
        state: where a run leaves what the next one has to know.
        now: the time.
        deliver: sends the readings.
    """
    readings, left = look(settings, read_state(state), now)
    data = metric_data(readings, settings["metrics"], now)
    problem = deliver(settings, data)
    # Kept after a failure too: what was counted in a minute that was not sent belongs to no later one.
    state.parent.mkdir(parents=True, exist_ok=True)
    unfinished = state.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(left), encoding="utf-8")
    unfinished.replace(state)
    return data, problem


def main(arguments: list[str] | None = None) -> int:
    """Send the metrics of this minute; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configuration", type=Path, default=DEFAULT_CONFIGURATION)
    parser.add_argument("--state", type=Path, default=STATE)
    options = parser.parse_args(arguments)
    settings = json.loads(options.configuration.read_text(encoding="utf-8"))
    if not settings["metrics"]:
        return 0
    data, problem = run(settings, options.state, time.time())
    sys.stdout.write(json.dumps({"sent": 0 if problem else len(data), "problem": problem}) + "\n")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
