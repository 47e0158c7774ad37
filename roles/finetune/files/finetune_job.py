#!/usr/bin/env python3
"""Train an adapter, evaluate it, copy it to S3 and, when asked, to the Hugging Face Hub: one stage after another.

Runs as root from slm-ft-serving-training.service, with no session and no controller. Reads job.json; writes state.json,
which lists the finished stages, and logs/training.log beside it. A finished stage is not repeated, so that the same job
resumes where it was cut off; the training itself resumes from its last checkpoint.

The copy of the clinical notes that the role model_store made is removed when the job ends, however it ends; the same
command fetches it again. The log may quote a note, in a traceback for one: it stays on the instance, and of it only
the trainer's own sentences are reported.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CONTAINER = "slm-ft-serving-training"
USER = "10002:10002"  # The trainer's user in its image.
OUT, DATA, MODELS, TOKEN = "/out", "/data", "/models", "/run/secrets/hf-token"  # Inside the container.
HOSTS = "/etc/hosts"
KILLED = 137
EXIT_RESUMABLE = 75  # The trainer's: stopped with a checkpoint saved.
# What of a run is not for S3: it is large, or of this instance only.
KEPT_HERE = ("checkpoints/*", "base/*", "hub/*", "logs/*", "job.json", "state.json", "progress.json")
MANIFEST = ".manifest.json"  # In every folder that the role model_store made, and in no original.
HUB_FILES = ("README.md", "evaluation.json")
# Nothing that the aws command could take for an option of its own.
DESTINATION = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^\x00-\x1f\x7f]+")
LOG_LINES_SHOWN = 5
# What a container that reads notes says and that quotes none: the trainer's own sentences, Docker's, and the type of an
# exception without its text.
SAFE_LINE = re.compile(r"(?:training|docker): .*|(?:\w+\.)*[A-Z]\w*(?:Error|Exception|Interrupt)(?=:|$)")


class StageError(Exception):
    """A stage failed, in words for the operator."""


class Stopped(Exception):  # noqa: N818 - no error: the work was asked to stop
    """The job was asked to stop; what is done so far is kept."""


class Job:
    """One job: its stages in their order."""

    def __init__(self, path: Path) -> None:
        """Read job.json, which lies in the folder of the run."""
        self.job: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        self.out = path.resolve().parent
        self.log = self.out / "logs/training.log"
        self.stopping = False
        before = self._state_before()
        self.state: dict[str, Any] = {
            "run": self.job["run"],
            "status": "running",
            "reason": "",
            "done": before.get("done", []),
        }
        self.state["began"] = before.get("began") or now()

    def _state_before(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = json.loads((self.out / "state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return state

    def stages(self) -> list[tuple[str, Callable[[], None]]]:
        """Return name and function of each stage."""
        stages = [
            ("access to S3", self._check_destination),
            ("training", self._train),
            ("evaluation", self._evaluate),
            ("copy to S3", self._copy),
        ]
        return [*stages, ("push to the Hub", self._push)] if self.job["hub"] else stages

    def run(self) -> int:
        """Run the stages that are not finished; return the exit status."""
        # Root's own, since it may quote a note.
        self.log.parent.mkdir(exist_ok=True)
        self.log.parent.chmod(0o700)
        for name, stage in self.stages():
            if name in self.state["done"]:
                continue
            self._report(stage=name)
            try:
                stage()
            except Stopped:
                self._report(status="stopped", reason=f"stopped during the {name}", ended=now())
                return EXIT_RESUMABLE
            except (StageError, OSError, subprocess.SubprocessError) as error:
                self._report(status="failed", reason=f"the {name} failed: {error}", ended=now())
                return 1
            self._report(done=[*self.state["done"], name])
        self._report(status="done", stage="", ended=now())
        return 0

    def forget_notes(self) -> None:
        """Remove the copy of the notes, if it is one: an original has no manifest of the role model_store."""
        data = Path(self.job["data"])
        if (data / MANIFEST).is_file():
            shutil.rmtree(data, ignore_errors=True)

    def _report(self, **facts: object) -> None:
        """Update the state; its file is replaced as a whole, because others read it meanwhile."""
        self.state.update(facts)
        beside = self.out / "state.json.part"
        beside.write_text(json.dumps(self.state, indent=2) + "\n", encoding="utf-8")
        beside.replace(self.out / "state.json")

    def stop(self, *_: object) -> None:
        """Pass a request to stop on to the container: a training then saves a checkpoint."""
        self.stopping = True
        subprocess.run(["docker", "kill", "--signal", "TERM", CONTAINER], capture_output=True, check=False, timeout=30)

    def _check_destination(self) -> None:
        """Copy the configuration: a missing permission has to show before hours of training, not after them."""
        destination = self.job["destination"]
        if not DESTINATION.fullmatch(destination):
            raise StageError(f"{destination!r} is no s3://bucket/prefix: correct the parameter training/destination")
        command = ["aws", "s3", "cp", str(self.out / "config.yaml"), f"{destination}/config.yaml", "--no-progress"]
        try:
            self._run([*command, "--region", self.job["region"]])
        except StageError as error:
            raise StageError(
                f"the instance's role has to be allowed s3:PutObject on {destination}/*: {error}"
            ) from None

    def _train(self) -> None:
        self._in_container(["adapter", *self._arguments(), *self.job["training_arguments"]])

    def _evaluate(self) -> None:
        self._in_container(["evaluate", *self._arguments(), *self.job["evaluation_arguments"]])

    def _arguments(self) -> list[str]:
        base = f"{MODELS}/{self.job['base_name']}"
        threads = ["--threads", str(self.job["threads"])]
        return ["--config", f"{OUT}/config.yaml", "--data", DATA, "--out", OUT, "--base", base, *threads]

    def _in_container(self, arguments: list[str]) -> None:
        """Run the trainer without a network, because it reads clinical notes."""
        accelerator = ["--gpus", "all", "--shm-size", "8g"] if self.job["accelerator"] == "gpu" else []
        mounts = [
            *("--volume", f"{self.job['base']}:{MODELS}/{self.job['base_name']}:ro"),
            *("--volume", f"{self.job['data']}:{DATA}:ro", "--volume", f"{self.out}:{OUT}"),
        ]
        container = ["--network", "none", "--user", USER, *mounts, self.job["image"], *arguments]
        self._docker([*accelerator, *container], quotes_notes=True)

    def _docker(self, arguments: list[str], *, quotes_notes: bool = False) -> None:
        subprocess.run(["docker", "rm", "--force", CONTAINER], capture_output=True, check=False, timeout=60)
        command = [
            *("docker", "run", "--rm", "--name", CONTAINER, "--log-driver", "none", "--read-only"),
            # exec: a GPU's kernels are compiled into it and loaded from there.
            *("--tmpfs", "/tmp:exec", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),  # noqa: S108
            *arguments,
        ]
        self._run(command, quotes_notes=quotes_notes)

    def _run(self, command: list[str], *, quotes_notes: bool = False) -> None:
        """Run a command to its end with its output in the log.

        Args:
            command: the command.
            quotes_notes: whether its output may quote a clinical note.

        Raises:
            StageError: it failed.
            Stopped: the job was asked to stop.
        """
        if self.stopping:
            raise Stopped
        with self.log.open("ab") as log:
            began = log.tell()
            # A session of its own: systemd's SIGTERM and Ctrl-C come to this process alone, which passes them on.
            result = subprocess.run(
                command, stdout=log, stderr=subprocess.STDOUT, check=False, start_new_session=True, timeout=None
            )
        if self.stopping or result.returncode == EXIT_RESUMABLE:
            raise Stopped
        if result.returncode != 0:
            raise StageError(explain(result.returncode, self.log, began, quotes_notes=quotes_notes))

    def _copy(self) -> None:
        command = ["aws", "s3", "cp", f"{self.out}/", f"{self.job['destination']}/", "--recursive", "--no-progress"]
        for pattern in KEPT_HERE:
            command += ["--exclude", pattern]
        self._run([*command, "--region", self.job["region"]])

    def _push(self) -> None:
        """Upload adapter, card and evaluation; the token is a file, read by a root without capabilities."""
        hub, folder = self.job["hub"], self.out / "hub"
        if not Path(hub["token_file"]).is_file():
            raise StageError(
                "there is no token of the Hub on the instance: put one into the secret that the parameter"
                " /slm-ft-serving/secrets/hf-token names, then run again"
            )
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.out / "adapter", folder)
        for name in HUB_FILES:
            if (self.out / name).is_file():
                shutil.copy2(self.out / name, folder / name)
        environment = {"HF_ENDPOINT": hub["endpoint"], "HF_TOKEN_PATH": TOKEN, **hub["environment"]}
        settings = [part for name, value in environment.items() for part in ("--env", f"{name}={value}")]
        command = ["upload", hub["repository"], "/hub", ".", "--private", "--commit-message", hub["message"]]
        mounts = ["--volume", f"{folder}:/hub:ro", "--volume", f"{hub['token_file']}:{TOKEN}:ro"]
        # A network of its own, so that the instance's metadata service, one hop away, does not answer; with the host's
        # file of names, which a host's network would have brought.
        process = ["--user", "0:0", "--network", "bridge", "--volume", f"{HOSTS}:{HOSTS}:ro", "--entrypoint", "hf"]
        self._docker([*process, *settings, *mounts, self.job["image"], *command])


def now() -> str:
    """Return the time in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def explain(status: int, log: Path, began: int, *, quotes_notes: bool = False) -> str:
    """Return why a command failed.

    Args:
        status: its exit status.
        log: the file that it wrote to.
        began: where in the file its output begins, in bytes.
        quotes_notes: whether the output may quote a clinical note, which leaves the instance in no message.
    """
    with log.open("rb") as stream:
        stream.seek(began)
        lines = [line.strip() for line in stream.read().decode("utf-8", errors="replace").splitlines() if line.strip()]
    if status == KILLED:
        # A killed process writes no reason.
        return "its container was killed (by the kernel for lack of memory, or by hand)"
    if not quotes_notes:
        return " | ".join([f"exit status {status}", *lines[-LOG_LINES_SHOWN:]])
    safe = [found[0] for found in map(SAFE_LINE.match, lines) if found]
    return " | ".join([f"exit status {status}", *safe[-LOG_LINES_SHOWN:], f"its output is in {log} on the instance"])


def main() -> int:
    """Run the job that the command line names."""
    os.umask(0o022)
    job = Job(Path(sys.argv[1]))
    signal.signal(signal.SIGTERM, job.stop)
    signal.signal(signal.SIGINT, job.stop)
    try:
        return job.run()
    finally:
        job.forget_notes()


if __name__ == "__main__":
    sys.exit(main())
