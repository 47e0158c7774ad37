"""The collections that galaxy.yml asks for are those that the locked ansible brings."""

from __future__ import annotations

import json
from pathlib import Path

import ansible_collections
import pytest
import yaml
from packaging.specifiers import SpecifierSet

from tests.local_region.names import REPOSITORY_ROOT

DEPENDENCIES = yaml.safe_load((REPOSITORY_ROOT / "galaxy.yml").read_text(encoding="utf-8"))["dependencies"]


@pytest.mark.parametrize(("name", "versions"), DEPENDENCIES.items(), ids=list(DEPENDENCIES))
def test_the_locked_ansible_brings_the_collection(name: str, versions: str) -> None:
    """Renovate raises either; a collection that is too old would fail only in the task that needs what is new."""
    manifests = [Path(folder, *name.split("."), "MANIFEST.json") for folder in ansible_collections.__path__]
    (manifest,) = (path for path in manifests if path.is_file())
    version = json.loads(manifest.read_text(encoding="utf-8"))["collection_info"]["version"]
    assert SpecifierSet(versions).contains(version), f"{name} {version}"
