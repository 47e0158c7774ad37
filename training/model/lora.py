"""The LoRA adapter on the base, in PEFT's format, which vLLM loads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, prepare_model_for_kbit_training

from training.config import AdapterConfig
from training.model.llama import save_weights

SMALL_BASE = "slm-ft-serving/small-base"


def lora_config(config: AdapterConfig) -> LoraConfig:
    """Return PEFT's configuration of the adapter."""
    return LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=list(config.targets),
        task_type="CAUSAL_LM",
    )


def add_adapter(model: Any, config: AdapterConfig) -> PeftModel:
    """Add a new adapter to the base; only its weights are trained. The same seed gives the same weights."""
    if config.quantisation != "none":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)  # the Trainer switches it on
    torch.manual_seed(config.seed)
    return get_peft_model(model, lora_config(config))


def save_adapter(model: PeftModel, folder: Path, base_name: str = SMALL_BASE) -> None:
    """Write `adapter_config.json` and `adapter_model.safetensors` (bfloat16) into the folder.

    Args:
        model: the base with the adapter.
        folder: folder of the adapter, made where it is missing.
        base_name: name of the base in the configuration, where PEFT would write a path of this machine.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = model.peft_config["default"].to_dict()
    config["base_model_name_or_path"] = base_name
    config["inference_mode"] = True
    config["target_modules"] = sorted(config["target_modules"])
    text = json.dumps(config, indent=2, sort_keys=True, default=str)
    (folder / "adapter_config.json").write_text(text + "\n", encoding="utf-8")
    weights = {
        name: tensor.detach().to("cpu", torch.bfloat16).contiguous()
        for name, tensor in get_peft_model_state_dict(model).items()
    }
    save_weights(weights, folder / "adapter_model.safetensors")
