"""The module that keeps models: whole or not there, resumed, verified, and the same directory for the same content."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.roles.fake_hub import COMMIT, REPOSITORY, FakeHub
from tests.roles.variables import ROLES

WEIGHTS = bytes(range(256)) * 400
FILES = {
    "config.json": b'{"model_type": "llama"}',
    "model.safetensors": WEIGHTS,
    "README.md": b"# not needed",
    "original/consolidated.00.pth": b"x" * 500,
}


def run(root: Path, source: str, **options: Any) -> dict[str, Any]:
    """Run the module as Ansible does on the instance; return what it answers."""
    arguments = {"models": {"base": source}, "root": str(root), "region": "us-east-1", "reserve": 0, **options}
    result = subprocess.run(
        [sys.executable, ROLES / "model_store/library/model_store.py"],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.stdout, result.stderr
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory with a model."""
    folder = tmp_path / "source"
    (folder / "sub").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "sub" / "weights.bin").write_bytes(b"w" * 1000)
    return folder


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """A Hub with a model."""
    with FakeHub(dict(FILES)) as hub:
        yield hub


def test_directory_is_copied_once(tmp_path: Path, source: Path) -> None:
    first = run(tmp_path / "models", source.as_uri())
    again = run(tmp_path / "models", source.as_uri())
    assert first["changed"] is True
    assert again["changed"] is False
    assert first["models"] == again["models"]
    path = Path(first["models"]["base"]["path"])
    assert (path / "sub" / "weights.bin").read_bytes() == b"w" * 1000
    assert [found.name for found in path.parent.iterdir() if "staging" in found.name] == []


def test_looking_changes_nothing(tmp_path: Path, source: Path) -> None:
    answer = run(tmp_path / "models", source.as_uri(), fetch=False)
    assert answer["missing"] == ["base"]
    assert not (tmp_path / "models").exists()


def test_check_mode_tells_and_changes_nothing(tmp_path: Path, source: Path) -> None:
    answer = run(tmp_path / "models", source.as_uri(), _ansible_check_mode=True)
    assert answer["changed"] is True
    assert not (tmp_path / "models").exists()


def test_changed_content_is_a_new_directory(tmp_path: Path, source: Path) -> None:
    first = run(tmp_path / "models", source.as_uri())
    (source / "config.json").write_text('{"changed": true}')
    second = run(tmp_path / "models", source.as_uri())
    assert second["changed"] is True
    assert first["models"]["base"]["path"] != second["models"]["base"]["path"]
    assert Path(first["models"]["base"]["path"]).is_dir()


def test_damaged_model_is_fetched_again(tmp_path: Path, source: Path) -> None:
    path = Path(run(tmp_path / "models", source.as_uri())["models"]["base"]["path"])
    (path / "sub" / "weights.bin").write_bytes(b"w" * 10)
    assert run(tmp_path / "models", source.as_uri())["changed"] is True
    assert (path / "sub" / "weights.bin").read_bytes() == b"w" * 1000


def test_sums_that_the_model_brings_are_checked(tmp_path: Path, source: Path) -> None:
    (source / "SHA256SUMS").write_text(f"{'0' * 64}  config.json\n")
    answer = run(tmp_path / "models", source.as_uri())
    assert answer["failed"] is True
    assert "config.json" in answer["msg"]


def test_lack_of_disk_is_said_before_anything_is_fetched(tmp_path: Path, source: Path) -> None:
    answer = run(tmp_path / "models", source.as_uri(), reserve=10**18)
    assert answer["failed"] is True
    assert "must stay free" in answer["msg"]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("https://example.org/model", "none of s3://"),
        (f"hf://{REPOSITORY}", "not pinned"),
        (f"hf://{REPOSITORY}@main", "not pinned"),
        ("file:///does/not/exist", "does not exist"),
    ],
)
def test_wrong_source_is_named(tmp_path: Path, address: str, words: str) -> None:
    answer = run(tmp_path / "models", address)
    assert answer["failed"] is True
    assert address.removeprefix("file://") in answer["msg"]
    assert words in answer["msg"]


def test_hub_gives_what_an_engine_needs(tmp_path: Path, hub: FakeHub) -> None:
    answer = run(tmp_path / "models", f"hf://{REPOSITORY}@{COMMIT}", hub=hub.address)
    path = Path(answer["models"]["base"]["path"])
    assert sorted(found.name for found in path.rglob("*") if found.is_file()) == [
        ".manifest.json",
        "config.json",
        "model.safetensors",
    ]
    assert (path / "model.safetensors").read_bytes() == WEIGHTS


def test_hub_is_not_asked_again_for_a_pinned_commit(tmp_path: Path, hub: FakeHub) -> None:
    run(tmp_path / "models", f"hf://{REPOSITORY}@{COMMIT}", hub=hub.address)
    hub.seen.clear()
    assert run(tmp_path / "models", f"hf://{REPOSITORY}@{COMMIT}", hub=hub.address)["changed"] is False
    assert hub.seen == []


def test_cut_download_goes_on_where_it_stopped(tmp_path: Path, hub: FakeHub) -> None:
    hub.cut_at = 5000
    answer = run(tmp_path / "models", f"hf://{REPOSITORY}@{COMMIT}", hub=hub.address)
    assert answer["changed"] is True, answer
    assert ("/storage/model.safetensors", "", "bytes=5000-") in hub.seen
    assert (Path(answer["models"]["base"]["path"]) / "model.safetensors").read_bytes() == WEIGHTS


def test_broken_content_is_refused(tmp_path: Path, hub: FakeHub) -> None:
    told = hub.siblings()
    hub.siblings = lambda: told  # type: ignore[method-assign]
    hub.files["model.safetensors"] = WEIGHTS[::-1]
    answer = run(tmp_path / "models", f"hf://{REPOSITORY}@{COMMIT}", hub=hub.address)
    assert answer["failed"] is True
    assert "model.safetensors does not have the checksum" in answer["msg"]
    assert [path for path in (tmp_path / "models").iterdir() if path.name.startswith("base-")] == []


def test_token_goes_to_the_hub_only_and_is_asked_for(tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    with FakeHub(dict(FILES), token="hf_a_made_up_token") as hub:
        source = f"hf://{REPOSITORY}@{COMMIT}"
        refused = run(tmp_path / "models", source, hub=hub.address, hub_token_file=str(token_file))
        token_file.write_text("hf_a_made_up_token\n")
        answer = run(tmp_path / "models", source, hub=hub.address, hub_token_file=str(token_file))
    assert "/slm-ft-serving/secrets/hf-token" in refused["msg"]
    assert answer["changed"] is True
    assert all(not authorization for path, authorization, _ in hub.seen if path.startswith("/storage/"))
    assert "hf_a_made_up_token" not in json.dumps([refused, answer])
