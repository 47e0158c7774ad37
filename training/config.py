"""The configuration of a training run, read from one YAML file and checked before anything starts."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError


class ConfigError(ValueError):
    """The configuration file cannot be used; the message says why."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TokenizerConfig(_Section):
    """Size of the vocabulary: whole pieces taken by frequency, the rest byte-pair merges."""

    vocabulary: int = Field(gt=300)
    whole_pieces: int = Field(ge=0)


class ModelConfig(_Section):
    """Shape of the Llama-architecture base."""

    hidden: int = Field(gt=0)
    intermediate: int = Field(gt=0)
    layers: int = Field(gt=0)
    heads: int = Field(gt=0)
    kv_heads: int = Field(gt=0)
    head_size: int = Field(gt=0)
    context: int = Field(gt=0, description="longest sequence in tokens")
    rope_theta: float = Field(gt=0)


class PretrainConfig(_Section):
    """Pre-training of the base on generated documents."""

    tokens: int = Field(gt=0, description="tokens to train on")
    batch_tokens_start: int = Field(gt=0)
    batch_tokens: int = Field(gt=0)
    start_fraction: float = Field(ge=0, le=1, description="share of the run with batch_tokens_start")
    decay_fraction: float = Field(gt=0, le=1, description="share of the run, at its end, with a falling rate")
    variation: float = Field(ge=0, le=1, description="chance that a kind of value in a note is exchanged")
    repeats_only: float = Field(ge=0, le=1, description="share of the run with repeated runs of words only")
    repeats_fade: float = Field(ge=0, le=1, description="share of the run by which most of them are gone")
    matrix_rate: float = Field(gt=0, description="learning rate of Muon")
    embedding_rate: float = Field(gt=0, description="learning rate of AdamW")
    seed: int


class AdapterConfig(_Section):
    """LoRA fine-tuning on the extraction task."""

    rank: int = Field(gt=0, le=64)
    alpha: int = Field(gt=0)
    dropout: float = Field(ge=0, lt=1)
    targets: tuple[str, ...]
    epochs: int = Field(gt=0)
    synthetic_notes: int = Field(ge=0, description="generated notes in every epoch")
    variation: float = Field(ge=0, le=1, description="chance that a kind of value in a public note is exchanged")
    no_cancer_fraction: float = Field(ge=0, le=1, description="share of the generated notes without any cancer")
    batch_tokens: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    warmup_steps: int = Field(ge=0)
    seed: int


class TrainingConfig(_Section):
    """Everything that one run needs; the data and the output folder come from the command line."""

    tokenizer: TokenizerConfig
    model: ModelConfig
    pretrain: PretrainConfig
    adapter: AdapterConfig
    checkpoint_minutes: float = Field(gt=0)


def load_config(path: Path) -> TrainingConfig:
    """Read and check a configuration file.

    Raises:
        ConfigError: the file is missing, is not YAML, or a value in it cannot be used.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return TrainingConfig.model_validate(content)
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors())
        raise ConfigError(f"{path}: {problems}") from error
