"""Initial weights of the base with induction heads, so that it can copy from the first step.

Copying takes two attention heads that work together (induction heads: Olsson et al. 2022,
https://arxiv.org/abs/2209.11895): one writes to each position which token precedes it, the other attends to earlier
positions that the current token precedes, and repeats the token there. A small model learns this pair only after a long
plateau; here it is part of the initial weights (a mimetic initialisation: Trockman and Kolter 2023,
https://arxiv.org/abs/2305.09828), which training is free to change.

The hidden space is divided: dimension 0 holds a constant, the rest of the first half the token, the last two quarters
the tokens one and two positions before. Two positions matter because there is a space between most words.
"""

from __future__ import annotations

import math

import torch
from transformers import LlamaForCausalLM

_CONSTANT = 0.35
_POSITION_GAIN = 200.0
_MATCH_GAIN = 12.0
_STEPS_BACK = (1, 2)


def initialise_induction_heads(model: LlamaForCausalLM) -> None:
    """Write the heads into a model with new weights.

    It draws from torch's random numbers: seed them first.

    Raises:
        ValueError: the model has fewer than 4 layers, 4 heads or 2 key/value heads.
    """
    with torch.no_grad():
        _write_heads(model)


def _write_heads(model: LlamaForCausalLM) -> None:
    config = model.config
    hidden, size = config.hidden_size, config.head_dim
    if config.num_hidden_layers < 4 or config.num_attention_heads < 4 or config.num_key_value_heads < 2:
        raise ValueError("induction heads need at least 4 layers, 4 heads and 2 key/value heads")
    half, quarter = hidden // 2, min(hidden // 4, size)
    heads_per_key = config.num_attention_heads // config.num_key_value_heads

    embeddings = model.model.embed_tokens.weight
    embeddings.normal_(0.0, 0.01)
    embeddings[:, 1:half].normal_(0.0, 1.0 / math.sqrt(half - 1))
    embeddings[:, 0] = _CONSTANT

    frequencies = float(config.rope_parameters["rope_theta"]) ** (-torch.arange(size // 2) / (size // 2))
    token = torch.zeros(quarter, hidden)
    token[:, 1:half] = _orthonormal(quarter, half - 1)

    # With rotary angles, constant queries and keys attend to a fixed distance. Only the dimensions of high frequency
    # are used: the others would add the same to every distance.
    first = model.model.layers[0].self_attn
    scale = math.sqrt(hidden) * _CONSTANT  # the constant after normalisation, nearly
    strength = math.sqrt(_POSITION_GAIN) / scale
    key = torch.where(frequencies > 0.1, strength, 0.0)
    _head(first.k_proj, 0, size)[:, 0] = torch.cat((key, torch.zeros(size // 2)))
    _head(first.v_proj, 0, size)[:quarter] = token
    for head, back in enumerate(_STEPS_BACK):
        angle = -back * frequencies
        _head(first.q_proj, head, size)[:, 0] = torch.cat((key * angle.cos(), key * angle.sin()))
        rows = slice(half + head * quarter, half + (head + 1) * quarter)
        _columns(first.o_proj, head, size)[rows, :quarter] = 0.2 * torch.eye(quarter)

    # A match must hold over any distance: only the dimensions of low frequency are used.
    slow = torch.nonzero(frequencies < 0.005).flatten()
    slow = torch.cat((slow, slow + size // 2))
    for number, layer in enumerate(model.model.layers[1:5]):
        attention = layer.self_attn
        before = [torch.zeros(quarter, hidden) for _ in _STEPS_BACK]
        for back, reader in enumerate(before):
            reader[:, half + back * quarter : half + (back + 1) * quarter] = torch.eye(quarter)
        copied = torch.zeros(size, hidden)
        copied[:, 1:half] = _orthonormal(size, half - 1)
        for pair, (query, answer) in enumerate(((token, before[0]), (before[0], before[1]))):
            mix = _orthonormal(len(slow), quarter) if len(slow) < quarter else torch.eye(len(slow), quarter)
            gain = math.sqrt(_MATCH_GAIN / (1 + number % 2))
            _head(attention.q_proj, pair * heads_per_key, size)[slow] = gain * mix @ query
            _head(attention.k_proj, pair, size)[slow] = gain * mix @ answer
            _head(attention.v_proj, pair, size)[:] = copied
            _columns(attention.o_proj, pair * heads_per_key, size)[:] = 0.3 * copied.T


def _orthonormal(rows: int, columns: int) -> torch.Tensor:
    return torch.linalg.qr(torch.randn(columns, columns))[0][:rows]


def _head(projection: torch.nn.Linear, head: int, size: int) -> torch.Tensor:
    return projection.weight[head * size : (head + 1) * size]


def _columns(projection: torch.nn.Linear, head: int, size: int) -> torch.Tensor:
    return projection.weight[:, head * size : (head + 1) * size]
