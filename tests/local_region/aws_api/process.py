"""Starts and stops the API server, a background process of the machine that outlives the command that started it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.local_region import names, ports
from tests.local_region.aws_api.source import source_digest
from tests.local_region.docker import containers
from tests.local_region.docker.engine import DockerEngine
from tests.local_region.errors import RegionError
from tests.local_region.state import RegionState

READY_TIMEOUT_SECONDS = 60
STOP_TIMEOUT_SECONDS = 15
LOG_LINES_SHOWN = 15
MODULE = "tests.local_region.aws_api.server"


def ensure(state: RegionState, port: int, engine: DockerEngine) -> bool:
    """Start the API server of a region, unless it runs and answers.

    The region's network has to be there. A server of an older source, or one that no longer answers, is replaced.

    Args:
        state: The region's.
        port: Where it listens.
        engine: What the instance's container runs on.

    Returns:
        Whether it was started; its memory is then empty.

    Raises:
        RegionError: Something else holds the port, or the server does not answer in time.
    """
    status = _status(port)
    if status is not None and status.get("region") == state.name:
        if status.get("source") == source_digest():
            return False
        stop(state)
    elif _pid(state) is not None:
        stop(state)
    state.api_pid.unlink(missing_ok=True)  # stale: the machine was restarted, or the process was killed
    ports.require_free(port, "AWS's API", "--api-port")
    _start(state, port, engine)
    _wait_until_ready(state, port)
    return True


def is_running(state: RegionState, port: int) -> bool:
    """Return whether the region's API server answers."""
    status = _status(port)
    return status is not None and status.get("region") == state.name


def exists(state: RegionState) -> bool:
    """Return whether the region's API server is a process, answering or not."""
    return _pid(state) is not None


def stop(state: RegionState) -> bool:
    """Stop the region's API server and return whether there was one.

    Raises:
        RegionError: It does not end.
    """
    pid = _pid(state)
    if pid is None:
        state.api_pid.unlink(missing_ok=True)
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    while _is_ours(pid, state):
        if time.monotonic() > deadline:
            raise RegionError(
                f"The API server (process {pid}) did not end within {STOP_TIMEOUT_SECONDS} s; end it by hand."
            )
        time.sleep(0.05)
    state.api_pid.unlink(missing_ok=True)
    return True


def _start(state: RegionState, port: int, engine: DockerEngine) -> None:
    command = [sys.executable, "-m", MODULE, "--region", state.name, "--folder", str(state.folder), "--port", str(port)]
    command += ["--docker", engine.client, "--address", "127.0.0.1"]
    gateway = containers.machine_address(engine, state.name)
    if gateway is not None:
        command += ["--address", gateway]
    with state.api_log.open("ab") as log:
        # By a shell that ends at once: the server is then nobody's child, so nobody has to wait for it.
        started = subprocess.run(
            ["sh", "-c", '"$@" 1>&2 & echo $!', "sh", *command],
            cwd=names.REPOSITORY_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            # moto calls itself at this port for some services; the operator's own AWS settings stay out.
            env={**_without_aws(os.environ), "MOTO_PORT": str(port)},
            check=True,
        )
    state.api_pid.write_bytes(started.stdout)


def _without_aws(environment: os._Environ[str]) -> dict[str, str]:
    return {key: value for key, value in environment.items() if not key.startswith("AWS_")}


def _wait_until_ready(state: RegionState, port: int) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if is_running(state, port):
            return
        if _pid(state) is None:
            state.api_pid.unlink(missing_ok=True)
            raise RegionError(f"The API server ended at once. {_end_of(state.api_log)}")
        time.sleep(0.1)
    raise RegionError(f"The API server does not answer after {READY_TIMEOUT_SECONDS} s. {_end_of(state.api_log)}")


def _end_of(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES_SHOWN:]
    return "\n".join([f"The end of {log}:", *lines])


def _status(port: int) -> dict[str, object] | None:
    """Return what the server on a port reports of itself; None when none of ours answers there."""
    try:
        # A proxy of the machine has no business with loopback.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{port}{names.API_STATUS_PATH}", timeout=2) as answer:
            loaded = json.load(answer)
    except (OSError, ValueError, urllib.error.URLError):
        return None
    return loaded if isinstance(loaded, dict) else None


def _pid(state: RegionState) -> int | None:
    """Return the process id of the region's running server, from its file or by asking it; None when none runs."""
    try:
        recorded = int(state.api_pid.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        recorded = None
    ports = state.load_ports()
    for pid in (recorded, _answering(state, ports.api) if ports else None):
        if pid is not None and _is_ours(pid, state):
            return pid
    return None


def _answering(state: RegionState, port: int) -> int | None:
    status = _status(port)
    pid = status.get("pid") if status is not None and status.get("region") == state.name else None
    return pid if isinstance(pid, int) else None


def _is_ours(pid: int, state: RegionState) -> bool:
    command = _command_of(pid)
    return MODULE in command and str(state.folder) in command


def _command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return ""
    listed = subprocess.run(["ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False)
    return listed.stdout
