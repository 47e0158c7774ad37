"""Models and their evaluations; NAME.yml documents each filter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any


def model_revisions(models: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the models, each with its revision: the name of its directory, which identifies its content."""
    return {name: model | {"revision": PurePosixPath(model["path"]).name} for name, model in models.items()}


def evaluation_object(source: str) -> dict[str, str]:
    """Return bucket and key of the evaluation beside an adapter; empty where that is not in S3 or in no folder."""
    if not source.startswith("s3://"):
        return {}
    bucket, _, prefix = source.removeprefix("s3://").rstrip("/").partition("/")
    folder, slash, _ = prefix.rpartition("/")
    return {"bucket": bucket, "key": f"{folder}{slash}evaluation.json"} if prefix else {}


class FilterModule:
    """The filters, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"evaluation_object": evaluation_object, "model_revisions": model_revisions}
