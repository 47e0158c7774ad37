"""A release whose files on the instance are no longer as they were written."""

from __future__ import annotations

import pytest

from tests.local_region.region import LocalRegion
from tests.support.drill import CURRENT, Begin, current_release
from tests.support.runner import run_playbook

pytestmark = pytest.mark.region


def test_corrupted_release_directory(region: LocalRegion, begin: Begin) -> None:
    with begin("release directory corrupted") as drill:
        region.exec(f"echo 'max-num-seqs: 1' >> {CURRENT}/engine.yaml")
        drill.failed(run_playbook(region, "verify"), "engine.yaml", drill.release, "damaged")
    run_playbook(region, "deploy").must_succeed()
    assert current_release(region) != drill.release
    run_playbook(region, "verify").must_succeed()
