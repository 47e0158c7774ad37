"""The image's requirements are those of the lock, without the extras; its files those of the service."""

import re
import tomllib
from fnmatch import fnmatch
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


def is_copied(path: str) -> bool:
    """Return whether the build sees a file: the last pattern that matches it, or a folder that it is in, decides."""
    visible = True
    for line in Path("docker/gateway/Dockerfile.dockerignore").read_text("utf-8").splitlines():
        pattern = line.removeprefix("!")
        folders = [path, *map(str, Path(path).parents)]
        if line and not line.startswith("#") and any(fnmatch(each, pattern.removeprefix("**/")) for each in folders):
            visible = line.startswith("!")
    return visible


def test_the_image_holds_the_service_and_not_the_evaluation() -> None:
    files = [str(path) for path in Path("gateway").rglob("*.*") if "__pycache__" not in path.parts]
    evaluation = {path for path in files if path.startswith("gateway/evaluation/")}
    assert len(evaluation) > 15
    assert {path for path in files if not is_copied(path)} == evaluation
    assert not is_copied("gateway/__pycache__/app.cpython-313.pyc")
    assert not is_copied("tests/gateway/test_image.py")
    # What the build sees of the package is what the image gets.
    assert "COPY gateway /opt/gateway/app/gateway\n" in Path("docker/gateway/Dockerfile").read_text("utf-8")
