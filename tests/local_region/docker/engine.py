"""Find, and where it is ours to do so install and start, the Docker Engine that the local region runs on.

The command-line client is used, not the Python SDK: the SDK cannot drive BuildKit, whose secret mounts the builds need.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.local_region.errors import RegionError

Progress = Callable[[str], None]

STATE_FILE = "docker-engine.json"
START_TIMEOUT_SECONDS = 60
STOP_TIMEOUT_SECONDS = 60
# For what runs; a build asks for more.
REQUIRED_DISK_GIB = 2
SYSTEMD_RUNTIME = Path("/run/systemd/system")
DAEMON_LOG = "dockerd.log"
DAEMON_PID_FILE = Path("/run/docker.pid")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Looked at besides PATH: a client without BuildKit may come first on PATH.
PACKAGED_CLIENT = Path("/usr/bin/docker")


class DockerUnavailable(RegionError):  # noqa: N818 - it says what is the matter
    """No usable Docker Engine; the message says what to do."""


@dataclass(frozen=True)
class DockerEngine:
    """A Docker Engine that answers.

    Attributes:
        client: Path of a command-line client that can build with BuildKit.
        version: The daemon's.
        started_by_us: Whether `ensure` started the daemon, now or in an earlier run that was not stopped since.
    """

    client: str
    version: str
    started_by_us: bool

    def run(
        self, *arguments: str, check: bool = True, timeout: float | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `docker ARGUMENTS` and return the finished process, output captured as text.

        Args:
            arguments: The docker command and its arguments.
            check: Whether a failure is an error.
            timeout: Seconds.

        Raises:
            DockerCommandError: It failed and `check` is set; the message holds the client's own words.
        """
        command = [self.client, *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)
        if check and result.returncode != 0:
            raise DockerCommandError(arguments, result.returncode, result.stderr or result.stdout)
        return result


class DockerCommandError(RegionError):
    """A docker command failed; the message holds the command's first words and the client's error."""

    def __init__(self, arguments: Sequence[str], returncode: int, output: str) -> None:
        """Make the message.

        Args:
            arguments: The docker command and its arguments.
            returncode: Its exit code.
            output: What the client printed.
        """
        super().__init__(f"docker {' '.join(arguments[:3])} failed (exit {returncode}): {output.strip()}")
        self.returncode = returncode


def ensure(progress: Progress, state_dir: Path, *, required_gib: float = REQUIRED_DISK_GIB) -> DockerEngine:
    """Return a Docker Engine that answers: the one already there, else one installed and started here.

    Installs only on Debian and Ubuntu, only as root.

    Args:
        progress: Called with one line for each step done.
        state_dir: Where it is noted that the daemon is ours, so that `stop_if_ours` can stop it.
        required_gib: Free space required under the Docker root, in GiB; 0 turns the check off.

    Raises:
        DockerUnavailable: There is none, and none can be started; the message says what to do.
    """
    client = find_client()
    state = _answer(client) if client else Answer(None, "no docker command on PATH")
    ours = _is_ours(state_dir)
    if state.version is None:
        _refuse_unless_ours_to_start(state)
        client = _install_and_start(progress, state_dir)
        state = _wait_until_it_answers(client, progress, state_dir)
        ours = True
    elif client is not None and not has_buildkit(client):
        client = _install_buildkit(progress)
    assert client is not None
    assert state.version is not None
    engine = DockerEngine(client=client, version=state.version, started_by_us=ours)
    check_disk(engine, required_gib)
    return engine


def connect() -> DockerEngine:
    """Return the Docker Engine that already answers; start nothing.

    Raises:
        DockerUnavailable: None does.
    """
    client = find_client()
    state = _answer(client) if client else Answer(None, "no docker command on PATH")
    if client is None or state.version is None:
        raise DockerUnavailable(f"no Docker Engine answers: {state.error}")
    return DockerEngine(client=client, version=state.version, started_by_us=False)


def stop_if_ours(progress: Progress, state_dir: Path) -> bool:
    """Stop the daemon when `ensure` started it and no container runs on it any more; return whether it was stopped."""
    if not _is_ours(state_dir):
        return False
    client = find_client()
    if client is not None:
        running = subprocess.run([client, "ps", "-q"], capture_output=True, text=True, check=False)
        if running.returncode == 0 and running.stdout.strip():
            progress("Docker Engine left running: containers that are not ours run on it")
            return False
    _stop_daemon(state_dir)
    (state_dir / STATE_FILE).unlink()
    progress("Docker Engine stopped")
    return True


@dataclass(frozen=True)
class Answer:
    """What a client got from its daemon: a version, or an error in the client's words."""

    version: str | None
    error: str


def _answer(client: str) -> Answer:
    try:
        result = subprocess.run(
            [client, "version", "--format", "{{.Server.Version}}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
    except subprocess.TimeoutExpired:
        return Answer(None, "the daemon did not answer within 20 s")
    version = result.stdout.strip()
    if result.returncode == 0 and version:
        return Answer(version, "")
    return Answer(None, result.stderr.strip() or f"docker version gave exit {result.returncode}")


def find_client() -> str | None:
    """Return the path of a docker client, one that can build with BuildKit before one that cannot; None without any."""
    on_path = shutil.which("docker")
    candidates = [c for c in (on_path, str(PACKAGED_CLIENT)) if c and os.access(c, os.X_OK)]
    return next((c for c in candidates if has_buildkit(c)), candidates[0] if candidates else None)


def has_buildkit(client: str) -> bool:
    """Return whether a client can build with BuildKit: through the buildx plugin, or built in (19.03 to 22)."""
    if subprocess.run([client, "buildx", "version"], capture_output=True, check=False).returncode == 0:
        return True
    result = subprocess.run(
        [client, "version", "--format", "{{.Client.Version}}"], capture_output=True, text=True, check=False
    )
    major = result.stdout.strip().split(".")[0]
    return major.isdigit() and 19 <= int(major) <= 22


def _refuse_unless_ours_to_start(state: Answer) -> None:
    if "permission denied" in state.error.lower():
        raise DockerUnavailable(
            "The Docker Engine runs, but this user may not use it. Add the user to the docker group "
            '(`sudo usermod -aG docker "$USER"`, then log in again), or run the command as root.'
        )
    if os.environ.get("DOCKER_HOST"):
        raise DockerUnavailable(
            f"DOCKER_HOST is {os.environ['DOCKER_HOST']}, and no Docker Engine answers there: {state.error}. "
            "Start it, or unset DOCKER_HOST."
        )
    if platform.system() != "Linux":
        raise DockerUnavailable(
            "No Docker Engine answers. Install and start Docker Desktop, then run the command again."
        )
    if not is_debian_like():
        raise DockerUnavailable(
            "No Docker Engine answers. Install Docker Engine with its buildx plugin (docs.docker.com/engine/install), "
            "start it (`sudo systemctl start docker`), then run the command again."
        )
    if os.geteuid() != 0:
        raise DockerUnavailable(
            "No Docker Engine answers, and installing one needs root. Run "
            "`sudo apt-get install docker.io debootstrap && sudo systemctl start docker && "
            'sudo usermod -aG docker "$USER"`, '
            "log in again, then run the command again."
        )


def is_debian_like(os_release: Path = Path("/etc/os-release")) -> bool:
    """Return whether this machine is Debian, Ubuntu or made from one of them, by os-release."""
    return bool({"debian", "ubuntu"} & set(read_os_release(os_release).get("ID_LIKE_ALL", "").split()))


def read_os_release(path: Path = Path("/etc/os-release")) -> Mapping[str, str]:
    """Return os-release as a mapping, with ID and ID_LIKE joined under ID_LIKE_ALL; empty where there is no file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    values = {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines) if value}
    values["ID_LIKE_ALL"] = f"{values.get('ID', '')} {values.get('ID_LIKE', '')}"
    return values


def apt_install(packages: Sequence[str], progress: Progress) -> None:
    """Install Debian packages without what they recommend.

    Raises:
        DockerUnavailable: apt failed; the message holds its last lines.
    """
    began = time.monotonic()
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # Its failure is not ours: one broken third-party source must not stop what the others can give.
    subprocess.run(["apt-get", "update", "-q"], env=environment, capture_output=True, check=False)
    result = subprocess.run(
        ["apt-get", "install", "-q", "-y", "--no-install-recommends", *packages],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise DockerUnavailable(f"apt-get install {' '.join(packages)} failed:\n{_tail(result.stdout + result.stderr)}")
    progress(f"installed {', '.join(packages)} ({time.monotonic() - began:.0f} s)")


def _install_and_start(progress: Progress, state_dir: Path) -> str:
    if shutil.which("dockerd") is None:
        apt_install(["docker.io"], progress)
    client = find_client()
    if client is None or not has_buildkit(client):
        client = _install_buildkit(progress)
    state_dir.mkdir(parents=True, exist_ok=True)
    _start_daemon(state_dir)
    return client


def _start_daemon(state_dir: Path) -> None:
    """Start dockerd: by systemd where it runs, else as a background process of our own that outlives this one.

    Debian's init script is no third way: it raises limits first, and gives up where root lacks CAP_SYS_RESOURCE.
    """
    _remember(state_dir)
    if SYSTEMD_RUNTIME.is_dir():
        _must(["systemctl", "start", "docker.service"], "start the Docker Engine", state_dir)
        return
    with (state_dir / DAEMON_LOG).open("ab") as log:
        # setsid --fork: the daemon is nobody's child, so nobody has to wait for it.
        command = ["setsid", "--fork", "dockerd", "--pidfile", str(DAEMON_PID_FILE)]
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", check=True)


def _stop_daemon(state_dir: Path) -> None:
    if SYSTEMD_RUNTIME.is_dir():
        # The socket unit too: it would start the service again at the next client's call.
        _must(["systemctl", "stop", "docker.socket", "docker.service"], "stop the Docker Engine", state_dir)
        return
    pid = _daemon_pid()
    if pid is None:
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    while _is_dockerd(pid):
        if time.monotonic() > deadline:
            raise DockerUnavailable(f"dockerd (process {pid}) did not stop within {STOP_TIMEOUT_SECONDS} s.")
        time.sleep(0.2)


def _remember(state_dir: Path) -> None:
    (state_dir / STATE_FILE).write_text(json.dumps({"boot_id": _boot_id()}), encoding="utf-8")


def _is_ours(state_dir: Path) -> bool:
    """Return whether we started the daemon since the machine's last boot: after another boot it is not ours to stop."""
    try:
        state = json.loads((state_dir / STATE_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    return bool(state.get("boot_id") == _boot_id())


def _boot_id() -> str:
    return BOOT_ID.read_text(encoding="utf-8").strip()


def _daemon_pid() -> int | None:
    try:
        pid = int(DAEMON_PID_FILE.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return pid if _is_dockerd(pid) else None


def _is_dockerd(pid: int) -> bool:
    """Return whether a process is a running dockerd; one that ended and waits for its parent is not."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return "Name:\tdockerd\n" in status and "State:\tZ" not in status


def _install_buildkit(progress: Progress) -> str:
    """Return a client that builds with BuildKit, installing Debian's where there is none.

    Raises:
        DockerUnavailable: There is none, and none can be installed.
    """
    missing = (
        "The docker client here cannot build with BuildKit. Install the buildx plugin (docs.docker.com/go/buildx)."
    )
    if not (is_debian_like() and os.geteuid() == 0):
        raise DockerUnavailable(missing)
    # Bookworm's own client has BuildKit built in; later ones, and Ubuntu's, come with the plugin as a package.
    available = subprocess.run(["apt-cache", "show", "docker-buildx"], capture_output=True, check=False).returncode == 0
    apt_install(["docker-buildx"] if available else ["docker.io"], progress)
    client = find_client()
    if client is None or not has_buildkit(client):
        raise DockerUnavailable(missing)
    return client


def _wait_until_it_answers(client: str, progress: Progress, state_dir: Path) -> Answer:
    began = time.monotonic()
    while time.monotonic() - began < START_TIMEOUT_SECONDS:
        state = _answer(client)
        if state.version is not None:
            progress(f"Docker Engine {state.version} started ({time.monotonic() - began:.0f} s)")
            return state
        time.sleep(0.5)
    raise DockerUnavailable(
        f"The Docker Engine was started but does not answer after {START_TIMEOUT_SECONDS} s. "
        f"The end of its log:\n{_daemon_log(state_dir)}"
    )


def _daemon_log(state_dir: Path) -> str:
    if SYSTEMD_RUNTIME.is_dir():
        command = ["journalctl", "-u", "docker.service", "-n", "20", "--no-pager", "-o", "cat"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    log = state_dir / DAEMON_LOG
    return _tail(log.read_text(encoding="utf-8", errors="replace")) if log.exists() else "(no log found)"


def _tail(text: str, lines: int = 20) -> str:
    return "\n".join(text.strip().splitlines()[-lines:])


def _must(command: Sequence[str], purpose: str, state_dir: Path) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        output = _tail(result.stdout + result.stderr)
        raise DockerUnavailable(
            f"Could not {purpose} (`{' '.join(command)}`): {output}\nThe end of its log:\n{_daemon_log(state_dir)}"
        )


def check_disk(engine: DockerEngine, required_gib: float) -> None:
    """Check that the Docker root, where it is on this machine, has room.

    Args:
        engine: Whose root it is.
        required_gib: Free space required, in GiB.

    Raises:
        DockerUnavailable: It has less.
    """
    root = Path(engine.run("info", "--format", "{{.DockerRootDir}}").stdout.strip())
    if required_gib <= 0 or os.environ.get("DOCKER_HOST", "unix:").split(":")[0] != "unix" or not root.is_dir():
        return  # Docker Desktop and remote daemons keep their root elsewhere: not ours to see.
    free_gib = shutil.disk_usage(root).free / 2**30
    if free_gib < required_gib:
        raise DockerUnavailable(
            f"{root} has {free_gib:.1f} GiB free, {required_gib:g} GiB are needed. Free some space "
            "(`docker system prune` removes what no container uses), then run the command again."
        )
