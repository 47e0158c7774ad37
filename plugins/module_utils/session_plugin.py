"""Find AWS's Session Manager plugin on the controller, where the connection plugin looks for it too."""

from __future__ import annotations

import os
import shutil

HELP = "https://docs.aws.amazon.com/systems-manager/latest/userguide/session-manager-working-with-install-plugin.html"
NAME = "session-manager-plugin"
DEFAULT = f"/usr/local/bin/{NAME}"


class PluginMissingError(Exception):
    """There is no Session Manager plugin; the message says where it was looked for and how to install it."""


def find(configured: str = "") -> str:
    """Return the path of the plugin.

    Args:
        configured: where it is; empty means AWS_SESSION_MANAGER_PLUGIN, else the default path, else PATH.

    Raises:
        PluginMissingError: It is not there.
    """
    configured = configured or os.environ.get("AWS_SESSION_MANAGER_PLUGIN", "")
    found = next(filter(None, map(_program, [configured] if configured else [DEFAULT, NAME])), None)
    if found is None:
        where = configured or f"{DEFAULT} or anywhere on PATH"
        raise PluginMissingError(f"The Session Manager plugin is not at {where}. Install it: {HELP}")
    return found


def _program(path: str) -> str | None:
    """Return the path of a program that can be run."""
    return shutil.which(path)
