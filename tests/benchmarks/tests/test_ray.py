"""The example for Ray Serve LLM: what it tells the engine, and that the gateway extracts through it."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.tasks import Task, load_task
from tests.benchmarks.fleet import ray_serve
from tests.benchmarks.fleet.footprint import footprint, tree
from tests.benchmarks.fleet.small_engine import as_arguments, options
from tests.benchmarks.fleet.stacks import SLOTS, Gateway
from tests.benchmarks.gateway import TASK
from tests.support.ports import free_port

ROLE = TASK.parents[2] / "roles/inference_stack/defaults/main.yml"


def example() -> dict[str, Any]:
    """Return the example."""
    document: dict[str, Any] = yaml.safe_load(ray_serve.EXAMPLE.read_text(encoding="utf-8"))
    return document


def the_model(document: dict[str, Any]) -> dict[str, Any]:
    """Return the one model of a configuration."""
    (application,) = document["applications"]
    (model,) = application["args"]["llm_configs"]
    assert isinstance(model, dict)
    return model


def test_the_example_tells_the_engine_what_the_deployment_does() -> None:
    told = options("fast")
    del told["disable-uvicorn-access-log"]
    length = yaml.safe_load(ROLE.read_text(encoding="utf-8"))["inference_stack_engine_max_model_len"]
    assert the_model(example())["engine_kwargs"] == {**as_arguments(told), "max_model_len": length}


def test_on_a_cpu_only_hardware_and_places_are_others() -> None:
    gpu, cpu = the_model(example()), the_model(ray_serve.on_a_cpu(example(), 1))
    assert cpu["model_loading_config"]["model_source"] == "s3://models/base"
    assert "YOUR-MODELS" not in yaml.safe_dump(cpu)
    assert "accelerator_type" not in cpu
    assert set(gpu) - {"accelerator_type"} == set(cpu) - {"placement_group_config"}
    assert cpu["engine_kwargs"]["max_num_seqs"] == options("cpu")["max-num-seqs"]


def test_processes_are_found_with_their_descendants_and_left_out_with_them() -> None:
    own, command = os.getpid(), [sys.executable, "-c", "input()", "spawned-for-this-test"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        assert {own, child.pid} <= set(tree([own]))
        assert child.pid not in tree([own], without="spawned-for-this-test")
        assert child.pid not in tree([own, child.pid], without="pytest")
        assert footprint([own, child.pid]).processes == 2
        assert footprint([own]).mebibytes > 1
        child.kill()
    assert footprint([child.pid]).processes == 0


def asked(port: int, text: str) -> dict[str, Any]:
    """Return the gateway's extraction of a text."""
    body = json.dumps({"text": text}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v1/extract", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def task_for_ray(folder: Path) -> Task:
    """Write the shipped task with the adapter's name as Ray has it, and return it."""
    path = folder / TASK.name
    path.write_text(TASK.read_text("utf-8").replace("\nadapter: medical-ie\n", f"\nadapter: {ray_serve.MODEL}\n"))
    task = load_task(path)
    assert task.adapter == ray_serve.MODEL
    return task


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="there is no CPU build of the engine for it"
)
@pytest.mark.parametrize("direct", [False, True], ids=["Ray's own proxy", "HAProxy and direct streaming"])
def test_the_gateway_extracts_through_the_example(direct: bool) -> None:
    # Ray's sockets lie below it, and their paths must be short.
    with tempfile.TemporaryDirectory(prefix="slm-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        started = ray_serve.cluster(stack, folder, direct=direct, replicas=1)
        tasks = folder / "tasks"
        tasks.mkdir()
        task = task_for_ray(tasks)
        gateway = Gateway(free_port(), started.url, SLOTS, folder / "gateway.log", {"GATEWAY_TASKS_DIR": str(tasks)})
        gateway.start()
        stack.callback(gateway.end, signal.SIGKILL)
        gateway.wait()
        for note in task.golden:
            answer = asked(gateway.port, note.text)
            assert {field: answer[field] for field in note.expected} == dict(note.expected)
            assert answer["evidence"]
        assert len(started.replicas()) == 1
