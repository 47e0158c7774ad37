"""Fine-tuning of the LoRA adapter on the extraction task; the loss is over the answer only."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

from training.config import AdapterConfig, ConfigError
from training.data.chat import PADDING
from training.data.dataset import Note
from training.data.prompt import Prompt
from training.evaluation.generation import generate_answers
from training.evaluation.scoring import micro_f1, read_answer
from training.model.base import Base, load_base
from training.model.lora import add_adapter, save_adapter
from training.model.tokenizer import load_tokenizer
from training.run.checkpoints import Checkpoints, step_of
from training.run.interruption import Interrupted, stop_requested
from training.run.metrics import MetricsLog
from training.run.progress import Progress
from training.trainers.answer_trainer import AnswerTrainer, Figures
from training.trainers.plan import make_batches, make_plan, note_sample, split


@dataclass(frozen=True)
class Outcome:
    """The outcome of a training.

    Attributes:
        steps: number of steps of the whole run.
        parameters: number of parameters of the adapter.
        best: figures of the evaluation whose adapter was kept, with its `step` and the number of `notes`.
    """

    steps: int
    parameters: int
    best: dict[str, float]


def train_adapter(
    training: Sequence[Note], validation: Sequence[Note], config: AdapterConfig, prompt: Prompt, base: Base, out: Path,
    run: str,
) -> Outcome:  # fmt: skip
    """Train an adapter on the base and save it in `out/adapter`.

    A run that was stopped resumes from its last checkpoint (in `out/checkpoints`, removed at the end) with the losses
    of an uninterrupted one. Its course is in `out/metrics.jsonl`, `out/tensorboard` and `out/progress.json`.

    Args:
        training: public training notes with their answers.
        validation: public validation notes; used only where the configuration selects the best checkpoint on them.
        config: the adapter's configuration.
        prompt: the prompt that the gateway sends.
        base: the base and its tokenizer.
        out: folder of the run.
        run: the run's fingerprint; checkpoints of another run are refused.

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
        raise ConfigError(f"the tokenizer of {base.name} is not that of Llama 3.1: it has no {PADDING}")
    learning, selection = split(training, validation, config)
    plan = make_plan(learning, tokenizer, prompt, config)
    model = add_adapter(load_base(base, config), config)

    def answer() -> Figures:
        raw = generate_answers(model, tokenizer, prompt, [note.text for note in selection], config.max_new_tokens)
        valid = sum(read_answer(text, prompt.task).error is None for text in raw)
        return {"eval_f1": micro_f1(selection, raw, prompt.task), "eval_valid": valid / len(selection)}

    def save(folder: Path) -> None:
        save_adapter(model, folder, base.name)

    latest = checkpoints.latest()
    done = step_of(latest) if latest else 0
    if done == 0:
        shutil.rmtree(out / "tensorboard", ignore_errors=True)
    metrics = MetricsLog(out / "metrics.jsonl", out / "tensorboard", done)
    parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    _check_space(out, parameters, config)
    resumed = f", {done:,} of them done" if done else ""
    logger.info(f"adapter of {parameters:,} parameters, {plan.steps:,} steps{resumed}")
    progress = Progress("adapter", plan.steps, done=done, file=out / "progress.json")
    held_out = make_batches([note_sample(tokenizer, prompt, note) for note in selection], config)
    trainer = AnswerTrainer(model, config, plan, held_out, answer, save, padding, checkpoints, metrics, progress)
    try:
        trainer.train(resume_from_checkpoint=str(latest) if latest else None)
    finally:
        metrics.close()
    best = checkpoints.best_figures()
    if stop_requested() and (trainer.state.global_step < plan.steps or plan.steps not in metrics.evaluated):
        raise Interrupted
    if best is None:
        raise AssertionError("the last step is always evaluated")
    _copy_adapter(checkpoints.best, out / "adapter")
    checkpoints.remove()
    return Outcome(plan.steps, parameters, {**best, "notes": len(selection)})


def _check_space(out: Path, parameters: int, config: AdapterConfig) -> None:
    """Make sure at the start that the disk has room for the checkpoints.

    Raises:
        OSError: (ENOSPC) the disk of `out` has no room for them.
    """
    checkpoint = parameters * 12  # float32 weights and Adam's two moments
    needed = checkpoint * (config.keep_checkpoints + 2)  # one more while it is written, and the best adapter
    free = shutil.disk_usage(out).free
    if free < needed:
        raise OSError(
            errno.ENOSPC, f"{out} has {free / 1e6:,.0f} MB free, and the checkpoints need {needed / 1e6:,.0f}"
        )


def _copy_adapter(best: Path, adapter: Path) -> None:
    adapter.mkdir(parents=True, exist_ok=True)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copyfile(best / name, adapter / name)
        (adapter / name).chmod(0o644)
