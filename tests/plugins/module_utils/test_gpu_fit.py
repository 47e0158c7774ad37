"""Whether a type's GPU fits engine and model, by what EC2's DescribeInstanceTypes says of the types that there are."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.module_utils import gpu_fit
from ansible_collections.slm.serving.plugins.module_utils.gpu_fit import gpu_problems
from ansible_collections.slm.serving.plugins.modules import preflight_instance

from tests.support.role_variables import defaults

WHAT = "The instance type is x"
# Llama 3.1 8B in bf16, and an adapter.
MODEL = int(defaults("infrastructure")["infrastructure_models_bytes"])


def gpu(name: str, mib: int, manufacturer: str = "NVIDIA") -> dict[str, Any]:
    """Return what EC2 says of a type with a GPU."""
    about = {"Name": name, "Manufacturer": manufacturer, "Count": 1, "MemoryInfo": {"SizeInMiB": mib}}
    return {"GpuInfo": {"Gpus": [about]}}


INF2 = {
    "InferenceAcceleratorInfo": {"Accelerators": [{"Name": "Inferentia2", "Manufacturer": "AWS"}]},
    "NeuronInfo": {"NeuronDevices": [{"Name": "Inferentia2"}]},
}


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({}, ["which has no GPU: take one"]),  # t3, m7i
        (INF2, ["no GPU of NVIDIA's but AWS's Inferentia2, for which"]),
        ({"NeuronInfo": {"NeuronDevices": [{"Name": "Trainium"}]}}, ["AWS's Trainium"]),
        ({"MediaAcceleratorInfo": {"Accelerators": [{"Name": "U30", "Manufacturer": "Xilinx"}]}}, ["Xilinx's U30"]),
        ({"FpgaInfo": {"Fpgas": [{"Name": "VU9P", "Manufacturer": "AMD"}]}}, ["AMD's VU9P"]),
        (gpu("Radeon Pro V520", 8192, "AMD"), ["AMD's Radeon Pro V520, for which"]),  # g4ad
        (gpu("Gaudi HL-205", 32768, "Habana"), ["Habana's Gaudi HL-205"]),  # dl1
        (gpu("T4", 16384), ["(T4) has the compute capability 7.5", "GPU has 17.2 GB of memory"]),  # g4dn
        (gpu("T4g", 16384), ["(T4g) has the compute capability 7.5", "GPU has 17.2 GB"]),  # g5g
        (gpu("V100", 32768), ["(V100) has the compute capability 7.0"]),  # p3dn
        (gpu("K80", 12288), ["(K80) has the compute capability 3.7", "GPU has 12.9 GB"]),  # p2
        (gpu("M60", 8192), ["(M60) has the compute capability 5.2", "GPU has 8.6 GB"]),  # g3
        (gpu("L4", 11444), ["GPU has 12.0 GB of memory"]),  # g6f, a part of one
    ],
)
def test_type_on_which_the_engine_cannot_serve_is_told_with_every_reason(
    about: dict[str, Any], words: list[str]
) -> None:
    problems = list(gpu_problems(WHAT, about, "", {}, MODEL))
    assert all(problem.startswith(WHAT) for problem in problems)
    assert len(problems) == len(words)
    assert [each for each, problem in zip(words, problems, strict=True) if each not in problem] == []


@pytest.mark.parametrize(
    ("about", "profile"),
    [
        *((gpu("L4", 22888), ""), (gpu("L40S", 45776), ""), (gpu("H100", 81920), "fast")),
        *((gpu("A10G", 22888), "quality"), (gpu("A100", 40960), "quality")),
        # Of a GPU that is not known nothing is said, nor where EC2 is silent.
        *((gpu("Q1", 0), ""), ({"GpuInfo": {}}, ""), ({"GpuInfo": {"Gpus": [{}]}}, "")),
    ],
)
def test_type_on_which_it_can_serve_is_none(about: dict[str, Any], profile: str) -> None:
    assert list(gpu_problems(WHAT, about, profile, {}, MODEL)) == []


def test_a_smaller_model_fits_a_smaller_gpu() -> None:
    assert list(gpu_problems(WHAT, gpu("L4", 11444), "", {}, 6 * 10**9)) == []


def test_one_gpu_holds_the_model_however_many_there_are() -> None:
    four = gpu("L4", 11444)
    four["GpuInfo"]["Gpus"][0]["Count"] = 4
    assert len(list(gpu_problems(WHAT, four, "", {}, MODEL))) == 1


def test_the_instance_is_judged_alike_once_it_is_there() -> None:
    assert preflight_instance.GPU_SHARE == gpu_fit.GPU_SHARE
    assert defaults("preflight")["preflight_memory_reserve"] == gpu_fit.MEMORY_RESERVE
