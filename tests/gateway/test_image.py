"""The image's requirements are those of the lock, without the extras."""

import re
import tomllib
from pathlib import Path
from typing import Any

REQUIREMENTS = Path("docker/gateway/requirements.txt")
COMMAND = "poetry export --only main -f requirements.txt -o docker/gateway/requirements.txt"


def _main_marker(package: dict[str, Any]) -> str:
    """Return when the main group needs a package: `extra == "evaluation"` for those that the image does without."""
    markers = package.get("markers", "")
    return str(markers.get("main", "") if isinstance(markers, dict) else markers)


def test_the_requirements_are_the_locks_main_group() -> None:
    locked = {
        (package["name"], package["version"]): {file["hash"] for file in package["files"]}
        for package in tomllib.loads(Path("poetry.lock").read_text("utf-8"))["package"]
        if "main" in package["groups"] and "extra ==" not in _main_marker(package)
    }
    entries = re.split(r"\n(?=\S)", REQUIREMENTS.read_text("utf-8").strip())
    required = {}
    for entry in entries:
        match = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*])?==(\S+)", entry)
        assert match is not None, entry
        required[match[1], match[2]] = set(re.findall(r"--hash=(\S+)", entry))
    assert required == locked, f"the lock has changed; run: {COMMAND}"
