"""Have Ansible's own loader find the collection that this repository is, so that tests can import its Python."""

from __future__ import annotations

from pathlib import Path

from ansible.plugins.loader import init_plugin_loader
from ansible.utils.collection_loader import AnsibleCollectionConfig

COLLECTIONS = Path(__file__).resolve().parents[2] / "collections"


def load_collections() -> None:
    """Install the loader, once in a process: a second time it would warn."""
    if AnsibleCollectionConfig.collection_finder is None:
        init_plugin_loader([str(COLLECTIONS)])
