"""The script that answers a group's lifecycle hooks: when it answers which, and what it waits for before."""

from __future__ import annotations

import importlib.util
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.fakes.http_service import HttpFake
from tests.support.rendering import value
from tests.support.role_variables import ROLES

OWN, ORIGINAL = "i-0123456789abcdef0", "i-0fedcba9876543210"
LAUNCHING, TERMINATING = "serves", "drained"
NO_ACTION = (
    "An error occurred (ValidationError) when calling the CompleteLifecycleAction operation: No active Lifecycle Action"
    f" found with instance ID {OWN}"
)


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    """Yield the script as a Python module."""
    path = ROLES / "instance_lifecycle/files/instance_lifecycle.py"
    specification = importlib.util.spec_from_file_location("instance_lifecycle", path)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    # Its dataclasses look their module up.
    sys.modules["instance_lifecycle"] = module
    specification.loader.exec_module(module)
    yield module
    del sys.modules["instance_lifecycle"]


class FakeMachine(HttpFake):
    """The metadata service, version 2 only, and the gateway, at one port."""

    methods = ("GET", "PUT")
    target: str | None = None
    instance_id = OWN
    ready = True
    at_work: tuple[int, ...] = (0,)
    looks = 0

    def answer(self, request: Any) -> None:
        """Answer as the service that is asked for."""
        path = request.path
        status, text = 200, ""
        if path == "/latest/api/token":
            status, text = (200, "a-token") if request.command == "PUT" else (405, "")
        elif path.startswith("/latest/"):
            text = {
                "/latest/meta-data/instance-id": self.instance_id,
                "/latest/meta-data/autoscaling/target-lifecycle-state": self.target or "",
            }.get(path, "")
            status = 200 if text else 404
            status = status if request.headers.get("X-aws-ec2-metadata-token") == "a-token" else 401
        elif path == "/health":
            status = 200 if self.ready else 503
        elif path == "/metrics":
            running = self.at_work[min(self.looks, len(self.at_work) - 1)]
            self.looks += 1
            text = (
                f'# HELP x\ngateway_running {running}\ngateway_queue_waiting 0\ngateway_build_info{{version="1"}} 1\n'
            )
        request.send_response(status)
        request.end_headers()
        request.wfile.write(text.encode())


@dataclass
class World:
    """A copy in a group, its commands, and what they did, in order."""

    script: ModuleType
    machine: FakeMachine
    instance: Any
    folder: Path
    memory: Any
    now: list[float] = field(default_factory=lambda: [0.0])

    def wants(self, target: str | None) -> list[str]:
        """Look once while the group wants something; return the commands that were run by it."""
        self.machine.target = target
        before = len(self.commands())
        self.script.look(self.instance, self.memory)
        return self.commands()[before:]

    def commands(self) -> list[str]:
        """Return every command that was run, each as a few words."""
        log = self.folder / "log"
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        return [_words(line.split()) for line in lines]

    def refuse(self, message: str) -> None:
        """Have the group refuse; with an empty message it does not any more."""
        (self.folder / "refusal").write_text(message, encoding="utf-8")

    @property
    def out_of_service(self) -> bool:
        """Whether the mark is there that keeps metrics unsent."""
        return (self.folder / "run/out-of-service").exists()


def _words(command: list[str]) -> str:
    if command[0] != "aws":
        return " ".join(command)
    named = dict(zip(command[3::2], command[4::2], strict=True))
    assert command[1:3] == ["autoscaling", "complete-lifecycle-action"]
    assert (named["--instance-id"], named["--auto-scaling-group-name"]) == (OWN, "slm-ft-serving")
    assert named["--region"] == "us-east-1"
    return f"{named['--lifecycle-action-result']} {named['--lifecycle-hook-name']}"


def settings(port: int) -> dict[str, Any]:
    """Return the script's configuration as the role renders it, for a machine at a port of this one."""
    given = {
        "instance_lifecycle_instance": ORIGINAL,
        "instance_lifecycle_region": "us-east-1",
        "instance_lifecycle_gateway_port": port,
        "instance_lifecycle_drain_seconds": 60,
        "instance_lifecycle_quiet_seconds": 5,
    }
    rendered: dict[str, Any] = value("instance_lifecycle", "_instance_lifecycle_settings", given)
    return rendered


@pytest.fixture
def world(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Yield a copy that has just booted."""
    for name in ("aws", "systemctl"):
        fake = tmp_path / "bin" / name
        fake.parent.mkdir(exist_ok=True)
        refusal = f"test ! -s {tmp_path}/refusal || {{ cat {tmp_path}/refusal >&2; exit 254; }}\n" * (name == "aws")
        fake.write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/log\n{refusal}')
        fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    with FakeMachine() as machine:
        now = [0.0]

        def sleep(seconds: float) -> None:
            now[0] += seconds

        instance = script.Instance(
            settings(machine.port),
            run=tmp_path / "run",
            metadata=f"http://127.0.0.1:{machine.port}",
            sleep=sleep,
            clock=lambda: now[0],
        )
        instance.mark_out_of_service(True)
        yield World(script, machine, instance, tmp_path, script.Memory(), now)


def test_a_copy_that_is_to_serve_is_held_until_its_gateway_is_ready(world: World) -> None:
    world.machine.ready = False
    assert [world.wants("InService"), world.wants("InService")] == [[], []]
    assert world.out_of_service
    world.machine.ready = True
    assert world.wants("InService") == [f"CONTINUE {LAUNCHING}"]
    assert not world.out_of_service
    assert world.wants("InService") == []


def test_a_copy_for_the_warm_pool_is_held_until_it_has_loaded_and_sends_no_metrics(world: World) -> None:
    world.machine.ready = False
    assert world.wants("Warmed:Stopped") == []
    world.machine.ready = True
    assert world.wants("Warmed:Stopped") == [f"CONTINUE {LAUNCHING}"]
    assert world.out_of_service
    assert world.wants("Warmed:Stopped") == []


@pytest.mark.parametrize("target", ["Terminated", "Warmed:Stopped"])
def test_one_that_serves_ends_its_requests_before_the_stack_is_stopped_and_the_group_told(
    world: World, target: str
) -> None:
    world.wants("InService")
    # Two run, one ends, another comes late, and then none for as long as it takes.
    world.machine.at_work = (2, 1, 0, 0, 1, 0)
    assert world.wants(target) == ["systemctl stop slm-ft-serving.service", f"CONTINUE {TERMINATING}"]
    assert world.now[0] == 5 + 5, "seconds until the last has ended, and of quiet after it"
    assert world.out_of_service
    assert world.wants(target) == []


def test_requests_that_do_not_end_are_left_to_the_drain_of_the_stack(world: World) -> None:
    world.wants("InService")
    world.machine.at_work = (1,)
    assert world.wants("Terminated") == ["systemctl stop slm-ft-serving.service", f"CONTINUE {TERMINATING}"]
    assert world.now[0] == 60


def test_one_that_never_served_ends_at_once(world: World) -> None:
    world.machine.ready = False
    assert world.wants("Terminated") == [f"CONTINUE {TERMINATING}"]
    assert world.now[0] == 0


@pytest.mark.parametrize("target", [None, "Standby", "Detached", "something new"])
def test_what_asks_for_nothing_is_left_alone(world: World, target: str | None) -> None:
    assert world.wants(target) == []


def test_a_group_that_does_not_hold_the_instance_yet_is_told_again(world: World) -> None:
    world.refuse(NO_ACTION)
    assert world.wants("InService") == [f"CONTINUE {LAUNCHING}"]
    assert world.out_of_service
    world.refuse("")
    assert world.wants("InService") == [f"CONTINUE {LAUNCHING}"]
    assert not world.out_of_service


def test_a_hook_that_was_over_before_is_not_asked_about_for_ever(world: World) -> None:
    world.refuse(NO_ACTION)
    asked = [len(world.wants("InService")) for _ in range(20)]
    assert asked == [1] * 10 + [0] * 10
    assert not world.out_of_service


def test_a_missing_right_is_said_and_tried_again(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.refuse("An error occurred (AccessDenied): not authorized to perform: autoscaling:CompleteLifecycleAction")
    asked = [len(world.wants("InService")) for _ in range(20)]
    assert asked == [1] * 20
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "autoscaling:CompleteLifecycleAction" in lines[-1]["problem"]


def test_a_process_that_comes_after_another_knows_what_was_answered(world: World) -> None:
    world.wants("InService")
    world.script.remember(world.folder / "run/lifecycle.json", world.memory)
    world.memory = world.script.remembered(world.folder / "run/lifecycle.json")
    assert world.wants("InService") == []
    assert world.wants("Terminated")[0] == "systemctl stop slm-ft-serving.service"


def test_a_copy_gets_a_machine_id_of_its_own_once(script: ModuleType, tmp_path: Path) -> None:
    kept, machine_id = tmp_path / "lib/instance-id", tmp_path / "machine-id"
    machine_id.write_text("0" * 32 + "\n")
    assert script.become_oneself(OWN, kept, machine_id)
    own = machine_id.read_text()
    assert len(own.strip()) == 32
    assert own.strip() != "0" * 32
    assert not script.become_oneself(OWN, kept, machine_id)
    assert machine_id.read_text() == own
    # An image of an image.
    assert script.become_oneself(ORIGINAL, kept, machine_id)


def test_on_the_instance_that_the_image_is_made_of_it_ends(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeMachine() as machine:
        monkeypatch.setattr(script, "RUN", tmp_path / "run")
        monkeypatch.setattr(script, "METADATA", f"http://127.0.0.1:{machine.port}/")
        machine.instance_id = ORIGINAL
        configuration = tmp_path / "lifecycle.json"
        configuration.write_text(json.dumps(settings(machine.port)), encoding="utf-8")
        ended: list[int] = []
        thread = threading.Thread(
            target=lambda: ended.append(script.main(["--configuration", str(configuration)])), daemon=True
        )
        thread.start()
        thread.join(timeout=10)
    assert ended == [0]
