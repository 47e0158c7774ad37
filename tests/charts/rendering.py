"""The chart rendered by Helm with values of a test."""

from __future__ import annotations

import functools
import json
import subprocess
from typing import Any

import yaml

from tests.charts.tools import helm
from tests.local_region.names import REPOSITORY_ROOT
from tests.support.role_variables import LOADER

CHART = REPOSITORY_ROOT / "charts/slm-ft-serving"
Object = dict[str, Any]


def run(*arguments: str, values: str = "gpu", changes: Object | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command of Helm on the chart.

    Args:
        arguments: The command, with options.
        values: Which example of ci/.
        changes: Values over it.
    """
    command = [helm(), *arguments, "--values", str(CHART / f"ci/{values}-values.yaml"), "--values", "-"]
    return subprocess.run(
        command, input=json.dumps(changes or {}), cwd=CHART, check=False, capture_output=True, text=True, timeout=60
    )


def rendered(values: str = "gpu", *, upgrade: bool = False, **changes: Any) -> list[Object]:
    """Return the objects of the chart, those of its test too, rendered from an example with these changes."""
    return _rendered(values, upgrade, json.dumps(changes, sort_keys=True))


@functools.cache
def _rendered(values: str, upgrade: bool, changes: str) -> list[Object]:
    """Render once for all tests of a process."""
    options = ["--is-upgrade"] if upgrade else []
    result = run("template", "stack", ".", *options, values=values, changes=json.loads(changes))
    assert result.returncode == 0, result.stderr
    return [each for each in yaml.load_all(result.stdout, LOADER) if each]


def refusal(values: str = "gpu", **changes: Any) -> str:
    """Return what Helm says to values that the chart refuses."""
    result = run("template", "stack", ".", values=values, changes=changes)
    assert result.returncode != 0, "it was rendered"
    return result.stderr


def one(objects: list[Object], kind: str, suffix: str = "") -> Object:
    """Return the only object of a kind, or of those the one whose name ends so."""
    (found,) = (each for each in objects if each["kind"] == kind and each["metadata"]["name"].endswith(suffix))
    return found


def pods(objects: list[Object]) -> dict[str, Object]:
    """Return the specifications of all pods, by the name of the object that makes them."""
    found = {}
    for each in objects:
        if each["kind"] == "Pod":
            found[each["metadata"]["name"]] = each["spec"]
        elif "template" in each.get("spec", {}):
            found[each["metadata"]["name"]] = each["spec"]["template"]["spec"]
    return found


def containers(pod: Object) -> list[Object]:
    """Return all containers of a pod, those of its start too."""
    return [*pod.get("initContainers", []), *pod["containers"]]
