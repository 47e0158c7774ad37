"""A training that is killed, or asked to stop, resumes with the losses of an uninterrupted one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="in the training environment")
pytest.importorskip("peft", reason="in the training environment")

from tests.training import tiny
from training.__main__ import main
from training.model.llama import answer_loss as model_loss
from training.run.metrics import Record, read_metrics

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
STEPS = 12
# Kills itself within a step, before the loss of batch number CALL; a step has two batches.
KILLED = """
import os, sys
from training import __main__
from training.trainers import answer_trainer
real, calls = answer_trainer.answer_loss, 0
def answer_loss(model, *arguments):
    global calls
    calls += model.training
    if model.training and calls == {call}:
        os.kill(os.getpid(), 9)
    return real(model, *arguments)
answer_trainer.answer_loss = answer_loss
sys.exit(__main__.main())
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("inputs")
    config = tiny.write_config(folder / "config.yaml")
    base, data = tiny.write_base(folder / "base"), tiny.write_data(folder / "data")
    return ["adapter", "--config", str(config), "--data", str(data), "--base", str(base)]


def train(inputs: list[str], out: Path) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["training", *inputs, "--out", str(out)])
        return main()


@pytest.fixture(scope="module")
def uninterrupted(inputs: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("uninterrupted")
    assert train(inputs, out) == 0
    return out


def figures(out: Path, kind: str) -> dict[int, float]:
    """Return the figures of one kind by step, each step once and in order."""
    records: list[Record] = [record for record in read_metrics(out / "metrics.jsonl") if kind in record]
    by_step = {record["step"]: record[kind] for record in records}
    assert list(by_step) == [record["step"] for record in records], "a step is repeated, or out of order"
    return by_step


def assert_same_run(out: Path, uninterrupted: Path) -> None:
    for kind in ("loss", "grad_norm", "learning_rate", "eval_loss", "eval_f1"):
        assert figures(out, kind) == pytest.approx(figures(uninterrupted, kind), rel=1e-5), kind
    assert list(figures(out, "loss")) == list(range(1, STEPS + 1))
    assert list(figures(out, "eval_loss")) == [6, 12]
    weights = "adapter/adapter_model.safetensors"
    assert (out / weights).read_bytes() == (uninterrupted / weights).read_bytes()
    assert not (out / "checkpoints").exists()


def test_a_training_killed_within_a_step_resumes_from_the_last_complete_checkpoint(
    inputs: list[str], uninterrupted: Path, tmp_path: Path
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED.format(call=20), *inputs, "--out", tmp_path],  # in step 10; saved: 4 and 8
        cwd=tiny.ROOT, env={**os.environ, "PYTHONPATH": str(tiny.ROOT)}, timeout=600, check=False,
    )  # fmt: skip
    assert killed.returncode == -9
    assert max(figures(tmp_path, "loss")) == 9
    assert not (tmp_path / "adapter").exists()
    assert (tmp_path / "checkpoints" / "checkpoint-8" / "complete").exists()
    assert train(inputs, tmp_path) == 0
    assert_same_run(tmp_path, uninterrupted)


def stop_at(monkeypatch: pytest.MonkeyPatch, reached: Callable[[bool], bool]) -> None:
    """Send SIGTERM before the loss of the batch where `reached`, given whether the model trains on it, returns true."""

    def answer_loss(model: Any, *arguments: Any) -> Any:
        if reached(model.training):
            os.kill(os.getpid(), signal.SIGTERM)
        return model_loss(model, *arguments)

    monkeypatch.setattr("training.trainers.answer_trainer.answer_loss", answer_loss)


@pytest.mark.parametrize(
    ("training", "call", "step"),
    [
        pytest.param(True, 13, 7, id="in a step with no checkpoint due"),
        pytest.param(True, 24, 12, id="in the last step"),
        pytest.param(False, 1, 6, id="in an evaluation"),
    ],
)
def test_sigterm_saves_a_checkpoint_and_the_same_command_resumes(
    training: bool, call: int, step: int, inputs: list[str], uninterrupted: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    calls = 0

    def reached(is_training: bool) -> bool:
        nonlocal calls
        calls += is_training is training
        return is_training is training and calls == call

    with monkeypatch.context() as patch:
        stop_at(patch, reached)
        assert train(inputs, tmp_path) == 75
    assert "resumes from the checkpoint" in capsys.readouterr().err
    assert (tmp_path / "checkpoints" / f"checkpoint-{step}" / "complete").exists()
    assert not (tmp_path / "adapter").exists()
    assert train(inputs, tmp_path) == 0
    assert_same_run(tmp_path, uninterrupted)


def test_a_complete_run_is_not_trained_again(inputs: list[str], uninterrupted: Path) -> None:
    before = (uninterrupted / "metrics.jsonl").stat().st_mtime_ns
    assert train(inputs, uninterrupted) == 0
    assert (uninterrupted / "metrics.jsonl").stat().st_mtime_ns == before
