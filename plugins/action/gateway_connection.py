"""Hold a way to the gateway's port open, and say where it begins, until Ctrl-C or until the session is lost.

An action and not a module: it shows the address while it goes on, and hears of Ctrl-C, which Ansible passes on to the
process that a task runs in and to nothing below it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import boto3
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.slm.serving.plugins.module_utils import session_plugin
from ansible_collections.slm.serving.plugins.plugin_utils.port_forwarding import HOST, Forwarding, ForwardingError
from botocore.config import Config

LOOK_SECONDS = 0.2
AGAIN = "ansible-playbook playbooks/connect.yml opens it again."


class ActionModule(ActionBase):  # type: ignore[misc] # ansible ships no types
    """The action `gateway_connection`; plugins/modules/gateway_connection.py documents its options and its result."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Forward the port until somebody ends it."""
        super().run(tmp, task_vars)
        options = self._task.args
        if self._task.check_mode:
            return {"changed": False, "skipped": True, "msg": "Check mode opens no way to the gateway."}
        try:
            plugin = session_plugin.find(options.get("session_plugin") or "")
            config = Config(connect_timeout=10, read_timeout=60)
            client = boto3.session.Session(region_name=options["region"]).client("ssm", config=config)
            forwarding = Forwarding(client, plugin, os.environ.get("AWS_PROFILE", ""))
            with interruption() as interrupted:
                return self._hold(forwarding, interrupted)
        except (session_plugin.PluginMissingError, ForwardingError) as error:
            return {"failed": True, "msg": str(error)}

    def _hold(self, forwarding: Forwarding, interrupted: threading.Event) -> dict[str, Any]:
        """Open the way, show it, and wait for its end."""
        options = self._task.args
        parent = os.getppid()
        try:
            port = forwarding.open(
                options["instance_id"], int(options["port"]), int(options["local_port"]), float(options["timeout"])
            )
            address = f"http://{HOST}:{port}"
            Display().display(described(address, options.get("url") or ""), color="green")
            told = False
            while forwarding.is_open():
                # A terminal that is closed ends Ansible's main process, and nobody tells this one.
                if interrupted.wait(LOOK_SECONDS) or os.getppid() != parent:
                    return {"changed": False, "address": address, "msg": "The way to the gateway was closed."}
                if forwarding.is_refused() and not told:
                    told = True
                    Display().warning(
                        f"Nothing answers at port {options['port']} of the instance: playbooks/status.yml says why."
                    )
            return {"failed": True, "msg": f"The session was lost: {forwarding.last_words()} {AGAIN}"}
        finally:
            forwarding.close()


def described(address: str, url: str = "") -> str:
    """Return what an operator needs to call the gateway.

    Args:
        address: where the way begins.
        url: that clients call by the edge; empty without one.
    """
    clients = f"\nClients call the edge at {url}; this way leads past it.\n" if url else ""
    return clients + (
        f"\nThe gateway is at {address} until Ctrl-C ends this:\n\n"
        f"  curl -s {address}/api/v1/extract \\\n"
        "      -H \"Authorization: Bearer $KEY\" -H 'Content-Type: application/json' \\\n"
        """      -d '{"text": "61-year-old man with stage IV lung adenocarcinoma."}'\n"""
    )


@contextlib.contextmanager
def interruption() -> Iterator[threading.Event]:
    """Yield an event that Ctrl-C or an end of Ansible sets: there is a session to be ended first."""
    event = threading.Event()
    before = {each: signal.signal(each, lambda *_: event.set()) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
