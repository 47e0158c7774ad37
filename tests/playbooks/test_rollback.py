"""rollback.yml: to what served before and to a named release, verified; what serves survives a rollback that fails."""

from __future__ import annotations

import json

import pytest

from tests.local_region.region import LocalRegion
from tests.support.deployed import ROOT, current_release
from tests.support.gateway_client import golden_note, request
from tests.support.runner import run_playbook

pytestmark = pytest.mark.region

# A golden note that no longer comes right: the release is whole by its checksums, and fails its verification.
SPOIL = """
import hashlib, json, pathlib, sys
release = pathlib.Path(sys.argv[1])
expected, record = release / "verification.json", release / "release.yml"
content = json.loads(expected.read_text())
content["golden"][0]["expected"]["stage"] = "a stage that does not exist"
expected.write_text(json.dumps(content))
manifest = json.loads(record.read_text())
manifest["files"]["verification.json"] = hashlib.sha256(expected.read_bytes()).hexdigest()
record.write_text(json.dumps(manifest))
"""


def assert_serving(region: LocalRegion, release: str) -> None:
    """Check that the release is current and verified, and answers the golden note."""
    note = golden_note()
    assert current_release(region) == release
    assert region.exec(f"basename $(readlink {ROOT}/verified)").stdout.strip() == release
    status, answer = request(region, "/api/v1/extract", {"text": note["text"]})
    assert status == 200, answer
    assert {field: answer[field] for field in note["expected"]} == note["expected"]


def test_rollback_serves_the_release_before_and_a_failing_one_changes_nothing(serving: LocalRegion) -> None:
    first = current_release(serving)
    extra = json.dumps({"inference_stack_gateway_environment": {"GATEWAY_MAX_QUEUE": "77"}})
    run_playbook(serving, "deploy", "-e", extra).must_succeed()
    second = current_release(serving)
    assert second != first

    engine = serving.exec("docker inspect --format '{{.State.StartedAt}}' slm-ft-serving-engine-1").stdout
    back = run_playbook(serving, "rollback").must_succeed()
    assert back.changed > 0
    assert_serving(serving, first)
    # The two differ in the gateway only.
    assert serving.exec("docker inspect --format '{{.State.StartedAt}}' slm-ft-serving-engine-1").stdout == engine

    again = run_playbook(serving, "rollback", "-e", f"rollback_to={first}").must_succeed()
    assert again.changed == 0

    refused = run_playbook(serving, "rollback", "-e", "rollback_to=20200101T000000Z")
    assert refused.returncode != 0
    assert "There is no release 20200101T000000Z on the instance" in refused.output
    assert first in refused.output
    assert second in refused.output

    serving.exec(f"python3 -c '{SPOIL}' {ROOT}/releases/{second}")
    failed = run_playbook(serving, "rollback", "-e", f"rollback_to={second}")
    assert failed.returncode != 0
    assert f"The rollback to {second} failed" in failed.output
    assert "a stage that does not exist" in failed.output
    assert f"The release {first} is back and verified" in failed.output
    assert_serving(serving, first)
