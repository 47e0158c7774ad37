"""The configuration is checked before anything starts, and an error lists what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from training.__main__ import main
from training.config import ConfigError, TrainingConfig, load_config, load_run_config

SMALL = Path(__file__).resolve().parents[2] / "training" / "small.yaml"


def test_the_shipped_configuration_is_valid() -> None:
    config = load_config(SMALL)
    assert config.model.heads % config.model.kv_heads == 0
    assert config.adapter.rank <= 16


@pytest.mark.parametrize(
    ("section", "change", "problem"),
    [
        ("adapter", {"rank": 0}, "adapter.rank"),
        ("adapter", {"colour": "red"}, "adapter.colour"),
        ("pretrain", {"tokens": "many"}, "pretrain.tokens"),
    ],
)
def test_an_invalid_value_is_reported_with_the_name_of_its_entry(
    tmp_path: Path, section: str, change: dict[str, object], problem: str
) -> None:
    content = yaml.safe_load(SMALL.read_text(encoding="utf-8"))
    content[section] |= change
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(ConfigError, match=problem):
        load_config(path)


def test_a_configuration_that_is_missing_or_not_yaml_is_an_error_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(tmp_path / "missing.yaml")
    path = tmp_path / "config.yaml"
    path.write_text("a: [", encoding="utf-8")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_config(path)


def test_run_without_data_fails_with_the_reason_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr("sys.argv", ["training", "run", "--data", str(tmp_path / "none"), "--out", str(out)])
    assert main() == 1
    assert "cannot read" in capsys.readouterr().err
    assert not out.exists()


def test_all_misspelt_entries_are_listed_at_once_with_a_suggestion(tmp_path: Path) -> None:
    content = yaml.safe_load(SMALL.read_text(encoding="utf-8"))
    content["adapter"]["rnak"] = content["adapter"].pop("rank")
    content["pretrian"] = content.pop("pretrain")
    content["adapter"] |= {"alpha": "wide", "batch_size": 4}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        load_config(path)
    for problem in (
        "adapter.rank: Field required",
        "adapter.rnak: there is no such entry; did you mean rank?",
        "adapter.alpha: Input should be a valid integer",
        "pretrain: Field required",
        "pretrian: there is no such entry; did you mean pretrain?",
    ):
        assert problem in str(raised.value)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"batch_size": 4}, "one of batch_tokens and batch_size"),
        ({"optimizer": "paged_adamw_8bit"}, "needs device cuda"),
        ({"device": "cuda"}, "is for device cpu"),
        ({"keep_checkpoints": 1}, "adapter.keep_checkpoints"),
    ],
)
def test_entries_that_contradict_each_other_are_refused(
    tmp_path: Path, change: dict[str, object], problem: str
) -> None:
    content = yaml.safe_load(SMALL.read_text(encoding="utf-8"))
    content["adapter"] |= change
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(ConfigError, match=problem):
        load_config(path)


def test_a_configuration_without_a_base_section_is_for_adapters_only() -> None:
    path = SMALL.with_name("llama31_8b.yaml")
    assert not isinstance(load_run_config(path), TrainingConfig)
    with pytest.raises(ConfigError, match="does not train a base"):
        load_config(path)
