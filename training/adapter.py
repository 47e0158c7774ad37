"""Training of the LoRA adapter on the extraction task; the loss counts the answer only."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from pathlib import Path

import torch
from loguru import logger
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from tokenizers import Tokenizer

from training.batching import Sample, group_by_length, make_sample, pad
from training.chat import PADDING
from training.config import AdapterConfig, TrainingConfig
from training.dataset import Note
from training.labels import harmonise
from training.lora import add_adapter, save_adapter
from training.model import answer_loss, load_model
from training.notes import drug_names, make_notes, mutation_names
from training.progress import Checkpoint, Progress
from training.prompt import Prompt, render_answer
from training.tokenizer import load_tokenizer
from training.variation import Variation


def note_sample(tokenizer: Tokenizer, prompt: Prompt, note: Note) -> Sample:
    """The conversation on one note; only the answer is to be learnt."""
    return make_sample(tokenizer, ((prompt.render(note.text), False), (render_answer(note.answer), True)))


def _epoch(
    epoch: int, public: Sequence[Note], tokenizer: Tokenizer, prompt: Prompt, config: AdapterConfig
) -> list[list[Sample]]:
    """The batches of one epoch: the public notes, varied, and as many new generated ones as the configuration says."""
    seed = config.seed * 1000 + epoch
    rng = random.Random(seed)
    variation = Variation(mutation_names(), drug_names(), config.variation)
    varied = [variation.apply(note, rng) for note in public]
    generated = make_notes(config.synthetic_notes, config.no_cancer_fraction, seed)
    samples = [note_sample(tokenizer, prompt, note) for note in (*varied, *generated)]
    rng.shuffle(samples)  # which of the equally long ones share a batch
    batches = group_by_length(samples, config.batch_tokens)
    rng.shuffle(batches)
    return batches


def _rate(step: int, steps: int, config: AdapterConfig) -> float:
    """Factor on the learning rate: a straight rise, then a half cosine down to zero."""
    rise = min(1.0, (step + 1) / max(1, config.warmup_steps))
    return rise * 0.5 * (1.0 + math.cos(math.pi * step / steps))


def train_adapter(notes: Sequence[Note], config: TrainingConfig, prompt: Prompt, base: Path, out: Path) -> None:
    """Train an adapter on the base and save it in `out`.

    A run that was stopped goes on from its last checkpoint (in `out`, removed at the end).

    Args:
        notes: public training notes with their answers.
        config: the run's configuration.
        prompt: the prompt that the gateway sends.
        base: folder of the base and its tokenizer.
        out: folder of the adapter.
    """
    settings = config.adapter
    tokenizer = load_tokenizer(base)
    model = add_adapter(load_model(base), settings)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=0.0)
    checkpoint = Checkpoint(out / "checkpoint.pt", config.checkpoint_minutes)
    done = 0
    if (state := checkpoint.load()) is not None:
        set_peft_model_state_dict(model, state["adapter"])
        optimizer.load_state_dict(state["optimizer"])
        done = int(state["done"])

    padding = tokenizer.token_to_id(PADDING)
    public = [harmonise(note) for note in notes]
    plan = [batch for epoch in range(settings.epochs) for batch in _epoch(epoch, public, tokenizer, prompt, settings)]
    logger.info(f"adapter of {sum(p.numel() for p in trained):,} parameters, {len(plan):,} steps")
    progress = Progress("adapter", len(plan), done=done)
    mean_loss: float | None = None
    model.train()
    for step in range(done, len(plan)):
        optimizer.param_groups[0]["lr"] = settings.learning_rate * _rate(step, len(plan), settings)
        tokens, learnt = pad(plan[step], padding)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss, _ = answer_loss(model, tokens, learnt)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        mean_loss = loss.item() if mean_loss is None else 0.97 * mean_loss + 0.03 * loss.item()
        progress.report(step + 1, loss=mean_loss)
        if checkpoint.due():
            adapter = get_peft_model_state_dict(model)
            checkpoint.save({"adapter": adapter, "optimizer": optimizer.state_dict(), "done": step + 1})
    save_adapter(model, out)
    checkpoint.remove()
