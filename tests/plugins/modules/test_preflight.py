"""What preflight reports of an account and of an instance: each check by itself, with fakes of the answers."""

from __future__ import annotations

import datetime as dt
import email.utils
import json
import shutil
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.module_utils.process import StackError
from ansible_collections.slm.serving.plugins.modules import preflight_account as account_module
from ansible_collections.slm.serving.plugins.modules import preflight_instance as instance_module
from botocore.exceptions import ClientError

from tests.fakes.http_service import HttpFake
from tests.local_region.seed import SMALL_MODEL
from tests.plugins.run import run_module

INSTANCE = "i-0123456789abcdef0"
CALLER = "arn:aws:iam::123456789012:user/someone"


def refused(code: str) -> ClientError:
    """Return AWS's refusal with a code."""
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "SomeCall")


class FakeService(HttpFake):
    """A service with an answer for each path: a status and headers, in which a number is a date so many seconds ago."""

    def __init__(self, answers: dict[str, tuple[int, dict[str, Any]]]) -> None:
        super().__init__()
        self._answers = answers
        self.asked: list[str] = []

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(request.path)
        status, headers = self._answers[request.path]
        request.send_response_only(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            date = isinstance(value, int)
            request.send_header(name, email.utils.formatdate(time.time() - value, usegmt=True) if date else value)
        request.end_headers()


class FakePaginator:
    """Gives one page."""

    def __init__(self, page: dict[str, Any]) -> None:
        self._page = page

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        return [self._page]


class FakeAws:
    """A fake of every client at once: `answers` by call, made by a function or raised; `calls` as they came."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def call(**arguments: Any) -> Any:
            self.calls.append(name)
            answer = self._answers[name]
            if callable(answer):
                return answer(**arguments)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call

    def get_paginator(self, name: str) -> FakePaginator:
        return FakePaginator(self._answers[f"every_{name}"])


def instance(state: str = "running", kind: str = "g6.2xlarge", **more: Any) -> dict[str, Any]:
    """Return DescribeInstances' answer with one instance."""
    about = {
        "InstanceId": INSTANCE,
        "InstanceType": kind,
        "State": {"Name": state},
        "IamInstanceProfile": {"Arn": "arn:aws:iam::123456789012:instance-profile/some"},
        "CpuOptions": {"CoreCount": 4, "ThreadsPerCore": 2},
        **more,
    }
    return {"Reservations": [{"Instances": [about]}]}


def account(document: str = "own", /, **answers: Any) -> tuple[Any, FakeAws]:
    """Return an account whose instance is stopped and could be started, but for `answers`.

    Args:
        document: the session document that is named.
        answers: by call.
    """
    usual: dict[str, Any] = {
        "describe_instances": instance("stopped"),
        "describe_instance_types": {"InstanceTypes": [{"GpuInfo": {}, "VCpuInfo": {"DefaultVCpus": 8}}]},
        "start_instances": refused("DryRunOperation"),
        "simulate_principal_policy": {"EvaluationResults": [{"EvalDecision": "allowed"}]},
        "get_service_quota": {"Quota": {"Value": 8.0}},
        "every_describe_instances": {"Reservations": []},
        "get_connection_status": {"Target": INSTANCE, "Status": "connected"},
    }
    fake = FakeAws(**(usual | answers))
    options = {
        "instance_id": INSTANCE,
        "caller": CALLER,
        "region": "us-east-1",
        "accelerator": "gpu",
        "engine_profile": "",
        "engine_options": {},
        "bucket": "transfer",
        "secrets": [{"name": "some/secret", "parameter": "/slm/secrets/some"}],
        "models": {"base": "s3://models/base", "adapter": "hf://some/adapter@x"},
        "session_document": document,
    }
    return account_module.Account(lambda _service: fake, options), fake


def test_instance_that_can_be_started_has_no_problem() -> None:
    checks, fake = account()
    assert list(checks.instance()) == []
    assert (checks.state, checks.reachable, checks.unseen) == ("stopped", False, [])
    assert "start_instances" in fake.calls


def test_running_instance_is_reachable_and_no_start_is_asked_for() -> None:
    checks, fake = account(describe_instances=instance("running"))
    assert list(checks.instance()) == []
    assert checks.reachable
    assert "start_instances" not in fake.calls


@pytest.mark.parametrize(
    "connection", [{"Status": "notconnected"}, refused("AccessDeniedException")], ids=["not connected", "not told"]
)
def test_running_instance_is_not_reachable_before_its_agent_is_connected(connection: Any) -> None:
    checks, _ = account(describe_instances=instance("running"), get_connection_status=connection)
    assert list(checks.instance()) == []
    assert not checks.reachable


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"start_instances": refused("UnauthorizedOperation")}, "ec2:StartInstances"),
        ({"describe_instances": instance("terminated")}, "is terminated"),
        ({"describe_instances": instance("stopped", IamInstanceProfile=None)}, "no instance profile"),
        (
            {"describe_instance_types": {"InstanceTypes": [{"VCpuInfo": {"DefaultVCpus": 2}}]}},
            "has no GPU",
        ),
        (
            {"simulate_principal_policy": {"EvaluationResults": [{"EvalDecision": "explicitDeny"}]}},
            "ssm:StartSession",
        ),
        ({"get_service_quota": {"Quota": {"Value": 4.0}}}, "L-DB2E81BA"),
        ({"every_describe_instances": instance("running")}, "8 run and this g6.2xlarge needs 8 more"),
    ],
)
def test_reason_why_the_instance_cannot_start_is_a_problem(answers: dict[str, Any], words: str) -> None:
    checks, _ = account(**answers)
    problems = list(checks.instance())
    assert [line for line in problems if words in line], problems


# What happens with an engine on a GPU that is too old for its profile: the sentence's end says what to do.
TOO_OLD = [
    (
        "A10G",
        "8.6",
        {},
        "has the compute capability 8.6, and the engine's profile fast needs 8.9",
        "to quality, or take",
    ),
    ("A100", "8.0", {"engine_profile": "fast"}, "profile fast needs 8.9", "to quality, or take"),
    ("T4", "7.5", {}, "profile fast needs 8.9: take an instance type with a newer GPU", "such as g6.2xlarge."),
    ("T4", "7.5", {"engine_profile": "quality"}, "quality needs 8.0: take an instance type", "such as g6.2xlarge."),
    ("T4", "7.5", {"engine_options": {"quantization": "fp8_per_tensor"}}, "needs 8.0", "such as g6.2xlarge."),
]
NEW_ENOUGH = [
    ("L4", "8.9", {}),
    ("RTX PRO Server 6000", "12.0", {}),
    ("A10G", "8.6", {"engine_profile": "quality"}),
    # What the operator has set is theirs to judge.
    ("A10G", "8.6", {"engine_options": {"quantization": "fp8_per_tensor"}}),
    ("T4", "7.5", {"engine_profile": "quality", "engine_options": {"dtype": "float16"}}),
]


def with_gpu(model: str, **options: Any) -> list[str]:
    """Return the problems of an account whose instance has a GPU."""
    about = {"GpuInfo": {"Gpus": [{"Name": model}]}, "VCpuInfo": {"DefaultVCpus": 8}}
    checks, _ = account(describe_instance_types={"InstanceTypes": [about]})
    checks.options |= options
    return list(checks.instance())


@pytest.mark.parametrize(("model", "_capability", "options", "what", "remedy"), TOO_OLD)
def test_type_whose_gpu_is_too_old_for_the_profile_is_named_before_it_is_started(
    model: str, _capability: str, options: dict[str, Any], what: str, remedy: str
) -> None:
    (problem,) = with_gpu(model, **options)
    assert what in problem
    assert remedy in problem
    assert f"is a g6.2xlarge, whose GPU ({model})" in problem


@pytest.mark.parametrize(("model", "_capability", "options"), NEW_ENOUGH)
def test_type_whose_gpu_does_for_the_profile_is_none(model: str, _capability: str, options: dict[str, Any]) -> None:
    assert with_gpu(model, **options) == []


def test_gpu_that_is_not_known_is_left_to_the_instance() -> None:
    assert with_gpu("X1000") == []
    assert with_gpu("V100", accelerator="cpu") == []


def test_permission_that_depends_on_something_unknown_is_not_judged() -> None:
    result = {"EvalDecision": "implicitDeny", "MissingContextValues": ["aws:MultiFactorAuthAge"]}
    checks, _ = account(simulate_principal_policy={"EvaluationResults": [result]})
    assert list(checks.instance()) == []
    assert "aws:MultiFactorAuthAge" in checks.unseen[0]


RUN_SHELL = "document/SSM-SessionManagerRunShell"
OWN = "document/slm-ft-serving-session"


def simulated(allowed: set[str], *, document_demanded: bool = False, tagged: bool = False) -> Any:
    """Return a simulation: what ends with a name in `allowed` may be used, and what the policy asks for beside it."""

    def simulate(ResourceArns: list[str], ContextEntries: list[dict[str, Any]], **_: Any) -> dict[str, Any]:  # noqa: N803
        context = {each["ContextKeyName"]: each["ContextKeyValues"] for each in ContextEntries}
        (resource,) = ResourceArns
        fits = any(resource.endswith(name) for name in allowed)
        if ":instance/" in resource:
            fits &= not document_demanded or context["ssm:SessionDocumentAccessCheck"] == ["true"]
            fits &= not tagged or context.get("ssm:resourceTag/Application") == ["slm-ft-serving"]
        return {"EvaluationResults": [{"EvalDecision": "allowed" if fits else "implicitDeny"}]}

    return simulate


@pytest.mark.parametrize(
    ("simulate", "document", "problem"),
    [
        (simulated({INSTANCE}), RUN_SHELL, ""),
        (simulated({INSTANCE, RUN_SHELL}, document_demanded=True), RUN_SHELL, ""),
        (simulated({INSTANCE}, document_demanded=True), RUN_SHELL, f":{RUN_SHELL}"),
        (simulated({INSTANCE, RUN_SHELL}), OWN, f":{OWN}"),
        (simulated({INSTANCE, OWN}, document_demanded=True), OWN, ""),
        (simulated({INSTANCE}, tagged=True), RUN_SHELL, ""),
        (simulated({RUN_SHELL}), RUN_SHELL, f":instance/{INSTANCE}"),
    ],
)
def test_session_is_judged_by_instance_and_document(simulate: Any, document: str, problem: str) -> None:
    tags = [{"Key": "Application", "Value": "slm-ft-serving"}]
    checks, _ = account(describe_instances=instance("stopped", Tags=tags), simulate_principal_policy=simulate)
    checks.options["session_document"] = document.removeprefix("document/")
    problems = list(checks.instance())
    assert len(problems) == bool(problem)
    assert all(part in "".join(problems) for part in (problem, "ssm:StartSession", "operator-deploy") if problem)
    assert checks.unseen == []


def test_session_with_an_instance_of_another_tag_is_refused() -> None:
    tags = [{"Key": "Application", "Value": "another"}]
    checks, _ = account(
        describe_instances=instance("stopped", Tags=tags), simulate_principal_policy=simulated({INSTANCE}, tagged=True)
    )
    assert "ssm:StartSession" in "".join(checks.instance())


@pytest.mark.parametrize("path", ["", "aws-reserved/sso.amazonaws.com/eu-central-1/"])
def test_role_is_simulated_by_the_arn_that_iam_gives_it(path: str) -> None:
    arn = f"arn:aws:iam::123456789012:role/{path}Operators"
    asked = []

    def simulate(PolicySourceArn: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        asked.append(PolicySourceArn)
        return {"EvaluationResults": [{"EvalDecision": "allowed"}]}

    checks, _ = account(simulate_principal_policy=simulate, get_role={"Role": {"Arn": arn}})
    checks.options["caller"] = "arn:aws:sts::123456789012:assumed-role/Operators/somebody"
    assert list(checks.instance()) == []
    assert set(asked) == {arn}


def test_other_instances_do_not_count_for_the_quota() -> None:
    spot = instance("running", InstanceLifecycle="spot")["Reservations"]
    small = instance("running", kind="t3.micro")["Reservations"]
    checks, _ = account(every_describe_instances={"Reservations": spot + small})
    assert list(checks.instance()) == []


@pytest.mark.parametrize(
    ("call", "permission"),
    [
        ("get_service_quota", "servicequotas:GetServiceQuota"),
        ("simulate_principal_policy", "iam:SimulatePrincipalPolicy"),
        ("describe_instance_types", "ec2:DescribeInstanceTypes"),
    ],
)
def test_denied_look_up_is_no_problem(call: str, permission: str) -> None:
    checks, _ = account(**{call: refused("AccessDenied")})
    assert list(checks.instance()) == []
    assert permission in checks.unseen[0]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"VersionIdsToStages": {"1": ["AWSCURRENT"]}}, ""),
        (refused("ResourceNotFoundException"), "does not exist"),
        ({"DeletedDate": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}, "marked for deletion"),
        ({"VersionIdsToStages": {}}, "has no value"),
        (refused("AccessDeniedException"), ""),
    ],
)
def test_secrets(answer: Any, words: str) -> None:
    checks, _ = account(describe_secret=answer)
    problems = list(checks.secrets())
    assert bool(problems) == bool(words)
    assert all(words in line and "some/secret" in line and "/slm/secrets/some" in line for line in problems)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"KeyCount": 1}, ""),
        ({"KeyCount": 0}, "There is nothing at s3://models/base"),
        (refused("NoSuchBucket"), "The bucket models of the base model"),
        (refused("AccessDenied"), ""),
    ],
)
def test_models(answer: Any, words: str) -> None:
    checks, _ = account(list_objects_v2=answer)
    problems = list(checks.models())
    assert bool(problems) == bool(words)
    assert all(words in line for line in problems)


def session_document(**inputs: Any) -> dict[str, Any]:
    """Return GetDocument's answer."""
    return {"Content": json.dumps({"sessionType": "Standard_Stream", "inputs": inputs})}


@pytest.mark.parametrize(
    ("document", "answer", "problem", "warning", "unseen"),
    [
        ("own", session_document(), "", "", ""),
        ("own", session_document(kmsKeyId="alias/x"), "document own would prevent the sessions", "", ""),
        ("own", refused("InvalidDocument"), "There is no session document own", "", ""),
        ("own", refused("AccessDeniedException"), "", "", "ssm:GetDocument"),
        ("", session_document(runAsEnabled=True), "SSM-SessionManagerRunShell would prevent", "provision.yml", ""),
        ("", session_document(), "", "run playbooks/provision.yml", ""),
        ("", refused("InvalidDocument"), "", "run playbooks/provision.yml", ""),
        ("", refused("AccessDeniedException"), "", "run playbooks/provision.yml", "ssm:GetDocument"),
    ],
)
def test_session_document(document: str, answer: Any, problem: str, warning: str, unseen: str) -> None:
    checks, _ = account(document, get_document=answer)
    problems = list(checks.session_document())
    for found, words in ((problems, problem), (checks.warnings, warning), (checks.unseen, unseen)):
        assert len(found) == bool(words), found
        assert all(words in line for line in found)


@pytest.mark.parametrize(
    ("answer", "asked"),
    [(session_document(), True), (session_document(kmsKeyId="x"), False), (refused("InvalidDocument"), False)],
)
def test_no_session_is_tried_that_the_document_prevents(answer: Any, asked: bool) -> None:
    checks, _ = account(describe_instances=instance("running"), get_document=answer)
    list(checks.instance())
    list(checks.session_document())
    assert checks.can_be_asked is asked


BLOCKED = {"PublicAccessBlockConfiguration": dict.fromkeys(("BlockPublicAcls", "BlockPublicPolicy"), True)}
ONE_DAY = {"Rules": [{"Status": "Enabled", "Expiration": {"Days": 1}, "Filter": {"Prefix": ""}}]}
SAFE: dict[str, Any] = {
    "head_bucket": {},
    "get_public_access_block": BLOCKED,
    "get_bucket_versioning": {},
    "get_bucket_lifecycle_configuration": ONE_DAY,
}
EVERYBODY = {"Grants": [{"Grantee": {"URI": "http://acs.amazonaws.com/groups/global/AllUsers"}}]}
NOT_BLOCKED: dict[str, Any] = {"get_public_access_block": refused("NoSuchPublicAccessBlockConfiguration")}
PRIVATE: dict[str, Any] = {
    "get_bucket_acl": {"Grants": []},
    "get_bucket_policy_status": refused("NoSuchBucketPolicy"),
}


@pytest.mark.parametrize(
    ("answers", "problem", "warning"),
    [
        ({}, "", ""),
        ({"head_bucket": refused("404")}, "does not exist", ""),
        ({"head_bucket": refused("403")}, "s3:ListBucket", ""),
        (NOT_BLOCKED | PRIVATE | {"get_bucket_acl": EVERYBODY}, "is public", "not blocked"),
        (
            NOT_BLOCKED | PRIVATE | {"get_bucket_policy_status": {"PolicyStatus": {"IsPublic": True}}},
            "is public",
            "not blocked",
        ),
        (NOT_BLOCKED | PRIVATE, "", "not blocked"),
        ({"get_bucket_versioning": {"Status": "Enabled"}}, "", "old versions"),
        ({"get_bucket_lifecycle_configuration": refused("NoSuchLifecycleConfiguration")}, "", "do not expire"),
    ],
)
def test_transfer_bucket(answers: dict[str, Any], problem: str, warning: str) -> None:
    checks, _ = account(**(SAFE | answers))
    problems = list(checks.bucket())
    assert [bool(problems), bool(checks.warnings)] == [bool(problem), bool(warning)]
    assert all(problem in line for line in problems)
    assert all(warning in line for line in checks.warnings)


def on_instance(**options: Any) -> Any:
    """Return the checks of an instance."""
    usual = {
        "region": "us-east-1",
        "images": {},
        "models": {},
        "secrets": [],
        "root": "/does/not/exist",
        "accelerator": "gpu",
        "engine_profile": "",
        "engine_options": {},
        "port": 8080,
        "edge_ports": [],
        "edge_domain": "",
        "router_port": 0,
        "router_name": "pool.internal",
        "project": "slm-ft-serving",
        "reserve": 0,
        "unpacked": 3.5,
        "memory_reserve": 3 * 1024**3,
        "clock_tolerance": 120,
        "patience": 150,
    }
    return instance_module.Instance(usual | options)


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Return an instance with one L4, as nvidia-smi lists it."""
    device = tmp_path / "0000:31:00.0"
    device.mkdir()
    (device / "vendor").write_text("0x10de\n")
    monkeypatch.setattr(instance_module, "PCI_DEVICES", tmp_path)
    monkeypatch.setattr(shutil, "which", lambda _name: "/usr/bin/nvidia-smi")
    smi(monkeypatch, "8.9\n")


def smi(monkeypatch: pytest.MonkeyPatch, capability: str, returncode: int = 0) -> None:
    """Have nvidia-smi answer: about memory always, about the compute capability so."""

    def run(command: list[str], **_: Any) -> CompletedProcess[str]:
        if "--query-gpu=compute_cap" in command:
            return CompletedProcess(command, returncode, capability, "")
        return CompletedProcess(command, 0, "23034\n", "")

    monkeypatch.setattr(instance_module, "run", run)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(("_model", "capability", "options", "what", "remedy"), TOO_OLD)
def test_gpu_that_is_too_old_for_the_profile_is_named_by_the_instance(
    monkeypatch: pytest.MonkeyPatch, _model: str, capability: str, options: dict[str, Any], what: str, remedy: str
) -> None:
    # Two GPUs of a kind are one problem.
    smi(monkeypatch, f"{capability}\n{capability}\n")
    (problem,) = on_instance(**options).memory()
    assert what in problem
    assert remedy in problem


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(("_model", "capability", "options"), NEW_ENOUGH)
def test_gpu_that_does_for_the_profile_is_none(
    monkeypatch: pytest.MonkeyPatch, _model: str, capability: str, options: dict[str, Any]
) -> None:
    smi(monkeypatch, f"{capability}\n")
    assert list(on_instance(**options).memory()) == []


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(
    ("said", "returncode"),
    [('Field "compute_cap" is not a valid field to query.\n', 2), ("[N/A]\n", 0), ("", 0), ("7.5\n", 1)],
)
def test_driver_that_does_not_tell_the_compute_capability_is_none(
    monkeypatch: pytest.MonkeyPatch, said: str, returncode: int
) -> None:
    smi(monkeypatch, said, returncode)
    assert list(on_instance().memory()) == []


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(("gigabytes", "fits"), [(16.1, True), (20, False)])
def test_model_is_compared_with_the_memory_of_the_gpu(gigabytes: float, fits: bool) -> None:
    checks = on_instance()
    checks.weight_bytes = int(gigabytes * 1e9)
    problems = [line for line in checks.memory() if "GPU" in line]
    assert bool(problems) != fits
    assert checks.facts["gpu_memory_bytes"] == 23034 * 1024**2


def test_instance_without_a_gpu_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance_module, "PCI_DEVICES", tmp_path)
    assert [line for line in on_instance().memory() if "no NVIDIA GPU" in line]


@pytest.mark.parametrize("free", [40, 10])
def test_images_and_models_share_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """9 GB compressed, 3.5 times that unpacked, would fit alone, and so would the model."""
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=int(free * 1e9)))
    monkeypatch.setattr(instance_module, "DEFAULT_ROOT", tmp_path)
    checks = on_instance(images={"engine": {"reference": "r", "size": int(2e9)}}, root=str(tmp_path / "models"))
    checks.model_bytes = int(6e9)
    problems = list(checks.disk())
    assert bool(problems) == (free == 10)
    assert all("7.0 GB for new images and 6.0 GB for new models" in line for line in problems)


REQUEST = {"x-amzn-RequestId": "7a62c49f-347e-4fc4-9331-6e8eEXAMPLE"}


@pytest.mark.parametrize(
    ("status", "headers", "problem", "judged"),
    [
        (200, {**REQUEST, "Date": 0}, "", True),
        (200, {"x-amz-request-id": "4442587FB7D0A2F9", "Date": 3600}, " s ahead of AWS's", True),
        (200, {**REQUEST, "Date": -3600}, " s behind AWS's", True),
        (302, {**REQUEST, "Date": 0, "Location": "/page"}, "", True),
        (302, {**REQUEST, "Date": 3600, "Location": "/page"}, "ahead of AWS's", True),
        (301, {**REQUEST, "Date": 0, "Location": "/page"}, "", True),
        (307, {**REQUEST, "Date": 0, "Location": "https://another.invalid/"}, "", True),
        (403, {**REQUEST, "Date": 0}, "", True),
        (503, {**REQUEST, "Date": 0}, "", True),
        (200, {**REQUEST, "Date": 1800, "Age": "1800"}, "", True),
        (200, {**REQUEST, "Date": 0, "Age": "3600"}, "behind AWS's", True),
        (200, {**REQUEST, "Date": 0, "Age": "some time"}, "", True),
        (200, {**REQUEST, "Date": "yesterday"}, "", False),
        (200, REQUEST, "", False),
        (200, {"Date": 1800, "Content-Type": "text/html"}, "", False),
        (302, {"Date": 1800, "Location": "/page"}, "", False),
        (511, {"Date": 1800}, "", False),
    ],
)
def test_clock_is_compared_with_what_a_service_of_aws_says_itself(
    monkeypatch: pytest.MonkeyPatch, status: int, headers: dict[str, Any], problem: str, judged: bool
) -> None:
    with FakeService({"/": (status, headers), "/page": (200, {**REQUEST, "Date": 1800})}) as service:
        monkeypatch.setattr(instance_module, "clock_addresses", lambda _region: [f"http://127.0.0.1:{service.port}/"])
        checks = on_instance()
        problems = list(checks.clock())
    assert [bool(problem)] * len(problems) == [True] * bool(problem)
    assert all(problem in line for line in problems)
    assert ("clock_off_seconds" in checks.facts) == judged
    assert service.asked == ["/"], "a redirect was followed"


@pytest.mark.parametrize("first", ["silent", "proxy"])
def test_clock_is_asked_of_another_service_where_one_gives_no_time(monkeypatch: pytest.MonkeyPatch, first: str) -> None:
    """Where there is no way to the internet, an endpoint of one of them is enough."""
    answers: dict[str, tuple[int, dict[str, Any]]] = {
        "/": (200, {**REQUEST, "Date": 3600}),
        "/proxy": (403, {"Date": 0}),
    }
    with FakeService(answers) as service, socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
        closed.close()
        address = f"http://127.0.0.1:{port}/" if first == "silent" else f"http://127.0.0.1:{service.port}/proxy"
        addresses = [address, f"http://127.0.0.1:{service.port}/"]
        monkeypatch.setattr(instance_module, "clock_addresses", lambda _region: addresses)
        (problem,) = on_instance().clock()
    assert "ahead of AWS's" in problem


def test_instance_that_reaches_no_service_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    monkeypatch.setattr(instance_module, "clock_addresses", lambda _region: [address, address])
    (problem,) = on_instance().clock()
    assert problem.startswith("The instance does not reach AWS (http://127.0.0.1:")
    assert problem.count(address) == 2


def test_clock_is_asked_of_the_regions_own_services(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    assert instance_module.clock_addresses("eu-central-1") == [
        "https://s3.eu-central-1.amazonaws.com",
        "https://sts.eu-central-1.amazonaws.com",
    ]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    assert instance_module.clock_addresses("eu-central-1") == ["http://127.0.0.1:4566"]


def test_model_without_a_shard_is_found_before_it_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model-00001-of-00002.safetensors").write_bytes(b"w")
    weights = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weights}))
    (problem,) = on_instance(models={"base": tmp_path.as_uri()}, hub="", hub_token_file="").models()
    assert "The base model at file://" in problem
    assert "model-00002-of-00002.safetensors" in problem


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("model.gguf", b"<html>", "model.gguf at {} is no GGUF file: upload what"),
        ("small-f16.gguf", b"GGUF", "There is no model.gguf at {} (the gguf model): make it with"),
    ],
)
def test_what_llamacpp_cannot_load_is_named_before_it_is_fetched(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    (problem,) = on_instance(models={"gguf": tmp_path.as_uri()}, hub="", hub_token_file="").models()
    assert problem.startswith(words.format(tmp_path.as_uri()))


def test_llamacpps_model_has_to_fit_into_memory(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    instance = on_instance(models={"gguf": tmp_path.as_uri()}, hub="", hub_token_file="", accelerator="cpu")
    assert list(instance.models()) == []
    assert instance.weight_bytes == instance.model_bytes == 4


@pytest.fixture
def adapters(tmp_path: Path) -> dict[str, Path]:
    """Return the shipped base and two copies of its adapter, by the models' names."""
    models = {"base": SMALL_MODEL / "base"}
    for name in ("adapter", "adapter-parcel"):
        models[name] = shutil.copytree(SMALL_MODEL / "adapter", tmp_path / name)
    return models


def changed(folder: Path, file: str, **values: Any) -> None:
    """Change members of a JSON file."""
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


def problems_of(models: dict[str, Path], **options: Any) -> list[str]:
    """Return the problems of these models."""
    sources = {name: folder.as_uri() for name, folder in models.items()}
    return list(on_instance(models=sources, hub="", hub_token_file="", **options).models())


def test_adapters_of_one_base_are_no_problem(adapters: dict[str, Path]) -> None:
    assert problems_of(adapters) == []


@pytest.mark.parametrize("name", ["adapter", "adapter-parcel"])
def test_adapter_that_the_engine_would_not_load_beside_others_is_named(adapters: dict[str, Path], name: str) -> None:
    changed(adapters[name], "adapter_config.json", use_dora=True)
    (problem,) = problems_of(adapters)
    assert problem.startswith(f"The {name} model at file://")
    assert "DoRA" in problem
    # One alone is left to the engine, as ever.
    assert problems_of({"base": adapters["base"], "adapter": adapters[name]}) == []


def test_adapters_of_another_base_are_named(adapters: dict[str, Path], tmp_path: Path) -> None:
    adapters["base"] = shutil.copytree(adapters["base"], tmp_path / "base")
    changed(adapters["base"], "config.json", hidden_size=256)
    problems = problems_of(adapters)
    assert [name in problem for name, problem in zip(("adapter", "adapter-parcel"), problems, strict=True)] == [
        True
    ] * 2
    assert all("width of 192, and the base's is 256" in problem for problem in problems)


def test_adapters_that_are_on_the_instance_are_read_there(adapters: dict[str, Path], tmp_path: Path) -> None:
    root = tmp_path / "models"
    sources = {name: folder.as_uri() for name, folder in adapters.items()}
    run_module("model_store", {"models": sources, "root": str(root), "region": "us-east-1", "reserve": 0})
    (kept,) = root.glob("adapter-parcel-*")
    size = (kept / "adapter_config.json").stat().st_size
    (kept / "adapter_config.json").write_text('{"r": 1024}'.ljust(size), encoding="utf-8")
    (problem,) = problems_of(adapters, root=str(root))
    assert "has the rank 1024, and the engine takes 512 at most" in problem


def test_process_that_has_the_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        (inode,) = instance_module.listening(server.getsockname()[1])
        assert instance_module.owner(inode).startswith("The process ")
    assert instance_module.listening(1) == []


def test_check_that_hangs_is_a_problem_and_delays_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = on_instance()
    never = threading.Event()
    for name in ("systemd", "training", "docker", "port", "registry", "secrets", "models", "disk", "memory"):
        monkeypatch.setattr(checks, name, list)
    monkeypatch.setattr(checks, "clock", lambda: [never.wait()])
    monkeypatch.setattr(shutil, "which", lambda _name: "/usr/bin/aws")
    problems = instance_module.check(checks, patience=0.2)
    never.set()
    assert len(problems) == 1
    assert "The checks clock did not end" in problems[0]


@pytest.mark.parametrize(
    ("distribution", "words"),
    [
        ("ubuntu", "`sudo snap install aws-cli --classic`"),
        ("amzn", "`sudo dnf install -y awscli-2`"),
        ("debian", "`sudo apt-get install -y awscli`"),
        ("", "getting-started-install.html"),
    ],
)
def test_missing_aws_command_is_told_with_the_command_that_installs_it(
    distribution: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = on_instance()
    for name in ("systemd", "training", "docker", "port", "clock", "disk", "memory"):
        monkeypatch.setattr(checks, name, list)
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    monkeypatch.setattr(instance_module, "read", lambda: {"id": distribution})
    (problem,) = instance_module.check(checks, patience=30)
    assert words in problem


def test_docker_that_does_not_answer_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent() -> None:
        raise StackError("Docker does not answer: no such file")

    monkeypatch.setattr(shutil, "which", lambda _name: "/usr/bin/docker")
    monkeypatch.setattr(instance_module, "run", lambda *_args, **_more: CompletedProcess([], 0, "active\n", ""))
    monkeypatch.setattr(instance_module, "info", silent)
    (problem,) = on_instance().docker()
    assert problem.startswith("Docker does not answer: no such file: look at `journalctl --unit docker`")


def test_images_are_measured_where_containerd_keeps_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker's own directory has room; the disk that takes the images has not."""
    containerd = tmp_path / "containerd"
    containerd.mkdir()
    monkeypatch.setattr(shutil, "which", lambda _name: "/usr/bin/docker")
    monkeypatch.setattr(instance_module, "info", dict)
    monkeypatch.setattr(instance_module, "has_image", lambda _reference: False)
    monkeypatch.setattr(instance_module, "image_directory", lambda _about: containerd)
    free = {str(containerd): 10**9}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free.get(str(path), 10**12)))
    (problem,) = on_instance(images={"engine": {"reference": "r", "size": 10**9}}).disk()
    assert f"The disk of {containerd} has 1.0 GB free" in problem
