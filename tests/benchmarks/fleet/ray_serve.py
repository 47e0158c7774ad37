"""Ray Serve LLM with the example's configuration, on a CPU and with the small model, fetched from a fake S3."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import yaml

from tests.benchmarks.fleet.footprint import tree
from tests.benchmarks.fleet.small_engine import ADAPTER, SMALL, VARIABLES, as_arguments, options
from tests.benchmarks.fleet.stacks import wait_for_health
from tests.benchmarks.gateway import PEERS, ROOT, running
from tests.support.ports import free_port
from tests.support.ray import environment

EXAMPLE = ROOT / "examples/ray/serve.yaml"
# Ray's own name for an adapter: the model's and the folder's.
MODEL = f"llama:{ADAPTER}"
# Requests go to the replicas without a hop through a deployment of Serve's.
DIRECT = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_LLM_ENABLE_DIRECT_STREAMING": "1",
    # Without it the adapter's name is not seen on this way, and Ray refuses the configuration.
    "RAY_SERVE_INGRESS_REQUEST_ROUTER_FORWARD_BODY": "1",
}
# What holds an engine: a replica, and its two processes where it has lost its parent.
_REPLICA = r"^ray::ServeReplica:[^:]*:LLMServer"
ENGINE = rf"{_REPLICA}|^VLLM::"
_BUCKET = "models"
_START_SECONDS = 600.0


def on_a_cpu(example: Mapping[str, Any], replicas: int) -> dict[str, Any]:
    """Return an example's configuration for machines without a GPU, and for the fake bucket."""
    document: dict[str, Any] = yaml.safe_load(yaml.safe_dump(dict(example)).replace("YOUR-MODELS", _BUCKET))
    (application,) = document["applications"]
    (model,) = application["args"]["llm_configs"]
    del model["accelerator_type"]
    model["placement_group_config"] = {"bundles": [{"CPU": 1}]}
    model["deployment_config"]["num_replicas"] = replicas
    # Two processors of a small machine are not to be reserved for replicas alone.
    model["deployment_config"]["ray_actor_options"] = {"num_cpus": 0}
    told = options("cpu")
    del told["disable-uvicorn-access-log"]  # Ray's own server answers.
    model["engine_kwargs"] = as_arguments(told)
    return document


def bucket(stack: contextlib.ExitStack, folder: Path) -> dict[str, str]:
    """Start a fake S3 that holds the small model, and return the environment in which it is AWS's."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    stack.enter_context(running([sys.executable, "-m", "moto.server", "-p", str(port)], folder / "s3.log"))
    aws = {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    wait_for_health(port, folder / "s3.log", "/moto-api/")
    client = boto3.client(
        "s3",
        endpoint_url=address,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket=_BUCKET)
    for name, prefix in (("base", "base"), ("adapter", f"adapters/{ADAPTER}")):
        for path in sorted((SMALL / name).iterdir()):
            client.upload_file(str(path), _BUCKET, f"{prefix}/{path.name}")
    return aws


@dataclass
class Cluster:
    """A cluster of this machine alone, with its engines.

    Attributes:
        url: where Serve answers.
        process: of which all others descend.
        state: the file with the number of engines that serve.
    """

    url: str
    process: int
    state: Path

    def engines(self) -> int:
        """Return how many serve, as Ray says."""
        return int(self.state.read_text()) if self.state.exists() else 0

    def processes(self) -> list[int]:
        """Return all processes but the one that started them, which a cluster that runs already does not have."""
        return [number for number in tree([self.process]) if number != self.process]

    def replicas(self) -> list[int]:
        """Return the processes of the replicas that hold an engine."""
        return [number for number in self.processes() if re.search(_REPLICA, command(number))]

    def kill_engine(self) -> None:
        """Kill one of the replicas.

        Raises:
            ValueError: there is none.
        """
        if not (replicas := self.replicas()):
            raise ValueError("no process of Ray's is a replica with an engine")
        os.kill(replicas[0], signal.SIGKILL)


def command(process: int) -> str:
    """Return a process's command line, or nothing where it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def cluster(stack: contextlib.ExitStack, folder: Path, *, direct: bool = False, replicas: int = 2) -> Cluster:
    """Start Ray with the example, and wait until all of its engines serve; it ends with `stack`.

    Args:
        stack: gets what ends it.
        folder: for all that it writes; its path is to be short, since Ray makes sockets below it.
        direct: whether HAProxy hands requests to the replicas themselves.
        replicas: how many engines.

    Raises:
        TimeoutError: they do not serve; the text has the end of the log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    configuration, state, log = folder / "serve.yaml", folder / "engines", folder / "ray.log"
    example = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    configuration.write_text(yaml.safe_dump(on_a_cpu(example, replicas)), encoding="utf-8")
    port = free_port()
    variables = {
        **VARIABLES,
        **bucket(stack, folder),
        # It would report to its makers that it was used, leave a token in the home folder, and run at low priority.
        "RAY_USAGE_STATS_ENABLED": "0",
        "HOME": str(folder),
        "RAY_worker_niceness": "0",
        **({**DIRECT, **haproxys_files(folder)} if direct else {}),
    }
    python = [str(environment()), str(PEERS / "ray_llm.py"), str(configuration), str(port), str(state)]
    process = stack.enter_context(whole_tree(python, log, variables))
    started = Cluster(f"http://127.0.0.1:{port}", process.pid, state)
    end = time.monotonic() + _START_SECONDS
    while started.engines() < replicas:
        if time.monotonic() > end or process.poll() is not None:
            raise TimeoutError(f"Ray Serve LLM does not serve\n{log.read_text(errors='replace')[-4000:]}")
        time.sleep(0.2)
    return started


@contextlib.contextmanager
def whole_tree(program: list[str], log: Path, variables: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program while the context lasts, and leave none of its descendants behind."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            program, env={**os.environ, **variables}, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process
    finally:
        # Ray's own end is the better one; what is left after it has lost its parent, and cannot be found any more.
        members = tree([process.pid])
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        for member in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(member, signal.SIGKILL)
        process.wait()


def haproxys_files(folder: Path) -> dict[str, str]:
    """Return the environment in which Ray's HAProxy writes below a folder and listens at free ports."""
    return {
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy/haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "haproxy/admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder / "haproxy"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "haproxy/server-state"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
    }
