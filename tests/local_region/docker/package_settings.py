"""What the machine's own pip is configured with, for builds on this machine: never a default, never in an image."""

from __future__ import annotations

import ast
import fnmatch
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Where the Dockerfiles mount the certificate bundle.
CA_BUNDLE_IN_BUILD = "/run/secrets/ca-bundle"


@dataclass(frozen=True)
class PackageSettings:
    """pip's settings that a build needs as well; empty where pip has its defaults.

    Attributes:
        certificate: Bundle of certificate authorities, where TLS is signed by another than the usual ones.
        index_url: Python index, only one that is reached by HTTP.
        extra_index_urls: Further ones.
        trusted_hosts: Hosts whose certificates pip does not check.
        wheel_folders: Local folders that pip looks for wheels in (`find-links`).
    """

    certificate: Path | None = None
    index_url: str | None = None
    extra_index_urls: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()
    wheel_folders: tuple[Path, ...] = ()

    def pip_conf(self) -> str:
        """Return a pip.conf for use inside a build."""
        lines = ["[global]"]
        if self.certificate:
            lines.append(f"cert = {CA_BUNDLE_IN_BUILD}")
        if self.index_url:
            lines.append(f"index-url = {self.index_url}")
        if self.extra_index_urls:
            lines.append(f"extra-index-url = {' '.join(self.extra_index_urls)}")
        if self.trusted_hosts:
            lines.append(f"trusted-host = {' '.join(self.trusted_hosts)}")
        return "\n".join(lines) + "\n"

    def uv_toml(self) -> str:
        """Return a uv.toml for use inside a build. JSON's strings and lists are TOML's as well."""
        lines = []
        if self.index_url:
            lines.append(f"index-url = {json.dumps(self.index_url)}")
        if self.extra_index_urls:
            lines.append(f"extra-index-url = {json.dumps(self.extra_index_urls)}")
        if self.trusted_hosts:
            lines.append(f"allow-insecure-host = {json.dumps(self.trusted_hosts)}")
        return "\n".join(lines) + "\n"

    def find_wheels(self, patterns: Sequence[str]) -> list[Path]:
        """Return the wheels in the wheel folders whose names match one of the patterns (shell style)."""
        candidates = [path for folder in self.wheel_folders if folder.is_dir() for path in sorted(folder.iterdir())]
        return [path for path in candidates if any(fnmatch.fnmatch(path.name, pattern) for pattern in patterns)]


def of_this_machine() -> PackageSettings:
    """Return the settings that pip reports on this machine; empty ones where there is no pip."""
    pip = shutil.which("pip3") or shutil.which("pip")
    commands = [[sys.executable, "-m", "pip", "config", "list"]] + ([[pip, "config", "list"]] if pip else [])
    for command in commands:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode == 0:
            return parse(result.stdout.splitlines())
    return PackageSettings()


def parse(lines: Iterable[str]) -> PackageSettings:
    """Read `pip config list`: lines of `section.key='value'`; `:env:` (the environment) wins over the files."""
    values = _effective(lines)
    certificate = Path(values["cert"]) if values.get("cert") else None
    return PackageSettings(
        certificate=certificate if certificate and certificate.is_file() else None,
        index_url=next(iter(_remote(values.get("index-url", ""))), None),
        extra_index_urls=_remote(values.get("extra-index-url", "")),
        trusted_hosts=tuple(values.get("trusted-host", "").split()),
        wheel_folders=tuple(
            Path(entry.removeprefix("file://"))
            for entry in values.get("find-links", "").split()
            if not _is_remote(entry)
        ),
    )


def _effective(lines: Iterable[str]) -> Mapping[str, str]:
    from_files: dict[str, str] = {}
    from_environment: dict[str, str] = {}
    for line in lines:
        name, separator, literal = line.partition("=")
        section, _, key = name.rpartition(".")
        if separator and section in {"global", "install", ":env:"}:
            target = from_environment if section == ":env:" else from_files
            target[key] = str(ast.literal_eval(literal))
    return {**from_files, **from_environment}


def _is_remote(address: str) -> bool:
    return address.startswith(("http://", "https://"))


def _remote(addresses: str) -> tuple[str, ...]:
    return tuple(address for address in addresses.split() if _is_remote(address))
