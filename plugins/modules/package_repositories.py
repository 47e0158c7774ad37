#!/usr/bin/python
"""Set up signed package repositories, for apt or for dnf, or remove them again, in one session.

An own module: the ready ones take a session for each repository and each key, and those for apt check no fingerprint.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from urllib.error import URLError

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url
from ansible_collections.slm.serving.plugins.module_utils.openpgp import fingerprints, is_armoured

DOCUMENTATION = r"""
module: package_repositories
short_description: Set up signed package repositories, or remove them
description:
  - A key is taken only when its file holds this one key and no other; all else of a repository is then vouched for by
    its signature.
  - Nothing is installed, and no other repository is touched. One for dnf is not enabled; a task that installs from it
    says so with C(enablerepo).
options:
  installer:
    description: The distribution's.
    type: str
    choices: [apt, dnf]
    required: true
  repositories:
    description:
      - The repositories, each with C(name), C(uri), C(key) (address of the key's file) and C(fingerprint) (40
        hexadecimal digits).
      - For apt also C(suite) (C(/) for a flat repository), C(components), and C(pins), versions by package name, as in
        apt_preferences(5).
      - For dnf also C(signed), C(metadata) or C(packages), what the signature is on, and C(packages), the only ones
        that may come from it.
      - With C(absent) the names alone count.
    type: list
    elements: dict
    required: true
  state:
    description: Whether they shall be there. An apt source whose signature is refused makes every later update fail.
    type: str
    choices: [present, absent]
    default: present
  timeout:
    description: Seconds for the download of one key.
    type: int
    default: 30
"""

RETURN = r"""
changed_paths:
  description: The files that were, or would be, written or removed.
  type: list
"""

APT_SOURCES = Path("/etc/apt/sources.list.d")
APT_PREFERENCES = Path("/etc/apt/preferences.d")
APT_KEYS = Path("/etc/apt/keyrings")
DNF_REPOSITORIES = Path("/etc/yum.repos.d")
DNF_KEYS = Path("/etc/pki/rpm-gpg")
# Above 1000 a version is taken even where that is a downgrade, and no later one replaces it.
PIN_PRIORITY = 1001


class RepositoryError(Exception):
    """Why a repository was not set up, in words for the operator."""


def checked_key(data: bytes, fingerprint: str, source: str) -> bytes:
    """Return the key's file. Raises RepositoryError unless it holds the key of that fingerprint and no other."""
    wanted = fingerprint.replace(" ", "").upper()
    try:
        found = fingerprints(data)
    except ValueError as error:
        raise RepositoryError(f"{source} is no signing key: {error}") from error
    if found != [wanted]:
        raise RepositoryError(
            f"the signing key at {source} is {' and '.join(found)}, not {wanted}. Nothing was installed from this"
            " repository. If its owner changed the key and says so, change the fingerprint"
        )
    return data


def apt_source(repository: dict, key: Path) -> str:
    """Return a repository's text in the deb822 form of sources.list(5)."""
    lines = ["Types: deb", f"URIs: {repository['uri']}", f"Suites: {repository['suite']}"]
    if repository["components"]:
        lines.append(f"Components: {' '.join(repository['components'])}")
    return "\n".join([*lines, f"Signed-By: {key}"]) + "\n"


def apt_preferences(repository: dict) -> str:
    """Return apt_preferences(5) that hold the repository's packages to their versions; empty without pins."""
    return "\n".join(
        f"Package: {package}\nPin: version {version}\nPin-Priority: {PIN_PRIORITY}\n"
        for package, version in repository["pins"].items()
    )


def dnf_repository(repository: dict, key: Path) -> str:
    """Return a repository's text for /etc/yum.repos.d, as in dnf.conf(5)."""
    lines = [
        f"[{repository['name']}]",
        f"name={repository['name']}",
        f"baseurl={repository['uri']}",
        # Whoever installs from it enables it for that: no update by hand takes another version, or fails for its sake.
        "enabled=0",
        # Else one whose signature is wrong would be passed over in silence.
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


def files(installer: str, repository: dict, armoured: bool) -> dict[Path, str]:
    """Return the text files of a repository by their paths; its key's path is that of `key_path`."""
    name, key = repository["name"], key_path(installer, repository["name"], armoured)
    if installer == "dnf":
        return {DNF_REPOSITORIES / f"{name}.repo": dnf_repository(repository, key)}
    written = {APT_SOURCES / f"{name}.sources": apt_source(repository, key)}
    if repository["pins"]:
        written[APT_PREFERENCES / name] = apt_preferences(repository)
    return written


def key_path(installer: str, name: str, armoured: bool) -> Path:
    """Return where a repository's key lies; apt tells the two forms apart by the suffix."""
    if installer == "dnf":
        return DNF_KEYS / f"RPM-GPG-KEY-{name}"
    return APT_KEYS / f"{name}.{'asc' if armoured else 'gpg'}"


def own_paths(installer: str, name: str) -> list[Path]:
    """Return every path at which this module may have written a file of a repository, the key last."""
    keys = sorted({key_path(installer, name, armoured) for armoured in (True, False)})
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


def kept_key(installer: str, repository: dict) -> tuple[Path, bytes] | None:
    """Return path and content of a key that an earlier run left; None where there is none, or another."""
    for armoured in (True, False):
        path = key_path(installer, repository["name"], armoured)
        if path.is_file():
            data = path.read_bytes()
            try:
                return path, checked_key(data, repository["fingerprint"], str(path))
            except RepositoryError:
                continue
    return None


def fetched_key(repository: dict, timeout: int) -> bytes:
    """Return a repository's key from its address, checked. Raises RepositoryError."""
    source = repository["key"]
    try:
        data = open_url(source, timeout=timeout).read()
    except (OSError, URLError, ValueError) as error:
        raise RepositoryError(
            f"the signing key at {source} cannot be fetched: {error}. Check the instance's way to the internet"
        ) from error
    return checked_key(data, repository["fingerprint"], source)


def write(path: Path, content: bytes) -> None:
    """Write a file whole and rename it into place, readable for all: apt reads keys as a user of its own."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    # No known suffix: neither apt nor dnf takes the unfinished file for one of theirs.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".unfinished")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def wanted_files(installer: str, repository: dict, timeout: int) -> dict[Path, bytes]:
    """Return every file of a repository with its content. Raises RepositoryError."""
    if installer == "apt":
        other = configured_elsewhere(repository["uri"], APT_SOURCES / f"{repository['name']}.sources")
        if other is not None:
            raise RepositoryError(
                f"{repository['uri']} is configured in {other} already, and two files with different keys make apt"
                " refuse both. Remove that file, or install the packages by hand"
            )
    kept = kept_key(installer, repository)
    key = kept[1] if kept else fetched_key(repository, timeout)
    armoured = is_armoured(key)
    texts = files(installer, repository, armoured)
    return {
        key_path(installer, repository["name"], armoured): key,
        **{path: text.encode() for path, text in texts.items()},
    }


def set_up(module: AnsibleModule, repositories: list) -> list:
    """Write what differs, and return the paths; all keys are checked before the first file is written."""
    wanted: dict[Path, bytes] = {}
    for repository in repositories:
        try:
            wanted.update(wanted_files(module.params["installer"], repository, module.params["timeout"]))
        except RepositoryError as error:
            module.fail_json(msg=f"The package repository {repository['name']} was not set up: {error}.")
    changed = [path for path, content in wanted.items() if not path.is_file() or path.read_bytes() != content]
    for path in changed if not module.check_mode else []:
        write(path, wanted[path])
    return changed


def take_away(module: AnsibleModule, repositories: list) -> list:
    """Remove all files of the repositories, and return the paths."""
    paths = [path for each in repositories for path in own_paths(module.params["installer"], each["name"])]
    there = [path for path in paths if path.is_file()]
    for path in there if not module.check_mode else []:
        path.unlink()
    return there


def main() -> None:
    """Set up or take away."""
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
    act = set_up if module.params["state"] == "present" else take_away
    changed = act(module, module.params["repositories"])
    module.exit_json(changed=bool(changed), changed_paths=[str(path) for path in changed])


if __name__ == "__main__":
    main()
