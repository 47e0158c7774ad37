"""Who may take the roles of GitHub's workflows; NAME.yml documents each filter."""

from __future__ import annotations

import re
from typing import Any

# One repository: a wildcard would let in others.
REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+")
# One environment. GitHub writes other characters of a name into its tokens in a form of their own.
ENVIRONMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# The name begins with no wildcard alone, so that it says something.
SUBJECT = re.compile(r"(?:ref:refs/(?:heads|tags)/|environment:)(?![*?]+$)[^\s:]+")


def github_problems(subjects: list[Any], repository: str, environment: str = "") -> list[str]:
    """Return why the roles cannot be given to these workflows; empty also where neither role is wanted.

    Args:
        subjects: where a workflow that pushes images must run, such as `ref:refs/heads/main`.
        repository: OWNER/NAME; empty means that there is no role.
        environment: where a workflow that deploys must run; empty means that there is no role for it.
    """
    problems = []
    if environment and not ENVIRONMENT.fullmatch(environment):
        problems.append(
            f"infrastructure_github_environment is {environment!r}, which is not the name of one environment of"
            " letters, digits, dots, underscores and hyphens."
        )
    if not repository:
        if environment:
            problems.append(
                "infrastructure_github_environment is given without infrastructure_github_repository: say whose"
                " environment it is."
            )
        return problems
    if not REPOSITORY.fullmatch(repository):
        problems.append(
            f"infrastructure_github_repository is {repository!r}, which is not OWNER/NAME of one GitHub repository."
        )
    if not subjects:
        problems.append("infrastructure_github_subjects is empty: nothing could take the role of GitHub's workflows.")
    problems += [
        f"infrastructure_github_subjects: {subject!r} is not ref:refs/heads/BRANCH, ref:refs/tags/TAG or"
        " environment:NAME with a name that is no wildcard alone."
        for subject in subjects
        if not SUBJECT.fullmatch(str(subject))
    ]
    return problems


class FilterModule:
    """The filters, for Ansible."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"github_problems": github_problems}
