"""Keys: the file, its reload, and the guard in front of the paths."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from gateway.access import keys
from gateway.access.keys import Keyring, KeysFileError, create_key
from gateway.api.middleware.guard import GUARDED
from gateway.app import create_app
from gateway.cli.main import main
from gateway.settings import Settings
from tests.gateway.conftest import NOTE, StartGateway


def line(name: str, key: str) -> str:
    return f"{name}:{hashlib.sha256(key.encode()).hexdigest()}"


def test_comments_and_blank_lines_are_allowed(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"# clients\n\n{line('ward', 'one')}  # the ward\n{line('lab', 'two')}\n")
    ring = Keyring(path)
    assert [ring.identify(key) for key in ("one", "two", "three", "")] == ["ward", "lab", None, None]


@pytest.mark.parametrize("bad", ["ward", "ward:abc", "ward one:" + "0" * 64, "ward:" + "g" * 64, "ward:" + "A" * 64])
def test_a_bad_line_is_named_but_not_shown(tmp_path: Path, bad: str) -> None:
    path = tmp_path / "keys"
    path.write_text(f"{line('lab', 'two')}\n{bad}\n")
    with pytest.raises(KeysFileError) as caught:
        Keyring(path)
    assert f"{path}:2: " in str(caught.value)
    assert bad not in str(caught.value)


def test_a_changed_file_is_read_again_and_a_broken_one_keeps_the_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "_CHECK_SECONDS", 0.0)
    path = tmp_path / "keys"
    path.write_text(line("ward", "one"))
    ring = Keyring(path)
    replacement = tmp_path / "new"
    replacement.write_text(line("ward", "new"))
    os.replace(replacement, path)  # noqa: PTH105 - renamed over, as the instance's unit does
    assert ring.identify("one") is None
    assert ring.identify("new") == "ward"
    path.write_text("broken")
    assert ring.identify("new") == "ward"
    path.unlink()
    assert ring.identify("new") == "ward"


def test_create_makes_a_line_that_lets_its_key_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "create", "ward-7"]) == 0
    shown = capsys.readouterr()
    path = tmp_path / "keys"
    path.write_text(shown.out)
    key = shown.err.rpartition(" ")[2].strip()
    assert Keyring(path).identify(key) == "ward-7"
    assert key not in shown.out


def test_create_refuses_a_name_that_cannot_stand_in_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "create", "ward:7"]) == 2
    assert "letters, digits" in capsys.readouterr().err
    with pytest.raises(ValueError, match="letters"):
        create_key("")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Basic right"}, 401),
        ({"Authorization": "Bearer "}, 401),
        ({"X-API-Key": ""}, 401),
        ({"Authorization": "Bearer right"}, 200),
        ({"authorization": "bearer right"}, 200),
        ({"X-API-Key": "right"}, 200),
        ({"X-API-Key": "right "}, 200),
        ({"X-API-Key": " \tright"}, 200),
        ({"Authorization": "  Bearer   right  "}, 200),
        ({"X-API-Key": "right right"}, 401),
        ({"X-API-Key": " "}, 401),
        # Two keys: an SDK must send some Bearer token, a proxy sends its own.
        ({"Authorization": "Bearer wrong", "X-API-Key": "right"}, 200),
        ({"Authorization": "Bearer right", "X-API-Key": "wrong"}, 200),
        ({"Authorization": "Basic wrong", "X-API-Key": "right"}, 200),
        ({"Authorization": "Bearer wrong", "X-API-Key": "wrong too"}, 401),
    ],
)
async def test_a_key_is_needed(
    start_gateway: StartGateway, tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    path = tmp_path / "keys"
    path.write_text(line("ward", "right"))
    gateway = await start_gateway(auth="required", api_keys_file=path)
    reply = await gateway.call("POST", "/api/v1/extract", json={"text": NOTE}, headers=headers)
    assert reply.status == status
    if status == 401:
        assert reply.headers["WWW-Authenticate"] == "Bearer"
        assert reply.headers["Content-Type"] == "application/problem+json"
        assert b"wrong" not in reply.body


async def test_a_new_key_works_without_a_restart(start_gateway: StartGateway, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(line("ward", "one"))
    gateway = await start_gateway(auth="required", api_keys_file=path)
    path.write_text(line("ward", "two"))
    began = time.monotonic()
    status = 401
    while status == 401 and time.monotonic() - began < 3:
        status = (
            await gateway.call("POST", "/api/v1/extract", json={"text": NOTE}, headers={"X-API-Key": "two"})
        ).status
    assert status == 200


def test_every_path_is_guarded_or_open_on_purpose() -> None:
    app = create_app(Settings(auth="off"))
    unguarded = {path for path in app.openapi()["paths"] if not path.startswith(GUARDED)}
    assert unguarded <= {"/live", "/health", "/metrics"}
