"""The base starts with heads that attend one and two positions back."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="in the training environment")
pytest.importorskip("transformers", reason="in the training environment")

import torch

from training.config import load_config
from training.model.induction_heads import initialise_induction_heads
from training.model.llama import build_model
from training.model.tokenizer import train_tokenizer
from training.notes.generator import make_notes

SMALL = Path(__file__).resolve().parents[3] / "training" / "small.yaml"


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_two_heads_of_the_first_layer_attend_one_and_two_positions_back() -> None:
    config = load_config(SMALL)
    tokenizer = train_tokenizer([note.text for note in make_notes(50, 0.3, 1)], config.tokenizer)
    model = build_model(config.model, tokenizer, 1)
    initialise_induction_heads(model)
    model.config._attn_implementation = "eager"
    tokens = torch.randint(10, tokenizer.get_vocab_size(), (1, 60))
    attentions = model(tokens, output_attentions=True).attentions[0][0]
    for head, back in ((0, 1), (1, 2)):
        attended = attentions[head].argmax(-1)[back:]
        right = (attended == torch.arange(60 - back)).float().mean().item()
        assert right > 0.8, (head, right)


def test_a_model_too_small_for_induction_heads_is_refused() -> None:
    config = load_config(SMALL)
    tokenizer = train_tokenizer(["a note"], config.tokenizer)
    model = build_model(config.model.model_copy(update={"layers": 2}), tokenizer, 1)
    with pytest.raises(ValueError, match="4 layers"):
        initialise_induction_heads(model)
