"""What an image is for, as ECR tells it: its manifest, and its configuration by an address of its storage."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from tests.fakes.account import Api
from tests.local_region import environment, names
from tests.local_region.aws_api import ecr
from tests.local_region.docker.images import PushedImage
from tests.local_region.state import Ports
from tests.plugins.run import run_module

CONFIG = f"sha256:{'c' * 64}"
OCI = "application/vnd.oci.image."
SINGLE = {"schemaVersion": 2, "config": {"digest": CONFIG, "size": 1}, "layers": []}
INDEX = {
    "schemaVersion": 2,
    "manifests": [
        {"platform": {"os": "linux", "architecture": "arm64"}},
        {"platform": {"os": "unknown", "architecture": "unknown"}},
    ],
}


@pytest.fixture
def seeded(api: Api, monkeypatch: pytest.MonkeyPatch) -> Api:
    """Return an account with one image for each kind of manifest, whose registry has the one configuration."""
    api.client("ecr").create_repository(repositoryName=names.GATEWAY_REPOSITORY)
    for tag, manifest, kind in (("single", SINGLE, "manifest.v1+json"), ("index", INDEX, "index.v1+json")):
        text = json.dumps(manifest)
        digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
        api.account.register_in_ecr(PushedImage(names.GATEWAY_REPOSITORY, tag, digest, text, OCI + kind))

    class FakeRegistry:
        def __init__(self, *_: object) -> None:
            pass

        def blob(self, repository: str, digest: str) -> bytes | None:
            held = (repository, digest) == (names.GATEWAY_REPOSITORY, CONFIG)
            return b'{"os": "linux", "architecture": "arm64"}' if held else None

    monkeypatch.setattr(ecr, "RegistryClient", FakeRegistry)
    monkeypatch.setattr(api.state.__class__, "load_ports", lambda _: Ports(api.port, 2, 3))
    return api


def resolve(api: Api, architecture: str, *tags: str) -> dict[str, Any]:
    """Resolve tags of the gateway's image."""
    return run_module(
        "ecr_image_info",
        {
            "region": names.AWS_REGION,
            "endpoint_url": api.account.endpoint,
            "access_key": environment.OPERATOR_ACCESS_KEY,
            "secret_key": environment.OPERATOR_SECRET_KEY,
            "images": {tag: {"repository": names.GATEWAY_REPOSITORY, "tag": tag} for tag in tags},
            "architecture": architecture,
            "fail": False,
        },
    )


def test_image_for_another_architecture_is_a_problem_and_resolved_all_the_same(seeded: Api) -> None:
    answer = resolve(seeded, "x86_64", "single", "index")
    assert [problem.partition(",")[0] for problem in answer["problems"]] == [
        f"The image {names.GATEWAY_REPOSITORY}:{tag} ({tag}) is for linux/arm64" for tag in ("single", "index")
    ]
    assert set(answer["images"]) == {"single", "index"}
    assert answer["unseen"] == []


@pytest.mark.parametrize("architecture", ["arm64", "", "of-another-kind"])
def test_image_for_this_or_for_no_known_architecture_is_none(seeded: Api, architecture: str) -> None:
    answer = resolve(seeded, architecture, "single", "index")
    assert (answer["problems"], answer["unseen"]) == ([], [])


def test_registry_that_does_not_have_it_is_no_problem(seeded: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeded.state.__class__, "load_ports", lambda _: None)
    answer = resolve(seeded, "x86_64", "single")
    assert answer["problems"] == []
    assert "LayersNotFoundException" in answer["unseen"][0]
