"""Transformers' Trainer on conversations of which only the answer is a target.

The Trainer and not TRL's SFTTrainer, which renders the chat and pads the batches itself: here the prompt is the
gateway's, and a batch has notes of similar length.
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
from training.model.batching import Batch, pad
from training.model.llama import answer_loss
from training.model.precision import fast_products
from training.run.checkpoints import Checkpoints
from training.run.interruption import Interrupted, stop_requested
from training.run.metrics import MetricsLog
from training.run.progress import Progress
from training.trainers.plan import Plan

Figures = dict[str, float]
_IGNORED = -100  # label of a token that is no target, in PyTorch and Transformers


def training_arguments(config: AdapterConfig, folder: Path, steps: int) -> TrainingArguments:
    """Return the Trainer's arguments.

    Args:
        config: the adapter's configuration.
        folder: folder of the checkpoints.
        steps: number of steps of the whole run.
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
        bf16=on_gpu,  # on a CPU AnswerTrainer casts itself: the Trainer would slow down the evaluations too
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
    """All batches of a run in order, as each epoch has other notes."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        """Take the batches."""
        self._batches = batches

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self._batches)

    def __getitem__(self, index: int) -> Batch:
        """Return a batch by its position."""
        return self._batches[index]


class AnswerTrainer(Trainer):  # type: ignore[misc]
    """A Trainer over a plan of batches."""

    def __init__(
        self,
        model: nn.Module,
        config: AdapterConfig,
        plan: Plan,
        held_out: Sequence[Batch],
        answer: Callable[[], Figures],
        save: Callable[[Path], object],
        padding: int,
        checkpoints: Checkpoints,
        metrics: MetricsLog,
        progress: Progress,
    ) -> None:
        """Set up the training.

        Args:
            model: the base with its adapter.
            config: the adapter's configuration.
            plan: the batches; `config.accumulation` of them make a step.
            held_out: batches for the loss of an evaluation.
            answer: answers the selection notes with the model and returns figures, `eval_f1` among them.
            save: writes the adapter, as it is served, into a folder.
            padding: id of the padding token.
            checkpoints: the folder of the checkpoints.
            metrics: gets the figures of every step and evaluation.
            progress: gets every step.
        """
        self.padding, self.held_out, self.answer, self.save = padding, held_out, answer, save
        self.config, self.checkpoints, self.metrics = config, checkpoints, metrics
        super().__init__(
            model=model,
            args=training_arguments(config, checkpoints.folder, plan.steps),
            train_dataset=_Batches(plan.batches),
            eval_dataset=_Batches(held_out),
            callbacks=[_Bookkeeping(self, progress, plan.steps_per_epoch)],
        )
        self.remove_callback(PrinterCallback)
        # The losses of tokens are divided by the number of answer tokens in all batches of the step.
        self.model_accepts_loss_kwargs = True
        self.loss_is_scaled_for_ga = True
        self.tokens = 0

    def get_train_dataloader(self) -> Any:
        """Return a loader of the plan's batches, padded and in order."""
        return self.accelerator.prepare(
            DataLoader(self.train_dataset, batch_size=1, shuffle=False, collate_fn=self._collate)
        )

    def _collate(self, batches: list[Batch]) -> dict[str, torch.Tensor]:
        tokens, weights = pad(batches[0], self.padding)
        return {"input_ids": tokens, "labels": tokens.masked_fill(weights == 0, _IGNORED)}

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, torch.Tensor], return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:  # fmt: skip
        """Compute the cross entropy of the answers' tokens, as their part of the loss of the whole step."""
        if return_outputs:
            raise NotImplementedError("logits are computed for answers only")
        labels = inputs["labels"]
        self.tokens += labels.numel()
        with fast_products(self.config.device):
            shares_prompt = self.config.attention == "causal_products"
            loss, _ = answer_loss(model, inputs["input_ids"], labels != _IGNORED, shares_prompt)
        if num_items_in_batch is None:
            return loss
        return loss * ((labels[:, 1:] != _IGNORED).sum() / num_items_in_batch)

    def evaluate(self, *_args: Any, **_kwargs: Any) -> Figures:
        """Compute the loss on the selection notes and score the answers to them; keep the adapter if it is the best.

        A request to stop ends the evaluation: the step is then saved, and a resumed run evaluates first.
        """
        if self.state.global_step in self.metrics.evaluated:
            return {}  # the Trainer calls this twice for a step that ends the run
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
        total, count, tokens = 0.0, 0, self.tokens
        with torch.inference_mode():
            for batch in self.held_out:
                if stop_requested():
                    raise Interrupted
                inputs = self._prepare_inputs(self._collate([batch]))
                targets = int((inputs["labels"][:, 1:] != _IGNORED).sum())
                total += self.compute_loss(self.model, inputs).item() * targets
                count += targets
        self.tokens = tokens  # those of training only
        return total / max(1, count)

    def floating_point_ops(self, _inputs: dict[str, Any]) -> int:
        """Return 0: nobody reads this figure."""
        return 0


class _Bookkeeping(TrainerCallback):  # type: ignore[misc]
    """The callback that keeps metrics, progress and checkpoints, and ends the run when it is asked to stop."""

    def __init__(self, trainer: AnswerTrainer, progress: Progress, steps_per_epoch: float) -> None:
        """Start the clock."""
        self._trainer, self._progress = trainer, progress
        self._steps_per_epoch = steps_per_epoch
        self._start = time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
        """Evaluate first in a run that was stopped during an evaluation."""
        step = state.global_step
        due = step > 0 and (step % args.eval_steps == 0 or step == state.max_steps)
        if due:
            self._trainer.evaluate()

    def on_step_end(self, args: Any, state: Any, control: Any, **_kwargs: Any) -> None:
        """Evaluate and save at the last step, whatever its number; save and end the run at a request to stop."""
        if state.global_step >= state.max_steps:
            control.should_evaluate = control.should_save = True
        elif stop_requested():
            control.should_save = control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_kwargs: Any) -> None:
        """Record the figures of a step or an evaluation.

        Raises:
            ConfigError: the training has diverged.
        """
        figures = {key: value for key, value in logs.items() if key != "epoch"}
        if "loss" in figures:
            if not math.isfinite(figures["loss"]):
                raise ConfigError(
                    f"the loss is {figures['loss']} at step {state.global_step}: start again with a lower "
                    "learning_rate or more warmup_steps"
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
        """Mark the checkpoint, which is now written, as complete."""
        self._trainer.checkpoints.mark_complete(state.global_step)
