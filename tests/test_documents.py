"""The documents: their links, and the paths and commands that they name, are those of the tree."""

import functools
import importlib.util
import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.splitter import parse_kv
from ansible_collections.slm.serving.plugins.plugin_utils.extra_variables import Known, known, problems

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
README_LINES = 150
PATTERNS = ("*.md", "docs/**/*.md", "gateway/*.md", "training/*.md", "roles/*/*.md", "models/*/*.md", "tests/*.md")
DOCUMENTS = sorted({path for pattern in PATTERNS for path in ROOT.glob(pattern)})
# What it says of earlier versions names what these had.
CURRENT = [path for path in DOCUMENTS if path.name != "CHANGELOG.md"]
FOLDERS = "charts|docker|docs|examples|gateway|inventory|meta|models|playbooks|plugins|roles|tests|training"

_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
# Without the suffix or the slash it may be a setting: `training/destination`.
_PATH = re.compile(rf"(?:{FOLDERS})/(?:[\w.-]+/)*(?:[\w-]+\.(?:j2|md|py|sh|yaml|yml))?")
_MAKE = re.compile(r"(?:^|[\s(])make((?: +-\S+)*)((?: +[a-z]+)*)(?= |$|[)\"])")
_MODULE = re.compile(r"python[\d.]* -m ([\w.]+)")
_PLAYBOOK = re.compile(r"(?:\$ )?(?:\w+=\S* )*ansible-playbook +(.+)")
_MARK = re.compile(r"^<!-- (begin|end): (.+) -->$", re.MULTILINE)


def name(path: Path) -> str:
    """Return a document's path as test ids show it."""
    return path.relative_to(ROOT).as_posix()


def prose(text: str) -> str:
    """Return a document without its fenced blocks and code spans."""
    return _SPAN.sub("", _FENCE.sub("", text))


def code(text: str) -> Iterator[str]:
    """Yield the lines of fenced blocks, without comments, and the code spans."""
    for language, block in _FENCE.findall(text):
        if language != "mermaid":
            yield from (line.partition(" # ")[0].strip() for line in block.splitlines())
    yield from _SPAN.findall(_FENCE.sub("", text))


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives to a document's headings."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in _HEADING.findall(_FENCE.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def targets(document: Path) -> Iterator[tuple[str, Path, str]]:
    """Yield each relative link of a document: as written, the file that it names, and its anchor or nothing."""
    for link in _LINK.findall(prose(document.read_text("utf-8"))):
        if not re.match(r"[a-z]+:", link):
            file, _, anchor = link.partition("#")
            yield link, (document.parent / file).resolve() if file else document, anchor


def broken_links(document: Path) -> list[str]:
    """Return the links of a document that lead to no file, or to no heading of one."""
    return [
        link
        for link, file, anchor in targets(document)
        if not file.exists() or (anchor and anchor not in anchors(file.read_text("utf-8")))
    ]


def paths(text: str) -> list[str]:
    """Return the paths of the tree that a document's code spans name."""
    return [span for span in _SPAN.findall(_FENCE.sub("", text)) if _PATH.fullmatch(span)]


def make_targets(text: str) -> set[str]:
    """Return the targets of `make` in a document's code."""
    return {target for line in code(text) for _, called in _MAKE.findall(line) for target in called.split()}


def modules(text: str) -> set[str]:
    """Return what a document has `python -m` run, also in the marks around generated tables."""
    marks = [command for _, command in _MARK.findall(text)]
    return {module.rstrip(".") for line in [*code(text), *marks] for module in _MODULE.findall(line)}


@functools.cache
def variables_of(playbook: Path) -> Known:
    """Return the variables that may be given to a playbook."""
    return known(ROOT, playbook)


def playbook_problems(command: str) -> list[str]:
    """Return why `ansible-playbook` would refuse a command line; nothing for another program's.

    Args:
        command: a line of a document, with environment variables before it or not.
    """
    match = _PLAYBOOK.fullmatch(command)
    if match is None:
        return []
    given: dict[str, Any] = {}
    playbooks: list[Path] = []
    found = []
    rest = iter(shlex.split(match[1]))
    for word in rest:
        if word in ("-e", "--extra-vars"):
            given |= extra_variables(next(rest, ""))
        elif word.endswith(".yml"):
            playbooks.append(ROOT / word)
        elif word not in ("--check", "--diff", "-v", "..."):
            found.append(f"no document says anything of {word}")
    if len(playbooks) != 1 or not playbooks[0].is_file():
        return [*found, f"{command} names no playbook"]
    return found + problems(given, variables_of(playbooks[0]), playbooks[0].name)


def extra_variables(argument: str) -> dict[str, Any]:
    """Return the variables of one `-e`; none of a file, which is the reader's."""
    if argument.startswith("@"):
        return {}
    if argument.startswith("{"):
        loaded: dict[str, Any] = json.loads(argument)
        return loaded
    parsed: dict[str, Any] = parse_kv(argument)
    return parsed


def runs(module: str) -> bool:
    """Say whether `python -m` can run a module."""
    try:
        spec = importlib.util.find_spec(module)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{module}.__main__")
    except ModuleNotFoundError:
        return False
    return spec is not None


def test_readme_is_short() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= README_LINES


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_lead_somewhere(document: Path) -> None:
    assert broken_links(document) == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, todo = {README}, [README]
    while todo:
        linked = {file for _, file, _ in targets(todo.pop()) if file.suffix == ".md" and file.is_file()}
        todo += linked - reached
        reached |= linked
    pages = {path for path in DOCUMENTS if path.is_relative_to(ROOT / "docs")}
    assert len(pages) > 20
    assert sorted(map(name, pages - reached)) == []


@pytest.mark.parametrize("document", CURRENT, ids=name)
def test_paths_are_in_the_tree(document: Path) -> None:
    assert [path for path in paths(document.read_text("utf-8")) if not (ROOT / path).exists()] == []


def test_architecture_names_a_file_for_each_hop() -> None:
    assert len(paths((ROOT / "docs/architecture.md").read_text("utf-8"))) > 50


def test_make_targets_exist() -> None:
    defined = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set().union(*(make_targets(document.read_text("utf-8")) for document in CURRENT))
    assert {"demo", "test", "env"} <= named <= defined


def test_modules_that_are_run_exist() -> None:
    named = set().union(*(modules(document.read_text("utf-8")) for document in CURRENT))
    assert {"gateway", "training", "tests.local_region", "tests.drills"} <= named
    assert sorted(module for module in named if not runs(module)) == []


@pytest.mark.parametrize("document", CURRENT, ids=name)
def test_playbooks_take_what_the_document_gives_them(document: Path) -> None:
    # A command may go on in the next line.
    lines = list(code(re.sub(r"\\\n\s*", "", document.read_text("utf-8"))))
    assert [problem for line in lines for problem in playbook_problems(line)] == []


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("ansible-playbook playbooks/none.yml", "names no playbook"),
        ("ansible-playbook playbooks/logs.yml -e status_log_line=5", "Did you mean status_log_lines?"),
        ("ansible-playbook playbooks/logs.yml -e status_log_services=kernel", "was given"),
        ("""ansible-playbook playbooks/logs.yml -e '{"status_log_services": ["kernal"]}'""", "kernal"),
        ("ansible-playbook playbooks/deploy.yml --tags gateway", "--tags"),
        ("SLM_OUTCOME=json ansible-playbook playbooks/status.yml -e rollback_to=x", "rollback.yml"),
    ],
)
def test_a_command_that_a_playbook_would_refuse_is_found(command: str, problem: str) -> None:
    assert problem in "\n".join(playbook_problems(command))


@pytest.mark.parametrize(
    "command",
    [
        """ansible-playbook playbooks/logs.yml -e '{"status_log_services": ["kernel"]}' -e status_log_lines=9""",
        "SLM_OUTCOME=json ansible-playbook playbooks/deploy.yml --check --diff -e @mine.yml",
        "promtool test rules monitoring/rules_test.yml",
    ],
)
def test_a_command_that_a_playbook_takes_is_none(command: str) -> None:
    assert playbook_problems(command) == []


@pytest.mark.parametrize("document", CURRENT, ids=name)
def test_generated_parts_are_closed(document: Path) -> None:
    marks = _MARK.findall(document.read_text("utf-8"))
    assert marks == [mark for _, command in marks[::2] for mark in (("begin", command), ("end", command))]


def test_what_is_wrong_is_found(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text(
        "# A `code` title\n\n"
        "[good](#a-code-title) [no heading](#none) [no file](none.md) [elsewhere](https://example.org/)\n\n"
        "`gateway/none.py` and `gateway/` are paths, `training/none` is none; `make none`, `python -m tests.none`\n\n"
        "```console\nmake -s other   # make nothing of this\n```\n\n```mermaid\nmake picture\n```\n"
    )
    text = document.read_text("utf-8")
    assert broken_links(document) == ["#none", "none.md"]
    assert paths(text) == ["gateway/none.py", "gateway/"]
    assert make_targets(text) == {"none", "other"}
    assert [runs(module) for module in sorted(modules(text) | {"venv"})] == [False, True]
