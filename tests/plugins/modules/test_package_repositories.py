"""Signed package repositories: whose key is accepted, and what is written for apt and dnf."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slm.serving.plugins.modules import package_repositories as module

pytestmark = pytest.mark.slow

# Throw-away keys made for this test with GnuPG 2.2.40, which gives these fingerprints; the private halves are gone.
ONE, TWO = "8FE71C9544DC22A02015B9BD806B771ABFA7C432", "6803A018C9619700D46A3C005EDCBFA7C0A90E95"
KEY_ONE = b"""-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEawBRBxYJKwYBBAHaRw8BAQdAYk86FKgyehZwU4zN4JZPRaCBRQ6jqTA3KkLd
OW44t1O0E2Ega2V5IG9mIGEgdGVzdCBvbmWIkAQTFggAOBYhBI/nHJVE3CKgIBW5
vYBrdxq/p8QyBQJrAFEHAhsDBQsJCAcCBhUKCQgLAgQWAgMBAh4BAheAAAoJEIBr
dxq/p8Qye70BAMBftyFKFe+fplQ5BW8ID8QIFWAurnV0CzylFtCnmbz1AP4mx91L
3f6wEyCPXfW98v2qtEsas+yJ/M8IWJzTXUqEBw==
=OX+e
-----END PGP PUBLIC KEY BLOCK-----
"""
KEY_TWO = b"""-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEawBRBxYJKwYBBAHaRw8BAQdAKKf6gsmUXyTbJzn781MtavMaoHklldIJNkzt
VXkHPzq0E2Ega2V5IG9mIGEgdGVzdCB0d2+IkAQTFggAOBYhBGgDoBjJYZcA1Go8
AF7cv6fAqQ6VBQJrAFEHAhsDBQsJCAcCBhUKCQgLAgQWAgMBAh4BAheAAAoJEF7c
v6fAqQ6VEnEA/2ODON1r0NTJYy5Ffum+6xNFW/b11owe1Nd/d57zAz+2AQCJUkPt
LLCF88SpCot7LMpqZg8poAr3EH5QvMK0rGKYCg==
=kC3w
-----END PGP PUBLIC KEY BLOCK-----
"""

needs_gpg = pytest.mark.skipif(not shutil.which("gpg"), reason="GnuPG is not installed")
GPG, KEY = Path("/etc/apt/keyrings/vendor.gpg"), Path("/etc/pki/rpm-gpg/RPM-GPG-KEY-vendor")


def binary(armoured: bytes) -> bytes:
    body = armoured.decode().partition("\n\n")[2].partition("\n=")[0]
    return base64.b64decode(body)


def repository(**settings: Any) -> Any:
    """Return a repository as the module gets it."""
    given = {
        "name": "vendor",
        "uri": "https://packages.example/deb/",
        "key": "https://packages.example/key",
        "suite": "/",
    }
    return {**given, "fingerprint": ONE, "components": [], "pins": {}, "signed": "packages", "packages": [], **settings}


@pytest.fixture
def gnupg() -> Any:
    """Return a module that reads keys with GnuPG."""
    with patch_module_args({}):
        return AnsibleModule(argument_spec={})


@needs_gpg
@pytest.mark.parametrize("data", [KEY_ONE, binary(KEY_ONE), KEY_ONE.replace(b"\n", b"\r\n")])
def test_fingerprint_is_read(gnupg: Any, data: bytes) -> None:
    assert module.fingerprints(gnupg, data) == [ONE]


@needs_gpg
def test_every_primary_key_of_a_file_is_seen(gnupg: Any) -> None:
    assert module.fingerprints(gnupg, KEY_ONE + KEY_TWO) == [ONE, TWO]
    assert module.fingerprints(gnupg, binary(KEY_ONE) + binary(KEY_TWO)) == [ONE, TWO]


@needs_gpg
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>404</html>",
        KEY_ONE[:120],
        binary(KEY_ONE)[:20],
        binary(KEY_ONE)[60:],
        KEY_ONE.replace(b"mDME", b"mDM!"),
        KEY_ONE.replace(b"PUBLIC KEY BLOCK", b"ARMORED FILE"),
    ],
)
def test_file_without_a_key_is_refused(gnupg: Any, data: bytes) -> None:
    with pytest.raises(module.RepositoryError, match="there"):
        module.check_key(gnupg, data, ONE, "there")


@needs_gpg
@pytest.mark.parametrize("fingerprint", [ONE, ONE.lower(), " ".join([ONE[:20], ONE[20:]])])
def test_pinned_key_is_accepted(gnupg: Any, fingerprint: str) -> None:
    module.check_key(gnupg, KEY_ONE, fingerprint, "there")


@needs_gpg
@pytest.mark.parametrize("data", [KEY_TWO, KEY_ONE + KEY_TWO])
def test_another_key_is_refused_also_beside_the_pinned_one(gnupg: Any, data: bytes) -> None:
    with pytest.raises(module.RepositoryError, match=f"{TWO}.*{ONE}"):
        module.check_key(gnupg, data, ONE, "there")


@pytest.mark.parametrize("fingerprint", ["", ONE[:39], f"{ONE}0", "--export", f"{ONE[:-1]}Z"])
def test_fingerprint_of_another_form_is_refused(gnupg: Any, fingerprint: str) -> None:
    with pytest.raises(module.RepositoryError, match="has not 40 hexadecimal digits"):
        module.check_key(gnupg, KEY_ONE, fingerprint, "there")


def test_missing_gpg_is_named(gnupg: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gnupg, "get_bin_path", lambda _: None)
    with pytest.raises(module.RepositoryError, match="install gnupg"):
        module.check_key(gnupg, KEY_ONE, ONE, "there")


def test_an_apt_repository_trusts_its_own_key_only_and_holds_its_versions() -> None:
    written = module.text_files("apt", repository(pins={"*driver*": "595.91.07-*"}), GPG)
    assert written[Path("/etc/apt/sources.list.d/vendor.sources")] == (
        "Types: deb\nURIs: https://packages.example/deb/\nSuites: /\nSigned-By: /etc/apt/keyrings/vendor.gpg\n"
    )
    assert written[Path("/etc/apt/preferences.d/vendor")] == (
        "Package: *driver*\nPin: version 595.91.07-*\nPin-Priority: 1001\n"
    )


def test_an_apt_repository_with_a_suite_names_its_components() -> None:
    written = module.text_files("apt", repository(suite="jammy", components=["stable"]), GPG)
    assert list(written) == [Path("/etc/apt/sources.list.d/vendor.sources")]
    assert "Suites: jammy\nComponents: stable\nSigned-By: /etc/apt/keyrings/vendor.gpg\n" in next(
        iter(written.values())
    )


@pytest.mark.parametrize(("signed", "packages", "metadata"), [("packages", 1, 0), ("metadata", 0, 1)])
def test_a_dnf_repository_checks_what_is_signed(signed: str, packages: int, metadata: int) -> None:
    (text,) = module.text_files("dnf", repository(signed=signed, packages=["compose"]), KEY).values()
    lines = text.splitlines()
    assert f"gpgcheck={packages}" in lines
    assert f"repo_gpgcheck={metadata}" in lines
    assert "gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-vendor" in lines
    assert "includepkgs=compose" in lines
    assert "enabled=0" in lines


def test_an_address_that_is_configured_elsewhere_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "APT_SOURCES", tmp_path)
    (tmp_path / "ami.list").write_text("deb [signed-by=/k] https://packages.example/deb/$(ARCH) /\n")
    (tmp_path / "old.list").write_text("# deb https://other.example/deb /\n")
    own = tmp_path / "vendor.sources"
    own.write_text("URIs: https://packages.example/deb/\n")
    assert module.configured_elsewhere("https://packages.example/deb/amd64/", own) is None
    assert module.configured_elsewhere("https://packages.example/deb/$(ARCH)", own) == tmp_path / "ami.list"
    assert module.configured_elsewhere("https://other.example/deb/", own) is None


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder in place of the instance's, that the module writes to."""
    for name in ("APT_SOURCES", "APT_PREFERENCES", "APT_KEYS", "DNF_REPOSITORIES", "DNF_KEYS"):
        monkeypatch.setattr(module, name, tmp_path / getattr(module, name).relative_to("/"))
    return tmp_path


@pytest.fixture
def key(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of a file with the pinned key."""
    path = tmp_path_factory.mktemp("vendor") / "key"
    path.write_bytes(KEY_ONE)
    return path.as_uri()


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def answer(capsys: pytest.CaptureFixture[str], *repositories: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    """Run the module, for apt unless told otherwise, and return what it answers."""
    given = {"installer": "apt", **arguments, "repositories": list(repositories)}
    with patch_module_args(given), pytest.raises(SystemExit):
        module.main()
    answered: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answered


@needs_gpg
@pytest.mark.parametrize("installer", ["apt", "dnf"])
def test_what_was_set_up_is_removed_whole_and_nothing_else(
    installer: str, etc: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other = repository(name="other", uri="https://other.example/", key=key, pins={"*": "1"})
    answer(capsys, other, installer=installer)
    others = files_in(etc)
    vendor = repository(key=key, pins={"*driver*": "595.91.07-*"})
    written = answer(capsys, vendor, installer=installer)["changed_paths"]
    foreseen = answer(capsys, vendor, installer=installer, state="absent", _ansible_check_mode=True)
    assert sorted(foreseen["changed_paths"]) == sorted(written)
    assert files_in(etc) > others
    assert sorted(answer(capsys, vendor, installer=installer, state="absent")["changed_paths"]) == sorted(written)
    assert files_in(etc) == others
    assert not answer(capsys, vendor, installer=installer, state="absent")["changed"]


@pytest.mark.parametrize("installer", ["apt", "dnf"])
def test_every_file_of_a_repository_is_known_to_its_removal(installer: str) -> None:
    key = module.key_path(installer, "vendor")
    paths = {*module.text_files(installer, repository(pins={"*": "1"}), key), key}
    assert paths <= set(module.own_paths(installer, "vendor"))


@needs_gpg
def test_where_one_key_is_refused_no_repository_is_written(
    etc: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = repository(name="other", uri="https://other.example/", key=key, fingerprint=TWO)
    result = answer(capsys, repository(key=key), refused)
    assert result["failed"]
    assert f"{ONE}, not {TWO}" in result["msg"]
    assert files_in(etc) == set()


def relabelled(armoured: bytes) -> bytes:
    """Return a key in a block of another label, which apt reads as well."""
    return armoured.replace(b"PGP PUBLIC KEY BLOCK", b"PGP ARMORED FILE")


def with_foreign_subkey() -> bytes:
    """Return the pinned key with the other one behind it as a subkey that it never signed."""
    packets, other = binary(KEY_ONE), binary(KEY_TWO)
    length = other[1]
    # Tag 6, a primary key, becomes tag 14, a subkey; without a signature that binds it.
    return packets + bytes([0x80 | 14 << 2, length]) + other[2 : 2 + length]


# Files in which GnuPG reads the pinned key and no other, but in which others might read more.
CARRIERS = {
    "as it is": KEY_ONE,
    "binary": binary(KEY_ONE),
    "text before": b"Our key, dear friends:\n\n" + KEY_ONE,
    "text behind": KEY_ONE + b"\nDear friends\n",
    "headers": KEY_ONE.replace(b"BLOCK-----\n\n", b"BLOCK-----\nComment: hello\nVersion: 1\n\n", 1),
    "foreign key under another label": relabelled(KEY_TWO) + KEY_ONE,
    "unsigned subkey": with_foreign_subkey(),
}


@needs_gpg
def test_key_is_exported_below_a_folder_whose_path_is_too_long_for_a_socket(gnupg: Any, tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    gnupg._tmpdir = str(folder)
    assert module.fingerprints(gnupg, module.exported(gnupg, KEY_ONE, ONE, armoured=True)) == [ONE]


@needs_gpg
@pytest.mark.parametrize("installer", ["apt", "dnf"])
@pytest.mark.parametrize("data", CARRIERS.values(), ids=CARRIERS)
def test_installed_is_what_gnupg_exports_of_the_checked_key_whatever_the_file_held(
    installer: str, data: bytes, etc: Path, key: str, gnupg: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    address = Path(key.removeprefix("file://"))
    address.write_bytes(data)
    result = answer(capsys, repository(key=key), installer=installer)
    path = module.key_path(installer, "vendor")
    assert str(path) in result["changed_paths"], result
    kept = path.read_bytes()
    assert module.fingerprints(gnupg, kept) == [ONE]
    assert kept == (KEY_ONE if installer == "dnf" else binary(KEY_ONE))
    assert not answer(capsys, repository(key=key), installer=installer)["changed"]


@needs_gpg
@pytest.mark.parametrize(
    "data",
    [
        relabelled(KEY_TWO) + KEY_ONE,
        KEY_ONE + relabelled(KEY_TWO),
        relabelled(KEY_TWO) + b"\n" + relabelled(KEY_ONE),
        KEY_TWO + KEY_ONE,
        binary(KEY_ONE) + binary(KEY_TWO),
        binary(KEY_TWO) + binary(KEY_ONE),
        KEY_ONE + binary(KEY_TWO),
    ],
)
@pytest.mark.parametrize("installer", ["apt", "dnf"])
def test_foreign_key_in_the_file_of_the_pinned_one_is_not_installed(
    installer: str, data: bytes, etc: Path, key: str, gnupg: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is refused, or what GnuPG does not read of the file is not kept."""
    Path(key.removeprefix("file://")).write_bytes(data)
    answer(capsys, repository(key=key), installer=installer)
    path = module.key_path(installer, "vendor")
    assert not path.is_file() or module.fingerprints(gnupg, path.read_bytes()) == [ONE]
    assert not any(binary(KEY_TWO)[8:40] in each.read_bytes() for each in etc.rglob("*") if each.is_file())


@needs_gpg
def test_file_that_an_earlier_version_kept_makes_way_for_the_export(
    etc: Path, key: str, gnupg: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it came: with a foreign key in it that GnuPG does not read."""
    earlier = module.key_path("apt", "vendor").with_suffix(".asc")
    earlier.parent.mkdir(parents=True)
    earlier.write_bytes(b"comment\n" + KEY_ONE)
    changed = answer(capsys, repository(key="file:///nowhere"))["changed_paths"]
    assert str(earlier) in changed
    assert files_in(etc) == {"vendor.sources", "vendor.gpg"}
    assert module.fingerprints(gnupg, module.key_path("apt", "vendor").read_bytes()) == [ONE]
