"""Pre-training follows its curriculum, and a stopped run ends with the weights of an uninterrupted one."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="in the training environment")
pytest.importorskip("peft", reason="in the training environment")

import torch
import yaml
from safetensors.torch import load_file

from training.config import ConfigError, TrainingConfig
from training.data.prompt import load_prompt
from training.model import llama as model
from training.notes.generator import make_notes
from training.trainers.pretrain import facts_share, pretrain, rate, repeat_share

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
SMALL = Path(__file__).resolve().parents[3] / "training" / "small.yaml"


def configuration(**pretraining: int) -> TrainingConfig:
    content: dict[str, Any] = yaml.safe_load(SMALL.read_text(encoding="utf-8"))
    content["tokenizer"] = {"vocabulary": 600, "whole_pieces": 200}
    content["model"] |= {"hidden": 32, "intermediate": 48, "layers": 4, "heads": 4, "kv_heads": 2, "head_size": 8}
    content["pretrain"] |= {"repeats_only": 2000, "repeats_fade": 4000, "facts_by": 8000, **pretraining}
    return TrainingConfig.model_validate(content | {"checkpoint_minutes": 1e-9})


def test_the_learning_rate_warms_up_stays_and_decays_to_zero() -> None:
    settings = configuration(tokens=1_000_000, decay_tokens=200_000).pretrain
    rates = [rate(done, settings) for done in (0, 25_000, 100_000, 800_000, 900_000, 1_000_000)]
    assert rates == pytest.approx([0.0, 0.5, 1.0, 1.0, 0.5, 0.0], abs=0.001)


def test_the_documents_change_from_repeated_sequences_to_questions_about_notes() -> None:
    settings = configuration().pretrain
    positions = range(0, 10_000, 500)
    repeats = [repeat_share(done, settings) for done in positions]
    facts = [facts_share(done, settings) for done in positions]
    assert repeats[0] == 1.0
    assert 0.0 < repeats[-1] < 0.1
    assert all(later <= before for before, later in pairwise(repeats))
    assert (facts[0], facts[-1]) == (0.0, settings.facts)
    assert all(later >= before for before, later in pairwise(facts))


@pytest.fixture
def few_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.trainers.pretrain._SYNTHETIC_NOTES", 50)
    monkeypatch.setattr("training.trainers.pretrain._POOL", 64)


def stop_in_batch(patch: pytest.MonkeyPatch, number: int) -> Callable[[], int]:
    """End a run in a batch, counted from 1 over all runs; return a function that tells how many there were."""
    calls, real = 0, model.answer_loss

    def answer_loss(base: Any, tokens: Any, weights: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            raise KeyboardInterrupt
        return real(base, tokens, weights)

    patch.setattr("training.trainers.pretrain.answer_loss", answer_loss)
    return lambda: calls


@pytest.mark.usefixtures("few_documents")
def test_a_stopped_run_ends_with_the_weights_of_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, notes = configuration(tokens=20_000, start_tokens=8000), list(make_notes(20, 0.2, 1))
    pretrain(notes, config, load_prompt(), tmp_path / "whole")
    batches = stop_in_batch(monkeypatch, 6)
    with pytest.raises(KeyboardInterrupt):
        pretrain(notes, config, load_prompt(), tmp_path / "stopped")
    torch.rand(1)  # the process may use random numbers meanwhile
    pretrain(notes, config, load_prompt(), tmp_path / "stopped")
    assert batches() > 8
    whole, stopped = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "stopped"))
    assert whole == stopped


@pytest.mark.usefixtures("few_documents")
def test_a_checkpoint_of_another_run_is_refused_and_not_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, notes = configuration(tokens=20_000, start_tokens=8000), list(make_notes(20, 0.2, 1))
    other_seed = configuration(tokens=20_000, start_tokens=8000, seed=1)
    stop_in_batch(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        pretrain(notes, config, load_prompt(), tmp_path)
    saved = (tmp_path / "checkpoint.pt").read_bytes()
    for other in ((notes[1:], config), (notes, other_seed)):
        with pytest.raises(ConfigError, match="of another configuration or other data"):
            pretrain(*other, load_prompt(), tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == saved


def test_two_processes_end_with_nearly_the_weights_of_one(tmp_path: Path) -> None:
    config, notes = configuration(tokens=8000, start_tokens=8000, dropout=0), list(make_notes(20, 0.2, 1))
    for processes in (1, 2):
        pretrain(notes, config, load_prompt(), tmp_path / str(processes), processes)
    one, two = (load_file(tmp_path / str(processes) / "model.safetensors") for processes in (1, 2))
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, atol=0.02, rtol=0.05)
