"""Fetches the models that are missing onto the volume: as an instance does, with the same program, but for the names.

The chart names a model's folder by its source. Only commits of the Hub are taken, so the name stands for the content.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
from pathlib import Path

from ansible_collections.slm.serving.plugins.module_utils.model_sources import is_whole, open_source
from ansible_collections.slm.serving.plugins.module_utils.model_sources.base import ModelError, SourceOptions
from ansible_collections.slm.serving.plugins.module_utils.model_sources.fetching import fetch

RESERVE_BYTES = 1 << 30
HELP = (
    "Where this speaks of a parameter that names a secret: here the value models.token.existingSecret names the Secret "
    "with the token"
)


def bring(wanted: dict[str, dict[str, str]], root: Path, options: SourceOptions) -> None:
    """Fetch what is missing below a folder.

    Args:
        wanted: By the model's name its `source` and `folder`.
        root: The volume.
        options: What opening a source needs.

    Raises:
        ModelError: a model cannot be fetched, or is not as its source says.
    """
    for name, model in wanted.items():
        directory = root / model["folder"]
        if is_whole(directory):
            sys.stdout.write(f"the {name} model is there: {model['source']}\n")
            continue
        sys.stdout.write(f"fetching the {name} model: {model['source']}\n")
        fetch(name, open_source(name, model["source"], options), directory, RESERVE_BYTES)


def main() -> int:
    """Fetch the models that the only argument names, as JSON.

    Returns:
        0 when all are there, 1 when one cannot be fetched.
    """
    root = Path(os.environ["MODELS_ROOT"])
    options: SourceOptions = {
        "hub": os.environ["MODELS_HUB"],
        "hub_token_file": os.environ.get("MODELS_HUB_TOKEN_FILE", ""),
    }
    try:
        with (root / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # An attempt that is given up may still run.
            bring(json.loads(sys.argv[1]), root, options)
    except (ModelError, OSError) as error:
        sys.stderr.write(f"{error}\n{HELP}\n" if isinstance(error, ModelError) else f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
