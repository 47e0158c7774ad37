"""Pre-training of the small base on generated documents."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from loguru import logger
from tokenizers import Tokenizer
from torch.optim import AdamW, Muon
from transformers import LlamaForCausalLM

from training.config import PretrainConfig, TrainingConfig
from training.data.chat import PADDING, SPECIAL_TOKENS
from training.data.dataset import FIELDS, Note
from training.data.labels import harmonise
from training.data.prompt import Prompt
from training.model.batching import Batch, Sample, group_by_length, make_sample, pad
from training.model.induction_heads import initialise_induction_heads
from training.model.llama import add_dropout, answer_loss, build_model, save_model
from training.model.precision import fast_products
from training.model.tokenizer import save_tokenizer, train_tokenizer
from training.notes.documents import DocumentMaker
from training.notes.generator import make_notes
from training.notes.grammar import drug_names, mutation_names
from training.notes.variation import Variation
from training.run.checkpoints import Checkpoint, fingerprint
from training.run.progress import Progress
from training.trainers.process_group import ProcessGroup, process_group

_SYNTHETIC_NOTES = 3000
_NO_CANCER_FRACTION = 0.3
_PROMPT_WEIGHT = 100  # the prompt is in every request: its words become whole tokens
_POOL = 256  # documents that are batched together by length
_LONGEST = 512
_REPEATS_AT_THE_END = 0.05
_WARMUP_TOKENS = 50_000


def fingerprint_of_base(notes: Sequence[Note], config: TrainingConfig, prompt: Prompt) -> str:
    """Return the SHA-256 of all that a base depends on, except the number of processes."""
    parts = [part.model_dump() for part in (config.tokenizer, config.model, config.pretrain)]
    return fingerprint(parts, [(note.text, note.answer) for note in notes], prompt.render(""))


def make_tokenizer(notes: Sequence[Note], prompt: Prompt, config: TrainingConfig) -> Tokenizer:
    """Train the tokenizer on these notes, on generated ones and on the prompt around them."""
    generated = make_notes(_SYNTHETIC_NOTES, _NO_CANCER_FRACTION, config.pretrain.seed, "plain")
    texts = [text for note in (*notes, *generated) for text in (note.text, json.dumps(note.answer))]
    texts += [prompt.render("")] * _PROMPT_WEIGHT
    return train_tokenizer(texts, config.tokenizer)


def make_words(tokenizer: Tokenizer) -> list[str]:
    """Return the words of random values: every token that is a word by itself, and the field names.

    A token that never occurs in them keeps its random embedding, and the adapter could not learn to generate it.
    """
    texts = [tokenizer.decode([i]) for i in range(tokenizer.get_vocab_size())]
    words = {text for text in texts if text and text not in SPECIAL_TOKENS and text.replace("_", "").isalnum()}
    return sorted(words | set(FIELDS))


class _Curriculum:
    """The batches of a run, a pool of documents at a time; a pool depends on its number and its start only."""

    def __init__(self, maker: DocumentMaker, tokenizer: Tokenizer, config: PretrainConfig) -> None:
        """Take the maker of documents, the tokenizer that encodes them, and the configuration."""
        self._maker, self._tokenizer, self._config = maker, tokenizer, config

    def pool(self, number: int, done: int) -> list[Batch]:
        """Make the batches of pool `number`, which starts after `done` tokens."""
        config, maker = self._config, self._maker
        seed = config.seed * 1_000_000 + number
        maker.seed(seed)
        maker.generated = list(make_notes(_POOL // 4, _NO_CANCER_FRACTION, seed))
        maker.repeat_share, maker.facts_share = repeat_share(done, config), facts_share(done, config)
        samples: list[Sample] = []
        while len(samples) < _POOL:
            sample = make_sample(self._tokenizer, ((segment.text, segment.weight) for segment in maker.make()))
            if len(sample) <= _LONGEST:
                samples.append(sample)
        size = config.batch_tokens_start if done < config.start_tokens else config.batch_tokens
        batches = group_by_length(samples, size)
        random.Random(number).shuffle(batches)
        return batches


def rate(done: int, config: PretrainConfig) -> float:
    """Return the factor on the learning rates: a short warm-up, constant, then a linear decay to zero."""
    return min(1.0, (done + 1) / _WARMUP_TOKENS, max(0.0, (config.tokens - done) / config.decay_tokens))


def repeat_share(done: int, config: PretrainConfig) -> float:
    """Return the share of repeated sequences among the documents: all, then fewer, then a few to the end."""
    start, end = config.repeats_only, config.repeats_fade
    progress = min(1.0, max(0.0, (done - start) / max(end - start, 1)))
    return 1.0 - progress * (1.0 - _REPEATS_AT_THE_END)


def facts_share(done: int, config: PretrainConfig) -> float:
    """Return the share of questions about notes among the other documents: it rises to `facts` at `facts_by`."""
    return config.facts * min(1.0, done / max(config.facts_by, 1))


def _optimizers(model: LlamaForCausalLM, config: PretrainConfig) -> list[torch.optim.Optimizer]:
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    # Muon: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/
    return [
        Muon(matrices, lr=config.matrix_rate, weight_decay=config.weight_decay),
        AdamW(others, lr=config.embedding_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


class _State:
    """The state in a checkpoint: a run that resumes from it ends with the same weights."""

    _COUNTERS = ("done", "pool", "pool_start", "position")

    def __init__(self, model: LlamaForCausalLM, config: PretrainConfig) -> None:
        """Start at the first token."""
        self.model, self.optimizers = model, _optimizers(model, config)
        self.done = self.pool = self.pool_start = self.position = 0

    def dump(self) -> dict[str, Any]:
        """Return the state as tensors and plain values."""
        counters = {name: getattr(self, name) for name in self._COUNTERS}
        optimizers = [optimizer.state_dict() for optimizer in self.optimizers]
        return {"model": self.model.state_dict(), "optimizers": optimizers, **counters}

    def restore(self, saved: dict[str, Any]) -> None:
        """Take over a state that `dump` returned."""
        self.model.load_state_dict(saved["model"])
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        for name in self._COUNTERS:
            setattr(self, name, int(saved[name]))


def pretrain(notes: Sequence[Note], config: TrainingConfig, prompt: Prompt, out: Path, processes: int = 1) -> None:
    """Train a base from scratch and save it, with its tokenizer, in `out`.

    A run that was stopped resumes from its last checkpoint (in `out`, removed at the end), to the same weights.

    Args:
        notes: public training notes.
        config: the run's configuration.
        prompt: the gateway's prompt; only the tokenizer sees it.
        out: folder of the base.
        processes: number of processes that train together, of one thread each. It changes rounding and dropout, and so
            the weights.

    Raises:
        ConfigError: `out` holds the checkpoint of another configuration or of other notes.
    """
    torch.set_num_threads(1)
    # Before the other processes start, so that a checkpoint is refused once.
    if _checkpoint(notes, config, prompt, out).load() is not None:
        logger.info(f"resuming from the checkpoint in {out}")
    with process_group(processes, _train, notes, config, prompt, out) as group:
        _train(group, notes, config, prompt, out)


def _checkpoint(notes: Sequence[Note], config: TrainingConfig, prompt: Prompt, out: Path) -> Checkpoint:
    run = fingerprint_of_base(notes, config, prompt)
    return Checkpoint(out / "checkpoint.pt", config.checkpoint_minutes, run)


def _train(group: ProcessGroup, notes: Sequence[Note], config: TrainingConfig, prompt: Prompt, out: Path) -> None:
    settings = config.pretrain
    tokenizer = make_tokenizer(notes, prompt, config)
    model = build_model(config.model, tokenizer, settings.seed)
    initialise_induction_heads(model)
    remove_dropout = add_dropout(model, settings.dropout)
    model.train()
    checkpoint, state = _checkpoint(notes, config, prompt, out), _State(model, settings)
    if (saved := checkpoint.load()) is not None:
        state.restore(saved)
    curriculum = _curriculum(notes, tokenizer, settings)
    padding = tokenizer.token_to_id(PADDING)
    progress = Progress("pre-training", settings.tokens, done=state.done)
    means: dict[str, float] = {}
    batches = curriculum.pool(state.pool, state.pool_start)
    while state.done < settings.tokens:
        if state.position == len(batches):
            state.pool, state.pool_start, state.position = state.pool + 1, state.done, 0
            batches = curriculum.pool(state.pool, state.pool_start)
        if state.done >= settings.tokens - settings.decay_tokens // 2:
            remove_dropout()
        batch = batches[state.position]
        torch.manual_seed(state.done * group.size + group.rank)  # dropout: the same after a checkpoint
        for name, value in _add_gradients(model, batch, group, padding).items():
            means[name] = 0.95 * means.get(name, value) + 0.05 * value
        _step(state, group, settings)
        state.done += len(batch) * max(map(len, batch))
        state.position += 1
        if group.rank == 0:
            progress.report(state.done, **means)
            if checkpoint.is_due():
                checkpoint.save(state.dump())
    if group.rank == 0:
        save_model(model, out)
        save_tokenizer(tokenizer, out, config.model.context)
        checkpoint.remove()


def _curriculum(notes: Sequence[Note], tokenizer: Tokenizer, config: PretrainConfig) -> _Curriculum:
    variation = Variation(mutation_names(), drug_names(), config.variation)
    public = [harmonise(note) for note in notes]
    maker = DocumentMaker(make_words(tokenizer), public, variation, config.seed, config.reading_weight)
    return _Curriculum(maker, tokenizer, config)


def _add_gradients(model: LlamaForCausalLM, batch: Batch, group: ProcessGroup, padding: int) -> dict[str, float]:
    """Add the gradients of this process's share of the batch.

    Returns:
        The share's `loss` and `accuracy`; nothing where the share is empty.
    """
    if not (share := group.share(batch)):
        return {}
    tokens, weights = pad(share, padding)
    with fast_products("cpu"):
        loss, accuracy = answer_loss(model, tokens, weights)
    _, all_weights = pad(batch, padding)
    (loss * (weights[:, 1:].sum() / all_weights[:, 1:].sum())).backward()
    return {"loss": loss.item(), "accuracy": accuracy.item()}


def _step(state: _State, group: ProcessGroup, config: PretrainConfig) -> None:
    """Update the weights with the gradients of all processes, and clear these."""
    parameters = list(state.model.parameters())
    group.sum_gradients(parameters)
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    factor = rate(state.done, config)
    for optimizer, full_rate in zip(state.optimizers, (config.matrix_rate, config.embedding_rate), strict=True):
        optimizer.param_groups[0]["lr"] = full_rate * factor
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
