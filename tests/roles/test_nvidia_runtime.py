"""NVIDIA's runtime: daemon.json with the runtime in it, nvidia-smi's answers, and which packages come from where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.module_utils import nvidia, process

from tests.support.release_files import compose
from tests.support.rendering import value

PATH = "/etc/docker/daemon.json"


def test_the_runtime_is_added_and_every_other_key_kept_in_its_place() -> None:
    settings = {"log-opts": {"max-size": "7m"}, "runtimes": {"other": {"path": "runc"}}, "live-restore": True}
    extended = nvidia.with_runtime(settings)
    assert list(extended) == list(settings)
    assert extended["runtimes"]["nvidia"] == {"path": "nvidia-container-runtime", "args": []}
    assert {**extended, "runtimes": settings["runtimes"]} == settings
    assert extended["runtimes"]["other"] == {"path": "runc"}


def test_registered_runtime_is_kept() -> None:
    settings = {"runtimes": {"nvidia": {"path": "/opt/own/nvidia-container-runtime"}}}
    assert nvidia.with_runtime(settings) == settings


def test_daemon_settings_that_are_passed_in_are_not_changed() -> None:
    settings: dict[str, Any] = {"runtimes": {}}
    nvidia.with_runtime(settings)
    assert settings == {"runtimes": {}}


@pytest.mark.parametrize("text", ["", " \n", "{}"])
def test_missing_daemon_settings_are_no_error(text: str) -> None:
    assert nvidia.read_settings(text, PATH) == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [('{\n  "a": 1\n', "line 3"), ("[]", "object"), (json.dumps({"runtimes": ["nvidia"]}), "runtimes")],
)
def test_broken_settings_are_named_with_their_file(text: str, reason: str) -> None:
    with pytest.raises(process.StackError, match=f"{PATH}.*{reason}"):
        nvidia.read_settings(text, PATH)


def test_gpus_of_nvidia_smi() -> None:
    answer = "NVIDIA L4, 595.91.07, 23034\nNVIDIA L4, 595.91.07, [N/A]\n\nNo devices were found\n"
    assert nvidia.parse_gpus(answer) == [
        {"name": "NVIDIA L4", "driver": "595.91.07", "memory": 23034},
        {"name": "NVIDIA L4", "driver": "595.91.07", "memory": 0},
    ]


@pytest.mark.parametrize(
    ("version", "least", "older"),
    [
        ("580.65.06", "580.65.06", False),
        ("570.195.03", "580.65.06", True),
        ("595.91.07", "580.65.06", False),
        ("1.9.0", "1.17.8", True),
        ("", "1.0", False),
    ],
)
def test_versions_are_compared_by_number(version: str, least: str, older: bool) -> None:
    assert nvidia.is_older(version, least) is older


def test_version_of_the_toolkit() -> None:
    assert nvidia.version_in("NVIDIA Container Toolkit CLI version 1.20.1\ncommit: 0a1b2c3") == "1.20.1"
    assert nvidia.version_in("no number") == ""


@pytest.mark.parametrize(
    ("vendor", "kind", "seen"),
    [("0x10de", "0x030200", True), ("0x10de", "0x040300", False), ("0x1d0f", "0x030000", False)],
)
def test_a_gpu_is_seen_on_the_bus_before_there_is_a_driver(
    vendor: str, kind: str, seen: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path / "0000:31:00.0"
    device.mkdir()
    (device / "vendor").write_text(f"{vendor}\n")
    (device / "class").write_text(f"{kind}\n")
    monkeypatch.setattr(nvidia, "PCI_DEVICES", tmp_path)
    assert nvidia.has_gpu_hardware() is seen


def rendered(variable: str, name: str, installer: str, kernel: str, missing: list[str]) -> Any:
    """Return one of the role's internal variables for an instance that runs this."""
    instance = {"os": {"name": name, "installer": installer}, "kernel": kernel, "machine": "x86_64", "missing": missing}
    return value("nvidia_runtime", variable, {"nvidia_runtime_found": instance})


@pytest.mark.parametrize(("name", "folder"), [("ubuntu-22.04", "ubuntu2204"), ("ubuntu-24.04", "ubuntu2404")])
def test_ubuntu_gets_the_driver_for_its_release_and_kernel(name: str, folder: str) -> None:
    instance = (name, "apt", "6.8.0-1066-aws", ["driver", "toolkit", "runtime"])
    source = rendered("_nvidia_runtime_repositories", *instance)["driver"]
    assert source["uri"] == f"https://developer.download.nvidia.com/compute/cuda/repos/{folder}/x86_64/"
    assert source["key"].endswith("/3bf863cc.pub")
    assert rendered("_nvidia_runtime_requested", *instance) == [
        "libnvidia-compute=595.91.07-*",
        "nvidia-dkms-open=595.91.07-*",
        "nvidia-persistenced=595.91.07-*",
        "linux-headers-6.8.0-1066-aws",
        "nvidia-container-toolkit=1.20.1-*",
        "nvidia-container-toolkit-base=1.20.1-*",
        "libnvidia-container-tools=1.20.1-*",
        "libnvidia-container1=1.20.1-*",
    ]


@pytest.mark.parametrize(
    ("kernel", "prefix"),
    [("6.1.180-225.360.amzn2023.x86_64", "kernel"), ("6.18.41-94.142.amzn2023.x86_64", "kernel6.18")],
)
def test_amazon_linux_gets_the_packages_of_its_kernel(kernel: str, prefix: str) -> None:
    packages = rendered("_nvidia_runtime_requested", "amzn-2023", "dnf", kernel, ["driver"])
    assert packages == [
        "nvidia-driver-cuda-595.91.07",
        "kmod-nvidia-open-dkms-595.91.07",
        f"{prefix}-devel-{kernel.removesuffix('.x86_64')}",
        f"{prefix}-modules-extra-{kernel.removesuffix('.x86_64')}",
    ]


def test_packages_that_are_there_are_not_installed() -> None:
    assert rendered("_nvidia_runtime_requested", "ubuntu-22.04", "apt", "6.8.0", ["runtime", "restart"]) == []


@pytest.mark.parametrize("name", ["ubuntu-20.04", "debian-12", ""])
def test_other_distributions_are_refused(name: str) -> None:
    assert not rendered("_nvidia_runtime_is_known", name, "apt", "6.8.0", ["driver"])


def test_gpu_is_proven_in_a_container_that_is_shut_in_as_the_engine_is() -> None:
    """What the compose file says of the engine's container and its process, as `docker run` says it."""
    service = compose()["services"]["engine"]
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert device.pop("capabilities") == ["gpu"], "what --gpus asks for unless it is told otherwise"
    words = ["--gpus", ",".join(f"{key}={value}" for key, value in device.items())]
    words += ["--init"] * service["init"] + ["--read-only"] * service["read_only"]
    words += [word for tmpfs in service["tmpfs"] for word in ("--tmpfs", tmpfs)]
    words += [word for name in service["cap_drop"] for word in ("--cap-drop", name)]
    words += [word for option in service["security_opt"] for word in ("--security-opt", option)]
    assert list(nvidia.CONFINEMENT) == words
    confining = {"cap_add", "devices", "gpus", "ipc", "pid", "privileged", "runtime", "user", "userns_mode", "uts"}
    assert not confining & set(service), "and the proof has none of these"


@pytest.mark.parametrize(("docker_started", "before"), [(50.0, True), (2e10, False), (None, False)])
def test_docker_that_is_older_than_the_toolkit_is_found(
    docker_started: float | None, before: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = tmp_path / nvidia.HOOK
    hook.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(nvidia, "started", lambda _: docker_started)
    assert nvidia.docker_started_before_toolkit() is before
