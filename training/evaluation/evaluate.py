"""The model's answers to notes, and their scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from gateway.evaluation.evaluation import Evaluation
from training.data.dataset import Note
from training.data.prompt import Prompt
from training.evaluation.generation import generate_answers
from training.evaluation.scoring import score
from training.model.lora import load_adapter
from training.model.tokenizer import load_tokenizer
from training.run.progress import Progress, write_beside

_BATCH = 25
_MAX_NEW_TOKENS = 256


def answer_notes(base: Path, adapter: Path | None, texts: Sequence[str], prompt: Prompt) -> list[str]:
    """What the model says about each text: greedy, in bfloat16 as it is served, without a constraint on the answer.

    Args:
        base: folder of the base.
        adapter: folder of the adapter; None asks the base alone.
        texts: clinical notes.
        prompt: the prompt that the gateway sends.

    Raises:
        Interrupted: the process was asked to stop.
    """
    tokenizer, model = load_tokenizer(base), _load(base, adapter)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # so that little of a batch is padding
    answers = [""] * len(texts)
    progress = Progress("evaluation", len(texts))
    for start in range(0, len(order), _BATCH):
        chosen = order[start : start + _BATCH]
        asked = [texts[i] for i in chosen]
        written = generate_answers(model, tokenizer, prompt, asked, _MAX_NEW_TOKENS, batch=_BATCH)
        for i, text in zip(chosen, written, strict=True):
            answers[i] = text
        progress.report(min(start + _BATCH, len(order)))
    return answers


@lru_cache(maxsize=1)
def _load(base: Path, adapter: Path | None) -> Any:
    """The model, on a GPU where there is one; kept, as several sets of notes are answered one after another."""
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    if torch.cuda.is_available():
        model = model.to("cuda")
    if adapter is not None:
        model = load_adapter(model, adapter)
    return model.eval()


def evaluate(
    base: Path, adapter: Path | None, notes: Sequence[Note], prompt: Prompt, answers_file: Path | None = None
) -> Evaluation:
    """Answer the notes and score the answers.

    `answers_file` keeps the answers, one JSON object a line, as `python -m gateway evaluate --answers` reads them. It
    holds the notes' texts.
    """
    raw = answer_notes(base, adapter, [note.text for note in notes], prompt)
    if answers_file is not None:
        lines = (
            json.dumps({"input": note.text, "expected": note.answer, "raw_output": text}) + "\n"
            for note, text in zip(notes, raw, strict=True)
        )
        content = "".join(lines)
        write_beside(answers_file, lambda path: path.write_text(content, encoding="utf-8"))
    return score(notes, raw)
