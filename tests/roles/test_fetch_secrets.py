"""The script that fetches the secrets: what it says of those that cannot be had, and of a file of no use."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.role_variables import ROLES

SECRET = {"name": "some/keys", "parameter": "/slm/secrets/keys", "path": "gateway/api-keys", "verification": True}
LINE = f"someone:{hashlib.sha256(b'a key').hexdigest()}"


@pytest.fixture
def script() -> ModuleType:
    """Return the script as a Python module."""
    path = ROLES / "secrets/files/fetch_secrets.py"
    specification = importlib.util.spec_from_file_location("fetch_secrets", path)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def fake_aws(folder: Path, monkeypatch: pytest.MonkeyPatch, *, text: str | None = None, refusal: str = "") -> None:
    """Put a fake of the aws command on PATH, which tells a secret's text or refuses."""
    (folder / "answer").write_text(json.dumps({"SecretString": text}))
    (folder / "refusal").write_text(refusal)
    (folder / "aws").write_text(
        f"#!/bin/sh\nif [ -s {folder}/refusal ]; then cat {folder}/refusal >&2; exit 254; fi\ncat {folder}/answer\n"
    )
    (folder / "aws").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.mark.parametrize("text", [LINE, f"# a comment\n\n{LINE}  # of someone\n"])
def test_keys_that_the_gateway_takes(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    fake_aws(tmp_path, monkeypatch, text=text)
    assert script.read_secret(SECRET, "us-east-1") == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no text value"),
        ("# only a comment\n", "holds no line name:sha256-hex"),
        (f"{LINE}\nmy-plain-key\n", "line 2 of the secret 'some/keys'"),
    ],
)
def test_keys_of_no_use_are_named_and_not_shown(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    fake_aws(tmp_path, monkeypatch, text=text)
    with pytest.raises(script.SecretError, match=words) as raised:
        script.read_secret(SECRET, "us-east-1")
    assert raised.value.final
    assert "some/keys" in str(raised.value)
    assert "/slm/secrets/keys" in str(raised.value)
    assert "my-plain-key" not in str(raised.value)


@pytest.mark.parametrize(
    ("refusal", "words", "final"),
    [
        (
            "(AccessDeniedException): User: arn:aws:sts::1:assumed-role/some-role/i-1 is not authorized to perform:"
            " secretsmanager:GetSecretValue",
            ["role some-role", "some/keys", "secretsmanager:GetSecretValue"],
            True,
        ),
        ("(AccessDeniedException): Access to KMS is not allowed", ["kms:Decrypt"], True),
        ("(ResourceNotFoundException)", ["does not exist in us-east-1"], True),
        ("(InvalidSignatureException): Signature expired", ["clock is wrong", "timedatectl set-ntp true"], False),
        ("Unable to locate credentials", ["has no profile"], False),
        ("Could not connect to the endpoint URL", ["could not be read"], False),
        ("(Throttling): slow down\n\nAdditional error details:\nType: User", ["could not be read", "slow down"], False),
    ],
)
def test_refused_secret_explains_what_to_do(
    script: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refusal: str,
    words: list[str],
    final: bool,
) -> None:
    fake_aws(tmp_path, monkeypatch, refusal=refusal)
    with pytest.raises(script.SecretError) as raised:
        script.read_secret(SECRET, "us-east-1")
    assert [word for word in words if word not in str(raised.value)] == []
    assert raised.value.final is final


@pytest.mark.parametrize("name", ["file:///run/slm-ft-serving/secrets/verification-key", "--debug", "keys\n", ""])
def test_secret_of_an_impossible_name_is_not_asked_for(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The aws command would read the file, as root, and send its content to AWS."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(script.SecretError, match="that is no name of a secret") as raised:
        script.read_secret(SECRET | {"name": name}, "us-east-1")
    assert raised.value.final
    assert "/slm/secrets/keys" in str(raised.value)
