"""What GitHub's workflows may do, and which of them."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from moto.iam.access_control import IAMPolicy, PermissionResult

from tests.local_region.names import REPOSITORY_ROOT
from tests.support.rendering import value

HERE = "arn:aws:ecr:us-east-1:123456789012:repository"
OURS = f"{HERE}/slm-ft-serving-gateway"
ISSUER = "token.actions.githubusercontent.com"
OPERATOR = "arn:aws:iam::123456789012:role/operator"
DEPLOY_ROLE = "arn:aws:iam::123456789012:role/slm-ft-serving-github-deploy"
# What `docker push` asks of ECR besides what the pipeline itself does.
OF_A_PUSH = {
    *("ecr:BatchCheckLayerAvailability", "ecr:InitiateLayerUpload", "ecr:UploadLayerPart"),
    *("ecr:CompleteLayerUpload", "ecr:PutImage", "ecr:BatchGetImage"),
}


BUILD, DEPLOY = (
    "Make the role of the workflow that pushes images",
    "Make the role of the workflow that deploys",
)


def tasks(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return tasks with those of their blocks."""
    return [one for each in entries for one in [each, *tasks(each.get("block", []))]]


def task(name: str) -> dict[str, Any]:
    """Return a task of github.yml."""
    path = REPOSITORY_ROOT / "roles/infrastructure/tasks/github.yml"
    every = DataLoader().load_from_file(str(path), trusted_as_template=True)
    (found,) = [each for each in tasks(every) if each["name"] == name]
    return found


def trust(name: str, **variables: Any) -> dict[str, Any]:
    """Return the condition on which a role is given to workflows, as a task of github.yml makes it."""
    (statement,) = document("github-trust-policy", **task(name)["vars"], **variables)["Statement"]
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert statement["Principal"] == {"Federated": f"arn:aws:iam::123456789012:oidc-provider/{ISSUER}"}
    assert statement["Condition"]["StringEquals"][f"{ISSUER}:aud"] == "sts.amazonaws.com"
    found: dict[str, Any] = statement["Condition"]
    return found


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
    patterns = trust(BUILD)["StringLike"][f"{ISSUER}:sub"]
    assert any(fnmatchcase(subject, pattern) for pattern in patterns) == taken


def test_an_environment_takes_the_role_where_it_is_named() -> None:
    (patterns,) = trust(BUILD, infrastructure_github_subjects=["environment:production"])["StringLike"].values()
    assert patterns == ["repo:owner/name:environment:production"]


def test_the_role_that_deploys_is_for_one_environment_and_compared_without_wildcards() -> None:
    condition = trust(DEPLOY, infrastructure_github_environment="production")
    assert condition == {
        "StringEquals": {
            f"{ISSUER}:aud": "sts.amazonaws.com",
            f"{ISSUER}:sub": ["repo:owner/name:environment:production"],
        }
    }


@pytest.mark.parametrize(
    ("operators", "environment", "there", "writers"),
    [
        ([], "production", False, None),
        ([OPERATOR], "", False, [OPERATOR]),
        ([OPERATOR], "production", False, [OPERATOR, DEPLOY_ROLE]),
        ([OPERATOR], "", True, [OPERATOR, DEPLOY_ROLE]),
    ],
    ids=["nobody is kept out", "no role", "made now", "there before"],
)
def test_where_only_operators_write_to_the_transfer_bucket_the_role_that_deploys_is_one(
    operators: list[str], environment: str, writers: list[str] | None, *, there: bool
) -> None:
    things = [{"kind": "deploy role", "key": "deploy role slm-ft-serving-github-deploy", "ours": True}] if there else []
    statements = document(
        "bucket-policy",
        infrastructure_operators=operators,
        infrastructure_github_environment=environment,
        infrastructure_transfer_bucket="transfer",
        _infrastructure_bucket="transfer",
        _infrastructure_found={"partition": "aws", "account": "123456789012", "things": things},
    )["Statement"]
    kept_out = [each["Condition"]["ArnNotLike"]["aws:PrincipalArn"] for each in statements[1:]]
    assert kept_out == ([] if writers is None else [writers])


def test_the_workflow_that_deploys_asks_for_no_longer_than_its_role_gives() -> None:
    workflow = yaml.safe_load((REPOSITORY_ROOT / ".github/workflows/deploy.yml").read_text(encoding="utf-8"))
    job = workflow["jobs"]["deploy"]
    given = [step["with"] for step in job["steps"] if "role-to-assume" in step.get("with", {})]
    (asked,) = [each["role-duration-seconds"] for each in given]
    assert job["timeout-minutes"] * 60 <= asked <= task(DEPLOY)["amazon.aws.iam_role"]["max_session_duration"]
