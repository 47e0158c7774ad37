"""The GGUF file of a Llama with its adapter merged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import GGUFWriter  # type: ignore[import-not-found]
from gguf.constants import MODEL_ARCH, GGMLQuantizationType, LlamaFileType  # type: ignore[import-not-found]
from gguf.quants import quant_shape_to_byte_shape, quantize  # type: ignore[import-not-found]
from gguf.tensor_mapping import get_tensor_name_map  # type: ignore[import-not-found]
from loguru import logger

from training.export.errors import ExportError
from training.export.vocabulary import Vocabulary, read_vocabulary
from training.export.weights import Weights, read_document
from training.run.files import write_atomically

_ARCHITECTURE = "llama"
_TYPES = {
    "f16": (GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
    "q8_0": (GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
}
TYPES = tuple(_TYPES)
# Llama's file types that people ask for and that cannot be made here.
REFUSED = {
    "q4_k_m": "the gguf package reads it and cannot make it, and the server's wheel has no llama_model_quantize; make "
    "f16 here, and quantise it with llama.cpp's own llama-quantize"
}
_BLOCK = 32
_ROPE_TYPES = ("default", "llama3")
# What llama.cpp divides each frequency of the rotary positions by.
_FACTORS = "rope_freqs.weight"


@dataclass(frozen=True)
class _Shape:
    """The numbers of a Llama's config.json."""

    context: int
    width: int
    feed_forward: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    epsilon: float
    rope_theta: float
    rope_factors: tuple[float, ...] | None


def write_gguf(base: Path, adapter: Path | None, kind: str, out: Path) -> bool:
    """Write a base, with an adapter merged into it, as one file; the file is there whole or not at all.

    Args:
        base: folder of a Llama in Hugging Face's form.
        adapter: folder of its LoRA adapter; None for the base alone.
        kind: one of `TYPES`.
        out: the file.

    Returns:
        Whether llama.cpp cuts every text into the tokens that the model was trained with.

    Raises:
        ExportError: something about the model, the adapter or the type; the message says what to do.
    """
    if kind not in _TYPES:
        raise ExportError(f"{kind} cannot be made: {REFUSED.get(kind, 'there are ' + ', '.join(TYPES))}")
    shape, vocabulary, weights = _shape(base), read_vocabulary(base), Weights(base, adapter)
    write_atomically(out, lambda path: _write(path, shape, vocabulary, weights, kind))
    logger.info(f"{out} has {out.stat().st_size / 1e6:.1f} MB")
    return vocabulary.is_exact


def _shape(base: Path) -> _Shape:
    config = read_document(base / "config.json")
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    unusual = {
        "model_type": config.get("model_type") != "llama",
        "quantization_config": bool(config.get("quantization_config")),
        "attention_bias": bool(config.get("attention_bias")),
        "mlp_bias": bool(config.get("mlp_bias")),
        "hidden_act": config.get("hidden_act", "silu") != "silu",
        "rope_type": rope.get("rope_type", rope.get("type", "default")) not in _ROPE_TYPES,
    }
    if wrong := [name for name, is_unusual in unusual.items() if is_unusual]:
        raise ExportError(
            f"{base / 'config.json'} is not of a Llama with plain or Llama 3.1's rotary positions "
            f"({', '.join(wrong)}): "
            "this command does not convert it; llama.cpp's own convert_hf_to_gguf.py may, after PEFT has merged the "
            "adapter"
        )
    try:
        heads = int(config["num_attention_heads"])
        head_size = int(config.get("head_dim") or config["hidden_size"] // heads)
        theta = float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0)
        return _Shape(
            context=int(config["max_position_embeddings"]),
            width=int(config["hidden_size"]),
            feed_forward=int(config["intermediate_size"]),
            layers=int(config["num_hidden_layers"]),
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads", heads)),
            head_size=head_size,
            epsilon=float(config["rms_norm_eps"]),
            rope_theta=theta,
            rope_factors=_rope_factors(rope, theta, head_size),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ExportError(f"{base / 'config.json'} lacks a number of a Llama's: {error}") from error


def _rope_factors(rope: dict[str, Any], theta: float, head_size: int) -> tuple[float, ...] | None:
    """Return what Llama 3.1 divides each frequency of the rotary positions by; None where it is plain.

    Waves that fit into the original context many times are left as they are, those that do not fit into it are made
    longer by the factor, and between the two it is blended. As Transformers computes them
    (`modeling_rope_utils._compute_llama3_parameters`).

    Raises:
        KeyError, TypeError, ValueError: a number is missing, or the two bounds are no bounds.
    """
    if rope.get("rope_type", rope.get("type", "default")) != "llama3":
        return None
    factor, low, high = (float(rope[name]) for name in ("factor", "low_freq_factor", "high_freq_factor"))
    context = int(rope["original_max_position_embeddings"])
    if not (0 < low < high and factor >= 1 and context > 0):
        raise ValueError("the numbers of rope_type llama3 do not fit together")
    waves = 2 * np.pi * theta ** (np.arange(0, head_size, 2) / head_size)
    blend = np.clip((context / waves - low) / (high - low), 0, 1)
    return tuple((1 / ((1 - blend) / factor + blend)).tolist())


def _write(path: Path, shape: _Shape, vocabulary: Vocabulary, weights: Weights, kind: str) -> None:
    writer = GGUFWriter(path, _ARCHITECTURE)
    try:
        _add_shape(writer, shape, len(vocabulary.tokens), _TYPES[kind][1])
        _add_vocabulary(writer, vocabulary)
        tensors = list(_tensors(weights, shape, _TYPES[kind][0]))
        for name, source, type_ in tensors:
            size = quant_shape_to_byte_shape(weights.shape(source), type_)
            writer.add_tensor_info(name, size, np.dtype(np.uint8), int(np.prod(size)), raw_dtype=type_)
        factors = None if shape.rope_factors is None else np.array(shape.rope_factors, dtype=np.float32)
        if factors is not None:
            writer.add_tensor_info(_FACTORS, factors.shape, factors.dtype, factors.nbytes)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for _, source, type_ in tensors:
            writer.write_tensor_data(_encoded(weights, source, shape, type_))
        if factors is not None:
            writer.write_tensor_data(factors)
    finally:
        writer.close()


def _add_shape(writer: GGUFWriter, shape: _Shape, tokens: int, file_type: LlamaFileType) -> None:
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_block_count(shape.layers)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_size)
    writer.add_value_length(shape.head_size)
    writer.add_rope_dimension_count(shape.head_size)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_vocab_size(tokens)
    writer.add_file_type(file_type)


def _add_vocabulary(writer: GGUFWriter, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    writer.add_bos_token_id(vocabulary.special["bos_token_id"])
    writer.add_eos_token_id(vocabulary.special["eos_token_id"])
    # The chat template writes the first token itself, and there must not be two.
    writer.add_add_bos_token(False)
    writer.add_chat_template(vocabulary.chat_template)


def _tensors(
    weights: Weights, shape: _Shape, kind: GGMLQuantizationType
) -> Iterator[tuple[str, str, GGMLQuantizationType]]:
    """Yield each tensor's name in GGUF, its name in the base, and its type."""
    names = get_tensor_name_map(MODEL_ARCH.LLAMA, shape.layers)
    for source in weights.names:
        name = names.get_name(source, try_suffixes=(".weight",))
        if name is None:
            raise ExportError(f"the base has a tensor that a Llama does not have: {source}")
        rows = weights.shape(source)
        if kind == GGMLQuantizationType.Q8_0 and len(rows) > 1 and rows[-1] % _BLOCK:
            raise ExportError(f"q8_0 takes {_BLOCK} numbers together, and {source} has rows of {rows[-1]}: use f16")
        # Norms are small, and llama.cpp wants them so.
        yield name, source, kind if len(rows) > 1 else GGMLQuantizationType.F32


def _encoded(weights: Weights, source: str, shape: _Shape, kind: GGMLQuantizationType) -> npt.NDArray[Any]:
    values = weights.read(source)
    for projection, heads in (("q_proj", shape.heads), ("k_proj", shape.kv_heads)):
        if source.endswith(f".{projection}.weight"):
            # Hugging Face's rotary positions turn the halves of a head, llama.cpp's its neighbouring pairs.
            values = values.reshape(heads, 2, shape.head_size // 2, -1).swapaxes(1, 2).reshape(values.shape)
    encoded: npt.NDArray[Any] = quantize(np.ascontiguousarray(values), kind)
    return encoded
