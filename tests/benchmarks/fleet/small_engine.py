"""The real engine with the small model on a CPU: its options are those of the deployment, whoever starts it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.benchmarks.gateway import ROOT
from tests.support import environments
from tests.support.ports import free_port
from tests.support.ray import environment

SMALL = ROOT / "models/small"
ADAPTER = "medical-ie"
_FILES = ROOT / "roles/inference_stack/files"
# As in docker/vllm/Dockerfile.cpu and in the role; two engines on two cores are not to be bound to the same one.
VARIABLES = {
    "TORCH_COMPILE_DISABLE": "1",
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
    # What it finds out about a model at the first start is kept for the next ones, as in the image.
    "VLLM_CACHE_ROOT": str(environments.CACHE / "vllm"),
}


def options(profile: str) -> dict[str, Any]:
    """Return what the deployment tells the engine in a profile, by vLLM's own names."""
    told: dict[str, Any] = {}
    for path in (_FILES / "engine.yaml", _FILES / "profiles" / f"{profile}.yaml"):
        told |= yaml.safe_load(path.read_text(encoding="utf-8"))
    return told


def as_arguments(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as Python takes them: `a-b.c` is the member `c` of `a_b`."""
    arguments: dict[str, Any] = {}
    for name, value in told.items():
        outer, _, inner = name.replace("-", "_").partition(".")
        arguments[outer] = {**arguments.get(outer, {}), inner: value} if inner else value
    return arguments


@dataclass
class Vllm:
    """The engine as its image runs it; it can be killed and started again at the same port."""

    port: int
    configuration: Path
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process."""
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Start it; it needs half a minute until it answers."""
        command: list[str | Path] = [
            environment(),
            "-m",
            "vllm.entrypoints.launchers.api_server.entry",
            "--config",
            self.configuration,
        ]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                cwd=self.configuration.parent,
                env={**os.environ, **VARIABLES, "VLLM_ENABLE_V1_MULTIPROCESSING": "0"},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def end(self) -> None:
        """Kill all of it, as the death of a container's first process does."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)


def vllm(stack: contextlib.ExitStack, folder: Path, number: int) -> Vllm:
    """Start an engine that ends with `stack`.

    Args:
        stack: gets what ends it.
        folder: for its configuration and its log.
        number: of the engine.
    """
    engine = Vllm(free_port(), folder / f"engine-{number}.yaml", folder / f"engine-{number}.log")
    told = options("cpu") | {
        "model": str(SMALL / "base"),
        "served-model-name": ["llama"],
        "host": "127.0.0.1",
        "port": engine.port,
        "lora-modules": [f'{{"name": "{ADAPTER}", "path": "{SMALL / "adapter"}", "base_model_name": "llama"}}'],
    }
    engine.configuration.write_text(yaml.safe_dump(told), encoding="utf-8")
    engine.start()
    stack.callback(engine.end)
    return engine
