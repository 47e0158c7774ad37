"""LoRA adapters: rank, what the engine does not load of them, and whether they fit a base."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.module_utils.lora import (
    HEAD_BYTES,
    configuration_of,
    engine_rank,
    misfit,
    rank_of,
    shapes_of,
    unusable,
)

from tests.local_region.seed import SMALL_MODEL

BASE = json.loads((SMALL_MODEL / "base/config.json").read_text(encoding="utf-8"))
GOOD: dict[str, Any] = json.loads((SMALL_MODEL / "adapter/adapter_config.json").read_text(encoding="utf-8"))
HEAD = (SMALL_MODEL / "adapter/adapter_model.safetensors").read_bytes()[:HEAD_BYTES]


def test_the_shipped_adapter_fits_the_shipped_base() -> None:
    assert (rank_of(GOOD), unusable(GOOD)) == (16, "")
    shapes = shapes_of(HEAD)
    assert len(shapes) == BASE["num_hidden_layers"] * len(GOOD["target_modules"]) * 2
    assert misfit(shapes, BASE) == ""


@pytest.mark.parametrize(
    ("changes", "rank", "option"),
    [
        ({}, 16, 16),
        ({"r": 1}, 1, 1),
        ({"r": 17}, 17, 32),
        ({"r": 8, "rank_pattern": {"q_proj": 24}}, 24, 32),
        ({"r": 512}, 512, 512),
        ({"r": 513}, 513, 0),
        ({"r": None}, 0, 1),
        ({"r": True, "rank_pattern": None}, 0, 1),
    ],
)
def test_rank_is_the_highest_of_all_layers(changes: dict[str, Any], rank: int, option: int) -> None:
    assert rank_of(GOOD | changes) == rank
    assert engine_rank(rank) == option


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"peft_type": "IA3"}, "no LoRA adapter"),
        ({"r": 0}, "no rank"),
        ({"r": 1024}, "rank 1024, and the engine takes 512"),
        ({"use_dora": True}, "DoRA"),
        ({"bias": "all"}, "biases"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
    ],
)
def test_what_the_engine_does_not_load_is_named(changes: dict[str, Any], words: str) -> None:
    assert words in unusable(GOOD | changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_hidden_layers": 4}, "layer 4, and the base has 4 layers"),
        ({"hidden_size": 256, "head_dim": None}, "width of 192, and the base's is 256"),
        ({"num_key_value_heads": 6}, "k_proj.lora_B"),
        ({"intermediate_size": 768}, "down_proj.lora_A"),
    ],
)
def test_adapter_of_another_base_is_told_by_its_shape(changes: dict[str, Any], words: str) -> None:
    assert words in misfit(shapes_of(HEAD), BASE | changes)


@pytest.mark.parametrize("changes", [{"hidden_size": None}, {"num_attention_heads": 0}, {"intermediate_size": None}])
def test_what_a_base_does_not_tell_is_not_compared(changes: dict[str, Any]) -> None:
    assert misfit(shapes_of(HEAD), BASE | changes) == ""


@pytest.mark.parametrize(
    "head",
    [b"", b"1234", struct.pack("<Q", 9) + b"{}", struct.pack("<Q", 2) + b"[]", struct.pack("<Q", 2) + b"xx"],
)
def test_what_is_no_list_of_tensors_has_no_shapes(head: bytes) -> None:
    assert shapes_of(head) == {}


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff"])
def test_what_is_no_configuration_is_empty(content: bytes) -> None:
    assert configuration_of(content) == {}
