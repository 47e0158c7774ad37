"""What inference_stack writes: compose file, engine configuration, chat template and unit."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from tests.support.rendering import value

DIGEST = f"sha256:{'0' * 64}"
BASE: dict[str, Any] = {
    "inference_stack_stamp": "20260101T000000Z",
    "inference_stack_images": {
        "engine": {"reference": f"registry.invalid/engine@{DIGEST}"},
        "gateway": {"reference": f"registry.invalid/gateway@{DIGEST}"},
    },
    "inference_stack_models": {"base": {"path": "/models/base-1"}, "adapter": {"path": "/models/adapter-1"}},
    "inference_stack_verification": {"adapters": ["medical-ie"], "golden": [], "gateway_port": 8080},
}


def files(**changes: Any) -> dict[str, str]:
    """Return the release's files."""
    found: dict[str, str] = value("inference_stack", "_inference_stack_files", BASE | changes)
    return found


def compose(**changes: Any) -> dict[str, Any]:
    """Return the compose file's content."""
    content: dict[str, Any] = yaml.safe_load(files(**changes)["compose.yml"])
    return content


def engine(**changes: Any) -> dict[str, Any]:
    """Return the engine's settings."""
    content: dict[str, Any] = yaml.safe_load(files(**changes)["engine.yaml"])
    return content


@pytest.fixture(params=["gpu", "cpu"])
def accelerator(request: pytest.FixtureRequest) -> str:
    """Each accelerator in turn."""
    return str(request.param)


def test_only_the_gateway_is_published(accelerator: str) -> None:
    content = compose(inference_stack_accelerator=accelerator)
    assert "ports" not in content["services"]["engine"]
    assert content["services"]["engine"]["networks"] == ["engine"]
    assert content["networks"]["engine"] == {"internal": True}
    assert content["services"]["gateway"]["ports"] == ["0.0.0.0:8080:8080"]


def test_containers_are_bounded(accelerator: str) -> None:
    for service in compose(inference_stack_accelerator=accelerator)["services"].values():
        assert service["restart"] == "on-failure"
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["image"].endswith(DIGEST)
        assert service["pull_policy"] == "never"


def test_gateway_goes_on_while_an_engine_loads() -> None:
    """With depends_on, compose would stop it with every new engine; with /health, it would be unhealthy meanwhile."""
    gateway = compose()["services"]["gateway"]
    assert "depends_on" not in gateway
    assert "/live" in gateway["healthcheck"]["test"][-1]


def test_gpu_is_reserved_only_where_there_is_one() -> None:
    assert "deploy" not in compose(inference_stack_accelerator="cpu")["services"]["engine"]
    reserved = compose(inference_stack_accelerator="gpu")["services"]["engine"]["deploy"]["resources"]["reservations"]
    assert reserved["devices"] == [{"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}]


def test_shared_memory_is_more_than_dockers_default() -> None:
    assert compose(inference_stack_accelerator="gpu")["services"]["engine"]["shm_size"] == "8g"
    assert compose(inference_stack_accelerator="cpu")["services"]["engine"]["shm_size"] == "1g"


def test_only_the_gateways_own_secret_is_mounted() -> None:
    services = compose()["services"]
    sources = [volume["source"] for service in services.values() for volume in service["volumes"]]
    assert [source for source in sources if "secrets" in source] == ["/run/slm-ft-serving/secrets/gateway"]
    assert all(volume["read_only"] for volume in services["gateway"]["volumes"])


def test_no_mount_makes_a_directory_that_was_forgotten() -> None:
    for service in compose()["services"].values():
        for volume in service["volumes"]:
            cache = volume["target"] == "/var/cache/vllm"
            assert cache or volume["bind"] == {"create_host_path": False}


def test_gateways_settings_leave_the_engine_alone() -> None:
    one, other = compose(), compose(inference_stack_gateway_environment={"GATEWAY_MAX_QUEUE": 7})
    assert one["services"]["engine"] == other["services"]["engine"]
    assert other["services"]["gateway"]["environment"]["GATEWAY_MAX_QUEUE"] == "7"


def test_what_the_engine_reads_is_in_its_label() -> None:
    labels = [
        compose(**changes)["services"]["engine"]["labels"]["slm-ft-serving.configuration"]
        for changes in ({}, {}, {"inference_stack_engine_max_model_len": 1024})
    ]
    assert labels[0] == labels[1] != labels[2]


def test_environment_is_quoted() -> None:
    changed = compose(inference_stack_gateway_environment={"GATEWAY_CORS_ORIGINS": 'https://*.example.org, "x": #'})
    assert changed["services"]["gateway"]["environment"]["GATEWAY_CORS_ORIGINS"] == 'https://*.example.org, "x": #'


def test_engine_serves_base_and_adapter(accelerator: str) -> None:
    content = engine(inference_stack_accelerator=accelerator)
    assert content["served-model-name"] == ["base"]
    assert [json.loads(module) for module in content["lora-modules"]] == [
        {"name": "medical-ie", "path": "/models/adapter", "base_model_name": "base"}
    ]
    assert content["enable-lora"] is True
    assert content["max-lora-rank"] == 16
    assert content["generation-config"] == "vllm"
    assert content["structured-outputs-config.backend"] == "xgrammar"
    assert content["shutdown-timeout"] > 0


def test_engine_differs_by_accelerator() -> None:
    gpu, cpu = engine(inference_stack_accelerator="gpu"), engine(inference_stack_accelerator="cpu")
    assert gpu["quantization"] == "fp8"
    assert "enforce-eager" not in gpu
    assert cpu["enforce-eager"] is True
    assert "quantization" not in cpu


def test_operators_engine_options_win() -> None:
    content = engine(inference_stack_engine_options={"quantization": "awq", "seed": 1})
    assert (content["quantization"], content["seed"]) == ("awq", 1)


def test_chat_template_is_the_training_format() -> None:
    template = jinja2.Environment(autoescape=False).from_string(files()["chat_template.jinja"])  # noqa: S701
    messages = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]
    assert template.render(messages=messages, add_generation_prompt=True) == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nU<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_engines_grace_period_outlives_its_drain() -> None:
    services = compose(inference_stack_engine_drain=50, inference_stack_gateway_drain=40)["services"]
    assert services["engine"]["stop_grace_period"] == "65s"
    assert services["gateway"]["stop_grace_period"] == "50s"
    assert services["gateway"]["environment"]["GATEWAY_DRAIN_TIMEOUT"] == "40"
    assert engine(inference_stack_engine_drain=50)["shutdown-timeout"] == 50


def test_unit_starts_the_stack_after_its_secrets() -> None:
    unit = str(value("inference_stack", "lookup('ansible.builtin.template', 'slm-ft-serving.service.j2')", BASE))
    assert "Requires=docker.service slm-ft-serving-secrets.service" in unit
    assert "After=docker.service slm-ft-serving-secrets.service" in unit
    assert "RemainAfterExit=yes" in unit
    assert "--wait-timeout 1020" in unit
    assert "TimeoutStartSec=1080" in unit


def unit_lines(key: str) -> list[str]:
    """Return the values of a key of the unit, in order."""
    unit = str(value("inference_stack", "lookup('ansible.builtin.template', 'slm-ft-serving.service.j2')", BASE))
    return [line.partition("=")[2] for line in unit.splitlines() if line.startswith(f"{key}=")]


def test_unit_stops_the_gateway_before_the_engine() -> None:
    gateway, everything = unit_lines("ExecStop")
    assert gateway.endswith(" stop gateway")
    assert everything.endswith(" stop")


def test_unit_comes_back_with_docker() -> None:
    assert unit_lines("WantedBy") == ["multi-user.target docker.service"]


@pytest.mark.parametrize(
    ("verified", "activating", "expected"),
    [
        ("20260101T000001Z", False, "20260101T000001Z"),
        ("20260101T000001Z", True, "20260101T000002Z"),
        (None, False, "20260101T000002Z"),
    ],
)
def test_boot_starts_the_verified_release_only(
    tmp_path: Path, verified: str | None, activating: bool, expected: str
) -> None:
    for stamp in ("20260101T000001Z", "20260101T000002Z"):
        (tmp_path / "releases" / stamp).mkdir(parents=True)
        (tmp_path / "releases" / stamp / "compose.yml").touch()
    (tmp_path / "current").symlink_to("releases/20260101T000002Z")
    if verified:
        (tmp_path / "verified").symlink_to(f"releases/{verified}")
    if activating:
        (tmp_path / "activating").touch()
    [command] = unit_lines("ExecStartPre")
    # What systemd does with it: `-` lets it fail, `$$` is a dollar sign.
    command = command.removeprefix("-").replace("$$", "$")
    command = command.replace("/opt/slm-ft-serving", str(tmp_path)).replace("/run/slm-ft-serving", str(tmp_path))
    subprocess.run(shlex.split(command), check=False, timeout=10)
    assert (tmp_path / "current").readlink() == Path("releases") / expected


def test_record_names_the_models_revisions_and_hides_the_settings() -> None:
    about = value("inference_stack", "_inference_stack_about", BASE | {"inference_stack_settings": {"a": "secret"}})
    assert about["models"]["base"] == {"path": "/models/base-1", "revision": "base-1"}
    assert about["images"]["engine"]["reference"].endswith(DIGEST)
    assert re.fullmatch(r"[0-9a-f]{64}", about["settings"])
