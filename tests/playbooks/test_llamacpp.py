"""engine/kind: llama.cpp is deployed in vLLM's place, answers, and a rollback goes back to vLLM."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.local_region.region import LocalRegion
from tests.support import llamacpp
from tests.support.gateway_client import golden_note, request
from tests.support.runner import run_playbook

pytestmark = [pytest.mark.region, pytest.mark.nightly]

ENGINE = "slm-ft-serving-engine-1"


def engine(region: LocalRegion) -> str:
    """Return the image of the engine that runs."""
    return region.exec(f"docker inspect --format '{{{{.Config.Image}}}}' {ENGINE}").stdout.strip()


def answer(region: LocalRegion) -> object:
    """Return what the gateway answers to the first golden note."""
    status, answered = request(region, "/api/v1/extract", {"text": golden_note()["text"]})
    assert status == 200, answered
    return {name: answered[name] for name in golden_note()["expected"]}


def test_llamacpp_takes_vllms_place_and_a_rollback_takes_it_back(serving: LocalRegion, tmp_path: Path) -> None:
    vllm = engine(serving)
    llamacpp.write_gguf(tmp_path / "model.gguf")
    source = serving.account().upload_gguf(tmp_path / "model.gguf")
    given = [f"images_engine_tag={serving.give_llamacpp()}", "stack_engine_kind=llamacpp", f"model_store_gguf={source}"]
    options = [part for each in given for part in ("-e", each)]

    run_playbook(serving, "deploy", *options).must_succeed()
    assert "slm-ft-serving-llamacpp@" in engine(serving)
    assert answer(serving) == golden_note()["expected"]
    shown = run_playbook(serving, "status").must_succeed().output
    assert "engine    llamacpp (cpu)" in shown
    assert "NOT WELL" not in shown

    run_playbook(serving, "rollback").must_succeed()
    assert engine(serving) == vllm
    assert answer(serving) == golden_note()["expected"]
