"""The lifecycle of a repository's images."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.slm.serving.plugins.modules.ecr_repository import Repository, lifecycle

PARAMETERS = {"name": "engine", "images_kept": 10, "untagged_days": 14, "tags": {}}
# What an earlier version of the module put.
OLD_RULE = {
    "rulePriority": 1,
    "description": "Keep the last 10",
    "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 10},
    "action": {"type": "expire"},
}


class FakeEcr:
    """A repository with a policy."""

    def __init__(self, policy: dict[str, Any]) -> None:
        self.policy = policy

    def describe_repositories(self, **_: Any) -> dict[str, Any]:
        """Answer as ECR."""
        scanning = {"scanOnPush": True}
        repository = {"repositoryArn": "arn", "imageTagMutability": "IMMUTABLE", "imageScanningConfiguration": scanning}
        return {"repositories": [repository]}

    def get_lifecycle_policy(self, **_: Any) -> dict[str, Any]:
        """Answer as ECR."""
        return {"lifecyclePolicyText": json.dumps(self.policy)}

    def put_lifecycle_policy(self, lifecyclePolicyText: str, **_: Any) -> None:  # noqa: N803
        """Do as ECR."""
        self.policy = json.loads(lifecyclePolicyText)

    def list_tags_for_resource(self, **_: Any) -> dict[str, Any]:
        """Answer as ECR."""
        return {"tags": []}


def test_tags_are_counted_and_what_an_index_names_is_not() -> None:
    tagged, untagged = (rule["selection"] for rule in lifecycle(10, 14)["rules"])
    assert tagged == {
        "tagStatus": "tagged",
        "tagPatternList": ["*"],
        "countType": "imageCountMoreThan",
        "countNumber": 10,
    }
    assert untagged == {
        "tagStatus": "untagged",
        "countType": "sinceImagePushed",
        "countUnit": "days",
        "countNumber": 14,
    }


def test_a_repository_with_the_earlier_rule_gets_the_new_ones_once() -> None:
    ecr = FakeEcr({"rules": [OLD_RULE]})
    repository = Repository(ecr, PARAMETERS)
    assert repository.differences() == ["lifecycle"]
    repository.correct(repository.differences())
    assert ecr.policy == lifecycle(10, 14)
    assert repository.differences() == []
