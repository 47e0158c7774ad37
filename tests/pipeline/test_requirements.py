"""What is locked: each version with its hashes, and the gateway's image with those of the lock."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Those that something is installed from; the `.in` files are what they are compiled from.
FOLDERS = (".ci", "docker/*", "tests/charts")
FILES = sorted(path for folder in FOLDERS for path in ROOT.glob(f"{folder}/requirements*.txt"))
SOURCES = sorted(path for folder in FOLDERS for path in ROOT.glob(f"{folder}/requirements*.in"))
REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;]+)(?: ;.*?)?(?=\s|$)")


def requirements(path: Path) -> dict[str, tuple[str, set[str]]]:
    """Return version and hashes of each package in a requirements file."""
    found: dict[str, tuple[str, set[str]]] = {}
    text = re.sub(r"^ *#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    for line in filter(None, map(str.strip, text.splitlines())):
        match = REQUIREMENT.match(line)
        assert match, f"{path.name}: {line[:80]} is not pinned"
        found[match[1].lower()] = (match[2], set(re.findall(r"--hash=(sha256:[0-9a-f]{64})", line)))
    return found


def test_the_files_are_there() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in FILES}
    assert {
        ".ci/requirements-audit.txt",
        "docker/gateway/requirements.txt",
        "docker/trainer/requirements-gpu.txt",
    } <= names


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_version_is_pinned_with_its_hashes(path: Path) -> None:
    found = requirements(path)
    assert found
    assert [name for name, (_, hashes) in found.items() if not hashes] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.name))
def test_compiled_files_have_the_versions_of_their_sources(path: Path) -> None:
    compiled = requirements(path.with_suffix(".txt"))
    text = path.read_text(encoding="utf-8")
    pinned = {
        name.lower(): version
        for name, version in re.findall(r"^([A-Za-z0-9._-]+)(?:\[.*\])?==(\S+)", text, re.MULTILINE)
    }
    # Where the platform decides which build is taken, it is installed by itself.
    for name in re.findall(r"--no-emit-package (\S+)", text):
        pinned.pop(name, None)
    assert {name: compiled.get(name, ("", set()))[0] for name in pinned} == pinned


def test_the_gateways_image_has_what_the_lock_has() -> None:
    lock = tomllib.loads((ROOT / "poetry.lock").read_text(encoding="utf-8"))
    locked = {each["name"]: (each["version"], {file["hash"] for file in each["files"]}) for each in lock["package"]}
    found = requirements(ROOT / "docker/gateway/requirements.txt")
    assert {name: locked.get(name) for name in found} == found
