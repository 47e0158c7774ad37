"""The requests that the OpenAI endpoints take: OpenAI's own members, each bounded, and nothing else.

The engine knows more members than these, and each of its releases adds some: other chat templates, addresses that it
fetches, priorities, parameters of its caches. So what is passed on is listed here, member by member.
"""

import difflib
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    FailFast,
    Field,
    Tag,
    TypeAdapter,
    WithJsonSchema,
    create_model,
)

from gateway.api.http.problems import ProblemError, not_valid
from gateway.api.http.readers import MEMBERS, check_values
from gateway.api.schemas import AsJson
from gateway.settings import Settings

# As many as OpenAI's API takes, or more where vLLM's clients are used to more.
_MOST_MESSAGES = 1_000
_MOST_PARTS = 1_000
_MOST_TOOLS = 128
_MOST_STOPS = 16
_MOST_BIASES = 1_024
_MOST_ANSWERS = 128
# The longest context of today's models; the engine's own limit is the model's.
_MOST_TOKENS = 131_072
_MOST_LOGPROBS = 20
_MOST_GUESSES = 5
_DIGITS = "[0-9]{1,10}"
_NOT_TAKEN = frozenset(
    {
        # OpenAI's own that no engine of text has, or that `tools` has replaced.
        "audio", "function_call", "functions", "moderation", "web_search_options",
        # vLLM's.
        "add_generation_prompt", "allowed_token_ids", "bad_words", "bootstrap_host", "bootstrap_port", "cache_salt",
        "chat_template", "chat_template_kwargs", "continue_final_message", "data_parallel_rank", "documents",
        "early_stopping", "guided_choice", "guided_decoding_backend", "guided_grammar", "guided_json", "guided_regex",
        "guided_whitespace_pattern", "include_reasoning", "kv_transfer_params", "length_penalty", "logits_processors",
        "media_io_kwargs", "mm_processor_kwargs", "priority", "prompt_embeds", "prompt_logprobs", "request_id",
        "repetition_detection", "return_token_ids", "structural_tag", "thinking_token_budget", "truncate_prompt_tokens",
        "use_beam_search", "vllm_xargs",
    }
)  # fmt: skip

Flag = bool | None
Object = dict[str, Any]
Unit = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Penalty = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]
Tokens = Annotated[int, Field(strict=False, ge=1, le=_MOST_TOKENS), AsJson]
TokenId = Annotated[int, Field(strict=False, ge=0, le=2**31 - 1), AsJson]
Answers = Annotated[int, Field(strict=False, ge=1, le=_MOST_ANSWERS), AsJson]
Logprobs = Annotated[int, Field(strict=False, ge=0, le=_MOST_LOGPROBS), AsJson]
# The first error of a list is enough; all of them could be thousands.
Objects = Annotated[list[Object], Field(max_length=_MOST_TOOLS), FailFast()]


def _check_biases(biases: dict[str, Any]) -> dict[str, Any]:
    if len(biases) > _MOST_BIASES:
        raise ValueError(f"there may be {_MOST_BIASES} at most")
    for token, bias in biases.items():
        is_number = isinstance(bias, int | float) and not isinstance(bias, bool)
        if not (re.fullmatch(_DIGITS, token) and is_number and -100 <= bias <= 100):
            raise ValueError("each key is a token's id, each value a number from -100 to 100")
    return biases


# Validated as a whole: pydantic's errors would name the keys that were sent.
Biases = Annotated[
    dict[str, Any],
    AfterValidator(_check_biases),
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"pattern": f"^{_DIGITS}$"},
            "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100},
            "maxProperties": _MOST_BIASES,
        }
    ),
]


def _is_list(value: object) -> str:
    return "list" if isinstance(value, list) else "text"


class _Part(BaseModel):
    """A member that holds members. Those that are not listed are left out, as a client may send an answer back."""

    model_config = ConfigDict(extra="ignore", strict=True)


class TextPart(_Part):
    """A part of a message; only text is taken."""

    type: Literal["text"]
    text: str


class ChatMessage(_Part):
    """A message; `content` is a text or a list of parts."""

    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: (
        Annotated[
            Annotated[str, Tag("text")]
            | Annotated[list[TextPart], Field(max_length=_MOST_PARTS), FailFast(), Tag("list")],
            Discriminator(_is_list),
        ]
        | None
    ) = None
    name: str | None = None
    tool_calls: Objects | None = None
    tool_call_id: str | None = None


class StreamOptions(_Part):
    """What a stream reports beside its text."""

    include_usage: Flag = None


class ResponseFormat(_Part):
    """The form of the answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: Object | None = None


class Generation(BaseModel):
    """What both endpoints take."""

    # What is not listed is kept until `_check_members` has refused it; pydantic would make an error of each.
    model_config = ConfigDict(extra="allow", strict=True)
    # They speak to OpenAI's platform, not to a model: taken, so that its clients need no change, and not passed on.
    not_passed_on: ClassVar[frozenset[str]]

    model: str | None = Field(
        default=None, min_length=1, max_length=128, description="The default task's adapter unless set."
    )
    temperature: float | None = Field(default=None, ge=0, le=2, allow_inf_nan=False)
    top_p: Unit | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    max_tokens: Tokens | None = None
    n: Answers | None = Field(default=None, description="Answers; each takes a slot at the engine.")
    seed: Annotated[int, Field(strict=False), AsJson] | None = None
    stop: (
        Annotated[
            Annotated[str, Tag("text")] | Annotated[list[str], Field(max_length=_MOST_STOPS), FailFast(), Tag("list")],
            Discriminator(_is_list),
        ]
        | None
    ) = None
    logit_bias: Biases | None = None
    stream: Flag = None
    stream_options: StreamOptions | None = None

    def slots(self) -> int:
        """Return the answers that the engine generates for the request."""
        return self.n or 1

    def passed_on(self) -> dict[str, Any]:
        """Return the members that the engine gets, as the client sent them."""
        return self.model_dump(exclude_unset=True, exclude=set(self.model_extra or ()))


class ChatRequest(Generation):
    """A chat completion as OpenAI's API takes it."""

    model_config = ConfigDict(
        json_schema_extra={
            "additionalProperties": False,
            "examples": [{"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 16}],
        }
    )
    not_passed_on = frozenset(
        {
            "metadata", "modalities", "prediction", "prompt_cache_key", "prompt_cache_options",
            "prompt_cache_retention", "safety_identifier", "service_tier", "store", "user", "verbosity",
        }
    )  # fmt: skip

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=_MOST_MESSAGES), FailFast()]
    max_completion_tokens: Tokens | None = None
    logprobs: Flag = None
    top_logprobs: Logprobs | None = None
    response_format: ResponseFormat | None = None
    tools: Objects | None = None
    tool_choice: Literal["none", "auto", "required"] | Object | None = None
    parallel_tool_calls: Flag = None
    reasoning_effort: Annotated[str, Field(pattern="^[a-z]{1,16}$")] | None = None


class CompletionRequest(Generation):
    """A completion as OpenAI's API takes it."""

    model_config = ConfigDict(
        json_schema_extra={
            "additionalProperties": False,
            "examples": [{"prompt": "Say hello.", "max_tokens": 16}],
        }
    )
    not_passed_on = frozenset({"user"})

    # Its type depends on the settings: `_prompt_type`.
    prompt: Any
    suffix: str | None = None
    best_of: Answers | None = None
    echo: Flag = None
    logprobs: Logprobs | None = None

    def slots(self) -> int:
        """Return the answers that the engine generates for the request: some for each prompt."""
        prompts = len(self.prompt) if _prompt_kind(self.prompt) in ("texts", "token_lists") else 1
        return prompts * max(self.n or 1, self.best_of or 1)


class _EngineExtras(BaseModel):
    """vLLM's own sampling members, which an operator may allow."""

    top_k: Annotated[int, Field(strict=False, ge=-1, le=2**31 - 1), AsJson] | None = None
    min_p: Unit | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=2, allow_inf_nan=False)] | None = None
    min_tokens: Annotated[int, Field(strict=False, ge=0, le=_MOST_TOKENS), AsJson] | None = None
    ignore_eos: Flag = None
    stop_token_ids: Annotated[list[TokenId], Field(max_length=_MOST_STOPS), FailFast()] | None = None
    include_stop_str_in_output: Flag = None
    skip_special_tokens: Flag = None
    spaces_between_special_tokens: Flag = None
    add_special_tokens: Flag = None
    return_tokens_as_token_ids: Flag = None
    structured_outputs: Object | None = None


EXTRAS = frozenset(_EngineExtras.model_fields)
# Members that an error may name. Any other name is not quoted: it could be anything that was sent.
_NAMED = frozenset(
    {*_NOT_TAKEN, *EXTRAS, *ChatRequest.model_fields, *ChatRequest.not_passed_on, *CompletionRequest.model_fields}
)


def _prompt_kind(value: object) -> str:
    if not isinstance(value, list):
        return "text"
    first = value[0] if value else None
    return "tokens" if isinstance(first, int | float) else "token_lists" if isinstance(first, list) else "texts"


def _prompt_type(most_prompts: int, most_tokens: int) -> Any:
    """Return the type of `prompt`: a text or its token ids, or a list of either."""
    tokens = Annotated[list[TokenId], Field(min_length=1, max_length=most_tokens), FailFast()]
    several = Field(min_length=1, max_length=most_prompts)
    return Annotated[
        Annotated[str, Tag("text")]
        | Annotated[list[str], several, FailFast(), Tag("texts")]
        | Annotated[tokens, Tag("tokens")]
        | Annotated[list[tokens], several, FailFast(), Tag("token_lists")],
        Discriminator(_prompt_kind),
    ]


@lru_cache(maxsize=8)
def _model_for[Request: Generation](
    model: type[Request], most_prompts: int, most_tokens: int, *, extras: bool
) -> type[Request]:
    """Return a model of requests with the members that depend on the settings."""
    fields: dict[str, Any] = {}
    if "prompt" in model.model_fields:
        fields["prompt"] = (_prompt_type(most_prompts, most_tokens), ...)
    if not (fields or extras):
        return model
    bases = (model, _EngineExtras) if extras else (model,)
    return cast(type[Request], create_model(model.__name__, __base__=bases, __doc__=model.__doc__, **fields))


class RequestReader[Request: Generation]:
    """Reads the requests of one endpoint."""

    def __init__(self, model: type[Request], settings: Settings) -> None:
        """Make a reader.

        Args:
            model: of the requests.
            settings: the limits.
        """
        extras = settings.engine_extras == "on"
        self.model = _model_for(model, settings.max_batch_items, settings.max_text_chars, extras=extras)
        self._adapter: TypeAdapter[Request] = TypeAdapter(self.model)
        self._longest = settings.max_text_chars

    def validate_json(self, data: bytes, /) -> Request:
        """Read a body.

        Raises:
            ValidationError: it is not JSON, or a member is not valid.
            ProblemError: 413 when its texts are too long, 422 for members that are not taken.
        """
        # Token ids are values of their own.
        check_values(data, self._longest + MEMBERS, f"a request with {self._longest} characters or tokens of text")
        request = self._adapter.validate_json(data)
        self._check_members(request)
        if _size(request.passed_on(), self._longest) > self._longest:
            raise ProblemError(413, f"all texts together may have {self._longest} characters at most")
        return request

    def _check_members(self, request: Request) -> None:
        """Refuse members that are not taken; one that is null counts as left out.

        Raises:
            ProblemError: there are some. Those that are known are named, the others only counted.
        """
        members = request.model_extra or {}
        names = [name for name, value in members.items() if value is not None and name not in request.not_passed_on]
        if not names:
            return
        known = sorted(_NAMED.intersection(names))
        errors = [{"loc": [name], "msg": _why_not(name), "type": "member_not_taken"} for name in known]
        if others := [name for name in names if name not in _NAMED]:
            meant = {
                match
                for name in others[:_MOST_GUESSES]
                for match in difflib.get_close_matches(name[:64], self.model.model_fields, n=1, cutoff=0.8)
            }
            hint = f"; did you mean {', '.join(f'`{name}`' for name in sorted(meant))}?" if meant else ""
            message = f"the request has members that this endpoint does not know{hint}"
            errors.append({"loc": [], "msg": message, "type": "member_not_known"})
        raise not_valid(errors, count=len(names))


def _why_not(name: str) -> str:
    if name in EXTRAS:
        return "this member is the engine's own; it is taken where the operator has set GATEWAY_ENGINE_EXTRAS=on"
    return "this endpoint does not take this member"


def _size(body: Mapping[str, Any], most: int) -> int:
    """Return how much a request holds for the engine to read; the count ends where it exceeds `most`.

    A text counts its characters, and so do the keys of objects that only the engine reads; a token id and any other
    value in a list or an object counts one.

    Raises:
        ProblemError: a number is not finite; JSON has no such numbers, and the engine would get null.
    """
    size = 0
    for member, value in body.items():
        rest = _contents(value) if member == "messages" else [value] if isinstance(value, str | list | dict) else []
        while rest and size <= most:
            node = rest.pop()
            if isinstance(node, str):
                size += len(node)
                continue
            size += 1
            if isinstance(node, dict):
                size += sum(map(len, node))
                rest.extend(node.values())
            elif isinstance(node, list):
                rest.extend(node)
            elif isinstance(node, float) and not math.isfinite(node):
                error = {"loc": [member], "msg": "Input should be a finite number", "type": "finite_number"}
                raise not_valid([error])
    return size


def _contents(messages: list[dict[str, Any]]) -> list[Any]:
    """Return what the messages hold beside their roles."""
    contents: list[Any] = []
    for message in messages:
        for member, value in message.items():
            if member == "content" and isinstance(value, list):
                contents.extend(part["text"] for part in value)
            elif member != "role" and value is not None:
                contents.append(value)
    return contents
