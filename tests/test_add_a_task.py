"""Every command of the recipe for a new task is one that exists, with arguments that it takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli import main as gateway
from training import __main__ as training

ROOT = Path(__file__).resolve().parent.parent
RECIPE = ROOT / "docs" / "add-a-task.md"


def commands() -> Iterator[list[str]]:
    """Yield the commands of the page's console blocks."""
    for block in re.findall(r"^```console\n(.*?)^```", RECIPE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        yield from (shlex.split(line, comments=True) for line in block.splitlines())


def called(*program: str) -> list[list[str]]:
    """Return the arguments of each call of a module or a program."""
    found = []
    for command in commands():
        words = ["python", *command[1:]] if command[0].endswith("/python") else command
        if tuple(words[: len(program)]) == program:
            found.append(words[len(program) :])
    return found


def test_the_recipe_has_its_steps_in_their_order() -> None:
    names = [arguments[0] for arguments in called("python", "-m", "training")]
    assert names == ["generate", "generate", "check-data", "make-data", "run", "evaluate"]
    programs = {command[0] for command in commands()}
    assert programs == {
        "python", ".training-venv/bin/python", "make", ".ci/training-env", "aws", "ansible-playbook"
    }  # fmt: skip


@pytest.mark.parametrize("arguments", called("python", "-m", "training"), ids=lambda words: words[0])
def test_the_training_command_takes_its_arguments(arguments: list[str]) -> None:
    parsed = training._parser().parse_args(arguments)
    assert callable(parsed.action)


def test_the_other_programs_are_there() -> None:
    assert (ROOT / ".ci" / "training-env").is_file()
    assert all((ROOT / arguments[0]).is_file() for arguments in called("ansible-playbook"))
    assert called("make") == [["model", "TASK=parcel", "DATA=data"]]


def test_the_gateways_command_takes_its_arguments() -> None:
    (arguments,) = called("python", "-m", "gateway")
    parsed = gateway._parser().parse_args(arguments)
    assert parsed.task == "parcel"
