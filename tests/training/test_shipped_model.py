"""The small model in the repository has the files that an engine reads, is small, and is as good as its card says."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from pathlib import Path
from typing import Any

MODEL = Path(__file__).resolve().parent.parent.parent / "models" / "small"
MEGABYTE = 1_000_000


def read_json(path: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((MODEL / path).read_text(encoding="utf-8"))
    return content


def tensors(path: str) -> dict[str, Any]:
    """Read the header of a safetensors file: https://huggingface.co/docs/safetensors."""
    with (MODEL / path).open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header: dict[str, Any] = json.loads(file.read(length))
    return {name: entry for name, entry in header.items() if name != "__metadata__"}


def test_base_and_adapter_are_under_ten_megabytes() -> None:
    files = [path for path in MODEL.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 10 * MEGABYTE


def test_the_folders_have_the_files_that_an_engine_reads_and_no_checkpoint() -> None:
    names = {str(path.relative_to(MODEL)) for path in MODEL.rglob("*") if path.is_file()}
    assert names == {
        "README.md",
        "curves.png",
        "evaluation.json",
        "evaluation-base.json",
        "base/config.json",
        "base/generation_config.json",
        "base/model.safetensors",
        "base/tokenizer.json",
        "base/tokenizer_config.json",
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
    }


def test_the_base_is_a_llama_in_bfloat16_with_the_tokenizers_vocabulary() -> None:
    config = read_json("base/config.json")
    assert config["architectures"] == ["LlamaForCausalLM"]
    weights = tensors("base/model.safetensors")
    assert {entry["dtype"] for entry in weights.values()} == {"BF16"}
    assert weights["model.embed_tokens.weight"]["shape"] == [config["vocab_size"], config["hidden_size"]]
    vocabulary = read_json("base/tokenizer.json")["model"]["vocab"]
    assert sorted(vocabulary.values()) == list(range(config["vocab_size"]))
    assert (
        config["eos_token_id"] == vocabulary["<|eot_id|>"] == read_json("base/generation_config.json")["eos_token_id"]
    )


def test_the_adapter_is_a_lora_of_rank_16_at_most_on_every_layer() -> None:
    config = read_json("adapter/adapter_config.json")
    assert config["peft_type"] == "LORA"
    assert config["r"] <= 16
    weights = tensors("adapter/adapter_model.safetensors")
    layers = read_json("base/config.json")["num_hidden_layers"]
    assert len(weights) == 2 * layers * len(config["target_modules"])
    assert all(config["r"] in entry["shape"] for entry in weights.values())


def test_no_file_contains_a_path_of_the_machine_that_trained_the_model() -> None:
    for path in MODEL.rglob("*.json"):
        text = path.read_text(encoding="utf-8")
        assert re.search(r'"/\w+/', text) is None, path


def micro_f1(path: str) -> float:
    value: float = read_json(path)["scores"]["exact"]["micro"]["f1"]["value"]
    return value


def test_the_model_is_as_good_as_the_demonstration_needs() -> None:
    evaluation = read_json("evaluation.json")
    assert evaluation["dataset"]["examples"] == 250
    assert micro_f1("evaluation.json") >= 0.70
    generated = evaluation["about"]["generated"]
    assert generated["no cancer"]["notes"] == 200
    assert generated["no cancer"]["all_null"] >= 0.97
    assert generated["held-out phrasings"]["micro_f1"] >= 0.75
    assert generated["held-out values"]["micro_f1"] >= 0.85


def test_the_base_without_the_adapter_does_not_do_the_task() -> None:
    assert micro_f1("evaluation-base.json") < 0.10


def test_the_evaluations_are_of_the_shipped_weights() -> None:
    weights = hashlib.sha256((MODEL / "base/model.safetensors").read_bytes()).digest()
    revision = hashlib.sha256(weights).hexdigest()  # as model/base.py computes it of all files of weights
    for name in ("evaluation.json", "evaluation-base.json"):
        assert read_json(name)["about"]["revision"] == revision


def test_the_card_has_the_figures_of_the_evaluation_and_the_source_of_the_data() -> None:
    card = (MODEL / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlicense: mit\n")
    assert "longhoag/fine-tune-slm" in card
    evaluation = read_json("evaluation.json")
    exact = evaluation["scores"]["exact"]
    for name, score in {**exact["fields"], "micro": exact["micro"]}.items():
        row = next(line for line in card.splitlines() if line.strip("|* ").startswith(name))
        assert f"{score['f1']['value']:.3f}" in row, row
    for name, figures in evaluation["about"]["generated"].items():
        row = next(line for line in card.splitlines() if line.startswith(f"| {name} |"))
        assert f"{figures.get('micro_f1', figures.get('all_null')):.3f}" in row, row
