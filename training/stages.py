"""The stages of a run, as the command line starts them; OUT/run.json remembers which are done."""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import platform
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loguru import logger

from training.config import ConfigError, RunConfig, TrainingConfig, load_config, load_run_config
from training.data.dataset import DatasetError, Note, load_notes
from training.data.leaks import check_no_leak
from training.data.prompt import Prompt, load_prompt
from training.run.progress import write_json

if TYPE_CHECKING:
    from training.model.base import Base

_LIBRARIES = ("torch", "transformers", "peft", "tokenizers")
_BASE_FILES = ("model.safetensors", "tokenizer.json")
_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


class _Run:
    """What every stage needs, checked before any of them starts."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.out: Path = options.out
        self.config: RunConfig = load_run_config(options.config)
        if getattr(options, "max_steps", None):
            adapter = self.config.adapter.model_copy(update={"max_steps": options.max_steps})
            self.config = self.config.model_copy(update={"adapter": adapter})
        self.prompt: Prompt = load_prompt()
        folder: Path = options.data
        self.training: list[Note] = load_notes(folder / "train.jsonl", self.prompt.instruction)
        self.validation: list[Note] = load_notes(folder / "validation.jsonl", self.prompt.instruction)
        check_no_leak(dict(enumerate(self.training, 1)), dict(enumerate(self.validation, 1)))
        self.data = {name: _digest(folder / name) for name in ("train.jsonl", "validation.jsonl")}
        logger.info(f"{len(self.training)} training notes, {len(self.validation)} validation notes")

    def pretraining(self) -> TrainingConfig:
        return load_config(self.options.config)

    def base(self) -> Base:
        from training.model.base import find_base
        from training.model.lora import SMALL_BASE

        source = getattr(self.options, "base", None) or self.config.base or str(self.out / "base")
        return find_base(source, SMALL_BASE if isinstance(self.config, TrainingConfig) else Path(source).name)

    def start(self) -> None:
        """What is slow, or writes: after the inputs have been checked."""
        import torch

        torch.set_num_threads(self.options.threads)
        self.out.mkdir(parents=True, exist_ok=True)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _has_all(folder: Path, files: tuple[str, ...]) -> bool:
    return all((folder / name).is_file() for name in files)


class _Record:
    """OUT/run.json: of every stage that is done, what it was made with and what it took."""

    def __init__(self, out: Path) -> None:
        self._path = out / "run.json"

    def read(self) -> dict[str, Any]:
        return json.loads(self._path.read_text(encoding="utf-8")) if self._path.exists() else {}

    def write(self, stage: str, **facts: Any) -> None:
        libraries = {name: importlib.metadata.version(name) for name in _LIBRARIES}
        environment = {"python": platform.python_version(), **libraries}
        write_json(self._path, self.read() | {stage: {**facts, "environment": environment}})

    def is_done(self, stage: str, fingerprint: str, folder: Path, files: tuple[str, ...]) -> bool:
        done = self.read().get(stage, {}).get("fingerprint") == fingerprint
        if not done or not _has_all(folder, files):
            return False
        logger.info(f"{folder} is complete for this configuration and data: {stage} is not done again")
        return True


def run(options: argparse.Namespace) -> None:
    """All stages."""
    chosen = _Run(options)
    chosen.pretraining()
    chosen.start()
    _pretrain(chosen)
    _adapter(chosen)
    _evaluate(chosen)


def pretrain(options: argparse.Namespace) -> None:
    """The base alone."""
    chosen = _Run(options)
    chosen.pretraining()
    chosen.start()
    _pretrain(chosen)


def adapter(options: argparse.Namespace) -> None:
    """The adapter alone."""
    chosen = _Run(options)
    chosen.start()
    _adapter(chosen)


def evaluate(options: argparse.Namespace) -> None:
    """The evaluation alone."""
    chosen = _Run(options)
    chosen.start()
    _evaluate(chosen)


def check_data(options: argparse.Namespace) -> None:
    """The data's problems, leaks and inconsistent labels.

    Raises:
        DatasetError: the data cannot be used for training.
    """
    from training.data.report import as_text, examine

    report = examine(options.data, load_prompt())
    sys.stdout.write(as_text(report, options.groups))
    if options.out is not None:
        write_json(options.out, report.as_json())
    if not report.is_usable:
        raise DatasetError("the data cannot be used: see the problems and leaks above")


def card(options: argparse.Namespace) -> None:
    """Card and curves from what there is."""
    _write_card(options.out)


def _pretrain(chosen: _Run) -> None:
    from training.trainers import pretrain as stage
    from training.trainers.adapter import split

    config, record = chosen.pretraining(), _Record(chosen.out)
    learnt, judged = split(chosen.training, chosen.validation, config.adapter)
    mark = stage.fingerprint_of_base(learnt, config, chosen.prompt)
    base = chosen.out / "base"
    if record.is_done("base", mark, base, _BASE_FILES):
        return
    resumed, start = (base / "checkpoint.pt").exists(), time.monotonic()
    logger.info(f"{len(learnt)} notes to learn from; the {len(judged)} that choose the best adapter are not among them")
    stage.pretrain(learnt, config, chosen.prompt, base, chosen.options.threads)
    seconds = None if resumed else round(time.monotonic() - start)
    record.write("base", fingerprint=mark, seconds=seconds, threads=chosen.options.threads)


def _adapter(chosen: _Run) -> None:
    from training.run.checkpoints import fingerprint
    from training.trainers.adapter import train_adapter

    config, record, base = chosen.config.adapter, _Record(chosen.out), chosen.base()
    prompt = chosen.prompt.render("")
    mark = fingerprint(config.model_dump(), base.name, base.revision, chosen.data, prompt)
    if record.is_done("adapter", mark, chosen.out / "adapter", _ADAPTER_FILES):
        return
    outcome = train_adapter(chosen.training, chosen.validation, config, chosen.prompt, base, chosen.out, mark)
    record.write(
        "adapter",
        fingerprint=mark,
        threads=chosen.options.threads,
        base={"name": base.name, "revision": base.revision},
        data=chosen.data,
        notes={"training": len(chosen.training), "validation": len(chosen.validation)},
        config=config.model_dump(),
        steps=outcome.steps,
        parameters=outcome.parameters,
        best=outcome.best,
        licence=chosen.config.licence,
    )
    _write_card(chosen.out)


def _evaluate(chosen: _Run) -> None:
    from training.evaluation.evaluate import answer_notes
    from training.evaluation.evaluate import evaluate as answer_and_score
    from training.evaluation.generated import as_text, score_generated
    from training.evaluation.scoring import report, save

    options, base = chosen.options, chosen.base()
    folder = None if options.base_only else chosen.out / "adapter"
    if folder is not None and not _has_all(folder, _ADAPTER_FILES):
        raise ConfigError(f"there is no adapter in {folder}: train one with `adapter`, or give --base-only")
    evaluation = answer_and_score(
        base.folder, folder, chosen.validation[: options.limit], chosen.prompt, options.answers
    )
    sys.stdout.write(report(evaluation))
    about: dict[str, Any] = {"base": base.name, "revision": base.revision, "adapter": folder is not None}
    generated = score_generated(
        lambda texts: answer_notes(base.folder, folder, texts, chosen.prompt), options.generated
    )
    sys.stdout.write(as_text(generated))
    about["generated"] = generated
    name = "evaluation-base.json" if options.base_only else "evaluation.json"
    save(evaluation, chosen.out / name, about=about)
    if "adapter" in _Record(chosen.out).read():
        _write_card(chosen.out)


def _write_card(out: Path) -> None:
    from training.evaluation.card import write_card
    from training.evaluation.curves import draw_curves
    from training.run.metrics import read_metrics

    metrics = read_metrics(out / "metrics.jsonl")
    try:
        if metrics:
            draw_curves(metrics, out / "curves.png")
    except ModuleNotFoundError as error:
        logger.warning(f"no picture of the curves: {error.name} is not installed")
    logger.info(f"the model card is {write_card(out)}")
