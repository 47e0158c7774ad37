"""The type of the products, by device."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from training.model import precision  # noqa: E402


@pytest.mark.parametrize(("fast_bfloat16", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_a_cpu_multiplies_in_bfloat16_only_where_pytorch_has_a_kernel_for_it(
    monkeypatch: pytest.MonkeyPatch, fast_bfloat16: bool, dtype: str
) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: fast_bfloat16)
    with precision.fast_products("cpu"):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert precision.product_dtype("cpu") == product.dtype == getattr(torch, dtype)


def test_a_gpu_multiplies_in_bfloat16() -> None:
    assert precision.product_dtype("cuda") == torch.bfloat16
