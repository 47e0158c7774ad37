"""Whose a region's containers are: another copy of the repository may have a region of the same name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.local_region.docker import containers
from tests.local_region.docker.engine import DockerEngine
from tests.local_region.errors import RegionError
from tests.local_region.state import RegionState


def remove_abandoned(engine: DockerEngine, root: Path, progress: Callable[[str], None]) -> None:
    """Remove the regions of copies that are deleted: nobody else would, for the tests' regions are named by their copy.

    Args:
        engine: Where the containers are.
        root: Folder of this copy's regions, which are left alone.
        progress: Called with a line when something is removed.
    """
    for region, folders in containers.regions(engine).items():
        roots = {folder.parent for folder in folders}
        if roots and root not in roots and not any(each.is_dir() for each in roots):
            progress(f"Removing region {region}, which a copy that is gone left behind")
            containers.remove_all(engine, region)


def require_own(engine: DockerEngine, state: RegionState, progress: Callable[[str], None]) -> None:
    """Remove what the region of a deleted copy left.

    Args:
        engine: Where the containers are.
        state: The region's.
        progress: Called with a line when something is removed.

    Raises:
        RegionError: The containers are those of a copy that is still there.
    """
    if (other := _other_copy(engine, state)) is not None:
        raise RegionError(
            f"A region {state.name!r} belongs to another copy of this repository, {other}. Run `make down` there, "
            "or take another name: python -m tests.local_region up --name NAME"
        )
    if containers.folders_of(engine, state.name) - {state.folder}:
        progress("Removing what the region of a copy that is gone left behind")
        containers.remove_all(engine, state.name)


def remove_own(engine: DockerEngine, state: RegionState) -> str:
    """Remove what is labelled with the region's name, unless it is another copy's; return what was done."""
    if (other := _other_copy(engine, state)) is not None:
        return f"left alone: they belong to another copy of this repository, {other}"
    return f"{containers.remove_all(engine, state.name)} removed"


def _other_copy(engine: DockerEngine, state: RegionState) -> Path | None:
    """Return the folder of another copy of the repository that has a region of this name; None when none has."""
    for folder in containers.folders_of(engine, state.name) - {state.folder}:
        if RegionState(state.name, folder.parent).exists:
            return folder.parent.parent
    return None
