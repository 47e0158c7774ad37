"""Tables that commands print, and the pages that hold them.

A page has a command's output between `<!-- begin: COMMAND -->` and `<!-- end: COMMAND -->`; the command's option
`--write` replaces it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from tests.local_region.names import REPOSITORY_ROOT

BENCHMARKS = REPOSITORY_ROOT / "docs/benchmarks.md"
FAULT_DRILLS = REPOSITORY_ROOT / "docs/fault-drills.md"


def add_write_option(parser: argparse.ArgumentParser, page: Path) -> None:
    """Add `--write` to a command, whose name on pages is the parser's `prog`.

    Args:
        parser: The command's.
        page: What `--write` without a file writes to.
    """
    parser.add_argument(
        "--write",
        nargs="?",
        type=_page_of(parser.prog),
        const=str(page),
        metavar="FILE",
        help=f"put the tables between this command's marks in FILE too (default: {page.relative_to(REPOSITORY_ROOT)})",
    )


def _page_of(command: str) -> Callable[[str], Path]:
    def page(name: str) -> Path:
        """Refuse a page without the marks now, not after the measurement."""
        try:
            replaced(Path(name).read_text(encoding="utf-8"), command, "")
        except (OSError, ValueError) as error:
            raise argparse.ArgumentTypeError(f"{name}: {error}") from error
        return Path(name)

    return page


def publish(text: str, page: Path | None, command: str) -> None:
    """Print what a command has to say, and `write` it where a page is named."""
    sys.stdout.write(f"{text.strip()}\n")
    if page is not None:
        write(text, page, command)


def write(text: str, page: Path, command: str) -> None:
    """Put what a command has to say on a page.

    Args:
        text: Markdown.
        page: The value of `--write`.
        command: The parser's `prog`.

    Raises:
        ValueError: The page has lost its marks meanwhile.
    """
    page.write_text(replaced(page.read_text(encoding="utf-8"), command, text), encoding="utf-8")


def replaced(page: str, command: str, text: str) -> str:
    """Return a page with other text between a command's marks.

    Args:
        page: The page's text.
        command: As the marks name it.
        text: What is to stand between them.

    Raises:
        ValueError: It does not have each mark once, the beginning first.
    """
    begin, end = f"<!-- begin: {command} -->", f"<!-- end: {command} -->"
    head, _, rest = page.partition(begin)
    _, _, tail = rest.partition(end)
    if page.count(begin) != 1 or page.count(end) != 1 or end not in rest:
        raise ValueError(f"it must have the lines {begin} and {end} once each")
    return f"{head}{begin}\n{text.strip()}\n{end}{tail}"
