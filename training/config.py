"""The configuration of a training run, read from one YAML file and checked before anything starts."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator


class ConfigError(ValueError):
    """The configuration cannot be used; the message lists every problem."""


class _Section(BaseModel):
    """A section of the file, without unknown entries."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TokenizerConfig(_Section):
    """Size of the vocabulary: the most frequent pre-tokens as they are, the rest byte-pair merges."""

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
    decay_tokens: int = Field(gt=0, description="tokens at the end of the run over which the rates fall to zero")
    batch_tokens_start: int = Field(gt=0)
    batch_tokens: int = Field(gt=0)
    start_tokens: int = Field(ge=0, description="tokens with batch_tokens_start")
    variation: float = Field(ge=0, le=1, description="probability that a kind of value in a note is exchanged")
    repeats_only: int = Field(ge=0, description="tokens at the start with repeated sequences of words only")
    repeats_fade: int = Field(ge=0, description="tokens after which most of them are gone")
    facts: float = Field(ge=0, le=1, description="share of questions about notes among the documents, at the end")
    facts_by: int = Field(ge=0, description="tokens after which it is reached")
    reading_weight: float = Field(
        ge=0, le=1, description="weight of a note's own words in the loss; that of an answer is 1"
    )
    dropout: float = Field(ge=0, lt=1, description="until half of decay_tokens are left; none after that")
    weight_decay: float = Field(ge=0, description="of the matrices")
    matrix_rate: float = Field(gt=0, description="learning rate of Muon")
    embedding_rate: float = Field(gt=0, description="learning rate of AdamW")
    seed: int


class AdapterConfig(_Section):
    """LoRA fine-tuning on the extraction task, whatever the base; the defaults suit the small model."""

    rank: int = Field(gt=0, le=64)
    alpha: int = Field(gt=0)
    dropout: float = Field(ge=0, lt=1)
    targets: tuple[str, ...] = Field(min_length=1)
    epochs: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    warmup_steps: int = Field(ge=0)
    seed: int

    device: Literal["cpu", "cuda"] = "cpu"
    quantisation: Literal["none", "nf4"] = Field(
        "none", description="of the base's weights; nf4: 4 bits, double quantisation (QLoRA)"
    )
    attention: Literal["causal_products", "sdpa"] = Field(
        "causal_products", description="causal_products is fast on CPUs (model.py); sdpa is Transformers' own"
    )
    gradient_checkpointing: bool = Field(False, description="less memory, about a third more time")
    optimizer: Literal["adamw_torch", "paged_adamw_8bit"] = "adamw_torch"
    beta2: float = Field(0.99, gt=0, lt=1, description="Adam's second moment")
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"

    batch_tokens: int | None = Field(None, gt=0, description="tokens in a batch, padding included; or batch_size")
    batch_size: int | None = Field(None, gt=0, description="notes in a batch; or batch_tokens")
    accumulation: int = Field(1, gt=0, description="batches in a step")
    max_length: int = Field(2048, gt=0, description="tokens; a longer note is left out, with a warning")
    max_steps: int | None = Field(None, gt=0, description="end after so many steps, if the epochs are longer")

    synthetic_notes: int = Field(0, ge=0, description="generated notes in every epoch")
    variation: float = Field(
        0.0, ge=0, le=1, description="probability that a kind of value in a public note is exchanged"
    )
    off_topic_fraction: float = Field(
        0.0, ge=0, le=1, description="share of the generated texts with nothing of the task in them, such as no cancer"
    )

    selection: Literal["held_out", "validation"] = Field(
        "held_out", description="select the best checkpoint on notes held out of train.jsonl, or on validation.jsonl"
    )
    selection_notes: int = Field(100, gt=0, description="notes that the model answers at every evaluation")
    max_new_tokens: int = Field(256, gt=0, description="longest answer in an evaluation")
    eval_steps: int = Field(400, gt=0, description="steps between evaluations; the last step has one too")
    save_steps: int = Field(200, gt=0, description="steps between checkpoints")
    keep_checkpoints: int = Field(3, ge=2, description="besides the best; at least two, so that one is always complete")

    @model_validator(mode="after")
    def _one_kind_of_batch(self) -> Self:
        if (self.batch_tokens is None) == (self.batch_size is None):
            raise ValueError("needs one of batch_tokens and batch_size")
        return self

    @model_validator(mode="after")
    def _fits_the_device(self) -> Self:
        if self.device == "cpu" and self.optimizer == "paged_adamw_8bit":
            raise ValueError("optimizer paged_adamw_8bit pages between GPU and host: it needs device cuda")
        if self.device == "cuda" and self.attention == "causal_products":
            raise ValueError("attention causal_products is for device cpu")
        return self


Figure = Literal["micro_f1", "valid", "choice_right", "all_right", "all_null"]
"""Exact micro-F1, or a share of the answers: valid ones, those with the right first field, with all fields right, with
null in every field."""


class Bar(_Section):
    """What a model has to reach to be used."""

    notes: str = Field(description="validation, or the name of a set of generated texts (evaluation/generated.py)")
    figure: Figure
    at_least: float = Field(ge=0, le=1)


class RunConfig(_Section):
    """An adapter on an existing base: a folder, or a repository on the Hub, in `base`."""

    task: str = Field("medical_ie", description="name of a task of gateway/tasks, or path of a task file")
    adapter: AdapterConfig
    base: str | None = Field(None, description="a folder, or hf://owner/repository@commit; --base overrides it")
    base_name: str | None = Field(None, description="of a base in a folder, in adapter_config.json; else the folder's")
    bars: tuple[Bar, ...] = Field((), description="a model below one of them ends the run with exit status 3")
    licence: str | None = Field(None, description="of the weights, in the Hub's notation, for the model card")


class TrainingConfig(RunConfig):
    """A base trained from scratch, and an adapter on it."""

    tokenizer: TokenizerConfig
    model: ModelConfig
    pretrain: PretrainConfig
    checkpoint_minutes: float = Field(gt=0, description="between two checkpoints of the pre-training")


def load_config(path: Path) -> TrainingConfig:
    """Read and check the configuration of a base that is trained from scratch, and of its adapter.

    Raises:
        ConfigError: as `load_run_config`; or the configuration trains no base.
    """
    config = load_run_config(path)
    if not isinstance(config, TrainingConfig):
        raise ConfigError(f"{path} does not train a base: use the commands `adapter` and `evaluate`")
    return config


def load_run_config(path: Path) -> RunConfig:
    """Read and check a configuration file.

    Returns:
        A `TrainingConfig` where the file has a section for the training of a base, else a `RunConfig`.

    Raises:
        ConfigError: the file is missing, is not YAML, or has invalid entries; the message lists all of them.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration {path}: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must have sections such as `adapter:`")
    own_base = TrainingConfig.model_fields.keys() - RunConfig.model_fields.keys()
    kind = TrainingConfig if own_base & content.keys() else RunConfig
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        problems = [_problem(kind, problem["loc"], problem["type"], problem["msg"]) for problem in error.errors()]
        raise ConfigError(f"{path} has {len(problems)} problem(s):\n  " + "\n  ".join(problems)) from error


def _problem(kind: type[BaseModel], location: tuple[int | str, ...], error: str, message: str) -> str:
    entry = ".".join(map(str, location))
    if error != "extra_forbidden":
        return f"{entry}: {message.removeprefix('Value error, ')}"
    names = list(_fields(kind, location[:-1]))
    similar = difflib.get_close_matches(str(location[-1]), names, n=1)
    hint = f"; did you mean {similar[0]}?" if similar else f" (of {', '.join(names)})"
    return f"{entry}: there is no such entry{hint}"


def _fields(kind: type[BaseModel], location: tuple[int | str, ...]) -> dict[str, Any]:
    for part in location:
        section = kind.model_fields[str(part)].annotation
        if not isinstance(section, type) or not issubclass(section, BaseModel):
            return {}
        kind = section
    return dict(kind.model_fields)
