"""The Docker Engine: found, refused with a reason, remembered as ours. Clients are fake; no daemon is touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.local_region.docker import engine as docker_engine
from tests.local_region.docker.engine import DockerEngine, DockerUnavailable

ROOT = 0
USER = 1000


def fake_client(folder: Path, script: str) -> str:
    """Write a fake docker client, a shell script, and return its path."""
    client = folder / "docker"
    client.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    client.chmod(0o755)
    return str(client)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Set up a Debian machine without Docker, with root as its user; return the folder that is PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(docker_engine, "PACKAGED_CLIENT", tmp_path / "no-packaged-client")
    monkeypatch.setattr(docker_engine, "is_debian_like", lambda: True)
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("os.geteuid", lambda: ROOT)
    return tmp_path


def ensure(folder: Path, required_gib: float = 0) -> DockerEngine:
    return docker_engine.ensure(lambda _line: None, folder / "state", required_gib=required_gib)


def test_running_daemon_is_used_and_is_not_ours(machine: Path) -> None:
    client = fake_client(machine, 'case "$1" in version) echo 28.2.2;; buildx) exit 0;; info) echo /nowhere;; esac')
    assert ensure(machine) == DockerEngine(client=client, version="28.2.2", started_by_us=False)
    assert not docker_engine.stop_if_ours(lambda _line: None, machine / "state")


@pytest.mark.parametrize(
    ("client_version", "buildx_exit", "expected"),
    [("20.10.24", 1, True), ("28.2.2", 0, True), ("28.2.2", 1, False), ("18.09.1", 1, False)],
)
def test_buildkit_is_the_plugin_or_built_in(
    machine: Path, client_version: str, buildx_exit: int, expected: bool
) -> None:
    client = fake_client(machine, f'case "$1" in version) echo {client_version};; buildx) exit {buildx_exit};; esac')
    assert docker_engine.has_buildkit(client) is expected


def test_client_with_buildkit_wins_over_the_first_on_path(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_client(machine, 'case "$1" in version) echo 28.2.2;; buildx) exit 1;; esac')
    (machine / "packaged").mkdir()
    packaged = fake_client(machine / "packaged", 'case "$1" in version) echo 20.10.24;; buildx) exit 1;; esac')
    monkeypatch.setattr(docker_engine, "PACKAGED_CLIENT", Path(packaged))
    assert docker_engine.find_client() == packaged


def test_no_permission_names_the_group(machine: Path) -> None:
    fake_client(machine, 'echo "Got permission denied while trying to connect" >&2; exit 1')
    with pytest.raises(DockerUnavailable, match="docker group"):
        ensure(machine)


def test_an_operators_own_daemon_is_never_replaced(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_client(machine, "echo cannot connect >&2; exit 1")
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2376")
    with pytest.raises(DockerUnavailable, match=r"DOCKER_HOST is tcp://192\.0\.2\.1:2376.*cannot connect"):
        ensure(machine)


def test_other_systems_are_told_what_to_install(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_client(machine, "echo cannot connect >&2; exit 1")
    monkeypatch.setattr("os.geteuid", lambda: USER)
    with pytest.raises(DockerUnavailable, match=r"sudo apt-get install docker\.io"):
        ensure(machine)
    monkeypatch.setattr(docker_engine, "is_debian_like", lambda: False)
    with pytest.raises(DockerUnavailable, match="Install Docker Engine"):
        ensure(machine)
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    with pytest.raises(DockerUnavailable, match="Docker Desktop"):
        ensure(machine)


def test_a_daemon_that_does_not_start_shows_its_log(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_client(machine, 'case "$1" in buildx) exit 0;; *) echo cannot connect >&2; exit 1;; esac')
    dockerd = machine / "dockerd"
    dockerd.write_text("#!/bin/sh\necho 'failed to start: no such storage driver' >&2\nexit 1\n", encoding="utf-8")
    dockerd.chmod(0o755)
    monkeypatch.setattr(docker_engine, "SYSTEMD_RUNTIME", machine / "no-systemd")
    monkeypatch.setattr(docker_engine, "DAEMON_PID_FILE", machine / "docker.pid")
    monkeypatch.setattr(docker_engine, "START_TIMEOUT_SECONDS", 1)
    with pytest.raises(DockerUnavailable, match="no such storage driver"):
        ensure(machine)


def test_too_little_disk_is_refused_with_both_figures(machine: Path) -> None:
    client = fake_client(machine, f"echo {machine}")
    engine = DockerEngine(client=client, version="28.2.2", started_by_us=False)
    docker_engine.check_disk(engine, required_gib=0.0001)
    with pytest.raises(DockerUnavailable, match=r"GiB free, 1e\+09 GiB are needed"):
        docker_engine.check_disk(engine, required_gib=1e9)


def test_what_was_started_before_the_last_boot_is_not_ours(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = machine / "state"
    state.mkdir()
    (state / docker_engine.STATE_FILE).write_text(json.dumps({"boot_id": "an earlier one"}), encoding="utf-8")
    stopped: list[Path] = []
    monkeypatch.setattr(docker_engine, "_stop_daemon", stopped.append)
    assert not docker_engine.stop_if_ours(lambda _line: None, state)
    assert stopped == []


def test_ours_is_stopped_unless_containers_still_run_on_it(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = machine / "state"
    state.mkdir()
    boot_id = docker_engine.BOOT_ID.read_text(encoding="utf-8").strip()
    (state / docker_engine.STATE_FILE).write_text(json.dumps({"boot_id": boot_id}), encoding="utf-8")
    stopped: list[Path] = []
    monkeypatch.setattr(docker_engine, "_stop_daemon", stopped.append)
    fake_client(machine, 'case "$1" in ps) echo 0123456789ab;; esac')
    assert not docker_engine.stop_if_ours(lambda _line: None, state)
    fake_client(machine, "exit 0")
    assert docker_engine.stop_if_ours(lambda _line: None, state)
    assert stopped == [state]
    assert not docker_engine.stop_if_ours(lambda _line: None, state), "stopped once, it is not ours any more"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("ID=debian\n", True),
        ('ID="ubuntu"\nID_LIKE=debian\n', True),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', True),
        ("ID=fedora\n", False),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', False),
    ],
)
def test_debian_and_its_kin_are_known(tmp_path: Path, content: str, expected: bool) -> None:
    os_release = tmp_path / "os-release"
    os_release.write_text(content, encoding="utf-8")
    assert docker_engine.is_debian_like(os_release) is expected


def test_a_machine_without_os_release_is_not_debian(tmp_path: Path) -> None:
    assert not docker_engine.is_debian_like(tmp_path / "missing")
