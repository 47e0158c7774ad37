"""Where models come from (S3, the Hugging Face Hub, a directory), and whether one is on the instance already.

Shared by the module that fetches them and by the one that checks, before anything is touched, whether they could be.
Only the standard library and the aws command: nothing has to be installed on the instance for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from ansible_collections.slm.serving.plugins.module_utils.model_sources.base import (
    GGUF,
    GGUF_FILE,
    MANIFEST,
    SUMS,
    ModelError,
    ModelFile,
    Source,
    SourceOptions,
)
from ansible_collections.slm.serving.plugins.module_utils.model_sources.directory import DirectorySource
from ansible_collections.slm.serving.plugins.module_utils.model_sources.hub import HubSource
from ansible_collections.slm.serving.plugins.module_utils.model_sources.s3 import S3Source

_KINDS: dict[str, Callable[[str, SourceOptions], Source]] = {
    "s3://": S3Source,
    "file://": DirectorySource,
    "hf://": HubSource,
}


def open_source(name: str, source: str, options: SourceOptions) -> Source:
    """Return the source of a model.

    Args:
        name: the model's, for messages.
        source: its address.
        options: what opening it may need.

    Raises:
        ModelError: the address is of no known kind.
    """
    kind = next((kind for scheme, kind in _KINDS.items() if source.startswith(scheme)), None)
    if kind is None:
        raise ModelError(
            f"the {name} model's source {source!r} is none of s3://bucket/prefix, file:///path, hf://repository@commit"
        )
    opened = kind(source, options)
    if name == GGUF:
        opened.only = (GGUF_FILE, SUMS)
    return opened


def is_whole(directory: Path) -> bool:
    """Say whether a model's directory has every file of its manifest, in full size."""
    try:
        files = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))["files"]
        return all((directory / name).stat().st_size == file["size"] for name, file in files.items())
    except (OSError, ValueError, KeyError):
        return False


def locate(root: Path, name: str, source: Source) -> Path:
    """Return the directory below `root` of this source with this content. Raises ModelError."""
    digest = hashlib.sha256(f"{source.source}\n{source.identity()}".encode()).hexdigest()
    return root / f"{name}-{digest[:16]}"


def staging_of(directory: Path) -> Path:
    """Return where a model is put together before it is renamed to its directory."""
    return directory.with_name(f".staging-{directory.name}")


def missing_bytes(staging: Path, files: dict[str, ModelFile]) -> int:
    """Return how many bytes of the files are still to come."""
    present = [name for name in files if (staging / name).is_file()]
    have = sum(min((staging / name).stat().st_size, files[name]["size"]) for name in present)
    return sum(file["size"] for file in files.values()) - have
