"""Keys: the file, its reload, and the guard in front of the paths."""

import hashlib
import os
import time
from datetime import UTC, datetime
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
    monkeypatch.setattr("gateway.files.watching._CHECK_SECONDS", 0.0)
    path = tmp_path / "keys"
    path.write_text(line("ward", "one"))
    ring = Keyring(path)
    replacement = tmp_path / "new"
    replacement.write_text(line("ward", "new"))
    os.replace(replacement, path)  # noqa: PTH105 - renamed over, as the instance's unit does
    assert ring.identify("one") is None
    assert ring.identify("new") == "ward"
    assert ring.stale_since is None
    path.write_text("broken")
    assert ring.identify("new") == "ward"
    path.unlink()
    assert ring.identify("new") == "ward"


def test_an_unusable_file_is_known_since_when_until_it_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.files.watching._CHECK_SECONDS", 0.0)
    path = tmp_path / "keys"
    path.write_text(line("ward", "one"))
    ring = Keyring(path)
    began = datetime.now(UTC)
    path.rename(tmp_path / "away")
    since = ring.stale_since
    assert since is not None
    assert began <= since <= datetime.now(UTC)
    path.write_text("broken")
    assert ring.stale_since == since  # still the same keys
    path.unlink()
    (tmp_path / "away").rename(path)
    assert ring.stale_since is None
    assert ring.identify("one") == "ward"


def test_a_file_that_becomes_readable_without_a_change_of_its_own_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.files.watching._CHECK_SECONDS", 0.0)
    path = tmp_path / "keys"
    path.write_text(line("ward", "one"))
    ring = Keyring(path)
    path.write_text(line("ward", "one") + "\n" + line("lab", "two"))
    with monkeypatch.context() as unreadable:
        unreadable.setattr(keys, "_parse", _refuse)
        assert ring.stale_since is not None
    assert ring.identify("two") == "lab"
    assert ring.clients == 2


def _refuse(path: Path) -> None:
    raise KeysFileError(f"{path}: cannot be read: Permission denied")


async def test_health_and_metrics_say_since_when_old_keys_are_in_use(
    start_gateway: StartGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.files.watching._CHECK_SECONDS", 0.0)
    path = tmp_path / "keys"
    path.write_text(line("ward", "one"))
    gateway = await start_gateway(auth="required", api_keys_file=path)
    assert set((await gateway.call("GET", "/health")).json) == {"status", "vllm_available", "version"}
    assert b"gateway_keys_file_stale_seconds 0.0" in (await gateway.call("GET", "/metrics")).body
    path.unlink()
    reply = await gateway.call("GET", "/health")
    assert reply.status == 200
    assert datetime.fromisoformat(reply.json["keys_file_stale_since"]) <= datetime.now(UTC)
    assert b"gateway_keys_file_stale_seconds 0.0\n" not in (await gateway.call("GET", "/metrics")).body


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
