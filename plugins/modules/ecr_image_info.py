#!/usr/bin/python
"""Resolve an image tag in ECR to the digest that it stands for.

An own module, because no collection wraps DescribeImages.
"""

from __future__ import annotations

import contextlib

from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

DOCUMENTATION = r"""
module: ecr_image_info
short_description: Resolve image tags in ECR to digests
description:
  - For each repository and tag, finds the digest. Changes nothing.
  - A repository or a tag that does not exist is a problem, naming repository, tag and the tags that do exist.
options:
  images:
    description: What to resolve, by a name of the caller's choosing; each with C(repository) and C(tag).
    type: dict
    required: true
  fail:
    description: Whether to fail when there are problems.
    type: bool
    default: true
"""

RETURN = r"""
images:
  description: By the same names, C(repository), C(tag), C(digest), C(registry), C(reference) and C(size).
  type: dict
problems:
  description: What could not be resolved, in words.
  type: list
"""

SHOWN_TAGS = 10


def existing_tags(client, repository: str) -> list[str]:
    """Return the repository's tags, newest first."""
    details = client.get_paginator("describe_images").paginate(repositoryName=repository).build_full_result()
    newest_first = sorted(details["imageDetails"], key=lambda image: str(image.get("imagePushedAt", "")), reverse=True)
    return [tag for image in newest_first for tag in image.get("imageTags", [])]


def resolve(client, module, name: str, repository: str, tag: str) -> tuple[dict, str | None]:
    """Return the resolved image and None, or an empty dict and the problem in words."""
    try:
        found = client.describe_repositories(aws_retry=True, repositoryNames=[repository])
    except is_boto3_error_code("RepositoryNotFoundException"):
        return {}, f"The ECR repository {repository} ({name}) does not exist in {module.region}."
    try:
        details = client.describe_images(aws_retry=True, repositoryName=repository, imageIds=[{"imageTag": tag}])
    except is_boto3_error_code("ImageNotFoundException"):
        tags = existing_tags(client, repository)
        shown = ", ".join(tags[:SHOWN_TAGS]) + (" ..." if len(tags) > SHOWN_TAGS else "")
        return {}, (
            f"The ECR repository {repository} ({name}) has no image with the tag {tag!r}."
            f" It has: {shown or 'no tagged image at all'}."
        )
    uri = found["repositories"][0]["repositoryUri"]
    digest = details["imageDetails"][0]["imageDigest"]
    return {
        "repository": repository,
        "tag": tag,
        "digest": digest,
        "registry": uri.partition("/")[0],
        "reference": f"{uri}@{digest}",
        "size": details["imageDetails"][0].get("imageSizeInBytes"),
    }, None


def main() -> None:
    """Resolve all the images; report all the problems."""
    module = AnsibleAWSModule(
        argument_spec={"images": {"type": "dict", "required": True}, "fail": {"type": "bool", "default": True}},
        supports_check_mode=True,
    )
    client = module.client("ecr", retry_decorator=AWSRetry.jittered_backoff())
    resolved, problems = {}, []
    for name, image in module.params["images"].items():
        if not image["tag"]:  # That the parameter is missing is told by whoever reads the parameters.
            resolved[name] = {}
            continue
        try:
            found, problem = resolve(client, module, name, image["repository"], str(image["tag"]))
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            found, problem = {}, f"ECR could not be asked for {image['repository']}:{image['tag']}: {error}."
        if problem:
            problems.append(problem)
        resolved[name] = found
    if problems and module.params["fail"]:
        module.fail_json(msg=" ".join(problems), problems=problems)
    module.exit_json(changed=False, images=resolved, problems=problems)


if __name__ == "__main__":
    main()
