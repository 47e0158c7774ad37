"""Deployments that fail on purpose: the message names the cause and the release that served still serves."""

from __future__ import annotations

import hashlib
import json

import pytest

from tests.local_region import names
from tests.local_region.images import PushedImage
from tests.local_region.region import LocalRegion
from tests.playbooks.gateway_client import golden_note, request
from tests.playbooks.runner import PlaybookRun, run_playbook

pytestmark = pytest.mark.region

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"


class Release:
    """The release that serves before a failure, to be compared with what serves after it."""

    def __init__(self, region: LocalRegion) -> None:
        self._region = region
        self.name = self._current()

    def _current(self) -> str:
        return self._region.exec("readlink /opt/slm-ft-serving/current").stdout.strip()

    def assert_still_serving(self) -> None:
        """The same release is current and answers the golden note."""
        note = golden_note()
        assert self._current() == self.name
        status, answer = request(self._region, "/api/v1/extract", {"text": note["text"]})
        assert status == 200, answer
        assert {field: answer[field] for field in note["expected"]} == note["expected"]


@pytest.fixture
def release(serving: LocalRegion) -> Release:
    """The release that serves."""
    return Release(serving)


def assert_failed_naming(run: PlaybookRun, *words: str) -> None:
    """The run failed and its output has each of the words that name the cause."""
    assert run.returncode != 0, run.output
    missing = [word for word in words if word not in run.output]
    assert not missing, f"{missing} not in\n{run.output}"


def test_wrong_golden_answer(serving: LocalRegion, release: Release) -> None:
    note = golden_note()
    wrong = [{**note, "expected": {**note["expected"], "stage": "a stage that does not exist"}}]
    # A changed setting makes a new release, so that this is a failure after activation.
    extra = {"health_verification_golden": wrong, "inference_stack_gateway_environment": {"GATEWAY_MAX_QUEUE": "33"}}
    run = run_playbook(serving, "deploy", "-e", json.dumps(extra))
    assert_failed_naming(run, "stage", "a stage that does not exist", str(note["expected"]["stage"]))
    release.assert_still_serving()


def test_wrong_image_tag(serving: LocalRegion, release: Release) -> None:
    run = run_playbook(serving, "deploy", "-e", "images_gateway_tag=no-such-tag")
    assert_failed_naming(run, "no-such-tag", names.GATEWAY_REPOSITORY)
    release.assert_still_serving()


def test_missing_secret(serving: LocalRegion, release: Release) -> None:
    serving.client("secretsmanager").delete_secret(
        SecretId=names.SECRET_GATEWAY_API_KEYS, ForceDeleteWithoutRecovery=True
    )
    run = run_playbook(serving, "deploy")
    assert_failed_naming(run, names.SECRET_GATEWAY_API_KEYS)
    release.assert_still_serving()


def tell_ecr_of_an_image_that_no_one_pushed(region: LocalRegion, tag: str) -> None:
    """ECR knows the tag, so that the deployment gets as far as the pull."""
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "layers": [], "annotations": {"tag": tag}})
    digest = f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}"
    region.account().tell_ecr(PushedImage(names.GATEWAY_REPOSITORY, tag, digest, manifest, MANIFEST_TYPE))


def test_image_that_the_registry_does_not_have(serving: LocalRegion, release: Release) -> None:
    tell_ecr_of_an_image_that_no_one_pushed(serving, "never-pushed")
    run = run_playbook(serving, "deploy", "-e", "images_gateway_tag=never-pushed")
    assert_failed_naming(run, names.GATEWAY_REPOSITORY, "never-pushed")
    release.assert_still_serving()


def test_stopped_registry(serving: LocalRegion, release: Release) -> None:
    tell_ecr_of_an_image_that_no_one_pushed(serving, "registry-is-down")
    serving.stop_registry()
    run = run_playbook(serving, "deploy", "-e", "images_gateway_tag=registry-is-down")
    assert_failed_naming(run, names.ECR_HOST)
    release.assert_still_serving()
