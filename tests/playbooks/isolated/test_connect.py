"""connect.yml against a fake account: plugin and forwarded port are the region's, and a `docker` stands for its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from tests.fakes.account import Api, served
from tests.fakes.http_service import HttpFake
from tests.local_region import names
from tests.local_region.state import RegionState
from tests.playbooks.isolated.account_runner import ANSIBLE_PLAYBOOK, environment_of, play

pytestmark = pytest.mark.slow

TIMEOUT_SECONDS = 300
ADDRESS = re.compile(r"The gateway is at (http://127\.0\.0\.1:\d+) until Ctrl-C")
# Ansible's own for Ctrl-C.
INTERRUPTED = 99
# `container inspect ...`, `wait CONTAINER` and `exec --interactive CONTAINER PROGRAM...`, which runs here.
DOCKER = """#!/bin/sh
case "$1" in
    container) echo true ;;
    wait) exec sleep 1000 ;;
    exec) shift 3; exec "$@" ;;
esac
"""


class FakeGateway(HttpFake):
    """What listens at the gateway's port."""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Say that it is there."""
        request.send_response(200)
        request.send_header("Content-Length", "4")
        request.end_headers()
        request.wfile.write(b"here")


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """Serve an account with an instance, whose container is this machine."""
    (tmp_path / "docker").write_text(DOCKER, encoding="ascii")
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    state = RegionState("unit", root=tmp_path)
    state.prepare()
    with served(state, DomainDispatcherApplication(create_backend_app)) as api:
        api.account.seed(api.state)
        yield api


def get(url: str) -> bytes:
    """Return what answers at a URL, past any proxy."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=60) as answer:
        body: bytes = answer.read()
        return body


def wait_for_address(process: subprocess.Popen[bytes], output: Path) -> str:
    """Return the address that the playbook shows."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        found = ADDRESS.search(output.read_text(encoding="utf-8"))
        if found:
            return found[1]
        time.sleep(0.05)
    raise AssertionError(output.read_text(encoding="utf-8"))


def test_the_port_is_forwarded_until_ctrl_c_and_then_nothing_is_left(api: Api, tmp_path: Path) -> None:
    environment = environment_of(api, "connect", {})
    environment["PATH"] = f"{tmp_path}{os.pathsep}{environment['PATH']}"
    output = tmp_path / "output"
    with FakeGateway() as gateway, output.open("wb") as log:
        given = ("-e", "connect_local_port=0", "-e", f"inference_stack_gateway_port={gateway.port}")
        process = subprocess.Popen(
            [ANSIBLE_PLAYBOOK, "playbooks/connect.yml", *given],
            cwd=names.REPOSITORY_ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            address = wait_for_address(process, output)
            assert get(address) == b"here"
            assert get(address) == b"here"
        finally:
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(timeout=60) == INTERRUPTED
    assert api.client("ssm").describe_sessions(State="Active")["Sessions"] == []
    with pytest.raises(OSError, match="refused"):
        get(address)

    # The same account, for one playbook more.
    (instance,) = api.client("ec2").describe_instances()["Reservations"][0]["Instances"]
    api.client("ec2").stop_instances(InstanceIds=[instance["InstanceId"]])
    refused = play(api, "connect")
    assert refused.returncode != 0
    assert re.search(r"is stopp(ed|ing)\. Start it with playbooks/start\.yml", refused.output), refused.output
