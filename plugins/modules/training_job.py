#!/usr/bin/python
"""Look at, start and follow the fine-tuning that runs under systemd on the instance.

An own module, because what it does would be a dozen tasks, each a session of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slm.serving.plugins.module_utils.containers import containers
from ansible_collections.slm.serving.plugins.module_utils.process import StackError, last_line, run
from ansible_collections.slm.serving.plugins.module_utils.redaction import redact

DOCUMENTATION = r"""
module: training_job
short_description: Look at, start and follow the fine-tuning on the instance
description:
  - A run is known by its base, its data and its configuration, so that the same ones go on where they were cut off.
  - One that is done is not done again.
options:
  action:
    description:
      - C(look) says who uses the accelerator; C(start) starts or resumes; C(follow) waits and tells progress;
        C(restore) has the stack serve again.
    type: str
    choices: [look, start, follow, restore]
    required: true
  directory:
    description: Directory of the runs.
    type: path
    required: true
  unit:
    description: The systemd unit.
    type: str
    default: slm-ft-serving-training.service
  project:
    description: Compose project, and unit, of the stack that serves.
    type: str
    default: slm-ft-serving
  accelerator:
    description: Whether there is a GPU to look at.
    type: str
    choices: [gpu, cpu]
    default: gpu
  stop_engine:
    description: Whether the stack may be stopped for the training.
    type: bool
    default: false
  stop_timeout:
    description: Seconds until the stack has to be stopped.
    type: int
    default: 240
  job:
    description: What C(start) is to run; see finetune_job.py.
    type: dict
    default: {}
  identity:
    description: What makes a run the same run.
    type: dict
    default: {}
  files:
    description: Content of files by path, written before the start; those without a C(/) go into the run's folder.
    type: dict
    default: {}
  owner:
    description: Uid of the trainer's user in its image.
    type: int
    default: 10002
  anew:
    description: Whether to forget an earlier run of the same.
    type: bool
    default: false
  wait:
    description: Seconds that C(follow) waits for the end.
    type: int
    default: 30
  since:
    description: Step up to which C(follow) has told the figures already.
    type: int
    default: 0
"""

RETURN = r"""
active:
  description: Whether the unit runs.
  type: bool
holders:
  description: Who uses the accelerator, in words.
  type: list
state:
  description: What state.json tells of the run.
  type: dict
starting:
  description: Whether the stack is on its way to serve again.
  type: bool
lines:
  description: Progress since the last look.
  type: list
"""

START_SECONDS = 45  # for the units that the stack requires; a session's command has 60
POLL_SECONDS = 2


class TrainingError(Exception):
    """Why a training cannot be started or followed, in words for the operator."""


class Training:
    """The training on this instance."""

    def __init__(self, options: dict) -> None:
        """Take the module's options."""
        self.options = options
        self.directory = Path(options["directory"])
        self.current = self.directory / "current"

    def is_active(self) -> bool:
        """Say whether the unit runs; one that is on its way up or down counts."""
        said = run(["systemctl", "is-active", self.options["unit"]]).stdout.strip()
        return said in {"active", "activating", "deactivating", "reloading"}

    def state(self) -> dict:
        """Return what the current run wrote about itself."""
        return read_json(self.current / "state.json")

    def job(self) -> dict:
        """Return the current run's job."""
        return read_json(self.current / "job.json")

    def engine_holds(self) -> bool:
        """Say whether the stack runs."""
        unit = f"{self.options['project']}.service"
        if run(["systemctl", "is-active", unit]).stdout.strip() in {"active", "activating", "deactivating"}:
            return True
        try:
            found = containers(self.options["project"])
        except StackError:
            return False  # No Docker yet, so no engine.
        return any(each["status"] == "running" for each in found.values())

    def holders(self) -> list[str]:
        """Return who uses the accelerator besides a training of ours, in words."""
        found = ["the engine serves"] if self.engine_holds() else []
        if self.options["accelerator"] == "gpu" and not found and not self.is_active():
            asked = ["nvidia-smi", "--query-compute-apps=pid,process_name,used_memory", "--format=csv,noheader"]
            listed = run(asked)
            if listed.returncode == 0:
                found = [f"process {line.strip()}" for line in listed.stdout.splitlines() if line.strip()]
        return found

    def release_engine(self) -> bool:
        """Stop the stack when that is allowed; say whether it was; raises TrainingError when the GPU stays taken."""
        found = self.holders()
        if not found:
            return False
        if found != ["the engine serves"]:
            raise TrainingError(f"the GPU is in use by {'; '.join(found)}: end that first")
        if not self.options["stop_engine"]:
            raise TrainingError(
                "the GPU is taken, because the engine serves. Run again with -e finetune_stop_engine=true: nothing is"
                " served then until the training is done, and the stack comes back at the end"
            )
        unit = f"{self.options['project']}.service"
        stopped = run(["systemctl", "stop", unit], timeout=self.options["stop_timeout"])
        if stopped.returncode != 0 or self.engine_holds():
            raise TrainingError(f"the stack could not be stopped: {last_line(stopped.stderr)}")
        return True

    def start(self) -> dict:
        """Start the run, or have it go on; raises TrainingError."""
        job, key = self.options["job"], self.key()
        folder = self.directory / "runs" / key
        if self.is_active():
            if self.job().get("run") == key:
                return {"changed": False, "began": "it runs already", "stopped_engine": False}
            other = self.state()
            raise TrainingError(
                f"another training runs since {other.get('began', 'a while')} ({self.current.resolve().name}): wait"
                f" for it, or stop it on the instance with `systemctl stop {self.options['unit']}`"
            )
        if self.options["anew"]:
            shutil.rmtree(folder, ignore_errors=True)
        before, earlier = read_json(folder / "state.json"), read_json(folder / "job.json")
        pending = job["hub"] and "push to the Hub" not in before.get("done", [])
        if before.get("status") == "done" and not pending:
            self.point_to(folder)
            return {"changed": False, "began": "it was done before", "stopped_engine": False}
        # What is left then needs no accelerator.
        stopped = "evaluation" not in before.get("done", []) and self.release_engine()
        folder.mkdir(parents=True, exist_ok=True)
        os.chown(folder, self.options["owner"], self.options["owner"])
        # The stamp is that of the first start, so that a run lies in one place of S3 however often it was cut off.
        stamp = earlier.get("stamp") or job["stamp"]
        destination = f"{job['destination'].rstrip('/')}/{stamp}"
        wanted = {**job, "run": key, "stamp": stamp, "destination": destination}
        write(folder / "job.json", json.dumps(wanted, indent=2) + "\n")
        for name, content in self.options["files"].items():
            write(Path(name) if name.startswith("/") else folder / name, content)
        self.point_to(folder)
        for command in (["systemctl", "daemon-reload"], ["systemctl", "reset-failed", self.options["unit"]]):
            run(command)
        # Until it says something of itself, what an earlier try said would be taken for it.
        write(folder / "state.json", json.dumps({**before, "run": key, "status": "starting", "reason": ""}) + "\n")
        started = run(["systemctl", "start", self.options["unit"]])
        if started.returncode != 0:
            raise TrainingError(f"{self.options['unit']} did not start: {last_line(started.stderr)}")
        return {"changed": True, "began": "it goes on" if before else "it began", "stopped_engine": stopped}

    def restore(self, check: bool) -> dict:
        """Start the stack, without waiting for it, unless there is none or a training still needs its accelerator."""
        unit = f"{self.options['project']}.service"
        enabled = run(["systemctl", "is-enabled", unit]).stdout.strip() == "enabled"
        running = run(["systemctl", "is-active", unit]).stdout.strip() in {"active", "activating"}
        needed = enabled and not running and not self.is_active()
        if needed and not check:
            run(["systemctl", "start", "--no-block", unit])
            # What it requires comes first, and whoever asks meanwhile would find a stack that is stopped.
            deadline = time.monotonic() + START_SECONDS
            while run(["systemctl", "is-active", unit]).stdout.strip() == "inactive" and time.monotonic() < deadline:
                time.sleep(0.5)
        return {"changed": needed, "starting": needed}

    def key(self) -> str:
        """Return the name of the run."""
        text = json.dumps(self.options["identity"], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def point_to(self, folder: Path) -> None:
        """Have `current` point to a run's folder."""
        beside = self.directory / ".current"
        beside.unlink(missing_ok=True)
        beside.symlink_to(folder)
        beside.replace(self.current)

    def follow(self) -> dict:
        """Wait until it ends, or for a while; return what was to be told since the last look."""
        deadline = time.monotonic() + self.options["wait"]
        while self.is_active() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        active, state = self.is_active(), self.state()
        if not active and state.get("status") in {"running", "starting"}:
            # The script had no chance to say it: the instance was stopped, or the script itself was killed.
            state = {**state, "status": "stopped", "reason": f"cut off during the {state.get('stage') or 'start'}"}
        lines, step = self.progress(state, self.options["since"])
        state["reason"] = redact(state.get("reason", ""))
        return {"active": active, "state": state, "job": public(self.job()), "lines": lines, "since": step}

    def progress(self, state: dict, since: int) -> tuple[list[str], int]:
        """Return lines on the evaluations since a step and on where it stands, and the step of the last one."""
        lines, last = [], since
        for record in metrics(self.current / "metrics.jsonl"):
            if "eval_f1" in record and record["step"] > since:
                lines.append(
                    f"step {record['step']}: F1 {record['eval_f1']:.3f}, loss {record.get('eval_loss', 0):.3f}"
                )
                last = record["step"]
        stage = state.get("stage")
        about = read_json(self.current / "progress.json")
        if stage == "training" and about:
            left = about.get("seconds_left", 0)
            loss = f", loss {about['loss']:.3f}" if "loss" in about else ""
            lines.append(f"step {about['done']} of {about['total']}{loss}, {left / 60:.0f} min left")
        elif stage:
            lines.append(f"under way: the {stage}")
        return lines, last


def public(job: dict) -> dict:
    """Return what the controller has to know of a job."""
    return {name: job.get(name) for name in ("run", "stamp", "destination")}


def metrics(path: Path) -> list[dict]:
    """Return the records of a metrics file; a line that is cut off is left out."""
    records = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return records


def read_json(path: Path) -> dict:
    """Return a JSON object from a file, an empty one where there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def write(path: Path, content: str) -> None:
    """Write a file whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(content, encoding="utf-8")
    beside.chmod(0o644)
    beside.replace(path)


def main() -> None:
    """Do the action."""
    module = AnsibleModule(
        argument_spec={
            "action": {"type": "str", "choices": ["look", "start", "follow", "restore"], "required": True},
            "directory": {"type": "path", "required": True},
            "unit": {"type": "str", "default": "slm-ft-serving-training.service"},
            "project": {"type": "str", "default": "slm-ft-serving"},
            "accelerator": {"type": "str", "choices": ["gpu", "cpu"], "default": "gpu"},
            "stop_engine": {"type": "bool", "default": False},
            "stop_timeout": {"type": "int", "default": 240},
            "job": {"type": "dict", "default": {}},
            "identity": {"type": "dict", "default": {}},
            "files": {"type": "dict", "default": {}},
            "owner": {"type": "int", "default": 10002},
            "anew": {"type": "bool", "default": False},
            "wait": {"type": "int", "default": 30},
            "since": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    training, action = Training(module.params), module.params["action"]
    try:
        if action == "look":
            active = training.is_active()
            holders = [] if active else training.holders()
            answer = {"changed": False, "active": active, "holders": holders, "state": training.state()}
        elif action == "follow":
            answer = {"changed": False, **training.follow()}
        elif action == "restore":
            answer = training.restore(module.check_mode)
        elif module.check_mode:
            answer = {"changed": not training.is_active(), "began": "check mode", "stopped_engine": False}
        else:
            answer = training.start()
    except (TrainingError, StackError, OSError) as error:
        module.fail_json(msg=f"The training was not started: {error}." if action == "start" else str(error))
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
