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
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slm.serving.plugins.module_utils.adapters import is_adapter
from ansible_collections.slm.serving.plugins.module_utils.lora import CONFIGURATION, configuration_of, rank_of
from ansible_collections.slm.serving.plugins.module_utils.model_sources import is_whole, locate, open_source
from ansible_collections.slm.serving.plugins.module_utils.model_sources.base import ModelError, Source
from ansible_collections.slm.serving.plugins.module_utils.model_sources.fetching import fetch


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
