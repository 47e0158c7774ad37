"""The 8B model's configuration takes effect, and its code path runs on a CPU with a tiny Llama."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("torch", reason="in the training environment")
pytest.importorskip("peft", reason="in the training environment")

import torch
import yaml
from safetensors.torch import load_file

from tests.training import tiny
from training.__main__ import main
from training.config import AdapterConfig, ConfigError, load_run_config
from training.model.base import find_base, quantisation
from training.model.lora import lora_config
from training.run.metrics import read_metrics
from training.trainers.answer_trainer import training_arguments

FILE = tiny.ROOT / "training" / "llama31_8b.yaml"
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


@pytest.fixture
def config() -> AdapterConfig:
    return load_run_config(FILE).adapter


def test_the_weights_are_quantised_to_nf4_with_double_quantisation(
    config: AdapterConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A fake: bitsandbytes is in the GPU image only.
    monkeypatch.setitem(sys.modules, "bitsandbytes", ModuleType("bitsandbytes"))
    quantised = quantisation(config)
    assert quantised is not None
    assert (quantised.load_in_4bit, quantised.load_in_8bit) == (True, False)
    assert (quantised.bnb_4bit_quant_type, quantised.bnb_4bit_use_double_quant) == ("nf4", True)
    assert quantised.bnb_4bit_compute_dtype == torch.bfloat16


def test_the_adapter_has_the_figures_of_fine_tune_slm(config: AdapterConfig) -> None:
    lora = lora_config(config)
    assert (lora.r, lora.lora_alpha, lora.lora_dropout) == (16, 32, 0.1)
    assert set(lora.target_modules) == {"q_proj", "k_proj", "v_proj", "o_proj"}
    assert lora.task_type == "CAUSAL_LM"


def test_the_training_has_the_figures_of_fine_tune_slm(
    config: AdapterConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Transformers refuses bfloat16 where it sees no GPU for it: the L4 has it.
    monkeypatch.setattr("transformers.training_args.is_torch_bf16_gpu_available", lambda: True)
    arguments = training_arguments(config, tmp_path, steps=1405)
    assert (arguments.optim, arguments.learning_rate, arguments.warmup_steps) == ("paged_adamw_8bit", 2e-4, 100)
    assert (arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps) == (4, 4)
    assert (arguments.eval_steps, arguments.save_steps, arguments.save_total_limit) == (100, 200, 3)
    assert (arguments.bf16, arguments.fp16, arguments.activation_checkpointing) == (True, False, True)
    assert (config.epochs, config.max_length, arguments.max_steps) == (5, 2048, 1405)


def test_training_on_a_machine_without_a_gpu_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    base, data = tiny.write_base(tmp_path / "base"), tiny.write_data(tmp_path / "data")
    content = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    content["adapter"]["selection_notes"] = 2
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    assert adapter(monkeypatch, tmp_path / "config.yaml", data, base, tmp_path / "out") == 1
    assert "finds none on this machine" in capsys.readouterr().err
    assert not (tmp_path / "out" / "adapter").exists()


def test_its_code_path_trains_a_tiny_llama_on_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train with all of the file but what needs a GPU: attention, checkpointing, schedule, batches, targets."""
    base, data = tiny.write_base(tmp_path / "base"), tiny.write_data(tmp_path / "data")
    content = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    content["adapter"] |= {"device": "cpu", "quantisation": "none", "optimizer": "adamw_torch"}
    content["adapter"] |= {"selection_notes": 3, "max_new_tokens": 4, "warmup_steps": 1, "epochs": 2}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    out = tmp_path / "out"
    assert adapter(monkeypatch, tmp_path / "config.yaml", data, base, out) == 0
    metrics = read_metrics(out / "metrics.jsonl")
    losses = [record["loss"] for record in metrics if "loss" in record]
    assert len(losses) == 3  # 24 notes in batches of 4, twice: 12 batches, 4 in a step
    assert losses[0] == pytest.approx(7.6, abs=0.2), "ln of the vocabulary: random weights know nothing"
    weights = load_file(out / "adapter" / "adapter_model.safetensors")
    trained = [weight for name, weight in weights.items() if "lora_B" in name]
    assert len(trained) == 2 * 4
    assert all(weight.abs().max() > 0 for weight in trained), "B starts at 0: each one has learnt"
    assert json.loads((out / "adapter" / "adapter_config.json").read_text("utf-8"))["base_model_name_or_path"] == "base"


def adapter(monkeypatch: pytest.MonkeyPatch, config: Path, data: Path, base: Path, out: Path) -> int:
    arguments = ["--config", str(config), "--data", str(data), "--base", str(base), "--out", str(out)]
    monkeypatch.setattr("sys.argv", ["training", "adapter", *arguments])
    return main()


def test_two_small_batches_in_a_step_have_the_loss_of_one_large_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compare two runs: a step's loss is the mean over all its answers' tokens, however the notes are batched."""
    base, data = tiny.write_base(tmp_path / "base"), tiny.write_data(tmp_path / "data")
    first = []
    for name, size, accumulation in (("two", 12, 2), ("one", 24, 1)):
        config = tiny.write_config(
            tmp_path / f"{name}.yaml", batch_size=size, accumulation=accumulation, dropout=0.0, epochs=1
        )
        assert adapter(monkeypatch, config, data, base, tmp_path / name) == 0
        first.append(read_metrics(tmp_path / name / "metrics.jsonl")[0])
    for figure in ("loss", "grad_norm"):
        assert first[0][figure] == pytest.approx(first[1][figure], rel=0.01)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", "@COMMIT"),
        ("hf://meta-llama/Llama-3.1-8B-Instruct@main", "@COMMIT"),
        ("/nowhere", "there is no base in /nowhere"),
        (str(Path(__file__).parent), "config.json, tokenizer.json missing"),
    ],
)
def test_a_base_that_is_not_pinned_or_does_not_exist_is_refused(source: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        find_base(source, "base")


def test_a_pinned_base_is_downloaded_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = load_run_config(FILE).base
    assert source is not None
    downloads: list[Any] = []

    def fake_snapshot_download(repository: str, revision: str, allow_patterns: list[str]) -> str:
        downloads.append((repository, revision, allow_patterns))
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fake_snapshot_download)
    base = find_base(source, "unused")
    assert (base.folder, base.name) == (tmp_path, "meta-llama/Llama-3.1-8B-Instruct")
    assert downloads == [(base.name, base.revision, ["*.json", "*.safetensors"])], (
        "no pickle, no second copy of the weights"
    )


def test_without_bitsandbytes_quantisation_fails_with_its_name(
    config: AdapterConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ModuleNotFoundError) as raised:
        quantisation(config)
    assert raised.value.name == "bitsandbytes"
