"""A role's variables by its argument_specs.yml and defaults, and the table of them in its README.

`python -m tests.support.role_variables` writes the tables.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

# libyaml's where PyYAML was built with it: nine times as fast.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
ROOT = Path(__file__).resolve().parents[2]
ROLES = ROOT / "roles"
BEGIN, END = "<!-- variables: begin -->", "<!-- variables: end -->"


def role_names() -> list[str]:
    """Return the names of the roles."""
    return sorted(path.parent.parent.name for path in ROLES.glob("*/meta/argument_specs.yml"))


def load(path: Path) -> Any:
    """Return a YAML file's content, or an empty dictionary when there is no such file."""
    return yaml.load(path.read_text(encoding="utf-8"), LOADER) or {} if path.is_file() else {}  # noqa: S506


def defaults(role: str) -> dict[str, Any]:
    """Return the variables that a role has defaults for."""
    values: dict[str, Any] = load(ROLES / role / "defaults/main.yml")
    return values


def entry_points(role: str) -> dict[str, dict[str, Any]]:
    """Return the options of each of a role's entry points."""
    specification = load(ROLES / role / "meta/argument_specs.yml")["argument_specs"]
    return {name: point.get("options", {}) for name, point in specification.items()}


def _shown(option: dict[str, Any]) -> str:
    if option.get("required"):
        return "required"
    if "default" not in option:
        return "none"
    return f"`{json.dumps(option['default'], ensure_ascii=False)}`"


def _kind(option: dict[str, Any]) -> str:
    kind = f"{option['type']} of {option['elements']}" if "elements" in option else str(option["type"])
    return f"{kind}: {', '.join(map(str, option['choices']))}" if "choices" in option else kind


def table(role: str) -> str:
    """Return the Markdown table of a role's variables, one for each entry point."""
    parts = []
    for name, options in entry_points(role).items():
        if not options:
            continue
        if name != "main":
            parts.append(f"With `tasks_from: {name}`:")
        rows = [
            f"| `{variable}` | {_kind(option)} | {_shown(option)} | {option['description']} |"
            for variable, option in options.items()
        ]
        parts.append("\n".join(["| variable | type | default | what |", "|---|---|---|---|", *rows]))
    return "\n\n".join(parts)


def with_table(role: str, readme: str) -> str:
    """Return a README's text with the table between its marks made anew.

    Raises:
        ValueError: It has no marks.
    """
    head, begin, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"roles/{role}/README.md lacks {BEGIN} and {END}")
    return f"{head}{BEGIN}\n{table(role)}\n{END}{tail}"


def main() -> int:
    """Write every role's table."""
    for role in role_names():
        path = ROLES / role / "README.md"
        path.write_text(with_table(role, path.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
