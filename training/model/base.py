"""The base that an adapter is trained on: a folder, or a pinned commit on the Hugging Face Hub."""

from __future__ import annotations

import hashlib
import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from loguru import logger
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from training.config import AdapterConfig, ConfigError
from training.model.llama import load_model

_HUB = re.compile(r"(?:hf://)?(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w.-]+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
# No pickled weights, and not the copy in another format that Llama's repository has under original/.
_FILES = ["*.json", "*.safetensors"]


@dataclass(frozen=True)
class Base:
    """A base on this machine.

    Attributes:
        folder: folder of its weights, configuration and `tokenizer.json`.
        name: its name in `adapter_config.json`; no path of this machine.
        revision: its commit on the Hub, or the SHA-256 of its weights.
    """

    folder: Path
    name: str
    revision: str


def find_base(source: str, name: str) -> Base:
    """Find a base by its source; one on the Hub is downloaded into the Hub's cache.

    Args:
        source: a folder, or hf://owner/repository@commit (hf:// may be left out).
        name: name of a base in a folder.

    Raises:
        ConfigError: there is no such folder, files are missing, the commit is not given, or the Hub denies access.
    """
    folder = Path(source)
    if folder.is_dir():
        missing = [file for file in ("config.json", "tokenizer.json") if not (folder / file).is_file()]
        if missing:
            raise ConfigError(f"{folder} is not a base: {', '.join(missing)} missing")
        return Base(folder, name, _weights_digest(folder))
    hub = _HUB.fullmatch(source)
    if hub is None or (not source.startswith("hf://") and source.startswith((".", "/", "~"))):
        raise ConfigError(f"there is no base in {source}: train one with `pretrain`, or name one with --base")
    if hub["revision"] is None or _COMMIT.fullmatch(hub["revision"]) is None:
        raise ConfigError(
            f"{source} is neither a folder nor a pinned base: write hf://{hub['repository']}@COMMIT, with the 40 "
            "digits of a commit, which the model's page lists under Files"
        )
    return Base(_download(hub["repository"], hub["revision"]), hub["repository"], hub["revision"])


def _weights_digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _download(repository: str, revision: str) -> Path:
    from huggingface_hub import errors, snapshot_download  # type: ignore[import-not-found, unused-ignore]

    logger.info(f"downloading {repository} at {revision} from the Hub, unless it is in the cache")
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=_FILES))
    except (errors.GatedRepoError, errors.RepositoryNotFoundError) as error:
        raise ConfigError(
            f"the Hub denies access to {repository} at {revision}: accept the licence on its page, and set "
            "HF_TOKEN to a token of that account"
        ) from error
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, OSError) as error:
        raise ConfigError(f"cannot download {repository} at {revision} from the Hub: {error}") from error


def quantisation(config: AdapterConfig) -> BitsAndBytesConfig | None:
    """Return the quantisation of the base's weights: QLoRA's 4-bit NormalFloat with double quantisation, or none.

    Source: Dettmers et al. 2023, QLoRA, https://arxiv.org/abs/2305.14314.

    Raises:
        ModuleNotFoundError: the configuration has 4 bits and bitsandbytes is not installed.
    """
    if config.quantisation == "none":
        return None
    importlib.import_module("bitsandbytes")  # fails here, with its name, and not inside Transformers

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def load_base(base: Base, config: AdapterConfig) -> Any:
    """Load the base on the configured device: in bfloat16 on a GPU, in float32 on a CPU.

    What a CPU multiplies in: `training.model.precision`.

    Raises:
        ConfigError: the device is a GPU and there is none.
    """
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("the configuration trains on a GPU (device: cuda), and PyTorch finds none on this machine")
    if config.attention == "causal_products":
        return load_model(base.folder)
    return AutoModelForCausalLM.from_pretrained(
        base.folder,
        dtype=torch.bfloat16 if config.device == "cuda" else torch.float32,
        attn_implementation=config.attention,
        quantization_config=quantisation(config),
        device_map={"": config.device} if config.device == "cuda" else None,
    )
