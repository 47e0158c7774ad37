"""One extraction: the text is split into chunks, the engine reads each, and their answers become one."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from gateway.engine.circuit import CircuitOpenError
from gateway.engine.engine import Engine
from gateway.engine.errors import EngineError, EngineRejectedError, EngineTimeoutError, EngineUnavailableError
from gateway.engine.gate import Gate
from gateway.extraction.answer import ChunkAnswer, ChunkReport, Extraction, Options
from gateway.extraction.budget import TokenBudget
from gateway.extraction.chunking import Chunk, split
from gateway.extraction.decoding import Repair, confidence, decode, grammar
from gateway.extraction.errors import AdapterMissingError, CutAnswerError, DecodingError, UnknownModelError
from gateway.extraction.evidence import find_evidence
from gateway.extraction.merging import drop_ungrounded, merge_answers
from gateway.extraction.reporting import count_failure, count_success, reason_of
from gateway.extraction.times import resolve_times
from gateway.extraction.workers import Workers
from gateway.grounding.grounder import Evidence
from gateway.observability.metrics import Metrics
from gateway.tasks import Task
from gateway.tasks.prompting import build_messages

_RETRY_PAUSE = 0.1
# Of one text, so that a long one leaves room for others.
_CHUNKS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class _Call:
    """What holds for all chunks of one extraction."""

    task: Task
    model: str
    temperature: float
    max_tokens: int
    deadline: float
    request_id: str | None
    client: str
    cache_salt: str | None
    on_text: Callable[[str], None] | None


class Extractor:
    """Runs extractions. It holds no state of a request, so one serves all."""

    def __init__(self, engine: Engine, gate: Gate, tasks: Mapping[str, Task], metrics: Metrics) -> None:
        """Make an extractor.

        Args:
            engine: reads the chunks.
            gate: bounds the calls of the engine.
            tasks: all tasks by name; their grammars are built once, here.
            metrics: counts extractions.
        """
        self._metrics = metrics
        self._engine = engine
        self._gate = gate
        self._workers = Workers()
        self._budget = TokenBudget(engine, self._workers)
        self._grammars = {name: grammar(task) for name, task in tasks.items()}

    async def extract(
        self,
        task: Task,
        text: str,
        options: Options,
        *,
        deadline: float,
        request_id: str | None = None,
        client: str = "",
        cache_salt: str | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> Extraction:
        """Extract one text.

        Args:
            task: what to extract.
            text: the text as the client sent it; evidence counts in its code points.
            options: the client's choices.
            deadline: when to give up, by the event loop's clock, in seconds.
            request_id: passed on to the engine.
            client: who asks, for its share of the gate.
            cache_salt: of the client, for the engine's prefix cache.
            on_text: called with the engine's answer so far whenever it has grown; not for a text of several chunks.

        Raises:
            RefusedError, DecodingError, EngineError, CircuitOpenError: as the layers below; of several chunks only
                when all fail, and then the first one's.
            UnknownModelError: `options.model` is not served.
        """
        call = _Call(
            task,
            options.model or task.adapter,
            task.temperature if options.temperature is None else options.temperature,
            options.max_tokens or task.max_tokens,
            deadline,
            request_id,
            client,
            cache_salt,
            on_text,
        )
        try:
            extraction = await self._extract(call, text, options)
        except Exception as error:
            count_failure(self._metrics, task.name, error)
            raise
        count_success(self._metrics, task.name, extraction, options.grounding)
        return extraction

    async def _extract(self, call: _Call, text: str, options: Options) -> Extraction:
        chunks, call = await self._split(call, text)
        results = await self._answers(call, chunks)
        answers = [result for result in results if isinstance(result, ChunkAnswer)]
        if not answers:
            raise next(result for result in results if isinstance(result, BaseException))
        fields, confidences, warnings = merge_answers(call.task, answers)
        reports = [_report(chunk, result) for chunk, result in zip(chunks, results, strict=True)]
        warnings += [
            Repair("piece_failed", f"characters {report.start} to {report.end} gave no answer: {report.error}")
            for report in reports
            if report.status == "failed"
        ]
        evidence: dict[str, list[Evidence]] = {}
        if options.grounding != "off":
            evidence, unfinished = await find_evidence(self._workers, text, fields, seconds=_left(call.deadline))
            warnings += unfinished
        if options.grounding == "strict":
            drop_ungrounded(call.task, fields, evidence, confidences, warnings)
        resolved: Mapping[str, str | None] | None = None
        if options.said_at is not None:
            resolved, unresolved = resolve_times(call.task, fields, options.said_at)
            warnings += unresolved
        return Extraction(
            fields=fields,
            evidence=evidence,
            confidence=confidences,
            raw_output="\n".join(answer.completion.text for answer in answers),
            tokens_used=sum(answer.completion.total_tokens for answer in answers),
            model=call.model,
            chunks=tuple(reports),
            warnings=tuple(warnings),
            resolved=resolved,
        )

    async def _split(self, call: _Call, text: str) -> tuple[list[Chunk], _Call]:
        """Return the chunks that the engine can take, and the call with as many answer tokens as there is room for."""
        limit, max_tokens = await self._budget.limits(call.task, call.model, call.max_tokens, deadline=call.deadline)
        call = replace(call, max_tokens=max_tokens) if max_tokens != call.max_tokens else call
        if self._budget.surely_fits(call.model, text, limit):
            return [Chunk(index=0, start=0, end=len(text), text=text)], call
        # Counting is work for the engine too, and none is done for a text that the queue has no room for.
        async with self._gate.slot(call.client):
            count = await self._budget.counter(call.model, text, deadline=call.deadline)
        overlap = min(call.task.overlap_tokens, limit // 4)
        until = time.monotonic() + _left(call.deadline)

        def count_in_time(part: str) -> int:
            if time.monotonic() > until:
                raise EngineTimeoutError("the request's time ended while its text was split", reason="timeout")
            return count(part)

        try:
            chunks = await self._workers.run(
                lambda: split(text, limit, overlap, count_in_time), seconds=_left(call.deadline)
            )
        except TimeoutError:
            raise EngineTimeoutError("the request's time ended while its text was split", reason="timeout") from None
        return chunks, call

    async def _answers(self, call: _Call, chunks: Sequence[Chunk]) -> list[ChunkAnswer | BaseException]:
        """Have the engine read all chunks; one that fails gives its error, a model that is not served ends all."""
        try:
            if len(chunks) == 1:
                return [await self._answer(call, chunks[0].text)]
            call = replace(call, on_text=None)
            return await _all([partial(self._answer, call, chunk.text) for chunk in chunks])
        except EngineRejectedError as error:
            if error.engine_status != 404:
                raise
            if call.model == call.task.adapter:
                raise AdapterMissingError("the engine does not serve this task's adapter") from error
            raise UnknownModelError("the engine serves no model of this name") from error

    async def _answer(self, call: _Call, text: str) -> ChunkAnswer:
        """Call the engine, and a second time where that can help."""
        dialect = self._engine.dialect
        body: dict[str, Any] = {
            "model": call.model,
            "messages": build_messages(call.task, text),
            "temperature": call.temperature,
            "max_tokens": call.max_tokens,
            **dialect.constrained(self._grammars[call.task.name]),
            **dialect.probabilities,
        }
        if call.cache_salt is not None:
            body |= dialect.private(call.cache_salt)
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

    async def _attempt(self, call: _Call, text: str, body: Mapping[str, Any]) -> ChunkAnswer:
        async with self._gate.slot(call.client):
            began = time.monotonic()
            if call.on_text is None:
                completion = await self._engine.complete(body, deadline=call.deadline, request_id=call.request_id)
            else:
                on_text = self._timed(call.task, began, call.on_text)
                completion = await self._engine.complete_in_parts(
                    body, on_text, deadline=call.deadline, request_id=call.request_id
                )
        self._metrics.engine_answered(
            call.task.name, time.monotonic() - began, completion.prompt_tokens, completion.completion_tokens
        )
        self._budget.learn(call.model, text, completion.prompt_tokens)
        if completion.finish_reason == "length":
            raise CutAnswerError(call.max_tokens)
        decoded = decode(call.task, completion.text)
        return ChunkAnswer(decoded, confidence(decoded, completion.text, completion.tokens), completion)

    def _timed(self, task: Task, began: float, on_text: Callable[[str], None]) -> Callable[[str], None]:
        """Return `on_text`, with its first call measured."""
        first = True

        def timed(text: str) -> None:
            nonlocal first
            if first:
                first = False
                self._metrics.first_token(task.name, time.monotonic() - began)
            on_text(text)

        return timed


def _left(deadline: float) -> float:
    """Return the seconds until a deadline by the event loop's clock."""
    return max(deadline - asyncio.get_running_loop().time(), 0.0)


async def _all(calls: Sequence[Callable[[], Awaitable[ChunkAnswer]]]) -> list[ChunkAnswer | BaseException]:
    """Run all calls, a few at once; a failed one does not end the others, but a wrong model or a refusal ends all."""
    slots = asyncio.Semaphore(_CHUNKS_AT_ONCE)

    async def run(call: Callable[[], Awaitable[ChunkAnswer]]) -> ChunkAnswer:
        async with slots:
            return await call()

    tasks = [asyncio.create_task(run(call)) for call in calls]
    try:
        results = await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        for task in tasks:
            task.cancel()
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, DecodingError | EngineError | CircuitOpenError):
            raise result
        if isinstance(result, EngineRejectedError) and result.engine_status == 404:
            raise result
    return results


def _report(chunk: Chunk, result: ChunkAnswer | BaseException) -> ChunkReport:
    if isinstance(result, ChunkAnswer):
        return ChunkReport(chunk.index, chunk.start, chunk.end)
    return ChunkReport(chunk.index, chunk.start, chunk.end, "failed", reason_of(result))
