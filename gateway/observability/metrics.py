"""The metrics. Labels come from fixed sets - routes, statuses, tasks, codes - and never from what is sent."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from gateway import __version__

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
# Extraction with no task of its own, by an OpenAI client.
OPENAI = "openai"


class Family(NamedTuple):
    """One metric as Prometheus shows it, for the documentation."""

    name: str
    labels: tuple[str, ...]
    text: str


class Metrics:
    """The gateway's metrics in a registry of their own; the engine's are the engine's."""

    def __init__(self) -> None:
        """Register all metrics but the gauges."""
        registry = self._registry = CollectorRegistry()
        self._families: list[Family] = []

        def counter(name: str, text: str, *labels: str) -> Counter:
            self._families.append(Family(f"{name}_total", labels, text))
            return Counter(name, text, labels, registry=registry)

        def histogram(name: str, text: str, *labels: str) -> Histogram:
            self._families.append(Family(name, labels, text))
            return Histogram(name, text, labels, registry=registry, buckets=_SECONDS)

        self._requests = counter("llm_requests", "Requests answered.", "route", "status")
        self._durations = histogram(
            "llm_request_duration_seconds", "From a request's head to its answer's end.", "route"
        )
        self._tokens = counter("llm_tokens", "Tokens as the engine counts them.", "task", "kind")
        self._first_tokens = histogram(
            "llm_time_to_first_token_seconds", "From asking the engine to a stream's first token.", "task"
        )
        self._engine_calls = histogram("gateway_engine_seconds", "One call of the engine.", "task")
        self._engine_failures = counter("gateway_engine_failures", "Calls of the engine that failed.", "reason")
        self._queue_waits = histogram("gateway_queue_wait_seconds", "Waiting for a slot at the engine.")
        self._refusals = counter("gateway_refusals", "Requests refused before the engine.", "reason")
        self._extractions = counter("gateway_extractions", "Extractions by how they ended.", "task", "outcome")
        self._repairs = counter("gateway_repairs", "Warnings in answers.", "task", "code")
        self._ungrounded = counter("gateway_ungrounded_values", "Values without evidence in the text.", "task")
        version = Family("gateway_build_info", ("version",), "The gateway's version.")
        self._families.append(version)
        Gauge(version.name, version.text, version.labels, registry=registry).labels(__version__).set(1)
        # Labelled children, looked up once.
        self._child = cache(lambda metric, *labels: metric.labels(*labels))

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Add a gauge whose value is read at each scrape."""
        self._families.append(Family(name, (), text))
        Gauge(name, text, registry=self._registry).set_function(value)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request that ended."""
        self._child(self._requests, route, str(status)).inc()
        self._child(self._durations, route).observe(seconds)

    def refused(self, reason: str) -> None:
        """Count a request that was refused."""
        self._child(self._refusals, reason).inc()

    def waited(self, seconds: float) -> None:
        """Observe the wait for a slot at the engine."""
        self._queue_waits.observe(seconds)

    def engine_answered(self, task: str, seconds: float, prompt_tokens: int, completion_tokens: int) -> None:
        """Observe a call of the engine that ended with an answer."""
        self._child(self._engine_calls, task).observe(seconds)
        self._child(self._tokens, task, "prompt").inc(prompt_tokens)
        self._child(self._tokens, task, "completion").inc(completion_tokens)

    def engine_failed(self, reason: str) -> None:
        """Count a call of the engine that failed."""
        self._child(self._engine_failures, reason).inc()

    def first_token(self, task: str, seconds: float) -> None:
        """Observe the time to a stream's first token."""
        self._child(self._first_tokens, task).observe(seconds)

    def extracted(self, task: str, outcome: str) -> None:
        """Count an extraction that ended: `ok`, or a fixed word for why not."""
        self._child(self._extractions, task, outcome).inc()

    def repaired(self, task: str, code: str) -> None:
        """Count a warning in an answer."""
        self._child(self._repairs, task, code).inc()

    def ungrounded(self, task: str, values: int) -> None:
        """Count values without evidence."""
        self._child(self._ungrounded, task).inc(values)

    def families(self) -> Sequence[Family]:
        """Return all metrics in the order of their registration."""
        return self._families

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self._registry)
