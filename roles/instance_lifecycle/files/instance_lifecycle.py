#!/usr/bin/env python3
"""Answer the lifecycle hooks of an Auto Scaling group for the instance that this runs on; prints lines of JSON.

An instance that was made from the machine image of another one is a copy. Its stack comes up by its systemd unit, as
after any boot. What the group wants of it is read from the instance metadata service: to serve, or to wait in the warm
pool, it has to answer right first; to end, or to go back into the warm pool, its running requests have to be done. Each
is told to the group by completing the hook that holds the instance meanwhile.

On the instance that the image was made of, whose id the configuration names, there is nothing to do and it ends.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEFAULT_CONFIGURATION = Path("/opt/slm-ft-serving/shared/instance-lifecycle.json")
RUN = Path("/run/slm-ft-serving")
KEPT = Path("/var/lib/slm-ft-serving-lifecycle/instance-id")
MACHINE_ID = Path("/etc/machine-id")
# AWS's SDKs know this variable too.
METADATA = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or "http://169.254.169.254"
TIMEOUT = 10
AWS_TIMEOUT = 45
# Seconds for which a token is good.
LIFETIME = "300"
AT_WORK = re.compile(r"^(gateway_running|gateway_queue_waiting)(?:\{[^}]*\})? (\S+)$", re.MULTILINE)
# What the group wants of an instance, in AWS's words.
SERVE = {"InService", "Warmed:Running"}
REST = {"Warmed:Stopped", "Warmed:Hibernated"}
END = {"Terminated", "Warmed:Terminated"}
# What AWS says where no hook holds the instance: not yet, or not any more.
NO_ACTION = "No active Lifecycle Action"


@dataclass
class Memory:
    """What is known since the boot.

    Attributes:
        answered: the state that the group was answered for at last.
        serves: whether the instance is in service.
        failures: how often in a row the group was answered and held no instance.
    """

    answered: str = ""
    serves: bool = False
    failures: int = 0


@dataclass
class Instance:
    """What can be seen of the instance and done to it.

    Attributes:
        settings: of the configuration.
        run: folder of what lasts until the next boot.
        metadata: address of the metadata service.
        sleep: waits so many seconds.
        clock: seconds of a clock that is never set.
    """

    settings: Mapping[str, Any]
    run: Path = RUN
    metadata: str = METADATA
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _opener: Any = field(default_factory=lambda: urllib.request.build_opener(urllib.request.ProxyHandler({})))

    def _get(self, url: str, **headers: str) -> str:
        method = "PUT" if url.endswith("/api/token") else "GET"
        request = urllib.request.Request(url, headers=headers, method=method)  # noqa: S310 - of the configuration
        with self._opener.open(request, timeout=TIMEOUT) as answer:
            text: str = answer.read().decode(errors="replace")
        return text

    def about(self, item: str) -> str | None:
        """Return an item of the instance's metadata; None where it has no such, as outside of a group.

        Raises:
            OSError: the service does not answer.
        """
        try:
            token = self._get(f"{self.metadata}/latest/api/token", **{"X-aws-ec2-metadata-token-ttl-seconds": LIFETIME})
            return self._get(f"{self.metadata}/latest/meta-data/{item}", **{"X-aws-ec2-metadata-token": token}).strip()
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def is_ready(self) -> bool:
        """Return whether the gateway answers, with an engine that makes tokens."""
        try:
            self._get(f"{self.settings['gateway']}/health")
        except OSError:
            return False
        return True

    def at_work(self) -> float:
        """Return how many requests run or wait; none where no gateway answers."""
        try:
            text = self._get(f"{self.settings['gateway']}/metrics")
        except OSError:
            return 0.0
        return sum(float(value) for _, value in AT_WORK.findall(text))

    def drain(self) -> bool:
        """Wait until nothing runs, then stop the stack, whose unit drains what is left; return whether all had ended.

        The load balancer is told by the group to send no more, at about the time at which this begins. So the gateway
        goes on taking requests until none have come for a while: one that refuses would fail what is on its way.
        """
        begun, quiet_since = self.clock(), None
        while self.clock() - begun < self.settings["drain_seconds"]:
            if self.at_work():
                quiet_since = None
            elif quiet_since is None:
                quiet_since = self.clock()
            elif self.clock() - quiet_since >= self.settings["quiet_seconds"]:
                break
            self.sleep(1.0)
        ended = quiet_since is not None
        subprocess.run(["systemctl", "stop", self.settings["stack"]], check=False)
        return ended

    def complete(self, hook: str, result: str = "CONTINUE") -> str | None:
        """Tell the group to go on; return why it did not take that, or None."""
        command = ["aws", "autoscaling", "complete-lifecycle-action", "--lifecycle-action-result", result]
        command += ["--lifecycle-hook-name", hook, "--auto-scaling-group-name", self.settings["group"]]
        command += ["--instance-id", self.about("instance-id") or "", "--region", self.settings["region"]]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=AWS_TIMEOUT, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        return None if done.returncode == 0 else " ".join(done.stderr.split())

    def mark_out_of_service(self, out: bool) -> None:
        """Leave, or take away, the mark by which the metrics of an instance that gets no requests stay unsent."""
        mark = self.run / "out-of-service"
        if out:
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
        else:
            mark.unlink(missing_ok=True)


def say(**words: object) -> None:
    """Print what changed."""
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def look(instance: Instance, memory: Memory) -> None:
    """Look once what the group wants, and do it; what is answered already is not answered again."""
    target = instance.about("autoscaling/target-lifecycle-state")
    if target is None or target == memory.answered or target not in SERVE | REST | END:
        return
    leaving = target in END or memory.serves
    if leaving:
        instance.mark_out_of_service(True)
        if memory.serves:
            memory.serves = False
            say(target=target, ended=instance.drain())
        _answer(instance, memory, target, instance.settings["hooks"]["terminating"])
    elif instance.is_ready():
        # In or into the warm pool: what it has loaded once is on its volume.
        _answer(instance, memory, target, instance.settings["hooks"]["launching"])
        if target in SERVE and memory.answered == target:
            memory.serves = True
            instance.mark_out_of_service(False)


def _answer(instance: Instance, memory: Memory, target: str, hook: str) -> None:
    problem = instance.complete(hook)
    memory.failures = memory.failures + 1 if problem else 0
    # A hook that was over before, by its time or by somebody's hand, is never there to be completed.
    if problem is None or (NO_ACTION in problem and memory.failures >= instance.settings["tries"]):
        memory.answered, memory.failures = target, 0
    say(target=target, hook=hook, problem=problem)


def become_oneself(instance_id: str, kept: Path = KEPT, machine_id: Path = MACHINE_ID) -> bool:
    """Give a copy, once, a machine id of its own from its next boot on; return whether it was done now.

    Args:
        instance_id: of this instance.
        kept: the id of the instance for which this was done at last.
        machine_id: systemd's file.
    """
    try:
        if kept.read_text(encoding="ascii").strip() == instance_id:
            return False
    except OSError:
        pass
    machine_id.write_text(f"{secrets.token_hex(16)}\n", encoding="ascii")
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(f"{instance_id}\n", encoding="ascii")
    return True


def remembered(path: Path) -> Memory:
    """Return what an earlier process of this boot left."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Memory(str(content["answered"]), bool(content["serves"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Memory()


def remember(path: Path, memory: Memory) -> None:
    """Leave what is known for a process that comes after this one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps({"answered": memory.answered, "serves": memory.serves}), encoding="utf-8")
    unfinished.replace(path)


def own_id(instance: Instance) -> str:
    """Return the instance's id, as soon as its metadata service answers."""
    while True:
        try:
            return instance.about("instance-id") or ""
        except OSError as error:
            say(problem=f"the metadata service does not answer: {error}")
            instance.sleep(5.0)


def main(arguments: list[str] | None = None) -> int:
    """Answer until the instance ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configuration", type=Path, default=DEFAULT_CONFIGURATION)
    options = parser.parse_args(arguments)
    settings = json.loads(options.configuration.read_text(encoding="utf-8"))
    instance = Instance(settings, run=RUN, metadata=METADATA.rstrip("/"))
    instance_id = own_id(instance)
    if instance_id == settings["instance"]:
        instance.mark_out_of_service(False)
        return 0
    path = instance.run / "lifecycle.json"
    memory = remembered(path)
    instance.mark_out_of_service(not memory.serves)
    if become_oneself(instance_id):
        say(copy_of=settings["instance"], instance=instance_id)
    while True:
        try:
            look(instance, memory)
        except OSError as error:
            say(problem=str(error))
        remember(path, memory)
        instance.sleep(30.0 if memory.failures > 2 else 5.0)


if __name__ == "__main__":
    sys.exit(main())
