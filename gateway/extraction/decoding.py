"""A task's schema becomes a grammar; the engine's answer becomes the task's fields.

An answer is right, or repaired with a warning that says how, or a `DecodingError`; nothing is dropped silently. Under
the grammar only three repairs can happen: `broken_characters`, `empty_to_null` and `length_limit`. The others are for
engines that do not apply it.
"""

import json
import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate

from pydantic_core import from_json

from gateway.extraction.errors import DecodingError
from gateway.tasks import Task, TaskField

# One character of a JSON string, or one escape; xgrammar, the engine's grammar back end, takes this form.
_STRING_UNIT = r'([^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})'
_NOTHING = frozenset({"", "none", "null"})
_SURROGATE_OR_REPLACEMENT = re.compile("[\ud800-\udfff\ufffd]")
_SPACE = " \t\n\r"
# A key, its value, and where the value starts and ends in the answer.
type Member = tuple[str, object, int, int]
_MAX_OBJECTS = 16
# How models that think before they answer mark it; the beginning may stand in the prompt.
_REASONING_BEGIN = re.compile(r"<(?:think|thinking|thought|reasoning)>")
_REASONING_END = re.compile(r"</(?:think|thinking|thought|reasoning)>")


@dataclass(frozen=True, slots=True)
class Repair:
    """A warning of an answer: `code` is a fixed word, `detail` a sentence for a person."""

    code: str
    detail: str
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Decoded:
    """An answer's fields in the task's order, where each value stands in the answer, and what was repaired."""

    fields: dict[str, str | None]
    spans: dict[str, tuple[int, int]]
    warnings: tuple[Repair, ...]


def grammar(task: Task) -> str:
    """Return the regular expression of the answers that the task allows.

    Key order and spacing are those of `json.dumps` on the training data; every string has a bounded length, so that an
    answer ends.
    """
    shapes = []
    for choice, fields in task.variants.items():
        members = [f'"{field.name}": {_value_pattern(field)}' for field in fields]
        if choice is not None:
            members[0] = f'"{fields[0].name}": "{choice}"'
        shapes.append(r"\{" + ", ".join(members) + r"\}")
    return shapes[0] if len(shapes) == 1 else "(" + "|".join(shapes) + ")"


def _value_pattern(field: TaskField) -> str:
    inside = "(" + "|".join(field.choices) + ")" if field.choices else f"{_STRING_UNIT}{{1,{field.max_chars}}}"
    pattern = f'"{inside}"'
    return f"(null|{pattern})" if field.nullable else pattern


def decode(task: Task, answer: str) -> Decoded:
    """Read the engine's answer.

    Args:
        task: whose fields are expected.
        answer: the whole text of the engine's answer; the caller has checked that it was not cut.

    Raises:
        DecodingError: the answer is neither right nor can be repaired.
    """
    members, warnings = _find_object(task, answer)
    fields: dict[str, str | None] = {}
    spans: dict[str, tuple[int, int]] = {}
    values: dict[str, str | None] = {}
    for key, value, start, end in members:
        field = task.by_name.get(key)
        if field is None:
            warnings.append(Repair("extra_key", "the answer had a key that the task does not have; it was dropped"))
            continue
        if key in values:
            warnings.append(Repair("duplicate_key", "the answer had the field twice; the first stands", key))
            continue
        values[key] = _text_of(task, field, value, warnings)
        spans[key] = (start, end)
    if not values:
        raise DecodingError("no_fields", "the engine's answer holds none of the task's fields")
    for field in _variant(task, values):
        fields[field.name] = _checked(field, values, warnings)
    for name in values.keys() - fields.keys():
        del spans[name]
        warnings.append(
            Repair("extra_key", f"the field does not belong to this {task.fields[0].name}; it was dropped", name)
        )
    return Decoded(fields, spans, tuple(warnings))


def finished_fields(task: Task, answer: str) -> dict[str, str | None]:
    """Return the fields that are complete in an answer that is still growing.

    Args:
        task: whose fields are expected.
        answer: the beginning of the engine's answer.

    Returns:
        The values that are text or null; empty where the answer is no JSON so far. Nothing is raised.
    """
    try:
        members = from_json(answer[answer.index("{", _reasoning_end(answer)) :], allow_partial=True)
    except ValueError:
        return {}
    fields: dict[str, str | None] = {}
    for key, value in members.items():
        spec = task.by_name.get(key)
        if spec is not None and (value is None or isinstance(value, str)):
            warnings: list[Repair] = []
            with suppress(DecodingError):
                fields[key] = _checked(spec, {key: _text_of(task, spec, value, warnings)}, warnings)
    return fields


def confidence(decoded: Decoded, answer: str, tokens: Sequence[tuple[bytes, float]] | None) -> dict[str, float | None]:
    """Return how confident the model was of each value.

    Args:
        decoded: the fields and where they stand in `answer`.
        answer: the engine's answer.
        tokens: bytes and natural-log probability of each token of the answer, in order, or None.

    Returns:
        For each field the geometric mean of the probabilities of the tokens that its value touches, 0 to 1: the model's
        own measure before the grammar was applied, not a calibrated probability of being right. None where there is
        none: no probabilities, or tokens that do not add up to the answer.
    """
    result: dict[str, float | None] = dict.fromkeys(decoded.fields)
    if not tokens:
        return result
    token_bytes, logs = zip(*tokens, strict=True)
    encoded = answer.encode("utf-8", "surrogatepass")
    # A stop token may follow the answer; nothing precedes it.
    if not b"".join(token_bytes).startswith(encoded):
        return result
    ends = list(accumulate(map(len, token_bytes)))
    is_plain = len(encoded) == len(answer)
    for name, (start, end) in decoded.spans.items():
        if not is_plain:
            value = answer[start:end]
            start = len(answer[:start].encode("utf-8", "surrogatepass"))
            end = start + len(value.encode("utf-8", "surrogatepass"))
        touched = logs[bisect_right(ends, start) : bisect_left(ends, end) + 1]
        mean = sum(touched) / len(touched)
        if math.isfinite(mean):
            # A logarithm above 0 is no probability's; that of a large number could not even be undone.
            result[name] = round(math.exp(min(0.0, mean)), 4)
    return result


def _find_object(task: Task, answer: str) -> tuple[list[Member], list[Repair]]:
    """Return the members of the object that has the task's keys, and warnings of the text around it.

    Of several the fullest stands, if the others agree with it; drafts before the end of the model's reasoning do not
    count.

    Raises:
        DecodingError: there is none, or it is unclear which one is meant.
    """
    found: list[tuple[list[Member], int, int]] = []
    tried = 0
    begin = past = _reasoning_end(answer)
    at = answer.find("{", begin)
    while at != -1 and tried < _MAX_OBJECTS:
        tried += 1
        try:
            members, end = _scan_object(answer, at)
        except (ValueError, RecursionError):
            # Not an object of JSON that starts here; one may start later.
            at = answer.find("{", at + 1)
            continue
        if _REASONING_END.search(answer, past, at):
            found.clear()
        past = end
        if any(key in task.by_name for key, *_ in members):
            found.append((members, at, end))
        at = answer.find("{", end)
    if _REASONING_END.search(answer, past):
        found.clear()
    if not found:
        raise DecodingError("not_json", "the engine's answer holds no JSON object that can be read")
    members = _fullest(task, [members for members, *_ in found])
    if at != -1:
        raise _unclear()
    warnings: list[Repair] = []
    if len(found) > 1:
        warnings.append(Repair("several_objects", "the answer held several objects that agree; the fullest stands"))
    _, start, end = found[0]
    if answer[:start].strip() or (len(found) == 1 and answer[end:].strip()):
        warnings.append(Repair("text_around", "the answer had text around its JSON; it was dropped"))
    return members, warnings


def _reasoning_end(answer: str) -> int:
    """Return where the answer begins after the model's reasoning, where it wrote that first."""
    begun = answer.lstrip()
    if begun.startswith("{"):
        return 0
    if match := _REASONING_END.search(answer):
        return match.end()
    return len(answer) if _REASONING_BEGIN.match(begun) else 0


def _fullest(task: Task, objects: Sequence[list[Member]]) -> list[Member]:
    """Return the object with the most of the task's keys.

    Raises:
        DecodingError: another one says something else.
    """
    # Reversed, as the first of a key's values stands.
    known = [{key: value for key, value, *_ in reversed(members) if key in task.by_name} for members in objects]
    fullest = max(range(len(known)), key=lambda number: len(known[number]))
    missing = object()
    if any(known[fullest].get(key, missing) != value for values in known for key, value in values.items()):
        raise _unclear()
    return objects[fullest]


def _unclear() -> DecodingError:
    return DecodingError("several_objects", "the engine's answer holds several objects that differ")


class _Number(str):
    """A number of the answer, with its digits as they were written."""

    __slots__ = ()


_PYTHON_NONE = object()


def _constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_int=_Number, parse_float=_Number, parse_constant=_constant, strict=False)


def _scan_object(text: str, start: int) -> tuple[list[Member], int]:
    """Return the members of the object at `start`, with the spans of their values, and where the object ends.

    Python's own `None` is read too, as models that were shown Python write it.

    Raises:
        ValueError: it is no object.
        RecursionError: it is nested too deep.
    """
    members: list[Member] = []
    at = _skip(text, start + 1)
    if text[at : at + 1] == "}":
        return members, at + 1
    while True:
        if text[at : at + 1] != '"':
            raise ValueError("a key was expected")
        key, at = _DECODER.raw_decode(text, at)
        at = _skip(text, at)
        if text[at : at + 1] != ":":
            raise ValueError("a colon was expected")
        at = _skip(text, at + 1)
        if text.startswith("None", at):
            value: object = _PYTHON_NONE
            end = at + 4
        else:
            value, end = _DECODER.raw_decode(text, at)
        members.append((key, value, at, end))
        at = _skip(text, end)
        if text[at : at + 1] == "}":
            return members, at + 1
        if text[at : at + 1] != ",":
            raise ValueError("a comma was expected")
        at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def _text_of(task: Task, field: TaskField, value: object, warnings: list[Repair]) -> str | None:
    """Return the value as a string or null."""
    name = field.name
    if value is None:
        return None
    if value is _PYTHON_NONE:
        warnings.append(Repair("none_to_null", "the value was Python's None; it was set to null", name))
        return None
    if isinstance(value, _Number):
        warnings.append(Repair("number_to_text", "the value was a number; it was made a text", name))
        return str(value)
    if isinstance(value, list):
        items = _items(value, name)
        warnings.append(
            Repair("list_to_text", f"the value was a list; its items were joined with {task.separator!r}", name)
        )
        value = task.separator.join(items)
    if not isinstance(value, str):
        raise DecodingError("wrong_type", f"the engine's answer has a value for {name} that is neither text nor null")
    if _SURROGATE_OR_REPLACEMENT.search(value):
        value = _SURROGATE_OR_REPLACEMENT.sub("", value)
        warnings.append(Repair("broken_characters", "the value held broken characters; they were removed", name))
    return value.strip()


def _items(values: Sequence[object], name: str) -> list[str]:
    items = []
    for value in values:
        if value is None:
            continue
        if not isinstance(value, str):
            raise DecodingError("wrong_type", f"the engine's answer has a list for {name} whose items are no texts")
        if value.strip():
            items.append(value.strip())
    return items


def _variant(task: Task, values: Mapping[str, str | None]) -> tuple[TaskField, ...]:
    first = task.fields[0]
    if None in task.variants:
        return task.fields
    choice = values.get(first.name)
    if choice not in task.variants:
        raise DecodingError("wrong_choice", f"the engine's answer has no valid {first.name}")
    return task.variants[choice]


def _checked(field: TaskField, values: Mapping[str, str | None], warnings: list[Repair]) -> str | None:
    """Return the field's value as its schema allows it."""
    name = field.name
    if name not in values:
        if not field.nullable:
            raise DecodingError("missing_key", f"the engine's answer lacks {name}")
        warnings.append(Repair("missing_key", "the answer lacked the field; it was set to null", name))
        return None
    value = values[name]
    if value is not None and field.nullable and value.casefold() in _NOTHING:
        warnings.append(
            Repair("empty_to_null", "the value was an empty text or the word for nothing; it was set to null", name)
        )
        value = None
    if not value:
        if not field.nullable:
            raise DecodingError("null_value", f"the engine's answer has no value for {name}")
        return None
    if field.choices:
        if value not in field.choices:
            raise DecodingError("wrong_choice", f"the engine's answer has a {name} that the task does not have")
    elif len(value) >= field.max_chars:
        # The grammar cuts strings at max_chars, so a value of that length may be truncated.
        value = value[: field.max_chars]
        warnings.append(Repair("length_limit", f"the value reached {field.max_chars} characters and may be cut", name))
    return value
