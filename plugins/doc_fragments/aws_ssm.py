"""The options of amazon.aws's connection, for the connection that is built on it.

Read from there when they are needed, not copied: a new version's options are there with it.
"""

from __future__ import annotations

from typing import Any

import yaml
from ansible_collections.amazon.aws.plugins.connection.aws_ssm import DOCUMENTATION as UPSTREAM


def _options() -> dict[str, Any]:
    """Return the options without their versions, which are versions of amazon.aws."""
    options: dict[str, Any] = yaml.safe_load(UPSTREAM)["options"]
    return {
        name: {key: value for key, value in option.items() if key != "version_added"}
        for name, option in options.items()
    }


class ModuleDocFragment:
    """The options of amazon.aws.aws_ssm."""

    DOCUMENTATION = yaml.safe_dump({"options": _options()})
