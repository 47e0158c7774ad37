"""Settings from Parameter Store: stripped, of the form that each needs, and none that nothing reads."""

from __future__ import annotations

import re

import pytest
from ansible_collections.slm.serving.plugins.filter.settings import (
    KINDS,
    chosen_setting_problems,
    invalid_setting_problems,
    stripped_settings,
    unknown_setting_problems,
)

from tests.local_region.names import REPOSITORY_ROOT
from tests.support.rendering import value

COMMIT = "0123456789abcdef0123456789abcdef01234567"
GOOD = {
    "aws/region": ["us-east-1", "eu-central-1", "us-gov-west-1"],
    "ec2/instance-id": ["i-0123456789abcdef0", "i-01234567"],
    "engine/accelerator": ["gpu", "cpu"],
    "engine/kind": ["vllm", "llamacpp"],
    "engine/max-model-len": ["8192"],
    "engine/profile": ["fast", "quality", "cpu"],
    "images/engine-tag": ["v1", "1.0.0_rc-1", "20261127T120000Z"],
    "load-balancer/address": ["https://notes.example.org", "https://slm-1234.us-east-1.elb.amazonaws.com"],
    "load-balancer/target-group": [
        "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/slm-ft-serving-gateway/0123456789abcdef",
        "arn:aws-us-gov:elasticloadbalancing:us-gov-west-1:123456789012:targetgroup/a/73e2d6bc24d8a067",
    ],
    "model/base": [
        "s3://models/base",
        "s3://models",
        "s3://models/Modell ü 1+1/",
        "file:///mnt/models/base",
        f"hf://owner/repository@{COMMIT}",
        "hf://owner/repository@main",  # refused by the role that knows why
    ],
    "model/adapters/assistant-intent": ["s3://models/assistant/adapter"],
    "model/adapters-serving/assistant-intent": ["s3://models/assistant/adapter"],
    "s3/transfer-bucket": ["slm-ft-serving-transfer-123456789012-eu-central-1", "a.b"],
    "secrets/hf-token": [
        "slm-ft-serving/hf-token",
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:slm-ft-serving/hf-token-a1B2c3",
    ],
    "training/destination": ["s3://models/adapters"],
}
BAD = {
    "aws/region": ["us-east", "US-EAST-1", "frankfurt"],
    "ec2/instance-id": ["i-1", "0123456789abcdef0", "i-0123456789ABCDEF0", "my instance"],
    "engine/accelerator": ["GPU", "tpu", "gpu,cpu"],
    "engine/kind": ["vLLM", "llama.cpp", "ollama"],
    "engine/max-model-len": ["0", "-1", "8k", "8192.0", "1e4", "٣", "9999999999"],
    "images/engine-tag": ["v 1", "-v1", ".v1", "v1:latest", "v1\nv2", "registry/image", "ü", "v" * 129],
    "load-balancer/address": [
        "notes.example.org",
        "http://notes.example.org",
        "https://notes.example.org/x",
        "https://",
    ],
    "load-balancer/target-group": [
        "slm-ft-serving-gateway",
        "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/a/0123456789abcdef",
    ],
    "model/base": [
        "models/base",
        "https://example.org/model",
        "s3:/models/base",
        "s3://Models/base",
        "s3://models/ba\nse",
        "file://relative/path",
        "hf://repository",
        "--debug",
    ],
    "model/adapters/assistant-intent": ["models/base", "--debug"],
    "model/adapters-serving/x": ["x"],
    "s3/transfer-bucket": ["s3://bucket", "Bucket", "b", "bu cket", "bucket/prefix", "arn:aws:s3:::bucket", "-bucket"],
    "secrets/hf-token": ["file:///etc/shadow", "--debug", "hf token", "keys\nkeys"],
    "training/destination": ["s3://models", "file:///adapters", "adapters", "--endpoint-url=https://evil"],
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in GOOD.items() for text in texts])
def test_value_of_the_right_form_is_no_problem(name: str, text: str) -> None:
    assert invalid_setting_problems({name: text}, "/app") == []


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BAD.items() for text in texts])
def test_value_of_another_form_is_reported_with_its_parameter(name: str, text: str) -> None:
    (problem,) = invalid_setting_problems({name: text}, "/app")
    assert problem.startswith(f"The parameter /app/{name} is {text!a}, which is not ")
    assert problem.isprintable()


@pytest.mark.parametrize("around", ["{}\n", " {}", "{}\r\n", "\t{} "])
def test_space_around_a_value_is_no_part_of_it(around: str) -> None:
    assert stripped_settings({"s3/transfer-bucket": around.format("bucket")}) == {"s3/transfer-bucket": "bucket"}


def test_value_of_space_alone_is_left_to_the_check_for_missing_ones() -> None:
    assert invalid_setting_problems(stripped_settings({"model/base": " \n"}), "/app") == []


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("images/gatewy-tag", "images/gateway-tag"),
        ("image/engine-tag", "images/engine-tag"),
        ("model/Base", "model/base"),
        ("secrets/hf_token", "secrets/hf-token"),
        ("model/adaptors/assistant-intent", "model/adapters/assistant-intent"),
    ],
)
def test_parameter_that_nothing_reads_is_reported_with_the_nearest_name(name: str, near: str) -> None:
    (warning,) = unknown_setting_problems({name: "x", "model/base": "y", "model/adapters/z": "w"}, "/app")
    assert f"Nothing reads the parameter /app/{name}: /app/{near} may be meant" in warning


def test_parameter_like_none_is_reported_with_all_names() -> None:
    (warning,) = unknown_setting_problems({"owner": "x"}, "/app")
    assert all(name in warning for name in [*KINDS, "model/adapters/NAME"])


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("engine/acelerator", "cpu", "nothing reads engine/acelerator: engine/accelerator may be meant."),
        ("owner", "x", "nothing reads owner: known are "),
        ("engine/accelerator", "CPU", "engine/accelerator is 'CPU', which is not gpu or cpu."),
        ("monitoring/cloudwatch", True, "monitoring/cloudwatch is 'True', which is not on or off."),
        ("model/adapters/assistant-intent", "a/b", "which is not an address"),
    ],
)
def test_what_provisioning_is_to_put_is_looked_at_before_it_is_put(name: str, given: object, words: str) -> None:
    (problem,) = chosen_setting_problems({name: given, "model/base": "s3://models/base"}, "infrastructure_parameters")
    assert problem.startswith("infrastructure_parameters: ")
    assert words in problem
    found = value("infrastructure", "_infrastructure_parameter_problems", {"infrastructure_parameters": {name: given}})
    assert found == [problem]


@pytest.mark.parametrize("given", [{"engine/max-model-len": 4096}, {"model/adapter": ""}, {}])
def test_what_provisioning_may_put_is_none(given: dict[str, object]) -> None:
    assert chosen_setting_problems(given, "infrastructure_parameters") == []


def test_every_setting_that_is_read_or_made_has_a_kind() -> None:
    read = re.compile(r"settings\['([a-z0-9]+/[a-z0-9-]+)'\]")
    files = [path for part in ("inventory", "playbooks", "roles") for path in (REPOSITORY_ROOT / part).rglob("*.yml")]
    named = {name for path in files for name in read.findall(path.read_text(encoding="utf-8"))}
    looked = {"infrastructure_region": "us-east-1", "infrastructure_account": "1", "infrastructure_settings": {}}
    made = set(value("infrastructure", "_infrastructure_settings_own", looked))
    made |= set(value("infrastructure", "_infrastructure_records", {}))
    assert named
    assert (named | made) - set(KINDS) == set()
