"""Releases in a temporary directory, for tests of what acts on them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ansible_collections.slm.serving.plugins.module_utils.releases import Releases, checksums

A, B, C, D, E = (f"2026010{day}T000000Z" for day in range(1, 6))
FILES = {"compose.yml": "services: {}\n", "verification.json": "{}\n"}


class ReleasesFixture:
    """Releases in a temporary directory, with models beside it."""

    def __init__(self, root: Path) -> None:
        """Begin without a release, below `root`."""
        self.releases = Releases(str(root / "opt"))
        self.models = root / "models"
        self.models.mkdir()

    def add(self, stamp: str, *, result: str = "good", activated: str = "", engine: str = "", **record: Any) -> None:
        """Make a release; its engine's digest is the stamp's unless another is given."""
        directory = self.releases.path(stamp)
        directory.mkdir(parents=True)
        for name, content in FILES.items():
            (directory / name).write_text(content)
        record = {
            "files": checksums(FILES),
            "result": result,
            "activated": activated or stamp,
            "images": {"engine": {"reference": f"registry/engine@sha256:{engine or stamp}"}},
            "models": {"base": {"path": str(self.model(f"base-{stamp[:8]}{stamp[:8]}"))}},
            "verified": stamp if result == "good" else None,
            **record,
        }
        self.releases.update(stamp, **record)

    def model(self, name: str, *, manifest: bool = True) -> Path:
        """Make a model's directory."""
        (self.models / name).mkdir(exist_ok=True)
        if manifest:
            (self.models / name / ".manifest.json").write_text("{}")
        return self.models / name

    def serve(self, current: str, verified: str | None = None) -> None:
        """Point the links."""
        self.releases.point("current", current)
        self.releases.point("verified", verified or current)


class FakeDocker:
    """Fake of the docker command: a list of images, of which some cannot be removed."""

    def __init__(self, *names: str, used: str = "") -> None:
        """List images by `names`, of which `used` cannot be removed."""
        self.names, self.used = list(names), used
        self.commands: list[list[str]] = []

    def run(self, argv: list[str], timeout: float = 60, **_: Any) -> SimpleNamespace:
        """Answer `docker image ls`, `inspect` and `rm` and, with success, everything else; each name is an image."""
        del timeout
        self.commands.append(argv)
        if argv[:3] == ["docker", "image", "ls"]:
            # Since Engine 29 what has no tag is listed only where it is asked for.
            listed = [name for name in self.names if "--all" in argv or "@" not in name]
            return SimpleNamespace(returncode=0, stdout="\n".join(listed), stderr="")
        if argv[:3] == ["docker", "image", "inspect"]:
            text = json.dumps([self._inspected(name) for name in argv[3:]])
            return SimpleNamespace(returncode=0, stdout=text, stderr="")
        if argv[:3] == ["docker", "image", "rm"]:
            if argv[3] == self.used:
                return SimpleNamespace(returncode=1, stdout="", stderr="conflict: in use by a container")
            self.names.remove(argv[3])
        return SimpleNamespace(returncode=0, stdout="", stderr="")

    @staticmethod
    def _inspected(name: str) -> dict[str, Any]:
        return {"Id": name, "RepoDigests": [name] if "@" in name else None, "RepoTags": [] if "@" in name else [name]}


class FakeModule(SimpleNamespace):
    """Fake of AnsibleModule, as far as the states use it."""

    def __init__(self, *, check_mode: bool = False, **params: Any) -> None:
        """Take parameters over defaults."""
        defaults = {
            "project": "p", "unit": "p.service", "timeout": 5, "files": FILES, "about": {}, "reason": "",
            "failed": True, "keep_good": 3, "keep_failed": 3,
        }  # fmt: skip
        super().__init__(params={**defaults, **params}, check_mode=check_mode, warnings=[])

    def warn(self, text: str) -> None:
        """Keep a warning."""
        self.warnings.append(text)


DAMAGES = {
    "compose.yml is missing": lambda path: (path / "compose.yml").unlink(),
    "compose.yml is not as it was written": lambda path: (path / "compose.yml").write_text(""),
    "verification.json is not as it was written": lambda path: (path / "verification.json").write_text("{"),
    "release.yml is missing or cannot be read": lambda path: (path / "release.yml").write_text("{garbage"),
    "its directory is missing": lambda path: path.rename(path.with_name("elsewhere")),
}
