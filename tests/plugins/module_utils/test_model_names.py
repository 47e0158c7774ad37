"""Which names of a bucket's objects, a hub's files and a list of checksums may become paths below a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.slm.serving.plugins.module_utils.model_sources.base import ModelError, check_files
from ansible_collections.slm.serving.plugins.module_utils.model_sources.names import clash, name_problem, shown

# By what is wrong with them.
HOSTILE = {
    "": "leaves its folder",
    "/etc/cron.d/evil": "leaves its folder",
    "//etc/cron.d/evil": "leaves its folder",
    "..": "leaves its folder",
    ".": "leaves its folder",
    "../evil": "leaves its folder",
    "sub/../../evil": "leaves its folder",
    "sub/..": "leaves its folder",
    "./config.json": "leaves its folder",
    "sub//config.json": "leaves its folder",
    "sub/": "leaves its folder",
    "sub\\..\\evil": "backslash",
    "C:\\evil": "backslash",
    "evil\n": "control character",
    "evil\x00.json": "control character",
    "\x1b[2Jconfig.json": "control character",
    "\x7f": "control character",
    "\u202egnosj.gifnoc": "control character",
    "config\u200b.json": "control character",
    "\u2028": "control character",
    "\udcff": "control character",
    "x" * 256: "longer",
    "é" * 128: "longer",
    "/".join(["x" * 250] * 5): "longer",
}
HARMLESS = [
    "config.json",
    "sub/weights.bin",
    "...",
    "..config",
    "a..b/c",
    ".gitignore",
    "-rf",
    "~root",
    "a b%20c#d?e+f&g=ü'\"$x;.txt",
    "x" * 255,
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_name_that_could_lead_out_of_its_folder_is_refused(name: str) -> None:
    assert HOSTILE[name] in str(name_problem(name))


@pytest.mark.parametrize("name", [None, 3, ["a"], b"a"])
def test_name_that_is_no_text_is_refused(name: object) -> None:
    assert name_problem(name) == "is no text"


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_name_is_taken_and_stays_below_its_folder(name: str, tmp_path: Path) -> None:
    assert name_problem(name) is None
    assert (tmp_path / name).resolve().is_relative_to(tmp_path.resolve())


@pytest.mark.parametrize(
    "names",
    [
        ("config.json", "Config.json"),
        ("straße", "STRASSE"),
        ("café", "cafe\u0301"),
        ("Sub/a", "sub/b"),
        ("caf\u00e9/a", "cafe\u0301/b"),
        ("sub", "sub/config.json"),
        ("sub/config.json", "sub"),
        ("SUB/config.json", "sub"),
    ],
)
def test_names_that_would_be_one_file_are_refused_together(names: tuple[str, str]) -> None:
    assert clash(names) == names


def test_files_of_one_folder_do_not_clash() -> None:
    assert clash(["sub/a", "sub/b", "sub/deep/a", "sub/deep/b", "other/a"]) is None


def test_message_shows_a_name_on_one_line_and_not_at_any_length() -> None:
    text = shown("\n\x1b" + "x" * 5000)
    assert text.isprintable()
    assert len(text) < 200


@pytest.mark.parametrize("names", [["../evil"], ["sub", "sub/a"], [".Manifest.json"]])
def test_refusal_names_object_and_source_and_says_what_to_do(names: list[str]) -> None:
    with pytest.raises(ModelError) as raised:
        check_files("s3://bucket/base", {name: {"size": 1} for name in names})
    message = str(raised.value)
    assert all(word in message for word in (repr(names[-1]), "s3://bucket/base", "Nothing was fetched", "Rename"))


@pytest.mark.parametrize("size", [-1, None, "12", 1.5])
def test_file_of_no_known_size_is_refused(size: object) -> None:
    with pytest.raises(ModelError, match="gives no size of 'config"):
        check_files("hf://a/b", {"config.json": {"size": size}})  # type: ignore[typeddict-item]
