"""The model's answers to notes, and their scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from gateway.evaluation.evaluation import Evaluation
from training.data.dataset import Note
from training.data.prompt import Prompt
from training.evaluation.generation import generate_answers
from training.evaluation.scoring import score, shares
from training.model.precision import product_dtype
from training.model.tokenizer import load_tokenizer
from training.run.files import write_text
from training.run.progress import Progress

_BATCH = 25
_MAX_NEW_TOKENS = 256


def answer_notes(base: Path, adapter: Path | None, texts: Sequence[str], prompt: Prompt) -> list[str]:
    """Generate the model's answer to each text: greedily, without a grammar, in the type that is fastest on the device.

    Args:
        base: folder of the base.
        adapter: folder of the adapter; None for the base alone.
        texts: clinical notes.
        prompt: the prompt that the gateway sends.

    Raises:
        Interrupted: the process was asked to stop.
    """
    tokenizer, model = load_tokenizer(base), _load(base, adapter)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # little padding in a batch
    answers = [""] * len(texts)
    progress = Progress("evaluation", len(texts))
    for start in range(0, len(order), _BATCH):
        batch = order[start : start + _BATCH]
        generated = generate_answers(model, tokenizer, prompt, [texts[i] for i in batch], _MAX_NEW_TOKENS, batch=_BATCH)
        for i, text in zip(batch, generated, strict=True):
            answers[i] = text
        progress.report(min(start + _BATCH, len(order)))
    return answers


@lru_cache(maxsize=1)
def _load(base: Path, adapter: Path | None) -> Any:
    """Load the model, on a GPU where there is one; cached, as several sets of notes are answered one after another."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=product_dtype(device)).to(device)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter)
    return model.eval()


def answer_and_score(
    base: Path, adapter: Path | None, notes: Sequence[Note], prompt: Prompt, answers_file: Path | None = None
) -> tuple[Evaluation, dict[str, float]]:
    """Answer the notes and score the answers; return the evaluation, and shares of the answers for the run's bars.

    `answers_file` gets the answers as JSON lines, which `python -m gateway evaluate --answers` reads. It contains the
    notes' texts.
    """
    raw = answer_notes(base, adapter, [note.text for note in notes], prompt)
    if answers_file is not None:
        lines = (
            json.dumps({"input": note.text, "expected": note.answer, "raw_output": text}) + "\n"
            for note, text in zip(notes, raw, strict=True)
        )
        write_text(answers_file, "".join(lines))
    return score(notes, raw, prompt.task), shares(notes, raw, prompt.task)
