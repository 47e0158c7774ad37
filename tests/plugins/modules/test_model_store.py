"""The module that keeps models: whole or not there, resumed, verified, and the same directory for the same content."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.module_utils import model_sources
from ansible_collections.slm.serving.plugins.module_utils.model_sources import base
from ansible_collections.slm.serving.plugins.module_utils.model_sources.base import ModelError, SourceOptions
from ansible_collections.slm.serving.plugins.module_utils.model_sources.fetching import fetch

from tests.fakes.hub import COMMIT, REPOSITORY, FakeHub
from tests.plugins.run import run_module, run_module_in_a_process
from tests.support.role_variables import ROLES

WEIGHTS = bytes(range(256)) * 400
FILES = {
    "config.json": b'{"model_type": "llama"}',
    "model.safetensors": WEIGHTS,
    "README.md": b"# not needed",
    "original/consolidated.00.pth": b"x" * 500,
}


def run(root: Path, source: str, **options: Any) -> dict[str, Any]:
    """Run the module; return what it answers."""
    arguments = {"models": {"base": source}, "root": str(root), "region": "us-east-1", "reserve": 0, **options}
    return run_module("model_store", arguments)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Make a directory with a model."""
    folder = tmp_path / "source"
    (folder / "sub").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "sub" / "weights.safetensors").write_bytes(b"w" * 1000)
    return folder


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """Serve a Hub with a model."""
    with FakeHub(dict(FILES)) as hub:
        yield hub


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once."""
    monkeypatch.setattr(base, "FIRST_PAUSE_SECONDS", 0)


def test_module_runs_in_a_process_of_its_own(tmp_path: Path, source: Path) -> None:
    """All other tests run it in this one."""
    arguments = {"models": {"base": source.as_uri()}, "root": str(tmp_path / "models"), "region": "us-east-1"}
    assert run_module_in_a_process("model_store", arguments | {"reserve": 0})["changed"] is True


def test_directory_is_copied_once(tmp_path: Path, source: Path) -> None:
    first = run(tmp_path / "models", source.as_uri())
    again = run(tmp_path / "models", source.as_uri())
    assert first["changed"] is True
    assert again["changed"] is False
    assert first["models"] == again["models"]
    path = Path(first["models"]["base"]["path"])
    assert (path / "sub" / "weights.safetensors").read_bytes() == b"w" * 1000
    assert [each.name for each in path.parent.iterdir() if "staging" in each.name] == []


@pytest.mark.parametrize(
    ("name", "configuration", "rank"),
    [
        ("adapter", '{"r": 16}', 16),
        ("adapter-parcel", '{"r": 16, "rank_pattern": {"q_proj": 32}}', 32),
        ("adapter", "{}", None),
        ("base", '{"r": 16}', None),
    ],
)
def test_rank_of_an_adapter_is_told_once_it_is_there(
    tmp_path: Path, source: Path, name: str, configuration: str, rank: int | None
) -> None:
    (source / "adapter_config.json").write_text(configuration)
    options = {"models": {name: source.as_uri()}}
    before = run(tmp_path / "models", "", **options, fetch=False)
    fetched = run(tmp_path / "models", "", **options)
    again = run(tmp_path / "models", "", **options, fetch=False)
    assert "rank" not in before["models"][name]
    assert [each["models"][name].get("rank") for each in (fetched, again)] == [rank, rank]


def test_report_without_fetch_changes_nothing(tmp_path: Path, source: Path) -> None:
    answer = run(tmp_path / "models", source.as_uri(), fetch=False)
    assert answer["missing"] == ["base"]
    assert not (tmp_path / "models").exists()


def test_check_mode_reports_and_changes_nothing(tmp_path: Path, source: Path) -> None:
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


def test_notes_are_for_one_user_only_and_no_change(tmp_path: Path, source: Path) -> None:
    """They are removed when the training ends."""
    answer = run(tmp_path / "models", source.as_uri(), owners={"base": os.getuid()})
    path = Path(answer["models"]["base"]["path"])
    assert answer["changed"] is False
    elsewhere = run(tmp_path / "others", source.as_uri(), owners={"base": os.getuid()}, _ansible_check_mode=True)
    assert elsewhere["changed"] is False, "check mode announces no change that a run would not make"
    assert stat.S_IMODE(path.stat().st_mode) == 0o750
    assert (path / "config.json").is_file()


def test_damaged_model_is_fetched_again(tmp_path: Path, source: Path) -> None:
    path = Path(run(tmp_path / "models", source.as_uri())["models"]["base"]["path"])
    (path / "sub" / "weights.safetensors").write_bytes(b"w" * 10)
    assert run(tmp_path / "models", source.as_uri())["changed"] is True
    assert (path / "sub" / "weights.safetensors").read_bytes() == b"w" * 1000


def test_sha256sums_of_the_model_is_checked(tmp_path: Path, source: Path) -> None:
    (source / "SHA256SUMS").write_text(f"{'0' * 64}  config.json\n")
    answer = run(tmp_path / "models", source.as_uri())
    assert answer["failed"] is True
    assert "config.json" in answer["msg"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{sum}  ../victim", "leaves its folder"),
        ("{sum}  {victim}", "leaves its folder"),
        ("{sum} *sub/../../victim", "leaves its folder"),
        ("{sum}  a\\b", "backslash"),
        ("\\{sum}  a\\nb", "is no checksum and name"),
        ("config.json", "is no checksum and name"),
        ("{sum}  gone.json", "gone.json is named in SHA256SUMS and is missing"),
    ],
)
def test_line_of_sha256sums_touches_nothing_outside_the_model(
    tmp_path: Path, source: Path, line: str, words: str
) -> None:
    """A file whose checksum is wrong is removed; so a wrong checksum of a foreign file must not be believed."""
    victim = tmp_path / "models" / "victim"
    victim.parent.mkdir()
    victim.write_text("kept")
    (source / "SHA256SUMS").write_text(line.format(sum="0" * 64, victim=victim) + "\n")
    answer = run(tmp_path / "models", source.as_uri())
    assert answer["failed"] is True
    assert words in answer["msg"]
    assert victim.read_text() == "kept"


@pytest.mark.parametrize("form", ["{sum}  {name}\n", "{sum} *{name}\n", "{sum}  ./{name}\r\n\n"])
def test_checksums_are_read_as_sha256sum_writes_them(tmp_path: Path, source: Path, form: str) -> None:
    name = "sub/weights.safetensors"
    right = hashlib.sha256((source / name).read_bytes()).hexdigest()
    (source / "SHA256SUMS").write_bytes(form.format(sum=right, name=name).encode())
    assert run(tmp_path / "models", source.as_uri())["changed"] is True


def test_model_without_a_shard_that_its_index_names_is_refused(tmp_path: Path, source: Path) -> None:
    (source / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-00001-of-00001.safetensors"}}')
    answer = run(tmp_path / "models", source.as_uri())
    assert answer["failed"] is True
    assert "model-00001-of-00001.safetensors" in answer["msg"]


def test_lack_of_disk_is_reported_before_anything_is_fetched(tmp_path: Path, source: Path) -> None:
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
    assert sorted(each.name for each in path.rglob("*") if each.is_file()) == [
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
    assert hub.sent["model.safetensors"] == len(WEIGHTS)
    assert (Path(answer["models"]["base"]["path"]) / "model.safetensors").read_bytes() == WEIGHTS


def test_later_deployment_goes_on_where_an_earlier_one_ended(tmp_path: Path, hub: FakeHub) -> None:
    """As after a SIGKILL: what came is in the staging directory, and nothing says that it is whole."""
    source = f"hf://{REPOSITORY}@{COMMIT}"
    place = Path(run(tmp_path / "models", source, hub=hub.address, fetch=False)["models"]["base"]["path"])
    staging = place.with_name(f".staging-{place.name}")
    staging.mkdir(parents=True)
    (staging / "model.safetensors").write_bytes(WEIGHTS[:70_000])
    assert run(tmp_path / "models", source, hub=hub.address)["changed"] is True
    assert hub.sent["model.safetensors"] == len(WEIGHTS) - 70_000
    assert (place / "model.safetensors").read_bytes() == WEIGHTS
    assert not staging.exists()


def test_broken_content_is_refused(tmp_path: Path, hub: FakeHub) -> None:
    siblings = hub.siblings()
    hub.siblings = lambda: siblings  # type: ignore[method-assign]
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


@pytest.mark.parametrize(
    ("token", "gated", "words"),
    [
        ("", False, "the Hub asks for a token"),
        ("hf_wrong", False, "the Hub does not accept the token (wrong, or expired)"),
        ("hf_right", True, "is gated: its terms have to be accepted on"),
        ("", True, "is gated: its terms have to be accepted on"),
    ],
)
def test_refusal_of_the_hub_says_what_is_wrong_with_the_token(
    tmp_path: Path, token: str, gated: bool, words: str
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(token)
    with FakeHub(dict(FILES), token="hf_right") as hub:
        hub.gated = gated
        source = f"hf://{REPOSITORY}@{COMMIT}"
        answer = run(tmp_path / "models", source, hub=hub.address, hub_token_file=str(token_file))
    assert words in answer["msg"]
    assert not token or token not in json.dumps(answer)
    assert "/slm-ft-serving/secrets/hf-token" in answer["msg"] or gated


def test_commit_that_does_not_exist_is_named(tmp_path: Path, hub: FakeHub) -> None:
    answer = run(tmp_path / "models", f"hf://{REPOSITORY}@{'f' * 40}", hub=hub.address)
    assert f"has no commit {'f' * 40}" in answer["msg"]


@pytest.mark.parametrize("kind", ["hub", "directory"])
def test_full_disk_leaves_nothing_half_done(
    tmp_path: Path, hub: FakeHub, source: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The disk fills up while the model comes, after there seemed to be room; in this process, to play the disk."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    monkeypatch.setattr(shutil, "copyfile", full)
    options: SourceOptions = {"hub": hub.address, "hub_token_file": "", "region": "us-east-1"}
    address = f"hf://{REPOSITORY}@{COMMIT}" if kind == "hub" else source.as_uri()
    opened = model_sources.open_source("base", address, options)
    with pytest.raises(ModelError, match="is full; what had come of the base model was removed again"):
        fetch("base", opened, tmp_path / "models" / "base-1", 0)
    assert list((tmp_path / "models").iterdir()) == []


class FakeS3:
    """A model in S3: the fake aws command before the storage of the fake Hub."""

    def __init__(self, folder: Path, hub: FakeHub) -> None:
        self.hub, self._folder = hub, folder
        (folder / "bin").mkdir()
        (folder / "bin" / "aws").symlink_to(ROLES.parent / "tests/fakes/aws_cli.py")
        self.put({name: hashlib.md5(content, usedforsecurity=False).hexdigest() for name, content in FILES.items()})

    def put(self, etags: dict[str, str], part: int = 0, files: dict[str, bytes] = FILES) -> None:
        """Tell of the objects, with these ETags."""
        objects = {
            f"models/base/{name}": {"size": len(files[name]), "etag": etag, "part": part}
            for name, etag in etags.items()
        }
        (self._folder / "objects.json").write_text(json.dumps(objects))
        self.hub.files = {f"models/base/{name}": content for name, content in FILES.items()}

    def run(self, **environment: str) -> dict[str, Any]:
        """Run the module against it."""
        return run_module(
            "model_store",
            {
                "models": {"base": "s3://bucket/models/base/"},
                "root": str(self._folder / "models"),
                "region": "us-east-1",
                "reserve": 0,
            },
            {
                "PATH": f"{self._folder / 'bin'}:{os.environ['PATH']}",
                "FAKE_AWS_OBJECTS": str(self._folder / "objects.json"),
                "FAKE_AWS_STORAGE": f"{self.hub.address}/storage/",
                **environment,
            },
        )


@pytest.fixture
def s3(tmp_path: Path, hub: FakeHub) -> FakeS3:
    """S3 with a model."""
    return FakeS3(tmp_path, hub)


def test_cut_download_from_s3_goes_on_where_it_stopped(s3: FakeS3) -> None:
    s3.hub.cut_at = 5000
    answer = s3.run()
    assert answer["changed"] is True, answer
    assert s3.hub.sent["models/base/model.safetensors"] == len(WEIGHTS)
    assert (Path(answer["models"]["base"]["path"]) / "model.safetensors").read_bytes() == WEIGHTS


def test_object_of_several_parts_is_checked_by_its_etag(s3: FakeS3) -> None:
    part = 30_000
    sums = [hashlib.md5(WEIGHTS[at : at + part], usedforsecurity=False).digest() for at in range(0, len(WEIGHTS), part)]
    etag = f"{hashlib.md5(b''.join(sums), usedforsecurity=False).hexdigest()}-{len(sums)}"
    s3.put({"model.safetensors": etag}, part)
    assert s3.run()["changed"] is True
    s3.put({"model.safetensors": f"{'0' * 32}-{len(sums)}"}, part)
    assert "model.safetensors does not have the checksum that S3 reports" in s3.run()["msg"]


@pytest.mark.parametrize("name", ["/{outside}/evil", "sub/../../../evil", "sub//evil", "evil\n", "CONFIG.json"])
def test_object_whose_name_leads_elsewhere_is_refused_before_anything_is_written(
    s3: FakeS3, tmp_path: Path, name: str
) -> None:
    hostile = {**FILES, name.format(outside=tmp_path / "outside"): b"evil"}
    s3.put({each: hashlib.md5(b"", usedforsecurity=False).hexdigest() for each in hostile}, files=hostile)
    answer = s3.run()
    assert answer["failed"] is True
    assert "Nothing was fetched" in answer["msg"]
    assert "evil" in answer["msg"] or "CONFIG.json" in answer["msg"]
    assert not (tmp_path / "outside").exists()
    assert [path for path in (tmp_path / "models").rglob("*") if path.name != ".lock"] == []


@pytest.mark.parametrize("name", ["../../evil.json", "/evil.json", "sub/./evil.json", "evil\u202e.json"])
def test_file_of_the_hub_whose_name_leads_elsewhere_is_refused_before_anything_is_written(
    tmp_path: Path, hub: FakeHub, name: str
) -> None:
    hub.files[name] = b"{}"
    answer = run(tmp_path / "models", f"hf://{REPOSITORY}@{COMMIT}", hub=hub.address)
    assert answer["failed"] is True
    assert "evil" in answer["msg"]
    assert "Nothing was fetched" in answer["msg"]
    assert [path for path in (tmp_path / "models").rglob("*") if path.name != ".lock"] == []


@pytest.mark.parametrize("siblings", [None, [{}], [{"rfilename": 3, "size": 1}], [{"rfilename": "a", "size": -1}], 3])
def test_answer_of_the_hub_of_another_form_is_no_traceback(tmp_path: Path, hub: FakeHub, siblings: Any) -> None:
    hub.siblings = lambda: siblings  # type: ignore[method-assign]
    answer = run(tmp_path / "models", f"hf://{REPOSITORY}@{COMMIT}", hub=hub.address)
    assert answer["failed"] is True
    assert f"hf://{REPOSITORY}@{COMMIT}" in answer["msg"]
    assert "exception" not in answer


def test_manifest_that_was_uploaded_with_a_model_is_left_out(tmp_path: Path, hub: FakeHub) -> None:
    hub.files[".manifest.json"] = b"{}"
    source = f"hf://{REPOSITORY}@{COMMIT}"
    assert run(tmp_path / "models", source, hub=hub.address)["changed"] is True
    assert run(tmp_path / "models", source, hub=hub.address)["changed"] is False


BESIDE = {
    "original/consolidated.00.pth": b"w" * 99,
    "README.md": b"read",
    "training_args.bin": b"a",
    ".cache/huggingface/download/config.json.metadata": b"m",
    ".gitattributes": b"*",
}


def test_s3_gives_what_an_engine_needs_of_an_uploaded_download(s3: FakeS3) -> None:
    """What is left out is not asked for, and a list of checksums may name it."""
    sums = "".join(f"{'0' * 64}  {name}\n" for name in BESIDE).encode()
    files = FILES | BESIDE | {"SHA256SUMS": sums}
    s3.put({name: hashlib.md5(content, usedforsecurity=False).hexdigest() for name, content in files.items()}, 0, files)
    s3.hub.files["models/base/SHA256SUMS"] = sums
    found = s3.run()
    folder = Path(found["models"]["base"]["path"])
    kept = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert kept == {*(set(FILES) - set(BESIDE)), "SHA256SUMS", ".manifest.json"}


def test_directory_gives_what_an_engine_needs_of_a_download(source: Path) -> None:
    for name, content in BESIDE.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    opened = model_sources.open_source("base", source.as_uri(), {})
    assert not set(BESIDE) & set(opened.listing())
    assert "config.json" in opened.listing()


def test_of_llamacpps_model_the_one_file_is_fetched(tmp_path: Path) -> None:
    """Beside it may lie what it was made of; what changes there makes no other model of it."""
    folder = tmp_path / "uploaded"
    folder.mkdir()
    (folder / "model.gguf").write_bytes(b"GGUF")
    (folder / "config.json").write_bytes(b"{}")
    digest = hashlib.sha256(b"GGUF").hexdigest()
    (folder / "SHA256SUMS").write_text(f"{digest}  model.gguf\n{'0' * 64}  config.json\n")
    opened = model_sources.open_source("gguf", folder.as_uri(), {})
    assert set(opened.listing()) == {"model.gguf", "SHA256SUMS"}
    target = model_sources.locate(tmp_path, "gguf", opened)
    fetch("gguf", opened, target, 0)
    assert (target / "model.gguf").read_bytes() == b"GGUF"
    assert model_sources.is_whole(target)
    (folder / "config.json").write_bytes(b"{ }")
    assert model_sources.locate(tmp_path, "gguf", model_sources.open_source("gguf", folder.as_uri(), {})) == target
    hub = model_sources.open_source("gguf", "hf://owner/repository@" + "0" * 40, {"hub": "", "hub_token_file": ""})
    assert hub.identity() == f"{'0' * 40} only model.gguf SHA256SUMS"


def test_refusal_of_s3_names_role_and_permissions(s3: FakeS3) -> None:
    answer = s3.run(FAKE_AWS_DENIED="1")
    for words in (
        "role some-role",
        "s3:ListBucket on arn:aws:s3:::bucket",
        "s3:GetObject on arn:aws:s3:::bucket/models/",
    ):
        assert words in answer["msg"]
