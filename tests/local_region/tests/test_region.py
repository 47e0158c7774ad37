"""A whole region, with a Docker Engine: made, used through SSM as a playbook does, broken, repaired, removed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest

from tests.local_region import names
from tests.local_region.aws_api import process as api_process
from tests.local_region.docker import engine as docker_engine
from tests.local_region.errors import RegionError
from tests.local_region.region import LocalRegion
from tests.local_region.state import Ports
from tests.local_region.steps import Steps

pytestmark = pytest.mark.region

AGAIN_SECONDS = 10.0
ECR_LOGIN = (
    "aws ecr get-login-password | docker login --username AWS --password-stdin "
    f"{names.ECR_HOST} 2>/dev/null && docker pull --quiet {names.ECR_HOST}/{names.GATEWAY_REPOSITORY}"
)


class Probe:
    """The region under test, the lines that its commands reported, and its instance's id."""

    def __init__(self, model: Path) -> None:
        self.lines: list[str] = []
        # The gateway's image alone is pushed: the engine's is large, and the playbooks' own tests push it.
        self.region = LocalRegion(
            names.of_this_copy("probe"), model=model, pushed=("gateway",), steps=Steps(self.lines.append)
        )
        self.instance = ""

    def up(self) -> float:
        """Run `up` and return the seconds that it took."""
        began = time.monotonic()
        self.lines.clear()
        self.instance = self.region.up()
        return time.monotonic() - began


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probe]:
    """Make a region of its own, with a made-up model; remove it at the end."""
    model = tmp_path_factory.mktemp("model")
    for part in ("base", "adapter"):
        (model / part).mkdir()
        (model / part / "config.json").write_text("{}", encoding="ascii")
    probe = Probe(model)
    probe.region.down()
    try:
        probe.up()
        yield probe
    finally:
        probe.region.down()
        assert _left_over() == ""
        assert not probe.region.state.folder.exists()


def _left_over() -> str:
    """Return what of the region is still in Docker; empty when the Docker Engine was stopped with it."""
    try:
        engine = docker_engine.connect()
    except docker_engine.DockerUnavailable:
        return ""
    label_filter = ("--quiet", "--filter", f"label={names.REGION_LABEL}=probe")
    return "".join(
        engine.run(*kind, *label_filter).stdout for kind in (("ps", "--all"), ("volume", "ls"), ("network", "ls"))
    )


def _wait_for(what: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"did not happen within {seconds} s"
        time.sleep(0.2)


def _is_connected(probe: Probe) -> bool:
    return bool(probe.region.client("ssm").get_connection_status(Target=probe.instance)["Status"] == "connected")


def _last_ping(probe: Probe) -> Any:
    """Return when the agent last reported; only an instance that Systems Manager calls Online is listed."""
    filters = [{"Key": "PingStatus", "Values": ["Online"]}]
    listed = probe.region.client("ssm").describe_instance_information(Filters=filters)["InstanceInformationList"]
    return listed[0]["LastPingDateTime"]


def _state(probe: Probe) -> str:
    described = probe.region.client("ec2").describe_instances(InstanceIds=[probe.instance])
    return str(described["Reservations"][0]["Instances"][0]["State"]["Name"])


def _ansible(probe: Probe, module: str, arguments: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run one module on the instance through the connection plugin of production."""
    variables: dict[str, Any] = {
        "ansible_connection": "slm.serving.aws_ssm",
        "ansible_aws_ssm_bucket_name": names.TRANSFER_BUCKET,
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_remote_tmp": "/tmp/.ansible-test",
    }
    command = [
        "ansible",
        "all",
        "--inventory",
        f"{probe.instance},",
        "--module-name",
        module,
        "--args",
        arguments,
        "--become",
    ]
    command += [part for key, value in variables.items() for part in ("--extra-vars", f"{key}={value}")]
    empty = probe.region.state.folder / "ansible.cfg"
    empty.touch()
    collections = str(names.REPOSITORY_ROOT / "collections")
    environment = probe.region.env() | {
        "ANSIBLE_CONFIG": str(empty),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_COLLECTIONS_PATH": collections,
    }
    return subprocess.run(
        [*command, *options], env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_up_again_is_quick_and_keeps_the_instance(probe: Probe) -> None:
    before = probe.instance
    assert probe.up() < AGAIN_SECONDS
    assert probe.instance == before
    assert probe.region.status()["region"] == "running"
    assert any(line.startswith(f"Region {probe.region.name} is up") for line in probe.lines)


def test_taken_port_is_reported_before_anything_is_made() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        taken = held.getsockname()[1]
        lines: list[str] = []
        region = LocalRegion(
            names.of_this_copy("probe-taken"),
            ports=Ports(api=1, registry=2, gateway=taken),
            steps=Steps(lines.append),
        )
        try:
            with pytest.raises(
                RegionError, match=rf"Port {taken} on 127.0.0.1, needed for the gateway, .*--gateway-port"
            ):
                region.up()
        finally:
            region.down()
    assert [line for line in lines if line.startswith("==>")][:2] == ["==> Docker Engine", "==> AWS API"]


def test_the_instance_has_booted_whole_with_an_engine_of_its_own(probe: Probe) -> None:
    _wait_for(lambda: probe.region.exec("systemctl is-system-running", check=False).stdout.strip() == "running")
    assert probe.region.exec("docker info --format '{{.Driver}}'").stdout.strip() == "overlay2"
    assert probe.region.exec("docker compose version --short").stdout.startswith("2.")


def test_a_command_and_a_file_reach_the_instance_through_ssm_and_the_output_is_recorded(
    probe: Probe, tmp_path: Path
) -> None:
    sessions = probe.region.session_count()
    (tmp_path / "sent").write_text("sent through S3\n", encoding="ascii")
    copied = _ansible(probe, "ansible.builtin.copy", f"src={tmp_path / 'sent'} dest=/root/received mode=0600")
    assert copied.returncode == 0, copied.stdout
    assert "CHANGED" in copied.stdout
    again = _ansible(probe, "ansible.builtin.copy", f"src={tmp_path / 'sent'} dest=/root/received mode=0600")
    assert "SUCCESS" in again.stdout, again.stdout
    read = _ansible(probe, "ansible.builtin.raw", "cat /root/received")
    assert "sent through S3" in read.stdout
    assert probe.region.session_count() == sessions + 3
    assert "sent through S3" in probe.region.session_logs()[-1].read_text(encoding="utf-8")
    assert probe.region.client("ssm").describe_sessions(State="Active")["Sessions"] == []


def test_root_and_units_have_the_role_of_the_instance_without_any_configuration(probe: Probe) -> None:
    for command in (
        f"sudo aws secretsmanager get-secret-value --secret-id {names.SECRET_GATEWAY_API_KEYS} --query SecretString",
        f"systemd-run --quiet --pipe --wait aws ssm get-parameter --name {names.PARAMETER_PREFIX}/aws/region",
        "sudo --user ssm-user sudo aws ssm get-parameters-by-path --path /slm-ft-serving --recursive",
    ):
        assert probe.region.exec(f"env --ignore-environment PATH=$PATH {command}").returncode == 0
    last = [line for line in probe.region.api_log().splitlines() if "GetSecretValue" in line][-1]
    assert " instance secretsmanager GetSecretValue" in last


def test_an_image_is_pulled_by_the_digest_that_ecr_names(probe: Probe) -> None:
    described = probe.region.client("ecr").describe_images(repositoryName=names.GATEWAY_REPOSITORY)["imageDetails"]
    pulled = probe.region.exec(f"{ECR_LOGIN}@{described[0]['imageDigest']}")
    assert pulled.stdout.splitlines()[-1].endswith(described[0]["imageDigest"])


def test_a_stopped_registry_refuses_and_comes_back(probe: Probe) -> None:
    tag = probe.region.client("ssm").get_parameter(Name="/slm-ft-serving/images/gateway-tag")["Parameter"]["Value"]
    probe.region.stop_registry()
    try:
        assert probe.region.exec(f"{ECR_LOGIN}:{tag}", check=False).returncode != 0
    finally:
        probe.region.start_registry()
    assert probe.region.exec(f"{ECR_LOGIN}:{tag}").returncode == 0


def test_stop_ends_units_in_order_and_start_brings_data_and_sessions_back(probe: Probe) -> None:
    probe.region.exec(
        "systemd-run --quiet --unit orderly --remain-after-exit "
        "--property ExecStop='/bin/sh -c \"sleep 1; echo stopped > /var/lib/slm-ft-serving/stopped\"' /bin/true"
        "; echo kept > /opt/slm-ft-serving/kept; echo kept > /root/kept"
    )
    ec2 = probe.region.client("ec2")
    ec2.stop_instances(InstanceIds=[probe.instance])
    assert _state(probe) == "stopping"
    assert not _is_connected(probe)
    _wait_for(lambda: _state(probe) == "stopped")
    with pytest.raises(botocore.exceptions.ClientError, match="TargetNotConnected"):
        probe.region.client("ssm").start_session(Target=probe.instance)
    before = _last_ping(probe)
    ec2.start_instances(InstanceIds=[probe.instance])
    _wait_for(lambda: _is_connected(probe))
    assert _state(probe) == "running"
    assert _last_ping(probe) > before
    kept = probe.region.exec("cat /var/lib/slm-ft-serving/stopped /opt/slm-ft-serving/kept /root/kept").stdout
    assert kept == "stopped\nkept\nkept\n"


def test_a_session_that_drops_is_opened_again_and_only_drops_without_end_make_the_host_unreachable(
    probe: Probe,
) -> None:
    """amazon.aws opens another session and repeats the command."""
    before = probe.region.session_count()
    probe.region.faults.switch_on("session-drop", f"{before + 1} 0")
    assert "here" in _ansible(probe, "ansible.builtin.raw", "echo here").stdout
    assert probe.region.session_count() == before + 2
    probe.region.faults.switch_on("session-drop", "0 0")
    dropped = _ansible(probe, "ansible.builtin.raw", "echo here", "--extra-vars", "ansible_aws_ssm_retries=0")
    assert "UNREACHABLE!" in dropped.stdout, dropped.stdout
    probe.region.faults.switch_off()
    assert "here" in _ansible(probe, "ansible.builtin.raw", "echo here").stdout


def test_a_terminated_session_takes_its_command_with_it(probe: Probe) -> None:
    """amazon.aws repeats a command in a new session when its time is over: the first must not run on beside it."""
    late = _ansible(probe, "ansible.builtin.raw", "sleep 4321", "--extra-vars", "ansible_aws_ssm_timeout=2")
    assert late.returncode != 0
    _wait_for(lambda: probe.region.exec("pgrep --full --exact 'sleep 4321'", check=False).stdout == "", seconds=10)


def test_up_repairs_what_a_restart_of_the_machine_leaves(probe: Probe) -> None:
    """All memory lost, a process id file that names nobody, containers stopped: then everything as before."""
    before = probe.instance
    manifest = probe.region.client("ecr").describe_images(repositoryName=names.GATEWAY_REPOSITORY)["imageDetails"][0]
    key = probe.region.state.gateway_api_key.read_text(encoding="ascii")
    process = int(probe.region.state.api_pid.read_text(encoding="ascii"))
    os.kill(process, signal.SIGKILL)
    engine = docker_engine.connect()
    engine.run("kill", names.registry_container(probe.region.name), probe.region.container)
    assert probe.region.status()["region"] == "stopped"
    probe.up()
    assert probe.instance == before
    assert probe.region.status()["region"] == "running"
    after = probe.region.client("ecr").describe_images(repositoryName=names.GATEWAY_REPOSITORY)["imageDetails"][0]
    assert after["imageDigest"] == manifest["imageDigest"]
    assert probe.region.state.gateway_api_key.read_text(encoding="ascii") == key
    assert probe.region.exec(f"{ECR_LOGIN}@{after['imageDigest']}").returncode == 0


def test_a_process_id_file_of_another_process_is_no_reason_to_end_it(probe: Probe) -> None:
    with subprocess.Popen(["sleep", "60"]) as bystander:
        try:
            probe.region.state.api_pid.write_text(f"{bystander.pid}\n", encoding="ascii")
            probe.up()
            assert bystander.poll() is None
            assert api_process.stop(probe.region.state), "the server that answers is found without its file"
            assert not api_process.exists(probe.region.state)
            assert bystander.poll() is None
        finally:
            bystander.terminate()
    probe.up()
