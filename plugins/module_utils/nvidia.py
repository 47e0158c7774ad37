"""NVIDIA's driver, its container toolkit and its Docker runtime: what is installed, and the runtime's settings."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any, TypedDict

from ansible_collections.slm.serving.plugins.module_utils.docker_engine import complaint
from ansible_collections.slm.serving.plugins.module_utils.process import StackError, last_line, run
from ansible_collections.slm.serving.plugins.module_utils.units import started

RUNTIME = "nvidia"
# What `nvidia-ctk runtime configure` writes.
RUNTIME_ENTRY = {"path": "nvidia-container-runtime", "args": []}
# Docker offers `--gpus` when it found this program at its own start (daemon/nvidia_linux.go of github.com/moby/moby).
HOOK = "nvidia-container-runtime-hook"
QUERY = ["--query-gpu=name,driver_version,memory.total", "--format=csv,noheader,nounits"]
# The engine's part of compose.yml: what the toolkit's hook cannot do in such a container, it cannot do for the engine.
CONFINEMENT = (
    *("--gpus", "driver=nvidia,count=all", "--init", "--read-only", "--tmpfs", "/tmp:exec,mode=1777"),  # noqa: S108
    *("--cap-drop", "ALL", "--security-opt", "no-new-privileges:true"),
)
NVIDIA_VENDOR = "0x10de"
# PCI classes of display and 3D controllers.
GPU_CLASSES = ("0x0300", "0x0302")
PCI_DEVICES = Path("/sys/bus/pci/devices")


class Gpu(TypedDict):
    """A GPU as the driver reports it; memory in MiB."""

    name: str
    driver: str
    memory: int


def parse_gpus(text: str) -> list[Gpu]:
    """Return the GPUs of nvidia-smi's answer to QUERY."""
    gpus: list[Gpu] = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) == 3 and fields[0]:
            gpus.append(
                {"name": fields[0], "driver": fields[1], "memory": int(fields[2]) if fields[2].isdigit() else 0}
            )
    return gpus


def version_in(text: str) -> str:
    """Return the first version number in a text; empty when there is none."""
    version = re.search(r"\d+(?:\.\d+)+", text)
    return version.group() if version else ""


def is_older(version: str, least: str) -> bool:
    """Say whether a version is known and less than another; both are numbers with dots."""

    def numbers(text: str) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", text)]

    return bool(version) and numbers(version) < numbers(least)


def read_settings(text: str, path: str) -> dict[str, Any]:
    """Return daemon.json's settings; none for an empty file.

    Args:
        text: the file's content.
        path: the file's path, for the message.

    Raises:
        StackError: Docker could not read it.
    """
    problem = ""
    settings: dict[str, Any] = {}
    try:
        settings = json.loads(text) if text.strip() else {}
    except json.JSONDecodeError as error:
        problem = f"it is not valid JSON, line {error.lineno}, column {error.colno}: {error.msg}"
    else:
        if not isinstance(settings, dict):
            problem = "it does not hold an object"
        elif not isinstance(settings.get("runtimes", {}), dict):
            problem = "its `runtimes` is not an object"
    if problem:
        raise StackError(f"{path} is broken: {problem}. Docker would not start with it. Correct it; it was not changed")
    return settings


def with_runtime(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings with NVIDIA's runtime; every other key, and an entry of that name, stays as it was."""
    return {**settings, "runtimes": {RUNTIME: dict(RUNTIME_ENTRY), **settings.get("runtimes", {})}}


def gpus_of_host() -> tuple[list[Gpu], str]:
    """Return the GPUs that the driver sees, and why there are none; the reason is empty when no driver is installed."""
    if shutil.which("nvidia-smi") is None:
        return [], ""
    answer = run(["nvidia-smi", *QUERY], timeout=60)
    gpus = parse_gpus(answer.stdout) if answer.returncode == 0 else []
    return gpus, "" if gpus else last_line(answer.stderr + answer.stdout)


def has_gpu_hardware() -> bool:
    """Say whether there is an NVIDIA GPU on the PCI bus, driver or not."""
    for device in PCI_DEVICES.glob("*"):
        try:
            vendor, kind = (device / "vendor").read_text(), (device / "class").read_text()
        except OSError:
            continue
        if vendor.strip() == NVIDIA_VENDOR and kind.startswith(GPU_CLASSES):
            return True
    return False


def toolkit_version() -> str:
    """Return the version of the container toolkit; empty without one."""
    if shutil.which("nvidia-ctk") is None:
        return ""
    return version_in(run(["nvidia-ctk", "--version"]).stdout)


def docker_runtimes() -> list[str]:
    """Return the runtimes that Docker knows; none when Docker is not there or does not answer."""
    if shutil.which("docker") is None:
        return []
    listed = run(["docker", "info", "--format", "{{range $name, $_ := .Runtimes}}{{$name}} {{end}}"])
    return listed.stdout.split() if listed.returncode == 0 else []


def docker_started_before_toolkit() -> bool:
    """Say whether the Docker that runs is older than the toolkit, so that it does not offer `--gpus`."""
    hook = shutil.which(HOOK)
    if hook is None:
        return False
    docker = started("docker.service")
    return docker is not None and Path(hook).stat().st_ctime > docker


def boot() -> str:
    """Return what differs between any two boots of the instance.

    Beside the kernel's id the start of the first process: a container that is restarted has another, but the same
    kernel.
    """
    kernel = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    # After the name in parentheses, the 20th field is the start (proc(5), field 22 of stat).
    fields = Path("/proc/1/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return f"{kernel}-{fields[19]}"


def gpus_of_container(image: str, timeout: float) -> list[Gpu]:
    """Return the GPUs that a container sees, asked for and shut in as the compose file does it with the engine.

    Args:
        image: any image with a C library: the toolkit brings nvidia-smi and the driver's libraries into the container.
        timeout: seconds for the container.

    Raises:
        TooLateError: the container takes longer.
        StackError: it sees none; the message has Docker's or nvidia-smi's own words.
    """
    command = [
        *("docker", "run", "--rm", "--pull", "never", "--network", "none", *CONFINEMENT),
        # nvidia-smi belongs to the capability `utility`, which an image may not ask for.
        *("--env", "NVIDIA_DRIVER_CAPABILITIES=compute,utility", "--entrypoint", "nvidia-smi", image, *QUERY),
    ]
    answer = run(command, timeout=timeout)
    gpus = parse_gpus(answer.stdout) if answer.returncode == 0 else []
    if not gpus:
        reason = complaint(answer.stdout + answer.stderr).rstrip(".")
        raise StackError(
            f"a container sees no GPU, though the instance does: {reason}."
            f" Check `docker run --rm {' '.join(CONFINEMENT)}` by hand, and /etc/nvidia-container-runtime/config.toml"
        )
    return gpus
