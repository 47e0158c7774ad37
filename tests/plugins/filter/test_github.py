"""Which workflows the role for pushing images may be given to."""

from __future__ import annotations

import pytest
from ansible_collections.slm.serving.plugins.filter.github import github_problems

MAIN = ["ref:refs/heads/main"]


@pytest.mark.parametrize(
    "subject",
    [
        "ref:refs/heads/main",
        "ref:refs/heads/release/*",
        "ref:refs/tags/v*",
        "ref:refs/tags/v1.2.3",
        "environment:production",
    ],
)
def test_branches_tags_and_environments_are_taken(subject: str) -> None:
    assert github_problems([subject], "owner/name.of-it") == []


@pytest.mark.parametrize(
    "subject",
    [
        "*",
        "ref:*",
        "ref:refs/heads/*",
        "ref:refs/tags/**",
        "pull_request",
        "environment:",
        "environment:*",
        "main",
        "ref:refs/pull/1/merge",
        "",
    ],
)
def test_what_lets_in_pull_requests_or_everything_is_refused(subject: str) -> None:
    (problem,) = github_problems([*MAIN, subject], "owner/name")
    assert repr(subject) in problem


@pytest.mark.parametrize(
    "repository", ["owner", "owner/*", "*/name", "https://github.com/owner/name", "owner/name/more", "owner/"]
)
def test_anything_but_one_repository_is_refused(repository: str) -> None:
    (problem,) = github_problems(MAIN, repository)
    assert "OWNER/NAME" in problem


def test_nothing_is_asked_where_no_repository_is_named() -> None:
    assert github_problems(["*"], "") == []


def test_without_a_subject_nothing_could_take_the_role() -> None:
    assert "is empty" in github_problems([], "owner/name")[0]


@pytest.mark.parametrize("environment", ["", "production", "prod-eu.1", "A_b"])
def test_an_environment_by_its_name_is_taken(environment: str) -> None:
    assert github_problems(MAIN, "owner/name", environment) == []


@pytest.mark.parametrize(
    "environment", ["*", "prod*", "pro?", "a:b", "a b", "a/b", "environment:production", "-a", "${x}"]
)
def test_anything_but_one_environment_is_refused(environment: str) -> None:
    (problem,) = github_problems(MAIN, "owner/name", environment)
    assert repr(environment) in problem


def test_an_environment_without_a_repository_is_refused() -> None:
    (problem,) = github_problems(MAIN, "", "production")
    assert "infrastructure_github_repository" in problem
