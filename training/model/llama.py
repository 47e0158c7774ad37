"""The small base model: a Llama of a few million parameters, built, saved and loaded with Transformers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import nn
from transformers import AttentionInterface, LlamaConfig, LlamaForCausalLM

from training.config import ModelConfig
from training.data.chat import BEGIN, PADDING, TURN_END

_ATTENTION = "causal_products"


def _causal_products(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **_options: Any,
) -> tuple[torch.Tensor, None]:
    """Compute causal attention as two matrix products, without a mask for padding.

    PyTorch's own attention takes twice the time on CPUs for short sequences; and batches are padded on the right, where
    a causal model needs no mask.
    """
    groups, length, seen = module.num_key_value_groups, query.shape[-2], key.shape[-2]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    future = query.new_full((length, seen), float("-inf")).triu(1 + seen - length)
    scores = torch.matmul(query * query.shape[-1] ** -0.5, key.transpose(-1, -2)) + future
    weights = torch.softmax(scores, dim=-1, dtype=query.dtype)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), None


AttentionInterface.register(_ATTENTION, _causal_products)


def build_model(config: ModelConfig, tokenizer: Tokenizer, seed: int) -> LlamaForCausalLM:
    """Build a base with random weights in float32; the same seed gives the same weights."""
    torch.manual_seed(seed)
    llama = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=config.hidden,
        intermediate_size=config.intermediate,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.kv_heads,
        head_dim=config.head_size,
        max_position_embeddings=config.context,
        rope_theta=config.rope_theta,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        initializer_range=0.02,
        bos_token_id=tokenizer.token_to_id(BEGIN),
        eos_token_id=tokenizer.token_to_id(TURN_END),
        pad_token_id=tokenizer.token_to_id(PADDING),
    )
    llama._attn_implementation = _ATTENTION
    return LlamaForCausalLM(llama)


def add_dropout(model: LlamaForCausalLM, share: float) -> Callable[[], None]:
    """Add dropout to the embeddings and to the output of every block, in training mode only.

    Transformers' Llama has dropout in attention only. Weights and their names do not change.

    Args:
        model: the base.
        share: probability, 0 to 1, that an element is dropped.

    Returns:
        A function that removes the dropout.
    """

    def drop(module: nn.Module, _inputs: Any, out: Any) -> Any:
        if not module.training:
            return out
        if isinstance(out, tuple):
            return (nn.functional.dropout(out[0], share), *out[1:])
        return nn.functional.dropout(out, share)

    blocks = [block for layer in model.model.layers for block in (layer.self_attn, layer.mlp)]
    hooks = [module.register_forward_hook(drop) for module in (model.model.embed_tokens, *blocks)]

    def remove() -> None:
        for hook in hooks:
            hook.remove()

    return remove


def load_model(folder: Path) -> LlamaForCausalLM:
    """Load a saved base in float32."""
    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation=_ATTENTION)


def save_model(model: LlamaForCausalLM, folder: Path) -> None:
    """Write `config.json`, `generation_config.json` and `model.safetensors` (bfloat16) into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    config = model.config.to_dict()
    config.update(architectures=["LlamaForCausalLM"], dtype="bfloat16")
    # Engines with an older Transformers read the flat key, newer ones the nested one.
    config["rope_theta"] = config.get("rope_parameters", {}).get("rope_theta", 10000.0)
    for key in [key for key in config if key.startswith("_")]:
        del config[key]
    _write_json(folder / "config.json", config)
    ids = {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    _write_json(folder / "generation_config.json", {**ids, "do_sample": False})
    weights = {
        name: tensor.detach().to(torch.bfloat16).contiguous()
        for name, tensor in model.state_dict().items()
        if name != "lm_head.weight"  # tied to the embeddings
    }
    save_weights(weights, folder / "model.safetensors")


def save_weights(weights: dict[str, torch.Tensor], path: Path) -> None:
    """Write tensors as a safetensors file that all users can read: the engine runs as another user."""
    save_file(weights, path, metadata={"format": "pt"})
    path.chmod(0o644)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def answer_loss(
    model: nn.Module, tokens: torch.Tensor, weights: torch.Tensor, shares_prompt: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute the loss over the target tokens.

    Logits are computed for target tokens only: for all of them they would be a third of the work.

    Args:
        model: the base, or an adapter on it.
        tokens: ids, batch x length, padded on the right.
        weights: of the same shape, the weight of each token as a target: booleans, or numbers from 0 to 1.
        shares_prompt: compute the tokens with which all rows begin only once, for which the base must have been loaded
            with `causal_products`. The loss is the same but for rounding.

    Returns:
        The weighted mean cross entropy in nats, and the share of targets of weight 1 that the model ranks first.
    """
    llama = model.get_base_model() if hasattr(model, "get_base_model") else model
    shared = _shared_tokens(tokens, weights) if shares_prompt else 0
    cache = None
    if shared:
        cache = llama.model(input_ids=tokens[:1, :shared], use_cache=True).past_key_values
        cache.batch_repeat_interleave(len(tokens))
        tokens, weights = tokens[:, shared:], weights[:, shared:]
    hidden = llama.model(input_ids=tokens, past_key_values=cache, use_cache=cache is not None).last_hidden_state
    is_target = weights[:, 1:] > 0
    weights = weights[:, 1:][is_target].float()
    logits = llama.lm_head(hidden[:, :-1][is_target]).float()
    targets = tokens[:, 1:][is_target]
    full = weights == 1
    right = (logits.detach().argmax(-1) == targets)[full].float().mean()
    losses = nn.functional.cross_entropy(logits, targets, reduction="none")
    return (losses * weights).sum() / weights.sum(), right


def _shared_tokens(tokens: torch.Tensor, weights: torch.Tensor) -> int:
    """Return the number of tokens with which all rows begin, without the last one before a target; 0 for one row."""
    if len(tokens) == 1:
        return 0
    differs = (tokens != tokens[:1]).any(0)
    differs |= (weights > 0).any(0)
    # A target is predicted at the token before it, which is then computed for every row.
    return max(0, int(differs.long().argmax()) - 1) if bool(differs.any()) else 0
