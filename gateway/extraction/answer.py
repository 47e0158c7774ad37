"""What goes into an extraction, what comes out of it, and what lies between: the answers to single chunks."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from gateway.engine.completion import Completion
from gateway.extraction.decoding import Decoded, Repair
from gateway.grounding.grounder import Evidence

Grounding = Literal["off", "report", "strict"]


@dataclass(frozen=True, slots=True)
class Options:
    """What a client may choose for one extraction; None takes the task's own value.

    `said_at` is the moment, in its time zone, that times are resolved against; without one they are not resolved.
    """

    temperature: float | None = None
    max_tokens: int | None = None
    model: str | None = None
    grounding: Grounding = "report"
    said_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ChunkAnswer:
    """The engine's answer to one chunk."""

    decoded: Decoded
    confidence: Mapping[str, float | None]
    completion: Completion


@dataclass(frozen=True, slots=True)
class ChunkReport:
    """How the chunk `text[start:end]` (code points) went: `ok`, or `failed` with a reason."""

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
    chunks: tuple[ChunkReport, ...]
    warnings: tuple[Repair, ...]
    resolved: Mapping[str, str | None] | None = None
