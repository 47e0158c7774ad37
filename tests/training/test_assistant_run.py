"""An adapter for another task than the medical one: data from a grammar, all stages, and the bars at the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="in the training environment")
pytest.importorskip("peft", reason="in the training environment")

import yaml

from tests.training import tiny
from training.__main__ import EXIT_BELOW_BARS, main

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr("sys.argv", ["training", *map(str, arguments)])
    return main()


def test_a_model_below_its_bars_is_described_and_ends_the_run_with_a_status_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out, config = tmp_path / "data", tmp_path / "out", tmp_path / "config.yaml"
    made: list[str | Path] = ["--task", "assistant_intent", "--out", data, "--training", "9", "--validation", "2"]
    assert run(monkeypatch, "make-data", *made) == 0
    content: dict[str, Any] = {
        "task": "assistant_intent",
        "base": str(tiny.write_base(tmp_path / "base")),
        "base_name": "slm-ft-serving/small-base",
        "adapter": tiny.ADAPTER | {"epochs": 1, "synthetic_notes": 2, "off_topic_fraction": 0.5},
        "bars": [{"notes": "off-topic", "figure": "choice_right", "at_least": 0.97}],
    }
    config.write_text(yaml.safe_dump(content), encoding="utf-8")
    arguments: list[str | Path] = ["--config", config, "--data", data, "--out", out, "--generated", "1"]
    assert run(monkeypatch, "run", *arguments) == EXIT_BELOW_BARS
    assert "BELOW: choice_right on off-topic: 0.000, at least 0.970" in capsys.readouterr().err

    evaluation = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    assert evaluation["about"]["task"] == "assistant_intent"
    assert evaluation["about"]["bars"] == [content["bars"][0] | {"value": 0.0, "met": False}]
    assert "schedule" in evaluation["dataset"]["fields"]
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "It does the task `assistant_intent`: Reads a request" in card
    assert "| choice_right on off-topic | 0.970 | 0.000 | **below: not to be used** |" in card
    saved = json.loads((out / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    assert saved["base_model_name_or_path"] == "slm-ft-serving/small-base"
    # A part of the notes, or the base alone, is for looking only.
    assert run(monkeypatch, "evaluate", *arguments, "--limit", "1") == 0


def test_a_bar_that_nothing_measures_ends_the_run_before_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny.write_config(tmp_path / "config.yaml")
    content = yaml.safe_load(config.read_text(encoding="utf-8"))
    content["bars"] = [{"notes": "held out", "figure": "valid", "at_least": 1}]
    config.write_text(yaml.safe_dump(content), encoding="utf-8")
    data = tiny.write_data(tmp_path / "data")
    assert run(monkeypatch, "run", "--config", config, "--data", data, "--out", tmp_path / "out") == 1
    assert "bars.0: the task medical_ie has no valid of 'held out'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
