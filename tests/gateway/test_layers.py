"""The packages of the gateway import downwards only."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path("gateway")
# Each layer may import the layers below it, and no other of its own. A package may import itself.
LAYERS = (
    ("__main__",),
    ("cli",),
    ("app", "server", "evaluation"),
    ("api", "client"),
    ("services",),
    ("access", "extraction"),
    ("engine", "grounding", "times"),
    ("errors", "observability", "settings", "tasks"),
    ("files",),
    ("__init__",),
)
DEPTH = {name: depth for depth, names in enumerate(LAYERS) for name in names}
# Within a package of several sub-packages, in the same way.
API_LAYERS = (("routes",), ("middleware", "answers"), ("schemas",), ("http",), ("__init__",))
API_DEPTH = {name: depth for depth, names in enumerate(API_LAYERS) for name in names}


def imports(source: str) -> Iterator[tuple[int, str]]:
    """Line and full name of each module of the gateway that a module imports, also within functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name.split(".")[0] == "gateway")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "the gateway imports by full names"
            if node.module and node.module.split(".")[0] == "gateway":
                yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def layer(module: str, depths: dict[str, int], under: str) -> str:
    """Return the name in `depths` that a module, or a name in one, belongs to; else the package itself."""
    name = module.removeprefix(under).lstrip(".").split(".")[0]
    return name if name in depths else "__init__"


def upward(module: str, source: str, depths: dict[str, int], under: str) -> list[str]:
    """Return the imports of a module that do not go down."""
    own = layer(module, depths, under)
    return [
        f"{module}:{line} imports {target}"
        for line, target in imports(source)
        if target.startswith(under) and (other := layer(target, depths, under)) != own and depths[other] <= depths[own]
    ]


def modules(folder: Path) -> Iterator[tuple[str, str]]:
    """Name and source of each module under a folder."""
    for path in sorted(folder.rglob("*.py")):
        yield ".".join(path.with_suffix("").parts), path.read_text("utf-8")


def test_every_module_of_the_gateway_has_a_layer() -> None:
    names = {path.stem if path.suffix == ".py" else path.name for path in ROOT.iterdir() if _is_code(path)}
    assert names == DEPTH.keys()


def _is_code(path: Path) -> bool:
    return path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py")))


@pytest.mark.parametrize(("package", "depths"), [("gateway", DEPTH), ("gateway.api", API_DEPTH)])
def test_imports_go_down_only(package: str, depths: dict[str, int]) -> None:
    folder = Path(*package.split("."))
    problems = [problem for name, source in modules(folder) for problem in upward(name, source, depths, package)]
    assert problems == []


def test_no_two_modules_import_each_other() -> None:
    sources = dict(modules(ROOT))
    graph = {
        name: {_module_of(target, sources) for _, target in imports(source)} - {name}
        for name, source in sources.items()
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " imports ".join((*path[path.index(name) :], name))
        if name not in done:
            for target in graph[name]:
                visit(target, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def _module_of(target: str, sources: dict[str, str]) -> str:
    """Return the module that an imported name is in."""
    for name in (target, target.rpartition(".")[0]):
        for module in (name, f"{name}.__init__"):
            if module in sources:
                return module
    raise AssertionError(f"there is no module {target}")


@pytest.mark.parametrize(
    ("module", "source", "target"),
    [
        ("gateway.engine.gate", "from gateway.services import Services", "gateway.services.Services"),
        ("gateway.tasks.model", "def f():\n    import gateway.cli.main", "gateway.cli.main"),
        ("gateway.engine.gate", "from gateway.grounding import words", "gateway.grounding.words"),
        ("gateway.engine.gate", "from gateway import app", "gateway.app"),
        ("gateway.engine.gate", "from gateway import __version__\nfrom gateway.engine import http", None),
        ("gateway.api.answers", "from gateway.extraction.answer import Extraction", None),
    ],
)
def test_an_import_that_goes_up_is_named(module: str, source: str, target: str | None) -> None:
    line = source.count("\n") + 1
    assert upward(module, source, DEPTH, "gateway") == ([f"{module}:{line} imports {target}"] if target else [])
