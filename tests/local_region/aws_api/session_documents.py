"""What a session comes to by its document: AWS's own for ports, an account's own, or the account's preferences."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from moto.ssm.exceptions import InvalidDocument
from moto.ssm.models import ssm_backends

from tests.local_region import names

PORT_FORWARDING = "AWS-StartPortForwardingSession"
PREFERENCES = "SSM-SessionManagerRunShell"
SHELL_SESSION = "Standard_Stream"
PORT = re.compile(r"\d{1,5}")
HIGHEST_PORT = 65535


class DocumentRefusedError(Exception):
    """A session that AWS refuses for its document or for what is given to that.

    Attributes:
        code: AWS's own.
    """

    def __init__(self, code: str, message: str) -> None:
        """Keep AWS's code and message."""
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class SessionPlan:
    """What the session plugin is to do.

    Attributes:
        user: Whose the shell is; empty for the agent's own.
        key: The KMS key that the instance's role may not use; empty without encryption.
        port: The instance's port that is forwarded; empty for a shell.
        local_port: Where it is reached on this machine; 0 for any.
    """

    user: str = ""
    key: str = ""
    port: str = ""
    local_port: str = ""

    def query(self) -> str:
        """Return it as the query of the address that the plugin is given; empty for a plain shell."""
        values = {"user": self.user, "key": self.key, "port": self.port, "local_port": self.local_port}
        given = {name: value for name, value in values.items() if value}
        return f"?{urlencode(given)}" if given else ""


def plan(request: dict[str, Any]) -> SessionPlan:
    """Read what a StartSession asks for.

    Args:
        request: The call's body.

    Raises:
        DocumentRefusedError: AWS would refuse it.
    """
    name = request.get("DocumentName", "")
    parameters: dict[str, list[str]] = request.get("Parameters", {})
    if name == PORT_FORWARDING:
        port, local_port = (_port(parameters, each) for each in ("portNumber", "localPortNumber"))
        return SessionPlan(port=port or "80", local_port=local_port or "0")
    if name.startswith("AWS-"):
        raise DocumentRefusedError("InvalidDocument", f"The local region has no document {name}.")
    content = _content(name or PREFERENCES)
    if content is None:
        if name:
            raise DocumentRefusedError("InvalidDocument", f"Document with name {name} does not exist.")
        return SessionPlan()
    if content.get("sessionType") != SHELL_SESSION:
        raise DocumentRefusedError(
            "InvalidDocument", f"The local region knows only documents of the type {SHELL_SESSION}."
        )
    inputs = content.get("inputs", {})
    user = inputs.get("runAsDefaultUser", "") if inputs.get("runAsEnabled") else ""
    return SessionPlan(user=user, key=inputs.get("kmsKeyId", ""))


def _port(parameters: dict[str, list[str]], name: str) -> str:
    value = "".join(parameters.get(name, []))
    if value and (not PORT.fullmatch(value) or int(value) > HIGHEST_PORT):
        raise DocumentRefusedError("InvalidParameters", f"Parameter {name} is not of its pattern.")
    return value


def _content(name: str) -> dict[str, Any] | None:
    """Return the content of a document of the account; None where there is none."""
    try:
        documents = ssm_backends[names.ACCOUNT_ID][names.AWS_REGION]._get_documents(name)
    except InvalidDocument:
        return None
    content: dict[str, Any] = documents.get_default_version().content_json
    return content
