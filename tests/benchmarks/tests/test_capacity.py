"""The arithmetic of the capacity table, against figures that model and engine have themselves."""

from __future__ import annotations

import dataclasses

import pytest

from tests.benchmarks.capacity import L4, LLAMA, THROUGHPUTS, capacities, table, tokens_that_fit

GIB = 2**30


def test_model_has_the_size_that_its_index_says() -> None:
    """`total_size` in model.safetensors.index.json of Llama 3.1 8B, and half of it in parameters."""
    assert LLAMA.weight_bytes(quantised=False) == 16_060_522_496
    assert LLAMA.parameters == 8_030_261_248


def test_token_takes_what_the_engines_own_class_says() -> None:
    """FullAttentionSpec of vLLM 0.32: 65,536 bytes for 16 tokens of a layer."""
    assert LLAMA.kv_bytes() * 16 // LLAMA.layers == 65_536


@pytest.mark.parametrize(
    ("available", "tokens", "concurrency"),
    [(4 * GIB, 32_768, 4.0), (4_455_000_000, 33_984, 4.1484375), (11_430_000_000, 87_200, 10.64453125)],
)
def test_tokens_that_fit_are_those_that_the_engine_would_print(available: int, tokens: int, concurrency: float) -> None:
    """What get_kv_cache_configs and get_kv_cache_capacity of vLLM 0.32 return for this memory and 8,192 tokens."""
    assert tokens_that_fit(available, LLAMA) == tokens
    assert tokens / 8192 == concurrency


def test_quantised_weights_are_the_matrices_only() -> None:
    fp8, bf16 = (LLAMA.weight_bytes(quantised=quantised) for quantised in (True, False))
    assert bf16 - fp8 == pytest.approx(LLAMA.linear_parameters, rel=0.001)
    assert fp8 > bf16 / 2
    assert LLAMA.read_bytes(quantised=True) == fp8 - 128256 * 4096 * 2


def test_a_sequence_alone_is_bound_by_the_memory_that_is_read() -> None:
    quality = capacities()["quality"]
    fastest = L4.bandwidth / LLAMA.read_bytes(quantised=False)
    assert 0.98 * fastest < 1 / quality.step_seconds(1) < fastest


def test_table_follows_the_profiles() -> None:
    fast, quality = capacities()["fast"], capacities()["quality"]
    assert (fast.quantised, quality.quantised) == (True, False)
    assert fast.tokens > 2 * quality.tokens
    assert fast.notes_a_second() > quality.notes_a_second() > 0
    assert fast.load_seconds(THROUGHPUTS[0]) == quality.load_seconds(THROUGHPUTS[0])
    fewer = dataclasses.replace(quality, options=quality.options | {"max-num-seqs": 2})
    assert fewer.notes_at_once == 2
    assert fewer.cost_of_1000_notes() > quality.cost_of_1000_notes()


def test_every_request_of_full_length_fits_at_least_once() -> None:
    """The engine refuses to start otherwise."""
    assert {name for name, capacity in capacities().items() if capacity.longest_at_once < 1} == set()


def test_table_has_a_column_for_each_profile_and_says_that_it_is_computed() -> None:
    head, rule, *rows = table(capacities()).splitlines()
    assert head.endswith("computed | `fast` | `quality` |")
    assert {line.count("|") for line in (rule, *rows)} == {head.count("|")}
