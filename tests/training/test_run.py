"""All stages, one after the other, on a model of a few thousand parameters; complete ones are skipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="in the training environment")
pytest.importorskip("peft", reason="in the training environment")

import yaml

from tests.training import tiny
from training.__main__ import main
from training.config import AdapterConfig, ConfigError
from training.data.dataset import Note
from training.model.llama import answer_loss
from training.run.metrics import read_metrics
from training.trainers.plan import split

# Transformers and PEFT warn about each other's coming versions.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr("training.trainers.pretrain._SYNTHETIC_NOTES", 50)
    monkeypatch.setattr("training.trainers.pretrain._POOL", 64)
    content: dict[str, Any] = yaml.safe_load((tiny.ROOT / "training" / "small.yaml").read_text(encoding="utf-8"))
    content["tokenizer"] = {"vocabulary": 600, "whole_pieces": 200}
    content["model"] |= {"hidden": 32, "intermediate": 48, "layers": 4, "heads": 4, "kv_heads": 2, "head_size": 8}
    content["pretrain"] |= {"tokens": 8_000}
    content["adapter"] |= {"rank": 4, "epochs": 2, "synthetic_notes": 4, "selection_notes": 2, "max_new_tokens": 4}
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(content), encoding="utf-8")
    data = tiny.write_data(tmp_path / "data")
    return ["--config", str(config), "--data", str(data), "--out", str(tmp_path / "out"), "--generated", "1"]


def run(monkeypatch: pytest.MonkeyPatch, command: str, *arguments: str) -> None:
    monkeypatch.setattr("sys.argv", ["training", command, *arguments])
    assert main() == 0


def test_a_base_and_an_adapter_are_trained_evaluated_and_described(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run(monkeypatch, "run", *arguments, "--answers", str(tmp_path / "answers.jsonl"))
    assert {path.name for path in (out / "base").iterdir()} == {
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    assert {path.name for path in (out / "adapter").iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    saved = json.loads((out / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    assert (saved["r"], saved["base_model_name_or_path"]) == (4, "slm-ft-serving/small-base")
    assert str(tmp_path) not in json.dumps(saved)

    steps = json.loads((out / "run.json").read_text(encoding="utf-8"))["adapter"]["steps"]
    metrics = read_metrics(out / "metrics.jsonl")
    assert [record["step"] for record in metrics if "loss" in record] == list(range(1, steps + 1))
    assert [record["step"] for record in metrics if "eval_f1" in record] == [steps]
    assert metrics[-1]["epoch"] == pytest.approx(2.0, abs=0.3)
    assert list((out / "tensorboard").iterdir())
    assert json.loads((out / "progress.json").read_text(encoding="utf-8"))["percent"] == 100.0
    assert not list(out.rglob("checkpoint*"))

    evaluation = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    assert evaluation["dataset"]["examples"] == 2
    assert len((tmp_path / "answers.jsonl").read_text(encoding="utf-8").splitlines()) == 2
    assert "On 2 notes of validation" in (out / "README.md").read_text(encoding="utf-8")
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")

    before = {name: (out / name).stat().st_mtime_ns for name in ("base/model.safetensors", "metrics.jsonl")}
    run(monkeypatch, "run", *arguments, "--base-only")
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before, "complete stages are skipped"
    assert "the base without the adapter: micro-F1" in (out / "README.md").read_text(encoding="utf-8")


def test_the_base_is_not_trained_on_the_notes_that_select_the_best_adapter(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained_on: list[str] = []
    selection: list[str] = []

    def pretrain(notes: list[Note], *_others: object) -> None:
        trained_on.extend(note.text for note in notes)

    def train_adapter(training: list[Note], validation: list[Note], config: AdapterConfig, *_others: object) -> None:
        selection.extend(note.text for note in split(training, validation, config)[1])
        raise ConfigError("end of the test")

    monkeypatch.setattr("training.trainers.pretrain.pretrain", pretrain)
    monkeypatch.setattr("training.trainers.adapter.train_adapter", train_adapter)
    tiny.write_base(tmp_path / "out" / "base")
    monkeypatch.setattr("sys.argv", ["training", "run", *arguments])
    assert main() == 1
    assert (len(trained_on), len(selection)) == (25, 2)
    assert not set(trained_on) & set(selection)


def test_an_adapter_is_not_resumed_from_checkpoints_of_another_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from training.run.checkpoints import Checkpoints

    Checkpoints(tmp_path / "out" / "checkpoints", "another run")
    arguments = ["--config", str(tiny.write_config(tmp_path / "config.yaml")), "--out", str(tmp_path / "out")]
    arguments += ["--data", str(tiny.write_data(tmp_path / "data")), "--base", str(tiny.write_base(tmp_path / "base"))]
    monkeypatch.setattr("sys.argv", ["training", "adapter", *arguments])
    assert main() == 1
    assert "checkpoints of another configuration, base or data" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "changes", "problem"),
    [
        ("evaluate", {}, "there is no adapter in"),
        ("adapter", {"selection_notes": 27}, "too few to hold out"),
    ],
)
def test_a_stage_without_its_inputs_fails_with_the_reason(
    command: str, changes: dict[str, object], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    arguments = ["--config", str(tiny.write_config(tmp_path / "config.yaml", **changes))]
    arguments += ["--out", str(tmp_path / "out"), "--data", str(tiny.write_data(tmp_path / "data"))]
    arguments += ["--base", str(tiny.write_base(tmp_path / "base"))]
    monkeypatch.setattr("sys.argv", ["training", command, *arguments])
    assert main() == 1
    assert problem in capsys.readouterr().err


def test_a_training_whose_loss_is_nan_ends_with_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    arguments = ["--config", str(tiny.write_config(tmp_path / "config.yaml")), "--out", str(tmp_path / "out")]
    arguments += ["--data", str(tiny.write_data(tmp_path / "data")), "--base", str(tiny.write_base(tmp_path / "base"))]
    monkeypatch.setattr("sys.argv", ["training", "adapter", *arguments])
    monkeypatch.setattr(
        "training.trainers.answer_trainer.answer_loss",
        lambda *arguments: tuple(float("nan") * part for part in answer_loss(*arguments)),
    )
    assert main() == 1
    assert "the loss is nan at step 1: start again with a lower learning_rate" in capsys.readouterr().err
