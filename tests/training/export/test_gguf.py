"""A GGUF file has the merged weights, and what cannot be converted is refused with a reason."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gguf", reason="in the training environment")

import numpy as np
from gguf import GGUFReader  # type: ignore[import-not-found]
from gguf.constants import TokenType  # type: ignore[import-not-found]
from gguf.quants import dequantize  # type: ignore[import-not-found]

from training.export.errors import ExportError
from training.export.file import write_gguf
from training.export.vocabulary import read_vocabulary
from training.export.weights import Weights

SMALL = Path(__file__).resolve().parents[3] / "models" / "small"
BASE, ADAPTER = SMALL / "base", SMALL / "adapter"
# As in Llama 3.1's own config.json.
LLAMA_31 = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
DOWN = "model.layers.0.mlp.down_proj.weight"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a copy of the shipped model, to be spoiled."""
    return Path(shutil.copytree(SMALL, tmp_path / "small", ignore=shutil.ignore_patterns("*.png", "*.md", "eval*")))


def change(path: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    edit(document)
    path.write_text(json.dumps(document), encoding="utf-8")


@pytest.mark.parametrize(("kind", "error"), [("f16", 0.001), ("q8_0", 0.01)])
def test_the_file_has_the_merged_weights(tmp_path: Path, kind: str, error: float) -> None:
    out = tmp_path / "new" / "model.gguf"
    assert write_gguf(BASE, ADAPTER, kind, out) is False, "llama.cpp has no rules for this tokenizer"
    assert [path.name for path in out.parent.iterdir()] == ["model.gguf"]
    tensors = {tensor.name: tensor for tensor in GGUFReader(out).tensors}
    assert len(tensors) == len(Weights(BASE).names), "and no factors, as the positions are plain"
    stored = tensors["blk.0.ffn_down.weight"]
    values = dequantize(stored.data, stored.tensor_type)
    merged, alone = Weights(BASE, ADAPTER).read(DOWN), Weights(BASE).read(DOWN)
    assert np.abs(values - merged).max() < error
    assert np.abs(merged - alone).max() > 5 * error, "the adapter changes what is compared"


def rope_factors(model: Path, out: Path, rope: dict[str, Any]) -> list[float]:
    """Return what llama.cpp divides the frequencies of the rotary positions by, as the file says."""
    change(model / "base/config.json", lambda c: (c.pop("rope_theta"), c.update(rope_parameters=rope)))
    write_gguf(model / "base", None, "f16", out)
    tensors = {tensor.name: tensor for tensor in GGUFReader(out).tensors}
    factors: list[float] = tensors["rope_freqs.weight"].data.tolist()
    return factors


def test_the_file_has_the_factors_of_llama_3_1(model: Path, tmp_path: Path) -> None:
    factors = rope_factors(model, tmp_path / "out.gguf", LLAMA_31)
    assert len(factors) == 16, "half of the head's size"
    # Short waves stay, long ones are made longer by the whole factor, and between them it is blended.
    assert (factors[0], factors[-1]) == (1.0, 8.0)
    assert sorted(factors) == factors
    assert 1 < factors[8] < 8


def test_the_factors_are_those_of_transformers(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="in the training environment")
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    factors = rope_factors(model, tmp_path / "out.gguf", LLAMA_31)
    frequencies, _ = ROPE_INIT_FUNCTIONS["llama3"](LlamaConfig(head_dim=32, rope_parameters=LLAMA_31), "cpu")
    plain = 500_000.0 ** -(np.arange(0, 32, 2) / 32)
    assert np.allclose(plain / factors, frequencies.numpy(), rtol=1e-5)


def test_every_token_is_there_under_its_number() -> None:
    vocabulary = read_vocabulary(BASE)
    by_text = {text: number for number, text in enumerate(vocabulary.tokens)}
    assert len(by_text) == len(vocabulary.types) == 2021
    # Looked for in the raw text, so with their spaces as they are; a word is not, or it would be cut out of others.
    raw = {
        text for text, type_ in zip(vocabulary.tokens, vocabulary.types, strict=True) if type_ == TokenType.USER_DEFINED
    }
    assert {" ", ", ", " of the ", '": "', "\n", "7", "cancer_type"} <= raw
    assert not {text for text in raw if text.isalpha()}
    assert vocabulary.types[by_text["<|eot_id|>"]] == TokenType.CONTROL
    assert vocabulary.special == {"bos_token_id": by_text["<|begin_of_text|>"], "eos_token_id": by_text["<|eot_id|>"]}


@pytest.mark.parametrize(
    ("file", "edit", "message"),
    [
        ("base/config.json", lambda c: c.update(model_type="qwen2"), "rotary positions (model_type)"),
        ("base/config.json", lambda c: c["rope_parameters"].update(rope_type="yarn"), "rotary positions (rope_type)"),
        ("base/config.json", lambda c: c["rope_parameters"].update(rope_type="llama3"), "lacks a number of a Llama's"),
        (
            "base/config.json",
            lambda c: c.update(rope_parameters={**LLAMA_31, "high_freq_factor": 1.0}),
            "the numbers of rope_type llama3 do not fit together",
        ),
        ("base/config.json", lambda c: c.pop("hidden_size"), "lacks a number of a Llama's: 'hidden_size'"),
        ("base/tokenizer.json", lambda c: c["pre_tokenizer"]["pretokenizers"].pop(), "neither Llama 3's tokenizer nor"),
        ("base/tokenizer_config.json", lambda c: c.pop("chat_template"), "has no chat_template"),
        ("adapter/adapter_config.json", lambda c: c.update(use_dora=True), "more than plain LoRA (use_dora)"),
        ("adapter/adapter_config.json", lambda c: c.update(r=None), "no `r`"),
    ],
)  # fmt: skip
def test_what_cannot_be_converted_is_refused_and_leaves_no_file(
    model: Path, tmp_path: Path, file: str, edit: Callable[[dict[str, Any]], Any], message: str
) -> None:
    change(model / file, edit)
    with pytest.raises(ExportError) as caught:
        write_gguf(model / "base", model / "adapter", "f16", tmp_path / "out.gguf")
    assert message in str(caught.value)
    assert not list(tmp_path.glob("out*"))


def test_a_missing_file_is_named(model: Path, tmp_path: Path) -> None:
    (model / "adapter/adapter_model.safetensors").unlink()
    with pytest.raises(ExportError, match=r"cannot read .*adapter_model\.safetensors"):
        write_gguf(model / "base", model / "adapter", "f16", tmp_path / "out.gguf")


@pytest.mark.parametrize(("kind", "why"), [("q4_k_m", "llama-quantize"), ("int8", "there are f16, q8_0")])
def test_a_type_that_cannot_be_made_is_refused_with_the_reason(tmp_path: Path, kind: str, why: str) -> None:
    with pytest.raises(ExportError, match=why):
        write_gguf(BASE, ADAPTER, kind, tmp_path / "out.gguf")
