"""The model's answers to notes, and their scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from gateway.evaluation.evaluation import Evaluation
from training.chat import PADDING, TURN_END
from training.dataset import Note
from training.lora import load_adapter
from training.progress import Progress
from training.prompt import Prompt
from training.scoring import read_answer, score
from training.tokenizer import encode, load_tokenizer

_BATCH = 25
_MAX_NEW_TOKENS = 256


def answer_notes(base: Path, adapter: Path | None, texts: Sequence[str], prompt: Prompt) -> list[str]:
    """What the model says about each text: greedy, in bfloat16, without a constraint on the answer.

    Args:
        base: folder of the base.
        adapter: folder of the adapter; None asks the base alone.
        texts: clinical notes.
        prompt: the prompt that the gateway sends.
    """
    tokenizer = load_tokenizer(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    if adapter is not None:
        model = load_adapter(model, adapter)
    model.eval()
    prompts = [encode(tokenizer, prompt.render(text)) for text in texts]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    answers = [""] * len(prompts)
    progress = Progress("evaluation", len(prompts))
    for start in range(0, len(order), _BATCH):
        chosen = order[start : start + _BATCH]
        for i, text in zip(chosen, _generate(model, tokenizer, [prompts[i] for i in chosen]), strict=True):
            answers[i] = text
        progress.report(min(start + _BATCH, len(order)))
    return answers


def _generate(model: Any, tokenizer: Tokenizer, prompts: Sequence[Sequence[int]]) -> list[str]:
    padding, end = tokenizer.token_to_id(PADDING), tokenizer.token_to_id(TURN_END)
    longest = max(map(len, prompts))
    tokens = torch.full((len(prompts), longest), padding)
    mask = torch.zeros((len(prompts), longest), dtype=torch.long)
    for row, ids in enumerate(prompts):
        tokens[row, longest - len(ids) :] = torch.tensor(ids)
        mask[row, longest - len(ids) :] = 1
    with torch.inference_mode():
        out = model.generate(
            input_ids=tokens, attention_mask=mask, max_new_tokens=_MAX_NEW_TOKENS, do_sample=False, eos_token_id=end,
            pad_token_id=padding,
        )  # fmt: skip
    return [tokenizer.decode([i for i in row if i not in (padding, end)]) for row in out[:, longest:].tolist()]


def evaluate(
    base: Path, adapter: Path | None, notes: Sequence[Note], prompt: Prompt, answers_file: Path | None = None
) -> Evaluation:
    """Answer the notes and score the answers; `answers_file` keeps them, one JSON object a line."""
    raw = answer_notes(base, adapter, [note.text for note in notes], prompt)
    if answers_file is not None:
        lines = (
            json.dumps({"input": note.text, "expected": note.answer, "raw_output": text}) + "\n"
            for note, text in zip(notes, raw, strict=True)
        )
        answers_file.write_text("".join(lines), encoding="utf-8")
    return score(notes, raw)


def count_all_null(base: Path, adapter: Path | None, texts: Sequence[str], prompt: Prompt) -> int:
    """How many of the texts, none of which tells of a cancer, are answered with null in every field."""
    answers = (read_answer(raw).fields for raw in answer_notes(base, adapter, texts, prompt))
    return sum(answer is not None and not any(answer.values()) for answer in answers)
