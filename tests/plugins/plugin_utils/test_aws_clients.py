"""What the main process has read of AWS's services is not read again for a client."""

import subprocess
import sys
from pathlib import Path

import botocore.loaders
import pytest
from ansible_collections.slm.serving.plugins.plugin_utils import aws_clients
from botocore.exceptions import ProfileNotFound

KEYS = {"aws_access_key_id": "x", "aws_secret_access_key": "y"}


@pytest.mark.parametrize("endpoint", [None, "http://127.0.0.1:9"])
def test_clients_read_nothing_that_was_read_before(monkeypatch: pytest.MonkeyPatch, endpoint: str | None) -> None:
    aws_clients.preload()

    def refuse(_: object, path: str) -> None:
        # That there is no addition to a description is looked up each time.
        assert not list(Path(path).parent.glob(f"{Path(path).name}.json*")), f"{path} is read again"

    monkeypatch.setattr(botocore.loaders.JSONFileLoader, "load_file", refuse)
    for service in aws_clients.SERVICES:
        session: object = aws_clients.session()
        client = session.client(service, region_name="eu-central-1", endpoint_url=endpoint, **KEYS)  # type: ignore[attr-defined]
        assert client.meta.region_name == "eu-central-1"


def test_a_profile_is_the_operators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").write_text("[profile ward]\nregion = eu-west-3\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    assert aws_clients.session("ward").region_name == "eu-west-3"
    with pytest.raises(ProfileNotFound):
        _ = aws_clients.session("nobody").region_name


def test_preloading_asks_for_no_credentials_and_no_profile(tmp_path: Path) -> None:
    code = "from ansible_collections.slm.serving.plugins.plugin_utils import aws_clients; aws_clients.preload()"
    environment = {"PYTHONPATH": "collections", "AWS_PROFILE": "nobody", "HOME": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert run.returncode == 0, run.stderr
