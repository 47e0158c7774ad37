#!/usr/bin/python
"""Make or remove an ECR repository: immutable, scanned, tagged, with a rule for what is kept.

An own module, because community.aws.ecs_ecr sets no tags and fails in check mode where the repository is not there yet.
"""

from __future__ import annotations

import contextlib
import json

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

DOCUMENTATION = r"""
module: ecr_repository
short_description: Make or remove an ECR repository
description:
  - Tags of images are immutable, images are scanned when they are pushed.
options:
  name:
    description: The repository.
    type: str
    required: true
  state:
    description: C(absent) removes it, with its images only when I(force) is set.
    type: str
    choices: [present, absent]
    default: present
  images_kept:
    description: How many images stay; older ones expire.
    type: int
    default: 10
  force:
    description: Whether to remove a repository that holds images.
    type: bool
    default: false
  tags:
    description: Tags that it has at least.
    type: dict
    default: {}
"""

RETURN = r"""
differences:
  description: What was not as wanted.
  type: list
"""


def lifecycle(images_kept: int) -> dict:
    """Return the lifecycle policy that keeps the newest images."""
    selection = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": images_kept}
    rule = {"rulePriority": 1, "description": f"Keep the last {images_kept}", "selection": selection}
    return {"rules": [{**rule, "action": {"type": "expire"}}]}


class Repository:
    """One repository."""

    def __init__(self, client: object, wanted: dict) -> None:
        """Take an ECR client and the module's parameters."""
        self.client = client
        self.wanted = wanted
        self.name = wanted["name"]
        self.found = self._look()

    def _look(self) -> dict | None:
        try:
            return self.client.describe_repositories(repositoryNames=[self.name], aws_retry=True)["repositories"][0]
        except is_boto3_error_code("RepositoryNotFoundException"):
            return None

    def _lifecycle(self) -> dict:
        try:
            answer = self.client.get_lifecycle_policy(repositoryName=self.name, aws_retry=True)
        except is_boto3_error_code("LifecyclePolicyNotFoundException"):
            return {}
        return json.loads(answer["lifecyclePolicyText"])

    def _missing_tags(self) -> dict:
        tags = self.client.list_tags_for_resource(resourceArn=self.found["repositoryArn"], aws_retry=True)["tags"]
        there = boto3_tag_list_to_ansible_dict(tags)
        return {key: value for key, value in self.wanted["tags"].items() if there.get(key) != value}

    def differences(self) -> list:
        """Return what is not as wanted; the repository's absence first."""
        if self.found is None:
            return ["repository", "lifecycle"]
        parts = {
            "mutability": self.found.get("imageTagMutability") != "IMMUTABLE",
            "scanning": not self.found.get("imageScanningConfiguration", {}).get("scanOnPush"),
            "lifecycle": self._lifecycle() != lifecycle(self.wanted["images_kept"]),
            "tags": bool(self._missing_tags()),
        }
        return [part for part, differs in parts.items() if differs]

    def correct(self, differences: list) -> None:
        """Make what differs as wanted."""
        for part in differences:
            {
                "repository": self._create,
                "mutability": self._make_immutable,
                "scanning": self._scan,
                "lifecycle": self._put_lifecycle,
                "tags": self._tag,
            }[part]()

    def _create(self) -> None:
        self.client.create_repository(
            repositoryName=self.name,
            imageTagMutability="IMMUTABLE",
            imageScanningConfiguration={"scanOnPush": True},
            tags=ansible_dict_to_boto3_tag_list(self.wanted["tags"]),
            aws_retry=True,
        )

    def _make_immutable(self) -> None:
        self.client.put_image_tag_mutability(repositoryName=self.name, imageTagMutability="IMMUTABLE", aws_retry=True)

    def _scan(self) -> None:
        self.client.put_image_scanning_configuration(
            repositoryName=self.name, imageScanningConfiguration={"scanOnPush": True}, aws_retry=True
        )

    def _put_lifecycle(self) -> None:
        policy = json.dumps(lifecycle(self.wanted["images_kept"]))
        self.client.put_lifecycle_policy(repositoryName=self.name, lifecyclePolicyText=policy, aws_retry=True)

    def _tag(self) -> None:
        tags = ansible_dict_to_boto3_tag_list(self._missing_tags())
        self.client.tag_resource(resourceArn=self.found["repositoryArn"], tags=tags, aws_retry=True)

    def remove(self) -> None:
        """Remove it."""
        self.client.delete_repository(repositoryName=self.name, force=self.wanted["force"], aws_retry=True)


def main() -> None:
    """Bring the repository to the state asked for."""
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "images_kept": {"type": "int", "default": 10},
            "force": {"type": "bool", "default": False},
            "tags": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    client = module.client("ecr", retry_decorator=AWSRetry.jittered_backoff())
    try:
        repository = Repository(client, module.params)
        if module.params["state"] == "absent":
            differences = ["repository"] if repository.found else []
            if differences and not module.check_mode:
                repository.remove()
        else:
            differences = repository.differences()
            if not module.check_mode:
                repository.correct(differences)
    except is_boto3_error_code("RepositoryNotEmptyException"):
        module.fail_json(msg=f"The repository {module.params['name']} holds images; it is removed only with force.")
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        module.fail_json_aws(error, msg=f"ECR refused what was asked of the repository {module.params['name']}")
    module.exit_json(changed=bool(differences), differences=differences)


if __name__ == "__main__":
    main()
