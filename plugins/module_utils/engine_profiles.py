"""The engine's profiles: which there are, and what a GPU has to have for each.

For the controller and for the instance.
"""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.slm.serving.plugins.module_utils.nvidia import is_older

# By what the engine computes on; the first is the default. The files are in roles/inference_stack/files/profiles.
PROFILES = {"gpu": ("fast", "quality"), "cpu": ("cpu",)}

# The least compute capability for an option of a profile, as the pinned vLLM has it. It refuses `fp8_per_channel` where
# only Marlin's kernel is left, which leaves the activations as they are (quantization/online/fp8.py: "Requires SM89+"),
# and bfloat16 before Ampere (platforms/cuda.py, check_if_supports_dtype).
_NEEDS = {"fast": {"quantization": "8.9", "dtype": "8.0"}, "quality": {"dtype": "8.0"}}
# By the names in EC2's DescribeInstanceTypes; https://developer.nvidia.com/cuda-gpus lists them. Only GPUs that lack
# something: one that is not here is judged on the instance, by its driver.
COMPUTE_CAPABILITIES = {
    "K80": "3.7",
    "M60": "5.2",
    "V100": "7.0",
    "T4": "7.5",
    "T4g": "7.5",
    "A100": "8.0",
    "A10G": "8.6",
}


def needed_capability(profile: str, options: Iterable[str]) -> str:
    """Return the least compute capability that a profile needs; empty where any will do.

    Args:
        profile: Its name.
        options: Of the engine that the operator has set: what they replace is theirs to judge.
    """
    needs = {capability for option, capability in _NEEDS.get(profile, {}).items() if option not in set(options)}
    return max(needs, key=lambda version: [int(part) for part in version.split(".")], default="")


def capability_problem(gpu: str, capability: str, profile: str, options: Iterable[str]) -> str:
    """Return why the engine would not start on a GPU, and what to do; empty where it would, or nothing is known.

    Args:
        gpu: What to call it, such as `The GPU of the instance (A10G)`.
        capability: Its compute capability; empty where it is not known.
        profile: The engine's; empty for the default.
        options: Of the engine that the operator has set.
    """
    profile, options = profile or PROFILES["gpu"][0], list(options)
    needed = needed_capability(profile, options)
    if not needed or not is_older(capability, needed):
        return ""
    others = [
        each
        for each in PROFILES["gpu"]
        if each != profile and not is_older(capability, needed_capability(each, options) or "0")
    ]
    change = f"set the parameter engine/profile to {' or '.join(others)}, or " if others else ""
    return (
        f"{gpu} has the compute capability {capability}, and the engine's profile {profile} needs {needed}:"
        f" {change}take an instance type with a newer GPU, such as g6.2xlarge."
    )
