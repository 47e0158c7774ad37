"""The whole training on a model of a few thousand parameters: it runs, and what it writes loads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="in the Poetry group `training`")
pytest.importorskip("peft", reason="in the Poetry group `training`")

import yaml

from training.adapter import train_adapter
from training.base_model import find_base
from training.config import TrainingConfig
from training.evaluate import evaluate
from training.metrics import read_metrics
from training.notes import make_notes
from training.pretrain import pretrain
from training.prompt import load_prompt

# Transformers and PEFT warn about each other's coming versions.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
NOTES = list(make_notes(20, 0.2, 1))


@pytest.fixture
def config() -> TrainingConfig:
    path = Path(__file__).resolve().parent.parent.parent / "training" / "small.yaml"
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["tokenizer"] = {"vocabulary": 600, "whole_pieces": 200}
    content["model"] |= {"hidden": 32, "intermediate": 48, "layers": 4, "heads": 4, "kv_heads": 2, "head_size": 8}
    content["pretrain"] |= {"tokens": 16_000}
    content["adapter"] |= {"rank": 4, "epochs": 2, "synthetic_notes": 4, "selection_notes": 2, "max_new_tokens": 4}
    return TrainingConfig.model_validate(content | {"checkpoint_minutes": 1e-9})


def test_a_base_and_an_adapter_are_trained_saved_and_evaluated(config: TrainingConfig, tmp_path: Path) -> None:
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    prompt = load_prompt()
    pretrain(NOTES, config, prompt, base)
    outcome = train_adapter(NOTES, NOTES, config.adapter, prompt, find_base(str(base), "test/base"), tmp_path, "run")
    assert evaluate(base, adapter, NOTES[:2], prompt, tmp_path / "answers.jsonl").sums["notes/all"] == 2
    assert len((tmp_path / "answers.jsonl").read_text(encoding="utf-8").splitlines()) == 2
    saved = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    assert (saved["r"], saved["base_model_name_or_path"]) == (4, "test/base")
    assert str(tmp_path) not in json.dumps(saved)
    metrics = read_metrics(tmp_path / "metrics.jsonl")
    assert [record["step"] for record in metrics if "loss" in record] == list(range(1, outcome.steps + 1))
    assert [record["step"] for record in metrics if "eval_f1" in record] == [outcome.steps] == [outcome.best["step"]]
    assert not list(tmp_path.rglob("checkpoint*"))
