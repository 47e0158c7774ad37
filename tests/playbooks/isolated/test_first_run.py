"""docs/first-run.md, word for word: from an empty account over a release, a rollback and a restart to nothing again."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.local_region import names, seed
from tests.local_region.region import LocalRegion
from tests.support.runner import PlaybookRun, run_playbook

pytestmark = pytest.mark.region

PAGE = names.REPOSITORY_ROOT / "docs/first-run.md"
# What each step prints at its end; docs/first-run.md has an excerpt.
TRANSCRIPT = names.REPOSITORY_ROOT / "build/first-run.txt"
VARIABLES = "first-run.yml"
# What differs from AWS: the names that the region's own upload knows.
IN_THE_REGION: dict[str, Any] = {
    "infrastructure_transfer_bucket": names.TRANSFER_BUCKET,
    "infrastructure_models_bucket": names.MODELS_BUCKET,
    "infrastructure_parameters": {
        "model/base": f"s3://{names.MODELS_BUCKET}/small/base",
        "model/adapter": f"s3://{names.MODELS_BUCKET}/small/adapter",
    },
}
LAST_LINES = 12
CHECK, MADE, AGAIN = 0, 1, 2
DEPLOYED, UNCHANGED, VERIFIED, OTHER, BACK, STOPPED, STARTED, STATUS, REMOVED = range(3, 12)


@dataclass
class Rehearsal:
    """The page's commands, and what became of them.

    Attributes:
        runs: of the playbooks, in the order of the page.
        log: what the API server logged.
        policies: of the instance's role, after the account was made.
    """

    runs: list[PlaybookRun] = field(default_factory=list)
    log: str = ""
    policies: list[str] = field(default_factory=list)


def commands() -> list[list[str]]:
    """Return the page's commands that run a playbook, as words."""
    blocks = re.findall(r"^```console\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line) for line in lines if line.startswith("ansible-playbook ")]


def variables() -> dict[str, Any]:
    """Return the variables that the page has written into a file."""
    (block,) = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    content: dict[str, Any] = yaml.safe_load(block)
    return content


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """Run the page's commands; a fake serves as the engine, so that no model need be loaded."""
    given = variables()
    merged = IN_THE_REGION | given
    merged["infrastructure_parameters"] = (
        IN_THE_REGION["infrastructure_parameters"] | given["infrastructure_parameters"]
    )
    file = tmp_path_factory.mktemp("first-run") / VARIABLES
    file.write_text(yaml.safe_dump(merged), encoding="utf-8")
    rehearsal = Rehearsal()
    with LocalRegion(names.of_this_copy("empty"), engine="stand-in", empty_account=True).fresh() as region:
        key = seed.kept_secret(region.state.gateway_api_key, "slm-demo-")
        line = f"demo:{hashlib.sha256(key.encode()).hexdigest()}"
        for words in commands():
            name = Path(words[1]).stem
            arguments = [word.replace(f"@{VARIABLES}", f"@{file}") for word in words[2:]]
            if name == "deploy" and len(rehearsal.runs) == DEPLOYED:
                rehearsal.policies = region.client("iam").list_role_policies(RoleName=names.INSTANCE_ROLE)[
                    "PolicyNames"
                ]
                region.give_images_and_model()
            run = run_playbook(region, name, *arguments, environment={"SLM_GATEWAY_API_KEYS": line})
            rehearsal.runs.append(run)
            if run.returncode != 0:
                break
        rehearsal.log = region.api_log()
        write_transcript(rehearsal.runs)
        yield rehearsal


def write_transcript(runs: list[PlaybookRun]) -> None:
    """Keep the ends of all runs."""
    parts = [
        "\n".join([f"$ {shlex.join(words)}", *run.output.rstrip().splitlines()[-LAST_LINES:], ""])
        for words, run in zip(commands(), runs, strict=False)
    ]
    TRANSCRIPT.parent.mkdir(exist_ok=True)
    TRANSCRIPT.write_text("\n".join(parts), encoding="utf-8")


def test_every_command_of_the_page_succeeds(rehearsal: Rehearsal) -> None:
    for run in rehearsal.runs:
        run.must_succeed()
    assert len(rehearsal.runs) == len(commands()) == REMOVED + 1


def test_a_look_changes_nothing_and_says_what_would_be_made(rehearsal: Rehearsal) -> None:
    assert "would be made" in rehearsal.runs[CHECK].output
    assert "would be started" in rehearsal.runs[CHECK].output


def test_the_account_is_made_once(rehearsal: Rehearsal) -> None:
    assert rehearsal.runs[MADE].changed > 0
    assert rehearsal.runs[AGAIN].changed == 0, rehearsal.runs[AGAIN].output
    assert rehearsal.policies == [names.APPLICATION]


def test_a_deployment_verifies_and_a_second_one_changes_nothing(rehearsal: Rehearsal) -> None:
    assert rehearsal.runs[DEPLOYED].changed > 0
    assert rehearsal.runs[UNCHANGED].changed == 0, rehearsal.runs[UNCHANGED].output
    assert rehearsal.runs[VERIFIED].changed == 0


def test_another_release_serves_and_a_rollback_leads_back(rehearsal: Rehearsal) -> None:
    first, other, back = (
        re.findall(r"^release\s+(\S+), verified", rehearsal.runs[step].output, re.MULTILINE)
        for step in (DEPLOYED, OTHER, BACK)
    )
    assert len(first) == len(other) == 1
    assert other != first
    assert back == first


def test_a_start_right_after_the_stop_serves_again(rehearsal: Rehearsal) -> None:
    assert rehearsal.runs[STARTED].sessions > 0
    assert "playbooks/connect.yml" in rehearsal.runs[STARTED].output.rstrip().splitlines()[-1]


def test_no_call_was_refused(rehearsal: Rehearsal) -> None:
    """Operators had the rights of docs/permissions.md, and the instance those of its role."""
    assert "refused: " not in rehearsal.log
    assert "instance secretsmanager GetSecretValue" in rehearsal.log
