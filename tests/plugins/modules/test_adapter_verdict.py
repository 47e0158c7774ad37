"""Whether an adapter may take the place of the one that serves, by their evaluations."""

from __future__ import annotations

import pytest
from ansible_collections.slm.serving.plugins.modules import adapter_verdict as gate

from tests.local_region.names import REPOSITORY_ROOT
from tests.support.evaluations import evaluation


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
def test_evaluation_lies_beside_the_adapter(source: str, address: tuple[str, str] | None) -> None:
    assert gate.evaluation_address(source) == address


def test_adapter_without_evaluation_does_not_replace_one_that_has_one() -> None:
    allowed, note = gate.weigh(None, b"{}")
    assert not allowed
    assert "has none" in note


@pytest.mark.parametrize("candidate", [None, b"{}"])
def test_where_the_serving_one_has_no_evaluation_that_is_said(candidate: bytes | None) -> None:
    allowed, note = gate.weigh(candidate, None)
    assert allowed
    assert "not compared" in note


def verdict(before: bytes, after: bytes) -> tuple[bool, str]:
    """Return allowed and note, from the gateway's own comparison."""
    allowed, note, _ = gate.compare(before, after, str(REPOSITORY_ROOT), 120)
    return allowed, note


def test_adapter_that_is_really_worse_is_refused() -> None:
    allowed, note = verdict(evaluation(wrong=2), evaluation(wrong=20))
    assert not allowed
    assert "really worse" in note


def test_difference_that_the_choice_of_notes_explains_is_none() -> None:
    assert verdict(evaluation(wrong=2), evaluation(wrong=3)) == (True, "")


def test_better_adapter_is_allowed() -> None:
    assert verdict(evaluation(wrong=20), evaluation(wrong=2)) == (True, "")


def test_evaluation_over_other_notes_is_refused() -> None:
    allowed, note = verdict(evaluation(wrong=2), evaluation(wrong=2, of="A lesion of the lung"))
    assert not allowed
    assert "not over the same notes" in note
