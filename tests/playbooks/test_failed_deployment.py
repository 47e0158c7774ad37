"""Fault drills with the real engine: releases that come up wrong; tests/drills has the others, with a stand-in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.local_region.region import LocalRegion
from tests.support.drill import Begin, recorded_drills
from tests.support.gateway_client import golden_note
from tests.support.runner import run_playbook

pytestmark = pytest.mark.region

# An extraction takes the engine seconds of both cores: without pauses the drill would keep the deployment waiting.
SECONDS_BETWEEN_REQUESTS = 10.0


@pytest.fixture
def begin(serving: LocalRegion, request: pytest.FixtureRequest) -> Begin:
    """Begin a drill by the name of its fault; its outcome is in the drills' table."""
    return recorded_drills(serving, request.node, engine="vLLM", seconds_between_requests=SECONDS_BETWEEN_REQUESTS)


def engine_options(**options: Any) -> str:
    """Return an argument of -e that gives the engine options of vLLM's own."""
    return json.dumps({"inference_stack_engine_options": options})


def test_engine_that_crashes_at_start(serving: LocalRegion, begin: Begin) -> None:
    with begin("engine crashes at start") as this:
        run = run_playbook(serving, "deploy", "-e", engine_options(**{"max-num-seqs": "many"}))
        this.failed(run, "engine container crashes at start", "max-num-seqs", "is back and verified")


@pytest.mark.nightly
def test_engine_that_starts_and_never_answers(serving: LocalRegion, begin: Begin) -> None:
    """It listens where nobody asks."""
    with begin("engine starts and never answers") as this:
        run = run_playbook(serving, "deploy", "-e", engine_options(port=8001), "-e", "release_timeout=30")
        this.failed(run, "not healthy after", "engine is running", "is back and verified")


@pytest.mark.nightly
def test_engine_that_is_healthy_but_lacks_the_adapter(serving: LocalRegion, begin: Begin) -> None:
    other = json.dumps({"name": "another", "path": "/models/adapter", "base_model_name": "base"})
    with begin("engine healthy, but the adapter is missing") as this:
        run = run_playbook(serving, "deploy", "-e", engine_options(**{"lora-modules": [other]}))
        this.failed(run, "does not serve the adapter 'medical-ie'", "is back and verified")


def test_wrong_answer_to_the_golden_note(serving: LocalRegion, begin: Begin) -> None:
    note = golden_note()
    wrong = [{**note, "expected": {**note["expected"], "stage": "a stage that does not exist"}}]
    # A changed setting makes a new release, so that this is a failure after activation.
    extra = {"health_verification_golden": wrong, "inference_stack_gateway_environment": {"GATEWAY_MAX_QUEUE": "33"}}
    with begin("wrong answer to the golden note") as this:
        run = run_playbook(serving, "deploy", "-e", json.dumps(extra))
        this.failed(run, "stage: expected 'a stage that does not exist', got 'IV'", "is back and verified")
