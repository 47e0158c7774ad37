"""Transformers' Trainer on conversations of which only the answer is learnt.

The Trainer and not TRL's SFTTrainer: that one renders the chat and pads the batches by itself, and here the prompt is
the gateway's and a batch is made of notes of like length.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from training.config import AdapterConfig, ConfigError
from training.model.batching import Sample, pad
from training.model.llama import answer_loss
from training.run.checkpoints import Checkpoints
from training.run.interruption import Interrupted, stop_requested
from training.run.metrics import MetricsLog
from training.run.progress import Progress

Batch = list[Sample]
Figures = dict[str, float]
_IGNORED = -100  # what PyTorch and Transformers mark a token with that is no target


def training_arguments(config: AdapterConfig, folder: Path, steps: int) -> TrainingArguments:
    """What the Trainer is told.

    Args:
        config: the adapter's configuration.
        folder: of the checkpoints.
        steps: of the whole run.
    """
    on_gpu = config.device == "cuda"
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=config.batch_size or 1,
        gradient_accumulation_steps=config.accumulation,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.schedule,
        warmup_steps=config.warmup_steps,
        optim=config.optimizer,
        adam_beta2=config.beta2,
        weight_decay=0.0,
        max_grad_norm=1.0,
        bf16=on_gpu,  # on the CPU AnswerTrainer casts by itself: the Trainer would slow down the evaluations too
        activation_checkpointing=config.gradient_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if config.gradient_checkpointing else None,
        eval_strategy="steps",
        eval_steps=config.eval_steps,
        save_strategy="steps",
        save_steps=config.save_steps,
        save_total_limit=config.keep_checkpoints,
        logging_steps=1,  # so that a resumed run can be compared step by step
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=on_gpu,
        use_cpu=not on_gpu,
        seed=config.seed,
    )


class _Batches(Dataset[Batch]):  # type: ignore[misc]
    """All batches of a run, in their order: an epoch may have other notes than the one before."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Batch:
        return self._batches[index]


class AnswerTrainer(Trainer):  # type: ignore[misc]
    """A Trainer over a plan of batches.

    Args:
        model: the base with its adapter.
        config: the adapter's configuration.
        plan: the batches; `config.accumulation` of them make a step.
        held_out: batches for the evaluation's loss.
        answer: answers the notes of the evaluation with the model, and gives their figures, `eval_f1` among them.
        save: writes the adapter, as it is to be served, into a folder.
        padding: id of the token that fills a batch up.
        checkpoints: where they are.
        metrics: where the figures go.
        progress: told of every step.
        batches_per_epoch: of the first epoch; what the metrics count epochs with.
    """

    def __init__(
        self,
        model: nn.Module,
        config: AdapterConfig,
        plan: Sequence[Batch],
        held_out: Sequence[Batch],
        answer: Callable[[], Figures],
        save: Callable[[Path], object],
        padding: int,
        checkpoints: Checkpoints,
        metrics: MetricsLog,
        progress: Progress,
        batches_per_epoch: int,
    ) -> None:
        self.padding, self.held_out, self.answer, self.save = padding, held_out, answer, save
        self.config, self.checkpoints, self.metrics = config, checkpoints, metrics
        steps = -(-len(plan) // config.accumulation)
        super().__init__(
            model=model,
            args=training_arguments(config, checkpoints.folder, steps),
            train_dataset=_Batches(plan),
            eval_dataset=_Batches(held_out),
            callbacks=[_Bookkeeping(self, progress, batches_per_epoch / config.accumulation)],
        )
        self.remove_callback(PrinterCallback)
        # Tokens' losses are divided by the number of answer tokens in all batches of the step.
        self.model_accepts_loss_kwargs = True
        self.loss_is_scaled_for_ga = True
        self.tokens = 0

    def get_train_dataloader(self) -> Any:
        """The plan's batches, padded, in their order."""
        return self.accelerator.prepare(
            DataLoader(self.train_dataset, batch_size=1, shuffle=False, collate_fn=self._collate)
        )

    def _collate(self, batches: list[Batch]) -> dict[str, torch.Tensor]:
        tokens, learnt = pad(batches[0], self.padding)
        return {"input_ids": tokens, "labels": tokens.masked_fill(~learnt, _IGNORED)}

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, torch.Tensor], return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:  # fmt: skip
        """Cross entropy over the answers' tokens, as a share of those of the whole step."""
        if return_outputs:
            raise NotImplementedError("only answers' places have logits")
        labels = inputs["labels"]
        self.tokens += labels.numel()
        with torch.autocast(self.config.device, dtype=torch.bfloat16):
            loss, _ = answer_loss(model, inputs["input_ids"], labels != _IGNORED)
        if num_items_in_batch is None:
            return loss
        return loss * ((labels[:, 1:] != _IGNORED).sum() / num_items_in_batch)

    def evaluate(self, *_args: Any, **_kwargs: Any) -> Figures:
        """Loss on the held-out notes, and how right the answers to them are; the best adapter so far is kept.

        A request to stop ends it: the step is then saved, and a resumed run evaluates first.
        """
        if self.state.global_step in self.metrics.evaluated:
            return {}  # the Trainer comes twice to a step that ends the run
        try:
            figures = {"eval_loss": self._held_out_loss(), **self.answer()}
        except Interrupted:
            self.control.should_save = self.control.should_training_stop = True
            return {}
        self.log(dict(figures))
        self.checkpoints.offer(self.save, self.state.global_step, figures)
        return figures

    def _held_out_loss(self) -> float:
        self.model.eval()
        total, count, trained = 0.0, 0, self.tokens
        with torch.inference_mode():
            for batch in self.held_out:
                if stop_requested():
                    raise Interrupted
                inputs = self._prepare_inputs(self._collate([batch]))
                targets = int((inputs["labels"][:, 1:] != _IGNORED).sum())
                total += self.compute_loss(self.model, inputs).item() * targets
                count += targets
        self.tokens = trained
        return total / max(1, count)

    def floating_point_ops(self, _inputs: dict[str, Any]) -> int:
        """Nobody reads this figure: it is not counted."""
        return 0


class _Bookkeeping(TrainerCallback):  # type: ignore[misc]
    """Metrics, progress, whole checkpoints, and the end of the run when it is asked to stop."""

    def __init__(self, trainer: AnswerTrainer, progress: Progress, steps_per_epoch: float) -> None:
        self._trainer, self._progress = trainer, progress
        self._steps_per_epoch = steps_per_epoch
        self._start = time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
        """A run that was stopped while it evaluated does that first."""
        step = state.global_step
        due = step > 0 and (step % args.eval_steps == 0 or step == state.max_steps)
        if due:
            self._trainer.evaluate()

    def on_step_end(self, args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
        """The last step is evaluated and saved whatever its number; a request to stop saves and ends the run."""
        if state.global_step >= state.max_steps:
            control.should_evaluate = control.should_save = True
        elif stop_requested():
            control.should_save = control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_kwargs: Any) -> None:
        """Every step's figures and every evaluation's.

        Raises:
            ConfigError: the training has diverged.
        """
        figures = {key: value for key, value in logs.items() if key != "epoch"}
        if "loss" in figures:
            if not math.isfinite(figures["loss"]):
                raise ConfigError(
                    f"the loss is no number any more at step {state.global_step}: lower learning_rate or lengthen "
                    "warmup_steps, and start anew"
                )
            self._write(state, tokens=self._trainer.tokens, **figures)
            self._trainer.tokens = 0
            self._progress.report(state.global_step, loss=figures["loss"])
        elif "eval_f1" in figures:
            self._write(state, **figures)

    def _write(self, state: Any, **figures: float) -> None:
        epoch = round(state.global_step / self._steps_per_epoch, 4)
        seconds = self._trainer.metrics.seconds + time.monotonic() - self._start
        self._trainer.metrics.write(state.global_step, epoch=epoch, seconds=round(seconds, 2), **figures)

    def on_save(self, args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
        """The checkpoint is written to its end."""
        self._trainer.checkpoints.mark_complete(state.global_step)
