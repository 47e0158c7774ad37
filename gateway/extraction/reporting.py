"""What the metrics hear of an extraction."""

from gateway.engine.circuit import CircuitOpenError
from gateway.engine.errors import EngineError, EngineRejectedError, EngineTimeoutError
from gateway.engine.gate import RefusedError
from gateway.extraction.answer import Extraction, Grounding
from gateway.extraction.errors import DecodingError, UnknownModelError
from gateway.observability.metrics import Metrics


def reason_of(error: BaseException) -> str:
    """Return why an extraction or one of its chunks failed, as a fixed word."""
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


def count_failure(metrics: Metrics, task: str, error: Exception) -> None:
    """Count an extraction that failed, and a refusal where it was one."""
    metrics.extracted(task, reason_of(error))
    if isinstance(error, RefusedError):
        metrics.refused(error.reason)


def count_success(metrics: Metrics, task: str, extraction: Extraction, grounding: Grounding) -> None:
    """Count an extraction with its warnings and, where evidence was looked for, its values without any."""
    metrics.extracted(task, "ok")
    for warning in extraction.warnings:
        metrics.repaired(task, warning.code)
    if grounding != "off":
        evidence = extraction.evidence
        unfinished = {warning.field for warning in extraction.warnings if warning.code == "evidence_time_limit"}
        metrics.ungrounded(
            task,
            sum(
                1
                for name, value in extraction.fields.items()
                if value and not evidence[name] and name not in unfinished
            ),
        )
