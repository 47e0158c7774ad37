"""What an answer must look like: the JSON Schema of a task, as the gateway publishes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError as InvalidSchemaError
from jsonschema.exceptions import ValidationError

Fields = Mapping[str, str | None]
"""An answer: a value or null for each field."""

# Without readable fields there is nothing to score; the first one that applies is reported.
_UNREADABLE = ("missing_key", "extra_key", "wrong_type")
_KINDS = {
    "required": "missing_key",
    "additionalProperties": "extra_key",
    "minLength": "empty_value",
    "maxLength": "too_long",
    "enum": "wrong_choice",
    "const": "wrong_choice",
}


class SchemaError(Exception):
    """The schema is none of a gateway's task."""


class UnreadableError(Exception):
    """An answer has no fields that could be scored. `kind` is a code."""

    def __init__(self, kind: str) -> None:
        """Keep the code."""
        super().__init__(kind)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class _Shape:
    """The fields of an answer, what validates it, and what its first field must be."""

    names: tuple[str, ...]
    answer: Draft202012Validator
    first: Draft202012Validator


class Schema:
    """Says whether an answer is valid.

    A task is published (`gateway.tasks`) as an object of strings and nulls with all keys required, or as `oneOf`
    several such objects, of which the first field chooses one.
    """

    def __init__(self, json_schema: Mapping[str, Any]) -> None:
        """Read the JSON Schema (draft 2020-12).

        Raises:
            SchemaError: it is not of this form.
        """
        try:
            Draft202012Validator.check_schema(json_schema)
            self._shapes = [_shape(shape) for shape in json_schema.get("oneOf", [json_schema])]
        except (InvalidSchemaError, LookupError, TypeError, AttributeError) as error:
            raise SchemaError(f"the task's JSON Schema cannot be read: {error!r}") from None
        self.fields: tuple[str, ...] = tuple(dict.fromkeys(name for shape in self._shapes for name in shape.names))

    def names_for(self, answer: Mapping[str, Any]) -> Sequence[str]:
        """Return the fields that an answer must have, given its first one."""
        return self._shape_for(answer).names

    def read(self, answer: object) -> tuple[Fields, str | None]:
        """Return an answer's fields and what makes it invalid.

        Returns:
            The fields, and None or the kind of the first breach of the schema that still leaves the fields readable:
            `too_long`, `empty_value`, `wrong_choice`, `null_value`.

        Raises:
            UnreadableError: `not_an_object`, `missing_key`, `extra_key` or `wrong_type`.
        """
        if not isinstance(answer, dict):
            raise UnreadableError("not_an_object")
        kinds = [_kind(error) for error in self._shape_for(answer).answer.iter_errors(answer)]
        for kind in _UNREADABLE:
            if kind in kinds:
                raise UnreadableError(kind)
        return answer, next(iter(kinds), None)

    def _shape_for(self, answer: Mapping[str, Any]) -> _Shape:
        fitting = (shape for shape in self._shapes if shape.first.is_valid(answer.get(shape.names[0])))
        return next(fitting, self._shapes[0])


def _shape(schema: Mapping[str, Any]) -> _Shape:
    names = tuple(schema["required"])
    return _Shape(names, Draft202012Validator(schema), Draft202012Validator(schema["properties"][names[0]]))


def _kind(error: ValidationError) -> str:
    # A breach of a field's rule has the field as its path; one of the whole object has none.
    if error.absolute_path and error.instance is None:
        return "null_value"
    if error.absolute_path and not isinstance(error.instance, str):
        return "wrong_type"
    return _KINDS[str(error.validator)]
