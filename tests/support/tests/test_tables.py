"""Putting the tables of a command on a page."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from tests.support.tables import add_write_option, publish, replaced

PAGE = "Before\n<!-- begin: a -->\nold\n<!-- end: a -->\nbetween\n<!-- begin: b -->\nother\n<!-- end: b -->\n"


def test_only_what_stands_between_the_marks_of_the_command_is_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    publish("| new |\n", page, "a")
    assert page.read_text(encoding="utf-8") == PAGE.replace("old", "| new |")
    assert capsys.readouterr().out == "| new |\n"


@pytest.mark.parametrize(
    "page",
    [
        "",
        "<!-- begin: a -->\n",
        "<!-- end: a -->\n<!-- begin: a -->\n",
        PAGE.replace("b -->", "a -->"),
    ],
)
def test_a_page_without_each_mark_once_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="begin: a"):
        replaced(page, "a", "new")


def test_a_page_without_marks_is_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser(prog="a")
    add_write_option(parser, Path(__file__))
    page = tmp_path / "page.md"
    page.write_text("no marks", encoding="utf-8")
    with pytest.raises(SystemExit):
        parser.parse_args(["--write", str(page)])
    assert "begin: a" in capsys.readouterr().err
    page.write_text(PAGE, encoding="utf-8")
    assert parser.parse_args(["--write", str(page)]).write == page
    assert parser.parse_args([]).write is None
