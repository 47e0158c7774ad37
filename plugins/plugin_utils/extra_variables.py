"""What may be given to a playbook with `-e`: Ansible itself takes any name, and a mistyped one would change nothing."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

# Ansible's own variables, of its connections for example.
ANSIBLE_PREFIX = "ansible_"
# What parse_kv leaves of an argument that is no NAME=VALUE.
RAW = "_raw_params"
# Known to one playbook, to no role.
OF_A_PLAYBOOK = {"connect_local_port": "connect.yml", "rollback_to": "rollback.yml"}
# Known to a plugin of this collection, to no role.
OF_A_PLUGIN = {"on_instance_check_interval", "on_instance_patience"}
# Lists that a role takes as words with commas between them too.
WITH_COMMAS = {"infrastructure_gateway_cidrs", "infrastructure_load_balancer_subnets"}
# What to give instead of a variable that a playbook sets itself.
INSTEAD = {
    "deployment_lock_lifetime": "finetune_time_limit",
    "health_verification_release": "rollback_to",
    "health_verification_wait": "stack_start_timeout",
    "nvidia_runtime_image": "images_trainer_tag",
    "release_stamp": "rollback_to",
    "rollback_release": "rollback_to",
}
TEMPLATE = "{{"
FILES = (".yml", ".yaml", ".json")
NEAR = 0.6


@dataclass(frozen=True)
class Known:
    """The variables that the repository knows.

    Attributes:
        options: Of the roles, by name, as their argument specifications describe them.
        names: Of all variables that may be given.
        own: Names that the playbook gives a value itself, which `-e` would override.
    """

    options: Mapping[str, Mapping[str, Any]]
    names: frozenset[str]
    own: frozenset[str]


def _load(path: Path) -> Any:
    # The safe loader in C, where PyYAML was built with it: this runs before every playbook with an extra variable.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(path.read_text(encoding="utf-8"), loader) or {}  # noqa: S506


def _own(node: Any) -> Iterator[str]:
    """Yield the names that a playbook's plays and tasks have under `vars`."""
    if isinstance(node, Mapping):
        variables = node.get("vars")
        if isinstance(variables, Mapping):
            yield from variables
    for child in node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else ():
        yield from _own(child)


def known(repository: Path, playbook: Path) -> Known:
    """Read what the repository knows.

    Args:
        repository: With roles/ and inventory/group_vars/.
        playbook: The one that runs.
    """
    options: dict[str, Mapping[str, Any]] = {}
    for path in repository.glob("roles/*/meta/argument_specs.yml"):
        for entry_point in _load(path)["argument_specs"].values():
            options |= entry_point.get("options", {})
    names = {*options, *OF_A_PLUGIN}
    for path in repository.glob("inventory/group_vars/*.yml"):
        names.update(name for name in _load(path) if not name.startswith("_"))
    names.update(name for name, of in OF_A_PLAYBOOK.items() if of == playbook.name)
    return Known(options, frozenset(names), frozenset(_own(_load(playbook))))


def problems(given: Mapping[Any, Any], known: Known, playbook: str) -> list[str]:
    """Return a sentence for each extra variable that the playbook cannot do with as it was given.

    Args:
        given: Extra variables by name, those of files included.
        known: What the repository knows.
        playbook: The file's name, for messages.
    """
    found = (_problem(str(name), value, known, playbook) for name, value in given.items())
    return [problem for problem in found if problem]


def _problem(name: str, value: Any, known: Known, playbook: str) -> str:
    if name == RAW:
        return _not_a_pair(str(value))
    if name.startswith(ANSIBLE_PREFIX):
        return ""
    if name in OF_A_PLAYBOOK and OF_A_PLAYBOOK[name] != playbook:
        return f"{name} is a variable of {OF_A_PLAYBOOK[name]}; {playbook} would ignore it."
    if name in known.own:
        return f"{playbook} sets {name} itself. {_instead(name, known)}"
    if name not in known.names:
        return f"There is no variable {name}.{_nearest(name, known.names)}"
    return _wrong_value(name, value, known.options.get(name))


def _not_a_pair(text: str) -> str:
    is_file = Path(text).is_file() or text.endswith(FILES)
    advice = f"For the variables of a file write -e @{text}" if is_file else "Write -e NAME=VALUE"
    return (
        f"-e {text} gives no variable a value. {advice}; a value with spaces is given as JSON,"
        """ -e '{"NAME": "a value"}'."""
    )


def _instead(name: str, known: Known) -> str:
    instead = INSTEAD.get(name, "")
    return f"Use -e {instead}=VALUE." if instead in known.names else "Leave it out."


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name.lower(), sorted(names), n=1, cutoff=NEAR)
    if near:
        return f" Did you mean {near[0]}?"
    return " The READMEs in roles/ list those that there are."


def _wrong_value(name: str, value: Any, option: Mapping[str, Any] | None) -> str:
    """Return what is wrong with a value; empty where that can only be known once its template is evaluated."""
    if option is None or TEMPLATE in str(value):
        return ""
    if isinstance(value, str) and (
        option.get("type") == "dict" or (option.get("type") == "list" and name not in WITH_COMMAS)
    ):
        return (
            f"{name} is a {option['type']}, and text was given. Give it as JSON: -e '{_as_json(name, value, option)}'."
        )
    wrong = ArgumentSpecValidator({name: dict(option, required=False)}).validate({name: value}).error_messages
    return f"{name}: {wrong[0]}." if wrong else ""


def _as_json(name: str, value: str, option: Mapping[str, Any]) -> str:
    """Return the JSON that was probably meant by a text."""
    meant: Any
    try:
        meant = json.loads(value)
    except ValueError:
        meant = None
    if option["type"] == "list" and not isinstance(meant, list):
        meant = value.split(",")
    elif option["type"] == "dict" and not isinstance(meant, dict):
        key, equals, rest = value.partition("=")
        meant = {key: yaml.safe_load(rest)} if equals else {"NAME": value}
    return json.dumps({name: meant}, ensure_ascii=False)
