"""One extraction: prompt, engine, decoding and evidence, and the pieces of a long text made one answer."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from gateway.engine.circuit import CircuitOpenError
from gateway.engine.completion import Completion
from gateway.engine.engine import Engine
from gateway.engine.errors import EngineError, EngineRejectedError, EngineTimeoutError, EngineUnavailableError
from gateway.engine.gate import Gate, RefusedError
from gateway.extraction import chunking
from gateway.extraction.budget import TokenBudget
from gateway.extraction.decoding import Decoded, DecodingError, Repair, confidence, decode, grammar
from gateway.grounding.grounder import Evidence, Grounder
from gateway.observability.metrics import Metrics
from gateway.tasks import Task
from gateway.tasks.prompting import build_messages

Grounding = Literal["off", "report", "strict"]
_RETRY_PAUSE = 0.1
# Of one text, so that a long one leaves room for others.
_PIECES_AT_ONCE = 8
_LONG_CHARS = 8_000


class CutAnswerError(DecodingError):
    """The answer reached max_tokens before it was whole."""

    def __init__(self, max_tokens: int) -> None:
        super().__init__(
            "cut", f"the engine's answer was cut at max_tokens ({max_tokens}); ask with a larger max_tokens"
        )


class UnknownModelError(Exception):
    """The engine does not serve the model that the client asked for."""


class AdapterMissingError(EngineUnavailableError):
    """The engine does not serve the task's adapter."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a client may choose for one extraction; None takes the task's own value."""

    temperature: float | None = None
    max_tokens: int | None = None
    model: str | None = None
    grounding: Grounding = "report"


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the text, code points `start` to `end`, and how it went: `ok`, or `failed` with a reason."""

    index: int
    start: int
    end: int
    status: Literal["ok", "failed"] = "ok"
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Extraction:
    """The answer to one text."""

    fields: Mapping[str, str | None]
    evidence: Mapping[str, list[Evidence]]
    confidence: Mapping[str, float | None]
    raw_output: str
    tokens_used: int
    model: str
    chunks: tuple[Piece, ...]
    warnings: tuple[Repair, ...]


@dataclass(frozen=True, slots=True)
class _Call:
    """What holds for all pieces of one extraction."""

    task: Task
    model: str
    temperature: float
    max_tokens: int
    deadline: float
    request_id: str | None
    on_text: Callable[[str], None] | None


@dataclass(frozen=True, slots=True)
class _Answer:
    """One piece's answer."""

    decoded: Decoded
    confidence: Mapping[str, float | None]
    completion: Completion


class Extractor:
    """Runs extractions. It holds no state of a request, so one serves all."""

    def __init__(self, engine: Engine, gate: Gate, tasks: Mapping[str, Task], metrics: Metrics) -> None:
        """Take the engine, the gate before it, the tasks, whose grammars are made once here, and the metrics to
        keep.
        """
        self._metrics = metrics
        self._engine = engine
        self._gate = gate
        self._budget = TokenBudget(engine)
        self._grammars = {name: grammar(task) for name, task in tasks.items()}

    async def extract(
        self,
        task: Task,
        text: str,
        options: Options,
        *,
        deadline: float,
        request_id: str | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> Extraction:
        """Extract one text.

        Args:
            task: what to extract.
            text: the text as the client sent it; evidence counts in its code points.
            options: the client's choices.
            deadline: when to give up, by the event loop's clock, in seconds.
            request_id: passed on to the engine.
            on_text: is called with the engine's answer so far each time that it has grown, where the text is one piece.

        Raises:
            RefusedError, DecodingError, EngineError, CircuitOpenError: as the layers below; of a text in several
                pieces, only when all fail, and then the first one's.
            UnknownModelError: `options.model` is not served.
        """
        call = _Call(
            task,
            options.model or task.adapter,
            task.temperature if options.temperature is None else options.temperature,
            options.max_tokens or task.max_tokens,
            deadline,
            request_id,
            on_text,
        )
        try:
            extraction = await self._extract(call, text, options.grounding)
        except Exception as error:
            self._metrics.extracted(task.name, reason_of(error))
            if isinstance(error, RefusedError):
                self._metrics.refused(error.reason)
            raise
        self._metrics.extracted(task.name, "ok")
        for warning in extraction.warnings:
            self._metrics.repaired(task.name, warning.code)
        if options.grounding != "off":
            evidence = extraction.evidence
            self._metrics.ungrounded(
                task.name, sum(1 for name, value in extraction.fields.items() if value and not evidence[name])
            )
        return extraction

    async def _extract(self, call: _Call, text: str, grounding: Grounding) -> Extraction:
        pieces, call = await self._split(call, text)
        try:
            if len(pieces) == 1:
                answers: list[_Answer | BaseException] = [await self._answer(call, text)]
            else:
                quiet = replace(call, on_text=None)
                answers = await _all([self._answer(quiet, piece.text) for piece in pieces])
        except EngineRejectedError as error:
            if error.status != 404:
                raise
            if call.model == call.task.adapter:
                raise AdapterMissingError("the engine does not serve this task's adapter") from error
            raise UnknownModelError("the engine serves no model of this name") from error
        good = [answer for answer in answers if isinstance(answer, _Answer)]
        if not good:
            raise next(answer for answer in answers if isinstance(answer, BaseException))
        report = [
            Piece(piece.index, piece.start, piece.end)
            if isinstance(answer, _Answer)
            else Piece(piece.index, piece.start, piece.end, "failed", reason_of(answer))
            for piece, answer in zip(pieces, answers, strict=True)
        ]
        fields, sure, warnings = _merged(call.task, good)
        warnings += [
            Repair("piece_failed", f"characters {piece.start} to {piece.end} gave no answer: {piece.error}")
            for piece in report
            if piece.status == "failed"
        ]
        evidence: dict[str, list[Evidence]] = {}
        if grounding != "off":
            evidence = await _here_or_aside(text, _ground, text, fields)
        if grounding == "strict":
            _drop_ungrounded(call.task, fields, evidence, sure, warnings)
        return Extraction(
            fields=fields,
            evidence=evidence,
            confidence=sure,
            raw_output="\n".join(answer.completion.text for answer in good),
            tokens_used=sum(answer.completion.total_tokens for answer in good),
            model=call.model,
            chunks=tuple(report),
            warnings=tuple(warnings),
        )

    async def _split(self, call: _Call, text: str) -> tuple[list[chunking.Chunk], _Call]:
        """The pieces that the engine can take, and the call with as many tokens for an answer as there are."""
        whole = [chunking.Chunk(index=0, start=0, end=len(text), text=text)]
        limit, max_tokens = await self._budget.limits(call.task, call.model, call.max_tokens, deadline=call.deadline)
        call = replace(call, max_tokens=max_tokens) if max_tokens != call.max_tokens else call
        if self._budget.surely_fits(call.model, text, limit):
            return whole, call
        count = await self._budget.counter(call.model, text, deadline=call.deadline)
        overlap = min(call.task.overlap_tokens, limit // 4)
        return await _here_or_aside(text, chunking.split, text, limit, overlap, count), call

    async def _answer(self, call: _Call, text: str) -> _Answer:
        """One call of the engine, and a second one where that can help."""
        body: dict[str, Any] = {
            "model": call.model,
            "messages": build_messages(call.task, text),
            "temperature": call.temperature,
            "max_tokens": call.max_tokens,
            "structured_outputs": {"regex": self._grammars[call.task.name]},
            "logprobs": True,
            "top_logprobs": 0,
        }
        try:
            return await self._attempt(call, text, body)
        except EngineUnavailableError:
            await asyncio.sleep(_RETRY_PAUSE)
        except CutAnswerError:
            raise
        except DecodingError:
            # At temperature 0 the same answer would come again.
            if call.temperature == 0:
                raise
        return await self._attempt(call, text, body)

    async def _attempt(self, call: _Call, text: str, body: Mapping[str, Any]) -> _Answer:
        async with self._gate.place():
            began = time.monotonic()
            if call.on_text is None:
                completion = await self._engine.complete(body, deadline=call.deadline, request_id=call.request_id)
            else:
                told = self._timed(call.task, began, call.on_text)
                completion = await self._engine.complete_in_parts(
                    body, told, deadline=call.deadline, request_id=call.request_id
                )
        self._metrics.engine_answered(
            call.task.name, time.monotonic() - began, completion.prompt_tokens, completion.completion_tokens
        )
        self._budget.learn(call.model, text, completion.prompt_tokens)
        if completion.finish_reason == "length":
            raise CutAnswerError(call.max_tokens)
        if completion.finish_reason == "abort":
            raise EngineUnavailableError("the engine broke off the answer")
        decoded = decode(call.task, completion.text)
        return _Answer(decoded, confidence(decoded, completion.text, completion.tokens), completion)

    def _timed(self, task: Task, began: float, on_text: Callable[[str], None]) -> Callable[[str], None]:
        """`on_text`, with its first call measured."""
        first = True

        def told(text: str) -> None:
            nonlocal first
            if first:
                first = False
                self._metrics.first_token(task.name, time.monotonic() - began)
            on_text(text)

        return told


async def _here_or_aside[**P, R](text: str, work: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
    """Do work on a text; on a long one in a thread, so that other requests go on."""
    if len(text) <= _LONG_CHARS:
        return work(*arguments, **named)
    return await asyncio.to_thread(work, *arguments, **named)


async def _all(calls: Sequence[Coroutine[Any, Any, _Answer]]) -> list[_Answer | BaseException]:
    """All pieces, a few at once; one that fails does not end the others, but a wrong model or a refusal ends all."""
    places = asyncio.Semaphore(_PIECES_AT_ONCE)

    async def one(call: Coroutine[Any, Any, _Answer]) -> _Answer:
        async with places:
            return await call

    tasks = [asyncio.create_task(one(call)) for call in calls]
    try:
        results = await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        for task in tasks:
            task.cancel()
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, DecodingError | EngineError | CircuitOpenError):
            raise result
        if isinstance(result, EngineRejectedError) and result.status == 404:
            raise result
    return results


def reason_of(error: BaseException) -> str:
    """Why an extraction or a piece of one failed, as a fixed word."""
    match error:
        case DecodingError() | RefusedError():
            return error.reason
        case UnknownModelError():
            return "unknown_model"
        case EngineTimeoutError():
            return "too_late"
        case EngineRejectedError():
            return "refused"
        case EngineError() | CircuitOpenError():
            return "unavailable"
        case _:
            return "internal"


def _merged(task: Task, answers: list[_Answer]) -> tuple[dict[str, str | None], dict[str, float | None], list[Repair]]:
    """One answer from the pieces' answers, by the merge rule of the task or of the field."""
    warnings = [warning for answer in answers for warning in answer.decoded.warnings]
    if len(answers) == 1:
        only = answers[0]
        return dict(only.decoded.fields), dict(only.confidence), warnings
    first = task.fields[0].name
    shape = task.variant(answers[0].decoded.fields.get(first))
    if None not in task.variants:
        # Pieces that chose otherwise have other fields; the first piece's choice stands.
        answers = [answer for answer in answers if task.variant(answer.decoded.fields.get(first)) == shape]
    values = [answer.decoded.fields for answer in answers]
    fields = chunking.merge(values, {spec.name: spec.merge or task.merge for spec in shape}, task.separator)
    sure: dict[str, float | None] = {}
    for name, value in fields.items():
        # The least sure of the pieces that the value, or its absence, came from.
        known = [
            answer.confidence[name] for answer in answers if (answer.decoded.fields[name] is None) == (value is None)
        ]
        sure[name] = min((number for number in known if number is not None), default=None)
    return fields, sure, warnings


def _ground(text: str, fields: Mapping[str, str | None]) -> dict[str, list[Evidence]]:
    grounder = Grounder(text)
    return {name: grounder.find(value) if value else [] for name, value in fields.items()}


def _drop_ungrounded(
    task: Task,
    fields: dict[str, str | None],
    evidence: Mapping[str, list[Evidence]],
    sure: dict[str, float | None],
    warnings: list[Repair],
) -> None:
    for name, value in fields.items():
        if value is not None and not evidence[name] and task.by_name[name].nullable and not task.by_name[name].choices:
            fields[name] = None
            sure[name] = None
            warnings.append(
                Repair("ungrounded", "nothing in the text says the value; strict grounding set it to null", name)
            )
