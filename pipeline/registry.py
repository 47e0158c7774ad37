"""ECR: what it holds, and how docker gets in."""

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
import botocore.exceptions

from pipeline import docker
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient


@dataclass(frozen=True)
class Held:
    """An image that ECR holds under a tag.

    Attributes:
        digest: Its manifest's.
        configuration: Digest of its configuration, which a daemon takes for the image's id; empty for an index.
    """

    digest: str
    configuration: str


class Registry:
    """The account's registry in one region."""

    def __init__(self) -> None:
        """Connect with the caller's credentials and region.

        Raises:
            PipelineError: There is no region.
        """
        try:
            self._client: ECRClient = boto3.client("ecr")
        except botocore.exceptions.NoRegionError as error:
            raise PipelineError("No region is named: export AWS_REGION=...") from error

    def address(self, repository: str) -> str:
        """Return the address of the registry that a repository is in.

        Raises:
            PipelineError: There is no such repository, or AWS does not answer.
        """
        try:
            found = self._client.describe_repositories(repositoryNames=[repository])["repositories"]
        except self._client.exceptions.RepositoryNotFoundException as error:
            region = self._client.meta.region_name
            raise PipelineError(
                f"There is no ECR repository {repository} in {region}: playbooks/provision.yml makes it."
            ) from error
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            raise PipelineError(f"ECR does not answer: {error}") from error
        return found[0]["repositoryUri"].partition("/")[0]

    def held(self, repository: str, tag: str) -> Held | None:
        """Return the image that a repository holds under a tag; None where it holds none.

        Raises:
            PipelineError: AWS does not answer.
        """
        try:
            answer = self._client.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": tag}])
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            raise PipelineError(f"ECR could not be asked for {repository}:{tag}: {error}") from error
        if not answer["images"]:
            others = [each for each in answer.get("failures", []) if each.get("failureCode") != "ImageNotFound"]
            if others:
                raise PipelineError(f"ECR does not tell about {repository}:{tag}: {others[0].get('failureReason')}")
            return None
        image = answer["images"][0]
        manifest = json.loads(image["imageManifest"])
        return Held(image["imageId"]["imageDigest"], manifest.get("config", {}).get("digest", ""))

    def log_in(self, address: str) -> None:
        """Let docker push to the registry for as long as ECR's token is good.

        Raises:
            PipelineError: It is refused.
        """
        try:
            token = self._client.get_authorization_token()["authorizationData"][0]["authorizationToken"]
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            raise PipelineError(f"ECR gives no token: {error}") from error
        user, _, password = base64.b64decode(token).decode().partition(":")
        # By standard input: other users of the machine can read arguments.
        docker.run("login", "--username", user, "--password-stdin", address, given=password)
