"""What keeps a playbook from starting; NAME.yml documents each filter."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.version import Version


def setting_problems(required: list[dict[str, str]], values: list[Any], path: str) -> list[str]:
    """Return a sentence for each required setting that has no value.

    Args:
        required: `parameter` and `variable` of each.
        values: of the variables, in the same order.
        path: of the parameters.
    """
    return [
        f"The parameter {path}/{setting['parameter']} is not set. Put it into Parameter Store, or run with"
        f" -e {setting['variable']}=VALUE."
        for setting, value in zip(required, values, strict=True)
        if not value
    ]


def tagged_instance_problems(
    instances: list[str],
    tag: str,
    settings: Mapping[str, str],
    path: str,
    named: str = "",
    meant: Sequence[str] | None = None,
    several: bool = True,
) -> list[str]:
    """Return why it is unclear which instance is meant, or which ones.

    Args:
        instances: ids of those that have the tag.
        tag: for messages.
        settings: by name; `ec2/instance-id` may name the instance.
        path: of the parameters.
        named: id that was given with -e.
        meant: ids of those that it or --limit leaves; all of them where it is None.
        several: whether the playbook takes more than one.
    """
    if not instances:
        return [f"No instance has the tag {tag}. Set this tag on the instance that is to serve."]
    if named and named not in instances:
        return [f"ec2_instance_id names {named}, but what has the tag {tag} is {', '.join(instances)}."]
    meant = instances if meant is None else meant
    if not meant:
        return [f"--limit leaves none of the instances that have the tag {tag}: {', '.join(instances)}."]
    if len(meant) > 1 and not several:
        return [
            f"This playbook is for one instance, and more than one has the tag {tag}: {', '.join(meant)}. Name one,"
            f" such as --limit {meant[-1]}."
        ]
    recorded = settings.get("ec2/instance-id")
    if recorded and recorded not in instances:
        return [
            f"The parameter {path}/ec2/instance-id names {recorded}, but the instance with the tag {tag} is"
            f" {', '.join(instances)}. Correct one of them."
        ]
    return []


def collection_problems(required: Mapping[str, str]) -> list[str]:
    """Return a sentence for each collection that is missing or of a version that will not do.

    The one that Ansible loads counts: an older one in a folder of the user's wins over that of the environment.

    Args:
        required: versions by name, as galaxy.yml has them.
    """
    problems = []
    for name, versions in required.items():
        folder = collection_folder(name)
        if folder is None:
            problems.append(f"The collection {name} is not installed. Run `make setup` and use .venv/bin.")
            continue
        version = collection_version(folder)
        if version and not SpecifierSet(versions).contains(version, prereleases=True):
            problems.append(
                f"The collection {name} is {version}, at {folder}, and {versions} is needed. Remove that folder if"
                f" .venv has a newer one, or run `ansible-galaxy collection install --upgrade '{name}:{versions}'`."
            )
    return problems


def collection_folder(name: str) -> Path | None:
    """Return the folder that Ansible loads a collection from; None where it finds none."""
    try:
        found = importlib.util.find_spec(f"ansible_collections.{name}")
    except ImportError:
        return None
    folders = list(found.submodule_search_locations or []) if found else []
    return Path(folders[0]) if folders else None


def collection_version(folder: Path) -> str:
    """Return a collection's version as it says itself; empty where it does not."""
    try:
        about = json.loads((folder / "MANIFEST.json").read_text(encoding="utf-8"))
        return str(Version(about["collection_info"]["version"]))
    except (OSError, ValueError, KeyError, TypeError):
        return ""


class FilterModule:
    """The filters, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "collection_problems": collection_problems,
            "setting_problems": setting_problems,
            "tagged_instance_problems": tagged_instance_problems,
        }
