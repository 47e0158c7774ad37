"""Samples, and padded batches of samples of different lengths."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer

from training.model.tokenizer import encode


@dataclass(frozen=True)
class Sample:
    """One sequence: its token ids, and the weight, 0 to 1, of each of them in the loss."""

    tokens: list[int]
    weights: list[float]

    def __len__(self) -> int:
        """Return the number of tokens."""
        return len(self.tokens)


Batch = list[Sample]


def make_sample(tokenizer: Tokenizer, parts: Iterable[tuple[str, float]]) -> Sample:
    """Encode consecutive parts of a text, each with the weight of its tokens in the loss."""
    tokens: list[int] = []
    weights: list[float] = []
    for text, weight in parts:
        ids = encode(tokenizer, text)
        tokens += ids
        weights += [float(weight)] * len(ids)
    return Sample(tokens, weights)


def pad(samples: Sequence[Sample], padding: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the token ids and their weights, each as a tensor of batch x longest sample, padded on the right."""
    longest = max(map(len, samples))
    tokens = torch.full((len(samples), longest), padding, dtype=torch.long)
    weights = torch.zeros((len(samples), longest))
    for row, sample in enumerate(samples):
        tokens[row, : len(sample)] = torch.tensor(sample.tokens)
        weights[row, : len(sample)] = torch.tensor(sample.weights)
    return tokens, weights


def group_by_length(samples: Sequence[Sample], batch_tokens: int) -> list[Batch]:
    """Batch samples of similar length, shortest first; a batch has about `batch_tokens` tokens, padding included."""
    batches: list[Batch] = []
    batch: Batch = []
    for sample in sorted(samples, key=len):
        if batch and (len(batch) + 1) * len(sample) > batch_tokens:
            batches.append(batch)
            batch = []
        batch.append(sample)
    if batch:
        batches.append(batch)
    return batches
