"""The type in which a machine multiplies matrices."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch


def product_dtype(device: str) -> torch.dtype:
    """Return the type in which the device multiplies matrices fastest: bfloat16, or float32 where it has no such unit.

    Without a kernel of oneDNN for it, as on a processor without AVX-512, PyTorch multiplies bfloat16 on a CPU by a
    plain loop, which was 16 times slower than float32 on two cores with AVX2.

    Args:
        device: `cuda` or `cpu`.
    """
    # What PyTorch's own compiler asks; there is no public name for it.
    if device == "cuda" or torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return torch.bfloat16
    return torch.float32


def fast_products(device: str) -> AbstractContextManager[object]:
    """Have the device's products of float32 matrices computed in the type that is fastest there.

    Args:
        device: `cuda` or `cpu`.
    """
    is_bfloat16 = product_dtype(device) == torch.bfloat16
    products: AbstractContextManager[object] = torch.autocast(device, dtype=torch.bfloat16, enabled=is_bfloat16)
    return products
