"""Every call of another program that the code makes on the instance, with its flags.

What a program takes and prints differs from version to version, and no test here has all of them. So each call stands
below, once it was looked up in the oldest and the newest version that docs/deploying.md names; a new one fails until
somebody has done the same.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.role_variables import ROLES

ROOT = ROLES.parent
PROGRAMS = {
    "aws",
    "dkms",
    "docker",
    "dockerd",
    "dpkg-query",
    "journalctl",
    "nvidia-ctk",
    "nvidia-smi",
    "openssl",
    "snap",
    "systemctl",
}
# Functions that are given a call without the program's name, and ones that are given it behind their first argument.
AWS, RUNNERS = {"aws", "_aws"}, {"output"}
# By program and commands: the options.
KNOWN = {
    "aws": "--region",
    "aws autoscaling complete-lifecycle-action": (
        "--lifecycle-action-result --lifecycle-hook-name --auto-scaling-group-name --instance-id --region"
    ),
    "aws cloudwatch put-metric-data": "--namespace",
    "aws ecr get-authorization-token": "--query --output",
    "aws ecr get-login-password": "",
    "aws s3 cp": "--no-progress --recursive",
    "aws s3 presign": "--expires-in",
    "aws s3api head-object": "--bucket --key --output",
    "aws s3api list-objects-v2": "--bucket --prefix --output",
    "aws secretsmanager get-secret-value": "--secret-id --region --output",
    "dkms status": "",
    # Of the docker command itself: a folder for the login, with the command behind it.
    "docker": "--config --username --password-stdin --quiet",
    "docker compose": "--project-name --file --quiet",
    "docker compose version": "--short",
    # Its standard error is a program's own.
    "docker exec": "-c",
    # Its exit code says nothing in some versions, and a hint follows its reason: docker_engine.info.
    "docker info": "--format",
    # Without a tag, an image is listed with --all only, and in no known form: docker_engine.images.
    "docker image ls": "--all --quiet --no-trunc",
    "docker image inspect": "--format",
    "docker image rm": "",
    "docker inspect": "",
    "docker kill": "--signal",
    "docker logs": "--tail",
    "docker ps": "--all --quiet --no-trunc --filter --format",
    "docker rm": "--force",
    "docker run": (
        "--rm --pull --network --env --entrypoint --name --log-driver --read-only --tmpfs --cap-drop --security-opt"
    ),
    "docker start": "",
    "docker unpause": "",
    "docker version": "--format",
    "dockerd": "--validate --config-file",
    "dpkg-query": "--show --showformat",
    "journalctl": "--unit --dmesg --lines --no-pager --output --since",
    "nvidia-ctk": "--version",
    "nvidia-smi": "--query-gpu --query-compute-apps --format",
    "openssl": "-noout -enddate",
    "snap list": "",
    "systemctl disable": "--now",
    "systemctl daemon-reload": "",
    "systemctl is-active": "--quiet",
    "systemctl is-enabled": "--quiet",
    "systemctl is-system-running": "",
    "systemctl poweroff": "",
    "systemctl reenable": "",
    "systemctl reload": "",
    "systemctl reset-failed": "",
    "systemctl restart": "",
    # --timestamp is not for systemd before 251: units.started.
    "systemctl show": "--property --value",
    "systemctl start": "--no-block",
    "systemctl stop": "",
}
DEPTH = {"aws": 3, "docker": 2, "dkms": 2, "snap": 2, "systemctl": 2}
GROUPS = {"image", "compose"}


def words_of(elements: list[ast.expr]) -> list[str]:
    """Return the words of a call as far as they stand in the code; an empty one for each that does not."""
    words: list[str] = []
    for element in elements:
        if isinstance(element, ast.Starred) and isinstance(element.value, ast.Tuple | ast.List):
            words += words_of(element.value.elts)
        elif isinstance(element, ast.JoinedStr) and element.values and isinstance(element.values[0], ast.Constant):
            words.append(str(element.values[0].value))
        else:
            words.append(str(element.value) if isinstance(element, ast.Constant) else "")
    return words


def calls(path: Path) -> Iterator[list[str]]:
    """Yield the calls of a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        words: list[str] = []
        if isinstance(node, ast.List | ast.Tuple):
            words = words_of(node.elts)
            if words and words[0] == "s3api":
                words = ["aws", *words]  # A call that is put together before it is given to one of these functions.
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            words = ["aws", *words_of(node.args)] if name in AWS else words_of(node.args)[1:] if name in RUNNERS else []
        if words and words[0] in PROGRAMS and len(words) > 1:
            yield words


def split(words: list[str]) -> tuple[str, set[str]]:
    """Return program and commands of a call, and its options."""
    depth = DEPTH.get(words[0], 1) + (words[0] == "docker" and words[1] in GROUPS)
    commands = [words[0]]
    for word in words[1:depth]:
        if not word or word.startswith("-"):
            break
        commands.append(word)
    return " ".join(commands), {word.partition("=")[0] for word in words if word.startswith("-")}


FILES = sorted([*ROOT.glob("plugins/**/*.py"), *ROOT.glob("roles/*/files/*.py")])
FOUND = [(path.name, *split(words)) for path in FILES for words in calls(path)]


@pytest.mark.parametrize("command", sorted({command for _, command, _ in FOUND}))
def test_call_was_looked_up_in_all_versions(command: str) -> None:
    options = {option for _, found, given in FOUND if found == command for option in given}
    files = sorted({name for name, found, _ in FOUND if found == command})
    assert command in KNOWN, f"{', '.join(files)}: look `{command}` up in the versions of docs/deploying.md"
    assert options <= set(KNOWN[command].split()), f"{', '.join(files)}: the same for its options"


def test_no_call_is_listed_that_nobody_makes() -> None:
    assert sorted(set(KNOWN) - {command for _, command, _ in FOUND}) == []
