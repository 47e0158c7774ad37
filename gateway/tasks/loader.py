"""Reads task files. A bad one stops the start, with file, line and reason."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from pydantic import ValidationError

from gateway.files.reading import ReadError, read_text
from gateway.tasks.model import Task


class TaskFileError(Exception):
    """A task file cannot be used. The text names it and, where it has one, the line."""


# libyaml's where PyYAML was built with it: five times as fast.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_tasks(directory: Path) -> Mapping[str, Task]:
    """Read every `*.yaml` of a folder.

    Args:
        directory: the folder, not its sub-folders.

    Returns:
        The tasks by name, in the order of their files' names.

    Raises:
        TaskFileError: a file is bad, two tasks have one name, or there is none.
    """
    if not directory.is_dir():
        raise TaskFileError(
            f"{directory}: there is no such folder; GATEWAY_TASKS_DIR names the folder of the task files"
        )
    tasks: dict[str, Task] = {}
    for path in sorted(directory.glob("*.yaml")):
        task = load_task(path)
        if task.name in tasks:
            raise TaskFileError(f"{path}:1: the task name {task.name} is taken by another file")
        tasks[task.name] = task
    if not tasks:
        raise TaskFileError(f"{directory}: holds no task file (*.yaml)")
    return tasks


def load_task(path: Path) -> Task:
    """Read one task file.

    Raises:
        TaskFileError: with the line of the entry that is wrong.
    """
    try:
        text = read_text(path)
        loader = _Loader(text)
        root = loader.get_single_node()
        data = None if root is None else loader.construct_document(root)
    except ReadError as error:
        raise TaskFileError(str(error)) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise TaskFileError(f"{path}:{line}: not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise TaskFileError(f"{path}:1: not YAML: {error}") from None
    if root is None:
        raise TaskFileError(f"{path}:1: the file is empty")
    _refuse_duplicates(path, root)
    try:
        return Task.model_validate(data)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        reason = problem["msg"].removeprefix("Value error, ")
        line = _line_of(root, problem["loc"])
        raise TaskFileError(f"{path}:{line}: {where + ': ' if where else ''}{reason}") from None


def _refuse_duplicates(path: Path, node: yaml.Node) -> None:
    # PyYAML keeps the last of two equal keys in silence.
    if isinstance(node, yaml.MappingNode):
        keys = set()
        for key, value in node.value:
            if key.value in keys:
                raise TaskFileError(f"{path}:{key.start_mark.line + 1}: the key {key.value} appears twice")
            keys.add(key.value)
            _refuse_duplicates(path, value)
    elif isinstance(node, yaml.SequenceNode):
        for child in node.value:
            _refuse_duplicates(path, child)


def _line_of(root: yaml.Node, location: Sequence[int | str]) -> int:
    """Return the line of the deepest node on the path `location`; a missing key has the line where it should be."""
    node, line = root, root.start_mark.line + 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            entry = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if entry is None:
                return line
            line, node = entry[0].start_mark.line + 1, entry[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            return line
    return line
