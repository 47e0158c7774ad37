"""What images and models take on a disk, for provisioning and for preflight alike."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from ansible_collections.slm.serving.plugins.module_utils import disk_need
from ansible_collections.slm.serving.plugins.modules import preflight_instance

from tests.support.role_variables import defaults

# Bytes: vllm/vllm-openai compressed (vllm-project/vllm, issue 27154) and unpacked (its pull request 22377), and
# Llama 3.1 8B in bfloat16.
ENGINE, ENGINE_UNPACKED, BASE_MODEL = 12_640_000_000, 28_600_000_000, 16_060_000_000


def test_an_image_takes_its_layers_and_what_they_unpack_to() -> None:
    """Docker 29 keeps both."""
    assert disk_need.image_bytes(ENGINE) >= ENGINE + ENGINE_UNPACKED


def test_a_first_deployment_needs_image_model_and_reserve() -> None:
    needed = disk_need.needed_bytes(ENGINE, BASE_MODEL)
    assert needed == disk_need.image_bytes(ENGINE) + BASE_MODEL + disk_need.RESERVE
    assert disk_need.volume_gib(35, needed) == 94


def test_the_roles_sizes_are_those_of_the_engine_and_the_model() -> None:
    role = defaults("infrastructure")
    assert (role["infrastructure_images_bytes"], role["infrastructure_models_bytes"]) == (ENGINE, BASE_MODEL)


def problems_of(free: int) -> Iterator[str]:
    """Return what preflight says of a disk with so many bytes free, to which engine and model come."""
    options: dict[str, Any] = {
        "root": "/",
        "images": {"engine": {"reference": "engine", "size": ENGINE}},
        "reserve": defaults("preflight")["preflight_disk_reserve"],
        "unpacked": inspect.signature(disk_need.image_bytes).parameters["factor"].default,
    }
    instance = SimpleNamespace(options=options, model_bytes=BASE_MODEL, facts={}, _has_docker=lambda: False)
    image_bytes = preflight_instance.Instance._image_bytes
    instance._image_bytes = lambda: image_bytes(instance)  # type: ignore[arg-type]
    instance._image_directory = lambda: Path("/")
    usage = SimpleNamespace(free=free)
    with mock.patch("shutil.disk_usage", return_value=usage):
        yield from preflight_instance.Instance.disk(instance)  # type: ignore[arg-type]


def test_preflight_asks_for_what_provisioning_has_foreseen() -> None:
    needed = disk_need.needed_bytes(ENGINE, BASE_MODEL)
    assert list(problems_of(needed)) == []
    assert len(list(problems_of(needed - 1))) == 1
