"""The status: what is a problem, what stays unknown, and how the screen reads."""

from __future__ import annotations

import ast
import datetime as dt
import json
import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.module_utils.containers import Container
from ansible_collections.slm.serving.plugins.module_utils.releases import Releases, checksums
from ansible_collections.slm.serving.plugins.modules import stack_status

from tests.support.rendering import value
from tests.support.role_variables import ROLES

GOOD, FAILED = "20260101T000001Z", "20260101T000002Z"
FILES = {"compose.yml": "services: {}\n", "verification.json": '{"gateway_port": 1}'}
WELL: Container = {
    "status": "running",
    "health": "healthy",
    "exit_code": 0,
    "oom_killed": False,
    "restarts": 0,
    "id": "1",
    "name": "p-engine-1",
    "service": "engine",
    "error": "",
    "started": "",
}
METRICS = """\
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="base"} 3.0
vllm:num_requests_waiting{engine="0",model_name="base"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 9.0
vllm:kv_cache_usage_perc{engine="0",model_name="base"} 0.25
"""


LLAMACPP_METRICS = """\
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 3
llamacpp:requests_deferred 2
"""


def answers(commands: list[list[str]], metrics: str = METRICS) -> Any:
    """Return a fake of `run`: the unit is active, the engine has these metrics, and there is one GPU."""

    def run(argv: list[str], **_: Any) -> SimpleNamespace:
        commands.append(argv)
        texts = {"systemctl": "active\n", "docker": metrics, "nvidia-smi": "NVIDIA L4, 41, 18000, 23034, 54, 40.12\n"}
        return SimpleNamespace(returncode=0, stdout=texts[argv[0]], stderr="")

    return run


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make an instance with a good release that serves and a newer one that failed."""
    releases = Releases(str(tmp_path))
    for stamp, record in ((GOOD, {"result": "good"}), (FAILED, {"result": "failed", "reason": "it crashed\nmore"})):
        releases.path(stamp).mkdir(parents=True)
        for name, content in FILES.items():
            (releases.path(stamp) / name).write_text(content)
        releases.update(stamp, files=checksums(FILES), by="arn:aws:iam::1:user/someone", **record)
    for link in ("current", "verified"):
        releases.point(link, GOOD)
    return tmp_path


@pytest.fixture
def report(root: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that gathers the status; containers are given, and the gateway is not asked."""

    def gather(by_service: dict[str, Any] | None = None, metrics: str = METRICS) -> dict[str, Any]:
        monkeypatch.setattr(stack_status, "run", answers([], metrics))
        monkeypatch.setattr(
            stack_status,
            "containers",
            lambda _: {"engine": WELL, "gateway": WELL} if by_service is None else by_service,
        )
        monkeypatch.setattr(stack_status.Status, "gateway", lambda _: None)
        monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
        status = stack_status.Status({"root": str(root), "project": "p", "unit": "p.service", "history": 5})
        gathered: dict[str, Any] = status.gather()
        return gathered

    return gather


def test_stack_that_serves_has_no_problem(report: Any) -> None:
    status = report()
    assert (status["problems"], status["unknown"]) == ([], [])
    assert status["release"]["stamp"] == GOOD
    assert status["load"] == {"running": 3, "waiting": 2, "cache": 0.25}
    assert report(metrics=LLAMACPP_METRICS)["load"] == {"running": 3, "waiting": 2}
    assert status["gpu"] == ["NVIDIA L4: 41 % busy, 18000 of 23034 MiB in use, 54 °C, 40.12 W"]
    assert [(entry["stamp"], entry["result"], entry["reason"]) for entry in status["history"]] == [
        (FAILED, "failed", "it crashed"),
        (GOOD, "good", ""),
    ]


def test_every_good_release_is_listed_with_its_tags_however_many_failed_since(report: Any, root: Path) -> None:
    releases = Releases(str(root))
    images = {name: {"reference": name, "repository": name, "tag": f"{name}-7"} for name in ("engine", "gateway")}
    releases.update(GOOD, verified="2026-01-01T00:09:00Z", images=images)
    for number in range(3, 9):
        releases.path(f"20260101T00000{number}Z").mkdir()
    assert GOOD not in [entry["stamp"] for entry in report()["history"]]
    assert report()["good"] == [
        {"stamp": GOOD, "verified": "2026-01-01T00:09:00Z", "tags": {"engine": "engine-7", "gateway": "gateway-7"}}
    ]
    line = f"good      {GOOD} verified 2026-01-01T00:09:00Z engine engine-7, gateway gateway-7"
    assert line in screen(status_found=report()).splitlines()


def test_containers_that_are_not_healthy_are_problems(report: Any) -> None:
    problems = report({"engine": {**WELL, "health": "unhealthy", "error": "the cause\nmore"}})["problems"]
    assert problems == ["engine is running (unhealthy): the cause", "there is no container of the gateway"]


def test_a_router_that_is_missing_is_a_problem(report: Any, root: Path) -> None:
    (root / "releases" / GOOD / "verification.json").write_text('{"gateway_port": 1, "router": true}')
    assert "there is no container of the router" in report()["problems"]


def test_a_damaged_release_is_a_problem(report: Any, root: Path) -> None:
    (root / "releases" / GOOD / "compose.yml").unlink()
    status = report()
    assert "is damaged: compose.yml is missing" in status["problems"][0]
    assert status["history"][1]["result"] == "damaged"


def test_a_release_that_was_not_verified_is_a_problem(report: Any, root: Path) -> None:
    Releases(str(root)).point("current", FAILED)
    assert "was not verified" in report()["problems"][0]


def test_no_release_is_a_problem(report: Any, root: Path) -> None:
    for link in ("current", "verified"):
        (root / link).unlink()
    assert report()["problems"] == ["there is no release; run playbooks/deploy.yml"]


def test_part_that_hangs_is_unknown_and_the_others_are_reported(report: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_status, "PART", 1)
    monkeypatch.setattr(stack_status.Status, "disks", lambda _: time.sleep(30))
    status = report()
    assert status["unknown"] == ["disk: no answer within 1 s"]
    assert status["history"]


def test_parts_together_end_before_the_connection_sends_the_command_again() -> None:
    parts = Path(stack_status.__file__).read_text(encoding="utf-8").count("with self.part(")
    assert parts * stack_status.PART < 60


def test_metrics_are_asked_for_with_a_script_that_python_reads() -> None:
    compile(stack_status.ASK_METRICS, "metrics", "exec")


def screen(**variables: Any) -> str:
    """Return the text of the screen."""
    instance = {"id": "i-1", "type": "g6.2xlarge", "state": "running", "since": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}
    defaults = {
        "status_instance": instance,
        "status_price": {"known": False},
        "status_month": {"skipped": True},
        "status_lock": "",
        "status_found": {},
    }
    return str(value("status", "lookup('ansible.builtin.template', 'status.txt.j2')", {**defaults, **variables}))


def test_screen_of_a_healthy_stack(report: Any) -> None:
    text = screen(status_found=report(), status_price={"known": True, "instance_hour": 1.0, "source": "a table"})
    lines = text.splitlines()
    assert lines[0] == "status    serving"
    assert any(line.startswith("cost ") and "(1.0000 USD an hour, on demand; a table)" in line for line in lines)
    assert "load      requests running 3, waiting 2; KV cache 25 % full" in lines
    assert any(line.startswith(f"history   {FAILED} failed") and line.endswith("it crashed") for line in lines)
    assert "lock      free" in lines
    assert all(line == line.rstrip() for line in lines)


def test_screen_names_the_profile_of_a_release_that_has_one(report: Any) -> None:
    found = report()
    assert not [line for line in screen(status_found=found).splitlines() if line.startswith("profile")]
    found["release"] |= {"profile": "quality", "accelerator": "gpu"}
    assert "profile   quality (gpu)" in screen(status_found=found).splitlines()


def test_screen_names_the_engine_that_is_not_vllm(report: Any) -> None:
    found = report()
    found["release"] |= {"engine_kind": "vllm", "accelerator": "cpu"}
    assert not [line for line in screen(status_found=found).splitlines() if line.startswith("engine")]
    found["release"] |= {"engine_kind": "llamacpp"}
    assert "engine    llamacpp (cpu)" in screen(status_found=found).splitlines()


def test_screen_begins_with_the_problems(report: Any) -> None:
    lines = screen(status_found=report({})).splitlines()
    assert lines[0] == "status    NOT WELL: there is no container of the engine"
    assert lines[1] == "                    there is no container of the gateway"


def test_screen_of_a_first_deployment_under_way_is_no_alarm(report: Any, root: Path) -> None:
    for link in ("current", "verified"):
        (root / link).unlink()
    lines = screen(status_found=report({}), status_changed_by="deploy.yml").splitlines()
    assert lines[0] == "status    NOT SERVING YET: deploy.yml is at work, and there is no release so far"


def test_screen_of_a_change_under_way_names_the_playbook(report: Any, root: Path) -> None:
    Releases(str(root)).point("current", FAILED)
    lines = screen(status_found=report(), status_changed_by="rollback.yml").splitlines()
    assert lines[0].startswith("status    rollback.yml IS AT WORK: the current release was not verified")


LOST = {"lost_session": True, "msg": "The session with the instance was lost: TargetNotConnected"}


def test_screen_of_an_instance_without_a_session() -> None:
    lines = screen(status_found=LOST).splitlines()
    assert lines[0] == "status    UNKNOWN: no session with the instance, which runs"
    assert lines[1].strip() == LOST["msg"]
    assert any(line.startswith("instance  i-1") for line in lines)


@pytest.mark.parametrize(
    ("state", "found", "serving"),
    [
        ("running", {"problems": []}, True),
        ("running", {"problems": ["there is no container of the engine"]}, False),
        ("running", LOST, None),
        ("stopped", {"skipped": True}, False),
    ],
)
def test_a_machine_reads_whether_it_serves(state: str, found: dict[str, Any], serving: bool | None) -> None:
    instance = {"id": "i-1", "state": state, "since": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}
    variables = {"status_instance": instance, "status_found": found}
    recorded = value("status", "_status_recorded", variables)
    assert recorded["serving"] is serving
    assert json.loads(json.dumps(recorded))["instance"]["id"] == "i-1"


def test_screen_of_a_stopped_instance() -> None:
    stopped = {"id": "i-1", "type": "g6.2xlarge", "state": "stopped", "since": "2026-01-01T00:00:00+00:00"}
    lines = screen(status_instance=stopped, status_found={"skipped": True}).splitlines()
    assert lines[0] == "status    NOT SERVING: the instance is stopped. Start it with playbooks/start.yml."
    assert "cost      its volume only" in lines


WAKER = {
    "url": "https://abc.lambda-url.us-east-1.on.aws/",
    "wakes": [{"when": "2026-01-02T03:04:05", "instance": "i-1"}, {"when": "2026-01-01T03:04:05", "instance": "i-1"}],
    "days": 7,
    "unknown": [],
    "changed": False,
}
SKIPPED = {"skipped": True, "changed": False}


def stopped(code: str, **more: Any) -> dict[str, Any]:
    """Return the screen's variables of an instance that was stopped for a reason of EC2's."""
    reason = {"code": code, "message": f"{code}: x"} if code else {}
    instance = {"id": "i-1", "type": "g6.2xlarge", "state": "stopped", "since": "2026-01-01T00:00:00+00:00"}
    return {"status_instance": instance | {"reason": reason}, "status_found": {"skipped": True}, **more}


@pytest.mark.parametrize(
    ("code", "by", "words", "wakes"),
    [
        ("Client.InstanceInitiatedShutdown", "itself", "by itself, as idle stop does it", True),
        ("Client.UserInitiatedShutdown", "somebody", "on purpose, by stop.yml or a person", False),
        ("Server.InsufficientInstanceCapacity", "AWS", "by AWS", True),
        ("Server.SpotInstanceTermination", "AWS", "by AWS", False),
        ("", "unknown", "EC2 does not say by whom", False),
    ],
)
def test_screen_of_a_stopped_instance_says_what_stopped_it_and_whether_a_call_starts_it(
    code: str, by: str, words: str, wakes: bool
) -> None:
    told = f"stopped   {words}" + (f" ({code})" if code else "")
    assert told in screen(**stopped(code, status_waker=SKIPPED)).splitlines()
    ending = "a call of the waker starts it" if wakes else "the waker leaves it, except with waker_stopped_by_hand=true"
    assert f"{told}; {ending}" in screen(**stopped(code, status_waker=WAKER)).splitlines()
    assert value("status", "_status_recorded", stopped(code, status_month={}))["instance"]["stopped_by"] == by


def test_an_instance_that_runs_was_stopped_by_nobody(report: Any) -> None:
    text = screen(status_found=report(), status_waker=WAKER)
    assert not [line for line in text.splitlines() if line.startswith("stopped")]


def test_the_reasons_after_which_the_waker_starts_an_instance_are_its_own() -> None:
    source = (ROLES / "waker/files/waker.py").read_text(encoding="utf-8")
    (woken,) = [
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "WOKEN"
    ]
    assert set(value("status", "_status_woken", {})) == ast.literal_eval(woken)


def test_screen_shows_the_wakers_address_and_its_newest_wake(report: Any) -> None:
    lines = screen(status_found=report(), status_waker=WAKER).splitlines()
    begin = lines.index(f"waker     {WAKER['url']}")
    assert lines[begin + 1].strip().startswith("woke i-1 at 2026-01-02T03:04:05 UTC (")
    assert lines[begin + 1].endswith("ago), the newest of 2 in 7 days")


def test_screen_of_a_waker_that_woke_nobody_or_of_which_aws_tells_nothing(report: Any) -> None:
    lines = screen(status_found=report(), status_waker=WAKER | {"wakes": []}).splitlines()
    assert lines[lines.index(f"waker     {WAKER['url']}") + 1].strip() == "woke no instance in 7 days"
    refused = {"url": "", "wakes": [], "days": 7, "unknown": ["its address: AccessDenied: no"]}
    lines = screen(status_found=report(), status_waker=refused).splitlines()
    begin = lines.index("waker     its address is not known")
    assert lines[begin + 1].strip() == "unknown: its address: AccessDenied: no"
    assert "woke no instance" not in "\n".join(lines)


@pytest.mark.parametrize("waker", [{}, SKIPPED])
def test_screen_without_a_waker_says_so(waker: dict[str, Any], report: Any) -> None:
    assert "waker     none" in screen(status_found=report(), status_waker=waker).splitlines()


def test_a_machine_reads_what_the_waker_did() -> None:
    given = stopped("Client.InstanceInitiatedShutdown", status_month={})
    recorded = value("status", "_status_recorded", given | {"status_waker": WAKER})
    assert recorded["waker"] == {name: WAKER[name] for name in ("url", "wakes", "days", "unknown")}
    assert value("status", "_status_recorded", given | {"status_waker": SKIPPED})["waker"] == {}


MONTH = {
    "month": "2026-11",
    "hours": 31.25,
    "costs": [{"what": "the instance, 31.2 h", "usd": 30.55}, {"what": "200 GiB of gp3", "usd": 4.0}],
    "usd": 34.55,
    "unknown": ["the Elastic IPs: AccessDenied"],
    "changed": False,
}


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_screen_shows_what_the_month_cost_and_what_is_not_in_it(state: str, report: Any) -> None:
    instance = {"id": "i-1", "type": "g6.2xlarge", "state": state, "since": "2026-01-01T00:00:00+00:00"}
    lines = screen(status_instance=instance, status_month=MONTH, status_found=report()).splitlines()
    begin = lines.index("month     2026-11 so far, computed: 31.2 hours of running, used or not; 34.55 USD in all")
    assert [line.strip() for line in lines[begin + 1 : begin + 4]] == [
        "30.55 USD  the instance, 31.2 h",
        "4.00 USD  200 GiB of gp3",
        "not counted: the Elastic IPs: AccessDenied",
    ]


def test_a_machine_reads_what_the_month_cost() -> None:
    stopped = {"id": "i-1", "state": "stopped", "since": "2026-01-01T00:00:00+00:00"}
    variables = {"status_instance": stopped, "status_found": {"skipped": True}}
    recorded = value("status", "_status_recorded", variables | {"status_month": MONTH})
    assert recorded["month"] == {name: MONTH[name] for name in ("month", "hours", "costs", "usd", "unknown")}
    assert value("status", "_status_recorded", variables | {"status_month": {"skipped": True}})["month"] == {}


def test_screen_without_a_price_names_none(report: Any) -> None:
    assert "USD" not in screen(status_found=report())


def test_silent_gateway_is_a_problem(root: Path) -> None:
    status = stack_status.Status({"root": str(root), "project": "p", "unit": "p.service", "history": 5})
    status.by_service = {"gateway": WELL}
    # Port 1, which the release's verification.json names, is nobody's.
    status.gateway()
    assert status.problems[0].startswith("the gateway does not answer")
