"""The page's modules: all are parsed, and those that need no browser are tested by Node's own runner."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.gateway.page.node import node

PAGE = Path("gateway/page")
MODULES = sorted(PAGE.glob("*.mjs"))


def test_the_modules_do_what_they_should() -> None:
    ended = node("--test", *sorted(map(str, Path(__file__).parent.glob("*.test.mjs"))))
    assert ended.returncode == 0, ended.stdout
    assert int(re.findall(r"^\S+ pass (\d+)$", ended.stdout, re.MULTILINE)[0]) > 15


def test_every_module_is_parsed() -> None:
    # One call: node takes a quarter of a second to start.
    imports = "".join(
        f'await import("./{path}").catch(e => {{ if (!(e instanceof ReferenceError)) throw e }});' for path in MODULES
    )
    ended = node("--input-type=module", "--eval", imports)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_a_module_imports_its_neighbours_alone_and_makes_no_markup_of_strings(path: Path) -> None:
    source = path.read_text("utf-8")
    for imported in re.findall(r'\bfrom "([^"]+)"', source):
        assert imported.startswith("./")
        assert (PAGE / imported).exists()
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "localStorage",
        "sessionStorage",
        "indexedDB",
        "document.cookie",
    ):
        assert word not in source
    assert not re.search(r"https?:", source)


def test_a_broken_module_is_found(tmp_path: Path) -> None:
    (tmp_path / "broken.mjs").write_text("export const = 1;\n")
    ended: subprocess.CompletedProcess[str] = node("--check", str(tmp_path / "broken.mjs"))
    assert ended.returncode != 0
