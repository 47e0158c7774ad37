"""What the instance may do: all that its code asks of AWS, and nothing else."""

from __future__ import annotations

import functools
import json
import re
from typing import Any

import pytest
from moto.iam.access_control import IAMPolicy, PermissionResult

from tests.support.rendering import value
from tests.support.role_variables import ROLES

HERE = "us-east-1:123456789012"
SECRET = f"arn:aws:secretsmanager:{HERE}:secret"
PARAMETER = f"arn:aws:ssm:{HERE}:parameter"
REPOSITORY = f"arn:aws:ecr:{HERE}:repository"
LOG_GROUP = f"arn:aws:logs:{HERE}:log-group"
MODELS = "arn:aws:s3:::slm-ft-serving-models-123456789012-us-east-1"
READ = ("s3:GetObject", f"{MODELS}/base/config.json")
LIST = ("s3:ListBucket", MODELS)
TOKEN = ("ecr:GetAuthorizationToken", "*")
# The rights that each command of the code on the instance needs.
NEEDED = {
    "secretsmanager get-secret-value": [("secretsmanager:GetSecretValue", f"{SECRET}:slm-ft-serving/hf-token-a1B2c3")],
    "ecr get-login-password": [TOKEN],
    "ecr get-authorization-token": [TOKEN],
    "s3api list-objects-v2": [LIST],
    "s3api head-object": [READ],
    "s3 presign": [READ],
    "s3 sync": [LIST, READ],
    # Fine-tuning copies its adapter to where the setting training/destination says.
    "s3 cp": [("s3:PutObject", f"{MODELS}/adapters/a"), ("s3:AbortMultipartUpload", f"{MODELS}/adapters/a")],
}
SERVICES = "ec2|ecr|iam|logs|s3|s3api|secretsmanager|ssm|sts"
COMMAND = re.compile(rf'"({SERVICES})", "([a-z0-9]+(?:-[a-z0-9]+)+|sync|cp|presign)"')
# What a module imports that acts on the controller, with the operator's rights.
ON_THE_CONTROLLER = "AnsibleAWSModule"


def commands_of_the_instance() -> set[str]:
    """Return the AWS commands in the modules and files that roles send to the instance, such as `s3 sync`."""
    files = [*ROLES.glob("*/files/*.py"), *(ROLES.parent / "plugins").rglob("*.py")]
    texts = [path.read_text(encoding="utf-8") for path in files]
    remote = [text for text in texts if ON_THE_CONTROLLER not in text]
    return {" ".join(found) for text in remote for found in COMMAND.findall(text)}


@functools.cache
def own_policy() -> IAMPolicy:
    """Return the role's policy where nothing was set otherwise."""
    return policy()


def evaluated(expression: str, **variables: Any) -> Any:
    """Return an expression of the role, in an account with nothing in it."""
    empty = {
        "infrastructure_region": "us-east-1",
        "infrastructure_account": "123456789012",
        "infrastructure_settings": {},
        "_infrastructure_found": {"partition": "aws", "account": "123456789012", "things": []},
    }
    return value("infrastructure", expression, empty | variables)


def settings_to_put(**variables: Any) -> dict[str, str]:
    """Return what is put into Parameter Store, by name below the path."""
    put: dict[str, str] = evaluated("_infrastructure_settings_to_put", **variables)
    return put


def policy(**variables: Any) -> IAMPolicy:
    """Return the role's policy, as the template makes it with these variables."""
    text = evaluated("lookup('ansible.builtin.template', 'instance-policy.json.j2')", **variables)
    document = text if isinstance(text, str) else json.dumps(text)
    return IAMPolicy(document.replace("?", "."))  # moto takes resources for regular expressions.


@pytest.mark.parametrize("command", sorted(commands_of_the_instance()))
def test_what_the_code_on_the_instance_asks_for_is_allowed(command: str) -> None:
    assert command in NEEDED, f"say in NEEDED which rights `aws {command}` takes, and see that the template gives them"
    permitted = [own_policy().is_action_permitted(action, resource) for action, resource in NEEDED[command]]
    assert set(permitted) == {PermissionResult.PERMITTED}


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("ssmmessages:OpenDataChannel", "*"),
        ("ssm:UpdateInstanceInformation", "*"),
        ("ecr:BatchGetImage", f"{REPOSITORY}/slm-ft-serving-vllm"),
        ("ecr:GetDownloadUrlForLayer", f"{REPOSITORY}/slm-ft-serving-gateway"),
        ("logs:DescribeLogGroups", "*"),
        ("logs:CreateLogStream", f"{LOG_GROUP}:/aws/ssm/slm-ft-serving/sessions:log-stream:a"),
        ("logs:DescribeLogStreams", f"{LOG_GROUP}:/aws/ssm/slm-ft-serving/sessions:log-stream:a"),
        ("logs:PutLogEvents", f"{LOG_GROUP}:/aws/ssm/slm-ft-serving/sessions:log-stream:a"),
    ],
)
def test_what_agent_and_docker_ask_for_is_allowed(action: str, resource: str) -> None:
    assert own_policy().is_action_permitted(action, resource) == PermissionResult.PERMITTED


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("secretsmanager:GetSecretValue", f"{SECRET}:other-application/key-a1B2c3"),
        ("secretsmanager:GetSecretValue", f"{SECRET}:slm-ft-serving-other/key-a1B2c3"),
        ("secretsmanager:PutSecretValue", f"{SECRET}:slm-ft-serving/hf-token-a1B2c3"),
        ("secretsmanager:ListSecrets", "*"),
        ("ssm:GetParametersByPath", f"{PARAMETER}/slm-ft-serving"),
        ("ssm:GetParameter", f"{PARAMETER}/slm-ft-serving/aws/region"),
        ("ssm:GetParameter", f"{PARAMETER}/other-application/key"),
        ("ssm:GetParameter", f"{PARAMETER}/slm-ft-serving-other/key"),
        ("ssm:PutParameter", f"{PARAMETER}/slm-ft-serving/aws/region"),
        ("ssm:SendCommand", "*"),
        ("ssm:StartSession", "*"),
        ("s3:GetObject", "arn:aws:s3:::other-bucket/key"),
        ("s3:GetObject", "arn:aws:s3:::slm-ft-serving-transfer-123456789012-us-east-1/key"),
        ("s3:ListBucket", "arn:aws:s3:::slm-ft-serving-transfer-123456789012-us-east-1"),
        ("s3:ListAllMyBuckets", "*"),
        ("s3:PutObject", f"{MODELS}/base/config.json"),
        ("s3:PutObject", f"{MODELS}/adapter/adapter_config.json"),
        ("s3:PutObject", f"{MODELS}/data/train.jsonl"),
        ("s3:PutObject", f"{MODELS}/adapters-of-another/a"),
        ("s3:PutObject", "arn:aws:s3:::other-bucket/adapters/a"),
        ("s3:DeleteObject", f"{MODELS}/adapters/a"),
        ("s3:DeleteObject", f"{MODELS}/base/config.json"),
        ("ecr:BatchCheckLayerAvailability", f"{REPOSITORY}/slm-ft-serving-vllm"),
        ("ecr:PutImage", f"{REPOSITORY}/slm-ft-serving-vllm"),
        ("ecr:InitiateLayerUpload", f"{REPOSITORY}/slm-ft-serving-vllm"),
        ("ecr:BatchDeleteImage", f"{REPOSITORY}/slm-ft-serving-vllm"),
        ("ecr:BatchGetImage", f"{REPOSITORY}/other"),
        ("logs:PutLogEvents", f"{LOG_GROUP}:/other:log-stream:a"),
        ("logs:PutLogEvents", f"{LOG_GROUP}:/aws/ssm/slm-ft-serving/commands:log-stream:a"),
        ("logs:GetLogEvents", f"{LOG_GROUP}:/aws/ssm/slm-ft-serving/sessions:log-stream:a"),
        ("ec2:DescribeInstances", "*"),
        ("ec2:RunInstances", "*"),
        ("ec2:TerminateInstances", "*"),
        ("iam:PassRole", "*"),
        ("iam:GetRole", "*"),
        ("sts:AssumeRole", "*"),
        ("kms:Decrypt", "*"),
    ],
)
def test_instance_policy_allows_nothing_else(action: str, resource: str) -> None:
    assert own_policy().is_action_permitted(action, resource) == PermissionResult.NEUTRAL


@pytest.mark.parametrize("name", ["model/base", "training/data", "model/adapters/parcel"])
def test_what_lies_where_the_settings_say_may_be_read(name: str) -> None:
    settings = {"model/adapter": "hf://somebody/adapter@1", name: "s3://elsewhere/folder"}
    found = policy(infrastructure_settings=settings)
    assert found.is_action_permitted("s3:GetObject", "arn:aws:s3:::elsewhere/folder/a") == PermissionResult.PERMITTED
    assert found.is_action_permitted("s3:PutObject", "arn:aws:s3:::elsewhere/folder/a") == PermissionResult.NEUTRAL
    for other in ("other/a", "folder-of-another/a"):
        assert found.is_action_permitted("s3:GetObject", f"arn:aws:s3:::elsewhere/{other}") == PermissionResult.NEUTRAL


def lists(**settings: str) -> list[tuple[str, list[str]]]:
    """Return the buckets that the instance may list where these are set, each with the prefixes; none means all."""
    text = evaluated("lookup('ansible.builtin.template', 'instance-policy.json.j2')", infrastructure_settings=settings)
    document = json.loads(text) if isinstance(text, str) else text
    found = [each for each in document["Statement"] if each["Action"] == ["s3:ListBucket"]]
    assert len({each["Sid"] for each in found}) == len(found)
    conditions = [each.get("Condition", {}).get("StringLike", {}) for each in found]
    return [(each["Resource"], own.get("s3:prefix", [])) for each, own in zip(found, conditions, strict=True)]


ELSEWHERE = "arn:aws:s3:::elsewhere"


@pytest.mark.parametrize(
    ("settings", "others"),
    [
        ({}, []),
        ({"model/base": f"s3://{MODELS.rpartition(':')[2]}/any/where"}, []),
        ({"model/base": "s3://elsewhere/some/base/"}, [(ELSEWHERE, ["some/base/", "some/base/*"])]),
        ({"model/base": "s3://elsewhere"}, [(ELSEWHERE, [])]),
        (
            {"model/base": "s3://elsewhere/a", "model/adapter": "hf://o/r@1", "training/data": "s3://elsewhere/a"},
            [(ELSEWHERE, ["a/", "a/*"])],
        ),
        # What a rollback needs.
        (
            {"model/adapter": "s3://elsewhere/new", "model/adapter-serving": "s3://elsewhere/old"},
            [(ELSEWHERE, ["new/", "new/*"]), (ELSEWHERE, ["old/", "old/*"])],
        ),
        # Those of other tasks likewise.
        (
            {"model/adapters/parcel": "s3://elsewhere/new", "model/adapters-serving/parcel": "s3://elsewhere/old"},
            [(ELSEWHERE, ["new/", "new/*"]), (ELSEWHERE, ["old/", "old/*"])],
        ),
        # The name of ours is the beginning of theirs.
        ({"model/base": f"s3://{MODELS.rpartition(':')[2]}-2/b"}, [(f"{MODELS}-2", ["b/", "b/*"])]),
    ],
)
def test_own_bucket_is_listed_whole_and_one_of_others_below_the_prefix_only(
    settings: dict[str, str], others: list[tuple[str, list[str]]]
) -> None:
    own, *found = lists(**settings)
    assert own == (MODELS, [])
    assert sorted(found) == sorted(others)


@pytest.mark.parametrize("prefix", ["trained", "trained/", "trained/here/"])
def test_the_instance_writes_only_below_the_prefix_that_was_named(prefix: str) -> None:
    found = policy(infrastructure_writable_prefix=prefix)
    for folder, result in (
        (prefix.rstrip("/"), PermissionResult.PERMITTED),
        ("trained-by-another", PermissionResult.NEUTRAL),
        ("adapters", PermissionResult.NEUTRAL),
        ("base", PermissionResult.NEUTRAL),
    ):
        assert found.is_action_permitted("s3:PutObject", f"{MODELS}/{folder}/a") == result, folder


def test_without_a_prefix_the_instance_writes_nothing_and_no_destination_is_set() -> None:
    found = policy(infrastructure_writable_prefix="")
    assert found.is_action_permitted("s3:PutObject", f"{MODELS}/adapters/a") == PermissionResult.NEUTRAL
    assert found.is_action_permitted("s3:PutObject", f"{MODELS}/a") == PermissionResult.NEUTRAL
    assert settings_to_put(infrastructure_writable_prefix="").keys().isdisjoint({"training/destination"})


def test_the_adapters_destination_is_where_the_instance_may_write() -> None:
    destination = settings_to_put()["training/destination"].removeprefix("s3://")
    allowed = own_policy().is_action_permitted("s3:PutObject", f"arn:aws:s3:::{destination}/20260101T000001Z/adapter/a")
    assert allowed == PermissionResult.PERMITTED


def test_a_secret_that_a_setting_names_may_be_read_and_none_near_it() -> None:
    found = policy(infrastructure_settings={"secrets/hf-token": "team/token"})
    action = "secretsmanager:GetSecretValue"
    assert found.is_action_permitted(action, f"{SECRET}:team/token-a1B2c3") == PermissionResult.PERMITTED
    assert found.is_action_permitted(action, f"{SECRET}:team/token-other-a1B2c3") == PermissionResult.NEUTRAL
