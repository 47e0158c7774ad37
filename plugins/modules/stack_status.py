#!/usr/bin/python
"""Report the state of the stack and the instance at a glance.

An own module, because it is one session instead of ten, and because every part has to answer for itself: what stays
unknown is listed, and the rest is shown.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_status
short_description: Report release, health, GPU, disk and history
description:
  - Changes nothing and never fails because of what it finds.
author:
  - The slm-ft-serving developers (!UNKNOWN)
options:
  history:
    description: How many of the newest releases to report.
    type: int
    default: 5
extends_documentation_fragment:
  - slm.serving.stack
"""

EXAMPLES = r"""
- name: See how the stack is
  slm.serving.stack_status:
  register: status
"""

RETURN = r"""
problems:
  description: Why the stack does not serve as it should; empty when it does.
  type: list
  elements: str
  returned: success
release:
  description: The current release's record, with C(stamp) and C(previous), the release that a rollback would go to.
  type: dict
  returned: success
containers:
  description: A few words for each container.
  type: dict
  returned: success
load:
  description: The engine's load, C(running), C(waiting) and C(cache) (0 to 1).
  type: dict
  returned: success
gpu:
  description: A line for each GPU; empty without one.
  type: list
  elements: str
  returned: success
disks:
  description: Each file system in use, with C(path), C(total) and C(free) in bytes.
  type: list
  elements: dict
  returned: success
good:
  description: Every good release, the one activated last first, each with C(stamp), C(verified) and C(tags) by image.
  type: list
  elements: dict
  returned: success
history:
  description: The newest releases, each with C(stamp), C(result), C(when), C(by) and C(reason).
  type: list
  elements: dict
  returned: success
unknown:
  description: What could not be found out, and why.
  type: list
  elements: str
  returned: success
now:
  description: The instance's time, in seconds since 1970.
  type: float
  returned: success
"""

import contextlib
import json
import re
import shutil
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slm.serving.plugins.module_utils.containers import (
    Container,
    containers,
    describe,
    is_well,
    reason,
)
from ansible_collections.slm.serving.plugins.module_utils.docker_engine import DEFAULT_ROOT, image_directory, info
from ansible_collections.slm.serving.plugins.module_utils.process import StackError, last_line, run
from ansible_collections.slm.serving.plugins.module_utils.redaction import redact
from ansible_collections.slm.serving.plugins.module_utils.releases import GOOD, Releases
from ansible_collections.slm.serving.plugins.module_utils.units import secrets_problem

# Seconds for one part: all of them together have to end before the connection sends the command again.
PART = 7
COMMAND = 6
GATEWAY = 5
# Of vLLM, and what llama.cpp has of them.
METRICS = {
    "running": ("vllm:num_requests_running", "llamacpp:requests_processing"),
    "waiting": ("vllm:num_requests_waiting", "llamacpp:requests_deferred"),
    "cache": ("vllm:kv_cache_usage_perc",),
}
ASK_METRICS = (
    "import sys, urllib.request as r;"
    "sys.stdout.write(r.urlopen('http://127.0.0.1:8000/metrics', timeout=5).read().decode())"
)
GPU_QUERY = "name,utilization.gpu,memory.used,memory.total,temperature.gpu,power.draw"


class Status:
    """The state of the stack and the instance, gathered part by part."""

    def __init__(self, options: dict[str, Any]) -> None:
        """Start with nothing known; `options` are the module's."""
        self.options = options
        self.releases = Releases(options["root"])
        self.problems: list[str] = []
        self.unknown: list[str] = []
        self.by_service: dict[str, Container] = {}

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Limit a part's time, and list it as unknown when it fails."""

        def stop(*_: object) -> None:
            raise StackError(f"no answer within {PART} s")

        signal.signal(signal.SIGALRM, stop)
        signal.alarm(PART)
        try:
            yield
        except (StackError, OSError, ValueError, KeyError, IndexError) as error:
            self.unknown.append(f"{name}: {redact(str(error) or type(error).__name__)}")
        finally:
            signal.alarm(0)

    def gather(self) -> dict[str, Any]:
        """Return everything."""
        report: dict[str, Any] = {
            "release": {},
            "containers": {},
            "load": {},
            "gpu": [],
            "disks": [],
            "good": [],
            "history": [],
        }
        with self.part("release"):
            report["release"] = self.release()
        with self.part("containers"):
            report["containers"] = self.containers()
        with self.part("gateway"):
            self.gateway()
        with self.part("load"):
            report["load"] = self.load()
        with self.part("GPU"):
            report["gpu"] = self.gpu()
        with self.part("disk"):
            report["disks"] = self.disks()
        with self.part("history"):
            report["good"] = self.good()
            report["history"] = self.history()
        return {**report, "problems": self.problems, "unknown": self.unknown}

    def release(self) -> dict[str, Any]:
        """Return the current release; what is wrong with it is a problem."""
        current = self.releases.current()
        if current is None:
            self.problems.append("there is no release; run playbooks/deploy.yml")
            return {}
        damage = self.releases.damage(current)
        if damage:
            self.problems.append(f"the release {current} is damaged: {damage}; playbooks/deploy.yml makes a new one")
        record = self.releases.record(current)
        if current != self.releases.verified() or record.get("result") != GOOD:
            self.problems.append("the current release was not verified: a deployment is under way, or was cut short")
        return {**record, "stamp": current, "previous": self.releases.rollback_target(current)}

    def containers(self) -> dict[str, str]:
        """Return each container in a few words; one that is not healthy is a problem."""
        active = run(["systemctl", "is-active", self.options["unit"]], timeout=COMMAND).stdout.strip()
        if active != "active":
            self.problems.append(f"the unit {self.options['unit']} is {active}")
            secrets = secrets_problem()
            if secrets:
                self.problems.append(f"the secrets could not be fetched: {secrets}")
        self.by_service = containers(self.options["project"])
        optional = {"router": self.is_pooled(), "edge": self.has_edge()}
        for service in ("engine", "gateway", *(name for name, there in optional.items() if there)):
            container = self.by_service.get(service)
            if container is None:
                self.problems.append(f"there is no container of the {service}")
            elif not is_well(container):
                cause = " ".join(reason(container).splitlines()[:1])
                self.problems.append(f"{describe(service, container)}: {cause}")
        return {service: describe(service, container) for service, container in self.by_service.items()}

    def has_edge(self) -> bool:
        """Say whether the current release has an edge."""
        return (self.releases.path(str(self.releases.current())) / "Caddyfile").is_file()

    def is_pooled(self) -> bool:
        """Say whether the current release has a router between gateway and engines."""
        return bool(self.expected().get("router"))

    def expected(self) -> dict[str, Any]:
        """Return what the verification of the current release expects; nothing where that cannot be read."""
        try:
            path = self.releases.path(str(self.releases.current())) / "verification.json"
            expected: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return expected

    def gateway(self) -> None:
        """Ask the gateway whether it serves; another answer than yes is a problem."""
        container = self.by_service.get("gateway")
        if container is None or container["status"] != "running":
            return
        try:
            port = int(self.expected()["gateway_port"])
        except (ValueError, KeyError, TypeError):
            port = 8080
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=GATEWAY):
                return
        except urllib.error.HTTPError as error:
            self.problems.append(f"the gateway's /health answers {error.code}: the engine makes no tokens")
        except OSError as error:
            self.problems.append(f"the gateway does not answer: {error}")

    def load(self) -> dict[str, float]:
        """Return those of the engine's figures that it has."""
        engine = self.by_service.get("engine")
        if engine is None or engine["status"] != "running":
            return {}
        answer = run(["docker", "exec", engine["id"], "python3", "-c", ASK_METRICS], timeout=COMMAND)
        if answer.returncode != 0:
            raise StackError(f"the engine does not answer: {last_line(answer.stderr)}")
        figures = {}
        for name, metrics in METRICS.items():
            either = "|".join(map(re.escape, metrics))
            values = re.findall(rf"^(?:{either})(?:{{.*}})? (\S+)$", answer.stdout, re.MULTILINE)
            if values:
                figures[name] = sum(float(value) for value in values)
        return figures

    def gpu(self) -> list[str]:
        """Return a line for each GPU."""
        if shutil.which("nvidia-smi") is None:
            return []
        answer = run(["nvidia-smi", f"--query-gpu={GPU_QUERY}", "--format=csv,noheader,nounits"], timeout=COMMAND)
        if answer.returncode != 0:
            raise StackError(f"nvidia-smi: {last_line(answer.stdout + answer.stderr)}")
        lines = []
        for line in answer.stdout.splitlines():
            name, busy, used, total, degrees, watts = (field.strip() for field in line.split(","))
            lines.append(f"{name}: {busy} % busy, {used} of {total} MiB in use, {degrees} °C, {watts} W")
        return lines

    def disks(self) -> list[dict[str, Any]]:
        """Return each file system that the stack uses, once."""
        by_usage: dict[tuple[int, int], dict[str, Any]] = {}
        try:
            images = image_directory(info(COMMAND))
        except StackError:
            images = DEFAULT_ROOT
        for path in (Path("/"), images, Path("/var/lib/slm-ft-serving"), Path(self.options["root"])):
            if path.is_dir():
                usage = shutil.disk_usage(path)
                entry = {"path": str(path), "total": usage.total, "free": usage.free}
                by_usage.setdefault((usage.total, usage.free), entry)
        return list(by_usage.values())

    def good(self) -> list[dict[str, Any]]:
        """Return every release that a rollback may go to, or that serves, with the tags of its images."""
        entries = []
        for stamp in self.releases.good():
            record = self.releases.record(stamp)
            images = record.get("images")
            tags = {name: image.get("tag", "") for name, image in images.items()} if isinstance(images, dict) else {}
            entries.append({"stamp": stamp, "verified": record.get("verified") or "", "tags": tags})
        return entries

    def history(self) -> list[dict[str, Any]]:
        """Return the newest releases with their results."""
        entries = []
        for stamp in self.releases.stamps()[: self.options["history"]]:
            record = self.releases.record(stamp)
            damage = self.releases.damage(stamp)
            reason = str(record.get("reason") or "").splitlines()
            entries.append(
                {
                    "stamp": stamp,
                    "result": "damaged" if damage else record.get("result"),
                    "when": record.get("activated"),
                    "by": str(record.get("by") or "").rpartition("/")[2],
                    "reason": damage or " ".join(reason[:1]),
                }
            )
        return entries


def main() -> None:
    """Report."""
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "default": "/opt/slm-ft-serving"},
            "project": {"type": "str", "default": "slm-ft-serving"},
            "unit": {"type": "str", "default": "slm-ft-serving.service"},
            "history": {"type": "int", "default": 5},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, now=time.time(), **Status(module.params).gather())


if __name__ == "__main__":
    main()
