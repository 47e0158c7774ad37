"""The LoRA adapter on the base, in PEFT's format, which vLLM loads."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from transformers import LlamaForCausalLM

from training.config import AdapterConfig
from training.model import save_weights

_BASE_NAME = "slm-ft-serving/small-base"


def add_adapter(model: LlamaForCausalLM, config: AdapterConfig) -> PeftModel:
    """The base with a new adapter; only the adapter's weights train."""
    torch.manual_seed(config.seed)
    lora = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=list(config.targets),
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, lora)


def load_adapter(model: LlamaForCausalLM, folder: Path) -> PeftModel:
    """The base with a saved adapter."""
    return PeftModel.from_pretrained(model, folder)


def save_adapter(model: PeftModel, folder: Path) -> None:
    """Write `adapter_config.json` and `adapter_model.safetensors` (bfloat16) into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    config = model.peft_config["default"].to_dict()
    # PEFT would write the path on this machine.
    config["base_model_name_or_path"] = _BASE_NAME
    config["inference_mode"] = True
    config["target_modules"] = sorted(config["target_modules"])
    text = json.dumps(config, indent=2, sort_keys=True, default=str)
    (folder / "adapter_config.json").write_text(text + "\n", encoding="utf-8")
    weights = {
        name: tensor.detach().to(torch.bfloat16).contiguous()
        for name, tensor in get_peft_model_state_dict(model).items()
    }
    save_weights(weights, folder / "adapter_model.safetensors")
