"""Bodies as large as they may be, of any JSON: refused quickly, with a short answer that repeats nothing of them."""

import io
import time
from collections.abc import Callable
from itertools import product
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from gateway.api.http.body import Adapter
from gateway.api.http.problems import ProblemError, not_valid, problem
from gateway.api.http.readers import TextReader
from gateway.api.routes.batch import BatchReader
from gateway.api.routes.openai_requests import EXTRAS, ChatRequest, CompletionRequest, RequestReader
from gateway.api.schemas import ExtractRequest
from gateway.settings import Settings
from tests.gateway.conftest import Gateway

MARKER = "MARKERJaneDoe"
BYTES = 4_194_304
SETTINGS = Settings(auth="off")
# Each with the member that holds its text or its list.
READERS: dict[str, tuple[Adapter[Any], str]] = {
    "one text": (TextReader(ExtractRequest), "text"),
    "batch": (BatchReader(SETTINGS.max_batch_items), "items"),
    "chat": (RequestReader(ChatRequest, SETTINGS), "messages"),
    "completion": (RequestReader(CompletionRequest, SETTINGS), "prompt"),
}
# Of the processor, for the test's own part too, so that a busy machine does not count.
SECONDS = 1.0


def _filled(before: str, unit: str | Callable[[int], str], after: str) -> bytes:
    """Return a body of nearly the greatest length: as many units, with commas between them, as fit."""
    length = len(unit(1_000_000) if callable(unit) else unit) + 1
    units = (BYTES - len(before) - len(after)) // length
    inner = ",".join(map(unit, range(units))) if callable(unit) else (unit + ",") * (units - 1) + unit
    return (before + inner + after).encode()


def _in_list(item: str) -> Callable[[str], bytes]:
    return lambda member: _filled(f'{{"{member}": [', item, "]}")


def _messages_of(content: str) -> Callable[[str], bytes]:
    """Return a maker of bodies whose items hold lists of their own."""
    items = ",".join([content] * 1_000)
    item = f'{{"role": "user", "content": [{items}], "text": [{items}]}}'
    return lambda member: _filled(f'{{"{member}": [', item, "]}")


SHAPES: dict[str, Callable[[str], bytes]] = {
    "numbers": _in_list("0"),
    "texts": _in_list('"a"'),
    "empty texts": _in_list('""'),
    "objects": _in_list("{}"),
    "valid items": _in_list('{"role":"user","content":"a","text":"a"}'),
    "lists of numbers": _in_list("[0]"),
    "items of wrong types": _in_list(f'{{"role":7,"content":[],"text":{{"{MARKER}":1}},"id":[]}}'),
    "lists in items": _messages_of("0"),
    "deep lists": lambda member: f'{{"{member}": '.encode() + b"[" * (BYTES - 100),
    "deep objects": lambda member: f'{{"{member}": '.encode() + b'{"a":' * (BYTES // 5 - 100),
    "one long number": lambda member: f'{{"{member}": '.encode() + b"9" * (BYTES - 100) + b"}",
    "one long text": lambda member: f'{{"{member}": "{MARKER * (BYTES // len(MARKER) - 10)}"}}'.encode(),
    "one long name": lambda member: f'{{"{MARKER * (BYTES // len(MARKER) - 10)}": 1}}'.encode(),
    "many members": lambda member: _filled("{", lambda number: f'"{MARKER}{number:07}":0', "}"),
    "many members of a list's item": lambda member: _filled(
        f'{{"{member}": [{{', lambda number: f'"{MARKER}{number:07}":0', "}]}"
    ),
    "white space": lambda member: b" " * BYTES,
    "no JSON": lambda member: MARKER.encode() * (BYTES // len(MARKER)),
    "half emojis": lambda member: _filled(f'{{"{member}": [', '"\\ud83d"', "]}"),
}


def _problem(reader: Adapter[Any], body: bytes) -> dict[str, Any]:
    """Return the problem document of a body that is refused."""
    try:
        reader.validate_json(body)
    except ValidationError as error:
        refusal = not_valid(error.errors(include_url=False, include_input=False, include_context=False))
    except ProblemError as error:
        refusal = error
    else:
        return pytest.fail("it was not refused")
    return problem({"path": "/v1/"}, refusal)


# What the readers take: a text's length is checked by the extraction.
TAKEN = {("one text", "one long text")}
CASES = [case for case in product(READERS, SHAPES) if case not in TAKEN]


@pytest.mark.parametrize(("endpoint", "shape"), CASES)
def test_a_large_body_of_any_json_gets_a_short_refusal_soon(endpoint: str, shape: str) -> None:
    reader, member = READERS[endpoint]
    body = SHAPES[shape](member)
    assert len(body) <= BYTES
    began = time.process_time()
    document = _problem(reader, body)
    seconds = time.process_time() - began
    assert document["status"] in (413, 422)
    told = orjson.dumps(document)
    assert len(told) < 20_000
    assert MARKER.encode() not in told
    assert seconds < SECONDS


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        (text, endpoint)
        for text in (",:" * 30_000, '\\",' * 20_000, "\\\\" * 40_000, ',"' * 40_000)
        for endpoint in READERS
    ],
)
def test_values_are_counted_not_what_texts_hold(text: str, endpoint: str) -> None:
    documents: dict[str, dict[str, Any]] = {
        "one text": {"text": text, "task": ["," * 9]},
        "batch": {"items": [text, {"text": text, "id": ":"}]},
        "chat": {"messages": [{"role": "user", "content": text}]},
        "completion": {"prompt": [text, ","]},
    }
    READERS[endpoint][0].validate_json(orjson.dumps(documents[endpoint]))


@pytest.mark.parametrize("path", ["/api/v1/extract", "/api/v1/extract/batch", "/v1/completions"])
async def test_a_large_body_is_refused_over_http_too(gateway: Gateway, path: str) -> None:
    for shape in ("objects", "half emojis"):
        reply = await gateway.call("POST", path, data=io.BytesIO(SHAPES[shape]("items")))
        assert reply.status in (413, 422)
        assert len(reply.body) < 20_000


async def test_an_item_with_many_members_fails_alone_with_a_short_error(gateway: Gateway) -> None:
    body = orjson.dumps({"items": [{f"{MARKER}{number}": number for number in range(3_000)}]})
    reply = await gateway.call("POST", "/api/v1/extract/batch", data=io.BytesIO(body))
    assert [result["status"] for result in reply.json["results"]] == [422]
    assert len(reply.body) < 20_000


async def test_twenty_errors_are_shown_and_all_are_counted(gateway: Gateway) -> None:
    unknown = [f"member_{number}" for number in range(30)]
    body = {"messages": [{"role": "user", "content": "x"}], **dict.fromkeys([*unknown, *EXTRAS, "priority"], MARKER)}
    reply = await gateway.call("POST", "/v1/chat/completions", json=body)
    assert reply.status == 422
    assert reply.json["error_count"] == 30 + len(EXTRAS) + 1
    errors = not_valid([{"loc": [number], "msg": "x" * 1_000, "type": "x"} for number in range(50)])
    assert errors.errors is not None
    assert (len(errors.errors), errors.error_count) == (20, 50)
