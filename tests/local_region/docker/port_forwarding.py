"""Forward a port of this machine to a port of a container, as AWS's session plugin does with an instance.

Run as a program by the region's session plugin; needs the standard library alone. CONTAINER PORT LOCAL_PORT SESSION.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading

HOST = "127.0.0.1"
# Runs in the container: what comes goes to the port, and what the port says goes back.
RELAY = """
import socket, sys, threading
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as peer:
    def send():
        while data := sys.stdin.buffer.raw.read(65536):
            peer.sendall(data)
        peer.shutdown(socket.SHUT_WR)
    threading.Thread(target=send, daemon=True).start()
    while data := peer.recv(65536):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
"""


def say(text: str) -> None:
    """Show a text at once, wherever it goes."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def relay(connection: socket.socket, container: str, port: str) -> None:
    """Carry one connection to the container and back, until either side ends it."""
    command = ["docker", "exec", "--interactive", container, "python3", "-c", RELAY, port]
    pipe = subprocess.PIPE
    with connection, subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        threading.Thread(target=_send, args=(connection, process), daemon=True).start()
        sent = 0
        while data := os.read(process.stdout.fileno(), 65536):
            connection.sendall(data)
            sent += len(data)
        # Else the other thread, which reads from it, would keep it open.
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        if process.wait() != 0 and not sent:
            say("\nConnection to destination port failed, check SSM Agent logs.")


def _send(connection: socket.socket, process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    try:
        while data := connection.recv(65536):
            process.stdin.write(data)
            process.stdin.flush()
        process.stdin.close()
    except OSError:
        return  # The other side ended it.


def end_with(instance: subprocess.Popen[bytes], session: str) -> None:
    """End this program when the container stops, as AWS ends a session whose instance is gone."""
    if instance.wait() == 0:  # Not terminated by this program itself.
        say(f"\n\nSessionId: {session} : ChannelClosed: the instance is not connected any more.")
        os._exit(0)


def main(arguments: list[str]) -> int:
    """Serve until a signal comes or the container stops; return the exit code."""
    container, port, local_port, session = arguments
    try:
        server = socket.create_server((HOST, int(local_port)))
    except OSError as error:
        say(f"listen tcp {HOST}:{local_port}: {error}")
        return 1
    # AWS's plugin ends by it, and has the session ended.
    signal.signal(signal.SIGINT, lambda *_: sys.exit())
    instance = subprocess.Popen(["docker", "wait", container], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    threading.Thread(target=end_with, args=(instance, session), daemon=True).start()
    say(f"Port {server.getsockname()[1]} opened for sessionId {session}.\nWaiting for connections...")
    try:
        while True:
            connection, _ = server.accept()
            threading.Thread(target=relay, args=(connection, container, port), daemon=True).start()
    finally:
        instance.terminate()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
