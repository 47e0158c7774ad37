"""What a linter does not hold the workflows to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / ".github/workflows").glob("*.yml"))
PINNED = re.compile(r"uses: [\w-]+/[\w.-]+(?:/[\w.-]+)*@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
OWN = "uses: ./.github/workflows/"
WITH_TOKEN = {("build.yml", "image"), ("deploy.yml", "deploy")}


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    """Return a workflow's jobs by name."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    return found


def test_the_workflows_are_there() -> None:
    assert [path.name for path in FILES] == ["build.yml", "check.yml", "deploy.yml", "nightly.yml", "test.yml"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.name))
def test_every_action_is_pinned_to_a_commit_and_names_its_version(path: Path) -> None:
    used = [
        line.strip().removeprefix("- ") for line in path.read_text(encoding="utf-8").splitlines() if "uses:" in line
    ]
    assert used
    assert [line for line in used if not PINNED.fullmatch(line) and not line.startswith(OWN)] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.name))
def test_rights_are_given_to_jobs_and_only_what_they_need(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {}
    assert "concurrency" in workflow
    for name, job in jobs(path).items():
        rights = job["permissions"]
        assert rights["contents"] == "read", name
        assert ("id-token" in rights) == ((path.name, name) in WITH_TOKEN), name
        assert "timeout-minutes" in job or "uses" in job, name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.name))
def test_no_workflow_holds_or_reads_a_static_key(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "secrets." not in text
    assert not re.search(r"aws-(access-key-id|secret-access-key)|AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY)", text)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.name))
def test_steps_run_commands_of_the_repository(path: Path) -> None:
    """A step is a command that an operator can give too and that tests run; GitHub's values come in variables."""
    for job in jobs(path).values():
        for step in job.get("steps", []):
            for command in str(step.get("run", "make")).split(" && "):
                assert re.match(r"make |make$|\.ci/[a-z-]+$|\.venv/bin/python -m (pipeline|pytest) ", command), command
                assert "${{" not in command
                script = re.match(r"\.ci/[a-z-]+$", command)
                assert script is None or (ROOT / command).stat().st_mode & 0o100


def test_nothing_is_built_that_was_not_checked_nor_pushed_that_was_not_tried() -> None:
    build = jobs(ROOT / ".github/workflows/build.yml")
    assert build["image"]["needs"] == "check"
    commands = [str(step.get("run", step.get("uses"))).partition("@")[0] for step in build["image"]["steps"]]
    order = [
        next(number for number, command in enumerate(commands) if command.startswith(beginning))
        for beginning in ("make images", "anchore/sbom-action", "make push", "actions/attest")
    ]
    assert order == sorted(order)
    images = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\nimages:")[2].partition("\n\n")[0]
    assert re.findall(r"-m pipeline (\w+)", images) == ["build", "smoke"]


def test_a_deployment_waits_for_the_environments_approval() -> None:
    path = ROOT / ".github/workflows/deploy.yml"
    assert jobs(path)["deploy"]["environment"] == "production"
    # YAML reads the key `on` as true.
    assert set(yaml.safe_load(path.read_text(encoding="utf-8"))[True]) == {"workflow_dispatch"}
