"""Bring a release up on the instance: one activation at a time, by compose, and in step with the systemd unit."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.slm.serving.plugins.module_utils.compose import CRASH_LOOP, crashing, stop, up
from ansible_collections.slm.serving.plugins.module_utils.containers import containers
from ansible_collections.slm.serving.plugins.module_utils.edge import is_outdated
from ansible_collections.slm.serving.plugins.module_utils.engine import hangs
from ansible_collections.slm.serving.plugins.module_utils.mending import (
    mend,
    remove_all,
    unpause,
    wait_for_health_checks,
)
from ansible_collections.slm.serving.plugins.module_utils.process import StackError, journal, last_line, run
from ansible_collections.slm.serving.plugins.module_utils.releases import Releases
from ansible_collections.slm.serving.plugins.module_utils.units import SECRETS, secrets_problem, state

RUN = Path("/run/slm-ft-serving")
LOCK = RUN / "activation.lock"
# While it is there, the unit starts the release that `current` names; without it, as at boot, only the verified one.
ACTIVATING = RUN / "activating"
# In memory, so that a full disk keeps no release from coming back; copied to the release's logs.
COMPOSE_LOG = RUN / "compose.log"
# Without it the gateway cannot start.
KEYS = RUN / "secrets" / "gateway" / "api-keys"
# Seconds added to the stack's timeout: systemd's 60 (TimeoutStartSec) and 30 of slack.
UNIT_MARGIN = 90
# Seconds for a container that runs to show that it works: a short time, which a session lets a module take, and the one
# before it is made anew, in which an engine that is cold may compile for its first token.
SHORT_PATIENCE, PATIENCE = 20, 60
# Longer than the 30 seconds between two health checks and the 10 that one may take.
HEALTH_CHECK_PATIENCE = 60
# For the unit of the secrets, which goes on trying by itself for a while.
SECRETS_TIMEOUT = 300
# States of a container that Docker would go on with.
RUNNING = {"running", "restarting", "paused"}


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
        """Say whether the unit is active and all the current release's containers run and work."""
        if state(self.unit)[0] != "active":
            return False
        present = containers(self.project)
        services = run(self.compose("config", "--services")).stdout.split()
        if not services or any(name not in present or present[name]["status"] != "running" for name in services):
            return False
        return not any(
            is_outdated(present[name])
            or (present[name]["health"] != "starting" and hangs(present[name], SHORT_PATIENCE))
            for name in services
        )

    def bring_up(self, stamp: str, *, anew: bool = False) -> list[str]:
        """Point `current` to the release, put the containers right, run compose for it and start the unit.

        Only services whose configuration changed, or that do not work, are made anew.

        Args:
            stamp: the release.
            anew: make every container anew, whatever its state.

        Returns:
            What had to be put right, in words.

        Raises:
            StackError: the containers do not become healthy, or the unit does not start.
        """
        self._require_secrets()
        self._wait_for_systemd()
        self.releases.point("current", stamp)
        if anew:
            remove_all(self.project)
        mended = mend(self.project, PATIENCE) + wait_for_health_checks(self.project, HEALTH_CHECK_PATIENCE)
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
        return mended

    def start(self) -> list[str] | None:
        """Bring the verified release up where it does not serve, as a boot would.

        Returns:
            What had to be put right, in words; None where it serves already.

        Raises:
            StackError: there is no release, it is damaged, its secrets cannot be read, or it does not come up.
        """
        stamp = self.releases.verified() or self.releases.current()
        if stamp is None:
            raise StackError("there is no release on the instance: run playbooks/deploy.yml")
        damage = self.releases.damage(stamp)
        if damage:
            raise StackError(
                f"the release {stamp} is damaged: {damage}. Run playbooks/deploy.yml, which makes a new one"
            )
        self._require_secrets()
        self._wait_for_systemd()
        if self.releases.current() == stamp and self.is_serving():
            return None
        return self.bring_up(stamp)

    def stop(self) -> bool:
        """Stop the unit, and what runs without it; running requests finish. Say whether there was anything to stop.

        Raises:
            StackError: it does not stop within the stack's timeout.
        """
        running = [name for name, each in containers(self.project).items() if each["status"] in RUNNING]
        if state(self.unit)[0] == "inactive" and not running:
            return False
        unpause(self.project)
        stopped = run(["systemctl", "stop", self.unit], timeout=self.timeout)
        if stopped.returncode != 0:
            raise StackError(f"{self.unit} does not stop: {last_line(stopped.stderr)}")
        # A unit whose start has failed has nothing to stop, whatever runs all the same.
        if any(each["status"] in RUNNING for each in containers(self.project).values()):
            stop(self.project, self.timeout)
        return True

    def _require_secrets(self) -> None:
        """Have the secrets fetched where there are none, before systemd's own tries are ended for this one.

        Raises:
            StackError: they cannot be read.
        """
        if KEYS.is_file():
            return
        run(["systemctl", "start", SECRETS], timeout=SECRETS_TIMEOUT)
        problem = secrets_problem()
        if problem:
            raise StackError(f"the gateway cannot start without its secrets, which cannot be read: {problem}")

    def _wait_for_systemd(self) -> None:
        """Wait while systemd itself is starting or stopping the stack, as at boot: two composes would collide.

        A start that does not succeed is ended instead: whoever waits is about to try it, and says what is wrong.

        Raises:
            StackError: it takes too long.
        """
        before = containers(self.project)
        deadline = time.monotonic() + self.timeout + UNIT_MARGIN
        while True:
            active, finer = state(self.unit)
            if active not in {"activating", "deactivating"}:
                return
            if finer == "auto-restart" or crashing(self.project, before, least=CRASH_LOOP):
                run(["systemctl", "stop", self.unit], timeout=self.timeout)
                return
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
        # Each start counts against the bound of the unit's own tries, and this one is not one of them.
        run(["systemctl", "reset-failed", self.unit])
        ACTIVATING.touch()
        try:
            started = run(["systemctl", "start", self.unit], timeout=self.timeout + UNIT_MARGIN)
        finally:
            ACTIVATING.unlink(missing_ok=True)
        if started.returncode != 0:
            raise StackError(f"the containers run, but {self.unit} does not start: {journal(self.unit)}")
