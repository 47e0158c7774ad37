"""Who may take the role of GitHub's workflows; NAME.yml documents each filter."""

from __future__ import annotations

import re
from typing import Any

# One repository: a wildcard would let in others.
REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+")
# The name begins with no wildcard alone, so that it says something.
SUBJECT = re.compile(r"(?:ref:refs/(?:heads|tags)/|environment:)(?![*?]+$)[^\s:]+")


def github_problems(subjects: list[Any], repository: str) -> list[str]:
    """Return why the role cannot be given to these workflows; empty also where no repository is named.

    Args:
        subjects: where a workflow must run, such as `ref:refs/heads/main`.
        repository: OWNER/NAME; empty means that there is no role.
    """
    if not repository:
        return []
    problems = []
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
