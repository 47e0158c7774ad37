"""Pre-training of the small base on generated documents."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch.optim import AdamW, Muon
from transformers import LlamaForCausalLM

from training.batching import Sample, group_by_length, make_sample, pad
from training.chat import PADDING, SPECIAL_TOKENS
from training.config import PretrainConfig, TrainingConfig
from training.dataset import FIELDS, Note
from training.labels import harmonise
from training.model import answer_loss, build_model, save_model
from training.notes import drug_names, make_notes, mutation_names
from training.planting import plant_copying
from training.progress import Checkpoint, Progress
from training.prompt import Prompt
from training.synthetic import DocumentMaker
from training.tokenizer import save_tokenizer, train_tokenizer
from training.variation import Variation

_SYNTHETIC_NOTES = 2000
_NO_CANCER_FRACTION = 0.3
_PROMPT_WEIGHT = 100  # the prompt stands in every request: its words are whole tokens
_POOL = 64  # documents that are batched together by length
_LONGEST = 512
_REPEATS_AT_THE_END = 0.1


def make_tokenizer(notes: Sequence[Note], prompt: Prompt, config: TrainingConfig) -> Tokenizer:
    """The tokenizer for these notes, for the generated ones and for the prompt around them."""
    generated = make_notes(_SYNTHETIC_NOTES, _NO_CANCER_FRACTION, config.pretrain.seed)
    texts = [text for note in (*notes, *generated) for text in (note.text, json.dumps(note.answer))]
    texts += [prompt.render("")] * _PROMPT_WEIGHT
    return train_tokenizer(texts, config.tokenizer)


def make_words(tokenizer: Tokenizer) -> list[str]:
    """Every token that is a word by itself, and the field names: what random values are made of.

    A token that never occurs here keeps its random embedding, and the adapter could not learn to write it.
    """
    texts = [tokenizer.decode([i]) for i in range(tokenizer.get_vocab_size())]
    words = {text for text in texts if text and text not in SPECIAL_TOKENS and text.replace("_", "").isalnum()}
    return sorted(words | set(FIELDS))


def _samples(maker: DocumentMaker, tokenizer: Tokenizer) -> Iterator[Sample]:
    while True:
        sample = make_sample(tokenizer, ((part.text, part.learnt) for part in maker.make()))
        if len(sample) <= _LONGEST:
            yield sample


def _batches(samples: Iterator[Sample], batch_tokens: int, rng: random.Random) -> Iterator[list[Sample]]:
    while True:
        grouped = group_by_length([next(samples) for _ in range(_POOL)], batch_tokens)
        rng.shuffle(grouped)
        yield from grouped


def _rate(share: float, config: PretrainConfig) -> float:
    """Factor on the learning rate after `share` of the run: a short rise, level, then down to zero in a line."""
    rise = min(1.0, share / 0.01)
    return rise * min(1.0, (1.0 - share) / config.decay_fraction)


def _repeat_share(share: float, config: PretrainConfig) -> float:
    """Share of repeated runs among the documents after `share` of the run: all, then fewer, then a few to the end."""
    start, end = config.repeats_only, config.repeats_fade
    faded = min(1.0, max(0.0, (share - start) / max(end - start, 1e-9)))
    return 1.0 - faded * (1.0 - _REPEATS_AT_THE_END)


def _optimizers(model: LlamaForCausalLM, config: PretrainConfig) -> list[torch.optim.Optimizer]:
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    # Muon: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/
    return [
        Muon(matrices, lr=config.matrix_rate, weight_decay=0.01),
        AdamW(others, lr=config.embedding_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def pretrain(notes: Sequence[Note], config: TrainingConfig, prompt: Prompt, out: Path) -> None:
    """Train a base from nothing and save it, with its tokenizer, in `out`.

    A run that was stopped goes on from its last checkpoint (in `out`, removed at the end).

    Args:
        notes: public training notes.
        config: the run's configuration.
        prompt: the gateway's prompt; only the tokenizer sees it.
        out: folder of the base.
    """
    settings = config.pretrain
    tokenizer = make_tokenizer(notes, prompt, config)
    model = build_model(config.model, tokenizer, settings.seed)
    plant_copying(model)
    optimizers = _optimizers(model, settings)
    checkpoint = Checkpoint(out / "checkpoint.pt", config.checkpoint_minutes)
    done = step = 0
    if (state := checkpoint.load()) is not None:
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        done, step = int(state["done"]), int(state["step"])

    known = [harmonise(note) for note in notes]
    known += make_notes(_SYNTHETIC_NOTES, _NO_CANCER_FRACTION, settings.seed)
    # A resumed run sees other documents than it would have seen: they are random anyway.
    seed = settings.seed + step
    variation = Variation(mutation_names(), drug_names(), settings.variation)
    maker = DocumentMaker(make_words(tokenizer), known, variation, seed)
    samples = _samples(maker, tokenizer)
    small = _batches(samples, settings.batch_tokens_start, random.Random(seed))
    large = _batches(samples, settings.batch_tokens, random.Random(seed))
    padding = tokenizer.token_to_id(PADDING)
    base_rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    if state is not None:
        base_rates = [settings.matrix_rate, settings.embedding_rate]
    progress = Progress("pre-training", settings.tokens, done=done)
    mean_loss = mean_right = None
    while done < settings.tokens:
        share = done / settings.tokens
        maker.repeat_share = _repeat_share(share, settings)
        for optimizer, base_rate in zip(optimizers, base_rates, strict=True):
            optimizer.param_groups[0]["lr"] = base_rate * _rate(share, settings)
        tokens, learnt = pad(next(small if share < settings.start_fraction else large), padding)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss, right = answer_loss(model, tokens, learnt)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        done, step = done + tokens.numel(), step + 1
        mean_loss = loss.item() if mean_loss is None else 0.95 * mean_loss + 0.05 * loss.item()
        mean_right = right.item() if mean_right is None else 0.95 * mean_right + 0.05 * right.item()
        progress.report(done, loss=mean_loss, right=mean_right)
        if checkpoint.due():
            saved_optimizers = [optimizer.state_dict() for optimizer in optimizers]
            checkpoint.save({"model": model.state_dict(), "optimizers": saved_optimizers, "done": done, "step": step})
    save_model(model, out)
    save_tokenizer(tokenizer, out, config.model.context)
    checkpoint.remove()
