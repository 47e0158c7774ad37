"""What a pull says when it fails, in the words of either store of images."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.module_utils.process import StackError
from ansible_collections.slm.serving.plugins.modules import image_pull

REFERENCE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/engine@sha256:1"


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        (
            "Error response from daemon: no matching manifest for linux/amd64 in the manifest list entries:"
            " no match for platform in manifest: not found",
            "--platform linux/amd64",
        ),
        ("no matching manifest for linux/amd64 in the manifest list entries", "--platform linux/amd64"),
        ("Error response from daemon: manifest for engine not found: manifest unknown", "manifest unknown"),
        ("failed to copy: write /var/lib/containerd/x: no space left on device", "disk is full"),
    ],
)
def test_failure_that_lasts_is_told_at_once(stderr: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[list[str]] = []

    def run(argv: list[str], **_: Any) -> SimpleNamespace:
        tried.append(argv)
        return SimpleNamespace(returncode=1, stdout="", stderr=stderr)

    monkeypatch.setattr(image_pull, "run", run)
    with pytest.raises(StackError, match=words):
        image_pull.pull(REFERENCE, "v1", Path("/nowhere"), timeout=1)
    assert len(tried) == 1


def test_disk_is_that_of_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory itself may not be there before the first pull."""
    monkeypatch.setattr(image_pull, "info", dict)
    monkeypatch.setattr(image_pull, "image_directory", lambda _about: tmp_path / "containerd")
    image_pull.check_disk(0)
    with pytest.raises(StackError, match=f"{tmp_path}/containerd has .* free"):
        image_pull.check_disk(10**18)
