"""Notes which members of AWS's answers this project's code takes for granted; read by Python at its start.

With this folder in PYTHONPATH and a file's name in SLM_ANSWERS_READ, every `answer["Member"]` in a module of the
collection adds a line there: the operation, the path of the member, and the source. `answer.get("Member")` does not.
What is looked up in such a way has to be something that AWS always sends, and no emulator can say what that is.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Sequence
from pathlib import PurePath
from types import ModuleType
from typing import Any

OURS = "ansible_collections/slm/serving/plugins/"


class Answer(dict[str, Any]):
    """A structure of an answer that knows its place in it."""

    def __init__(self, content: dict[str, Any], place: str) -> None:
        """Take a structure, and what it is in."""
        super().__init__({key: placed(value, f"{place}{key}") for key, value in content.items()})
        # With what separates it from a member: a blank after the operation, a dot further down.
        self.place = place

    def __getitem__(self, key: str) -> Any:
        """Note who takes a member for granted, and return it."""
        source = sys._getframe(1).f_code.co_filename
        if OURS in source:
            note(f"{self.place}{key}", PurePath(source).name)
        return super().__getitem__(key)


def placed(value: Any, place: str) -> Any:
    """Return a part of an answer with the place that it has there."""
    if isinstance(value, dict):
        return Answer(value, f"{place}.")
    return [placed(each, f"{place}[]") for each in value] if isinstance(value, list) else value


def note(member: str, source: str) -> None:
    """Add a line."""
    with open(os.environ["SLM_ANSWERS_READ"], "a", encoding="utf-8") as file:  # noqa: PTH123 # in every process
        file.write(f"{member} {source}\n")


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Wraps botocore's client when something imports it, so that a process without AWS pays nothing."""

    def __init__(self) -> None:
        """Look for it once."""
        self._loader: Any = None

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return the client's spec with this as its loader; of all other modules none."""
        if name != "botocore.client":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None:
            self._loader, spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """Do as the real loader."""
        created: ModuleType | None = self._loader.create_module(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        """Load it, and have its calls return answers that note."""
        self._loader.exec_module(module)
        call = module.BaseClient._make_api_call

        def noted(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
            answer = call(client, operation, parameters)
            return Answer(answer, f"{client.meta.service_model.service_name}:{operation} ")

        module.BaseClient._make_api_call = noted


if os.environ.get("SLM_ANSWERS_READ"):
    sys.meta_path.insert(0, Finder())
