"""What the OpenAI endpoints take, and what they refuse: by the readers alone, without a server."""

import json
from typing import Any

import pytest
from openai.types import completion_create_params as openai_completion
from openai.types.chat import completion_create_params as openai_chat
from pydantic import ValidationError

from gateway.api.http.problems import ProblemError
from gateway.api.routes.openai_requests import EXTRAS, ChatRequest, CompletionRequest, RequestReader
from gateway.settings import Settings

MARKER = "MARKERJaneDoe"
SETTINGS = Settings(auth="off", max_batch_items=4, max_text_chars=1_000)
CHATS = RequestReader(ChatRequest, SETTINGS)
COMPLETIONS = RequestReader(CompletionRequest, SETTINGS)
CHATS_WITH_EXTRAS = RequestReader(ChatRequest, SETTINGS.model_copy(update={"engine_extras": "on"}))
MESSAGES = [{"role": "user", "content": "Two"}]


def chat(**members: Any) -> dict[str, Any]:
    """Return what the engine gets of a chat with these members."""
    return CHATS.validate_json(json.dumps({"messages": MESSAGES, **members}).encode()).passed_on()


def completion(prompt: Any, **members: Any) -> CompletionRequest:
    return COMPLETIONS.validate_json(json.dumps({"prompt": prompt, **members}).encode())


def refusal(reader: RequestReader[Any], body: Any) -> str:
    """Return all that a client is told of a request that is refused."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        reader.validate_json(data)
    except ValidationError as error:
        return json.dumps(error.errors(include_url=False, include_input=False, include_context=False))
    except ProblemError as error:
        return json.dumps([error.status, str(error), error.errors, error.error_count])
    return pytest.fail("it was not refused")


def test_the_members_are_openais_own() -> None:
    chats = {
        *openai_chat.CompletionCreateParamsNonStreaming.__annotations__,
        *openai_chat.CompletionCreateParamsBase.__annotations__,
    }
    assert {*ChatRequest.model_fields, *ChatRequest.not_passed_on} <= chats
    completions = {
        *openai_completion.CompletionCreateParamsNonStreaming.__annotations__,
        *openai_completion.CompletionCreateParamsBase.__annotations__,
    }
    assert {*CompletionRequest.model_fields, *CompletionRequest.not_passed_on} <= completions


def test_openais_members_are_passed_on_as_they_are() -> None:
    sent = {
        "temperature": 0.5, "top_p": 1, "frequency_penalty": -2, "presence_penalty": 2.0, "max_tokens": 20_000,
        "max_completion_tokens": 16.0, "n": 2, "seed": -7, "stop": ["a", "b"], "logit_bias": {"128001": -100},
        "logprobs": True, "top_logprobs": 20, "parallel_tool_calls": False, "reasoning_effort": "low",
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"$ref": "#"}}},
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}], "tool_choice": "auto",
    }  # fmt: skip
    assert chat(**sent) == {"messages": MESSAGES, **sent}
    assert chat(stop="a", tool_choice={"type": "function", "function": {"name": "f"}})["stop"] == "a"


def test_members_for_openais_platform_are_taken_and_not_passed_on() -> None:
    assert chat(user=MARKER, metadata={"a": MARKER}, store=True, service_tier="auto") == {"messages": MESSAGES}


def test_an_answer_can_be_sent_back_as_a_message() -> None:
    answer = {
        "role": "assistant", "content": None, "refusal": None, "annotations": None, "audio": None,
        "function_call": None, "reasoning_content": "hm", "tool_calls": [{"id": "1", "type": "function"}],
    }  # fmt: skip
    kept = {name: answer[name] for name in ("role", "content", "tool_calls")}
    assert chat(messages=[*MESSAGES, answer])["messages"] == [*MESSAGES, kept]


def test_only_text_is_taken_from_the_parts_of_a_message() -> None:
    parts = [{"type": "text", "text": "One", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "Two"}]
    assert chat(messages=[{"role": "user", "content": parts}])["messages"][0]["content"] == [
        {"type": "text", "text": "One"},
        {"type": "text", "text": "Two"},
    ]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "http://169.254.169.254/latest/meta-data/"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "video_url", "video_url": {"url": "file:///etc/passwd"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA"}},
        {"type": "image_embeds", "image_embeds": "AAAA"},
        {"type": "prompt_embeds", "prompt_embeds": "AAAA"},
        {"image_url": "http://169.254.169.254/"},
        {"type": "text", "text": 7},
        "text",
    ],
)
@pytest.mark.parametrize("reader", [CHATS, CHATS_WITH_EXTRAS])
def test_what_is_not_text_is_refused(reader: RequestReader[Any], part: Any) -> None:
    told = refusal(reader, {"messages": [{"role": "user", "content": [part]}]})
    assert '["messages", 0, "content", "list", 0' in told
    assert "169.254" not in told


@pytest.mark.parametrize(
    "name",
    [
        "chat_template", "chat_template_kwargs", "kv_transfer_params", "prompt_embeds", "request_id", "priority",
        "cache_salt", "logits_processors", "vllm_xargs", "mm_processor_kwargs", "documents", "audio", "functions",
        "prompt_logprobs", "best_of", "prompt",
    ],
)  # fmt: skip
@pytest.mark.parametrize("reader", [CHATS, CHATS_WITH_EXTRAS])
def test_the_engines_dangerous_members_and_those_of_another_endpoint_are_never_taken(
    reader: RequestReader[Any], name: str
) -> None:
    told = refusal(reader, {"messages": MESSAGES, name: MARKER})
    assert json.loads(told)[2][0]["loc"] == [name]
    assert MARKER not in told


@pytest.mark.parametrize("name", sorted(EXTRAS))
def test_the_engines_sampling_members_are_named_with_the_setting_that_takes_them(name: str) -> None:
    told = refusal(CHATS, {"messages": MESSAGES, name: 1})
    assert json.loads(told)[2][0]["loc"] == [name]
    assert "GATEWAY_ENGINE_EXTRAS=on" in told


def test_the_engines_sampling_members_are_passed_on_where_the_operator_allows_it() -> None:
    extras = {"top_k": 40, "min_p": 0.1, "ignore_eos": True, "structured_outputs": {"choice": ["a", "b"]}}
    read = CHATS_WITH_EXTRAS.validate_json(json.dumps({"messages": MESSAGES, **extras}).encode())
    assert read.passed_on() == {"messages": MESSAGES, **extras}
    assert "finite" in refusal(CHATS_WITH_EXTRAS, {"messages": MESSAGES, "structured_outputs": {"x": float("inf")}})
    assert "min_tokens" in refusal(CHATS_WITH_EXTRAS, {"messages": MESSAGES, "min_tokens": 10**9})


def test_members_that_nobody_knows_are_counted_but_not_quoted() -> None:
    told = refusal(CHATS, {"messages": MESSAGES, MARKER: MARKER, "jane_doe": 1, "max_token": 5, "top_k": 1})
    assert MARKER not in told
    assert "jane_doe" not in told
    assert "did you mean `max_tokens`?" in told
    assert json.loads(told)[3] == 4


def test_a_member_that_is_null_is_as_good_as_left_out() -> None:
    assert chat(top_k=None, priority=None, n=None) == {"messages": MESSAGES, "n": None}


@pytest.mark.parametrize(
    "members",
    [
        {"max_completion_tokens": 10**9},
        {"max_tokens": 0},
        {"n": 129},
        {"n": True},
        {"n": 1.5},
        {"stop": ["x"] * 17},
        {"stop": [1]},
        {"top_logprobs": 10**6},
        {"logprobs": 1},
        {"seed": 1.5},
        {"temperature": 2.1},
        {"top_p": -0.1},
        {"logit_bias": {MARKER: 1}},
        {"logit_bias": {"1": 101}},
        {"logit_bias": {"1": True}},
        {"logit_bias": dict.fromkeys(map(str, range(2_000)), 1)},
        {"tools": [{}] * 129},
        {"tools": [MARKER]},
        {"tool_choice": MARKER},
        {"response_format": {"type": "structural_tag"}},
        {"response_format": "json_object"},
        {"stream": "yes"},
        {"stream_options": []},
        {"messages": []},
        {"messages": MESSAGES * 1_001},
        {"messages": [{"role": MARKER, "content": "x"}]},
        {"messages": [{"role": "user<|eot_id|>", "content": "x"}]},
        {"messages": [MARKER]},
        {"messages": MARKER},
    ],
)
def test_a_member_out_of_its_bounds_is_refused_without_its_value(members: dict[str, Any]) -> None:
    told = refusal(CHATS, {"messages": MESSAGES, **members})
    assert next(iter(members)) in told or "characters at most" in told
    assert MARKER not in told


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400"])
@pytest.mark.parametrize(
    "member",
    [
        '"temperature": {}',
        '"seed": {}',
        '"logit_bias": {{"1": {}}}',
        '"tools": [{{"function": {{"parameters": {{"minimum": {}}}}}}}]',
        '"response_format": {{"type": "json_schema", "json_schema": {{"x": [{}]}}}}',
    ],
)
def test_a_number_that_json_does_not_have_is_refused(member: str, number: str) -> None:
    body = f'{{"messages": [{{"role": "user", "content": "x"}}], {member.format(number)}}}'.encode()
    assert member.partition(":")[0].strip('"') in refusal(CHATS, body)


@pytest.mark.parametrize(
    ("prompt", "slots"),
    [("", 1), ("One", 1), (["One", ""], 2), ([1, 2, 128_000], 1), ([[1, 2], [3]], 2), ([1.0], 1)],
)
def test_a_prompt_is_a_text_or_token_ids_or_a_list_of_either(prompt: Any, slots: int) -> None:
    read = completion(prompt)
    assert read.passed_on() == {"prompt": prompt}
    assert read.slots() == slots


@pytest.mark.parametrize(
    "prompt",
    [
        None, 7, True, {}, [], [[]], [[1], []], ["x"] * 5, [[1]] * 5, [-1], [True], [1.5], [2**31], [1, "x"], ["x", 1],
        [[1], "x"], [["x"]], [None], [{}],
    ],
)  # fmt: skip
def test_any_other_prompt_is_refused(prompt: Any) -> None:
    assert "prompt" in refusal(COMPLETIONS, {"prompt": prompt})


@pytest.mark.parametrize(
    ("members", "slots"), [({}, 2), ({"n": 3}, 6), ({"best_of": 4}, 8), ({"n": 5, "best_of": 4}, 10), ({"n": None}, 2)]
)
def test_each_answer_to_each_prompt_takes_a_slot(members: dict[str, Any], slots: int) -> None:
    assert completion(["One", "Two"], **members).slots() == slots


def test_each_answer_of_a_chat_takes_a_slot() -> None:
    assert CHATS.validate_json(json.dumps({"messages": MESSAGES, "n": 3}).encode()).slots() == 3


LONG = "x" * 1_001


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": LONG}]},
        {"messages": [{"role": "user", "content": "x" * 600}, {"role": "assistant", "content": "x" * 600}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x" * 600}] * 2}]},
        {"messages": [{"role": "user", "content": "x", "name": LONG}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": LONG}}]}]},
        {"messages": MESSAGES, "tools": [{"function": {"description": LONG}}]},
        {"messages": MESSAGES, "tools": [{"function": {LONG: 1}}]},
        {"messages": MESSAGES, "tools": [{"x": [[]] * 1_001}]},
        {"messages": MESSAGES, "response_format": {"type": "json_schema", "json_schema": {"x": LONG}}},
        {"messages": MESSAGES, "tool_choice": {"x": LONG}},
        {"messages": MESSAGES, "stop": LONG},
    ],
)
def test_all_texts_of_a_chat_count_towards_its_length(body: Any) -> None:
    assert refusal(CHATS, body).startswith('[413, "all texts together may have 1000 characters at most"')


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": LONG},
        {"prompt": ["x" * 600, "x" * 600]},
        {"prompt": [[1] * 600, [1] * 600]},
        {"prompt": "x", "suffix": LONG},
    ],
)
def test_all_texts_and_token_ids_of_a_completion_count_towards_its_length(body: Any) -> None:
    assert refusal(COMPLETIONS, body).startswith("[413, ")


def test_a_text_as_long_as_the_setting_allows_is_taken() -> None:
    assert completion("x" * 1_000).passed_on()["prompt"] == "x" * 1_000
    # Separators in a text are no members.
    assert completion(",:" * 500).slots() == 1
    assert completion(list(range(900))).slots() == 1
