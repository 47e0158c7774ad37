"""Models and their evaluations."""

from __future__ import annotations

import pytest
from ansible_collections.slm.serving.plugins.filter.models import evaluation_object, model_revisions


@pytest.mark.parametrize(
    ("source", "address"),
    [
        ("s3://models/adapters/20261120T140000Z/adapter", ("models", "adapters/20261120T140000Z/evaluation.json")),
        ("s3://models/adapters/20261120T140000Z/adapter/", ("models", "adapters/20261120T140000Z/evaluation.json")),
        ("s3://models/adapter", ("models", "evaluation.json")),
        ("s3://models", None),
        ("hf://someone/adapter@0123456789abcdef0123456789abcdef01234567", None),
        ("file:///srv/adapter", None),
    ],
)
def test_evaluation_is_beside_the_adapter(source: str, address: tuple[str, str] | None) -> None:
    assert evaluation_object(source) == (dict(zip(("bucket", "key"), address, strict=True)) if address else {})


def test_revision_is_the_name_of_the_models_directory() -> None:
    assert model_revisions({"base": {"path": "/models/base-1", "name": "b"}}) == {
        "base": {"path": "/models/base-1", "name": "b", "revision": "base-1"}
    }
