"""Resolve image tags in ECR to digests, and see what they were built for.

An own module, because no collection wraps DescribeImages or BatchGetImage.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: ecr_image_info
short_description: Resolve image tags in ECR to digests
description:
  - Finds the digest for each repository and tag. Changes nothing.
  - A repository or a tag that does not exist is a problem that names the repository, the tag and the tags that exist.
  - So is an image for another architecture. Its manifest tells what it is for, or its configuration does.
options:
  images:
    description:
      - Images to resolve, by a name of the caller's choice; each with C(repository) and C(tag).
      - One with an empty C(tag) is left unresolved.
    type: dict
    required: true
  architecture:
    description: What the images have to run on, as EC2 names it, such as C(x86_64). Empty, it is not looked at.
    type: str
    default: ""
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
    architecture: x86_64
  register: resolved
"""

RETURN = r"""
images:
  description: By the same name, C(repository), C(tag), C(digest), C(registry), C(reference) and C(size).
  returned: success
  type: dict
unseen:
  description: A sentence for each image whose architecture could not be looked at.
  returned: success
  type: list
  elements: str
problems:
  description: A sentence for each image that could not be resolved.
  returned: always
  type: list
  elements: str
"""

import contextlib
import json
from typing import Any

from ansible.module_utils.urls import open_url
from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

with contextlib.suppress(ImportError):  # AnsibleAWSModule reports it.
    import botocore

SHOWN_TAGS = 10
# From EC2's names to those of images (Go's GOARCH).
ARCHITECTURES = {"x86_64": "amd64", "arm64": "arm64"}
# Of one image and of an index of several, in the forms of Docker and of OCI.
MANIFESTS = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
)
# Beside its images an index may hold what was attested of them.
UNKNOWN = "unknown"
TIMEOUT = 30


class UnseenError(Exception):
    """Why it cannot be told what an image was built for."""


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


def platforms(client: Any, repository: str, digest: str) -> set[str]:
    """Return what an image was built for, such as `linux/amd64`, of an index each of its images.

    Raises:
        UnseenError: that is not told.
    """
    answer = client.batch_get_image(
        aws_retry=True,
        repositoryName=repository,
        imageIds=[{"imageDigest": digest}],
        acceptedMediaTypes=list(MANIFESTS),
    )
    images = answer.get("images") or []
    if not images:
        reasons = [str(failure.get("failureReason")) for failure in answer.get("failures") or []]
        raise UnseenError("; ".join(reasons) or "ECR gives no manifest")
    manifest = json.loads(images[0]["imageManifest"])
    if "manifests" in manifest:
        told = [entry.get("platform") or {} for entry in manifest["manifests"]]
    else:
        told = [configuration(client, repository, manifest)]
    found = {f"{each.get('os', UNKNOWN)}/{each.get('architecture', UNKNOWN)}" for each in told}
    known = {each for each in found if UNKNOWN not in each}
    if not known:
        raise UnseenError("its manifest names no platform")
    return known


def configuration(client: Any, repository: str, manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of an image, which lies beside its layers. Raises UnseenError."""
    digest = (manifest.get("config") or {}).get("digest")
    if not digest:
        raise UnseenError("its manifest names no configuration")
    layer = client.get_download_url_for_layer(aws_retry=True, repositoryName=repository, layerDigest=digest)
    try:
        content = json.loads(open_url(layer["downloadUrl"], timeout=TIMEOUT).read())
    except (OSError, ValueError) as error:
        raise UnseenError(f"its configuration cannot be read ({error})") from error
    return content if isinstance(content, dict) else {}


def architecture_problem(client: Any, name: str, image: dict[str, Any], architecture: str) -> str | None:
    """Return why an image does not run on an architecture, or None.

    Args:
        client: of ECR.
        name: the caller's for the image.
        image: as `resolve` returned it.
        architecture: as EC2 names it.

    Raises:
        UnseenError: it cannot be told.
    """
    wanted = f"linux/{ARCHITECTURES[architecture]}"
    found = platforms(client, image["repository"], image["digest"])
    if wanted in found:
        return None
    return (
        f"The image {image['repository']}:{image['tag']} ({name}) is for {' and '.join(sorted(found))}, and the"
        f" instance is {architecture}: build it with `docker build --platform {wanted}`, and push it under another tag."
    )


def main() -> None:
    """Resolve all images; collect all problems."""
    module = AnsibleAWSModule(
        argument_spec={
            "images": {"type": "dict", "required": True},
            "architecture": {"type": "str", "default": ""},
            "fail": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    client = module.client("ecr", retry_decorator=AWSRetry.jittered_backoff())
    resolved: dict[str, dict[str, Any]] = {}
    problems: list[str] = []
    unseen: list[str] = []
    architecture = module.params["architecture"]
    for name, image in module.params["images"].items():
        if not image["tag"]:  # The role controller reports the parameter that is missing.
            resolved[name] = {}
            continue
        try:
            resolved[name], problem = resolve(client, module.region, name, image["repository"], str(image["tag"]))
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            resolved[name], problem = {}, f"ECR could not be asked for {image['repository']}:{image['tag']}: {error}."
        if not problem and architecture in ARCHITECTURES:
            try:
                problem = architecture_problem(client, name, resolved[name], architecture)
            except (UnseenError, botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
                unseen.append(f"What {image['repository']}:{image['tag']} was built for: {error}.")
        if problem:
            problems.append(problem)
    if problems and module.params["fail"]:
        module.fail_json(msg=" ".join(problems), problems=problems)
    module.exit_json(changed=False, images=resolved, problems=problems, unseen=unseen)


if __name__ == "__main__":
    main()
