"""Whether an instance type's GPU fits engine and model, by what EC2 says of the type before there is an instance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.slm.serving.plugins.module_utils.engine_profiles import (
    COMPUTE_CAPABILITIES,
    capability_problem,
)

NVIDIA = "NVIDIA"
# Part of a GPU's memory that vLLM may take, and what it needs of that beside the weights.
GPU_SHARE = 0.9
MEMORY_RESERVE = 3 * 1024**3
MIB, GB = 1024**2, 10**9
# Where EC2 tells of accelerators that are no GPUs.
OTHERS = (
    ("NeuronInfo", "NeuronDevices"),
    ("InferenceAcceleratorInfo", "Accelerators"),
    ("MediaAcceleratorInfo", "Accelerators"),
    ("FpgaInfo", "Fpgas"),
)
ADVICE = "take one that has, such as g6.2xlarge, or set the parameter engine/accelerator to cpu."


def gpu_problems(
    what: str, about: Mapping[str, Any], profile: str, options: Iterable[str], models_bytes: int = 0
) -> Iterator[str]:
    """Yield a sentence for each thing for which the engine cannot serve the model on a type's GPU.

    Args:
        what: The type, such as `The instance type is g4dn.xlarge`.
        about: What EC2's DescribeInstanceTypes says of it.
        profile: The engine's; empty for the default.
        options: Of the engine that the operator has set.
        models_bytes: Size of base model and adapter; 0 where it is not known.
    """
    gpus = about.get("GpuInfo", {}).get("Gpus", [])
    if "GpuInfo" in about and not gpus:
        return  # It has one, of which nothing is told.
    ours = [each for each in gpus if each.get("Manufacturer", NVIDIA).upper() == NVIDIA]
    if not ours:
        yield _without(what, [_named(each) for each in gpus] or _other_accelerators(about))
        return
    for model in sorted({each.get("Name", "") for each in ours}):
        capability = COMPUTE_CAPABILITIES.get(model, "")
        if problem := capability_problem(f"{what}, whose GPU ({model})", capability, profile, options):
            yield problem
    yield from _memory(what, ours, models_bytes)


def _without(what: str, accelerators: list[str]) -> str:
    """Return that a type has no GPU that the engine computes on, and what it has in its place."""
    if not accelerators:
        return f"{what}, which has no GPU: {ADVICE}"
    return (
        f"{what}, which has no GPU of NVIDIA's but {' and '.join(accelerators)}, for which the engine's image is not"
        f" built: {ADVICE}"
    )


def _other_accelerators(about: Mapping[str, Any]) -> list[str]:
    """Return the names of what computes beside the processors, each once."""
    return list(dict.fromkeys(_named(each) for info, field in OTHERS for each in about.get(info, {}).get(field, [])))


def _named(accelerator: Mapping[str, Any]) -> str:
    # Of Neuron's devices the manufacturer is not told.
    return f"{accelerator.get('Manufacturer', 'AWS')}'s {accelerator.get('Name', 'accelerator')}"


def _memory(what: str, gpus: list[Mapping[str, Any]], models_bytes: int) -> Iterator[str]:
    """Yield a problem where no GPU alone holds the model: the engine uses one."""
    memory = max(each.get("MemoryInfo", {}).get("SizeInMiB", 0) for each in gpus) * MIB
    needed = models_bytes + MEMORY_RESERVE
    if memory and models_bytes and needed > memory * GPU_SHARE:
        yield (
            f"{what}, whose GPU has {memory / GB:.1f} GB of memory, of which the engine takes {GPU_SHARE:.0%}, and the"
            f" model needs {models_bytes / GB:.1f} GB and {MEMORY_RESERVE / GB:.1f} GB beside it: take a type with a"
            " larger GPU, such as g6.2xlarge for 16 GB of model, or a smaller model."
        )
