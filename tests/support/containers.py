"""Fake of Docker and systemd on an instance, for tests of what looks at containers and puts them right."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from ansible_collections.slm.serving.plugins.module_utils.containers import SERVICE_LABEL

PROJECT, UNIT = "p", "p.service"


class FakeInstance:
    """Containers by name, units by name, and the commands that changed something."""

    def __init__(self) -> None:
        """Begin with a stack that serves."""
        self.containers: dict[str, dict[str, Any]] = {}
        self.hanging: set[str] = set()
        self.units: dict[str, dict[str, str]] = {UNIT: {"ActiveState": "active", "SubState": "exited"}}
        self.journals: dict[str, str] = {}
        self.commands: list[str] = []
        self.add("engine")
        self.add("gateway")

    def add(self, service: str, *, name: str = "", health: str = "healthy", **state: Any) -> None:
        """Make or change a container; it runs and is healthy unless `state` says otherwise."""
        self.containers[name or f"{PROJECT}-{service}-1"] = {
            "service": service,
            "restarts": state.pop("restarts", 0),
            "state": {"Status": "running", "Health": {"Status": health}, "ExitCode": 0, "StartedAt": "", **state},
        }

    def status(self, name: str) -> str:
        """Return a container's status."""
        return str(self.containers[name]["state"]["Status"])

    def run(self, argv: list[str], timeout: float = 60, **_: Any) -> SimpleNamespace:
        """Answer what the modules ask of Docker and systemd; everything else succeeds and is kept in `commands`."""
        del timeout
        out, err, code = "", "", 0
        match argv[:2]:
            case ["docker", "ps"]:
                out = "\n".join(self.containers)
            case ["docker", "inspect"]:
                out = json.dumps([self._inspected(name) for name in argv[2:]])
            case ["docker", "exec"]:
                err, code = ("hangs: ", 1) if argv[2] in self.hanging else ("works", 1)
            case ["docker", "compose"] if "config" in argv:
                out = "engine\ngateway\n"
            case ["systemctl", "show"]:
                out = "\n".join(f"{key}={value}" for key, value in self.units.get(argv[-1], {}).items())
            case ["journalctl", _]:
                out = self.journals.get(argv[2], "")
            case _:
                self._change(argv)
        return SimpleNamespace(returncode=code, stdout=out, stderr=err)

    def _inspected(self, name: str) -> dict[str, Any]:
        container = self.containers[name]
        return {
            "Id": name,
            "Name": f"/{name}",
            "Config": {"Labels": {SERVICE_LABEL: container["service"]}},
            "State": container["state"],
            "RestartCount": container["restarts"],
        }

    def _change(self, argv: list[str]) -> None:
        self.commands.append(" ".join(argv))
        if argv[:2] == ["docker", "unpause"]:
            self.containers[argv[2]]["state"]["Status"] = "running"
        if argv[:2] == ["docker", "rm"]:
            del self.containers[argv[-1]]
