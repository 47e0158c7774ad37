#!/usr/bin/python
"""Keep models on the instance: fetched beside, verified, and renamed into place when they are whole.

An own module, because no ready one downloads by the instance's own profile, resumes, verifies and renames; and because
it is one session instead of a dozen.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slm.serving.plugins.module_utils.model_sources import (
    MANIFEST,
    DiskFullError,
    ModelError,
    Source,
    checksum_of,
    is_whole,
    locate,
    missing_bytes,
    open_source,
    staging_of,
)

DOCUMENTATION = r"""
module: model_store
short_description: Keep models on the instance, whole and verified
description:
  - A model's directory is named after its source and its content, so an unchanged source is the same directory and a
    changed one a new directory.
  - What is missing is fetched into a staging directory, resumed if it was cut, verified and then renamed.
options:
  models:
    description: Sources by name. C(s3://bucket/prefix), C(file:///path) or C(hf://owner/repository@commit).
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
    description: Whether to fetch what is missing; without it the module only looks.
    type: bool
    default: true
  reserve:
    description: Bytes that must stay free on the disk.
    type: int
    default: 2147483648
  hub:
    description: Address of the Hugging Face Hub.
    type: str
    default: https://huggingface.co
  hub_token_file:
    description: File on the instance that holds the Hub's token; it may be missing when the models are public.
    type: path
    default: ""
"""

RETURN = r"""
models:
  description: By name, C(source), C(path), C(bytes) and C(present).
  type: dict
missing:
  description: Names of the models that are not there yet.
  type: list
"""


def verify_sums(staging: Path) -> None:
    """Check the files against SHA256SUMS where the model brings one; raises ModelError."""
    sums = staging / "SHA256SUMS"
    if not sums.is_file():
        return
    for line in sums.read_text(encoding="utf-8").splitlines():
        expected, _, name = line.partition(" ")
        path = staging / name.strip().lstrip("*")
        if name and not path.is_file():
            raise ModelError(f"{path.name} is named in SHA256SUMS and is not there")
        if name and checksum_of(path, "sha256") != expected:
            path.unlink()  # Else it would be taken for whole the next time.
            raise ModelError(f"{path.name} does not have the checksum that SHA256SUMS tells")


def bring(name: str, source: Source, directory: Path, reserve: int) -> None:
    """Fetch a model beside its place, verify it and rename it; raises ModelError."""
    files = source.listing()
    if not files:
        raise ModelError(f"there is nothing at {source.source} (the {name} model)")
    staging = staging_of(directory)
    staging.mkdir(parents=True, exist_ok=True, mode=0o755)
    need, free = missing_bytes(staging, files), shutil.disk_usage(staging).free
    if need + reserve > free:
        raise ModelError(
            f"the {name} model needs {need / 1e9:.1f} GB more and {reserve / 1e9:.1f} GB must stay free,"
            f" but {directory.parent} has {free / 1e9:.1f} GB: remove old models or enlarge the volume"
        )
    try:
        source.fetch(staging, files)
    except DiskFullError as error:
        # What serves shares this disk and must not run out of it for the sake of a download.
        shutil.rmtree(staging, ignore_errors=True)
        raise ModelError(
            f"{error}; what had come of the {name} model was removed again: remove old models or enlarge the volume"
        ) from error
    for path in [path for path in staging.rglob("*") if path.is_file()]:
        if str(path.relative_to(staging)) not in files:
            path.unlink()  # Left by a try with other content.
    for file, about in files.items():
        path = staging / file
        if not path.is_file() or path.stat().st_size != about["size"]:
            raise ModelError(f"{file} of {source.source} did not come whole")
        problem = source.problem(path, file, about)
        if problem:
            raise ModelError(f"the {name} model from {source.source} is broken: {problem}")
    verify_sums(staging)
    (staging / MANIFEST).write_text(json.dumps({"source": source.source, "files": files}, indent=2), encoding="utf-8")
    if directory.exists():
        broken = directory.with_name(f".broken-{directory.name}")
        shutil.rmtree(broken, ignore_errors=True)
        directory.rename(broken)
        shutil.rmtree(broken, ignore_errors=True)
    staging.rename(directory)


def main() -> None:
    """Look, and fetch what is missing."""
    module = AnsibleModule(
        argument_spec={
            "models": {"type": "dict", "required": True},
            "root": {"type": "path", "required": True},
            "region": {"type": "str", "required": True},
            "fetch": {"type": "bool", "default": True},
            "reserve": {"type": "int", "default": 2 * 1024**3},
            "hub": {"type": "str", "default": "https://huggingface.co"},
            "hub_token_file": {"type": "path", "default": ""},
        },
        supports_check_mode=True,
    )
    options = module.params
    root = Path(options["root"])
    fetch = options["fetch"] and not module.check_mode
    models, missing, fetched = {}, [], []
    try:
        for name, address in options["models"].items():
            source = open_source(name, address, options)
            directory = locate(root, name, source)
            present = is_whole(directory)
            if not present and fetch:
                root.mkdir(parents=True, exist_ok=True, mode=0o755)
                with (root / ".lock").open("w") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX)  # A task that was sent twice waits for the first.
                    if not is_whole(directory):
                        bring(name, source, directory, options["reserve"])
                fetched.append(name)
                present = True
            if not present:
                missing.append(name)
            models[name] = {"source": source.source, "path": str(directory), "present": present}
    except (ModelError, OSError) as error:
        module.fail_json(msg=str(error), models=models)
    would_fetch = module.check_mode and options["fetch"] and bool(missing)
    module.exit_json(changed=bool(fetched) or would_fetch, models=models, missing=missing)


if __name__ == "__main__":
    main()
