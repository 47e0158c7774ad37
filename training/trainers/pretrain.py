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
from training.model.batching import Sample, group_by_length, make_sample, pad, weights
from training.model.induction_heads import plant_copying
from training.model.llama import add_dropout, answer_loss, build_model, save_model
from training.model.tokenizer import save_tokenizer, train_tokenizer
from training.notes.documents import DocumentMaker
from training.notes.generator import drug_names, make_notes, mutation_names
from training.notes.variation import Variation
from training.run.checkpoints import fingerprint
from training.run.progress import Checkpoint, Progress
from training.trainers.data_parallel import Team, gather

_SYNTHETIC_NOTES = 3000
_NO_CANCER_FRACTION = 0.3
_PROMPT_WEIGHT = 100  # the prompt stands in every request: its words are whole tokens
_POOL = 256  # documents that are batched together by length
_LONGEST = 512
_REPEATS_AT_THE_END = 0.05
_WARMUP_TOKENS = 50_000


def fingerprint_of_base(notes: Sequence[Note], config: TrainingConfig, prompt: Prompt) -> str:
    """SHA-256 of what a base depends on, but for the number of processes."""
    parts = [part.model_dump() for part in (config.tokenizer, config.model, config.pretrain)]
    return fingerprint(parts, [(note.text, note.answer) for note in notes], prompt.render(""))


def make_tokenizer(notes: Sequence[Note], prompt: Prompt, config: TrainingConfig) -> Tokenizer:
    """The tokenizer for these notes, for the generated ones and for the prompt around them."""
    generated = make_notes(_SYNTHETIC_NOTES, _NO_CANCER_FRACTION, config.pretrain.seed, "known")
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


class _Curriculum:
    """The batches of a run, a pool of documents at a time: what a pool holds follows from its number and its start."""

    def __init__(self, maker: DocumentMaker, tokenizer: Tokenizer, config: PretrainConfig) -> None:
        self._maker, self._tokenizer, self._config = maker, tokenizer, config

    def pool(self, number: int, done: int) -> list[list[Sample]]:
        """The batches of pool `number`, which starts after `done` tokens."""
        config, maker = self._config, self._maker
        seed = config.seed * 1_000_000 + number
        maker.seed(seed)
        maker.generated = list(make_notes(_POOL // 4, _NO_CANCER_FRACTION, seed))
        maker.repeat_share, maker.facts_share = repeat_share(done, config), facts_share(done, config)
        samples: list[Sample] = []
        while len(samples) < _POOL:
            sample = make_sample(self._tokenizer, ((part.text, part.learnt) for part in maker.make()))
            if len(sample) <= _LONGEST:
                samples.append(sample)
        size = config.batch_tokens_start if done < config.start_tokens else config.batch_tokens
        batches = group_by_length(samples, size)
        random.Random(number).shuffle(batches)
        return batches


def rate(done: int, config: PretrainConfig) -> float:
    """Factor on the learning rates: a short rise, level, then down to zero in a line."""
    return min(1.0, (done + 1) / _WARMUP_TOKENS, max(0.0, (config.tokens - done) / config.decay_tokens))


def repeat_share(done: int, config: PretrainConfig) -> float:
    """Share of repeated runs among the documents: all, then fewer, then a few to the end."""
    start, end = config.repeats_only, config.repeats_fade
    faded = min(1.0, max(0.0, (done - start) / max(end - start, 1)))
    return 1.0 - faded * (1.0 - _REPEATS_AT_THE_END)


def facts_share(done: int, config: PretrainConfig) -> float:
    """Share of questions about notes among the other documents: it rises in a line to `facts` at `facts_by`."""
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
    """What a checkpoint holds: enough to go on to the same weights."""

    def __init__(self, model: LlamaForCausalLM, optimizers: list[torch.optim.Optimizer]) -> None:
        self.model, self.optimizers = model, optimizers
        self.done = self.pool = self.pool_start = self.position = 0

    def dump(self) -> dict[str, Any]:
        places = {name: getattr(self, name) for name in ("done", "pool", "pool_start", "position")}
        optimizers = [optimizer.state_dict() for optimizer in self.optimizers]
        return {"model": self.model.state_dict(), "optimizers": optimizers, **places}

    def restore(self, saved: dict[str, Any]) -> None:
        self.model.load_state_dict(saved["model"])
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        for name in ("done", "pool", "pool_start", "position"):
            setattr(self, name, int(saved[name]))


def pretrain(notes: Sequence[Note], config: TrainingConfig, prompt: Prompt, out: Path, processes: int = 1) -> None:
    """Train a base from nothing and save it, with its tokenizer, in `out`.

    A run that was stopped goes on from its last checkpoint (in `out`, removed at the end) to the same weights.

    Args:
        notes: public training notes.
        config: the run's configuration.
        prompt: the gateway's prompt; only the tokenizer sees it.
        out: folder of the base.
        processes: how many train together, of one thread each. The weights depend on it by rounding and by dropout.

    Raises:
        ConfigError: `out` holds the checkpoint of another configuration or of other notes.
    """
    torch.set_num_threads(1)
    # Before the others start: a checkpoint that is refused is refused once.
    if _checkpoint(notes, config, prompt, out).load() is not None:
        logger.info(f"going on from the checkpoint in {out}")
    with gather(processes, _train, notes, config, prompt, out) as team:
        _train(team, notes, config, prompt, out)


def _checkpoint(notes: Sequence[Note], config: TrainingConfig, prompt: Prompt, out: Path) -> Checkpoint:
    run = fingerprint_of_base(notes, config, prompt)
    return Checkpoint(out / "checkpoint.pt", config.checkpoint_minutes, run)


def _train(team: Team, notes: Sequence[Note], config: TrainingConfig, prompt: Prompt, out: Path) -> None:
    settings = config.pretrain
    tokenizer = make_tokenizer(notes, prompt, config)
    model = build_model(config.model, tokenizer, settings.seed)
    plant_copying(model)
    remove_dropout = add_dropout(model, settings.dropout)
    model.train()
    parameters = list(model.parameters())
    optimizers = _optimizers(model, settings)
    checkpoint = _checkpoint(notes, config, prompt, out)
    state = _State(model, optimizers)
    if (saved := checkpoint.load()) is not None:
        state.restore(saved)

    known = [harmonise(note) for note in notes]
    variation = Variation(mutation_names(), drug_names(), settings.variation)
    maker = DocumentMaker(make_words(tokenizer), known, variation, settings.seed, settings.reading_weight)
    curriculum = _Curriculum(maker, tokenizer, settings)
    padding = tokenizer.token_to_id(PADDING)
    rates = (settings.matrix_rate, settings.embedding_rate)
    progress = Progress("pre-training", settings.tokens, done=state.done)
    mean_loss = mean_right = None
    batches = curriculum.pool(state.pool, state.pool_start)
    while state.done < settings.tokens:
        if state.position == len(batches):
            state.pool, state.pool_start, state.position = state.pool + 1, state.done, 0
            batches = curriculum.pool(state.pool, state.pool_start)
        for optimizer, full_rate in zip(optimizers, rates, strict=True):
            optimizer.param_groups[0]["lr"] = full_rate * rate(state.done, settings)
        if state.done >= settings.tokens - settings.decay_tokens // 2:
            remove_dropout()
        batch = batches[state.position]
        if share := team.share(batch):
            torch.manual_seed(state.done * team.size + team.member)  # dropout: the same after a checkpoint
            tokens, _ = pad(share, padding)
            counted = weights(share)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss, right = answer_loss(model, tokens, counted)
            (loss * (counted[:, 1:].sum() / weights(batch)[:, 1:].sum())).backward()
            mean_loss = loss.item() if mean_loss is None else 0.95 * mean_loss + 0.05 * loss.item()
            mean_right = right.item() if mean_right is None else 0.95 * mean_right + 0.05 * right.item()
        team.add_gradients(parameters)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        state.done += len(batch) * max(map(len, batch))
        state.position += 1
        if team.member == 0:
            progress.report(state.done, loss=mean_loss or 0.0, right=mean_right or 0.0)
            if checkpoint.due():
                checkpoint.save(state.dump())
    if team.member == 0:
        save_model(model, out)
        save_tokenizer(tokenizer, out, config.model.context)
        checkpoint.remove()
