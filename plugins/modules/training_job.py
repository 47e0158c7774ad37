#!/usr/bin/python
"""Report, start and follow the fine-tuning that runs under systemd on the instance.

An own module, because what it does would be a dozen tasks, each a session of its own.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: training_job
short_description: Report, start and follow the fine-tuning on the instance
description:
  - A run is identified by its base, data and configuration, so that the same ones resume where they were cut off.
  - A finished run is not repeated.
author:
  - The slm-ft-serving developers (!UNKNOWN)
options:
  action:
    description:
      - C(inspect) reports who uses the accelerator; C(start) starts or resumes; C(follow) waits and reports progress;
        C(restore) has the stack serve again.
    type: str
    choices: [inspect, start, follow, restore]
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
    description: Whether there is a GPU, which others may use.
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
    description: Whether to discard an earlier run of the same.
    type: bool
    default: false
  wait:
    description: Seconds that C(follow) waits for the end.
    type: int
    default: 30
  since:
    description: Step up to which C(follow) has reported the figures already.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: See who uses the accelerator
  slm.serving.training_job:
    action: inspect
    directory: /var/lib/slm-ft-serving/training
  register: training
"""

RETURN = r"""
active:
  description: Whether the unit runs.
  type: bool
  returned: with inspect and follow
holders:
  description: Who uses the accelerator, in words.
  type: list
  elements: str
  returned: with inspect
state:
  description: The run's state.json.
  type: dict
  returned: with inspect and follow
job:
  description: The run's C(run), C(stamp) and C(destination).
  type: dict
  returned: with follow
lines:
  description: Progress since the last poll.
  type: list
  elements: str
  returned: with follow
since:
  description: Step of the last figures in C(lines).
  type: int
  returned: with follow
began:
  description: How the run began, in words.
  type: str
  returned: with start
stopped_engine:
  description: Whether the stack was stopped for it.
  type: bool
  returned: with start
starting:
  description: Whether the stack is on its way to serve again.
  type: bool
  returned: with restore
"""

import hashlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slm.serving.plugins.module_utils.containers import containers
from ansible_collections.slm.serving.plugins.module_utils.files import write_file
from ansible_collections.slm.serving.plugins.module_utils.model_sources.base import MANIFEST
from ansible_collections.slm.serving.plugins.module_utils.process import StackError, last_line, run
from ansible_collections.slm.serving.plugins.module_utils.redaction import redact

START_SECONDS = 45  # for the units that the stack requires; a session's command has 60
POLL_SECONDS = 2


class TrainingError(Exception):
    """Why a training cannot be started or followed, in words for the operator."""


class Training:
    """The training on this instance."""

    def __init__(self, module: AnsibleModule) -> None:
        """Act with the module's options."""
        self.module, self.options = module, module.params
        self.directory = Path(self.options["directory"])
        self.current = self.directory / "current"

    def is_active(self) -> bool:
        """Say whether the unit runs; one that is on its way up or down counts."""
        state = run(["systemctl", "is-active", self.options["unit"]]).stdout.strip()
        return state in {"active", "activating", "deactivating", "reloading"}

    def state(self) -> dict[str, Any]:
        """Return what the current run wrote about itself."""
        return read_json(self.current / "state.json")

    def job(self) -> dict[str, Any]:
        """Return the current run's job."""
        return read_json(self.current / "job.json")

    def stack_runs(self) -> bool:
        """Say whether the stack runs."""
        unit = f"{self.options['project']}.service"
        if run(["systemctl", "is-active", unit]).stdout.strip() in {"active", "activating", "deactivating"}:
            return True
        try:
            by_service = containers(self.options["project"])
        except StackError:
            return False  # No Docker yet, so no engine.
        return any(each["status"] == "running" for each in by_service.values())

    def holders(self) -> list[str]:
        """Return who uses the accelerator besides a training of ours, in words."""
        if self.stack_runs():
            return ["the engine serves"]
        if self.options["accelerator"] == "gpu" and not self.is_active():
            query = ["nvidia-smi", "--query-compute-apps=pid,process_name,used_memory", "--format=csv,noheader"]
            listed = run(query)
            if listed.returncode == 0:
                return [f"process {line.strip()}" for line in listed.stdout.splitlines() if line.strip()]
        return []

    def release_engine(self) -> bool:
        """Stop the stack when that is allowed; say whether it was. Raises TrainingError when the GPU stays in use."""
        holders = self.holders()
        if not holders:
            return False
        if holders != ["the engine serves"]:
            raise TrainingError(f"the GPU is in use by {'; '.join(holders)}: end that first")
        if not self.options["stop_engine"]:
            raise TrainingError(
                "the GPU is in use, because the engine serves. Run again with -e finetune_stop_engine=true: nothing is"
                " served then until the training is done, and the stack comes back at the end"
            )
        unit = f"{self.options['project']}.service"
        stopped = run(["systemctl", "stop", unit], timeout=self.options["stop_timeout"])
        if stopped.returncode != 0 or self.stack_runs():
            raise TrainingError(f"the stack could not be stopped: {last_line(stopped.stderr)}")
        return True

    def start(self) -> dict[str, Any]:
        """Start the run, or resume it. Raises TrainingError."""
        key = self.key()
        folder = self.directory / "runs" / key
        if self.is_active():
            if self.job().get("run") == key:
                return {"changed": False, "began": "it runs already", "stopped_engine": False}
            raise TrainingError(
                f"another training runs since {self.state().get('began', 'a while')} ({self.current.resolve().name}):"
                f" wait for it, or stop it on the instance with `systemctl stop {self.options['unit']}`"
            )
        if self.options["anew"]:
            shutil.rmtree(folder, ignore_errors=True)
        before = read_json(folder / "state.json")
        pending = self.options["job"]["hub"] and "push to the Hub" not in before.get("done", [])
        if before.get("status") == "done" and not pending:
            self.point_to(folder)
            self.forget_notes()
            return {"changed": False, "began": "it was done before", "stopped_engine": False}
        # The stages after the evaluation need no accelerator.
        stopped = "evaluation" not in before.get("done", []) and self.release_engine()
        self.write_run(folder, key, before)
        for command in (["systemctl", "daemon-reload"], ["systemctl", "reset-failed", self.options["unit"]]):
            run(command)
        started = run(["systemctl", "start", self.options["unit"]])
        if started.returncode != 0:
            raise TrainingError(f"{self.options['unit']} did not start: {last_line(started.stderr)}")
        return {"changed": True, "began": "it goes on" if before else "it began", "stopped_engine": stopped}

    def forget_notes(self) -> None:
        """Remove the copy of the notes that the role model_store made; the job itself does so at its end."""
        data = Path(self.options["job"]["data"])
        if (data / MANIFEST).is_file():
            shutil.rmtree(data, ignore_errors=True)

    def write_run(self, folder: Path, key: str, before: dict[str, Any]) -> None:
        """Write all files of a run and have `current` point to it; `before` is the state of an earlier attempt."""
        job, earlier = self.options["job"], read_json(folder / "job.json")
        folder.mkdir(parents=True, exist_ok=True)
        os.chown(folder, self.options["owner"], self.options["owner"])
        # The stamp is that of the first start, so that a run has one place in S3 however often it was cut off.
        stamp = earlier.get("stamp") or job["stamp"]
        described = {**job, "run": key, "stamp": stamp, "destination": f"{job['destination'].rstrip('/')}/{stamp}"}
        write_file(self.module, folder / "job.json", json.dumps(described, indent=2) + "\n")
        for name, content in self.options["files"].items():
            write_file(self.module, Path(name) if name.startswith("/") else folder / name, content)
        self.point_to(folder)
        # Overwrite the previous attempt's state, or it would be read as this one's.
        state = {**before, "run": key, "status": "starting", "reason": ""}
        write_file(self.module, folder / "state.json", json.dumps(state) + "\n")

    def restore(self) -> dict[str, Any]:
        """Start the stack, without waiting for it, unless there is none or a training still needs its accelerator."""
        unit = f"{self.options['project']}.service"
        enabled = run(["systemctl", "is-enabled", unit]).stdout.strip() == "enabled"
        running = run(["systemctl", "is-active", unit]).stdout.strip() in {"active", "activating"}
        needed = enabled and not running and not self.is_active()
        if needed and not self.module.check_mode:
            run(["systemctl", "start", "--no-block", unit])
            # Its requirements start first, and a verification meanwhile would find a stopped stack.
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

    def follow(self) -> dict[str, Any]:
        """Wait until it ends or `wait` seconds have passed; return its state and the progress since the last poll."""
        deadline = time.monotonic() + self.options["wait"]
        while self.is_active() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        active, state = self.is_active(), self.state()
        if not active and state.get("status") in {"running", "starting"}:
            # The script had no chance to write it: the instance was stopped, or the script itself was killed.
            state = {**state, "status": "stopped", "reason": f"cut off during the {state.get('stage') or 'start'}"}
        lines, step = self.progress(state, self.options["since"])
        state["reason"] = redact(state.get("reason", ""))
        return {"active": active, "state": state, "job": public(self.job()), "lines": lines, "since": step}

    def progress(self, state: dict[str, Any], since: int) -> tuple[list[str], int]:
        """Return lines on the evaluations since a step and on where it stands, and the step of the last one."""
        lines: list[str] = []
        last = since
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


def public(job: dict[str, Any]) -> dict[str, Any]:
    """Return those fields of a job that the controller needs."""
    return {name: job.get(name) for name in ("run", "stamp", "destination")}


def metrics(path: Path) -> list[dict[str, Any]]:
    """Return the records of a metrics file; a line that is cut off is left out."""
    records: list[dict[str, Any]] = []
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


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object from a file; an empty one when there is none."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content


def main() -> None:
    """Act."""
    module = AnsibleModule(
        argument_spec={
            "action": {"type": "str", "choices": ["inspect", "start", "follow", "restore"], "required": True},
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
    training, action = Training(module), module.params["action"]
    try:
        if action == "inspect":
            active = training.is_active()
            holders = [] if active else training.holders()
            result = {"changed": False, "active": active, "holders": holders, "state": training.state()}
        elif action == "follow":
            result = {"changed": False, **training.follow()}
        elif action == "restore":
            result = training.restore()
        elif module.check_mode:
            result = {"changed": not training.is_active(), "began": "check mode", "stopped_engine": False}
        else:
            result = training.start()
    except (TrainingError, StackError, OSError) as error:
        module.fail_json(msg=f"The training was not started: {error}." if action == "start" else str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
