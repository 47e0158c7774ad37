"""The stages of a run, one for each command; OUT/run.json records which are complete."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import sys
import time
from argparse import Namespace
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loguru import logger

from gateway.files.writing import same_as_any, status_of
from training.config import ConfigError, RunConfig, TrainingConfig, load_config, load_run_config
from training.corpora import make_distinct
from training.data.dataset import DatasetError, Note, load_notes
from training.data.leaks import check_no_leak
from training.data.prompt import Prompt, load_prompt, render_record
from training.data.report import as_text, examine
from training.evaluation.bars import as_text as bars_as_text
from training.evaluation.bars import check_met, check_names
from training.evaluation.bars import compare as compare_with_bars
from training.patterns import Split
from training.run.checkpoints import fingerprint
from training.run.files import write_json, write_text

# The stages import the others themselves: torch takes seconds, and checking data does without it.
if TYPE_CHECKING:
    from training.model.base import Base

_LIBRARIES = ("torch", "transformers", "peft", "tokenizers")
_BASE_FILES = ("model.safetensors", "tokenizer.json")
_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


class _Inputs:
    """The inputs of every stage, checked before any of them starts."""

    def __init__(self, args: Namespace) -> None:
        """Read and check the configuration, the prompt and the data."""
        self.args = args
        self.out: Path = args.out
        _refuse_input("--answers", getattr(args, "answers", None), args.data)
        self.config: RunConfig = load_run_config(args.config)
        if getattr(args, "max_steps", None):
            adapter = self.config.adapter.model_copy(update={"max_steps": args.max_steps})
            self.config = self.config.model_copy(update={"adapter": adapter})
        self.prompt: Prompt = load_prompt(self.config.task)
        check_names(self.config.bars, self.prompt.task.name)
        folder: Path = args.data
        self.training: list[Note] = load_notes(folder / "train.jsonl", self.prompt.task)
        self.validation: list[Note] = load_notes(folder / "validation.jsonl", self.prompt.task)
        check_no_leak(dict(enumerate(self.training, 1)), dict(enumerate(self.validation, 1)))
        self.data = {name: _digest(folder / name) for name in ("train.jsonl", "validation.jsonl")}
        logger.info(f"{len(self.training)} training notes, {len(self.validation)} validation notes")

    def pretraining(self) -> TrainingConfig:
        """Return the configuration of a run that trains its base."""
        return load_config(self.args.config)

    def base(self) -> Base:
        """Find the base that the command line or the configuration names, else that of this run."""
        from training.model.base import find_base
        from training.model.lora import SMALL_BASE

        source = getattr(self.args, "base", None) or self.config.base or str(self.out / "base")
        name = SMALL_BASE if isinstance(self.config, TrainingConfig) else self.config.base_name or Path(source).name
        return find_base(source, name)

    def start(self) -> None:
        """Do what is slow or writes, after all inputs have been checked."""
        import torch

        torch.set_num_threads(self.args.threads)
        self.out.mkdir(parents=True, exist_ok=True)


def _refuse_input(argument: str, output: Path | None, data: Path) -> None:
    """Refuse an output that would replace a file of the data.

    Raises:
        DatasetError: it would.
    """
    status = None if output is None else status_of(output)
    files = [data / "train.jsonl", data / "validation.jsonl"]
    if status is not None and (same := same_as_any(status, files)):
        raise DatasetError(f"{argument} {output} is {same}, which the command reads: give another file")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _has_all(folder: Path, files: tuple[str, ...]) -> bool:
    return all((folder / name).is_file() for name in files)


class _Record:
    """OUT/run.json: for every complete stage, what it was made with and its outcome."""

    def __init__(self, out: Path) -> None:
        """Take the folder of the run."""
        self._path = out / "run.json"

    def read(self) -> dict[str, Any]:
        """Return the record by stage; it is empty before the first one is complete."""
        return json.loads(self._path.read_text(encoding="utf-8")) if self._path.exists() else {}

    def write(self, stage: str, **facts: Any) -> None:
        """Record that a stage is complete."""
        libraries = {name: importlib.metadata.version(name) for name in _LIBRARIES}
        environment = {"python": platform.python_version(), **libraries}
        write_json(self._path, self.read() | {stage: {**facts, "environment": environment}})

    def is_complete(self, stage: str, run: str, folder: Path, files: tuple[str, ...]) -> bool:
        """Tell whether a stage is complete for this fingerprint, with its files in the folder."""
        if self.read().get(stage, {}).get("fingerprint") != run or not _has_all(folder, files):
            return False
        logger.info(f"{folder} is complete for this configuration and data: skipping {stage}")
        return True


def run(args: Namespace) -> None:
    """Run all stages; that of the base only where the configuration trains one."""
    inputs = _Inputs(args)
    trains_base = isinstance(inputs.config, TrainingConfig)
    if not trains_base:
        inputs.base()
    inputs.start()
    if trains_base:
        _pretrain(inputs)
    _adapter(inputs)
    _evaluate(inputs)


def pretrain(args: Namespace) -> None:
    """Train the base alone."""
    inputs = _Inputs(args)
    inputs.pretraining()
    inputs.start()
    _pretrain(inputs)


def adapter(args: Namespace) -> None:
    """Train the adapter alone."""
    inputs = _Inputs(args)
    inputs.start()
    _adapter(inputs)


def evaluate(args: Namespace) -> None:
    """Evaluate alone."""
    inputs = _Inputs(args)
    inputs.start()
    _evaluate(inputs)


def check_data(args: Namespace) -> None:
    """Report the data's problems, leaks and inconsistent labels.

    Raises:
        DatasetError: the data cannot be used for training.
    """
    _refuse_input("--out", args.out, args.data)
    report = examine(args.data, load_prompt(args.task))
    sys.stdout.write(as_text(report, args.groups))
    if args.out is not None:
        write_json(args.out, report.as_json())
    if not report.is_usable:
        raise DatasetError("the data cannot be used: see the problems and leaks above")


def make_data(args: Namespace) -> None:
    """Write train.jsonl from a task's grammar, and validation.jsonl with its held-out phrasings and values.

    Raises:
        DatasetError: the task has no grammar, or too small a one.
    """
    prompt = load_prompt(args.task)
    parts: tuple[tuple[str, int, Split], ...] = (
        ("train", args.training, "training"),
        ("validation", args.validation, "both"),
    )
    for name, count, split in parts:
        notes = make_distinct(prompt.task.name, count, args.off_topic, args.seed, split)
        write_text(args.out / f"{name}.jsonl", "".join(render_record(note, prompt.task) for note in notes))
    logger.info(f"{args.out} has {args.training} training and {args.validation} validation texts of {prompt.task.name}")


def generate(args: Namespace) -> None:
    """Ask a service for examples of a task.

    Raises:
        DatasetError: a file holds something else than examples of the task.
        ConfigError: the file of the key cannot be read.
    """
    from training.generation.collect import Budget, Collection, collect
    from training.generation.service import Service

    prompt = load_prompt(args.task)
    known = [note.text for path in args.distinct_from for note in load_notes(path, prompt.task)]
    options = {"temperature": args.temperature, "max_tokens": args.answer_tokens}
    key = _key(args.key_file)
    with (
        closing(Collection(args.out, prompt.task)) as collection,
        closing(Service(args.url, args.model, key, retries=args.retries, options=options)) as service,
    ):
        collect(
            service, collection, args.count, Budget(args.requests, args.tokens), at_once=args.at_once,
            format_=args.response_format, known=known, seed=args.seed,
        )  # fmt: skip


def _key(path: Path | None) -> str | None:
    """Read the key of a service; never from an argument, which other users of the machine can read."""
    if path is None:
        return os.environ.get("OPENAI_API_KEY", "").strip() or None
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the key in {path}: {error}") from error


def gguf(args: Namespace) -> None:
    """Write a model as GGUF.

    Raises:
        ExportError: the model, the adapter or the type cannot be used.
    """
    from training.export.file import write_gguf

    if not write_gguf(args.base, args.adapter, args.type, args.out):
        logger.warning(
            "llama.cpp has no rules for this tokenizer: some texts are cut into other tokens than the model was "
            "trained with (docs/engines.md); compare the answers before it is used"
        )


def card(args: Namespace) -> None:
    """Write the card and the curves from the files of a run."""
    _write_card(args.out)


def _pretrain(inputs: _Inputs) -> None:
    from training.trainers import pretrain as stage
    from training.trainers.plan import split

    config, record = inputs.pretraining(), _Record(inputs.out)
    learning, selection = split(inputs.training, inputs.validation, config.adapter)
    this_run = stage.fingerprint_of_base(learning, config, inputs.prompt)
    base = inputs.out / "base"
    if record.is_complete("base", this_run, base, _BASE_FILES):
        return
    resumed, start = (base / "checkpoint.pt").exists(), time.monotonic()
    logger.info(f"training on {len(learning)} notes, without the {len(selection)} that select the best adapter")
    stage.pretrain(learning, config, inputs.prompt, base, inputs.args.threads)
    seconds = None if resumed else round(time.monotonic() - start)
    record.write("base", fingerprint=this_run, seconds=seconds, threads=inputs.args.threads)


def _adapter(inputs: _Inputs) -> None:
    from training.trainers.adapter import train_adapter

    config, record, base = inputs.config.adapter, _Record(inputs.out), inputs.base()
    this_run = fingerprint(config.model_dump(), base.name, base.revision, inputs.data, inputs.prompt.render(""))
    if record.is_complete("adapter", this_run, inputs.out / "adapter", _ADAPTER_FILES):
        return
    outcome = train_adapter(inputs.training, inputs.validation, config, inputs.prompt, base, inputs.out, this_run)
    record.write(
        "adapter",
        fingerprint=this_run,
        threads=inputs.args.threads,
        base={"name": base.name, "revision": base.revision},
        data=inputs.data,
        notes={"training": len(inputs.training), "validation": len(inputs.validation)},
        config=config.model_dump(),
        steps=outcome.steps,
        parameters=outcome.parameters,
        best=outcome.best,
        licence=inputs.config.licence,
        task={"name": inputs.prompt.task.name, "description": inputs.prompt.task.description},
    )
    _write_card(inputs.out)


def _evaluate(inputs: _Inputs) -> None:
    from training.evaluation import generated
    from training.evaluation.evaluate import answer_and_score, answer_notes
    from training.evaluation.scoring import report, save

    args, base = inputs.args, inputs.base()
    folder = None if args.base_only else inputs.out / "adapter"
    if folder is not None and not _has_all(folder, _ADAPTER_FILES):
        raise ConfigError(f"there is no adapter in {folder}: train one with `adapter`, or use --base-only")
    notes = inputs.validation[: args.limit]
    evaluation, figures = answer_and_score(base.folder, folder, notes, inputs.prompt, args.answers)
    sys.stdout.write(report(evaluation))
    scores = generated.score_generated(
        lambda texts: answer_notes(base.folder, folder, texts, inputs.prompt), inputs.prompt, args.generated
    )
    sys.stdout.write(generated.as_text(scores))
    figures["micro_f1"] = evaluation.value("exact/micro/f1") or 0.0
    # The base alone is measured for comparison, and part of the notes says nothing sure.
    bars = () if folder is None or args.limit else inputs.config.bars
    compared = compare_with_bars(bars, {"validation": figures, **scores})
    sys.stdout.write(bars_as_text(compared))
    about = {
        "base": base.name, "revision": base.revision, "adapter": folder is not None, "task": inputs.prompt.task.name,
        "generated": scores, "bars": compared,
    }  # fmt: skip
    name = "evaluation-base.json" if args.base_only else "evaluation.json"
    save(evaluation, inputs.out / name, about=about)
    if "adapter" in _Record(inputs.out).read():
        _write_card(inputs.out)
    check_met(compared)


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
