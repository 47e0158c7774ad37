"""What goes to ECR, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from pipeline import __main__ as command
from pipeline import push, revision
from tests.pipeline.conftest import FakeDocker
from tests.support.aws_account import mock_aws

OWN = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
PUSHED = "sha256:" + "a" * 64
IDENTITY = "sha256:" + "b" * 64


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make an account with the repositories of both images."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with mock_aws():
        for name in ("example-gateway", "example-vllm"):
            boto3.client("ecr").create_repository(repositoryName=name, imageTagMutability="IMMUTABLE")
        yield


@pytest.fixture
def built(client: FakeDocker, repository: Path) -> FakeDocker:
    """Return a client whose daemon has both images and pushes them."""
    client.answer("image inspect --format {{.Id}}", IDENTITY)
    digests = [f"{OWN}/{name}@{PUSHED}" for name in ("example-gateway", "example-vllm")]
    client.answer("image inspect --format {{json .RepoDigests}}", json.dumps(digests))
    return client


def put(tag: str, configuration: str) -> str:
    """Put an image into ECR and return its digest."""
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": {"digest": configuration}, "layers": []}
    put = boto3.client("ecr").put_image(
        repositoryName="example-gateway", imageTag=tag, imageManifest=json.dumps(manifest)
    )
    return str(put["image"]["imageId"]["imageDigest"])


@pytest.mark.usefixtures("account")
def test_images_are_pushed_under_the_commit_and_what_was_pushed_is_said(
    built: FakeDocker, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["push"]) == 0
    commit = revision.read(repository).commit
    assert [line for line in built.commands() if line.startswith("push")] == [
        f"push {OWN}/example-gateway:{commit}",
        f"push {OWN}/example-vllm:{commit}",
    ]
    out = capsys.readouterr().out
    assert f"{OWN}/example-gateway:{commit}\n    {PUSHED}\n" in out
    assert f"ansible-playbook playbooks/deploy.yml -e stack_revision={commit}\n" in out


@pytest.mark.usefixtures("account", "repository")
def test_the_token_is_in_no_argument(built: FakeDocker) -> None:
    assert command.main(["push", "gateway"]) == 0
    ((arguments, given),) = [(arguments, given) for arguments, given in built.calls() if arguments[0] == "login"]
    assert arguments == ["login", "--username", "AWS", "--password-stdin", OWN]
    assert given
    assert not [line for line in built.commands() if given in line]


@pytest.mark.usefixtures("account")
def test_a_tag_that_another_image_has_is_refused(
    built: FakeDocker, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = put(revision.read(repository).commit, "sha256:" + "c" * 64)
    assert command.main(["push", "gateway"]) == 1
    assert f"holds another image under {revision.read(repository).commit}, {held}" in capsys.readouterr().err
    assert not [line for line in built.commands() if line.startswith(("push", "login"))]


@pytest.mark.usefixtures("account")
def test_the_same_image_again_is_no_error(
    built: FakeDocker, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As when a workflow is run again after a later step failed."""
    held = put(revision.read(repository).commit, IDENTITY)
    assert command.main(["push", "gateway"]) == 0
    assert held in capsys.readouterr().out
    assert not [line for line in built.commands() if line.startswith(("push", "login"))]


@pytest.mark.usefixtures("account")
def test_without_an_image_or_a_repository_it_says_what_makes_one(
    built: FakeDocker, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    boto3.client("ecr").delete_repository(repositoryName="example-gateway")
    assert command.main(["push", "gateway"]) == 1
    assert (
        "no ECR repository example-gateway in eu-central-1: playbooks/provision.yml makes it" in capsys.readouterr().err
    )
    built.answer("image inspect", code=1, error="No such image: x")
    built.answer("image inspect --format {{.Id}}", code=1, error="No such image: x")
    assert command.main(["push", "gateway"]) == 1
    assert "build it first, with `make images`" in capsys.readouterr().err


@pytest.mark.usefixtures("repository", "built")
def test_without_a_region_it_asks_for_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    assert command.main(["push", "gateway"]) == 1
    assert "export AWS_REGION=" in capsys.readouterr().err


@pytest.mark.usefixtures("account", "built")
def test_a_workflow_is_given_the_digest(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
        monkeypatch.setenv(name, str(tmp_path / name))
    assert command.main(["push", "gateway"]) == 0
    output = (tmp_path / "GITHUB_OUTPUT").read_text(encoding="utf-8")
    assert output == f"name={OWN}/example-gateway\ndigest={PUSHED}\n"
    summary = (tmp_path / "GITHUB_STEP_SUMMARY").read_text(encoding="utf-8")
    assert PUSHED in summary
    assert f"-e images_gateway_tag={revision.read(repository).commit}" in summary


def test_each_image_is_deployed_by_its_own_command() -> None:
    made = {name: push.Pushed(name, "address", "abc", PUSHED) for name in ("gateway", "engine", "trainer", "edge")}
    assert push.deploy_commands([made["edge"]]) == ["ansible-playbook playbooks/deploy.yml -e images_edge_tag=abc"]
    assert push.deploy_commands([made["engine"], made["trainer"]]) == [
        "ansible-playbook playbooks/deploy.yml -e images_engine_tag=abc",
        "ansible-playbook playbooks/finetune.yml -e images_trainer_tag=abc",
    ]


def test_each_engine_is_deployed_by_its_own_kind() -> None:
    made = {name: push.Pushed(name, "address", "abc", PUSHED) for name in ("gateway", "engine", "llamacpp")}
    deploy = "ansible-playbook playbooks/deploy.yml"
    assert push.deploy_commands([made["gateway"], made["llamacpp"]]) == [
        f"{deploy} -e stack_revision=abc -e stack_engine_kind=llamacpp"
    ]
    assert push.deploy_commands([made["llamacpp"]]) == [
        f"{deploy} -e images_engine_tag=abc -e stack_engine_kind=llamacpp"
    ]
    assert push.deploy_commands(list(made.values())) == [
        f"{deploy} -e stack_revision=abc",
        f"{deploy} -e stack_revision=abc -e stack_engine_kind=llamacpp",
    ]
