"""What keeps a playbook from starting: settings that are missing, and more or less than one instance."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from ansible_collections.slm.serving.plugins.filter import controller
from ansible_collections.slm.serving.plugins.filter.controller import (
    collection_problems,
    setting_problems,
    tagged_instance_problems,
)

from tests.local_region.names import REPOSITORY_ROOT

REQUIRED = [{"parameter": "model/base", "variable": "base"}, {"parameter": "images/engine-tag", "variable": "tag"}]


def test_setting_without_a_value_is_reported_with_its_variable() -> None:
    (problem,) = setting_problems(REQUIRED, ["s3://b/base", ""], "/app")
    assert "/app/images/engine-tag is not set" in problem
    assert "-e tag=VALUE" in problem


def test_settings_with_values_are_no_problem() -> None:
    assert setting_problems(REQUIRED, ["s3://b/base", "v1"], "/app") == []


@pytest.mark.parametrize("settings", [{}, {"ec2/instance-id": "i-1"}])
def test_one_instance_with_the_tag_is_no_problem(settings: dict[str, str]) -> None:
    assert tagged_instance_problems(["i-1"], "A=b", settings, "/app") == []


@pytest.mark.parametrize(
    ("instances", "word"),
    [
        ([], "No instance has the tag A=b"),
        (["i-2"], "names i-1, but the instance with the tag A=b is i-2"),
        (["i-2", "i-3"], "names i-1, but the instance with the tag A=b is i-2, i-3"),
    ],
)
def test_unclear_instance_is_a_problem(instances: list[str], word: str) -> None:
    (problem,) = tagged_instance_problems(instances, "A=b", {"ec2/instance-id": "i-1"}, "/app")
    assert word in problem


def installed(folder: Path, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have Ansible load every collection from a folder with this version."""
    (folder / "MANIFEST.json").write_text(json.dumps({"collection_info": {"version": version}}))
    monkeypatch.setattr(controller, "collection_folder", lambda _: folder)


@pytest.mark.parametrize("version", ["9.5.0", "11.1.9", "0.1.0"])
def test_collection_that_is_too_old_is_named_with_its_folder_and_the_version_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    installed(tmp_path, version, monkeypatch)
    (problem,) = collection_problems({"amazon.aws": ">=11.2.0"})
    assert f"The collection amazon.aws is {version}, at {tmp_path}, and >=11.2.0 is needed" in problem


@pytest.mark.parametrize("version", ["11.2.0", "12.0.0", "12.0.0-dev1", "not a version"])
def test_collection_that_will_do_or_may_is_no_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    installed(tmp_path, version, monkeypatch)
    assert collection_problems({"amazon.aws": ">=11.2.0"}) == []


def test_collection_that_is_missing_is_a_problem() -> None:
    (problem,) = collection_problems({"no.such": ">=1.0.0"})
    assert "The collection no.such is not installed" in problem


def test_collections_of_the_environment_are_those_that_are_needed() -> None:
    needed = yaml.safe_load((REPOSITORY_ROOT / "galaxy.yml").read_text(encoding="utf-8"))["dependencies"]
    assert collection_problems(needed) == []
    assert all(controller.collection_version(controller.collection_folder(name) or Path()) for name in needed)


@pytest.mark.parametrize("settings", [{}, {"ec2/instance-id": "i-1"}, {"ec2/instance-id": "i-2"}])
def test_several_with_the_tag_are_a_group(settings: dict[str, str]) -> None:
    assert tagged_instance_problems(["i-2", "i-1"], "A=b", settings, "/app") == []


@pytest.mark.parametrize("instances", [["i-1"], ["i-2", "i-1"]])
def test_an_instance_with_the_tag_may_be_named(instances: list[str]) -> None:
    assert tagged_instance_problems(instances, "A=b", {}, "/app", named="i-1", meant=["i-1"], several=False) == []


def test_a_playbook_for_one_of_several_has_it_named() -> None:
    (problem,) = tagged_instance_problems(["i-2", "i-1"], "A=b", {}, "/app", several=False)
    assert "more than one has the tag A=b: i-2, i-1" in problem
    assert "--limit i-1" in problem


def test_a_limit_that_leaves_no_instance_is_a_problem() -> None:
    (problem,) = tagged_instance_problems(["i-2", "i-1"], "A=b", {}, "/app", meant=[])
    assert "--limit leaves none" in problem


@pytest.mark.parametrize("instances", [["i-1"], ["i-1", "i-2"]])
def test_a_named_instance_without_the_tag_is_a_problem(instances: list[str]) -> None:
    (problem,) = tagged_instance_problems(instances, "A=b", {}, "/app", named="i-9", meant=["i-9"])
    assert "names i-9" in problem
