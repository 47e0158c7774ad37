"""The packages of training import each other in one direction only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.training import tiny

TRAINING = tiny.ROOT / "training"
# In the order of the way from the data to a run; each imports itself and what is before it.
LAYERS = (
    "config",
    "data",
    "patterns",
    "notes",
    "requests",
    "corpora",
    "model",
    "run",
    "export",
    "generation",
    "evaluation",
    "trainers",
    "stages",
    "__main__",
)


def layer_of(module: str) -> str:
    """Return the layer of a module's dotted name, such as `training.data.labels`."""
    return module.split(".")[1]


def imports_of(path: Path) -> Iterator[str]:
    """Return the modules of training that a file imports, also those within functions and for type checking only."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            names = [f"training.{alias.name}" for alias in node.names] if module == "training" else [module]
        else:
            continue
        yield from (name for name in names if name.startswith("training."))


def test_every_module_is_in_a_layer() -> None:
    names = {path.stem for path in TRAINING.glob("*.py")} | {path.parent.name for path in TRAINING.glob("*/*.py")}
    assert names - {"__init__"} == set(LAYERS)


def test_imports_go_to_the_same_or_a_lower_layer_only() -> None:
    imports = [
        (".".join(path.relative_to(tiny.ROOT).with_suffix("").parts), name)
        for path in sorted(TRAINING.rglob("*.py"))
        if path.parent != TRAINING or path.stem != "__init__"
        for name in imports_of(path)
    ]
    assert len(imports) > 100, "the files are read"
    upward = [pair for pair in imports if LAYERS.index(layer_of(pair[0])) < LAYERS.index(layer_of(pair[1]))]
    assert upward == []
