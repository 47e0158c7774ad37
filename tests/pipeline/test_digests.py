"""The digests of the bases: written where a registry tells them, and said where not."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import __main__ as command
from pipeline import definitions
from tests.pipeline.conftest import FakeDocker

ASK = "buildx imagetools inspect --format {{.Manifest.Digest}} "
DIGEST = "sha256:" + "1" * 64
NEWER = "sha256:" + "2" * 64


def test_digests_are_written_and_newer_ones_take_their_place(client: FakeDocker, repository: Path) -> None:
    for digest in (DIGEST, NEWER):
        client.answer(ASK, f"{digest}\n")
        assert command.main(["digests"]) == 0
        images = definitions.read(repository)
        assert [str(image.base) for image in images.values()] == [
            f"python:3.13-slim@{digest}",
            f"vllm/vllm-openai:v1.2.3@{digest}",
            f"python:3.13-slim@{digest}",
        ]
    assert images["engine"].version == "1.2.3"


def test_what_cannot_be_resolved_is_said_and_left(
    client: FakeDocker, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client.answer(ASK, DIGEST)
    client.answer(f"{ASK}vllm", code=1, error="trying\nERROR: no such host\n")
    assert command.main(["digests"]) == 1
    assert "vllm/vllm-openai:v1.2.3: ERROR: no such host" in capsys.readouterr().err
    images = definitions.read(repository)
    assert [bool(image.base.digest) for image in images.values()] == [True, False, True]


def test_a_client_that_cannot_ask_is_said(
    client: FakeDocker, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client.answer("buildx version", code=1)
    assert command.main(["digests"]) == 1
    assert "needs docker's plugin buildx" in capsys.readouterr().err
