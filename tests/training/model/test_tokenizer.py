"""The tokenizer in the model folder, with the library that the engine uses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("tokenizers", reason="in the training environment")

from training.data.chat import BEGIN, SPECIAL_TOKENS
from training.data.dataset import FIELDS
from training.data.prompt import load_prompt, render_answer
from training.model.tokenizer import encode, load_tokenizer
from training.notes.generator import make_notes

BASE = Path(__file__).resolve().parents[3] / "models" / "small" / "base"


def test_any_text_is_decoded_to_itself() -> None:
    tokenizer = load_tokenizer(BASE)
    texts = [note.text for note in make_notes(100, 0.3, 8)]
    for text in [*texts, "Größe ≥ 3 cm \t\n\n 𝛼-fetoprotein, 腫瘍 🙂", "  leading", "trailing  ", "a\r\nb"]:
        assert tokenizer.decode(encode(tokenizer, text)) == text


def test_a_value_has_the_same_tokens_in_the_note_and_in_the_answer() -> None:
    tokenizer = load_tokenizer(BASE)
    value = "lung adenocarcinoma"
    inside = encode(tokenizer, f"He has {value} since 2020.")
    answer = encode(tokenizer, json.dumps(dict.fromkeys(FIELDS) | {"cancer_type": value}))
    alone = encode(tokenizer, value)
    for tokens in (inside, answer):
        assert any(tokens[i : i + len(alone)] == alone for i in range(len(tokens)))


def test_a_conversation_has_one_bos_and_every_special_token_is_one_token() -> None:
    tokenizer = load_tokenizer(BASE)
    ids = encode(tokenizer, load_prompt().render("A note."))
    assert ids.count(tokenizer.token_to_id(BEGIN)) == 1
    assert all(len(encode(tokenizer, token)) == 1 for token in SPECIAL_TOKENS)
    assert encode(tokenizer, render_answer(dict.fromkeys(FIELDS)))[-1] == tokenizer.token_to_id("<|eot_id|>")
