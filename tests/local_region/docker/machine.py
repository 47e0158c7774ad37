"""The container that stands for an EC2 instance, as the API server sees it: is it there, start it, stop it."""

from __future__ import annotations

import subprocess
import time

STOP_TIMEOUT_SECONDS = 300  # EC2 gives an operating system minutes to shut down
AGENT_UNIT = "fake-ssm-agent.service"


class MachineError(RuntimeError):
    """Docker could not do with the instance container what was asked; the message holds Docker's own words."""


class Machine:
    """One instance container."""

    def __init__(self, docker: str, container: str) -> None:
        """Know the container; start nothing.

        Args:
            docker: Path of the docker client.
            container: The container's name.
        """
        self._docker = docker
        self.container = container
        self._agent_answer: tuple[float, bool] = (0.0, False)

    def is_running(self) -> bool:
        """Return whether the container runs (its systemd may still be booting)."""
        result = self._run("container", "inspect", "--format", "{{.State.Running}}", self.container)
        return result.returncode == 0 and result.stdout.strip() == "true"

    def agent_is_active(self, max_age: float = 0.0) -> bool:
        """Return whether the instance has booted so far that sessions can be opened.

        Args:
            max_age: Seconds that an earlier answer may be old.
        """
        asked, answer = self._agent_answer
        if answer and time.monotonic() - asked < max_age:
            return True
        active = self._run("exec", self.container, "systemctl", "is-active", "--quiet", AGENT_UNIT).returncode == 0
        self._agent_answer = (time.monotonic(), active)
        return active

    def agent_start(self) -> str | None:
        """Return a name of the agent's start, another one after each boot; None while it does not run."""
        properties = ("--property", "ActiveState", "--property", "ActiveEnterTimestamp")
        result = self._run("exec", self.container, "systemctl", "show", AGENT_UNIT, *properties)
        return result.stdout.strip() if "ActiveState=active" in result.stdout else None

    def end_session(self, session: str) -> None:
        """End a session and what it runs, as AWS's agent does; no error if it has ended by itself."""
        self._run("exec", self.container, "/usr/local/sbin/fake-ssm-session", "--end", session)

    def start(self) -> None:
        """Start the container.

        Raises:
            MachineError: Docker cannot.
        """
        self._must("start", self.container)

    def stop(self) -> None:
        """Let systemd stop all units in order, and wait until the container is down.

        Raises:
            MachineError: Docker cannot.
        """
        self._agent_answer = (0.0, False)
        self._must("stop", "--time", str(STOP_TIMEOUT_SECONDS), self.container)

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([self._docker, *arguments], capture_output=True, text=True, check=False)

    def _must(self, *arguments: str) -> None:
        result = self._run(*arguments)
        if result.returncode != 0:
            raise MachineError(f"docker {arguments[0]} {self.container}: {result.stderr.strip()}")
