"""The adapters beside the default task's: their names in Parameter Store, on the instance and in a release's record.

The default task's adapter is the model `adapter` and the setting model/adapter. A further one is known by the name
that the engine serves it under: the model `adapter-NAME` and the setting model/adapters/NAME. For the controller and
for the instance.
"""

from __future__ import annotations

import re

DEFAULT = "adapter"
MODEL_PREFIX = "adapter-"
SETTING_PREFIX = "model/adapters/"
# What the last good deployment recorded, for the next one's comparison.
SERVING_PREFIX = "model/adapters-serving/"
# The name is a parameter's, and part of a directory's and of a path in the engine's container.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)


def model_of(adapter: str) -> str:
    """Return the name that a further adapter has among the models."""
    return f"{MODEL_PREFIX}{adapter}"


def adapter_of(model: str) -> str:
    """Return the name that the engine serves a model under; empty for one that is no further adapter."""
    return model.removeprefix(MODEL_PREFIX) if model.startswith(MODEL_PREFIX) else ""


def is_adapter(model: str) -> bool:
    """Say whether a model is an adapter, the default task's or a further one."""
    return model == DEFAULT or bool(adapter_of(model))


def setting_of(model: str) -> str:
    """Return the setting that names a model's source."""
    adapter = adapter_of(model)
    return f"{SETTING_PREFIX}{adapter}" if adapter else f"model/{model}"
