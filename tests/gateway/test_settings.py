"""Settings: every one is documented, and a wrong one is named."""

from pathlib import Path

import pytest

from gateway.cli.main import main
from gateway.settings import PREFIX, Settings, SettingsError, load, shown_default

README = Path("gateway/README.md")


def table() -> str:
    """Return the settings as README.md must show them."""
    rows = ["| Variable | Default | Meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        rows.append(f"| `{PREFIX}{name.upper()}` | `{shown_default(name)}` | {field.description} |")
    return "\n".join(rows)


def test_the_readme_has_every_setting() -> None:
    assert table() in README.read_text("utf-8"), f"put this table into {README}:\n{table()}"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PORT", "http", "GATEWAY_PORT: Input should be a valid integer"),
        ("ENGINE_URL", "engine:8000", "GATEWAY_ENGINE_URL: URL scheme should be 'http' or 'https'"),
        ("ENGINE_URL", "http://e:8000?x=MARK", "GATEWAY_ENGINE_URL: write the base address alone"),
        ("ENGINE_URL", "http://e:8000/#MARK", "GATEWAY_ENGINE_URL: write the base address alone"),
        ("ENGINE_URL", "http://e/v1/chat/completions", "GATEWAY_ENGINE_URL: write the base address alone"),
        ("ENGINE_URL", "http://MARK:MARK@e:8000", "set GATEWAY_ENGINE_API_KEY_FILE to its path"),
        ("ENGINE_URL", "https://MARK@e/v1", "set GATEWAY_ENGINE_API_KEY_FILE to its path"),
        ("ENGINE_KIND", "ollama", "GATEWAY_ENGINE_KIND: Input should be 'vllm' or 'llamacpp'"),
        ("AUTH", "maybe", "GATEWAY_AUTH: Input should be 'required' or 'off'"),
        ("RATE_LIMIT", "10", "GATEWAY_RATE_LIMIT: String should match"),
        ("CORS_ORIGINS", "example.org", "GATEWAY_CORS_ORIGINS: 'example.org' is not an origin"),
        ("MAX_CONCURRENCY", "0", "GATEWAY_MAX_CONCURRENCY: Input should be greater than or equal to 1"),
        ("MAX_CONNECTIONS", "0", "GATEWAY_MAX_CONNECTIONS: Input should be greater than or equal to 1"),
        ("KEEP_ALIVE_TIMEOUT", "0", "GATEWAY_KEEP_ALIVE_TIMEOUT: Input should be greater than 0"),
        ("MAX_BODIES_BYTES", "100000", "GATEWAY_MAX_BODIES_BYTES: must be at least GATEWAY_MAX_BODY_BYTES"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str) -> None:
    monkeypatch.setenv("GATEWAY_API_KEYS_FILE", "/somewhere")
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsError) as caught:
        load()
    assert message in str(caught.value)
    assert "MARK" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "base"),
    [
        ("http://engine:8000", "http://engine:8000/"),
        ("http://engine:8000/v1", "http://engine:8000/"),
        (" http://engine:8000/v1/\n", "http://engine:8000/"),
        ("https://host/openai/v1", "https://host/openai"),
        ("http://host/a%20b/%7Ec/v1//", "http://host/a%20b/%7Ec"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/"),
        ("http://host/v10", "http://host/v10"),
    ],
)
def test_the_engines_address_may_end_as_openais_clients_take_it(
    monkeypatch: pytest.MonkeyPatch, written: str, base: str
) -> None:
    monkeypatch.setenv("GATEWAY_AUTH", "off")
    monkeypatch.setenv("GATEWAY_ENGINE_URL", written)
    assert str(load().engine_url) == base


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "is empty; write the engine's key into it"),
        (b" \n\n", "is empty; write the engine's key into it"),
        (b"MARK\nMARK", "must hold one key alone"),
        (b"MARK MARK", "must hold one key alone"),
        ("MARK\u00e9".encode(), "must hold one key alone"),
        (b"MARK\xff", "is not UTF-8: byte 0xff at offset 4"),
    ],
)
def test_a_file_without_the_engines_key_stops_the_start_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    content: bytes | None,
    message: str,
) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    monkeypatch.setenv("GATEWAY_AUTH", "off")
    monkeypatch.setenv("GATEWAY_ENGINE_API_KEY_FILE", str(tmp_path / "key"))
    assert main(["serve"]) == 2
    error = capsys.readouterr().err
    assert "GATEWAY_ENGINE_API_KEY_FILE: " in error
    assert message in error
    assert "MARK" not in error


def test_vllms_members_are_not_offered_before_an_engine_that_ignores_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_AUTH", "off")
    monkeypatch.setenv("GATEWAY_ENGINE_EXTRAS", "on")
    assert load().engine_kind == "vllm"
    monkeypatch.setenv("GATEWAY_ENGINE_KIND", "llamacpp")
    with pytest.raises(SettingsError, match=r"GATEWAY_ENGINE_EXTRAS: .*turn it off"):
        load()


def test_keys_are_required_unless_they_are_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="GATEWAY_API_KEYS_FILE is not set"):
        load()
    monkeypatch.setenv("GATEWAY_AUTH", "off")
    assert load().api_keys_file is None


def test_lists_and_rates_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_AUTH", "off")
    monkeypatch.setenv("GATEWAY_CORS_ORIGINS", "https://*.vercel.app, http://localhost:3000")
    monkeypatch.setenv("GATEWAY_RATE_LIMIT", "120/minute")
    settings = load()
    assert settings.cors_origins == ("https://*.vercel.app", "http://localhost:3000")
    assert settings.rate == (120, 60.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"AUTH": "off", "DEFAULT_TASK": "nothing"}, "GATEWAY_DEFAULT_TASK: there is no task nothing; there are "),
        ({"AUTH": "off", "TASKS_DIR": "/nowhere"}, "/nowhere: there is no such folder"),
        ({"API_KEYS_FILE": "/nowhere"}, "/nowhere: cannot be read: No such file or directory"),
    ],
)
def test_serve_stops_with_a_sentence_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], settings: dict[str, str], message: str
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(PREFIX + name, value)
    assert main(["serve"]) == 2
    assert message in capsys.readouterr().err
