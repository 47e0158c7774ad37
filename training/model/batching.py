"""Token sequences of different lengths as padded batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer

from training.model.tokenizer import encode


@dataclass(frozen=True)
class Sample:
    """One sequence: its token ids, and how much each of them counts as a target, 0 to 1."""

    tokens: list[int]
    learnt: list[float]

    def __len__(self) -> int:
        return len(self.tokens)


def make_sample(tokenizer: Tokenizer, parts: Iterable[tuple[str, float]]) -> Sample:
    """Tokens of consecutive parts of a text, each with how much it counts as a target; True is 1, False 0."""
    tokens: list[int] = []
    learnt: list[float] = []
    for text, weight in parts:
        ids = encode(tokenizer, text)
        tokens += ids
        learnt += [float(weight)] * len(ids)
    return Sample(tokens, learnt)


def pad(samples: Sequence[Sample], padding: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids, and which of them are targets at all, as tensors: batch x longest, padded on the right."""
    longest = max(map(len, samples))
    tokens = torch.full((len(samples), longest), padding, dtype=torch.long)
    learnt = torch.zeros((len(samples), longest), dtype=torch.bool)
    for row, sample in enumerate(samples):
        tokens[row, : len(sample)] = torch.tensor(sample.tokens)
        learnt[row, : len(sample)] = torch.tensor(sample.learnt) > 0
    return tokens, learnt


def weights(samples: Sequence[Sample]) -> torch.Tensor:
    """How much each token counts as a target, in the shape of `pad`."""
    longest = max(map(len, samples))
    counted = torch.zeros((len(samples), longest))
    for row, sample in enumerate(samples):
        counted[row, : len(sample)] = torch.tensor(sample.learnt)
    return counted


def group_by_length(samples: Sequence[Sample], batch_tokens: int) -> list[list[Sample]]:
    """Batches of about `batch_tokens` tokens each, padding included, of samples of like length, shortest first."""
    batches: list[list[Sample]] = []
    batch: list[Sample] = []
    for sample in sorted(samples, key=len):
        if batch and (len(batch) + 1) * len(sample) > batch_tokens:
            batches.append(batch)
            batch = []
        batch.append(sample)
    if batch:
        batches.append(batch)
    return batches
