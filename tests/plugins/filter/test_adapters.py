"""Further adapters: from the settings to models, golden notes, comparisons and the engine's options."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.filter.adapters import (
    adapter_golden,
    adapter_models,
    adapter_notes,
    adapter_problems,
    compared_adapters,
    further_adapters,
    lora_options,
    release_adapters,
)

PATH = "/app"
SOURCE = "s3://models/parcel/adapter"
TASKS: list[dict[str, Any]] = [
    {"name": "medical_ie", "adapter": "medical-ie", "golden": [{"name": "one", "text": "a", "expected": {"x": "y"}}]},
    {"name": "parcels", "adapter": "parcel", "golden": [{"name": "one", "text": "b", "expected": {"to": "c"}}]},
    {"name": "assistant_intent", "adapter": "assistant-intent"},
]
DEFAULT = {"name": "medical-ie", "source": "s3://models/adapters/1/adapter"}


def problems(adapters: Any, **default: str) -> list[str]:
    """Return the problems of further adapters beside the default task's."""
    return adapter_problems(adapters, TASKS, PATH, default=DEFAULT | default, base_name="base")


def test_settings_name_them_and_the_default_one_is_none_of_them() -> None:
    settings = {
        "model/adapter": "s3://models/a",
        "model/adapter-serving": "s3://models/a",
        "model/adapters/parcel": SOURCE,
        "model/adapters/assistant-intent": "hf://o/r@1",
        "model/adapters/empty": "",
        "model/adapters-serving/parcel": "s3://models/old",
    }
    assert further_adapters(settings) == {"assistant-intent": "hf://o/r@1", "parcel": SOURCE}
    assert further_adapters({"model/adapter": "s3://models/a"}) == {}


def test_they_are_models_of_their_own_and_found_again_in_a_release() -> None:
    models = adapter_models({"parcel": SOURCE})
    assert models == {"adapter-parcel": SOURCE}
    release = {"base": "b", "adapter": "a", **models}
    assert release_adapters(release) == {"parcel": SOURCE}
    # As a release was recorded before there were any.
    assert release_adapters({"base": "b", "adapter": "a"}) == {}


def test_an_adapter_of_a_task_is_no_problem() -> None:
    assert problems({"parcel": SOURCE, "assistant-intent": "hf://o/r@1"}) == []
    assert problems({}) == []


@pytest.mark.parametrize(
    ("adapters", "words"),
    [
        ({"parcels": SOURCE}, ["/app/model/adapters/parcels", "no task uses", "assistant-intent, parcel", "name"]),
        ({"medical-ie": SOURCE}, ["/app/model/adapters/medical-ie", "/app/model/adapter is served", "Remove one"]),
        ({"base": SOURCE}, ["the base is served under"]),
        ({"a/b": SOURCE}, ["/app/model/adapters/a/b", "letters, digits"]),
        ({"parcel.v2": SOURCE}, ["letters, digits"]),
        ({"parcel": 7}, ["no address of a model"]),
        ({"parcel": "s3://models/adapters/1/other"}, ["/app/model/adapter ", "adapters/1/evaluation.json", "own"]),
        ("parcel", ["model_store_adapters", "JSON"]),
        ([{"parcel": SOURCE}], ["model_store_adapters", "JSON"]),
    ],
)
def test_what_could_not_be_served_is_named_with_what_to_do(adapters: Any, words: list[str]) -> None:
    (problem,) = problems(adapters)
    assert [word for word in words if word not in problem] == []


def test_two_further_ones_in_one_folder_share_an_evaluation() -> None:
    (problem,) = problems({"parcel": "s3://models/all/parcel/", "assistant-intent": "s3://models/all/assistant"})
    assert "/app/model/adapters/parcel" in problem
    assert "/app/model/adapters/assistant-intent" in problem


def test_the_default_ones_name_is_the_operators() -> None:
    """With another name for it, the name of the default task's own adapter is free."""
    assert problems({"medical-ie": SOURCE}, name="medical-old") == []


def test_task_without_an_adapter_is_told() -> None:
    (note,) = adapter_notes({"parcel": SOURCE}, TASKS, PATH, default="medical-ie")
    assert "assistant_intent" in note
    assert "/app/model/adapters/assistant-intent" in note


def test_golden_notes_name_their_endpoint_and_adapter() -> None:
    assert adapter_golden({"parcel": SOURCE, "assistant-intent": SOURCE}, TASKS) == [
        {
            "name": "parcels/one",
            "text": "b",
            "expected": {"to": "c"},
            "adapter": "parcel",
            "path": "/api/v1/tasks/parcels/extract",
        }
    ]
    assert adapter_golden({}, TASKS) == []


def test_each_is_compared_with_what_served_under_its_name() -> None:
    settings = {"model/adapters-serving/parcel": "s3://models/old/adapter"}
    assert compared_adapters({"parcel": SOURCE, "new": "s3://models/n/a"}, settings, PATH) == [
        {"candidate": "s3://models/n/a", "serving": "", "parameter": "/app/model/adapters-serving/new"},
        {
            "candidate": SOURCE,
            "serving": "s3://models/old/adapter",
            "parameter": "/app/model/adapters-serving/parcel",
        },
    ]


@pytest.mark.parametrize(
    ("ranks", "options"),
    [
        ({"adapter": None}, {}),
        ({"adapter": 16}, {}),
        ({"adapter": 20}, {"max-lora-rank": 32}),
        ({"adapter": 16, "adapter-parcel": 8}, {"max-loras": 2}),
        ({"adapter": None, "adapter-parcel": 64, "adapter-b": 17}, {"max-loras": 3, "max-lora-rank": 64}),
        ({"adapter": 600}, {"max-lora-rank": 600}),
    ],
)
def test_engine_is_told_how_many_and_of_what_rank(ranks: dict[str, int | None], options: dict[str, int]) -> None:
    models: dict[str, Any] = {name: {"rank": rank} if rank else {} for name, rank in ranks.items()}
    assert lora_options({"base": {"rank": 999}, **models}) == options
