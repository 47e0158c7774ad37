#!/usr/bin/python
"""Keep models on the instance: fetched into a staging directory, verified, and renamed when they are whole.

An own module, because no ready one downloads by the instance's own profile, resumes, verifies and renames; and because
it is one session instead of a dozen.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: model_store
short_description: Keep models on the instance, whole and verified
description:
  - A model's directory is named after its source and its content, so an unchanged source is the same directory and a
    changed one a new directory.
  - What is missing is fetched into a staging directory, resumed if it was cut, verified and then renamed.
author:
  - The slm-ft-serving developers (!UNKNOWN)
options:
  models:
    description:
      - Sources by name. C(s3://bucket/prefix), C(file:///path) or C(hf://owner/repository@commit).
      - C(adapter) and C(adapter-NAME) are LoRA adapters.
    type: dict
    required: true
  root:
    description: The directory that holds the models.
    type: path
    required: true
  region:
    description: Region of the buckets.
    type: str
    required: true
  fetch:
    description: Whether to fetch what is missing; else the module only reports it.
    type: bool
    default: true
  reserve:
    description: Bytes that must stay free on the disk.
    type: int
    default: 2147483648
  owners:
    description:
      - Uid of the only user, besides root, who may read a model, by the model's name; such as clinical notes.
      - They are here for a while only, and so are no change.
    type: dict
    default: {}
  hub:
    description: Address of the Hugging Face Hub.
    type: str
    default: https://huggingface.co
  hub_token_file:
    description: File on the instance that holds the Hub's token; it may be missing when the models are public.
    type: path
    default: ""
"""

EXAMPLES = r"""
- name: Fetch a model from the Hub
  slm.serving.model_store:
    root: /var/lib/slm-ft-serving/models
    region: us-east-1
    models:
      base: hf://some-owner/some-model@0123456789abcdef0123456789abcdef01234567
"""

RETURN = r"""
models:
  description: By name, C(source), C(path) and C(present), and of an adapter that is present its C(rank).
  type: dict
  returned: always
missing:
  description: Names of the models that are not on the instance.
  type: list
  elements: str
  returned: success
"""

import fcntl
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slm.serving.plugins.module_utils.adapters import is_adapter
from ansible_collections.slm.serving.plugins.module_utils.lora import CONFIGURATION, configuration_of, rank_of
from ansible_collections.slm.serving.plugins.module_utils.model_sources import (
    is_whole,
    locate,
    missing_bytes,
    open_source,
    staging_of,
)
from ansible_collections.slm.serving.plugins.module_utils.model_sources.base import (
    MANIFEST,
    DiskFullError,
    ModelError,
    ModelFile,
    Source,
    checksum_of,
    is_skipped,
)
from ansible_collections.slm.serving.plugins.module_utils.model_sources.names import name_problem, shown
from ansible_collections.slm.serving.plugins.module_utils.model_sources.shards import indexes, shard_problem

# As sha256sum writes a line, for text and binary, and as `find .` names the files.
SUM = re.compile(r"([0-9a-fA-F]{64})[ \t]+\*?(?:\./)?(.*)")


def read_sums(path: Path) -> dict[str, str]:
    """Return the checksums of a SHA256SUMS by file, as sha256sum writes them.

    Raises:
        ModelError: a line is none of sha256sum's, or names no file of the model.
    """
    sums: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="surrogateescape").split("\n"), start=1):
        if not line.strip():
            continue
        entry = SUM.fullmatch(line.removesuffix("\r"))
        if not entry:
            raise ModelError(f"line {number} of SHA256SUMS is no checksum and name: have `sha256sum` write the file")
        problem = name_problem(entry[2])
        if problem:
            raise ModelError(f"the name {shown(entry[2])} in line {number} of SHA256SUMS {problem}")
        sums[entry[2]] = entry[1].lower()
    return sums


def verify_sums(staging: Path) -> None:
    """Check the files against SHA256SUMS where the model brings one. Raises ModelError."""
    listed = staging / "SHA256SUMS"
    if not listed.is_file():
        return
    for name, expected in read_sums(listed).items():
        if is_skipped(name):
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
    verify_sums(staging)


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


def described(name: str, source: Source, directory: Path, *, present: bool) -> dict[str, Any]:
    """Return what is told of a model; of an adapter on the instance its rank, which the engine has to be told."""
    about: dict[str, Any] = {"source": source.source, "path": str(directory), "present": present}
    if present and is_adapter(name) and (directory / CONFIGURATION).is_file():
        rank = rank_of(configuration_of((directory / CONFIGURATION).read_bytes()))
        about |= {"rank": rank} if rank else {}
    return about


def main() -> None:
    """Fetch what is missing."""
    module = AnsibleModule(
        argument_spec={
            "models": {"type": "dict", "required": True},
            "root": {"type": "path", "required": True},
            "region": {"type": "str", "required": True},
            "fetch": {"type": "bool", "default": True},
            "reserve": {"type": "int", "default": 2 * 1024**3},
            "owners": {"type": "dict", "default": {}},
            "hub": {"type": "str", "default": "https://huggingface.co"},
            "hub_token_file": {"type": "path", "default": ""},
        },
        supports_check_mode=True,
    )
    options = module.params
    root = Path(options["root"])
    may_fetch = options["fetch"] and not module.check_mode
    models: dict[str, dict[str, Any]] = {}
    missing, fetched = [], []
    try:
        for name, address in options["models"].items():
            source = open_source(name, address, options)
            directory = locate(root, name, source)
            owner = int(options["owners"][name]) if name in options["owners"] else None
            present = is_whole(directory)
            if not present and may_fetch:
                root.mkdir(parents=True, exist_ok=True, mode=0o755)
                with (root / ".lock").open("w") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX)  # A task that was sent twice waits for its first copy.
                    if not is_whole(directory):
                        fetch(name, source, directory, options["reserve"], owner)
                if owner is None:
                    fetched.append(name)
                present = True
            if not present:
                missing.append(name)
            models[name] = described(name, source, directory, present=present)
    except (ModelError, OSError) as error:
        module.fail_json(msg=str(error), models=models)
    # As in a run: what belongs to somebody else than root is no change.
    would_fetch = module.check_mode and options["fetch"] and bool(set(missing) - set(options["owners"]))
    module.exit_json(changed=bool(fetched) or would_fetch, models=models, missing=missing)


if __name__ == "__main__":
    main()
