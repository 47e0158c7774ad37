"""From an empty account to a release that serves: provision.yml, images and model, deploy.yml."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import pytest

from tests.local_region import names, seed
from tests.local_region.region import LocalRegion
from tests.support.runner import run_playbook

pytestmark = pytest.mark.region

# What differs from AWS: the names that the region's own upload knows, and no GPU.
IN_THE_REGION = {
    "infrastructure_transfer_bucket": names.TRANSFER_BUCKET,
    "infrastructure_models_bucket": names.MODELS_BUCKET,
    "infrastructure_gateway_cidrs": ["198.51.100.0/24"],
    "infrastructure_parameters": {
        "engine/accelerator": "cpu",
        "model/base": f"s3://{names.MODELS_BUCKET}/small/base",
        "model/adapter": f"s3://{names.MODELS_BUCKET}/small/adapter",
    },
}


@pytest.fixture
def empty() -> Iterator[LocalRegion]:
    """Make a region whose account is empty; a fake serves as the engine, so that no model need be loaded."""
    with LocalRegion("empty", engine="stand-in", empty_account=True).fresh() as region:
        yield region


def test_two_playbooks_lead_from_an_empty_account_to_a_verified_release(
    empty: LocalRegion, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = seed.kept_secret(empty.state.gateway_api_key, "slm-demo-")
    monkeypatch.setenv("SLM_GATEWAY_API_KEYS", f"demo:{hashlib.sha256(key.encode()).hexdigest()}")
    run_playbook(empty, "provision", "-e", json.dumps(IN_THE_REGION)).must_succeed()
    empty.give_images_and_model()
    deployment = run_playbook(empty, "deploy").must_succeed()
    assert deployment.changed > 0
    assert run_playbook(empty, "verify").must_succeed().changed == 0

    # Its policies were asked about every call of the instance, and were enough.
    role = empty.client("iam").list_role_policies(RoleName=names.INSTANCE_ROLE)
    assert role["PolicyNames"] == [names.APPLICATION]
    log = empty.api_log()
    assert "instance secretsmanager GetSecretValue" in log
    assert "refused: " not in log
