"""Which distribution an instance runs, by its os-release file."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TypedDict

# The file's place, and where it lies as the distribution ships it (os-release(5)).
PATHS = (Path("/etc/os-release"), Path("/usr/lib/os-release"))
DNF_LIKE = {"amzn", "fedora", "rhel", "centos"}
APT_LIKE = {"debian", "ubuntu"}


class OsRelease(TypedDict):
    """A distribution; fields that os-release does not name are empty."""

    name: str  # ID and version, such as ubuntu-22.04
    id: str
    version: str
    codename: str
    family: list[str]  # ID, and the distributions that it is like
    installer: str  # apt or dnf; empty where neither is known to be the distribution's


def parse(text: str) -> dict[str, str]:
    """Return the file's assignments; its quoting is the shell's."""
    values = {}
    for line in text.splitlines():
        key, separator, value = line.strip().partition("=")
        if separator and not key.startswith("#"):
            words = shlex.split(value)
            values[key] = words[0] if words else ""
    return values


def describe(values: dict[str, str]) -> OsRelease:
    """Return the distribution of an os-release file's assignments."""
    family = [values.get("ID", ""), *values.get("ID_LIKE", "").split()]
    names = set(family)
    return {
        "name": "-".join(word for word in (values.get("ID", ""), values.get("VERSION_ID", "")) if word),
        "id": values.get("ID", ""),
        "version": values.get("VERSION_ID", ""),
        "codename": values.get("VERSION_CODENAME", ""),
        "family": [word for word in family if word],
        "installer": "apt" if names & APT_LIKE else "dnf" if names & DNF_LIKE else "",
    }


def read() -> OsRelease:
    """Return this machine's distribution; every field is empty where there is no os-release file."""
    for path in PATHS:
        if path.is_file():
            return describe(parse(path.read_text(encoding="utf-8")))
    return describe({})
