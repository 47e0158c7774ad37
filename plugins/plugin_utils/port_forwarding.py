"""Forward a port of this machine to a port of an instance: a session of Systems Manager, held by AWS's own plugin."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from typing import IO, Any

from ansible_collections.slm.serving.plugins.module_utils.aws_errors import code_of, reason
from botocore.exceptions import BotoCoreError, ClientError

HOST = "127.0.0.1"
DOCUMENT = "AWS-StartPortForwardingSession"
# What AWS's plugin says once it listens, and when the instance has nothing at its port.
OPENED = re.compile(r"Port (\d+) opened for sessionId")
REFUSED = "Connection to destination port failed"
HIGHEST_PORT = 65535
# Newer ones take the session's token from the environment, which other users of this machine cannot read.
VERSION = re.compile(r"\d+(?:\.\d+){0,3}")
LAST_WITHOUT_ENVIRONMENT = (1, 2, 497, 0)
ANSWER_VARIABLE = "AWS_SSM_START_SESSION_RESPONSE"
DENIED = ("AccessDeniedException", "AccessDenied")
END_SECONDS = 5
LOOK_SECONDS = 0.05


class ForwardingError(Exception):
    """A port cannot be forwarded; the message says why and what to do."""


def require_free(port: int) -> None:
    """Check that a port of this machine can be listened on.

    Args:
        port: 0 means any.

    Raises:
        ForwardingError: It cannot.
    """
    other = "Choose another with -e connect_local_port=NUMBER, or 0 for any that is free."
    if not 0 <= port <= HIGHEST_PORT:
        raise ForwardingError(f"There is no port {port}. {other}")
    try:
        socket.create_server((HOST, port)).close()
    except PermissionError:
        raise ForwardingError(f"Port {port} of this machine is for its administrator only. {other}") from None
    except OSError as error:
        raise ForwardingError(f"Port {port} of this machine is taken ({error.strerror}). {other}") from None


class Forwarding:
    """One forwarded port; open from `open` to `close`, or until the session is lost."""

    def __init__(self, client: Any, plugin: str, profile: str = "") -> None:
        """Begin with nothing open.

        Args:
            client: boto3's, of Systems Manager.
            plugin: path of AWS's Session Manager plugin.
            profile: name of the profile that the plugin is to use.
        """
        self._client = client
        self._plugin = plugin
        self._profile = profile
        self._session = ""
        self._process: subprocess.Popen[str] | None = None
        self._output = ""
        self._reader: threading.Thread | None = None

    def open(self, instance_id: str, port: int, local_port: int, timeout: float) -> int:
        """Open a session and return the port of this machine that leads to the instance's.

        Args:
            instance_id: the instance.
            port: of the instance.
            local_port: of this machine; 0 means any.
            timeout: seconds until it must be open.

        Raises:
            ForwardingError: It cannot.
        """
        require_free(local_port)
        request = {
            "Target": instance_id,
            "DocumentName": DOCUMENT,
            "Parameters": {"portNumber": [str(port)], "localPortNumber": [str(local_port)]},
        }
        try:
            answer = self._client.start_session(**request)
        except (ClientError, BotoCoreError) as error:
            raise ForwardingError(_refusal(error, instance_id)) from error
        self._session = answer["SessionId"]
        try:
            self._start(answer, request)
            return self._wait(timeout)
        except ForwardingError:
            self.close()
            raise

    def _start(self, answer: dict[str, Any], request: dict[str, Any]) -> None:
        """Start the plugin, as the AWS CLI does."""
        text = json.dumps({name: answer[name] for name in ("SessionId", "TokenValue", "StreamUrl")})
        environment = dict(os.environ)
        if self._takes_environment():
            environment[ANSWER_VARIABLE] = text
            text = ANSWER_VARIABLE
        meta = self._client.meta
        command = [self._plugin, text, meta.region_name, "StartSession", self._profile, json.dumps(request)]
        try:
            process = subprocess.Popen(
                [*command, meta.endpoint_url],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        except OSError as error:
            raise ForwardingError(f"The Session Manager plugin {self._plugin} cannot be run ({error}).") from error
        self._process = process
        self._reader = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self._reader.start()

    def _takes_environment(self) -> bool:
        try:
            said = subprocess.run([self._plugin, "--version"], capture_output=True, text=True, check=False, timeout=30)
        except (OSError, subprocess.TimeoutExpired):
            return False  # What is wrong with it is told where it is run.
        version = said.stdout.strip()
        return bool(VERSION.fullmatch(version)) and tuple(map(int, version.split("."))) > LAST_WITHOUT_ENVIRONMENT

    def _read(self, stream: IO[str]) -> None:
        """Keep what the plugin says."""
        with stream:
            for line in stream:
                self._output += line

    def _wait(self, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            is_open = self.is_open()
            opened = OPENED.search(self._output)
            if opened:
                return int(opened[1])
            if not is_open:
                raise ForwardingError(f"The session ended before the port was open: {self.last_words()}")
            time.sleep(LOOK_SECONDS)
        raise ForwardingError(f"The port was not open after {timeout:.0f} s: {self.last_words()}")

    def is_open(self) -> bool:
        """Return whether the session lasts."""
        if self._process is not None and self._process.poll() is None:
            return True
        if self._reader is not None:
            self._reader.join(END_SECONDS)  # For its last words.
        return False

    def is_refused(self) -> bool:
        """Return whether the instance refused a connection to its port."""
        return REFUSED in self._output

    def last_words(self) -> str:
        """Return what the plugin said last, in one line."""
        lines = [line.strip() for line in self._output.splitlines() if line.strip(" -\n")]
        return " ".join(lines[-3:]) or "the Session Manager plugin gave no reason"

    def close(self) -> None:
        """End the session; no error if it has ended."""
        if self._process is not None and self._process.poll() is None:
            # By SIGINT it tells the other side; by any other signal it does not.
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._reader is not None:
            self._reader.join(END_SECONDS)
        if self._session:
            with contextlib.suppress(ClientError, BotoCoreError):
                self._client.terminate_session(SessionId=self._session)
            self._session = ""


def _refusal(error: Exception, instance_id: str) -> str:
    """Return why no session was opened and what to do."""
    if code_of(error) == "TargetNotConnected":
        return (
            f"Systems Manager has no connection to {instance_id}, as in the minutes after a start: run again then. If"
            " it stays so, playbooks/status.yml shows its state, and playbooks/start.yml starts it."
        )
    if code_of(error) in DENIED:
        return (
            f"Your credentials may not forward a port ({reason(error)}): allow them ssm:StartSession on the instance"
            f" {instance_id} and on the document {DOCUMENT}, and ssm:TerminateSession."
        )
    return f"Systems Manager opened no session with {instance_id} ({reason(error)})."
