"""What the operator gives engine and gateway, checked before they are started with it; NAME.yml documents each filter.

vLLM takes an abbreviation for an option, drops a false that it has no word for, and ends at a name that it does not
have, when the earlier engine is gone already; the gateway ignores a variable that it does not have.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

GATEWAY_PREFIX = "GATEWAY_"
# The variables that the gateway reads, without their prefix, as gateway/settings.py has them.
GATEWAY_SETTINGS = (
    *("HOST", "PORT", "ENGINE_URL", "ENGINE_KIND", "ENGINE_API_KEY_FILE", "AUTH", "API_KEYS_FILE", "MAX_CONNECTIONS"),
    *("KEEP_ALIVE_TIMEOUT", "HEAD_TIMEOUT", "SEND_TIMEOUT", "CORS_ORIGINS", "REQUEST_TIMEOUT", "CONNECT_TIMEOUT"),
    *("ENGINE_PATIENCE", "FIRST_TOKEN_TIMEOUT", "MAX_CONCURRENCY", "MAX_QUEUE", "QUEUE_TIMEOUT", "KEY_SHARE"),
    *("RATE_LIMIT", "MAX_TEXT_CHARS", "MAX_BODY_BYTES", "MAX_BODIES_BYTES", "MAX_BATCH_ITEMS", "ENGINE_EXTRAS"),
    *("CACHE_SALT", "PAGE", "TASKS_DIR", "DEFAULT_TASK", "DRAIN_TIMEOUT", "DRAIN_MODE", "LOG_LEVEL"),
)
# What the compose file relies on, with what to give in its place.
GATEWAY_FIXED = {"GATEWAY_HOST": "inference_stack_gateway_address", "GATEWAY_PORT": "inference_stack_gateway_port"}
NEAR = 0.75


def engine_option_problems(options: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each option that the engine would not take as it was given.

    A name unlike any other may be one of a later engine, so it is left to the engine.

    Args:
        options: values by name.
        known: the pinned engine's `version`, and its `options` by name.
    """
    names = set(known["options"])
    found = (_engine_problem(str(name), value, names, known["version"]) for name, value in options.items())
    return [f"inference_stack_engine_options: {problem}" for problem in found if problem]


def _engine_problem(name: str, value: Any, names: set[str], version: str) -> str:
    plain = name.partition(".")[0]
    written = plain.removeprefix("--").replace("_", "-")
    if plain != written and written in names:
        return f"write {written} in place of {plain}, as the engine's options are called."
    if plain not in names:
        near = _nearest(written, names)
        return f"vLLM {version} has no option {plain}. Did you mean {near}?" if near else ""
    if value is False and f"no-{plain}" not in names:
        return f"vLLM ignores false for {plain}, which is off without it. Leave it out, or give null to take it back."
    if value == []:
        return f"vLLM ignores the empty list for {plain}. Leave it out, or give null to take it back."
    return ""


def gateway_environment_problems(environment: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each variable of the gateway that it would ignore or misunderstand.

    Args:
        environment: values by name; those of others than the gateway are not looked at.
    """
    found = (_gateway_problem(str(name), value) for name, value in environment.items())
    return [f"inference_stack_gateway_environment: {problem}" for problem in found if problem]


def _gateway_problem(name: str, value: Any) -> str:
    names = [f"{GATEWAY_PREFIX}{setting}" for setting in GATEWAY_SETTINGS]
    if name in GATEWAY_FIXED:
        return f"the containers rely on {name}. Give {GATEWAY_FIXED[name]} in its place."
    if name not in names:
        near = _nearest(name.upper(), names)
        if not name.startswith(GATEWAY_PREFIX) and not near:
            return ""
        return f"the gateway has no setting {name}.{f' Did you mean {near}?' if near else ''}"
    if isinstance(value, bool):
        # YAML reads the word off as false.
        word = "on" if value else "off"
        return f"{name} is a truth value, and none of its values is. Write a text, such as '{word}', in quotes."
    return ""


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(names), n=1, cutoff=NEAR)
    return near[0] if near else ""


class FilterModule:
    """The filters, for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "engine_option_problems": engine_option_problems,
            "gateway_environment_problems": gateway_environment_problems,
        }
