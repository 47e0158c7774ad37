"""What the instance may do: all that its code asks of AWS, and nothing else."""

from __future__ import annotations

import functools
import json
import re
from typing import Any

import pytest
from moto.iam.access_control import IAMPolicy, PermissionResult

from tests.roles.rendering import value
from tests.roles.variables import ROLES

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
}
# Those of fine-tuning, which writes below the prefix that infrastructure_writable_prefix names.
NEEDED_TO_WRITE = {
    "s3 cp": [("s3:PutObject", f"{MODELS}/adapters/a"), ("s3:AbortMultipartUpload", f"{MODELS}/adapters/a")],
}
SERVICES = "ec2|ecr|iam|logs|s3|s3api|secretsmanager|ssm|sts"
COMMAND = re.compile(rf'"({SERVICES})", "([a-z0-9]+(?:-[a-z0-9]+)+|sync|cp|presign)"')
# What a module imports that acts on the controller, with the operator's rights.
ON_THE_CONTROLLER = "AnsibleAWSModule"


def commands_of_the_instance() -> set[str]:
    """The AWS commands in the modules and files that roles send to the instance, such as `s3 sync`."""
    files = [path for folder in ("library", "files", "module_utils") for path in ROLES.glob(f"*/{folder}/*.py")]
    texts = [path.read_text(encoding="utf-8") for path in files]
    remote = [text for text in texts if ON_THE_CONTROLLER not in text]
    return {" ".join(found) for text in remote for found in COMMAND.findall(text)}


@functools.cache
def own_policy() -> IAMPolicy:
    """The role's policy where nothing was set otherwise."""
    return policy()


def policy(**variables: Any) -> IAMPolicy:
    """The role's policy, as the template makes it with these variables."""
    text = value(
        "infrastructure",
        "lookup('ansible.builtin.template', 'instance-policy.json.j2')",
        {
            "infrastructure_region": "us-east-1",
            "infrastructure_account": "123456789012",
            "infrastructure_settings": {},
            "_infrastructure_looked": {"partition": "aws", "account": "123456789012"},
            **variables,
        },
    )
    document = text if isinstance(text, str) else json.dumps(text)
    return IAMPolicy(document.replace("?", "."))  # moto takes resources for regular expressions.


@pytest.mark.parametrize("command", sorted(commands_of_the_instance()))
def test_what_the_code_on_the_instance_asks_for_is_allowed(command: str) -> None:
    needed = NEEDED | NEEDED_TO_WRITE
    assert command in needed, f"say in NEEDED which rights `aws {command}` takes, and see that the template gives them"
    found = policy(infrastructure_writable_prefix="adapters/") if command in NEEDED_TO_WRITE else own_policy()
    permitted = [found.is_action_permitted(action, resource) for action, resource in needed[command]]
    assert set(permitted) == {PermissionResult.PERMITTED}


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("ssmmessages:OpenDataChannel", "*"),
        ("ssm:UpdateInstanceInformation", "*"),
        ("ecr:BatchGetImage", f"{REPOSITORY}/slm-ft-serving-vllm"),
        ("ecr:GetDownloadUrlForLayer", f"{REPOSITORY}/slm-ft-serving-gateway"),
        ("ssm:GetParametersByPath", f"{PARAMETER}/slm-ft-serving"),
        ("ssm:GetParameter", f"{PARAMETER}/slm-ft-serving/aws/region"),
        ("logs:PutLogEvents", f"{LOG_GROUP}:/aws/ssm/slm-ft-serving/commands:log-stream:a"),
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
        ("s3:DeleteObject", f"{MODELS}/base/config.json"),
        ("ecr:PutImage", f"{REPOSITORY}/slm-ft-serving-vllm"),
        ("ecr:InitiateLayerUpload", f"{REPOSITORY}/slm-ft-serving-vllm"),
        ("ecr:BatchDeleteImage", f"{REPOSITORY}/slm-ft-serving-vllm"),
        ("ecr:BatchGetImage", f"{REPOSITORY}/other"),
        ("logs:PutLogEvents", f"{LOG_GROUP}:/other:log-stream:a"),
        ("logs:GetLogEvents", f"{LOG_GROUP}:/aws/ssm/slm-ft-serving/commands:log-stream:a"),
        ("ec2:DescribeInstances", "*"),
        ("ec2:RunInstances", "*"),
        ("ec2:TerminateInstances", "*"),
        ("iam:PassRole", "*"),
        ("iam:GetRole", "*"),
        ("sts:AssumeRole", "*"),
        ("kms:Decrypt", "*"),
    ],
)
def test_nothing_else_is_allowed(action: str, resource: str) -> None:
    assert own_policy().is_action_permitted(action, resource) == PermissionResult.NEUTRAL


def test_models_may_be_read_where_the_settings_say_they_are() -> None:
    settings = {"model/base": "s3://elsewhere/llama", "model/adapter": "hf://somebody/adapter@1"}
    found = policy(infrastructure_settings=settings)
    assert found.is_action_permitted("s3:GetObject", "arn:aws:s3:::elsewhere/llama/a") == PermissionResult.PERMITTED


def test_the_instance_writes_only_below_the_prefix_that_was_named() -> None:
    found = policy(infrastructure_writable_prefix="adapters/")
    assert found.is_action_permitted("s3:PutObject", f"{MODELS}/adapters/1/a") == PermissionResult.PERMITTED
    assert found.is_action_permitted("s3:PutObject", f"{MODELS}/base/a") == PermissionResult.NEUTRAL


def test_a_secret_that_a_setting_names_may_be_read_and_none_near_it() -> None:
    found = policy(infrastructure_settings={"secrets/hf-token": "team/token"})
    action = "secretsmanager:GetSecretValue"
    assert found.is_action_permitted(action, f"{SECRET}:team/token-a1B2c3") == PermissionResult.PERMITTED
    assert found.is_action_permitted(action, f"{SECRET}:team/token-other-a1B2c3") == PermissionResult.NEUTRAL
