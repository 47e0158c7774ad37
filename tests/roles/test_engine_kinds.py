"""engine/kind: what the inventory makes of it, and the files of a release with llama.cpp."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.slm.serving.plugins.filter.adapters import adapter_notes
from ansible_collections.slm.serving.plugins.filter.settings import engine_problems, invalid_setting_problems

from tests.local_region.names import REPOSITORY_ROOT
from tests.roles.test_settings_of_adapters import of_inventory
from tests.support.release_files import BASE, compose, files
from tests.support.rendering import value

PATH = "/slm-ft-serving"
VLLM = {"model/base": "s3://m/base", "model/adapter": "s3://m/adapter"}
LLAMACPP = VLLM | {"engine/kind": "llamacpp", "model/gguf": "s3://m/gguf"}
RELEASE: dict[str, Any] = {
    "inference_stack_engine_kind": "llamacpp",
    "inference_stack_accelerator": "cpu",
    "inference_stack_models": {"gguf": {"path": "/models/gguf-1"}},
    "inference_stack_engine_max_model_len": 2048,
}


@pytest.mark.parametrize(
    ("variable", "vllm", "llamacpp"),
    [
        ("images_engine_repository", "slm-ft-serving-vllm", "slm-ft-serving-llamacpp"),
        ("stack_accelerator", "gpu", "cpu"),
        ("model_store_models", {"base": "s3://m/base", "adapter": "s3://m/adapter"}, {"gguf": "s3://m/gguf"}),
        ("adapter_gate_candidate", "s3://m/adapter", "s3://m/gguf"),
        ("inference_stack_engine_kind", "vllm", "llamacpp"),
        ("stack_model_problems", [], []),
        ("stack_engine_problems", [], []),
    ],
)
def test_kind_decides_image_models_and_accelerator(variable: str, vllm: Any, llamacpp: Any) -> None:
    assert of_inventory(variable, VLLM) == vllm
    assert of_inventory(variable, VLLM | {"engine/kind": ""}) == vllm
    assert of_inventory(variable, LLAMACPP) == llamacpp


def test_sources_that_the_kind_needs_have_to_be_named() -> None:
    (problem,) = of_inventory("stack_model_problems", VLLM | {"engine/kind": "llamacpp"})
    assert "model/gguf is not set" in problem
    assert "-e model_store_gguf=VALUE" in problem
    problems = of_inventory("stack_model_problems", {})
    assert [f"model/{name} is not set" in text for name, text in zip(("base", "adapter"), problems, strict=True)]
    assert of_inventory("stack_model_problems", LLAMACPP | {"model/base": "", "model/adapter": ""}) == []


def test_kind_that_is_none_is_refused() -> None:
    (problem,) = invalid_setting_problems({"engine/kind": "ollama"}, PATH)
    assert "'ollama', which is not vllm or llamacpp" in problem
    assert invalid_setting_problems({"engine/kind": "llamacpp"}, PATH) == []


def test_what_llamacpp_cannot_do_is_refused_before_anything_is_touched() -> None:
    settings = LLAMACPP | {"engine/accelerator": "gpu", "model/adapters/assistant-intent": "s3://m/2/adapter"}
    gpu, adapter = of_inventory("stack_engine_problems", settings)
    assert "computes on a CPU" in gpu
    assert "Set that to cpu, or the kind to vllm" in gpu
    assert f"{PATH}/model/adapters/assistant-intent" in adapter
    extras = {"GATEWAY_ENGINE_EXTRAS": "on"}
    (problem,) = engine_problems("llamacpp", PATH, accelerator="cpu", environment=extras)
    assert "GATEWAY_ENGINE_EXTRAS" in problem
    assert engine_problems("vllm", PATH, accelerator="gpu", adapters=["a"], environment=extras) == []


def test_nobody_is_told_to_give_llamacpp_a_further_adapter() -> None:
    tasks = [{"name": "other", "adapter": "other"}]
    (note,) = adapter_notes({}, tasks, PATH, default="medical-ie", engine="llamacpp")
    assert "serves the default task alone" in note
    assert "model/adapters" not in note


def test_release_with_llamacpp_has_its_image_file_and_mounts() -> None:
    rendered = files(**RELEASE)
    assert set(rendered) == {"compose.yml", "engine.json", "chat_template.jinja", "verification.json"}
    services = yaml.safe_load(rendered["compose.yml"])["services"]
    engine = services["engine"]
    assert engine["command"] == ["--config", "/etc/slm-ft-serving/engine.json"]
    assert {volume["target"]: volume["source"] for volume in engine["volumes"]} == {
        "/models/gguf": "/models/gguf-1",
        "/etc/slm-ft-serving/engine.json": "/opt/slm-ft-serving/current/engine.json",
        "/etc/slm-ft-serving/chat_template.jinja": "/opt/slm-ft-serving/current/chat_template.jinja",
    }
    assert all(volume["read_only"] for volume in engine["volumes"])
    assert "deploy" not in engine
    assert (engine["read_only"], engine["cap_drop"], engine["mem_limit"]) == (True, ["ALL"], "16g")
    assert engine["tmpfs"] == ["/tmp:mode=1777"]
    assert services["gateway"]["environment"]["GATEWAY_ENGINE_KIND"] == "llamacpp"


def test_release_with_vllm_is_rendered_as_before_there_was_another_kind() -> None:
    services = compose()["services"]
    assert services["engine"]["command"] == ["--config", "/etc/slm-ft-serving/engine.yaml"]
    assert "GATEWAY_ENGINE_KIND" not in services["gateway"]["environment"]


def test_what_llamacpp_reads_is_in_its_label() -> None:
    labels = [
        yaml.safe_load(files(**RELEASE | changes)["compose.yml"])["services"]["engine"]["labels"]
        for changes in ({}, {"inference_stack_engine_options": {"requests": 4}})
    ]
    assert labels[0] != labels[1]


def test_release_says_which_engine_it_has() -> None:
    about = value("inference_stack", "_inference_stack_about", BASE | RELEASE)
    assert (about["engine_kind"], about["accelerator"]) == ("llamacpp", "cpu")
    assert not {"profile", "engine_cache"} & set(about)
    assert value("inference_stack", "_inference_stack_about", BASE)["engine_kind"] == "vllm"


def test_the_engines_program_takes_the_file_that_the_role_writes(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("serve", REPOSITORY_ROOT / "docker/llamacpp/serve.py")
    assert spec
    assert spec.loader
    serve = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(serve)
    options = {"threads": 3, "requests": None}
    written = json.loads(files(**RELEASE, inference_stack_engine_options=options)["engine.json"])
    assert written["model"] == "/models/gguf/model.gguf"
    (tmp_path / "model.gguf").touch()
    (tmp_path / "engine.json").write_text(json.dumps(written | {"model": str(tmp_path / "model.gguf")}))
    settings = serve.read_settings(tmp_path / "engine.json")
    assert (settings["host"], settings["port"], settings["context"]) == ("0.0.0.0", 8000, 2048)  # noqa: S104
    assert (settings["threads"], settings["requests"], settings["name"]) == (3, 8, "medical-ie")
    (tmp_path / "engine.json").write_text(json.dumps(written | {"max-num-seqs": 4}))
    with pytest.raises(serve.SettingsError, match="there is no setting max-num-seqs"):
        serve.read_settings(tmp_path / "engine.json")


@pytest.mark.parametrize(
    ("settings", "parameters", "accelerator", "gguf"),
    [
        ({}, {}, "gpu", ""),
        ({}, {"engine/kind": "llamacpp"}, "cpu", "s3://models/gguf"),
        ({"engine/kind": "llamacpp"}, {}, "cpu", "s3://models/gguf"),
        ({"engine/kind": "vllm"}, {}, "gpu", ""),
    ],
)
def test_provisioning_puts_what_the_kind_needs(
    settings: dict[str, str], parameters: dict[str, str], accelerator: str, gguf: str
) -> None:
    variables = {
        "infrastructure_settings": settings,
        "infrastructure_parameters": parameters,
        "infrastructure_models_bucket": "models",
        "infrastructure_region": "us-east-1",
        "infrastructure_account": "1",
    }
    own = "_infrastructure_settings_own"
    found = [value("infrastructure", f"{own}['{name}']", variables) for name in ("engine/accelerator", "model/gguf")]
    assert found == [accelerator, gguf]
    # Wherever it lies, the instance may read it.
    elsewhere = variables | {"infrastructure_settings": settings | {"model/gguf": "s3://other/gguf"}}
    assert "model/gguf" in value("infrastructure", "_infrastructure_sources", elsewhere)
    assert "slm-ft-serving-llamacpp" in value("infrastructure", "_infrastructure_repositories", variables)
