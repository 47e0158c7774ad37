"""Whether the weights that a model's index names are there: an engine finds that out only when it loads them."""

from __future__ import annotations

import json
from collections.abc import Collection

# As Hugging Face's libraries name it: NAME.safetensors.index.json beside NAME-00001-of-00002.safetensors.
INDEX = ".safetensors.index.json"
SHOWN_SHARDS = 3


def indexes(files: Collection[str]) -> list[str]:
    """Return those files that are an index of weights."""
    return sorted(name for name in files if name.endswith(INDEX))


def shard_problem(index: str, content: bytes, files: Collection[str]) -> str | None:
    """Return which weights are missing, in words that follow the model's name; None when all are there.

    Args:
        index: name of the index file.
        content: of it.
        files: names of the model's files.
    """
    folder = index.rpartition("/")[0]
    try:
        named = {str(shard) for shard in json.loads(content)["weight_map"].values()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"has an index of its weights, {index}, that cannot be read: upload it again"
    missing = sorted(shard for shard in named if (f"{folder}/{shard}" if folder else shard) not in files)
    if not missing:
        return None
    shown = ", ".join(missing[:SHOWN_SHARDS]) + (", ..." if len(missing) > SHOWN_SHARDS else "")
    return (
        f"is incomplete: {len(missing)} of the {len(named)} files that {index} names are missing ({shown}). Upload the"
        " whole folder again"
    )
