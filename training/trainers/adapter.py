"""Training of the LoRA adapter on the extraction task; the loss counts the answer only."""

from __future__ import annotations

import errno
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loguru import logger
from tokenizers import Tokenizer

from training.config import AdapterConfig, ConfigError
from training.data.chat import PADDING
from training.data.dataset import DatasetError, Note
from training.data.labels import harmonise
from training.data.prompt import Prompt, render_answer
from training.evaluation.generation import generate_answers
from training.evaluation.scoring import micro_f1, read_answer
from training.model.base import Base, load_base
from training.model.batching import Sample, group_by_length, make_sample
from training.model.lora import add_adapter, save_adapter
from training.model.tokenizer import load_tokenizer
from training.notes.generator import drug_names, make_notes, mutation_names
from training.notes.variation import Variation
from training.run.checkpoints import Checkpoints, step_of
from training.run.interruption import Interrupted, stop_requested
from training.run.metrics import MetricsLog
from training.run.progress import Progress
from training.trainers.answer_trainer import AnswerTrainer, Batch, Figures


@dataclass(frozen=True)
class Outcome:
    """What a training came to.

    Attributes:
        steps: of the whole run.
        parameters: of the adapter.
        best: figures of the evaluation whose adapter was kept, with its `step` and the number of `notes`.
    """

    steps: int
    parameters: int
    best: dict[str, float]


def note_sample(tokenizer: Tokenizer, prompt: Prompt, note: Note) -> Sample:
    """The conversation on one note; only the answer is to be learnt."""
    return make_sample(tokenizer, ((prompt.render(note.text), False), (render_answer(note.answer), True)))


def split(training: Sequence[Note], validation: Sequence[Note], config: AdapterConfig) -> tuple[list[Note], list[Note]]:
    """The notes to train on, and those that choose the best checkpoint.

    Raises:
        DatasetError: too few training notes to hold some out.
    """
    if config.selection == "validation":
        return list(training), list(validation[: config.selection_notes])
    if len(training) <= config.selection_notes:
        raise DatasetError(
            f"{len(training)} training notes are too few to hold out selection_notes: {config.selection_notes}"
        )
    held_out = set(random.Random(config.seed).sample(range(len(training)), config.selection_notes))
    return (
        [note for i, note in enumerate(training) if i not in held_out],
        [note for i, note in enumerate(training) if i in held_out],
    )


@dataclass(frozen=True)
class Plan:
    """The batches of a whole run in their order, and how many of them the first epoch has."""

    batches: list[Batch]
    per_epoch: int


def plan(notes: Sequence[Note], tokenizer: Tokenizer, prompt: Prompt, config: AdapterConfig) -> Plan:
    """What a run trains on, up to its last step; the same for the same notes and configuration."""
    public = [harmonise(note) for note in notes]
    most = None if config.max_steps is None else config.max_steps * config.accumulation
    batches: list[Batch] = []
    per_epoch = 0
    for epoch in range(config.epochs):
        batches += _epoch(epoch, public, tokenizer, prompt, config)
        per_epoch = per_epoch or len(batches)
        if most is not None and len(batches) >= most:
            break
    return Plan(batches[:most], per_epoch)


def _epoch(
    epoch: int, public: Sequence[Note], tokenizer: Tokenizer, prompt: Prompt, config: AdapterConfig
) -> list[Batch]:
    """The batches of one epoch: the public notes, varied, and as many new generated ones as the configuration says."""
    seed = config.seed * 1000 + epoch
    rng = random.Random(seed)
    variation = Variation(mutation_names(), drug_names(), config.variation)
    varied = [variation.apply(note, rng) for note in public]
    generated = make_notes(config.synthetic_notes, config.no_cancer_fraction, seed)
    samples = [note_sample(tokenizer, prompt, note) for note in (*varied, *generated)]
    short = [sample for sample in samples if len(sample) <= config.max_length]
    if len(short) < len(samples):
        logger.warning(
            f"epoch {epoch + 1}: {len(samples) - len(short)} notes of over {config.max_length} tokens left out"
        )
    rng.shuffle(short)  # which of the equally long ones share a batch
    batches = _batches(short, config)
    rng.shuffle(batches)
    return batches


def _batches(samples: Sequence[Sample], config: AdapterConfig) -> list[Batch]:
    """Batches of notes of like length."""
    if config.batch_tokens is not None:
        return group_by_length(samples, config.batch_tokens)
    size = config.batch_size or 1
    by_length = sorted(samples, key=len)
    return [by_length[start : start + size] for start in range(0, len(by_length), size)]


def train_adapter(
    training: Sequence[Note], validation: Sequence[Note], config: AdapterConfig, prompt: Prompt, base: Base, out: Path,
    run: str,
) -> Outcome:  # fmt: skip
    """Train an adapter on the base and save it in `out/adapter`.

    A run that was stopped goes on from its last checkpoint (in `out/checkpoints`, removed at the end) to the same
    losses. `out/metrics.jsonl`, `out/tensorboard` and `out/progress.json` follow it.

    Args:
        training: public training notes with their answers.
        validation: public validation notes; used only where the configuration chooses the best checkpoint on them.
        config: the adapter's configuration.
        prompt: the prompt that the gateway sends.
        base: the base and its tokenizer.
        out: folder of the run.
        run: the run's fingerprint: checkpoints of another one are refused.

    Raises:
        ConfigError: the base or the device cannot be used, or `out` holds the checkpoints of another run.
        DatasetError: too few training notes.
        OSError: the disk has no room for the checkpoints.
        Interrupted: the process was asked to stop; a checkpoint is saved.
    """
    checkpoints = Checkpoints(out / "checkpoints", run)
    tokenizer = load_tokenizer(base.folder)
    padding = tokenizer.token_to_id(PADDING)
    if padding is None:
        raise ConfigError(f"the tokenizer of {base.name} is not Llama 3.1's: it has no {PADDING}")
    learnt, judged = split(training, validation, config)
    todo = plan(learnt, tokenizer, prompt, config)
    model = add_adapter(load_base(base, config), config)

    def answer() -> Figures:
        raw = generate_answers(model, tokenizer, prompt, [note.text for note in judged], config.max_new_tokens)
        valid = sum(read_answer(text).error is None for text in raw)
        return {"eval_f1": micro_f1(judged, raw), "eval_valid": valid / len(judged)}

    def save(folder: Path) -> None:
        save_adapter(model, folder, base.name)

    steps = -(-len(todo.batches) // config.accumulation)
    latest = checkpoints.latest()
    done = step_of(latest) if latest else 0
    if done == 0:
        shutil.rmtree(out / "tensorboard", ignore_errors=True)
    metrics = MetricsLog(out / "metrics.jsonl", out / "tensorboard", done)
    parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    _check_space(out, parameters, config)
    logger.info(f"adapter of {parameters:,} parameters, {steps:,} steps" + (f", {done:,} of them done" if done else ""))
    progress = Progress("adapter", steps, done=done, file=out / "progress.json")
    held_out = _batches([note_sample(tokenizer, prompt, note) for note in judged], config)
    trainer = AnswerTrainer(
        model, config, todo.batches, held_out, answer, save, padding, checkpoints, metrics, progress, todo.per_epoch
    )
    try:
        trainer.train(resume_from_checkpoint=str(latest) if latest else None)
    finally:
        metrics.close()
    best = checkpoints.best_figures()
    if stop_requested() and (trainer.state.global_step < steps or steps not in metrics.evaluated):
        raise Interrupted
    if best is None:
        raise AssertionError("the last step is always evaluated")
    _put_in_place(checkpoints.best, out / "adapter")
    checkpoints.remove()
    return Outcome(steps, parameters, {**best, "notes": len(judged)})


def _check_space(out: Path, parameters: int, config: AdapterConfig) -> None:
    """Refuse to start what would fill the disk hours later.

    Raises:
        OSError: (ENOSPC) the disk of `out` has no room for the checkpoints.
    """
    checkpoint = parameters * 12  # float32 weights and Adam's two moments
    needed = checkpoint * (config.keep_checkpoints + 2)  # one more while it is written, and the best adapter
    free = shutil.disk_usage(out).free
    if free < needed:
        raise OSError(
            errno.ENOSPC, f"{out} has {free / 1e6:,.0f} MB free, and the checkpoints need {needed / 1e6:,.0f}"
        )


def _put_in_place(best: Path, adapter: Path) -> None:
    adapter.mkdir(parents=True, exist_ok=True)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copyfile(best / name, adapter / name)
        (adapter / name).chmod(0o644)
