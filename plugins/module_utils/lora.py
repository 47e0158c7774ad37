"""LoRA adapters as PEFT writes them: their rank, what vLLM does not load of them, and whether they fit a base.

For the controller and for the instance.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

CONFIGURATION = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
# The values that vLLM takes for max-lora-rank (vllm/config/lora.py, MaxLoRARanks).
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
# Bytes of a file of weights that hold the whole list of its tensors, and more: 100 for each.
HEAD_BYTES = 1 << 20
_LENGTH = struct.Struct("<Q")
_TENSOR = re.compile(r"\.layers\.(\d+)\..*?\b(\w+)\.lora_([AB])\.weight$")


def configuration_of(content: bytes) -> dict[str, Any]:
    """Return an adapter's configuration; empty where it is none."""
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def rank_of(configuration: Mapping[str, Any]) -> int:
    """Return the highest rank of an adapter's layers; 0 where the configuration does not tell."""
    pattern = configuration.get("rank_pattern")
    ranks = [configuration.get("r"), *(pattern.values() if isinstance(pattern, dict) else ())]
    return max((rank for rank in ranks if isinstance(rank, int) and not isinstance(rank, bool)), default=0)


def engine_rank(rank: int) -> int:
    """Return the least value of max-lora-rank that loads an adapter of this rank; 0 where there is none."""
    return next((each for each in RANKS if rank <= each), 0)


def unusable(configuration: Mapping[str, Any]) -> str:
    """Return why vLLM does not load an adapter, in words that follow its name; empty where it does.

    What vLLM refuses is in its vllm/lora/peft_helper.py.

    Args:
        configuration: its adapter_config.json.
    """
    rank = rank_of(configuration)
    if configuration.get("peft_type", "LORA") != "LORA":
        return f"is no LoRA adapter (peft_type {configuration['peft_type']})"
    if rank < 1:
        return f"has no rank in its {CONFIGURATION}"
    if not engine_rank(rank):
        return f"has the rank {rank}, and the engine takes {RANKS[-1]} at most"
    if configuration.get("use_dora"):
        return "is trained with DoRA, which the engine does not load"
    if configuration.get("bias", "none") != "none":
        return "has biases, which the engine does not load"
    if configuration.get("modules_to_save"):
        return "has whole modules (modules_to_save), which the engine does not load"
    return ""


def shapes_of(head: bytes) -> dict[str, list[int]]:
    """Return the shapes of the tensors that the beginning of a safetensors file lists; empty where it lists none.

    The file begins with the length of the list in eight bytes and the list as JSON
    (https://huggingface.co/docs/safetensors, "Format").

    Args:
        head: `HEAD_BYTES` of the file.
    """
    if len(head) < _LENGTH.size:
        return {}
    (length,) = _LENGTH.unpack_from(head)
    if length > len(head) - _LENGTH.size:
        return {}
    listed = configuration_of(head[_LENGTH.size : _LENGTH.size + length])
    shapes = {name: about.get("shape") for name, about in listed.items() if isinstance(about, dict)}
    return {name: shape for name, shape in shapes.items() if _is_shape(shape)}


def misfit(shapes: Mapping[str, list[int]], base: Mapping[str, Any]) -> str:
    """Return what of an adapter does not fit a base, in words that follow its name; empty where all does.

    A base of the same shape that was trained otherwise cannot be told apart so: the golden notes do.

    Args:
        shapes: of the adapter's tensors by name.
        base: the base's config.json; what it does not tell is not compared.
    """
    sizes = dict(_sizes(base))
    layers = base.get("num_hidden_layers")
    for name, shape in shapes.items():
        found = _TENSOR.search(name)
        if not found or len(shape) != 2:
            continue
        layer, module, side = int(found[1]), found[2], found[3]
        if isinstance(layers, int) and layer >= layers:
            return f"has weights for the layer {layer}, and the base has {layers} layers"
        expected = sizes.get((module, side))
        actual = shape[1] if side == "A" else shape[0]
        if expected is not None and actual != expected:
            return f"has {name} for a width of {actual}, and the base's is {expected}"
    return ""


def _sizes(base: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], int]]:
    """Yield the width of each module of a Llama-like base, where an adapter reads (A) and where it writes (B)."""
    hidden, heads = base.get("hidden_size"), base.get("num_attention_heads")
    if not isinstance(hidden, int) or not isinstance(heads, int) or heads < 1:
        return
    head = base.get("head_dim") or hidden // heads
    queries, keys = heads * head, (base.get("num_key_value_heads") or heads) * head
    widths: dict[str, tuple[int, Any]] = {
        "q_proj": (hidden, queries),
        "k_proj": (hidden, keys),
        "v_proj": (hidden, keys),
        "o_proj": (queries, hidden),
        "gate_proj": (hidden, base.get("intermediate_size")),
        "up_proj": (hidden, base.get("intermediate_size")),
    }
    for module, (reads, writes) in widths.items():
        yield (module, "A"), reads
        if isinstance(writes, int):
            yield (module, "B"), writes
    if isinstance(base.get("intermediate_size"), int):
        yield ("down_proj", "A"), base["intermediate_size"]
        yield ("down_proj", "B"), hidden


def _is_shape(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(isinstance(size, int) for size in value)
