"""What lives as long as the application: built once by `create_app`, used by every endpoint."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from fastapi import Request

from gateway.access.bodies import Bodies
from gateway.access.cache_salt import CacheSalts
from gateway.access.keys import Keyring
from gateway.access.rate_limit import RateLimiter
from gateway.engine.engine import Engine
from gateway.engine.gate import Gate
from gateway.engine.readiness import Readiness
from gateway.extraction.extractor import Extractor
from gateway.observability.metrics import Metrics
from gateway.settings import Settings
from gateway.tasks import Task, load_tasks


@dataclass(slots=True)
class Drain:
    """Whether the gateway is going down, whether it refuses requests, and the number of those that still run."""

    draining: bool = False
    refusing: bool = False
    active: int = 0


@dataclass(frozen=True, slots=True)
class Services:
    """The application's services, wired together."""

    settings: Settings
    tasks: Mapping[str, Task]
    default_task: Task
    keyring: Keyring | None
    limiter: RateLimiter | None
    bodies: Bodies
    salts: CacheSalts | None
    gate: Gate
    engine: Engine
    extractor: Extractor
    readiness: Readiness
    metrics: Metrics
    drain: Drain = field(default_factory=Drain)


class DefaultTaskError(Exception):
    """GATEWAY_DEFAULT_TASK cannot be served."""


def build_services(settings: Settings) -> Services:
    """Build the services. Only files are opened yet.

    Raises:
        TaskFileError, KeysFileError, SettingsError, DefaultTaskError: with what to put right.
    """
    tasks = load_tasks(settings.tasks_dir)
    default = tasks.get(settings.default_task)
    if default is None:
        raise DefaultTaskError(
            f"GATEWAY_DEFAULT_TASK: there is no task {settings.default_task}; there are {', '.join(tasks)}"
        )
    keyring = None
    if settings.auth == "required" and settings.api_keys_file is not None:
        keyring = Keyring(settings.api_keys_file)
    metrics = Metrics()
    engine = Engine(settings, metrics.engine_failed)
    gate = Gate(
        concurrency=settings.max_concurrency,
        queue=settings.max_queue,
        queue_timeout=settings.queue_timeout,
        # With one client there is nobody to keep slots for.
        share=lambda: settings.key_share if keyring is not None and keyring.clients > 1 else 1.0,
        on_wait=metrics.waited,
    )
    bodies = Bodies(settings.max_bodies_bytes)
    metrics.watch("gateway_body_bytes", "Bytes of requests' bodies that are held now.", lambda: bodies.bytes)
    metrics.watch("gateway_running", "Slots at the engine that are taken now.", lambda: gate.running)
    metrics.watch("gateway_queue_waiting", "Requests that wait for a slot.", lambda: gate.waiting)
    metrics.watch(
        "gateway_held", "Requests that are held for an engine that cannot be reached.", lambda: engine.outage.held
    )
    metrics.watch(
        "gateway_circuit_open",
        "1 since the engine could not be reached several times in a row, until it answers again.",
        # Not whether requests are refused in this moment, which with few of them nobody would ever see.
        lambda: engine.circuit.is_tripped,
    )
    metrics.watch(
        "gateway_keys_file_stale_seconds",
        "Seconds since the keys file was lost or became unusable, or 0; the keys that were read before it stay valid.",
        lambda: _stale_seconds(keyring),
    )
    return Services(
        settings=settings,
        tasks=tasks,
        default_task=default,
        keyring=keyring,
        limiter=RateLimiter(*settings.rate) if settings.rate else None,
        bodies=bodies,
        salts=CacheSalts() if settings.cache_salt == "on" else None,
        gate=gate,
        engine=engine,
        extractor=Extractor(engine, gate, tasks, metrics),
        readiness=Readiness(engine, default.adapter),
        metrics=metrics,
    )


def _stale_seconds(keyring: Keyring | None) -> float:
    since = keyring.stale_since if keyring is not None else None
    return (datetime.now(UTC) - since).total_seconds() if since is not None else 0.0


def services_of(request: Request) -> Services:
    """Return the services of the application that `request` belongs to."""
    services: Services = request.app.state.services
    return services
