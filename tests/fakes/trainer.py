#!/usr/bin/env -S python3 -I -S
"""Fake of the commands docker and aws, as far as finetune_job.py uses them; put on PATH under both names.

Started without the site packages, which take long to find. `docker run` stands for the trainer: it writes what a stage
leaves behind, or ends as FAKE_TRAINER_END tells for the stage of FAKE_TRAINER_STAGE. Every call is a line of JSON in
FAKE_TRAINER_CALLS.
"""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def mounted(arguments: list[str], inside: str) -> Path:
    """Return the folder outside that is mounted on one inside the container."""
    volumes = [arguments[at + 1] for at, argument in enumerate(arguments) if argument == "--volume"]
    return next(Path(volume.split(":")[0]) for volume in volumes if volume.split(":")[1] == inside)


def train(arguments: list[str]) -> int:
    """Do what a stage of the trainer does."""
    stage = next(each for each in ("adapter", "evaluate", "upload") if each in arguments)
    if stage == os.environ.get("FAKE_TRAINER_STAGE"):
        if os.environ["FAKE_TRAINER_END"] == "wait":
            Path(os.environ["FAKE_TRAINER_CALLS"]).with_name("waits").touch()
            time.sleep(30)  # Until it is killed.
        sys.stderr.write("training: something is wrong\n")
        return int(os.environ["FAKE_TRAINER_END"])
    if stage == "adapter":
        folder = mounted(arguments, "/out") / "adapter"
        folder.mkdir(exist_ok=True)
        (folder / "adapter_config.json").write_text("{}", encoding="utf-8")
    if stage == "evaluate":
        (mounted(arguments, "/out") / "evaluation.json").write_text("{}", encoding="utf-8")
    return 0


def run_in_process(argv: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Answer as `subprocess.run` does, without the start of a process."""
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors):
        status = main(argv)
    if hasattr(options.get("stdout"), "write"):
        options["stdout"].write(errors.getvalue().encode())
    return subprocess.CompletedProcess(argv, status)


def main(argv: list[str]) -> int:
    """Answer one call, the name of the command first."""
    name, arguments = Path(argv[0]).name, argv[1:]
    with Path(os.environ["FAKE_TRAINER_CALLS"]).open("a", encoding="utf-8") as calls:
        calls.write(json.dumps([name, *arguments]) + "\n")
    if name == "aws":
        return int(os.environ["FAKE_TRAINER_END"]) if os.environ["FAKE_TRAINER_STAGE"] == "aws" else 0
    if arguments[0] == "run":
        Path(os.environ["FAKE_TRAINER_CALLS"]).with_name("pid").write_text(str(os.getpid()), encoding="ascii")
        return train(arguments)
    if arguments[0] == "kill":
        running = Path(os.environ["FAKE_TRAINER_CALLS"]).with_name("pid")
        os.kill(int(running.read_text(encoding="ascii")), signal.SIGTERM)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
