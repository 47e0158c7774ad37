"""What an image in ECR was built for, by its manifest or its configuration."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.slm.serving.plugins.modules import ecr_image_info
from botocore.exceptions import ClientError

from tests.plugins.run import run_module

DIGEST = f"sha256:{'1' * 64}"
IMAGE = {"repository": "some-gateway", "tag": "v1", "digest": DIGEST}
CONFIG_DIGEST = f"sha256:{'c' * 64}"
SINGLE = {"schemaVersion": 2, "config": {"digest": CONFIG_DIGEST}, "layers": []}


def index(*platforms: str) -> dict[str, Any]:
    """Return an index with an image for each platform, `OS/ARCHITECTURE` or with a variant behind."""
    names = [dict(zip(("os", "architecture", "variant"), each.split("/"), strict=False)) for each in platforms]
    return {"schemaVersion": 2, "manifests": [{"digest": DIGEST, "platform": name} for name in names]}


class FakeEcr:
    """A fake of ECR's client: one image."""

    def __init__(self, manifest: dict[str, Any] | None, refusing: str = "") -> None:
        self._manifest, self._refusing = manifest, refusing
        self.asked: list[str] = []

    def _ask(self, call: str) -> None:
        self.asked.append(call)
        if call == self._refusing:
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, call)

    def batch_get_image(self, **options: Any) -> dict[str, Any]:
        self._ask("BatchGetImage")
        assert options["imageIds"] == [{"imageDigest": DIGEST}]
        if self._manifest is None:
            return {"images": [], "failures": [{"failureReason": "Requested image not found"}]}
        return {"images": [{"imageManifest": json.dumps(self._manifest)}], "failures": []}

    def get_download_url_for_layer(self, **options: Any) -> dict[str, Any]:
        self._ask("GetDownloadUrlForLayer")
        assert options["layerDigest"] == CONFIG_DIGEST
        return {"downloadUrl": "https://storage.invalid/config"}


@pytest.fixture
def configuration(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the image's configuration, which a test changes."""
    content: dict[str, Any] = {"os": "linux", "architecture": "amd64"}
    monkeypatch.setattr(ecr_image_info, "open_url", lambda *_, **__: io.BytesIO(json.dumps(content).encode()))
    return content


@pytest.mark.parametrize(
    ("manifest", "architecture", "told"),
    [
        (index("linux/amd64", "unknown/unknown"), "x86_64", ""),
        (index("linux/amd64", "linux/arm64/v8", "unknown/unknown", "unknown/unknown"), "x86_64", ""),
        (index("linux/amd64", "linux/arm64/v8"), "arm64", ""),
        (index("linux/arm64/v8", "unknown/unknown"), "x86_64", "is for linux/arm64, and the instance is x86_64"),
        (index("linux/arm64", "windows/amd64"), "x86_64", "is for linux/arm64 and windows/amd64, and"),
        (index("linux/amd64"), "arm64", "--platform linux/arm64"),
    ],
)
def test_index_tells_it_by_itself(manifest: dict[str, Any], architecture: str, told: str) -> None:
    ecr = FakeEcr(manifest)
    problem = ecr_image_info.architecture_problem(ecr, "gateway", IMAGE, architecture)
    assert (told in problem) if problem else not told
    assert ecr.asked == ["BatchGetImage"]


@pytest.mark.parametrize(
    ("built_for", "told"), [("amd64", ""), ("arm64", "some-gateway:v1 (gateway) is for linux/arm64")]
)
def test_single_image_tells_it_by_its_configuration(configuration: dict[str, Any], built_for: str, told: str) -> None:
    configuration["architecture"] = built_for
    problem = ecr_image_info.architecture_problem(FakeEcr(SINGLE), "gateway", IMAGE, "x86_64")
    assert (told in problem) if problem else not told


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        (None, "Requested image not found"),
        (index("unknown/unknown"), "names no platform"),
        ({"schemaVersion": 2, "layers": []}, "names no configuration"),
        ({"schemaVersion": 2, "manifests": []}, "names no platform"),
    ],
)
def test_image_that_does_not_tell_it_is_not_refused(manifest: dict[str, Any] | None, told: str) -> None:
    with pytest.raises(ecr_image_info.UnseenError, match=told):
        ecr_image_info.architecture_problem(FakeEcr(manifest), "gateway", IMAGE, "x86_64")


@pytest.mark.parametrize("call", ["BatchGetImage", "GetDownloadUrlForLayer"])
def test_missing_permission_is_left_to_the_caller(call: str) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        ecr_image_info.platforms(FakeEcr(SINGLE, refusing=call), "some-gateway", DIGEST)


@pytest.mark.parametrize(
    ("ecr", "architecture", "problems", "unseen"),
    [
        (FakeEcr(index("linux/arm64")), "x86_64", ["The image some-gateway:v1 (gateway) is for linux/arm64, and"], []),
        (FakeEcr(index("linux/arm64")), "arm64", [], []),
        (FakeEcr(index("linux/arm64")), "", [], []),
        (FakeEcr(index("linux/arm64")), "mips64", [], []),
        (FakeEcr(None, refusing="BatchGetImage"), "x86_64", [], ["What some-gateway:v1 was built for: An error"]),
        (FakeEcr(None), "x86_64", [], ["What some-gateway:v1 was built for: Requested image not found."]),
    ],
)
def test_module_names_what_is_wrong_and_what_it_could_not_see(
    ecr: FakeEcr, architecture: str, problems: list[str], unseen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AnsibleAWSModule, "client", lambda *_, **__: ecr)
    monkeypatch.setattr(ecr_image_info, "resolve", lambda *_: (IMAGE, None))
    images = {"gateway": {"repository": "some-gateway", "tag": "v1"}}
    options = {"images": images, "architecture": architecture, "fail": False, "region": "us-east-1"}
    answer = run_module("ecr_image_info", options)
    assert answer["images"] == {"gateway": IMAGE}
    for told, expected in ((answer["problems"], problems), (answer["unseen"], unseen)):
        assert len(told) == len(expected)
        assert all(line.startswith(words) for line, words in zip(told, expected, strict=True))
