#!/usr/bin/python
"""Set up signed package repositories, for apt or for dnf, or remove them again, in one session.

An own module: the ready ones take a session for each repository and each key, and those for apt check no fingerprint.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: package_repositories
short_description: Set up signed package repositories, or remove them
description:
  - A key is accepted only when GnuPG reads this one key and no other in its file; all else of a repository is then
    vouched for by its signature. What is kept is GnuPG's own export of that key, never the file.
  - Nothing is installed, and no other repository is touched. One for dnf is not enabled; a task that installs from it
    says so with C(enablerepo).
author:
  - The slm-ft-serving developers (!UNKNOWN)
requirements:
  - gpg 2.1.23 or later on the instance, for C(state=present)
options:
  installer:
    description: The distribution's package manager.
    type: str
    choices: [apt, dnf]
    required: true
  repositories:
    description: The repositories. With C(state=absent) the names alone count.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of its files, and for dnf of the repository.
        type: str
        required: true
      uri:
        description: Address of the packages.
        type: str
        required: true
      key:
        description: Address of the signing key's file.
        type: str
        required: true
      fingerprint:
        description: The signing key's fingerprint, 40 hexadecimal digits.
        type: str
        required: true
      suite:
        description: For apt, the suite; C(/) for a flat repository.
        type: str
        default: /
      components:
        description: For apt, the suite's components.
        type: list
        elements: str
        default: []
      pins:
        description: For apt, versions by package name, as in apt_preferences(5).
        type: dict
        default: {}
      signed:
        description: For dnf, what the signature is on.
        type: str
        choices: [metadata, packages]
        default: packages
      packages:
        description: For dnf, the only packages that may come from it; empty for all.
        type: list
        elements: str
        default: []
  state:
    description: Whether they exist. An apt source whose signature is refused makes every later update fail.
    type: str
    choices: [present, absent]
    default: present
  timeout:
    description: Seconds for the download of one key.
    type: int
    default: 30
"""

EXAMPLES = r"""
- name: Set up a signed repository
  slm.serving.package_repositories:
    installer: apt
    repositories:
      - name: vendor
        uri: https://packages.example/deb/
        key: https://packages.example/key
        fingerprint: 8FE71C9544DC22A02015B9BD806B771ABFA7C432
        pins: {"*driver*": 595.91.07-*}
"""

RETURN = r"""
changed_paths:
  description: The files that were, or would be, written or removed.
  type: list
  elements: str
  returned: success
"""

import re
import tempfile
from pathlib import Path
from typing import TypedDict
from urllib.error import URLError

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url
from ansible_collections.slm.serving.plugins.module_utils.files import write_file
from ansible_collections.slm.serving.plugins.module_utils.process import last_line

APT_SOURCES = Path("/etc/apt/sources.list.d")
APT_PREFERENCES = Path("/etc/apt/preferences.d")
APT_KEYS = Path("/etc/apt/keyrings")
DNF_REPOSITORIES = Path("/etc/yum.repos.d")
DNF_KEYS = Path("/etc/pki/rpm-gpg")
FINGERPRINT = re.compile(r"[0-9A-F]{40}")
# Above 1000 a version is taken even where that is a downgrade, and no later one replaces it.
PIN_PRIORITY = 1001


class Repository(TypedDict):
    """A repository, as the module's options describe it."""

    name: str
    uri: str
    key: str
    fingerprint: str
    suite: str
    components: list[str]
    pins: dict[str, str]
    signed: str
    packages: list[str]


class RepositoryError(Exception):
    """Why a repository was not set up, in words for the operator."""


def gnupg(module: AnsibleModule, home: str, *arguments: str, data: bytes = b"") -> bytes:
    """Return what gpg writes, in a home of its own: nothing that root has set up or trusts is read.

    Raises:
        RepositoryError: it fails, or is not installed.
    """
    gpg = module.get_bin_path("gpg")
    if gpg is None:
        raise RepositoryError("gpg, which checks a key's fingerprint, is not installed on the instance: install gnupg")
    # Nothing here needs gpg's agent, which not every distribution installs.
    command = [gpg, "--batch", "--no-options", "--no-autostart", "--homedir", home, "--trust-model", "always"]
    command += ["--no-default-keyring", "--keyring", str(Path(home) / "repository.kbx"), *arguments]
    code, output, errors = module.run_command(command, data=data, binary_data=True, encoding=None)
    if code != 0:
        raise RepositoryError(f"gpg finds no whole key in it: {last_line(errors.decode(errors='replace'))}")
    written: bytes = output
    return written


def primary_keys(listing: bytes) -> list[str]:
    """Return the fingerprints of all primary keys in gpg's listing with colons. Raises RepositoryError for secret ones.

    Each primary key is a record `pub`, and its fingerprint the record after it (doc/DETAILS of GnuPG).
    """
    records = [line.split(":") for line in listing.decode(errors="replace").splitlines()]
    if any(record[0] in {"sec", "ssb"} for record in records):
        raise RepositoryError("it holds a secret key")
    return [records[at + 1][9] for at, record in enumerate(records) if record[0] == "pub"]


def fingerprints(module: AnsibleModule, data: bytes) -> list[str]:
    """Return the fingerprints of all primary keys in a key file, armoured or not, as GnuPG reads them.

    Raises:
        RepositoryError: it is no key file, or gpg is not installed.
    """
    return primary_keys(gnupg(module, module.tmpdir, "--with-colons", "--show-keys", data=data))


def normalised(fingerprint: str) -> str:
    """Return a fingerprint as gpg writes it. Raises RepositoryError where it is none."""
    text = fingerprint.replace(" ", "").upper()
    if not FINGERPRINT.fullmatch(text):
        raise RepositoryError(f"the fingerprint {fingerprint!r} has not 40 hexadecimal digits")
    return text


def check_key(module: AnsibleModule, data: bytes, fingerprint: str, source: str) -> None:
    """Raise RepositoryError unless a key file holds the key of that fingerprint and no other."""
    expected = normalised(fingerprint)
    try:
        present = fingerprints(module, data)
    except RepositoryError as error:
        raise RepositoryError(f"the signing key at {source} cannot be checked: {error}") from error
    if present != [expected]:
        raise RepositoryError(
            f"the signing key at {source} is {' and '.join(present) or 'none'}, not {expected}. Nothing was installed"
            " from this repository. If its owner changed the key and says so, change the fingerprint"
        )


def exported(module: AnsibleModule, data: bytes, fingerprint: str, *, armoured: bool) -> bytes:
    """Return GnuPG's own export of the one key in a checked file.

    The file itself is never kept: apt and rpm do not read one as GnuPG does, and would take what it passes over, such
    as a block with another label. What gpg does not import, as a subkey that the key did not sign, is not exported.

    Args:
        module: the module that runs.
        data: the file.
        fingerprint: the key's.
        armoured: whether as text.

    Raises:
        RepositoryError: what would be kept is not this one key.
    """
    expected = normalised(fingerprint)
    with tempfile.TemporaryDirectory(dir=module.tmpdir) as home:
        # What an import would have stored is written instead. A real one connects to the agent, and fails where the
        # path of its socket is longer than the system allows, as Ansible's temporary folders make it.
        form = ["--armor"] if armoured else []
        key = gnupg(module, home, *form, "--import-options", "import-export", "--import", data=data)
    check_key(module, key, expected, "GnuPG's own export")
    return key


def apt_source(repository: Repository, key: Path) -> str:
    """Return a repository's text in the deb822 form of sources.list(5)."""
    lines = ["Types: deb", f"URIs: {repository['uri']}", f"Suites: {repository['suite']}"]
    if repository["components"]:
        lines.append(f"Components: {' '.join(repository['components'])}")
    return "\n".join([*lines, f"Signed-By: {key}"]) + "\n"


def apt_preferences(repository: Repository) -> str:
    """Return the preferences that hold the repository's packages to their versions; empty without pins."""
    return "\n".join(
        f"Package: {package}\nPin: version {version}\nPin-Priority: {PIN_PRIORITY}\n"
        for package, version in repository["pins"].items()
    )


def dnf_repository(repository: Repository, key: Path) -> str:
    """Return a repository's text for /etc/yum.repos.d, as in dnf.conf(5)."""
    lines = [
        f"[{repository['name']}]",
        f"name={repository['name']}",
        f"baseurl={repository['uri']}",
        # Whoever installs from it enables it for that: no update by hand takes another version, or fails for its sake.
        "enabled=0",
        # Else one whose signature is wrong would be skipped silently.
        "skip_if_unavailable=0",
        f"gpgcheck={int(repository['signed'] == 'packages')}",
        f"repo_gpgcheck={int(repository['signed'] == 'metadata')}",
        f"gpgkey=file://{key}",
        # What is installed is named with its version, so module streams have nothing left to choose.
        "module_hotfixes=1",
    ]
    if repository["packages"]:
        lines.append(f"includepkgs={','.join(repository['packages'])}")
    return "\n".join(lines) + "\n"


def text_files(installer: str, repository: Repository, key: Path) -> dict[Path, str]:
    """Return the text files of a repository by their paths."""
    name = repository["name"]
    if installer == "dnf":
        return {DNF_REPOSITORIES / f"{name}.repo": dnf_repository(repository, key)}
    texts = {APT_SOURCES / f"{name}.sources": apt_source(repository, key)}
    if repository["pins"]:
        texts[APT_PREFERENCES / name] = apt_preferences(repository)
    return texts


def key_path(installer: str, name: str) -> Path:
    """Return where a repository's key lies: as text for dnf, binary for apt, which goes by the suffix."""
    return DNF_KEYS / f"RPM-GPG-KEY-{name}" if installer == "dnf" else APT_KEYS / f"{name}.gpg"


def key_paths(installer: str, name: str) -> list[Path]:
    """Return where a key may lie that this module wrote; for apt earlier versions kept the vendor's file as text."""
    path = key_path(installer, name)
    return [path] if installer == "dnf" else [path, path.with_suffix(".asc")]


def own_paths(installer: str, name: str) -> list[Path]:
    """Return every path at which this module may have written a file of a repository, the key last."""
    keys = key_paths(installer, name)
    if installer == "dnf":
        return [DNF_REPOSITORIES / f"{name}.repo", *keys]
    return [APT_SOURCES / f"{name}.sources", APT_PREFERENCES / name, *keys]


def configured_elsewhere(uri: str, own: Path) -> Path | None:
    """Return another of apt's files that names the address: two files with different keys make apt refuse both."""
    address = uri.partition("$")[0].rstrip("/")
    for path in sorted([*APT_SOURCES.glob("*.list"), *APT_SOURCES.glob("*.sources")]):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path != own else []
        if any(address in line for line in lines if not line.lstrip().startswith("#")):
            return path
    return None


def kept_key(module: AnsibleModule, installer: str, repository: Repository) -> bytes | None:
    """Return a key that an earlier run left; None when there is none, or another one."""
    for path in key_paths(installer, repository["name"]):
        if path.is_file():
            data = path.read_bytes()
            try:
                check_key(module, data, repository["fingerprint"], str(path))
            except RepositoryError:
                continue
            return data
    return None


def fetched_key(module: AnsibleModule, repository: Repository) -> bytes:
    """Return a repository's key from its address, checked. Raises RepositoryError."""
    source = repository["key"]
    try:
        data: bytes = open_url(source, timeout=module.params["timeout"]).read()
    except (OSError, URLError, ValueError) as error:
        raise RepositoryError(
            f"the signing key at {source} cannot be fetched: {error}. Check that the instance reaches the internet"
        ) from error
    check_key(module, data, repository["fingerprint"], source)
    return data


def all_files(module: AnsibleModule, installer: str, repository: Repository) -> dict[Path, bytes]:
    """Return every file of a repository with its content. Raises RepositoryError."""
    if installer == "apt":
        other = configured_elsewhere(repository["uri"], APT_SOURCES / f"{repository['name']}.sources")
        if other is not None:
            raise RepositoryError(
                f"{repository['uri']} is configured in {other} already, and two files with different keys make apt"
                " refuse both. Remove that file, or install the packages by hand"
            )
    data = kept_key(module, installer, repository) or fetched_key(module, repository)
    key = exported(module, data, repository["fingerprint"], armoured=installer == "dnf")
    path = key_path(installer, repository["name"])
    texts = text_files(installer, repository, path)
    return {path: key, **{name: text.encode() for name, text in texts.items()}}


def set_up(module: AnsibleModule, installer: str, repositories: list[Repository]) -> list[Path]:
    """Write what differs and return the paths; all keys are checked before the first file is written."""
    contents: dict[Path, bytes] = {}
    for repository in repositories:
        try:
            contents.update(all_files(module, installer, repository))
        except RepositoryError as error:
            module.fail_json(msg=f"The package repository {repository['name']} was not set up: {error}.")
    changed = [path for path, content in contents.items() if not path.is_file() or path.read_bytes() != content]
    for path in changed if not module.check_mode else []:
        # Readable for all: apt reads keys as a user of its own.
        write_file(module, path, contents[path], 0o644)
    # A key under the name of an earlier version: no source names it any more.
    stale = [path for each in repositories for path in key_paths(installer, each["name"]) if path not in contents]
    stale = [path for path in stale if path.is_file()]
    for path in stale if not module.check_mode else []:
        path.unlink()
    return changed + stale


def remove(module: AnsibleModule, installer: str, repositories: list[Repository]) -> list[Path]:
    """Remove all files of the repositories and return the paths."""
    paths = [path for each in repositories for path in own_paths(installer, each["name"]) if path.is_file()]
    for path in paths if not module.check_mode else []:
        path.unlink()
    return paths


def main() -> None:
    """Set up or remove."""
    module = AnsibleModule(
        argument_spec={
            "installer": {"type": "str", "choices": ["apt", "dnf"], "required": True},
            "repositories": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "uri": {"type": "str", "required": True},
                    "key": {"type": "str", "required": True, "no_log": False},
                    "fingerprint": {"type": "str", "required": True},
                    "suite": {"type": "str", "default": "/"},
                    "components": {"type": "list", "elements": "str", "default": []},
                    "pins": {"type": "dict", "default": {}},
                    "signed": {"type": "str", "choices": ["metadata", "packages"], "default": "packages"},
                    "packages": {"type": "list", "elements": "str", "default": []},
                },
            },
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "timeout": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    act = set_up if module.params["state"] == "present" else remove
    changed = act(module, module.params["installer"], module.params["repositories"])
    module.exit_json(changed=bool(changed), changed_paths=[str(path) for path in changed])


if __name__ == "__main__":
    main()
