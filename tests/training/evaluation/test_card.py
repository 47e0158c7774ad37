"""The model card has the figures of the run's files, and nothing that they do not have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from training.__main__ import main
from training.data.dataset import FIELDS, Note
from training.data.prompt import load_prompt
from training.evaluation.card import card
from training.evaluation.scoring import save, score

RUN: dict[str, Any] = {
    "base": {"seconds": 723, "threads": 2},
    "adapter": {
        "base": {"name": "owner/base", "revision": "0123456789abcdef"},
        "config": {"rank": 8, "targets": ["q_proj", "v_proj"], "selection": "held_out", "max_steps": None},
        "parameters": 12345,
        "steps": 60,
        "threads": 1,
        "notes": {"training": 4321, "validation": 2},
        "data": {"train.jsonl": "aaaa", "validation.jsonl": "bbbb"},
        "best": {"step": 40, "eval_f1": 0.6789, "eval_loss": 0.4321, "eval_valid": 1.0, "notes": 33},
        "environment": {"python": "3.11.7", "torch": "2.13.0"},
        "licence": "mit",
    },
}
METRICS: list[dict[str, Any]] = [
    *({"step": step, "loss": 10.0 / step, "tokens": 100, "seconds": 2.0 * step} for step in range(1, 61)),
    {"step": 40, "eval_f1": 0.6789, "eval_loss": 0.4321, "eval_valid": 1.0, "seconds": 126.0},
]


@pytest.fixture
def evaluation(tmp_path: Path) -> dict[str, Any]:
    answer = dict.fromkeys(FIELDS) | {"stage": "IV"}
    notes = [Note("Stage IV.", answer), Note("Stage III.", answer | {"stage": "III"})]
    generated = {"held-out phrasings": {"notes": 7, "micro_f1": 0.8123}, "no cancer": {"notes": 9, "all_null": 0.9876}}
    path = tmp_path / "figures.json"
    save(score(notes, [json.dumps(answer)] * 2, load_prompt().task, resamples=20), path, about={"generated": generated})
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def test_the_card_has_the_figures_of_the_run(evaluation: dict[str, Any]) -> None:
    text = card(RUN, METRICS, evaluation, evaluation, has_curves=True)
    for line in (
        "base_model: owner/base",
        "license: mit",
        "12,345 parameters",
        "| stage | 0.500 | 0.500 | 0.500 | 0.500 | 0.500 |",
        "| cancer_type | - | - | - | - | - |",
        "valid answers: 2 of 2",
        "| held-out phrasings | 7 | 0.812 |  |",
        "| no cancer | 9 |  | 0.988 |",
        "the base without the adapter: micro-F1 0.500 on 2 notes",
        "base, from scratch | 12.1 minutes on 2 CPU threads",
        "60 steps, 2.1 minutes on 1 CPU thread,",
        "tokens, padding included | 6,000",
        "10.000 at the first step, 0.350 over the last 50",
        "step 40: micro-F1 0.679 and loss 0.432 on 33 notes held out of the training notes",
        "4,321 training and 2 validation notes",
        "train.jsonl: aaaa",
        "python 3.11.7, torch 2.13.0",
        'targets: ["q_proj", "v_proj"]',
        "](curves.png)",
    ):
        assert line in text, line
    assert "max_steps" not in text


def test_the_card_leaves_out_what_was_not_measured() -> None:
    text = card({"adapter": RUN["adapter"] | {"licence": None}}, [])
    assert "Not evaluated" in text
    for absent in ("license", "from scratch", "minutes", "training loss", "curves.png"):
        assert absent not in text


def test_the_card_command_needs_a_trained_adapter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["training", "card", "--out", str(tmp_path)])
    assert main() == 1
    assert "no run.json with a trained adapter" in capsys.readouterr().err
    (tmp_path / "run.json").write_text(json.dumps(RUN), encoding="utf-8")
    assert main() == 0
    assert "# LoRA adapter of owner/base" in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_the_same_figures_give_the_same_picture_of_the_curves(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="in the training environment")
    from training.evaluation.curves import draw_curves

    for name in ("one", "two"):
        draw_curves(METRICS, tmp_path / name)
    picture = (tmp_path / "one").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert picture == (tmp_path / "two").read_bytes()
