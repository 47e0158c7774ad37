"""What a task file may say."""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Names and choices go into the grammar as they are, so they hold nothing that a regular expression would read.
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Choice = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_ -]{0,63}$")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TaskField(_Model):
    """One field of a task's answer: a string, or null where `nullable`."""

    name: Name
    description: str = ""
    nullable: bool = True
    max_chars: int = Field(default=160, ge=1, le=2000)
    choices: tuple[Choice, ...] = ()
    is_time: bool = Field(default=False, description="The value is a time in the text's words, which can be resolved.")
    when: Mapping[Name, tuple[Choice, ...]] = Field(default_factory=dict)
    merge: Literal["first", "union"] | None = None


class Prompt(_Model):
    """The words around the text, exactly as in training."""

    system: str = Field(min_length=1)
    instruction: str = ""
    template: str = "{instruction}\n\nText: {text}"

    @model_validator(mode="after")
    def _text_has_one_place(self) -> Self:
        if self.template.count("{text}") != 1:
            raise ValueError("template must hold {text} exactly once")
        return self


class GoldenNote(_Model):
    """A synthetic note and its right answer."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
    text: str = Field(min_length=1)
    expected: Mapping[str, str | None]


class Task(_Model):
    """One kind of extraction."""

    name: Name
    version: int = Field(ge=1)
    title: str = Field(min_length=1)
    description: str = ""
    adapter: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")
    prompt: Prompt
    fields: tuple[TaskField, ...] = Field(min_length=1)
    max_tokens: int = Field(ge=1, le=8192)
    temperature: float = Field(default=0.0, ge=0, le=2)
    max_input_tokens: int = Field(default=1500, ge=32, description="Longer texts are split; tokens of the engine.")
    overlap_tokens: int = Field(default=100, ge=0)
    separator: str = Field(default="; ", min_length=1, description="Stands between the parts of a value.")
    merge: Literal["first", "union"] = "first"
    golden: tuple[GoldenNote, ...] = ()

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Self:
        names = [field.name for field in self.fields]
        if len(set(names)) != len(names):
            raise ValueError("two fields have the same name")
        if self.overlap_tokens * 2 > self.max_input_tokens:
            raise ValueError("overlap_tokens may be half of max_input_tokens at most")
        first = self.fields[0]
        for field in self.fields:
            if field.is_time and field.choices:
                raise ValueError(
                    f"field {field.name}: a field with `choices` has no words that `is_time` could be said of"
                )
            if not field.when:
                continue
            if set(field.when) != {first.name} or not first.choices or first.nullable:
                raise ValueError(
                    f"field {field.name}: `when` may name the first field only, which needs choices and nullable: false"
                )
            unknown = set(field.when[first.name]) - set(first.choices)
            if unknown:
                raise ValueError(f"field {field.name}: `when` names no choice of {first.name}: {sorted(unknown)}")
        for note in self.golden:
            self._check_golden(note)
        return self

    def _check_golden(self, note: GoldenNote) -> None:
        names = [field.name for field in self.variant(note.expected.get(self.fields[0].name))]
        if list(note.expected) != names:
            raise ValueError(f"golden note {note.name}: expected must hold, in this order, {', '.join(names)}")

    @cached_property
    def variants(self) -> Mapping[str | None, tuple[TaskField, ...]]:
        """The fields for each choice of the first field where others depend on it; otherwise all under None."""
        first = self.fields[0]
        if not any(field.when for field in self.fields):
            return {None: self.fields}
        return {
            choice: tuple(field for field in self.fields if not field.when or choice in field.when[first.name])
            for choice in first.choices
        }

    def variant(self, first_value: str | None) -> tuple[TaskField, ...]:
        """Return the fields of an answer whose first field is `first_value`."""
        return self.variants.get(first_value) or next(iter(self.variants.values()))

    @cached_property
    def by_name(self) -> Mapping[str, TaskField]:
        """The fields by their names."""
        return {field.name: field for field in self.fields}

    @cached_property
    def times(self) -> tuple[str, ...]:
        """The names of the fields that are times."""
        return tuple(field.name for field in self.fields if field.is_time)

    @cached_property
    def json_schema(self) -> Mapping[str, Any]:
        """The answer's JSON Schema (draft 2020-12)."""
        shapes = [_object_schema(fields, choice) for choice, fields in self.variants.items()]
        body = shapes[0] if len(shapes) == 1 else {"oneOf": shapes}
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": self.title, **body}


def _object_schema(fields: tuple[TaskField, ...], choice: str | None) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for field in fields:
        shape: dict[str, Any] = {"type": ["string", "null"] if field.nullable else "string"}
        if field.choices:
            shape["enum"] = [*field.choices, None] if field.nullable else list(field.choices)
        else:
            shape |= {"minLength": 1, "maxLength": field.max_chars}
        if field.description:
            shape["description"] = field.description
        properties[field.name] = shape
    if choice is not None:
        properties[fields[0].name] = {"const": choice}
    return {
        "type": "object",
        "properties": properties,
        "required": [field.name for field in fields],
        "additionalProperties": False,
    }
