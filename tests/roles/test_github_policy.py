"""What GitHub's workflows may do, and which of them."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from typing import Any

import pytest
from moto.iam.access_control import IAMPolicy, PermissionResult

from tests.local_region.names import REPOSITORY_ROOT
from tests.support.rendering import value

HERE = "arn:aws:ecr:us-east-1:123456789012:repository"
OURS = f"{HERE}/slm-ft-serving-gateway"
# What `docker push` asks of ECR besides what the pipeline itself does.
OF_A_PUSH = {
    *("ecr:BatchCheckLayerAvailability", "ecr:InitiateLayerUpload", "ecr:UploadLayerPart"),
    *("ecr:CompleteLayerUpload", "ecr:PutImage", "ecr:BatchGetImage"),
}


def document(name: str, **variables: Any) -> dict[str, Any]:
    """Return a policy as its template makes it."""
    empty = {
        "infrastructure_region": "us-east-1",
        "infrastructure_account": "123456789012",
        "infrastructure_settings": {},
        "infrastructure_github_repository": "owner/name",
        "_infrastructure_found": {"partition": "aws", "account": "123456789012", "things": []},
    }
    text = value("infrastructure", f"lookup('ansible.builtin.template', '{name}.json.j2')", empty | variables)
    found: dict[str, Any] = json.loads(text) if isinstance(text, str) else text
    return found


def permitted(action: str, resource: str) -> bool:
    """Return whether the role may do something."""
    policy = IAMPolicy(json.dumps(document("github-policy")))
    return bool(policy.is_action_permitted(action, resource) == PermissionResult.PERMITTED)


def calls_of_the_pipeline() -> set[str]:
    """Return the actions that the pipeline's own calls of ECR need."""
    code = (REPOSITORY_ROOT / "pipeline/registry.py").read_text(encoding="utf-8")
    names = set(re.findall(r"self\._client\.([a-z_]+)\(", code))
    return {f"ecr:{''.join(word.capitalize() for word in name.split('_'))}" for name in names}


def test_what_a_push_asks_for_is_allowed() -> None:
    calls = calls_of_the_pipeline()
    assert calls == {"ecr:BatchGetImage", "ecr:DescribeRepositories", "ecr:GetAuthorizationToken"}
    for action in OF_A_PUSH | calls - {"ecr:GetAuthorizationToken"}:
        assert permitted(action, OURS), action
    assert permitted("ecr:GetAuthorizationToken", "*")


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("ecr:PutImage", f"{HERE}/other"),
        ("ecr:BatchDeleteImage", OURS),
        ("ecr:DeleteRepository", OURS),
        ("ecr:PutImageTagMutability", OURS),
        ("ecr:SetRepositoryPolicy", OURS),
        ("ecr:CreateRepository", "*"),
        ("ssm:StartSession", "*"),
        ("s3:GetObject", "arn:aws:s3:::slm-ft-serving-models-123456789012-us-east-1/base/config.json"),
        ("secretsmanager:GetSecretValue", "*"),
        ("sts:AssumeRole", "*"),
        ("iam:PassRole", "*"),
    ],
)
def test_a_workflow_may_do_nothing_else(action: str, resource: str) -> None:
    assert not permitted(action, resource)


@pytest.mark.parametrize(
    ("subject", "taken"),
    [
        ("repo:owner/name:ref:refs/heads/main", True),
        ("repo:owner/name:ref:refs/tags/v1.2.3", True),
        ("repo:owner/name:ref:refs/heads/other", False),
        ("repo:owner/name:ref:refs/tags/other", False),
        ("repo:owner/name:pull_request", False),
        ("repo:owner/name:environment:production", False),
        ("repo:owner/names:ref:refs/heads/main", False),
        ("repo:other/name:ref:refs/heads/main", False),
    ],
)
def test_only_workflows_of_the_repository_on_main_or_a_version_take_the_role(subject: str, *, taken: bool) -> None:
    (statement,) = document("github-trust-policy")["Statement"]
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    issuer = "token.actions.githubusercontent.com"
    assert statement["Principal"] == {"Federated": f"arn:aws:iam::123456789012:oidc-provider/{issuer}"}
    assert statement["Condition"]["StringEquals"] == {f"{issuer}:aud": "sts.amazonaws.com"}
    patterns = statement["Condition"]["StringLike"][f"{issuer}:sub"]
    assert any(fnmatchcase(subject, pattern) for pattern in patterns) == taken


def test_an_environment_takes_the_role_where_it_is_named() -> None:
    policy = document("github-trust-policy", infrastructure_github_subjects=["environment:production"])
    (patterns,) = policy["Statement"][0]["Condition"]["StringLike"].values()
    assert patterns == ["repo:owner/name:environment:production"]
