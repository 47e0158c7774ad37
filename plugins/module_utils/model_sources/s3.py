"""Models in S3, read with the instance profile."""

from __future__ import annotations

import html
import json
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from ansible_collections.slm.serving.plugins.module_utils.aws_cli import CLOCK_HELP, AwsError, aws, role_in
from ansible_collections.slm.serving.plugins.module_utils.model_sources.base import (
    SILENCE_SECONDS,
    ModelError,
    ModelFile,
    RemoteSource,
    SourceOptions,
    checksum_of,
    checksum_of_parts,
    request,
)

# Source: Amazon S3, "Error responses".
EXPIRED_CODES = {"ExpiredToken", "TokenRefreshRequired", "InvalidToken"}
REGION_CODES = {"AuthorizationHeaderMalformed", "AuthorizationQueryParametersError", "PermanentRedirect"}
PASSING_CODES = {"RequestTimeout", "SlowDown", "Busy", "OperationAborted"}
PASSING_STATUSES = {408, 416, 429}
# The address was signed a moment before.
WRONG_TIME = re.compile("has expired|not yet valid")
ANSWER_BYTES = 1 << 16


def element(document: str, name: str) -> str:
    """Return the text of an element of S3's answer; empty where there is none."""
    found = re.search(f"<{name}>([^<]*)</{name}>", document)
    return html.unescape(found[1]).strip() if found else ""


def other_region(document: str) -> str:
    """Return the bucket's region as S3's answer to a call to another one tells it."""
    expected = re.search(r"expecting (?:'|&#39;|&apos;)([\w-]+)", document)
    return element(document, "Region") or (expected[1] if expected else "another region")


class S3Source(RemoteSource):
    """A prefix of a bucket, read with the instance profile."""

    def __init__(self, source: str, options: SourceOptions) -> None:
        """Parse s3://bucket/prefix."""
        self.source, self.region = source.rstrip("/"), options["region"]
        self.bucket, _, prefix = self.source.removeprefix("s3://").partition("/")
        self.prefix = f"{prefix}/" if prefix else ""
        self._listing: dict[str, ModelFile] = {}

    def _aws(self, *arguments: str) -> str:
        try:
            return aws(*arguments, region=self.region)
        except AwsError as error:
            if "NoSuchBucket" in error.reason:
                raise ModelError(f"the bucket {self.bucket} of {self.source} does not exist") from None
            if error.denied:
                raise ModelError(self._denied(role_in(error.reason))) from None
            raise ModelError(f"{self.source} cannot be read: {error}") from None

    def _denied(self, who: str) -> str:
        bucket = f"arn:aws:s3:::{self.bucket}"
        return (
            f"{who} may not read {self.source}: allow it s3:ListBucket on {bucket}"
            f" and s3:GetObject on {bucket}/{self.prefix}*; where a setting names it, playbooks/provision.yml does"
        )

    def files(self) -> dict[str, ModelFile]:
        """Return size and ETag by relative path, asked for once. Raises ModelError when there is nothing."""
        if self._listing:
            return self._listing
        answer = self._aws(
            "s3api", "list-objects-v2", "--bucket", self.bucket, "--prefix", self.prefix, "--output=json"
        )
        objects = json.loads(answer or "{}").get("Contents") or []
        if not objects:
            raise ModelError(f"there is nothing at {self.source}")
        self._listing = {
            item["Key"].removeprefix(self.prefix): {"size": item["Size"], "etag": item["ETag"].strip('"')}
            for item in objects
            if not item["Key"].endswith("/")
        }
        return self._listing

    def identity(self) -> str:
        """Return the text that changes when the content does."""
        return json.dumps(self.listing(), sort_keys=True)

    def open(self, name: str, start: int) -> Any:
        """Return the answer with an object's bytes, by an address signed anew, since a role's credentials end."""
        address = self._aws("s3", "presign", f"s3://{self.bucket}/{self.prefix}{name}", "--expires-in", "3600").strip()
        try:
            return urllib.request.urlopen(request(address, start), timeout=SILENCE_SECONDS)  # noqa: S310
        except urllib.error.HTTPError as error:
            raise self._explained(name, error.code, error.read(ANSWER_BYTES).decode(errors="replace")) from None

    def _explained(self, name: str, status: int, answer: str) -> Exception:
        """Return S3's refusal of an object in words.

        Args:
            name: of the file.
            status: of the answer.
            answer: its body, where S3 gives a code of its own: a status alone stands for many causes.

        Returns:
            A ModelError, or an OSError where another attempt may help.
        """
        code, message = element(answer, "Code"), element(answer, "Message")
        where = f"{name} of {self.source}"
        said = f"S3 answered {code or status}" + (f": {message}" if message else "")
        if code == "RequestTimeTooSkewed" or (code == "AccessDenied" and WRONG_TIME.search(message)):
            return ModelError(CLOCK_HELP)
        if code in EXPIRED_CODES:
            return OSError(f"{said}. If it lasts, the metadata service hands out old credentials: reboot the instance")
        if status == 301 or (code in REGION_CODES and "region" in (answer + message).lower()):
            return ModelError(
                f"the bucket {self.bucket} of {self.source} lies in {other_region(answer)}, not in {self.region}: copy"
                f" the model to a bucket in {self.region}"
            )
        if code == "InvalidObjectState":
            return ModelError(
                f"{where} is archived ({message or 'its storage class has to be restored first'}): restore it with `aws"
                " s3api restore-object`, or upload it again in the storage class STANDARD"
            )
        if code.startswith("KMS") or (code == "AccessDenied" and "kms:" in message.lower()):
            return ModelError(f"{role_in(message)} may not decrypt {where}: allow it kms:Decrypt on the key ({said})")
        if code == "NoSuchBucket":
            return ModelError(f"the bucket {self.bucket} of {self.source} does not exist")
        if status == 404:
            return ModelError(f"{where} is gone")
        if code == "AccessDenied" or (status == 403 and not code):
            return ModelError(self._denied(role_in(message)))
        if status in PASSING_STATUSES or status >= 500 or code in PASSING_CODES:
            return OSError(said)
        return ModelError(f"{where} cannot be read: {said}")

    def problem(self, path: Path, name: str, file: ModelFile) -> str | None:
        """Return what is wrong with a fetched file by its ETag, which is no checksum under a KMS key."""
        tag = re.fullmatch(r"([0-9a-f]{32})(-\d+)?", file["etag"])
        if not tag or (not tag[2] and checksum_of(path, "md5") == file["etag"]):
            return None
        about = ["s3api", "head-object", "--bucket", self.bucket, "--key", self.prefix + name, "--output", "json"]
        head = json.loads(self._aws(*about, *(["--part-number", "1"] if tag[2] else [])))
        if head.get("ServerSideEncryption", "").startswith("aws:kms"):
            return None
        if tag[2] and checksum_of_parts(path, head["ContentLength"]) == file["etag"]:
            return None
        path.unlink()  # Else it would be taken for whole the next time.
        return f"{name} does not have the checksum that S3 reports"
