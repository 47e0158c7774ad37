"""Values written into files so that they arrive byte for byte; NAME.yml documents each filter."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import yaml
from ansible.errors import AnsibleFilterError

# What a C-style escape of systemd stands for.
ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def compose_string(value: Any, *, interpolated: bool = True) -> str:
    """Return a value as a string of a compose file that compose reads as it was given.

    In YAML's double quotes and in ASCII: other styles fold lines or forbid characters, and parsers differ there.

    Args:
        value: a text; another value is written as JSON, and None as an empty text.
        interpolated: whether compose puts variables into it, as it does into all but keys.

    Raises:
        AnsibleFilterError: it holds a NUL, which no process can be given.
    """
    text = _text(value)
    if "\0" in text:
        raise AnsibleFilterError("a value for the compose file holds a NUL character, which no process can be given")
    if interpolated:
        text = text.replace("$", "$$")
    return str(yaml.dump(text, default_style='"', width=sys.maxsize, allow_unicode=False)).removesuffix("\n")


def _text(value: Any) -> str:
    if value is None:
        return ""
    # str() also takes a tagged string of Ansible's for what it is.
    return str(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def systemd_word(value: Any, *, command: bool = True) -> str:
    """Return a value as one word of a systemd unit, with nothing in it that systemd would expand.

    Args:
        value: a text.
        command: whether it is a word of a command line, in which systemd expands variables too.
    """
    text = "".join(ESCAPES.get(character, character) for character in str(value)).replace("%", "%%")
    return '"' + (text.replace("$", "$$") if command else text) + '"'


class FilterModule:
    """The filters, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"compose_string": compose_string, "systemd_word": systemd_word}
