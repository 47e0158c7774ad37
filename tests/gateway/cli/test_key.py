"""The caller's key: where it comes from, and what cannot be one."""

from pathlib import Path

import pytest

from gateway.cli.key import KeyUnusableError, read_key


@pytest.mark.parametrize("key", ["secret", "secret\n", "\r\n secret \t\r\n", "\u00a0secret\u2028"])
def test_white_space_around_a_key_is_not_of_it(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GATEWAY_API_KEY_FILE", raising=False)
    monkeypatch.setenv("GATEWAY_API_KEY", key)
    assert read_key(None) == "secret"
    (tmp_path / "key").write_text(f"\ufeff{key}", "utf-8")
    assert read_key(tmp_path / "key") == "secret"
    monkeypatch.setenv("GATEWAY_API_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("GATEWAY_API_KEY", "another")
    assert read_key(None) == "secret"


@pytest.mark.parametrize("blank", ["", " ", "\n"])
def test_a_blank_variable_is_no_key_and_a_blank_file_a_mistake(
    blank: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_API_KEY_FILE", "")
    monkeypatch.setenv("GATEWAY_API_KEY", blank)
    assert read_key(None) is None
    (tmp_path / "key").write_text(blank)
    with pytest.raises(KeyUnusableError, match=f"^{tmp_path}/key: holds no key$"):
        read_key(tmp_path / "key")


@pytest.mark.parametrize(
    ("key", "at"),
    [
        ("sec\nret", 4),
        ("sec\r\nret", 4),
        ("secr\x00et", 5),
        ("secre\x7ft", 6),
        ("\x1bsecret", 1),
        ("sécret", 2),
        ("sec\u200bret", 4),
        ("s\udce9cret", 2),
    ],
)
def test_what_fits_in_no_header_is_refused_without_showing_the_key(
    key: str, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GATEWAY_API_KEY_FILE", raising=False)
    monkeypatch.setattr("os.environ", {"GATEWAY_API_KEY": key})
    (tmp_path / "key").write_bytes(key.encode("utf-8", "surrogateescape"))
    with pytest.raises(KeyUnusableError, match=f"^GATEWAY_API_KEY: character {at} of the key is a line break") as shown:
        read_key(None)
    assert "ret" not in str(shown.value)
    if "\udce9" not in key:
        with pytest.raises(KeyUnusableError, match=f"/key: character {at} of the key"):
            read_key(tmp_path / "key")
