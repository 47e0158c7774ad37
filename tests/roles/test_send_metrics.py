"""The script that sends metrics to CloudWatch: what it counts, what it sends, and that no text of a note is in it."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
from ansible_collections.slm.serving.plugins.filter.cloudwatch import cloudwatch_script_metrics

from gateway.observability.metrics import Metrics
from tests.fakes.http_service import HttpFake
from tests.support.aws_account import mock_aws
from tests.support.rendering import value
from tests.support.role_variables import ROLES

NOTE = "Planted: lobular carcinoma of Jane Roe, stage IV"
UNITS = cloudwatch_script_metrics({"accelerator": "gpu", "edge_mode": "certificate"})
ENGINE = """\
# HELP vllm:kv_cache_usage_perc KV-cache usage.
vllm:kv_cache_usage_perc{engine="0",model_name="base"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="a, \\"b\\" {c}"} 0.5
vllm:num_preemptions_total{engine="0",model_name="base"} 3.0
"""


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    """Yield the script as a Python module."""
    specification = importlib.util.spec_from_file_location("send_metrics", ROLES / "cloudwatch/files/send_metrics.py")
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    sys.modules["send_metrics"] = module
    specification.loader.exec_module(module)
    yield module
    del sys.modules["send_metrics"]


class FakeGateway(HttpFake):
    """A gateway's /metrics with a given text, whose health is bad."""

    text = ""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def answer(self, request: Any) -> None:
        """Send the text."""
        self.asked.append(request.path)
        request.send_response(503 if request.path == "/health" else 200)
        request.end_headers()
        request.wfile.write(self.text.encode())


def gateway() -> Metrics:
    """Return the metrics of a gateway that has just started."""
    metrics = Metrics()
    metrics.watch("gateway_circuit_open", "", lambda: 0)
    return metrics


def at_work(metrics: Metrics) -> None:
    """Have a gateway count what it counts in a minute of work."""
    for _ in range(18):
        metrics.answered("/api/v1/extract", 200, 0.2)
    for status in (502, 503):
        metrics.answered("/api/v1/extract", status, 4.0)
    metrics.answered("/health", 500, 0.1)
    metrics.refused("queue_full")
    metrics.refused("unauthorized")
    metrics.waited(0.02)
    metrics.engine_failed("timeout")
    metrics.extracted("medical_ie", "ok")
    metrics.extracted("medical_ie", "invalid")
    metrics.ungrounded("medical_ie", 3)


def totals(script: ModuleType, metrics: Metrics) -> Any:
    """Return what the script reads of a gateway."""
    return script.gateway_totals(metrics.exposition().decode())


def test_a_minute_of_work_is_counted(script: ModuleType) -> None:
    metrics = gateway()
    at_work(metrics)
    before = totals(script, metrics)
    at_work(metrics)
    readings = script.gateway_readings(before, totals(script, metrics))
    slow = readings.pop("request_seconds_p95")
    assert 2.5 < slow <= 5, "the two slow ones are the last tenth"
    assert 0.01 < readings.pop("queue_seconds_p95") <= 0.025
    assert readings == {
        "gateway_up": 1,
        "engine_unavailable": 0,
        "requests_at_work": 0,
        "requests": 20,
        "request_failures": 1,
        "requests_refused": 1,
        "engine_failures": 1,
        "extractions": 1,
        "ungrounded_values": 3,
    }


def test_the_first_run_after_a_boot_sends_no_difference(script: ModuleType) -> None:
    metrics = gateway()
    at_work(metrics)
    assert script.gateway_readings(None, totals(script, metrics)) == {
        "gateway_up": 1,
        "engine_unavailable": 0,
        "requests_at_work": 0,
    }


def test_what_runs_and_what_waits_is_at_work_and_no_count_that_only_grows(script: ModuleType) -> None:
    metrics, work = gateway(), {"gateway_running": 32, "gateway_queue_waiting": 7}
    metrics.watch("gateway_running", "", lambda: work["gateway_running"])
    metrics.watch("gateway_queue_waiting", "", lambda: work["gateway_queue_waiting"])
    at_work(metrics)
    before = totals(script, metrics)
    assert script.gateway_readings(None, before)["requests_at_work"] == 39
    work |= {"gateway_running": 1, "gateway_queue_waiting": 0}
    at_work(metrics)
    readings = script.gateway_readings(before, totals(script, metrics))
    # Fewer at work is no sign of a gateway that was started again.
    assert (readings["requests_at_work"], readings["requests"]) == (1, 20)


def test_a_gateway_that_was_started_again_counts_from_nothing(script: ModuleType) -> None:
    old, new = gateway(), gateway()
    for _ in range(3):
        at_work(old)
    at_work(new)
    readings = script.gateway_readings(totals(script, old), totals(script, new))
    assert (readings["requests"], readings["extractions"]) == (20, 1)
    assert readings["request_seconds_p95"] > 0


def test_without_a_request_there_is_no_percentile(script: ModuleType) -> None:
    metrics = gateway()
    at_work(metrics)
    readings = script.gateway_readings(totals(script, metrics), totals(script, metrics))
    assert readings["request_seconds_p95"] is None
    assert readings["requests"] == 0


def test_an_open_circuit_is_an_engine_that_is_not_available(script: ModuleType) -> None:
    metrics = Metrics()
    metrics.watch("gateway_circuit_open", "", lambda: 1)
    assert script.gateway_readings(None, totals(script, metrics))["engine_unavailable"] == 1


@pytest.mark.parametrize(
    ("buckets", "expected"),
    [
        ({1.0: 0, 2.0: 100, float("inf"): 100}, 1.95),
        ({1.0: 90, 2.0: 90, float("inf"): 100}, 2.0),
        ({1.0: 100, float("inf"): 100}, 0.95),
        ({1.0: 0, float("inf"): 0}, None),
        ({}, None),
    ],
)
def test_percentiles_are_those_of_prometheus(script: ModuleType, buckets: Any, expected: float | None) -> None:
    assert script.percentile(buckets, 0.95) == (None if expected is None else pytest.approx(expected))


def test_the_engines_memory_is_that_of_its_fullest_part(script: ModuleType) -> None:
    readings, left = script.engine_readings({"engine_preemptions": 1.0}, ENGINE)
    assert readings == {"engine_cache_used_percent": 50, "engine_preemptions": 2}
    assert left == {"engine_preemptions": 3}
    assert script.engine_readings(None, ENGINE)[0]["engine_preemptions"] is None
    assert script.engine_readings(None, "another program")[0] == {}


@pytest.mark.parametrize("text", ["", "<html>", "up 1\n", 'gateway_build_info{version="1"} NaN\n'])
def test_what_is_not_the_gateway_is_not_up(script: ModuleType, tmp_path: Path, text: str) -> None:
    with FakeGateway() as fake:
        fake.text = text
        sent, _ = script.run(settings(fake.port, {"gateway_up": "Count"}), tmp_path / "state", 1e9, lambda *_: None)
    assert [(each["MetricName"], each["Value"]) for each in sent] == [("gateway_up", 0)]


def test_the_engine_is_asked_before_the_gateway_says_whether_it_is_down(script: ModuleType, tmp_path: Path) -> None:
    with FakeGateway() as fake:
        fake.text = gateway().exposition().decode()
        wanted = {"gateway_up": "Count", "engine_unavailable": "Count"}
        sent, _ = script.run(settings(fake.port, wanted), tmp_path / "state", 1e9, lambda *_: None)
    assert fake.asked == ["/health", "/metrics"]
    assert {each["MetricName"]: each["Value"] for each in sent} == {"gateway_up": 1, "engine_unavailable": 0}


def settings(port: int, metrics: dict[str, str] | None = None) -> dict[str, Any]:
    """Return the script's configuration as the role renders it, for a gateway at a port of this machine."""
    given = {"cloudwatch_mode": "on", "cloudwatch_region": "us-east-1", "cloudwatch_gateway_port": port}
    given |= {"cloudwatch_edge_mode": "certificate", "cloudwatch_edge_domain": "notes.example.org"}
    # Nothing listens at the edge's.
    rendered: dict[str, Any] = value("cloudwatch", "_cloudwatch_settings", {**given, "cloudwatch_edge_port": 9})
    return rendered | ({"metrics": metrics} if metrics else {})


def programs(folder: Path, monkeypatch: pytest.MonkeyPatch, **texts: str) -> None:
    """Put programs on the path that print a text, in the place of those of an instance."""
    for name, text in texts.items():
        path = folder / name.replace("_", "-")
        path.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def test_what_is_sent_is_listed_and_holds_no_text_of_a_note(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What every source shows besides numbers, here a note, stays on the instance."""
    log = f"NVRM: Xid (PCI:0000:00:1e): 79, {NOTE}\n{NOTE}"
    engine = f'{ENGINE}vllm:other{{text="{NOTE}"}} 1'
    programs(tmp_path, monkeypatch, docker=engine, nvidia_smi="NVIDIA L4", journalctl=log)
    metrics, kept = gateway(), []
    with FakeGateway() as fake:
        for now in (1e9, 1e9 + 60):
            at_work(metrics)
            fake.text = f'{metrics.exposition().decode()}gateway_other{{text="{NOTE}"}} 1\n'
            sent, problem = script.run(settings(fake.port), tmp_path / "state", now, lambda _, data: kept.append(data))
    assert problem is None
    assert kept[-1] == sent
    by_name = {each["MetricName"]: each for each in sent}
    assert set(UNITS) - set(by_name) == {"certificate_days_left"}, "there is no edge that could be asked"
    assert {name: each["Unit"] for name, each in by_name.items()} == {name: UNITS[name] for name in by_name}
    assert (by_name["gpu_errors"]["Value"], by_name["gpu_missing"]["Value"]) == (1, 0)
    words = re.findall(r"[a-z]{4,}", NOTE.lower())
    shipped = (json.dumps(kept) + (tmp_path / "state").read_text()).lower()
    assert [word for word in words if word in shipped] == []
    with mock_aws():
        cloudwatch = boto3.client("cloudwatch", region_name="us-east-1")
        cloudwatch.put_metric_data(Namespace="slm-ft-serving", MetricData=sent)
        there = cloudwatch.list_metrics(Namespace="slm-ft-serving")["Metrics"]
    assert {(each["MetricName"], len(each["Dimensions"])) for each in there} == {(name, 0) for name in by_name}


def test_a_gpu_that_does_not_answer_is_missing(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs(tmp_path, monkeypatch, nvidia_smi="")
    assert script.missing_gpu() == 1
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert script.missing_gpu() == 1
    assert script.gpu_errors(0) is None


def test_aws_says_why_nothing_was_sent(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = tmp_path / "aws"
    fake.write_text(
        '#!/bin/sh\nprintf "%s\\n" "$@" > "$0.seen"\necho "An error occurred (AccessDenied)" >&2\nexit 254\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    configuration = tmp_path / "cloudwatch.json"
    configuration.write_text(json.dumps(settings(9, {"gateway_up": "Count"})))
    arguments = ["--configuration", str(configuration), "--state", str(tmp_path / "state")]
    assert script.main(arguments) == 1
    assert json.loads(capsys.readouterr().out) == {"sent": 0, "problem": "An error occurred (AccessDenied)"}
    seen = (tmp_path / "aws.seen").read_text().splitlines()
    assert seen[:4] == ["cloudwatch", "put-metric-data", "--namespace", "slm-ft-serving"]
    assert json.loads(seen[-1])[0]["MetricName"] == "gateway_up"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"time": "x"}'])
def test_a_state_of_no_use_begins_anew(script: ModuleType, tmp_path: Path, content: str) -> None:
    (tmp_path / "state").write_text(content)
    assert script.read_state(tmp_path / "state") == {}


def test_nothing_is_read_where_it_is_off(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configuration = tmp_path / "cloudwatch.json"
    off = value("cloudwatch", "_cloudwatch_settings", {"cloudwatch_region": "us-east-1"})
    configuration.write_text(json.dumps(off))
    assert off["metrics"] == {}
    assert script.main(["--configuration", str(configuration), "--state", str(tmp_path / "state")]) == 0
    assert capsys.readouterr().out == ""
