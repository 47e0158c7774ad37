"""All stages, one after the other, on a model of a few thousand parameters; what is done is not done again."""

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
from training.trainers.adapter import split

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
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before, "what is done is not done again"
    assert "the base without the adapter: micro-F1" in (out / "README.md").read_text(encoding="utf-8")


def test_the_notes_that_choose_the_best_adapter_are_unknown_to_the_base(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    chosen: list[str] = []

    def pretrain(notes: list[Note], *_others: object) -> None:
        seen.extend(note.text for note in notes)

    def train_adapter(training: list[Note], validation: list[Note], config: AdapterConfig, *_others: object) -> None:
        chosen.extend(note.text for note in split(training, validation, config)[1])
        raise ConfigError("seen enough")

    monkeypatch.setattr("training.trainers.pretrain.pretrain", pretrain)
    monkeypatch.setattr("training.trainers.adapter.train_adapter", train_adapter)
    tiny.write_base(tmp_path / "out" / "base")
    monkeypatch.setattr("sys.argv", ["training", "run", *arguments])
    assert main() == 1
    assert (len(seen), len(chosen)) == (25, 2)
    assert not set(seen) & set(chosen)


def test_checkpoints_of_another_configuration_are_not_gone_on_from(
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
def test_what_cannot_be_done_is_said(
    command: str, changes: dict[str, object], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    arguments = ["--config", str(tiny.write_config(tmp_path / "config.yaml", **changes))]
    arguments += ["--out", str(tmp_path / "out"), "--data", str(tiny.write_data(tmp_path / "data"))]
    arguments += ["--base", str(tiny.write_base(tmp_path / "base"))]
    monkeypatch.setattr("sys.argv", ["training", command, *arguments])
    assert main() == 1
    assert problem in capsys.readouterr().err


def test_a_training_that_diverges_ends_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    arguments = ["--config", str(tiny.write_config(tmp_path / "config.yaml")), "--out", str(tmp_path / "out")]
    arguments += ["--data", str(tiny.write_data(tmp_path / "data")), "--base", str(tiny.write_base(tmp_path / "base"))]
    monkeypatch.setattr("sys.argv", ["training", "adapter", *arguments])
    monkeypatch.setattr(
        "training.trainers.answer_trainer.answer_loss",
        lambda *given: tuple(float("nan") * part for part in answer_loss(*given)),
    )
    assert main() == 1
    assert "the loss is no number any more at step 1" in capsys.readouterr().err


def test_a_checkpoint_that_a_kill_cut_off_is_left_out_and_removed(tmp_path: Path) -> None:
    from training.run.checkpoints import Checkpoints

    checkpoints = Checkpoints(tmp_path, "run")
    assert checkpoints.latest() is None
    for step in (4, 8, 12):
        (tmp_path / f"checkpoint-{step}").mkdir()
    checkpoints.mark_complete(4)
    checkpoints.mark_complete(8)
    assert checkpoints.latest() == tmp_path / "checkpoint-8"
    assert not (tmp_path / "checkpoint-12").exists()


def test_the_best_adapter_is_the_first_with_the_highest_f1(tmp_path: Path) -> None:
    from training.run.checkpoints import Checkpoints

    checkpoints = Checkpoints(tmp_path, "run")
    for step, f1 in ((1, 0.2), (2, 0.5), (3, 0.5), (4, 0.4)):

        def save(folder: Path, step: int = step) -> None:
            folder.mkdir()
            (folder / "weights").write_text(str(step), encoding="utf-8")

        checkpoints.offer(save, step, {"eval_f1": f1})
    assert checkpoints.best_figures() == {"step": 2, "eval_f1": 0.5}
    assert (checkpoints.best / "weights").read_text(encoding="utf-8") == "2"
