"""Greedy answers of a model that is in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from tokenizers import Tokenizer

from training.data.chat import PADDING, TURN_END
from training.data.prompt import Prompt
from training.model.tokenizer import encode
from training.run.interruption import Interrupted, stop_requested


def generate_answers(
    model: Any, tokenizer: Tokenizer, prompt: Prompt, texts: Sequence[str], max_new_tokens: int, batch: int = 50
) -> list[str]:
    """Generate the model's answer to each text greedily and without a grammar, in the texts' order.

    Args:
        model: a model of Transformers, or a PEFT adapter on one; it is left in its mode, training or evaluation.
        tokenizer: the tokenizer of the base.
        prompt: the prompt that the gateway sends.
        texts: clinical notes.
        max_new_tokens: length of the longest answer.
        batch: number of texts that are answered together.

    Raises:
        Interrupted: the process was asked to stop.
    """
    prompts = [encode(tokenizer, prompt.render(text)) for text in texts]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    answers = [""] * len(prompts)
    with _generation_mode(model):
        for start in range(0, len(order), batch):
            if stop_requested():
                raise Interrupted
            indices = order[start : start + batch]
            generated = _generate(model, tokenizer, [prompts[i] for i in indices], max_new_tokens)
            for i, text in zip(indices, generated, strict=True):
                answers[i] = text
    return answers


@contextmanager
def _generation_mode(model: Any) -> Iterator[None]:
    """Switch to evaluation mode and to an attention with masks and caches, which that for training does not support."""
    was_training = model.training
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    attention = inner.config._attn_implementation
    model.eval()
    inner.set_attn_implementation("sdpa")
    try:
        with torch.inference_mode():
            yield
    finally:
        inner.set_attn_implementation(attention)
        model.train(was_training)


def _generate(model: Any, tokenizer: Tokenizer, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> list[str]:
    padding, end = tokenizer.token_to_id(PADDING), tokenizer.token_to_id(TURN_END)
    longest = max(map(len, prompts))
    tokens = torch.full((len(prompts), longest), padding)
    mask = torch.zeros((len(prompts), longest), dtype=torch.long)
    for row, ids in enumerate(prompts):  # padded on the left: generation continues at the right end
        tokens[row, longest - len(ids) :] = torch.tensor(ids)
        mask[row, longest - len(ids) :] = 1
    out = model.generate(
        input_ids=tokens.to(model.device),
        attention_mask=mask.to(model.device),
        max_new_tokens=max_new_tokens,
        do_sample=False,
        # A base may come with other defaults, such as Llama's own temperature.
        temperature=None,
        top_p=None,
        eos_token_id=end,
        pad_token_id=padding,
        use_cache=True,
    )
    return [tokenizer.decode([i for i in row if i not in (padding, end)]) for row in out[:, longest:].tolist()]
