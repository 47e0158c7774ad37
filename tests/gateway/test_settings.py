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
