"""deploy.yml on a fresh instance, and again: what serves, what changed, and how many sessions it took."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.local_region.region import LocalRegion
from tests.support.deployed import ROOT, current_release
from tests.support.gateway_client import golden_note, request
from tests.support.runner import PlaybookRun, run_playbook

pytestmark = pytest.mark.region

# The number of sessions is what makes a deployment slow on AWS.
FIRST_DEPLOYMENT_SESSIONS = 40
UNCHANGED_SESSIONS = 12
GATEWAY_ONLY_SESSIONS = 22
MIB = 1024 * 1024


def containers(region: LocalRegion) -> dict[str, dict[str, Any]]:
    """Return what `docker inspect` on the instance reports of the stack's containers, by compose service."""
    stack = json.loads(
        region.exec(
            "docker inspect $(docker ps --quiet --filter label=com.docker.compose.project=slm-ft-serving)"
        ).stdout
    )
    return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in stack}


def test_first_deployment_succeeds_in_few_sessions(first_deployment: PlaybookRun) -> None:
    first_deployment.must_succeed()
    assert first_deployment.sessions <= FIRST_DEPLOYMENT_SESSIONS


def test_golden_note_is_answered_with_evidence(serving: LocalRegion) -> None:
    note = golden_note()
    status, answer = request(serving, "/api/v1/extract", {"text": note["text"]})
    assert status == 200
    assert {field: answer[field] for field in note["expected"]} == note["expected"]
    for spans in answer["evidence"].values():
        for span in spans:
            assert note["text"][span["start"] : span["end"]] == span["text"]


def test_wrong_key_is_refused(serving: LocalRegion) -> None:
    status, problem = request(serving, "/api/v1/extract", {"text": "x"}, key="not-a-key")
    assert status == 401
    assert problem["status"] == 401


def test_unchanged_deployment_changes_nothing(serving: LocalRegion) -> None:
    run_playbook(serving, "deploy").must_succeed()
    before = containers(serving)
    again = run_playbook(serving, "deploy").must_succeed()
    after = containers(serving)
    assert again.changed == 0, again.output
    assert again.sessions <= UNCHANGED_SESSIONS
    assert {name: each["State"]["StartedAt"] for name, each in before.items()} == {
        name: each["State"]["StartedAt"] for name, each in after.items()
    }


def test_check_mode_announces_what_a_gateway_only_release_then_changes(serving: LocalRegion) -> None:
    before, release = containers(serving), current_release(serving)
    extra = json.dumps({"inference_stack_gateway_environment": {"GATEWAY_MAX_QUEUE": "129"}})
    announced = run_playbook(serving, "deploy", "--check", "--diff", "-e", extra).must_succeed()
    assert '+      "GATEWAY_MAX_QUEUE": "129"' in announced.output
    assert current_release(serving) == release
    assert {name: each["Id"] for name, each in containers(serving).items()} == {
        name: each["Id"] for name, each in before.items()
    }

    run = run_playbook(serving, "deploy", "-e", extra).must_succeed()
    after = containers(serving)
    assert run.sessions <= GATEWAY_ONLY_SESSIONS
    assert after["engine"]["State"]["StartedAt"] == before["engine"]["State"]["StartedAt"]
    assert after["gateway"]["Id"] != before["gateway"]["Id"]
    assert announced.changed_tasks == run.changed_tasks != []


def test_check_mode_reports_what_was_changed_by_hand(serving: LocalRegion) -> None:
    release = current_release(serving)
    file = f"{ROOT}/current/compose.yml"
    serving.exec(f'sed -i.kept \'s/"GATEWAY_DRAIN_MODE": "refuse"/"GATEWAY_DRAIN_MODE": "close"/\' {file}')
    try:
        report = run_playbook(serving, "deploy", "--check", "--diff").must_succeed()
        assert report.changed > 0
        assert f"The release {release} is damaged: compose.yml is not as it was written." in report.output
        assert '-      "GATEWAY_DRAIN_MODE": "close"' in report.output
        assert '+      "GATEWAY_DRAIN_MODE": "refuse"' in report.output
        assert current_release(serving) == release
    finally:
        serving.exec(f"mv {file}.kept {file}")


def test_engine_is_reachable_by_the_gateway_only(serving: LocalRegion) -> None:
    stack = containers(serving)
    assert not any(stack["engine"]["NetworkSettings"]["Ports"].values())
    assert stack["gateway"]["NetworkSettings"]["Ports"]["8080/tcp"]


def test_containers_are_bounded_and_restarted(serving: LocalRegion) -> None:
    stack = containers(serving)
    for container in stack.values():
        assert container["State"]["Health"]["Status"] == "healthy"
        assert container["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
        assert container["HostConfig"]["LogConfig"]["Config"].keys() >= {"max-size", "max-file"}
    assert stack["engine"]["HostConfig"]["ShmSize"] >= 1024 * MIB
    assert stack["gateway"]["Config"]["User"] not in {"", "0", "root"}


def test_verify_reports_the_running_release_as_good(serving: LocalRegion) -> None:
    assert run_playbook(serving, "verify").must_succeed().changed == 0
