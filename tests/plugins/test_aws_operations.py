"""No call of AWS that is deprecated: what AWS switches off stops provisioning and teardown."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name

ROOT = Path(__file__).resolve().parents[2]
# What a plugin gives to `client(...)`, or lists by name.
SERVICES = (
    *("ec2", "ecr", "iam", "logs", "pricing", "s3", "s3api", "secretsmanager", "service-quotas", "ssm", "sts"),
    *("acm", "autoscaling", "budgets", "cloudwatch", "elbv2", "lambda", "sns"),
)
TEXTS = ("*.py", "*.yml", "*.j2", "*.md", "*.sh")
FOLDERS = ("docker", "docs", "playbooks", "plugins", "roles", "tests/local_region", "tests/playbooks")


def deprecated(service: str) -> list[str]:
    """Return the operations of a service that botocore's model calls deprecated."""
    name = "s3" if service == "s3api" else service
    # The file, since botocore's ServiceModel drops the mark.
    operations = botocore.session.get_session().get_component("data_loader").load_service_model(name, "service-2")
    return [name for name, operation in operations["operations"].items() if operation.get("deprecated")]


def forms(service: str) -> re.Pattern[str]:
    """Return a pattern for a service's deprecated operations: a method, a paginator, a command of the AWS CLI."""
    names = [xform_name(operation) for operation in deprecated(service)] or ["(?!)"]
    methods = rf"\.(?:{'|'.join(names)})\(|get_paginator\([\"'](?:{'|'.join(names)})[\"']\)"
    commands = rf"\b{service}\b[\"',\s]+(?:{'|'.join(name.replace('_', '-') for name in names)})\b"
    return re.compile(f"{methods}|{commands}")


def test_the_pattern_knows_what_it_looks_for() -> None:
    found = forms("logs").search
    for text in (
        "client.list_tags_log_group(logGroupName=name)",
        "client.get_paginator('list_tags_log_group')",
        "aws logs list-tags-log-group --log-group-name x",
        '["aws", "logs", "list-tags-log-group"]',
    ):
        assert found(text), text
    assert not found("client.list_tags_for_resource(resourceArn=arn)")


@cache
def texts() -> dict[str, str]:
    """Return the content of all files that may call AWS, by path."""
    files = [path for folder in FOLDERS for glob in TEXTS for path in (ROOT / folder).rglob(glob)]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in files}


@pytest.mark.parametrize("service", SERVICES)
def test_no_deprecated_operation_is_called(service: str) -> None:
    pattern = forms(service)
    assert len(texts()) > 100
    assert [path for path, text in texts().items() if pattern.search(text)] == []


def test_every_service_that_a_plugin_calls_is_looked_at() -> None:
    named = {
        name
        for path in (ROOT / "plugins").rglob("*.py")
        for name in re.findall(r"\bclient(?:_of)?\(\s*\"([a-z0-9-]+)\"", path.read_text(encoding="utf-8"))
    }
    assert named
    assert named <= set(SERVICES)
