"""Create or remove an ECR repository: immutable tags, scan on push, a lifecycle rule.

An own module, because community.aws.ecs_ecr sets no tags and fails in check mode where there is no repository yet.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: ecr_repository
short_description: Create or remove an ECR repository
description:
  - Image tags are immutable, images are scanned on push.
options:
  name:
    description: The repository.
    type: str
    required: true
  state:
    description: V(absent) removes it, with its images only when O(force) is set.
    type: str
    choices: [present, absent]
    default: present
  images_kept:
    description:
      - Number of tagged images to keep; older ones expire. What the index of a kept image names stays with it.
    type: int
    default: 10
  untagged_days:
    description: Days after which an image without a tag expires.
    type: int
    default: 14
  force:
    description: Whether to remove a repository that holds images.
    type: bool
    default: false
  tags:
    description: Tags to add; others stay.
    type: dict
    default: {}
author:
  - The slm-ft-serving developers (!UNKNOWN)
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Create the repository of the gateway's image
  slm.serving.ecr_repository:
    region: eu-central-1
    name: slm-ft-serving-gateway
    images_kept: 10
    tags: {Application: slm-ft-serving}
"""

RETURN = r"""
differences:
  description: Settings that differed.
  returned: success
  type: list
  elements: str
  sample: [mutability, lifecycle]
"""

import contextlib
import json
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)
from ansible_collections.slm.serving.plugins.module_utils.aws_errors import fail

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore


def lifecycle(images_kept: int, untagged_days: int) -> dict[str, Any]:
    """Return the lifecycle policy that keeps the newest images.

    Counted are tags: a push of Docker's makes an index, an image and an attestation, and only the index has the tag.

    Args:
        images_kept: tagged images that are kept.
        untagged_days: days that an image without a tag is kept.
    """
    tagged = {
        "tagStatus": "tagged",
        "tagPatternList": ["*"],
        "countType": "imageCountMoreThan",
        "countNumber": images_kept,
    }
    untagged = {
        "tagStatus": "untagged",
        "countType": "sinceImagePushed",
        "countUnit": "days",
        "countNumber": untagged_days,
    }
    rules = ((f"Keep the last {images_kept} tags", tagged), (f"Keep untagged for {untagged_days} days", untagged))
    return {
        "rules": [
            {"rulePriority": number, "description": text, "selection": selection, "action": {"type": "expire"}}
            for number, (text, selection) in enumerate(rules, start=1)
        ]
    }


class Repository:
    """One repository."""

    def __init__(self, client: Any, params: dict[str, Any]) -> None:
        """Read the repository.

        Args:
            client: of ECR.
            params: the module's.
        """
        self.client = client
        self.params = params
        self.name = params["name"]
        self.arn = ""
        self.current = self._describe()

    def _describe(self) -> dict[str, Any]:
        """Return the repository's settings; empty when there is none."""
        try:
            answer = self.client.describe_repositories(repositoryNames=[self.name], aws_retry=True)
        except is_boto3_error_code("RepositoryNotFoundException"):
            return {}
        repository: dict[str, Any] = answer["repositories"][0]
        self.arn = repository["repositoryArn"]
        return repository

    def _lifecycle(self) -> Any:
        try:
            answer = self.client.get_lifecycle_policy(repositoryName=self.name, aws_retry=True)
        except is_boto3_error_code("LifecyclePolicyNotFoundException"):
            return {}
        return json.loads(answer["lifecyclePolicyText"])

    def _wanted_lifecycle(self) -> dict[str, Any]:
        return lifecycle(self.params["images_kept"], self.params["untagged_days"])

    def _missing_tags(self) -> dict[str, str]:
        tags = self.client.list_tags_for_resource(resourceArn=self.arn, aws_retry=True)["tags"]
        current = boto3_tag_list_to_ansible_dict(tags)
        return {key: value for key, value in self.params["tags"].items() if current.get(key) != value}

    def differences(self) -> list[str]:
        """Return the settings that differ; `repository` where there is none."""
        if not self.current:
            return ["repository", "lifecycle"]
        settings = {
            "mutability": self.current.get("imageTagMutability") != "IMMUTABLE",
            "scanning": not self.current.get("imageScanningConfiguration", {}).get("scanOnPush"),
            "lifecycle": self._lifecycle() != self._wanted_lifecycle(),
            "tags": bool(self._missing_tags()),
        }
        return [setting for setting, differs in settings.items() if differs]

    def correct(self, differences: list[str]) -> None:
        """Correct the settings that differ."""
        for setting in differences:
            {
                "repository": self._create,
                "mutability": self._make_immutable,
                "scanning": self._scan,
                "lifecycle": self._put_lifecycle,
                "tags": self._tag,
            }[setting]()

    def _create(self) -> None:
        self.client.create_repository(
            repositoryName=self.name,
            imageTagMutability="IMMUTABLE",
            imageScanningConfiguration={"scanOnPush": True},
            tags=ansible_dict_to_boto3_tag_list(self.params["tags"]),
            aws_retry=True,
        )

    def _make_immutable(self) -> None:
        self.client.put_image_tag_mutability(repositoryName=self.name, imageTagMutability="IMMUTABLE", aws_retry=True)

    def _scan(self) -> None:
        self.client.put_image_scanning_configuration(
            repositoryName=self.name, imageScanningConfiguration={"scanOnPush": True}, aws_retry=True
        )

    def _put_lifecycle(self) -> None:
        policy = json.dumps(self._wanted_lifecycle())
        self.client.put_lifecycle_policy(repositoryName=self.name, lifecyclePolicyText=policy, aws_retry=True)

    def _tag(self) -> None:
        tags = ansible_dict_to_boto3_tag_list(self._missing_tags())
        self.client.tag_resource(resourceArn=self.arn, tags=tags, aws_retry=True)

    def remove(self) -> None:
        """Remove the repository."""
        self.client.delete_repository(repositoryName=self.name, force=self.params["force"], aws_retry=True)


def main() -> None:
    """Create, correct or remove the repository."""
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "images_kept": {"type": "int", "default": 10},
            "untagged_days": {"type": "int", "default": 14},
            "force": {"type": "bool", "default": False},
            "tags": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    client = module.client("ecr", retry_decorator=AWSRetry.jittered_backoff())
    try:
        repository = Repository(client, module.params)
        if module.params["state"] == "absent":
            differences = ["repository"] if repository.current else []
            if differences and not module.check_mode:
                repository.remove()
        else:
            differences = repository.differences()
            if not module.check_mode:
                repository.correct(differences)
    except is_boto3_error_code("RepositoryNotEmptyException"):
        module.fail_json(msg=f"The repository {module.params['name']} holds images; it is removed only with force.")
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        fail(module, error, f"ECR did not change the repository {module.params['name']}")
    module.exit_json(changed=bool(differences), differences=differences)


if __name__ == "__main__":
    main()
