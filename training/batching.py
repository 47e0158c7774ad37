"""Token sequences of different lengths as padded batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer

from training.tokenizer import encode


@dataclass(frozen=True)
class Sample:
    """One sequence: its token ids, and which of them are to be learnt."""

    tokens: list[int]
    learnt: list[bool]

    def __len__(self) -> int:
        return len(self.tokens)


def make_sample(tokenizer: Tokenizer, parts: Iterable[tuple[str, bool]]) -> Sample:
    """Tokens of consecutive parts of a text, each with whether it is to be learnt."""
    tokens: list[int] = []
    learnt: list[bool] = []
    for text, is_learnt in parts:
        ids = encode(tokenizer, text)
        tokens += ids
        learnt += [is_learnt] * len(ids)
    return Sample(tokens, learnt)


def pad(samples: Sequence[Sample], padding: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and learnt flags as tensors, batch x longest, padded on the right."""
    longest = max(map(len, samples))
    tokens = torch.full((len(samples), longest), padding, dtype=torch.long)
    learnt = torch.zeros((len(samples), longest), dtype=torch.bool)
    for row, sample in enumerate(samples):
        tokens[row, : len(sample)] = torch.tensor(sample.tokens)
        learnt[row, : len(sample)] = torch.tensor(sample.learnt)
    return tokens, learnt


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
