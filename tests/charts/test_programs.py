"""The programs that the chart's pods run, taken out of what Helm rendered and run as a pod would run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.rendering import Object, one, pods, rendered
from tests.fakes.http_service import HttpFake
from tests.fakes.hub import COMMIT, REPOSITORY, FakeHub
from tests.local_region.names import REPOSITORY_ROOT

FILES = {"config.json": b"{}", "model.safetensors": bytes(range(200))}
TASK = yaml.safe_load((REPOSITORY_ROOT / "gateway/tasks/medical_ie.yaml").read_text(encoding="utf-8"))


def mounted(objects: list[Object], pod: Object, folder: Path) -> Path:
    """Write the ConfigMap of a pod's program as its volume shows it, and return the folder."""
    (volume,) = (each["configMap"] for each in pod["volumes"] if each["name"] == "program")
    data = one(objects, "ConfigMap", volume["name"])["data"]
    for item in volume["items"]:
        path = folder / item["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(data[item["key"]], encoding="utf-8")
    return folder


def environment(container: Object, **changes: str) -> dict[str, str]:
    """Return a container's variables, with those that name a path or an address of the pod replaced."""
    given = {each["name"]: each["value"] for each in container["env"]}
    assert set(changes) <= set(given), "the program is told nothing that the chart does not set"
    return {"PATH": os.environ["PATH"], **given, **changes}


def start(script: Path, *arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a program as a container does."""
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, env=env, check=False, capture_output=True, text=True, timeout=60, cwd="/")


def fetch(folder: Path, hub: FakeHub, **models: Any) -> subprocess.CompletedProcess[str]:
    """Run the Job that fetches models, against a Hub and with a folder for the volume."""
    source = f"hf://{REPOSITORY}@{COMMIT}"
    objects = rendered(models={"base": {"source": source}, "adapter": {"source": source}, **models})
    ((_, pod),) = ((name, each) for name, each in pods(objects).items() if "-models-" in name)
    (container,) = pod["containers"]
    program = mounted(objects, pod, folder / "program")
    volume, token = folder / "volume", folder / "token"
    volume.mkdir(exist_ok=True)
    token.write_text("hf_made_up\n", encoding="utf-8")
    env = environment(
        container,
        PYTHONPATH=str(program),
        MODELS_ROOT=str(volume),
        MODELS_HUB=hub.address,
        MODELS_HUB_TOKEN_FILE=str(token),
    )
    return start(program / "fetch_models.py", *container["args"], env=env)


def engine_folders() -> set[str]:
    """Return the folders of the volume that the engine mounts, for the models of `fetch`."""
    source = f"hf://{REPOSITORY}@{COMMIT}"
    objects = rendered(models={"base": {"source": source}, "adapter": {"source": source}})
    engine = one(objects, "Deployment", "-engine")["spec"]["template"]["spec"]
    (wait,) = engine["initContainers"]
    mounts = {each["subPath"] for each in engine["containers"][0]["volumeMounts"] if each["name"] == "models"}
    assert {f"/volume/{folder}" for folder in mounts} == set(wait["args"])
    return mounts


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with FakeHub(FILES, token="hf_made_up") as fake:
        yield fake


def test_models_come_to_where_the_engine_mounts_them(tmp_path: Path, hub: FakeHub) -> None:
    result = fetch(tmp_path, hub)
    assert result.returncode == 0, result.stderr
    folders = engine_folders()
    assert len(folders) == 2
    for folder in folders:
        found = {path.name: path.read_bytes() for path in (tmp_path / "volume" / folder).iterdir()}
        assert found.pop(".manifest.json")
        assert found == FILES
    assert "hf_made_up" not in result.stdout + result.stderr
    sent = dict(hub.sent)
    # A pod that is made anew, or an upgrade that changes nothing, fetches nothing.
    again = fetch(tmp_path, hub)
    assert again.returncode == 0
    assert "the base model is there" in again.stdout
    assert dict(hub.sent) == sent


def test_a_gated_model_ends_the_job_with_what_to_do(tmp_path: Path, hub: FakeHub) -> None:
    hub.gated = True
    result = fetch(tmp_path, hub)
    assert result.returncode == 1
    assert "terms have to be accepted" in result.stderr
    assert "models.token.existingSecret" in result.stderr
    assert not any((tmp_path / "volume" / folder).exists() for folder in engine_folders())


def test_engine_waits_until_its_models_are_whole(tmp_path: Path) -> None:
    (wait,) = one(rendered(), "Deployment", "-engine")["spec"]["template"]["spec"]["initContainers"]
    folders = [tmp_path / Path(argument).name for argument in wait["args"]]
    program, option, source = wait["command"]
    assert (program, option) == ("python3", "-c")
    command = [sys.executable, "-c", source.replace("POLL_SECONDS = 1.0", "POLL_SECONDS = 0.01"), *map(str, folders)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "waiting for" in process.stderr.readline()
        for folder in folders:
            assert process.poll() is None
            folder.mkdir()
            (folder / ".manifest.json").write_text("{}", encoding="utf-8")
        assert process.wait(timeout=60) == 0


def test_an_upgrade_fetches_before_anything_is_touched() -> None:
    installed, upgraded = rendered(), rendered(upgrade=True)
    jobs = [one(objects, "Job") for objects in (installed, upgraded)]
    assert "annotations" not in jobs[0]["metadata"]
    for each in (jobs[1], one(upgraded, "ConfigMap", jobs[1]["metadata"]["name"])):
        assert each["metadata"]["annotations"]["helm.sh/hook"] == "pre-upgrade,pre-rollback"
    # What a hook makes is no part of the release: with one name, Helm would remove it as no longer part of that.
    assert jobs[0]["metadata"]["name"] != jobs[1]["metadata"]["name"]
    # At an installation the engine waits on the node that has the volume; at an upgrade there may be no engine.
    affinity = [job["spec"]["template"]["spec"]["affinity"]["podAffinity"] for job in jobs]
    assert [next(iter(each)) for each in affinity] == [
        "requiredDuringSchedulingIgnoredDuringExecution",
        "preferredDuringSchedulingIgnoredDuringExecution",
    ]
    shared = rendered(models={"volume": {"accessMode": "ReadWriteMany"}})
    assert "affinity" not in one(shared, "Job")["spec"]["template"]["spec"]


def test_models_on_the_volume_are_neither_fetched_nor_waited_for() -> None:
    objects = rendered("cpu")
    assert not any(each["kind"] in {"Job", "PersistentVolumeClaim"} for each in objects)
    engine = one(objects, "Deployment", "-engine")["spec"]["template"]["spec"]
    assert "initContainers" not in engine
    assert {"claimName": "models"} in [volume.get("persistentVolumeClaim") for volume in engine["volumes"]]
    mounts = {each["mountPath"]: each.get("subPath") for each in engine["containers"][0]["volumeMounts"]}
    assert (mounts["/models/base"], mounts["/models/adapter"]) == ("small/base", "small/adapter")


def test_models_outlive_the_release() -> None:
    claim = one(rendered(), "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


class FakeGateway(HttpFake):
    """A gateway that answers golden notes with what is expected, but for the fields in `wrong`."""

    methods = ("POST",)

    def __init__(self, wrong: dict[str, str]) -> None:
        """Begin with no request seen."""
        super().__init__()
        self.wrong = wrong
        self.keys: set[str] = set()
        self.lock = threading.Lock()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a note."""
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        with self.lock:
            self.keys.add(request.headers["X-API-Key"])
        assert request.path == "/api/v1/tasks/medical_ie/extract"
        (note,) = (each for each in TASK["golden"] if each["text"] == body["text"])
        content = json.dumps(note["expected"] | self.wrong).encode()
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)


@pytest.mark.parametrize(
    ("wrong", "minimum", "code", "right"),
    [({}, 0, 0, 14), ({"stage": "III"}, 0, 1, 12), ({"stage": "III"}, 12, 0, 12)],
)
def test_helm_test_has_the_golden_notes_extracted(
    tmp_path: Path, wrong: dict[str, str], minimum: int, code: int, right: int
) -> None:
    objects = rendered(verification={"minimum": minimum})
    pod = one(objects, "Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    (container,) = pod["spec"]["containers"]
    program = mounted(objects, pod["spec"], tmp_path)
    key = tmp_path / "key"
    key.write_text("made-up-key\n", encoding="utf-8")
    with FakeGateway(wrong) as gateway:
        env = environment(
            container,
            PYTHONPATH=f"{program}:{REPOSITORY_ROOT}",
            GATEWAY_URL=f"http://127.0.0.1:{gateway.port}",
            GATEWAY_API_KEY_FILE=str(key),
        )
        result = start(program / "verify_golden_notes.py", env=env)
    assert result.returncode == code, result.stderr
    assert f"{right} of 14 values of the golden notes are right" in result.stdout
    assert gateway.keys == {"made-up-key"}
