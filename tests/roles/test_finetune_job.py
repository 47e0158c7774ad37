"""The job that trains on the instance with nobody watching: its stages, what ends it, and how it goes on."""

from __future__ import annotations

import importlib.util
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import pytest

from tests.fakes.trainer import run_in_process
from tests.support.role_variables import ROLES

SCRIPT = ROLES / "finetune/files/finetune_job.py"
FAKE = Path(__file__).parents[1] / "fakes/trainer.py"
TIMEOUT_SECONDS = 60
STAGES = ["access to S3", "training", "evaluation", "copy to S3"]
TOKEN = "hf_of-the-hub"


class Run:
    """A run's folder, and the job in it."""

    def __init__(self, folder: Path, script: ModuleType) -> None:
        self._script = script
        self.folder = folder / "run"
        self.calls_file = folder / "calls"
        self._tools = folder / "tools"
        for path in (self.folder, self._tools):
            path.mkdir()
        for name in ("docker", "aws"):
            (self._tools / name).symlink_to(FAKE)
        self.write_job()

    def write_job(self, **changes: Any) -> None:
        """Write job.json."""
        job = {
            "run": "0123456789abcdef",
            "image": "registry/trainer@sha256:1",
            "accelerator": "cpu",
            "threads": 1,
            "base": "/models/base-1",
            "base_name": "llama",
            "data": "/models/data-1",
            "region": "us-east-1",
            "training_arguments": ["--max-steps", "5"],
            "evaluation_arguments": [],
            "destination": "s3://models/adapters/20261120T140000Z",
            "hub": None,
        }
        (self.folder / "job.json").write_text(json.dumps(job | changes), encoding="utf-8")

    def _environment(self, stage: str, end: str) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": f"{self._tools}{os.pathsep}{os.environ['PATH']}",
            "FAKE_TRAINER_CALLS": str(self.calls_file),
            "FAKE_TRAINER_STAGE": stage,
            "FAKE_TRAINER_END": end,
        }

    def begin(self, stage: str = "", end: str = "") -> subprocess.Popen[bytes]:
        """Start the job in a process of its own; a stage of the trainer can be made to end otherwise."""
        return subprocess.Popen([sys.executable, SCRIPT, self.folder / "job.json"], env=self._environment(stage, end))

    def go(self, stage: str = "", end: str = "") -> int:
        """Run the job to its end in this process; gives the exit status."""
        with (
            mock.patch.dict(os.environ, self._environment(stage, end)),
            mock.patch.object(subprocess, "run", run_in_process),
        ):
            job = self._script.Job(self.folder / "job.json")
            status: int = job.run()
            job.forget_notes()
        return status

    def state(self) -> dict[str, Any]:
        """Return what it reports of itself."""
        said: dict[str, Any] = json.loads((self.folder / "state.json").read_text(encoding="utf-8"))
        return said

    def calls(self) -> list[list[str]]:
        """Return the commands that it ran."""
        return [json.loads(line) for line in self.calls_file.read_text(encoding="utf-8").splitlines()]

    def containers(self) -> list[list[str]]:
        """Return the containers that it ran."""
        return [call for call in self.calls() if call[:2] == ["docker", "run"]]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """Load the script as a module."""
    spec = importlib.util.spec_from_file_location("finetune_job", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(tmp_path: Path, script: ModuleType) -> Run:
    return Run(tmp_path, script)


def test_stages_follow_one_another(run: Run) -> None:
    assert run.go() == 0
    assert run.state()["status"] == "done"
    assert run.state()["done"] == STAGES
    training, evaluation = run.containers()
    assert training[training.index("adapter") :][-2:] == ["--max-steps", "5"]
    assert "evaluate" in evaluation
    copy = run.calls()[-1]
    assert copy[:3] == ["aws", "s3", "cp"]
    assert copy[4] == "s3://models/adapters/20261120T140000Z/"


def test_notes_are_read_by_containers_without_network_or_permissions(run: Run) -> None:
    run.go()
    for container in run.containers():
        assert container[container.index("--network") + 1] == "none"
        assert container[container.index("--user") + 1] == "10002:10002"
        assert container[container.index("--cap-drop") + 1] == "ALL"
        assert "/models/data-1:/data:ro" in container


def test_data_and_checkpoints_are_not_copied(run: Run) -> None:
    run.go()
    copy = run.calls()[-1]
    left_out = {copy[at + 1] for at, argument in enumerate(copy) if argument == "--exclude"}
    assert left_out >= {"checkpoints/*", "base/*", "logs/*", "job.json"}


def test_failure_is_reported_with_the_trainers_own_words(run: Run) -> None:
    assert run.go("adapter", "1") == 1
    state = run.state()
    assert state["status"] == "failed"
    reason = "the training failed: exit status 1 | training: something is wrong | its output is in "
    assert state["reason"] == f"{reason}{run.folder / 'logs/training.log'} on the instance"


def test_missing_permission_is_reported_before_the_training(run: Run) -> None:
    assert run.go("aws", "1") == 1
    assert "s3:PutObject on s3://models/adapters/20261120T140000Z/*" in run.state()["reason"]
    assert not run.containers()


def test_killed_container_is_reported_as_killed(run: Run) -> None:
    assert run.go("adapter", "137") == 1
    assert "its container was killed" in run.state()["reason"]


def test_finished_stages_are_not_repeated(run: Run) -> None:
    assert run.go("evaluate", "1") == 1
    assert run.state()["done"] == STAGES[:2]
    before = len(run.containers())
    assert run.go() == 0
    assert run.state()["done"] == STAGES
    (again,) = run.containers()[before:]
    assert "evaluate" in again


def test_request_to_stop_reaches_the_trainer_and_is_no_failure(run: Run) -> None:
    job = run.begin("adapter", "wait")
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not run.calls_file.with_name("waits").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    job.terminate()
    assert job.wait(TIMEOUT_SECONDS) == 75
    assert ["docker", "kill", "--signal", "TERM", "slm-ft-serving-training"] in run.calls()
    assert run.state()["status"] == "stopped"
    assert run.go() == 0


def test_gpu_is_given_to_the_container(run: Run) -> None:
    run.write_job(accelerator="gpu")
    run.go()
    assert all(container[container.index("--gpus") + 1] == "all" for container in run.containers())


def with_hub(run: Run, token: Path) -> None:
    hub = {"repository": "someone/medical-ie", "endpoint": "https://hub", "token_file": str(token)}
    run.write_job(hub=hub | {"environment": {}, "message": "Adapter"})


def test_push_needs_a_token_and_only_the_push_is_done_again(run: Run, tmp_path: Path) -> None:
    with_hub(run, tmp_path / "hf-token")
    assert run.go() == 1
    assert "/slm-ft-serving/secrets/hf-token" in run.state()["reason"]
    assert run.state()["done"] == STAGES
    (tmp_path / "hf-token").write_text(TOKEN, encoding="ascii")
    before = len(run.containers())
    assert run.go() == 0
    (push,) = run.containers()[before:]
    assert push[push.index("upload") + 1] == "someone/medical-ie"
    assert "--private" in push


def test_token_is_in_no_argument(run: Run, tmp_path: Path) -> None:
    (tmp_path / "hf-token").write_text(TOKEN, encoding="ascii")
    with_hub(run, tmp_path / "hf-token")
    assert run.go() == 0
    assert TOKEN not in run.calls_file.read_text(encoding="utf-8")
    assert f"{tmp_path / 'hf-token'}:/run/secrets/hf-token:ro" in run.containers()[-1]


NOTE = "Pt. J. Example, invasive ductal carcinoma of the left breast"
TRACEBACK = f"""Traceback (most recent call last):
  File "/app/training/data/dataset.py", line 3, in read
    raise ValueError({NOTE!r})
ValueError: unexpected {NOTE}
{NOTE}
torch.OutOfMemoryError: CUDA out of memory with {NOTE}
training: the configuration is wrong
docker: Error response from daemon: no such image
"""


def test_output_that_may_quote_a_note_is_reported_without_it(script: ModuleType, tmp_path: Path) -> None:
    log = tmp_path / "training.log"
    log.write_text(TRACEBACK, encoding="utf-8")
    reason = script.explain(1, log, 0, quotes_notes=True)
    assert reason.split(" | ") == [
        "exit status 1",
        "ValueError",
        "torch.OutOfMemoryError",
        "training: the configuration is wrong",
        "docker: Error response from daemon: no such image",
        f"its output is in {log} on the instance",
    ]


def test_output_of_other_commands_is_reported_as_it_is(script: ModuleType, tmp_path: Path) -> None:
    log = tmp_path / "training.log"
    log.write_text("upload failed: An error occurred (AccessDenied)\n", encoding="utf-8")
    assert script.explain(1, log, 0) == "exit status 1 | upload failed: An error occurred (AccessDenied)"


@pytest.mark.parametrize(("stage", "status"), [("", 0), ("adapter", 1), ("evaluate", 1)])
def test_copy_of_the_notes_is_removed_however_the_job_ends(run: Run, tmp_path: Path, stage: str, status: int) -> None:
    notes = tmp_path / "data-1"
    notes.mkdir()
    (notes / ".manifest.json").write_text("{}", encoding="utf-8")
    (notes / "train.jsonl").write_text(NOTE, encoding="utf-8")
    run.write_job(data=str(notes))
    assert run.go(stage, "1") == status
    assert not notes.exists()


def test_log_is_for_root_only(run: Run) -> None:
    assert run.go() == 0
    assert stat.S_IMODE((run.folder / "logs").stat().st_mode) == 0o700


def test_original_of_the_notes_is_left_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text(NOTE, encoding="utf-8")
    run.write_job(data=str(tmp_path))
    assert run.go() == 0
    assert (tmp_path / "train.jsonl").is_file()


def test_push_does_not_share_the_network_of_the_instance(run: Run, tmp_path: Path) -> None:
    """Whose metadata service would give it the role of the instance."""
    (tmp_path / "hf-token").write_text(TOKEN, encoding="ascii")
    with_hub(run, tmp_path / "hf-token")
    assert run.go() == 0
    push = run.containers()[-1]
    assert push[push.index("--network") + 1] == "bridge"


@pytest.mark.parametrize("destination", ["--endpoint-url=https://evil", "file:///etc", "s3://B/x", "s3://bucket", ""])
def test_destination_that_is_no_prefix_of_a_bucket_is_not_given_to_the_aws_command(run: Run, destination: str) -> None:
    run.write_job(destination=destination)
    assert run.go() == 1
    assert "training/destination" in run.state()["reason"]
    assert not run.calls_file.exists()
