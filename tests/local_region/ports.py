"""Whether a port is free, and who holds it if not."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from pathlib import Path

from tests.local_region.errors import RegionError

LISTEN_STATE = "0A"  # TCP_LISTEN in /proc/net/tcp


def require_free(port: int, purpose: str, option: str) -> None:
    """Check that nobody listens on a port of 127.0.0.1.

    Args:
        port: The port.
        purpose: What it is for, in the message.
        option: The command's option that changes it.

    Raises:
        RegionError: Somebody does; the message names the port, its holder where that can be seen, and the option.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno == errno.EACCES:
                raise RegionError(
                    f"Port {port} for {purpose} needs root. Choose one above 1023 with {option} PORT."
                ) from error
            if error.errno != errno.EADDRINUSE:
                raise
            raise RegionError(
                f"Port {port} on 127.0.0.1, needed for {purpose}, is taken{_by_whom(port)}. "
                f"Stop what holds it, or choose another port with {option} PORT."
            ) from error


def _by_whom(port: int) -> str:
    holder = holder_of(port)
    return f" by process {holder[0]} ({holder[1]})" if holder else ""


def holder_of(port: int, proc: Path = Path("/proc")) -> tuple[int, str] | None:
    """Return process id and command of who listens on a port; None where that cannot be seen.

    Args:
        port: The port.
        proc: Where the kernel shows its processes.
    """
    inodes = _listening_inodes(port, proc)
    if not inodes:
        return None
    for process in proc.glob("[0-9]*"):
        if _sockets_of(process) & inodes:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            return int(process.name), command[:120]
    return None


def _sockets_of(process: Path) -> set[str]:
    """Return a process's open descriptors; fewer where it is another user's, or ends meanwhile."""
    found = set()
    try:
        for descriptor in (process / "fd").iterdir():
            with suppress(FileNotFoundError):  # closed since, as the one that lists the folder itself
                found.add(descriptor.readlink().name)
    except OSError:
        pass
    return found


def _listening_inodes(port: int, proc: Path) -> set[str]:
    """Return the sockets that listen on a port, named as /proc/PID/fd names them (the format is in proc(5))."""
    found = set()
    for table in ("net/tcp", "net/tcp6"):
        try:
            lines = (proc / table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == LISTEN_STATE and int(fields[1].rsplit(":", 1)[1], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return found
