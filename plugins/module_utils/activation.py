"""Bring a release up on the instance: one activation at a time, by compose, and in step with the systemd unit."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.slm.serving.plugins.module_utils.compose import up
from ansible_collections.slm.serving.plugins.module_utils.containers import containers
from ansible_collections.slm.serving.plugins.module_utils.process import StackError, journal, run
from ansible_collections.slm.serving.plugins.module_utils.releases import Releases

RUN = Path("/run/slm-ft-serving")
LOCK = RUN / "activation.lock"
# While it is there, the unit starts the release that `current` names; without it, as at boot, only the verified one.
ACTIVATING = RUN / "activating"
# In memory, so that a full disk keeps no release from coming back; copied to the release's logs.
COMPOSE_LOG = RUN / "compose.log"
# Seconds added to the stack's timeout: systemd's 60 (TimeoutStartSec) and 30 of slack.
UNIT_MARGIN = 90


@contextlib.contextmanager
def activation_lock(take_over: bool, patience: float) -> Iterator[None]:
    """Hold the lock of whoever brings containers up, so that a repeated or a left-over run cannot interfere.

    Args:
        take_over: end the holder first; it belongs to a deployment that has lost its session.
        patience: seconds to wait for the lock.

    Raises:
        StackError: the lock is still held then.
    """
    LOCK.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    with LOCK.open("a+", encoding="utf-8") as stream:
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                stream.seek(0)
                holder = stream.read().strip()
                if take_over and holder.isdigit():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(holder), signal.SIGTERM)
                if time.monotonic() > deadline:
                    raise StackError(f"another activation (process {holder}) is under way on the instance") from None
                time.sleep(1)
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield


class Stack:
    """The containers and the unit of the releases below one root."""

    def __init__(self, releases: Releases, project: str, unit: str, timeout: float) -> None:
        """Name the stack.

        Args:
            releases: its releases.
            project: of docker compose.
            unit: of systemd.
            timeout: seconds until containers must be healthy.
        """
        self.releases, self.project, self.unit, self.timeout = releases, project, unit, timeout

    def compose(self, *arguments: str) -> list[str]:
        """Return a docker compose command for the current release; the systemd unit runs the same."""
        file = str(self.releases.compose_file)
        return ["docker", "compose", "--project-name", self.project, "--file", file, *arguments]

    def is_serving(self) -> bool:
        """Say whether the unit is active and all the current release's containers run."""
        active = run(["systemctl", "is-active", "--quiet", self.unit]).returncode == 0
        present = containers(self.project)
        services = run(self.compose("config", "--services")).stdout.split()
        return (
            active
            and bool(services)
            and all(name in present and present[name]["status"] == "running" for name in services)
        )

    def bring_up(self, stamp: str) -> None:
        """Point `current` to the release, run compose for it and start the unit.

        Only services whose configuration changed are made anew.

        Raises:
            StackError: the containers do not become healthy, or the unit does not start.
        """
        self._wait_for_systemd()
        self.releases.point("current", stamp)
        limit = str(int(self.timeout))
        try:
            up(
                self.compose("up", "--detach", "--wait", "--wait-timeout", limit, "--remove-orphans"),
                self.project,
                self.timeout + 15,
                COMPOSE_LOG,
            )
        finally:
            self._keep_compose_log(stamp)
        self._start_unit()

    def _wait_for_systemd(self) -> None:
        """Wait while systemd itself is starting or stopping the stack, as at boot: two composes would collide."""
        deadline = time.monotonic() + self.timeout + UNIT_MARGIN
        while run(["systemctl", "is-active", self.unit]).stdout.strip() in {"activating", "deactivating"}:
            if time.monotonic() > deadline:
                raise StackError(f"systemd has been at {self.unit} for too long: {journal(self.unit)}")
            time.sleep(1)

    def _keep_compose_log(self, stamp: str) -> None:
        with contextlib.suppress(OSError):
            directory = self.releases.path(stamp) / "logs"
            directory.mkdir(exist_ok=True)
            with (directory / "compose.log").open("a", encoding="utf-8") as stream:
                stream.write(COMPOSE_LOG.read_text(encoding="utf-8", errors="replace"))

    def _start_unit(self) -> None:
        ACTIVATING.touch()
        try:
            started = run(["systemctl", "start", self.unit], timeout=self.timeout + UNIT_MARGIN)
        finally:
            ACTIVATING.unlink(missing_ok=True)
        if started.returncode != 0:
            raise StackError(f"the containers run, but {self.unit} does not start: {journal(self.unit)}")
