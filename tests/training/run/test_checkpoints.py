"""An adapter's checkpoints: the newest complete one, and the best adapter."""

from __future__ import annotations

from pathlib import Path

from training.run.checkpoints import Checkpoints


def test_an_incomplete_checkpoint_is_not_resumed_from_and_is_deleted(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "run")
    assert checkpoints.latest() is None
    for step in (4, 8, 12):
        (tmp_path / f"checkpoint-{step}").mkdir()
    checkpoints.mark_complete(4)
    checkpoints.mark_complete(8)
    assert checkpoints.latest() == tmp_path / "checkpoint-8"
    assert not (tmp_path / "checkpoint-12").exists()


def test_the_best_adapter_is_the_first_with_the_highest_f1(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "run")
    for step, f1 in ((1, 0.2), (2, 0.5), (3, 0.5), (4, 0.4)):

        def save(folder: Path, step: int = step) -> None:
            folder.mkdir()
            (folder / "weights").write_text(str(step), encoding="utf-8")

        checkpoints.offer(save, step, {"eval_f1": f1})
    assert checkpoints.best_figures() == {"step": 2, "eval_f1": 0.5}
    assert (checkpoints.best / "weights").read_text(encoding="utf-8") == "2"
