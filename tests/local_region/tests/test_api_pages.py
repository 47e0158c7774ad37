"""Answers in small pages."""

from __future__ import annotations

import json

import pytest
from ansible_collections.slm.serving.plugins.modules.ecr_image_info import existing_tags

from tests.fakes.account import Api

KIND = "application/vnd.oci.image.manifest.v1+json"
NAMES = [f"/app/{number:02}" for number in range(25)]


@pytest.fixture
def filled(api: Api) -> Api:
    """Return an account with more of everything than fits on a page."""
    for name in NAMES:
        api.client("ssm").put_parameter(Name=name, Value="x", Type="String")
    api.client("ecr").create_repository(repositoryName="images")
    for tag in "abc":
        manifest = {"schemaVersion": 2, "mediaType": KIND, "layers": [], "config": {"digest": tag}}
        api.client("ecr").put_image(repositoryName="images", imageTag=tag, imageManifest=json.dumps(manifest))
    return api


def test_first_page_is_empty_and_all_pages_together_are_whole(filled: Api) -> None:
    ssm = filled.client("ssm")
    first = ssm.get_parameters_by_path(Path="/app")
    assert first["Parameters"] == []
    assert first["NextToken"]
    pages = list(ssm.get_paginator("get_parameters_by_path").paginate(Path="/app"))
    assert [each["Name"] for page in pages for each in page["Parameters"]] == NAMES
    assert max(len(page["Parameters"]) for page in pages) == 2


def test_what_is_named_or_limited_comes_at_once(filled: Api) -> None:
    ecr = filled.client("ecr")
    assert len(ecr.describe_images(repositoryName="images", imageIds=[{"imageTag": "b"}])["imageDetails"]) == 1
    assert len(ecr.list_images(repositoryName="images", maxResults=1)["imageIds"]) == 1
    assert len(ecr.describe_images(repositoryName="images")["imageDetails"]) == 2


def test_modules_read_all_pages(filled: Api) -> None:
    assert sorted(existing_tags(filled.client("ecr"), "images")) == ["a", "b", "c"]


def test_nothing_needs_no_page(filled: Api) -> None:
    assert "NextToken" not in filled.client("ssm").get_parameters_by_path(Path="/other")


def test_other_protocols_are_left_alone(api: Api) -> None:
    api.client("iam").create_role(RoleName="role", AssumeRolePolicyDocument="{}")
    assert [each["RoleName"] for each in api.client("iam").list_roles()["Roles"]] == ["role"]


def test_an_error_stays_one(filled: Api) -> None:
    ecr = filled.client("ecr")
    with pytest.raises(ecr.exceptions.RepositoryNotFoundException):
        ecr.describe_images(repositoryName="missing")
