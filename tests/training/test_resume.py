"""A training that is killed, or asked to stop, goes on to the very losses that it would have had."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="in the Poetry group `training`")
pytest.importorskip("peft", reason="in the Poetry group `training`")

from tests.training import tiny
from training.metrics import Record, read_metrics

STEPS = 12
# Sends itself a signal in the middle of a step: before the loss of its CALL-th batch (two make a step).
DRIVER = """
import os, sys
from training import answer_trainer, __main__
real, calls = answer_trainer.answer_loss, 0
def answer_loss(model, *arguments):
    global calls
    calls += model.training
    if model.training and calls == {call}:
        os.kill(os.getpid(), {signal})
    return real(model, *arguments)
answer_trainer.answer_loss = answer_loss
sys.exit(__main__.main())
"""
Train = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    tiny.write_base(folder / "base")
    tiny.write_data(folder / "data")
    tiny.write_config(folder / "config.yaml")
    return folder


@pytest.fixture(scope="module")
def train(inputs: Path) -> Train:
    def run(out: Path, call: int = 0, signal: int = 0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", DRIVER.format(call=call, signal=signal), "adapter",
             "--config", inputs / "config.yaml", "--data", inputs / "data", "--base", inputs / "base", "--out", out],
            cwd=tiny.ROOT, env={**os.environ, "PYTHONPATH": str(tiny.ROOT)}, capture_output=True, text=True,
            timeout=600, check=False,
        )  # fmt: skip

    return run


@pytest.fixture(scope="module")
def uninterrupted(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("uninterrupted")
    result = train(out)
    assert result.returncode == 0, result.stderr
    return out


def figures(out: Path, kind: str) -> dict[int, float]:
    """The steps' figures of a kind, each step once."""
    records: list[Record] = [record for record in read_metrics(out / "metrics.jsonl") if kind in record]
    by_step = {record["step"]: record[kind] for record in records}
    assert list(by_step) == [record["step"] for record in records], "a step is there twice, or out of order"
    return by_step


def assert_same_run(out: Path, uninterrupted: Path) -> None:
    for kind in ("loss", "grad_norm", "learning_rate", "eval_loss", "eval_f1"):
        assert figures(out, kind) == pytest.approx(figures(uninterrupted, kind), rel=1e-5), kind
    assert list(figures(out, "loss")) == list(range(1, STEPS + 1))
    assert list(figures(out, "eval_loss")) == [6, 12]
    weights = "adapter/adapter_model.safetensors"
    assert (out / weights).read_bytes() == (uninterrupted / weights).read_bytes()
    assert not (out / "checkpoints").exists()


def test_kill_9_in_the_middle_of_a_step_loses_nothing_but_time(
    train: Train, uninterrupted: Path, tmp_path: Path
) -> None:
    killed = train(tmp_path, call=20, signal=9)  # in step 10, after the checkpoints of 4 and 8
    assert killed.returncode == -9
    assert max(figures(tmp_path, "loss")) == 9
    assert not (tmp_path / "adapter").exists()
    resumed = train(tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert "8 of them done" in resumed.stderr
    assert_same_run(tmp_path, uninterrupted)


def test_sigterm_saves_at_once_and_says_that_the_run_can_go_on(
    train: Train, uninterrupted: Path, tmp_path: Path
) -> None:
    stopped = train(tmp_path, call=13, signal=15)  # in step 7: no checkpoint is due there
    assert stopped.returncode == 75, stopped.stderr
    assert "goes on from the checkpoint" in stopped.stderr
    assert (tmp_path / "checkpoints" / "checkpoint-7" / "complete").exists()
    resumed = train(tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert "7 of them done" in resumed.stderr
    assert_same_run(tmp_path, uninterrupted)


def test_a_complete_run_is_not_trained_again(train: Train, uninterrupted: Path) -> None:
    before = (uninterrupted / "metrics.jsonl").stat().st_mtime_ns
    again = train(uninterrupted)
    assert again.returncode == 0
    assert "is complete" in again.stderr
    assert (uninterrupted / "metrics.jsonl").stat().st_mtime_ns == before
    assert json.loads((uninterrupted / "run.json").read_text(encoding="utf-8"))["adapter"]["steps"] == STEPS
