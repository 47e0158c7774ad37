"""Images that cannot be had."""

from __future__ import annotations

import hashlib
import json

import pytest

from tests.drills.conftest import Begin
from tests.local_region import names
from tests.local_region.images import PushedImage
from tests.local_region.region import LocalRegion
from tests.playbooks.runner import run_playbook

pytestmark = pytest.mark.region

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"


def test_tag_that_ecr_does_not_know(region: LocalRegion, begin: Begin) -> None:
    with begin("image missing: no such tag in ECR") as drill:
        run = run_playbook(region, "deploy", "-e", "images_gateway_tag=no-such-tag")
        drill.failed(run, "no-such-tag", names.GATEWAY_REPOSITORY)


def test_image_that_the_registry_does_not_have(region: LocalRegion, begin: Begin) -> None:
    """ECR knows the tag, so that the deployment gets as far as the pull."""
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "layers": []})
    digest = f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}"
    region.account().tell_ecr(PushedImage(names.GATEWAY_REPOSITORY, "never-pushed", digest, manifest, MANIFEST_TYPE))
    with begin("image missing: not in the registry") as drill:
        run = run_playbook(region, "deploy", "-e", "images_gateway_tag=never-pushed")
        drill.failed(run, "never-pushed", names.GATEWAY_REPOSITORY)
