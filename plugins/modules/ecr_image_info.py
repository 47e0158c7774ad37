"""Resolve image tags in ECR to digests.

An own module, because no collection wraps DescribeImages.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: ecr_image_info
short_description: Resolve image tags in ECR to digests
description:
  - Finds the digest for each repository and tag. Changes nothing.
  - A repository or a tag that does not exist is a problem that names the repository, the tag and the tags that exist.
options:
  images:
    description:
      - Images to resolve, by a name of the caller's choice; each with C(repository) and C(tag).
      - One with an empty C(tag) is left unresolved.
    type: dict
    required: true
  fail:
    description: Whether to fail when there are problems.
    type: bool
    default: true
author:
  - The slm-ft-serving developers (!UNKNOWN)
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Resolve the image tags
  slm.serving.ecr_image_info:
    region: eu-central-1
    images:
      engine: {repository: slm-ft-serving-vllm, tag: v7}
      gateway: {repository: slm-ft-serving-gateway, tag: v7}
  register: resolved
"""

RETURN = r"""
images:
  description: By the same name, C(repository), C(tag), C(digest), C(registry), C(reference) and C(size).
  returned: success
  type: dict
problems:
  description: A sentence for each image that could not be resolved.
  returned: always
  type: list
  elements: str
"""

import contextlib
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

SHOWN_TAGS = 10


def existing_tags(client: Any, repository: str) -> list[str]:
    """Return the repository's tags, newest first."""
    details = client.get_paginator("describe_images").paginate(repositoryName=repository).build_full_result()
    newest_first = sorted(details["imageDetails"], key=lambda image: str(image.get("imagePushedAt", "")), reverse=True)
    return [tag for image in newest_first for tag in image.get("imageTags", [])]


def resolve(client: Any, region: str, name: str, repository: str, tag: str) -> tuple[dict[str, Any], str | None]:
    """Return the resolved image and None, or an empty dict and a sentence on why it cannot be resolved."""
    try:
        repositories = client.describe_repositories(aws_retry=True, repositoryNames=[repository])
    except is_boto3_error_code("RepositoryNotFoundException"):
        return {}, f"The ECR repository {repository} ({name}) does not exist in {region}."
    try:
        details = client.describe_images(aws_retry=True, repositoryName=repository, imageIds=[{"imageTag": tag}])
    except is_boto3_error_code("ImageNotFoundException"):
        tags = existing_tags(client, repository)
        shown = ", ".join(tags[:SHOWN_TAGS]) + (" ..." if len(tags) > SHOWN_TAGS else "")
        return {}, (
            f"The ECR repository {repository} ({name}) has no image with the tag {tag!r}."
            f" It has: {shown or 'no tagged image at all'}."
        )
    uri = repositories["repositories"][0]["repositoryUri"]
    image = details["imageDetails"][0]
    digest = image["imageDigest"]
    return {
        "repository": repository,
        "tag": tag,
        "digest": digest,
        "registry": uri.partition("/")[0],
        "reference": f"{uri}@{digest}",
        "size": image.get("imageSizeInBytes"),
    }, None


def main() -> None:
    """Resolve all images; collect all problems."""
    module = AnsibleAWSModule(
        argument_spec={"images": {"type": "dict", "required": True}, "fail": {"type": "bool", "default": True}},
        supports_check_mode=True,
    )
    client = module.client("ecr", retry_decorator=AWSRetry.jittered_backoff())
    resolved: dict[str, dict[str, Any]] = {}
    problems: list[str] = []
    for name, image in module.params["images"].items():
        if not image["tag"]:  # The role controller reports the parameter that is missing.
            resolved[name] = {}
            continue
        try:
            resolved[name], problem = resolve(client, module.region, name, image["repository"], str(image["tag"]))
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            resolved[name], problem = {}, f"ECR could not be asked for {image['repository']}:{image['tag']}: {error}."
        if problem:
            problems.append(problem)
    if problems and module.params["fail"]:
        module.fail_json(msg=" ".join(problems), problems=problems)
    module.exit_json(changed=False, images=resolved, problems=problems)


if __name__ == "__main__":
    main()
