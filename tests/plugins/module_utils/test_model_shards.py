"""Whether the weights that a model's index names are there."""

from __future__ import annotations

import json

import pytest
from ansible_collections.slm.serving.plugins.module_utils.model_sources.shards import indexes, shard_problem

ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"
CONTENT = json.dumps({"metadata": {}, "weight_map": {"a": ONE, "b": TWO, "c": TWO}}).encode()


def test_model_with_all_shards_is_complete() -> None:
    assert shard_problem(INDEX, CONTENT, [INDEX, ONE, TWO]) is None
    assert shard_problem(f"sub/{INDEX}", CONTENT, [f"sub/{ONE}", f"sub/{TWO}"]) is None


def test_missing_shard_is_named() -> None:
    problem = shard_problem(INDEX, CONTENT, [INDEX, ONE])
    assert problem is not None
    assert f"1 of the 2 files that {INDEX} names are missing ({TWO})" in problem


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"weight_map": 3}', b'{"weight_map": ["a"]}', b"\xff"])
def test_index_that_cannot_be_read_is_a_problem(content: bytes) -> None:
    assert "cannot be read" in str(shard_problem(INDEX, content, [INDEX]))


def test_indexes_are_found_by_their_name() -> None:
    assert indexes([ONE, INDEX, "config.json", f"sub/{INDEX}"]) == [INDEX, f"sub/{INDEX}"]
