"""What keeps a playbook from starting: settings that are missing, and more or less than one instance."""

from __future__ import annotations

import pytest
from ansible_collections.slm.serving.plugins.filter.controller import setting_problems, tagged_instance_problems

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
    [([], "No instance has the tag A=b"), (["i-1", "i-2"], "A=b: i-1, i-2"), (["i-2"], "names i-1, but")],
)
def test_unclear_instance_is_a_problem(instances: list[str], word: str) -> None:
    (problem,) = tagged_instance_problems(instances, "A=b", {"ec2/instance-id": "i-1"}, "/app")
    assert word in problem


@pytest.mark.parametrize(("instances", "several"), [(["i-1"], False), (["i-1"], True), (["i-2", "i-1"], True)])
def test_an_instance_with_the_tag_may_be_named(instances: list[str], several: bool) -> None:
    assert tagged_instance_problems(instances, "A=b", {}, "/app", named="i-1", one_of_several=several) == []


def test_a_named_instance_is_one_of_several_for_some_playbooks_only() -> None:
    (problem,) = tagged_instance_problems(["i-2", "i-1"], "A=b", {}, "/app", named="i-1")
    assert "More than one instance" in problem
    assert "-e ec2_instance_id=" in problem


@pytest.mark.parametrize("instances", [["i-1"], ["i-1", "i-2"]])
def test_a_named_instance_without_the_tag_is_a_problem(instances: list[str]) -> None:
    (problem,) = tagged_instance_problems(instances, "A=b", {}, "/app", named="i-9", one_of_several=True)
    assert "names i-9" in problem
