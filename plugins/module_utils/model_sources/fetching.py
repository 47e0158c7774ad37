"""A model fetched into a staging directory, verified, and renamed when it is whole.

Only the standard library, as in the sources: the chart for Kubernetes runs it too, where there is no Ansible.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

from ansible_collections.slm.serving.plugins.module_utils.model_sources import missing_bytes, staging_of
from ansible_collections.slm.serving.plugins.module_utils.model_sources.base import (
    MANIFEST,
    SUMS,
    DiskFullError,
    ModelError,
    ModelFile,
    Source,
    checksum_of,
)
from ansible_collections.slm.serving.plugins.module_utils.model_sources.names import name_problem, shown
from ansible_collections.slm.serving.plugins.module_utils.model_sources.shards import indexes, shard_problem

# As sha256sum writes a line, for text and binary, and as `find .` names the files.
SUM_LINE = re.compile(r"([0-9a-fA-F]{64})[ \t]+\*?(?:\./)?(.*)")


def read_sums(path: Path) -> dict[str, str]:
    """Return the checksums of a SHA256SUMS by file, as sha256sum writes them.

    Raises:
        ModelError: a line is none of sha256sum's, or names no file of the model.
    """
    sums: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="surrogateescape").split("\n"), start=1):
        if not line.strip():
            continue
        entry = SUM_LINE.fullmatch(line.removesuffix("\r"))
        if not entry:
            raise ModelError(f"line {number} of SHA256SUMS is no checksum and name: have `sha256sum` write the file")
        problem = name_problem(entry[2])
        if problem:
            raise ModelError(f"the name {shown(entry[2])} in line {number} of SHA256SUMS {problem}")
        sums[entry[2]] = entry[1].lower()
    return sums


def verify_sums(source: Source, staging: Path) -> None:
    """Check the files against SHA256SUMS where the model brings one. Raises ModelError."""
    listed = staging / SUMS
    if not listed.is_file():
        return
    for name, expected in read_sums(listed).items():
        if source.skips(name):
            continue  # It was not fetched.
        path = staging / name
        if not path.is_file():
            raise ModelError(f"{name} is named in SHA256SUMS and is missing")
        if checksum_of(path, "sha256") != expected:
            path.unlink()  # Else it would be taken for whole the next time.
            raise ModelError(f"{name} does not have the checksum that SHA256SUMS gives")


def check_disk(name: str, staging: Path, files: dict[str, ModelFile], reserve: int) -> None:
    """Raise ModelError when the disk cannot hold what is still to come and `reserve` bytes besides."""
    need, free = missing_bytes(staging, files), shutil.disk_usage(staging).free
    if need + reserve > free:
        raise ModelError(
            f"the {name} model needs {need / 1e9:.1f} GB more and {reserve / 1e9:.1f} GB must stay free,"
            f" but {staging.parent} has {free / 1e9:.1f} GB: remove old models or enlarge the volume"
        )


def verify(name: str, source: Source, staging: Path, files: dict[str, ModelFile]) -> None:
    """Raise ModelError unless every file in the staging directory is whole and has its checksum."""
    for file, expected in files.items():
        path = staging / file
        if not path.is_file() or path.stat().st_size != expected["size"]:
            raise ModelError(f"{file} of {source.source} did not come whole")
        problem = source.problem(path, file, expected)
        if problem:
            raise ModelError(f"the {name} model from {source.source} is broken: {problem}")
    for index in indexes(files):
        missing = shard_problem(index, (staging / index).read_bytes(), files)
        if missing:
            raise ModelError(f"the {name} model from {source.source} {missing}")
    verify_sums(source, staging)


def give_to(directory: Path, owner: int) -> None:
    """Let nobody but root and this user into a directory."""
    directory.chmod(0o750)
    os.chown(directory, owner, owner)


def fetch(name: str, source: Source, directory: Path, reserve: int, owner: int | None = None) -> None:
    """Fetch a model into its staging directory, verify it and rename it.

    Args:
        name: the model's.
        source: where it comes from.
        directory: where it goes to.
        reserve: bytes that must stay free.
        owner: uid of the only user who may read it; None for all.

    Raises:
        ModelError: it cannot be fetched, or is not as its source says.
    """
    files = source.listing()
    if not files:
        raise ModelError(f"there is nothing at {source.source} (the {name} model)")
    staging = staging_of(directory)
    staging.mkdir(parents=True, exist_ok=True, mode=0o755 if owner is None else 0o700)
    if owner is not None:
        staging.chmod(0o700)
    check_disk(name, staging, files, reserve)
    try:
        source.fetch(staging, files)
    except DiskFullError as error:
        # What serves shares this disk and must not run out of it because of a download.
        shutil.rmtree(staging, ignore_errors=True)
        raise ModelError(
            f"{error}; what had come of the {name} model was removed again: remove old models or enlarge the volume"
        ) from error
    for path in [path for path in staging.rglob("*") if path.is_file()]:
        if str(path.relative_to(staging)) not in files:
            path.unlink()  # Left by an attempt with other content.
    verify(name, source, staging, files)
    (staging / MANIFEST).write_text(json.dumps({"source": source.source, "files": files}, indent=2), encoding="utf-8")
    if directory.exists():
        broken = directory.with_name(f".broken-{directory.name}")
        shutil.rmtree(broken, ignore_errors=True)
        directory.rename(broken)
        shutil.rmtree(broken, ignore_errors=True)
    if owner is not None:
        give_to(staging, owner)
    staging.rename(directory)
