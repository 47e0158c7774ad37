"""Amazon's agent: whose signature is accepted, and when it is installed, configured and stopped."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slm.serving.plugins.module_utils.process import StackError
from ansible_collections.slm.serving.plugins.module_utils.signatures import check_signature
from ansible_collections.slm.serving.plugins.modules import cloudwatch_agent as module

from tests.fakes.http_service import HttpFake
from tests.plugins.run import run_module

NOBODY = "0" * 40


class Bucket(HttpFake):
    """Amazon's bucket, with some files."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__()
        self.files = files
        self.asked: list[str] = []

    def answer(self, request: Any) -> None:
        """Send a file, or say that it is not there."""
        self.asked.append(request.path)
        content = self.files.get(request.path.lstrip("/"))
        request.send_response(404 if content is None else 200)
        request.end_headers()
        request.wfile.write(content or b"")


class Signed:
    """A file with a signature by a key made for it."""

    def __init__(self, home: Path) -> None:
        """Make key, file and signature."""
        home.mkdir(mode=0o700)
        self.home = home
        self._gpg("--passphrase", "", "--quick-generate-key", "a vendor", "ed25519", "sign", "never")
        listing = self._gpg("--with-colons", "--list-keys").decode()
        self.fingerprint = next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr"))
        (home / "package").write_bytes(b"the agent")
        self._gpg("--output", str(home / "signature"), "--detach-sign", str(home / "package"))
        (home / "keys").write_bytes(self._gpg("--armor", "--export"))

    def _gpg(self, *arguments: str) -> bytes:
        command = ["gpg", "--batch", "--quiet", "--homedir", str(self.home), "--pinentry-mode", "loopback", *arguments]
        return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout

    def end(self) -> None:
        """End the agent that gpg has started for the key."""
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=False, timeout=60)


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a file that is signed."""
    if not shutil.which("gpg") or not shutil.which("gpg-agent"):
        pytest.skip("GnuPG is not installed")
    made = Signed(tmp_path_factory.mktemp("g") / "h")
    yield made
    made.end()


def test_only_a_signature_by_the_pinned_key_is_accepted(signed: Signed, tmp_path: Path) -> None:
    package, signature, keys = (signed.home / name for name in ("package", "signature", "keys"))
    check_signature(package, signature, keys, signed.fingerprint)
    with pytest.raises(
        StackError, match=f"no valid signature by the key {NOBODY}: it is signed by {signed.fingerprint}"
    ):
        check_signature(package, signature, keys, NOBODY)
    changed = tmp_path / "package"
    changed.write_bytes(b"another agent")
    with pytest.raises(StackError, match="BAD signature"):
        check_signature(changed, signature, keys, signed.fingerprint)
    (tmp_path / "none").write_bytes(b"<html>")
    with pytest.raises(StackError, match="the signing key cannot be read"):
        check_signature(package, signature, tmp_path / "none", signed.fingerprint)
    with pytest.raises(StackError, match="no valid signature"):
        check_signature(package, tmp_path / "none", keys, signed.fingerprint)


class Instance:
    """An instance's programs, in a folder: they write down what they are called with."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put them on the path."""
        self.calls = folder / "calls"
        self.agent = folder / "agent"
        self.agent.mkdir()
        self.path = folder / "kept/cloudwatch-agent.json"
        install = f'echo 1.300071.0b1 >"{self.agent}/CWAGENT_VERSION"'
        control = f'cp "{folder}/amazon-cloudwatch-agent-ctl" "{self.agent}/"'
        self._program(folder / "amazon-cloudwatch-agent-ctl", "exit ${REFUSES:-0}")
        self._program(folder / "apt-get", f"{install}; {control}")
        self._program(folder / "systemctl", f'test "$1" != is-active || test -e "{folder}/calls.active"')
        (folder / "calls.active").touch()
        monkeypatch.setenv("PATH", str(folder), prepend=":")
        monkeypatch.setattr(module, "FOLDER", self.agent)
        monkeypatch.setattr(module, "check_signature", lambda *_: None)

    def _program(self, path: Path, body: str) -> None:
        path.write_text(f'#!/bin/sh\necho "$(basename "$0") $*" >>"{self.calls}"\n{body}\n')
        path.chmod(0o755)

    def run(self, source: str, configuration: str = '{"a": 1}', **options: Any) -> dict[str, Any]:
        """Run the module and return its answer."""
        given = {"path": str(self.path), "minimum": "1.300070.0", "source": source, "fingerprint": NOBODY}
        return run_module("cloudwatch_agent", {**given, "configuration": configuration, **options})

    def called(self) -> list[str]:
        """Return the calls since the last look, by their programs."""
        lines = self.calls.read_text().splitlines() if self.calls.is_file() else []
        self.calls.unlink(missing_ok=True)
        return [line.split()[0] for line in lines if "is-active" not in line]


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Instance:
    """Return an instance without the agent."""
    return Instance(tmp_path, monkeypatch)


FILES = {
    "ubuntu/amd64/latest/amazon-cloudwatch-agent.deb": b"x",
    "ubuntu/amd64/latest/amazon-cloudwatch-agent.deb.sig": b"x",
    "assets/amazon-cloudwatch-agent.gpg": b"x",
}


def test_the_agent_is_installed_once_configured_anew_and_stopped(instance: Instance) -> None:
    with Bucket(FILES) as bucket:
        source = f"http://127.0.0.1:{bucket.port}"
        assert instance.run(source, _ansible_check_mode=True)["did"] == ["installed", "configured"]
        assert instance.called() == []
        assert instance.run(source)["did"] == ["installed", "configured"]
        assert instance.called() == ["apt-get", "amazon-cloudwatch-agent-ctl"]
        assert sorted(bucket.asked) == sorted(f"/{name}" for name in FILES)
        assert not instance.run(source)["changed"]
        assert instance.run(source, '{"a": 2}')["did"] == ["configured"]
        assert len(bucket.asked) == len(FILES)
        instance.called()
    assert instance.run(source, "", state="stopped", _ansible_check_mode=True)["did"] == ["stopped"]
    assert instance.run(source, "", state="stopped")["did"] == ["stopped"]
    assert instance.called() == ["systemctl"]
    # An agent that runs with somebody else's configuration is somebody else's.
    assert not instance.run(source, "", state="stopped")["changed"]


def test_an_agent_that_does_not_run_is_started_again(instance: Instance, tmp_path: Path) -> None:
    with Bucket(FILES) as bucket:
        source = f"http://127.0.0.1:{bucket.port}"
        instance.run(source)
        (tmp_path / "calls.active").unlink()
        assert instance.run(source)["did"] == ["configured"]


def test_a_configuration_that_is_refused_is_tried_again(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    with Bucket(FILES) as bucket:
        source = f"http://127.0.0.1:{bucket.port}"
        monkeypatch.setenv("REFUSES", "1")
        assert "did not take its configuration" in instance.run(source)["msg"]
        monkeypatch.delenv("REFUSES")
        assert instance.run(source)["did"] == ["configured"]


def test_a_source_that_does_not_answer_says_what_to_do(instance: Instance) -> None:
    with Bucket({}) as bucket:
        message = instance.run(f"http://127.0.0.1:{bucket.port}")["msg"]
    assert "Check that the instance reaches S3, or set monitoring/cloudwatch to off" in message
    assert instance.called() == []


@pytest.mark.parametrize(
    ("version", "enough"),
    [("1.300070.0b1234", True), ("1.300071.0", True), ("2.0.4", True), ("1.300069.1b1", False), ("", False)],
)
def test_versions_are_compared_by_their_numbers(version: str, enough: bool) -> None:
    assert (module.numbers(version) >= module.numbers("1.300070.0")) == enough
