"""The proof that a container sees a GPU: in time, late, and not at all."""

from __future__ import annotations

import pytest
from ansible_collections.slm.serving.plugins.module_utils import process
from ansible_collections.slm.serving.plugins.modules import nvidia_runtime_info

from tests.plugins.run import run_module


@pytest.mark.parametrize(
    ("outcome", "required", "proven", "failed"),
    [
        (None, True, True, False),
        (process.TooLateError("`docker run` did not end within 1 s"), False, False, False),
        (process.TooLateError("`docker run` did not end within 1 s"), True, None, True),
        (process.StackError("a container sees no GPU"), False, None, True),
    ],
)
def test_proof_that_takes_long_is_left_to_another_session(
    outcome: Exception | None, required: bool, proven: bool | None, failed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def container(image: str, timeout: float) -> None:
        del image, timeout
        if outcome:
            raise outcome

    monkeypatch.setattr(nvidia_runtime_info, "inspect", lambda _: {"missing": []})
    monkeypatch.setattr(nvidia_runtime_info, "has_image", lambda _: True)
    monkeypatch.setattr(nvidia_runtime_info, "gpus_of_container", container)
    asked = {"image": "engine", "minimum_driver": "1.0", "minimum_toolkit": "1.0", "timeout": 1}
    answer = run_module("nvidia_runtime_info", {**asked, "require_proof": required})
    assert (answer.get("proven"), answer.get("failed", False)) == (proven, failed)
