"""Which package of the tests may import which: its own, and what is there for all; never another's tests."""

from __future__ import annotations

import ast
from pathlib import Path, PurePosixPath

import pytest

TESTS = Path(__file__).parent
FILES = sorted(path.relative_to(TESTS).as_posix() for path in TESTS.rglob("*.py"))
# What is there for all, each with those of the others that it is made from.
SHARED = {"local_region": set[str](), "fakes": {"local_region"}, "support": {"fakes", "local_region"}}


def imported(source: str) -> set[str]:
    """Return the modules, and the names in them, that a source imports from the tests."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not used"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.startswith("tests.")}


def forbidden(file: str, source: str) -> set[str]:
    """Return what a file imports and may not.

    Args:
        file: Its path below tests/.
        source: Its content.
    """
    package, *inner = PurePosixPath(file).parts
    # The tests of a shared package may use all of them, as other tests do.
    allowed = {package, *(SHARED if package not in SHARED or "tests" in inner else SHARED[package])}
    names = imported(source)
    foreign = {name for name in names if name.split(".")[1] not in allowed}
    # A package's own tests are for nobody else.
    foreign |= {name for name in names if ".tests." in name and name.split(".")[1] != package}
    # How the region answers for AWS is its own business and that of the fake account; Docker is below it.
    if package not in {"local_region", "fakes"} or file.startswith("local_region/docker/"):
        foreign |= {name for name in names if name.startswith("tests.local_region.aws_api")}
    return foreign


def test_packages_import_only_their_own_and_shared_modules() -> None:
    found = {file: forbidden(file, (TESTS / file).read_text(encoding="utf-8")) for file in FILES}
    assert not {file: names for file, names in found.items() if names}


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("drills/test_a.py", "from tests.playbooks.runner import run"),
        ("fakes/a.py", "import tests.support.runner"),
        ("local_region/a.py", "from tests.fakes import account"),
        ("local_region/docker/a.py", "from tests.local_region.aws_api import ec2"),
        ("playbooks/test_a.py", "from tests.local_region.aws_api import ec2"),
        ("molecule/a.py", "def f():\n    from tests.local_region.tests.conftest import api"),
    ],
)
def test_forbidden_imports_are_found(file: str, source: str) -> None:
    assert forbidden(file, source)


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("drills/test_a.py", "from tests.drills import b\nfrom tests.support.runner import run"),
        ("local_region/tests/test_a.py", "from tests.fakes.account import Api"),
        ("local_region/aws_api/a.py", "from tests.local_region.docker import machine"),
        ("conftest.py", "from tests.support import drill_table"),
    ],
)
def test_other_imports_are_allowed(file: str, source: str) -> None:
    assert not forbidden(file, source)
