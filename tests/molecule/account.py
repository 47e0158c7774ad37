"""A fake AWS account for a scenario: `python -m tests.molecule.account start FOLDER`, and `stop FOLDER`.

The local region's API without a registry and without an instance container: for a role that acts on the account alone.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.local_region.state import RegionState

READY_TIMEOUT_SECONDS = 60


def serve(folder: Path) -> None:
    """Serve until SIGTERM.

    Args:
        folder: Gets the address in the file `endpoint` and the process's id in `pid`.
    """
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"  # hundreds
    # Loading moto takes seconds that `stop` need not spend.
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    from tests.fakes.account import served

    state = RegionState("scenario", root=folder)
    state.prepare()
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    with served(state, DomainDispatcherApplication(create_backend_app)) as api:
        (folder / "pid").write_text(str(os.getpid()), encoding="ascii")
        (folder / "endpoint.new").write_text(api.account.endpoint, encoding="ascii")
        (folder / "endpoint.new").rename(folder / "endpoint")
        over.wait()


def stop(folder: Path) -> None:
    """End the process that serves; no error when there is none."""
    endpoint, process = folder / "endpoint", folder / "pid"
    if not process.exists():
        return
    pid = int(process.read_text(encoding="ascii"))
    if b"tests.molecule.account" in _command_of(pid):
        os.kill(pid, signal.SIGTERM)
    endpoint.unlink(missing_ok=True)
    process.unlink()


def _command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""


def start(folder: Path) -> None:
    """Let a process of its own serve, and wait until it does.

    Raises:
        TimeoutError: It does not in time.
    """
    stop(folder)
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.molecule.account", "serve", str(folder)]
    with (folder / "log").open("wb") as log:
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    deadline = time.monotonic() + READY_TIMEOUT_SECONDS
    while not (folder / "endpoint").exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no account after {READY_TIMEOUT_SECONDS} s; see {folder / 'log'}")
        time.sleep(0.1)


def main() -> int:
    """Run one action."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["start", "serve", "stop"])
    parser.add_argument("folder", type=Path, help="where its state, its address and its log lie")
    arguments = parser.parse_args()
    {"start": start, "serve": serve, "stop": stop}[arguments.action](arguments.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
