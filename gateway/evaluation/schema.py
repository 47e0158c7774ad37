"""What an answer must look like: the JSON Schema of a task, as the gateway publishes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Fields = Mapping[str, str | None]
"""An answer: a value or null for each field."""


class SchemaError(Exception):
    """The schema is none of a gateway's task."""


class UnreadableError(Exception):
    """An answer has no fields that could be scored. `kind` is a fixed word."""

    def __init__(self, kind: str) -> None:
        """Take the fixed word."""
        super().__init__(kind)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class _Rule:
    """What one field's value may be."""

    nullable: bool
    least: int
    most: int | None
    choices: tuple[str, ...] | None

    def problem(self, value: str | None) -> str | None:
        if value is None:
            return None if self.nullable else "null_value"
        if self.choices is not None:
            return None if value in self.choices else "wrong_choice"
        if len(value) < self.least:
            return "empty_value"
        return "too_long" if self.most is not None and len(value) > self.most else None


_Shape = Mapping[str, _Rule]


class Schema:
    """Tells whether an answer is valid.

    It reads the part of JSON Schema that the gateway's tasks are published with (`gateway.tasks`): objects of strings
    and nulls with all keys required, lengths and choices, and one of several shapes that the first field chooses. A
    whole validator would be one more library in the gateway's image.
    """

    def __init__(self, json_schema: Mapping[str, Any]) -> None:
        """Take the JSON Schema.

        Raises:
            SchemaError: it is not of this form.
        """
        try:
            self._shapes = [_shape(one) for one in json_schema.get("oneOf", [json_schema])]
        except (KeyError, TypeError, AttributeError) as error:
            raise SchemaError(f"the task's JSON Schema cannot be read: {error!r}") from None
        self.fields: tuple[str, ...] = tuple(dict.fromkeys(name for shape in self._shapes for name in shape))

    def names_for(self, answer: Mapping[str, Any]) -> Sequence[str]:
        """The fields that an answer must have, given its first one."""
        return tuple(self._shape_for(answer))

    def read(self, answer: object) -> tuple[Fields, str | None]:
        """An answer's fields and what makes it invalid.

        Returns:
            The fields, and None or the kind of the first breach of the schema that still leaves the fields readable:
            `too_long`, `empty_value`, `wrong_choice`, `null_value`.

        Raises:
            UnreadableError: `not_an_object`, `missing_key`, `extra_key` or `wrong_type`.
        """
        if not isinstance(answer, dict):
            raise UnreadableError("not_an_object")
        shape = self._shape_for(answer)
        if any(name not in answer for name in shape):
            raise UnreadableError("missing_key")
        if any(name not in shape for name in answer):
            raise UnreadableError("extra_key")
        if any(value is not None and not isinstance(value, str) for value in answer.values()):
            raise UnreadableError("wrong_type")
        problems = (rule.problem(answer[name]) for name, rule in shape.items())
        return answer, next((problem for problem in problems if problem), None)

    def _shape_for(self, answer: Mapping[str, Any]) -> _Shape:
        for shape in self._shapes:
            first, rule = next(iter(shape.items()))
            if rule.choices is None or answer.get(first) in rule.choices:
                return shape
        return self._shapes[0]


def _shape(schema: Mapping[str, Any]) -> _Shape:
    return {name: _rule(schema["properties"][name]) for name in schema["required"]}


def _rule(shape: Mapping[str, Any]) -> _Rule:
    choices = [shape["const"]] if "const" in shape else shape.get("enum")
    return _Rule(
        nullable="null" in shape.get("type", ()),
        least=shape.get("minLength", 0),
        most=shape.get("maxLength"),
        choices=None if choices is None else tuple(choice for choice in choices if choice is not None),
    )
