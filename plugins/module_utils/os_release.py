"""Which distribution an instance runs, by its os-release file."""

from __future__ import annotations

import shlex
from pathlib import Path

# The file's place, and where it lies as the distribution ships it (os-release(5)).
PATHS = (Path("/etc/os-release"), Path("/usr/lib/os-release"))
DNF_LIKE = {"amzn", "fedora", "rhel", "centos"}
APT_LIKE = {"debian", "ubuntu"}


def parse(text: str) -> dict[str, str]:
    """Return the file's assignments; its quoting is the shell's."""
    values = {}
    for line in text.splitlines():
        key, separator, value = line.strip().partition("=")
        if separator and not key.startswith("#"):
            words = shlex.split(value)
            values[key] = words[0] if words else ""
    return values


def describe(values: dict[str, str]) -> dict:
    """Return `name` (`ubuntu-22.04`), `id`, `version`, `codename`, `family` (ID and what it is like) and `installer`.

    The installer is `apt`, `dnf`, or empty where neither is known to be the distribution's.
    """
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


def read() -> dict:
    """Return what `describe` says of this machine; every field empty where there is no os-release file."""
    for path in PATHS:
        if path.is_file():
            return describe(parse(path.read_text(encoding="utf-8")))
    return describe({})
