"""The plan of an adapter's training: which notes select the best checkpoint, and all batches of the run in order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from loguru import logger
from tokenizers import Tokenizer

from training.config import AdapterConfig
from training.corpora import make_texts
from training.data.dataset import DatasetError, Note
from training.data.labels import harmonise
from training.data.prompt import Prompt, render_answer
from training.model.batching import Batch, Sample, group_by_length, make_sample
from training.notes.grammar import drug_names, mutation_names
from training.notes.variation import Variation


@dataclass(frozen=True)
class Plan:
    """The batches of a run.

    Attributes:
        batches: all batches up to the last step, in order.
        steps: number of steps.
        steps_per_epoch: number of steps of the first epoch, a fraction where an epoch ends within a step.
    """

    batches: list[Batch]
    steps: int
    steps_per_epoch: float


def make_plan(notes: Sequence[Note], tokenizer: Tokenizer, prompt: Prompt, config: AdapterConfig) -> Plan:
    """Make the batches of a run; the same notes and configuration give the same plan."""
    public = [harmonise(note) for note in notes]
    limit = None if config.max_steps is None else config.max_steps * config.accumulation
    batches: list[Batch] = []
    per_epoch = 0
    for epoch in range(config.epochs):
        batches += _epoch(epoch, public, tokenizer, prompt, config)
        per_epoch = per_epoch or len(batches)
        if limit is not None and len(batches) >= limit:
            break
    batches = batches[:limit]
    return Plan(batches, -(-len(batches) // config.accumulation), per_epoch / config.accumulation)


def _epoch(
    epoch: int, public: Sequence[Note], tokenizer: Tokenizer, prompt: Prompt, config: AdapterConfig
) -> list[Batch]:
    """Make the batches of one epoch: the public notes, varied, and the configured number of new generated ones."""
    seed = config.seed * 1000 + epoch
    rng = random.Random(seed)
    variation = Variation(mutation_names(), drug_names(), config.variation)
    varied = [variation.apply(note, rng) for note in public]
    generated = make_texts(prompt.task.name, config.synthetic_notes, config.off_topic_fraction, seed)
    samples = [note_sample(tokenizer, prompt, note) for note in (*varied, *generated)]
    short = [sample for sample in samples if len(sample) <= config.max_length]
    if len(short) < len(samples):
        logger.warning(
            f"epoch {epoch + 1}: {len(samples) - len(short)} notes of over {config.max_length} tokens left out"
        )
    rng.shuffle(short)  # decides which of the equally long ones share a batch
    batches = make_batches(short, config)
    rng.shuffle(batches)
    return batches


def note_sample(tokenizer: Tokenizer, prompt: Prompt, note: Note) -> Sample:
    """Encode the conversation on one note; only the answer is a target."""
    return make_sample(tokenizer, ((prompt.render(note.text), 0), (render_answer(note.answer), 1)))


def make_batches(samples: Sequence[Sample], config: AdapterConfig) -> list[Batch]:
    """Batch samples of similar length, by the configured number of tokens or of notes."""
    if config.batch_tokens is not None:
        return group_by_length(samples, config.batch_tokens)
    size = config.batch_size or 1
    by_length = sorted(samples, key=len)
    return [by_length[start : start + size] for start in range(0, len(by_length), size)]


def split(training: Sequence[Note], validation: Sequence[Note], config: AdapterConfig) -> tuple[list[Note], list[Note]]:
    """Split off the notes that select the best checkpoint.

    Returns:
        The notes to train on, and the selection notes.

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
