"""The functions that the set-up scripts share: finding a Python, and what is shown of a step that failed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.setup.project import ROOT

TOOLS = ("bash", "sh", "basename", "cat", "sed", "tail", "grep", "rm", "mkdir", "df", "awk")


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Return a folder that holds all programs that there are, and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        path = subprocess.run(["which", tool], capture_output=True, text=True, check=True).stdout.strip()
        (folder / tool).symlink_to(path)
    return folder


def python(path: Path, *, minor: int, complete: bool = True) -> Path:
    """Write a Python of a version 3.MINOR, as far as the set-up asks; `complete`: with venv and ensurepip."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "#!/bin/sh\n"
        f'case "$2" in *ensurepip*) exit {0 if complete else 1} ;; *version_info*) [ "$3" -le {minor} ] ;; esac\n'
    )
    path.chmod(0o755)
    return path


def run(programs: Path, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script that has sourced the functions."""
    folder = programs.parent
    return subprocess.run(
        [programs / "bash", "-c", f'set -euo pipefail; . "{ROOT}/.ci/common.sh"\n{script}', "setup"],
        cwd=folder,
        env={"PATH": str(programs), "HOME": str(folder), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


FIND = "found=$(find_python 12 3.14 3.13 3.12); printf '%s' \"$found\""


def test_the_first_of_the_named_versions_wins_over_what_is_on_path(programs: Path) -> None:
    """Those of pyenv too, in a folder with a space."""
    python(programs / "python3.12", minor=12)
    python(programs / "python3.13", minor=0)  # a shim that fails
    root = programs.parent / "py env"
    expected = python(root / "versions/3.13.1/bin/python", minor=13)

    assert run(programs, FIND, PYENV_ROOT=str(root)).stdout == str(expected)


def test_a_later_python_than_the_named_ones_will_do(programs: Path) -> None:
    """As `python3`."""
    expected = python(programs / "python3", minor=15)

    assert run(programs, FIND).stdout == str(expected)


def test_the_python_that_is_asked_for_wins(programs: Path) -> None:
    """PYTHON may be a path or a name."""
    python(programs / "python3.14", minor=14)
    expected = python(programs / "python3.12", minor=12)

    assert run(programs, FIND, PYTHON="python3.12").stdout == str(expected)
    assert run(programs, FIND, PYTHON=str(expected)).stdout == str(expected)


@pytest.mark.parametrize(
    ("minor", "complete", "environment", "message"),
    [
        (11, True, {}, "setup: needs Python 3.12 or later with venv, and there is none.\n"),
        (
            13,
            False,
            {},
            "/bin/python3 lacks the module venv or ensurepip.\n  Debian and Ubuntu: apt-get install python3-venv",
        ),
        (
            11,
            True,
            {"PYTHON": "python3"},
            "setup: PYTHON=python3 is no Python 3.12 or later with the modules venv and ensurepip\n",
        ),
    ],
    ids=["too-old", "without-venv", "asked-for"],
)
def test_the_message_says_which_python_is_missing(
    programs: Path, minor: int, complete: bool, environment: dict[str, str], message: str
) -> None:
    """And how to get it."""
    python(programs / "python3", minor=minor, complete=complete)

    result = run(programs, FIND, **environment)

    assert result.returncode == 1
    assert message in result.stderr


HASH = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("output", "advice"),
    [
        ("OSError: [Errno 28] No space left on device", "the disk is full."),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
            "a file that is not the locked one",
        ),
        (
            "connection broken by 'SSLError([SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed)'",
            "export PIP_CERT=",
        ),
        (
            "connection broken by 'NewConnectionError'\nERROR: No matching distribution found for x",
            "cannot be reached.",
        ),
        ("ERROR: No matching distribution found for alpha==1.0", "lacks this version"),
        ("something else", "run this again when the cause is gone."),
    ],
    ids=["disk", "hash", "certificate", "network", "missing", "other"],
)
def test_a_failed_step_shows_the_end_of_its_output_and_what_to_do(programs: Path, output: str, advice: str) -> None:
    """Without what is of no use there; the log has that too."""
    noise = "WARNING: Location 'file:///nowhere/simple/alpha/' is ignored: it is neither a file nor a directory."
    (programs.parent / "output").write_text(f"{noise}\n        or {HASH}\n{output}\n")

    result = run(programs, "start_log; step 'Installing it' sh -c 'cat output; exit 3'; echo not reached")

    assert (result.returncode, result.stdout) == (1, "")
    lines = result.stderr.splitlines()
    assert lines[0].startswith("setup: Installing it failed.")
    assert lines[1 : 1 + len(output.splitlines())] == [f"    {line}" for line in output.splitlines()]
    assert advice in "\n".join(lines[1 + len(output.splitlines()) :])
    log = (programs.parent / "build/setup.log").read_text()
    assert noise in log
    assert HASH in log


def test_a_step_that_succeeds_prints_nothing(programs: Path) -> None:
    """Its output is in the log."""
    result = run(programs, "start_log; step 'Installing it' sh -c 'echo all is well'")

    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert "all is well" in (programs.parent / "build/setup.log").read_text()
    assert not (programs.parent / "build/setup.log.step").exists()
