"""What the trainer's images hold of the gateway: what training imports, in the Python that they have."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def imports(file: Path) -> Iterator[Path]:
    """Yield the files of the gateway that a file imports, with those of the packages around them."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            path = ROOT.joinpath(*name.split("."))
            for each in (path, *path.parents):
                if each.is_relative_to(ROOT / "gateway"):
                    yield from (file for file in (each.with_suffix(".py"), each / "__init__.py") if file.is_file())


def what_training_imports() -> set[Path]:
    """Return the files of the gateway that training imports, and those that these import."""
    needed: set[Path] = set()
    left = list(ROOT.glob("training/**/*.py"))
    while left:
        new = set(imports(left.pop())) - needed
        needed |= new
        left += new
    return needed


def copied(lines: str) -> list[Path]:
    """Return what the `COPY` lines of a Dockerfile, or the exceptions of its .dockerignore, have of the gateway."""
    return [ROOT / path for path in re.findall(r"^(?:COPY |!)(gateway\S*)", lines, re.MULTILINE)]


@pytest.mark.parametrize(
    "file", ["docker/trainer/Dockerfile", "docker/trainer/Dockerfile.cpu", "docker/trainer/Dockerfile.dockerignore"]
)
def test_the_images_hold_what_training_imports_of_the_gateway(file: str) -> None:
    paths = copied((ROOT / file).read_text("utf-8"))
    needed = what_training_imports()
    assert ROOT / "gateway" / "evaluation" / "scores.py" in needed
    assert not [file for file in needed if not any(file.is_relative_to(path) for path in paths)]
    # and no more: each path for something that is needed
    assert not [path for path in paths if not any(file.is_relative_to(path) for file in needed)]


def test_the_images_files_are_python_3_11() -> None:
    """The images have that version; the service needs a later one."""
    paths = copied((ROOT / "docker/trainer/Dockerfile").read_text("utf-8"))
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*.py"))]
    assert len(files) > 20
    for file in files:
        ast.parse(file.read_text("utf-8"), feature_version=(3, 11))
