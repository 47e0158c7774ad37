"""Models whose download is cut, or for which there is no room."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.local_region import names
from tests.local_region.region import LocalRegion
from tests.local_region.seed import SMALL_MODEL
from tests.support.drill import Begin, current_release
from tests.support.runner import run_playbook

pytestmark = pytest.mark.region

MODELS = "/var/lib/slm-ft-serving/models"
CUT_AFTER_BYTES = 128 * 1024  # all files but the weights are smaller, and the weights are not done in a few attempts


@pytest.fixture
def other_base(region: LocalRegion) -> str:
    """Return the address of a base model that is not on the instance yet."""
    s3 = region.client("s3")
    prefix = f"drill-{secrets.token_hex(4)}"
    for path in (SMALL_MODEL / "base").iterdir():
        s3.put_object(Bucket=names.MODELS_BUCKET, Key=f"{prefix}/{path.name}", Body=path.read_bytes())
    return f"s3://{names.MODELS_BUCKET}/{prefix}"


@pytest.fixture
def full_disk(region: LocalRegion) -> Iterator[None]:
    """Put the models on a file system of their own, on which next to nothing fits."""
    region.exec(f"mount -t tmpfs -o size=1m drill {MODELS}")
    yield
    region.exec(f"umount {MODELS}")


def test_model_download_cut_and_resumed(region: LocalRegion, begin: Begin, other_base: str) -> None:
    with begin("model download cut") as drill:
        region.faults.switch_on("s3-cut", f"{names.MODELS_BUCKET} {CUT_AFTER_BYTES}")
        run = run_playbook(region, "deploy", "-e", f"model_store_base={other_base}")
        drill.failed(run, other_base)
    region.faults.switch_off("s3-cut")
    whole = region.exec(f"stat --format %i {MODELS}/.staging-base-*/config.json").stdout
    run_playbook(region, "deploy", "-e", f"model_store_base={other_base}").must_succeed()
    assert current_release(region) != drill.release
    assert whole in region.exec(f"stat --format %i {MODELS}/base-*/config.json").stdout, "it was fetched again"


@pytest.mark.usefixtures("full_disk")
@pytest.mark.nightly
def test_disk_of_the_models_full(region: LocalRegion, begin: Begin) -> None:
    with begin("disk full") as drill:
        drill.failed(run_playbook(region, "deploy"), MODELS, "GB")
