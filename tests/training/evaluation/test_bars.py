"""A model below a bar of its configuration is not to be used, and a bar on what nobody measures is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.config import Bar, ConfigError, load_run_config
from training.data.prompt import load_prompt
from training.evaluation.bars import BelowBarsError, as_text, check_met, check_names, compare

ASSISTANT = Path(__file__).resolve().parents[3] / "training" / "assistant_intent.yaml"
BARS = [
    Bar(notes="validation", figure="valid", at_least=1.0),
    Bar(notes="held-out phrasings", figure="all_right", at_least=0.85),
]


def test_a_figure_at_its_bar_meets_it() -> None:
    compared = compare(BARS, {"validation": {"valid": 1.0}, "held-out phrasings": {"all_right": 0.85}})
    assert [bar["met"] for bar in compared] == [True, True]
    check_met(compared)


def test_a_figure_below_its_bar_or_not_measured_does_not() -> None:
    compared = compare(BARS, {"validation": {"valid": 0.999}})
    assert [(bar["met"], bar["value"]) for bar in compared] == [(False, 0.999), (False, None)]
    assert as_text(compared).splitlines() == [
        "BELOW: valid on validation: 0.999, at least 1.000",
        "BELOW: all_right on held-out phrasings: not measured, at least 0.850",
    ]
    with pytest.raises(BelowBarsError, match="below 2 of the 2 bars of its configuration, and not to be used"):
        check_met(compared)


def test_a_bar_on_what_the_task_does_not_measure_is_refused() -> None:
    check_names(BARS, "assistant_intent")
    wrong = [*BARS, Bar(notes="held-out phrasing", figure="valid", at_least=1)]
    with pytest.raises(ConfigError, match=r"bars\.2: the task assistant_intent has no valid of 'held-out phrasing'"):
        check_names(wrong, "assistant_intent")
    with pytest.raises(ConfigError, match=r"bars\.1: .* it has - validation: all$"):
        check_names(BARS, "a_task_without_grammar")


def test_the_assistants_configuration_has_the_bars_of_what_ships() -> None:
    config = load_run_config(ASSISTANT)
    check_names(config.bars, load_prompt(config.task).task.name)
    assert {(bar.notes, bar.figure): bar.at_least for bar in config.bars} == {
        ("held-out phrasings", "choice_right"): 0.97,
        ("held-out phrasings", "all_right"): 0.85,
        ("off-topic, held-out phrasings", "choice_right"): 0.97,
    }
    # A deployment raises vLLM's max-lora-rank, 16, to the highest rank of its adapters, at a cost for all tasks.
    assert config.adapter.rank <= 32
