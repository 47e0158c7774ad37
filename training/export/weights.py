"""The weights of a base, tensor by tensor, with a LoRA adapter added to them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf.constants import GGMLQuantizationType  # type: ignore[import-not-found]
from gguf.quants import dequantize  # type: ignore[import-not-found]
from gguf.utility import LocalTensor, SafetensorsLocal  # type: ignore[import-not-found]

from training.export.errors import ExportError

Array = npt.NDArray[np.float32]
_TYPES = {"BF16": GGMLQuantizationType.BF16, "F16": GGMLQuantizationType.F16, "F32": GGMLQuantizationType.F32}
_BYTES = {"BF16": 2, "F16": 2, "F32": 4}
_PREFIX = "base_model.model."
# What PEFT can do beyond LoRA's product of two matrices; each changes how an adapter is applied.
_MORE_THAN_LORA = (
    "use_dora", "use_qalora", "use_bdlora", "rank_pattern", "alpha_pattern", "modules_to_save", "lora_bias",
    "trainable_token_indices", "target_parameters", "layer_replication", "fan_in_fan_out",
)  # fmt: skip


def read_document(path: Path) -> dict[str, Any]:
    """Read one of a model's JSON files.

    Raises:
        ExportError: it is missing, or holds no JSON object.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(f"cannot read {path}: {error}") from error
    if not isinstance(document, dict):
        raise ExportError(f"{path} holds no JSON object")
    return document


class Weights:
    """The tensors of a model; each is read from the disk when it is asked for, so that one is in memory at a time."""

    def __init__(self, base: Path, adapter: Path | None = None) -> None:
        """Open the files and check that the adapter fits the base.

        Args:
            base: folder of the base, in Hugging Face's form.
            adapter: folder of a LoRA adapter in PEFT's form, which is merged; None for the base alone.

        Raises:
            ExportError: a file is missing or broken, or the adapter does more than LoRA, or belongs to another base.
        """
        self._tensors = _open(sorted(base.glob("*.safetensors")), base)
        self._lora = {} if adapter is None else _open([adapter / "adapter_model.safetensors"], adapter)
        self._scale = 0.0 if adapter is None else _scale(read_document(adapter / "adapter_config.json"), adapter)
        for name in self._lora:
            target = name.removeprefix(_PREFIX).rpartition(".lora_")[0] + ".weight"
            if not name.startswith(_PREFIX) or target not in self._tensors:
                raise ExportError(f"the adapter in {adapter} has {name}, for which the base in {base} has no weight")
            self._check_shapes(target)

    @property
    def names(self) -> list[str]:
        """The tensors' names, as the base has them."""
        return list(self._tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        return tuple(self._tensors[name].shape)

    def read(self, name: str) -> Array:
        """Return a tensor with the adapter's share in it."""
        tensor = _values(self._tensors[name])
        if (pair := self._pair(name)) is not None:
            down, up = map(_values, pair)
            tensor = tensor + np.float32(self._scale) * (up @ down)
        return tensor

    def _pair(self, name: str) -> tuple[LocalTensor, LocalTensor] | None:
        stem = _PREFIX + name.removesuffix(".weight")
        down, up = (self._lora.get(f"{stem}.lora_{letter}.weight") for letter in "AB")
        return None if down is None or up is None else (down, up)

    def _check_shapes(self, name: str) -> None:
        pair = self._pair(name)
        shapes = None if pair is None else (tuple(pair[1].shape), tuple(pair[0].shape))
        if shapes is None or (shapes[0][0], shapes[1][1]) != self.shape(name) or shapes[0][1] != shapes[1][0]:
            raise ExportError(
                f"the adapter's matrices for {name} do not fit the base's {self.shape(name)}: it is another base's"
            )


def _open(paths: list[Path], folder: Path) -> dict[str, LocalTensor]:
    if not paths:
        raise ExportError(f"there are no *.safetensors in {folder}")
    tensors: dict[str, LocalTensor] = {}
    for path in paths:
        try:
            tensors |= SafetensorsLocal(path).tensors
        except (OSError, ValueError, KeyError) as error:
            raise ExportError(f"cannot read {path}: {error}") from error
    for name, tensor in tensors.items():
        if tensor.dtype not in _TYPES:
            raise ExportError(
                f"{name} in {folder} has the type {tensor.dtype}; GGUF is made from the weights as they were trained, "
                f"{', '.join(_TYPES)}, and not from quantised ones"
            )
    return tensors


def _values(tensor: LocalTensor) -> Array:
    """Read a tensor as 32-bit floats."""
    *rows, columns = tensor.shape
    raw = tensor.mmap_bytes().reshape(*rows, columns * _BYTES[tensor.dtype])
    kind = _TYPES[tensor.dtype]
    if kind != GGMLQuantizationType.BF16:
        raw = raw.view(np.float16 if kind == GGMLQuantizationType.F16 else np.float32)
    values: Array = np.asarray(dequantize(raw, kind), dtype=np.float32).reshape(tensor.shape)
    return values


def _scale(config: dict[str, Any], folder: Path) -> float:
    """Return the factor that an adapter's product is added with."""
    more = [name for name in _MORE_THAN_LORA if config.get(name)]
    if config.get("peft_type") != "LORA" or config.get("bias", "none") != "none" or more:
        raise ExportError(
            f"the adapter in {folder} is more than plain LoRA ({', '.join(more) or 'peft_type, bias'}): merge it with "
            "PEFT's `merge_and_unload`, and convert the merged model"
        )
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if not isinstance(rank, int) or rank < 1 or not isinstance(alpha, int | float):
        raise ExportError(f"{folder / 'adapter_config.json'} has no `r` or no `lora_alpha`")
    return float(alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank)
