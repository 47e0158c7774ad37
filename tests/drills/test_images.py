"""Images that cannot be had."""

from __future__ import annotations

import hashlib
import io
import json
import random
import subprocess
import tarfile
from collections.abc import Iterator

import pytest

from tests.local_region import names
from tests.local_region.docker import engine as docker_engine
from tests.local_region.docker import images
from tests.local_region.docker.images import PushedImage
from tests.local_region.region import LocalRegion
from tests.support.drill import Begin
from tests.support.runner import RunningPlaybook, run_playbook

pytestmark = pytest.mark.region

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
LARGE_TAG = "large"
LARGE_BYTES = 96 * 1024 * 1024
# Ends when Docker has more than the first bytes of a layer.
WAIT_FOR_LAYER = (
    "for try in $(seq 600); do "
    "[ -n \"$(find /var/lib/docker/tmp -name 'GetImageBlob*' -size +1M)\" ] && exit 0; sleep 0.1; done; exit 1"
)


@pytest.mark.nightly
def test_image_tag_missing_in_ecr(region: LocalRegion, begin: Begin) -> None:
    with begin("image missing: no such tag in ECR") as drill:
        run = run_playbook(region, "deploy", "-e", "images_gateway_tag=no-such-tag")
        drill.failed(run, "no-such-tag", names.GATEWAY_REPOSITORY)


@pytest.mark.nightly
def test_image_missing_in_the_registry(region: LocalRegion, begin: Begin) -> None:
    """ECR knows the tag, so that the deployment gets as far as the pull."""
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "layers": []})
    digest = f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}"
    region.account().register_in_ecr(
        PushedImage(names.GATEWAY_REPOSITORY, "never-pushed", digest, manifest, MANIFEST_TYPE)
    )
    with begin("image missing: not in the registry") as drill:
        run = run_playbook(region, "deploy", "-e", "images_gateway_tag=never-pushed")
        drill.failed(run, "never-pushed", names.GATEWAY_REPOSITORY)


@pytest.fixture
def slow_registry(region: LocalRegion) -> Iterator[LocalRegion]:
    """Return the region with a registry that takes many seconds for the image tagged `large`, which only it has."""
    engine = docker_engine.connect()
    local = f"slm-ft-serving-drill:{LARGE_TAG}"
    subprocess.run([engine.client, "import", "-", local], input=archive(LARGE_BYTES), check=True, capture_output=True)
    try:
        pushed = images.push(
            engine,
            local,
            f"127.0.0.1:{region.ports.registry}",
            names.GATEWAY_REPOSITORY,
            lambda _line: None,
            docker_config=region.state.docker_config,
            authority=region.state.certificates / "ca.crt",
        )
    finally:
        engine.run("rmi", local)
    region.account().register_in_ecr(pushed)
    region.slow_down_registry()
    yield region
    region.start_registry()


def archive(size: int) -> bytes:
    """Return a tar archive with one file that no compression makes smaller."""
    content = random.Random(0).randbytes(size)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo("noise")
        entry.size = size
        tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


@pytest.mark.nightly
def test_registry_down_in_mid_pull(slow_registry: LocalRegion, begin: Begin) -> None:
    region = slow_registry
    with (
        begin("registry down in mid-pull") as drill,
        RunningPlaybook(region, "deploy", "-e", f"images_gateway_tag={LARGE_TAG}") as deployment,
    ):
        deployment.wait_for("TASK [images : Pull")
        region.exec(WAIT_FOR_LAYER)
        region.stop_registry()
        drill.failed(deployment.finish(), "does not answer", names.ECR_HOST)
