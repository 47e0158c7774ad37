#!/usr/bin/python
"""Tell all that an operator wants to know of the instance at a glance.

An own module, because it is one session instead of ten, and because every part has to answer for itself: what cannot be
told is said, and the rest is shown.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slm.serving.plugins.module_utils.containers import containers, describe
from ansible_collections.slm.serving.plugins.module_utils.process import StackError, last_line, run
from ansible_collections.slm.serving.plugins.module_utils.redaction import redact
from ansible_collections.slm.serving.plugins.module_utils.releases import GOOD, Releases

DOCUMENTATION = r"""
module: stack_status
short_description: Tell release, health, GPU, disk and history
description:
  - Changes nothing and never fails because of what it finds.
options:
  root:
    description: The directory that holds C(releases) and its links.
    type: path
    default: /opt/slm-ft-serving
  project:
    description: The compose project.
    type: str
    default: slm-ft-serving
  unit:
    description: The systemd unit of the stack.
    type: str
    default: slm-ft-serving.service
  history:
    description: How many of the newest releases to tell.
    type: int
    default: 5
"""

RETURN = r"""
problems:
  description: Why the stack does not serve as it should; empty when it does.
  type: list
release:
  description: The current release's record, with C(stamp) and C(previous), the release that a rollback would go to.
  type: dict
containers:
  description: A few words for each container.
  type: dict
load:
  description: What the engine says of its load, C(running), C(waiting) and C(cache) (0 to 1).
  type: dict
gpu:
  description: A line for each GPU; empty without one.
  type: list
disks:
  description: Each file system in use, with C(path), C(total) and C(free) in bytes.
  type: list
history:
  description: The newest releases, each with C(stamp), C(result), C(when), C(by) and C(reason).
  type: list
untold:
  description: What could not be told, and why.
  type: list
"""

# Seconds for one part: all of them together have to end before the connection sends the command again.
PART = 7
COMMAND = 6
GATEWAY = 5
METRICS = {
    "running": "vllm:num_requests_running",
    "waiting": "vllm:num_requests_waiting",
    "cache": "vllm:kv_cache_usage_perc",
}
ASK_METRICS = (
    "import sys, urllib.request as r;"
    "sys.stdout.write(r.urlopen('http://127.0.0.1:8000/metrics', timeout=5).read().decode())"
)
GPU_QUERY = "name,utilization.gpu,memory.used,memory.total,temperature.gpu,power.draw"


class Status:
    """What is known of the instance, gathered part by part."""

    def __init__(self, options: dict) -> None:
        """Take the module's options."""
        self.options = options
        self.releases = Releases(options["root"])
        self.problems: list[str] = []
        self.untold: list[str] = []
        self.found: dict[str, dict] = {}

    @contextlib.contextmanager
    def part(self, name: str):
        """Limit a part's time, and note what keeps it from being told."""

        def stop(*_: object) -> None:
            raise StackError(f"no answer within {PART} s")

        signal.signal(signal.SIGALRM, stop)
        signal.alarm(PART)
        try:
            yield
        except (StackError, OSError, ValueError, KeyError, IndexError) as error:
            self.untold.append(f"{name}: {redact(str(error) or type(error).__name__)}")
        finally:
            signal.alarm(0)

    def gather(self) -> dict:
        """Return everything."""
        told: dict = {"release": {}, "containers": {}, "load": {}, "gpu": [], "disks": [], "history": []}
        with self.part("release"):
            told["release"] = self.release()
        with self.part("containers"):
            told["containers"] = self.containers()
        with self.part("gateway"):
            self.gateway()
        with self.part("load"):
            told["load"] = self.load()
        with self.part("GPU"):
            told["gpu"] = self.gpu()
        with self.part("disk"):
            told["disks"] = self.disks()
        with self.part("history"):
            told["history"] = self.history()
        return {**told, "problems": self.problems, "untold": self.untold}

    def release(self) -> dict:
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
        """Return each container in a few words; one that is not well is a problem."""
        active = run(["systemctl", "is-active", self.options["unit"]], timeout=COMMAND).stdout.strip()
        if active != "active":
            self.problems.append(f"the unit {self.options['unit']} is {active}")
        self.found = containers(self.options["project"])
        for service in ("engine", "gateway"):
            container = self.found.get(service)
            if container is None:
                self.problems.append(f"there is no container of the {service}")
            elif container["status"] != "running" or container["health"] not in {"healthy", "none"}:
                self.problems.append(describe(service, container))
        return {service: describe(service, container) for service, container in self.found.items()}

    def gateway(self) -> None:
        """Ask the gateway whether it serves; another answer than yes is a problem."""
        if self.found.get("gateway", {}).get("status") != "running":
            return
        try:
            path = self.releases.path(str(self.releases.current())) / "verification.json"
            port = int(json.loads(path.read_text(encoding="utf-8"))["gateway_port"])
        except (OSError, ValueError, KeyError, TypeError):
            port = 8080
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=GATEWAY):
                return
        except urllib.error.HTTPError as error:
            self.problems.append(f"the gateway's /health answers {error.code}: the engine makes no tokens")
        except OSError as error:
            self.problems.append(f"the gateway does not answer: {error}")

    def load(self) -> dict[str, float]:
        """Return the engine's figures, as far as it has them."""
        engine = self.found.get("engine", {})
        if engine.get("status") != "running":
            return {}
        answer = run(["docker", "exec", engine["id"], "python3", "-c", ASK_METRICS], timeout=COMMAND)
        if answer.returncode != 0:
            raise StackError(f"the engine does not answer: {last_line(answer.stderr)}")
        figures = {}
        for name, metric in METRICS.items():
            values = re.findall(rf"^{re.escape(metric)}(?:{{.*}})? (\S+)$", answer.stdout, re.MULTILINE)
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

    def disks(self) -> list[dict]:
        """Return each file system that the stack uses, once."""
        found = {}
        for path in (Path("/"), Path("/var/lib/docker"), Path("/var/lib/slm-ft-serving"), Path(self.options["root"])):
            if path.is_dir():
                usage = shutil.disk_usage(path)
                entry = {"path": str(path), "total": usage.total, "free": usage.free}
                found.setdefault((usage.total, usage.free), entry)
        return list(found.values())

    def history(self) -> list[dict]:
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
    """Gather and tell."""
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
