"""What the operator hears of the engine's failures: one log line and one count for each."""

from collections.abc import Callable

from loguru import logger

from gateway.engine.circuit import Circuit
from gateway.engine.errors import EngineError


class FailureLog:
    """Logs each failure of the engine with its cause; while the engine stays down, each cause once."""

    def __init__(self, address: str, circuit: Circuit, count: Callable[[str], None]) -> None:
        """Make a log.

        Args:
            address: of the engine, without credentials.
            circuit: says whether the engine stays down.
            count: called with the reason of each failure.
        """
        self._address = address
        self._circuit = circuit
        self._count = count
        self._told: tuple[object, ...] | None = None

    def failed(self, error: EngineError, path: str, request_id: str | None) -> None:
        """Report a failure.

        Args:
            error: what the request ends with.
            path: that the engine was asked for.
            request_id: of the request, or None for the gateway's own.
        """
        self._count(error.reason)
        down = self._circuit.is_tripped
        told = (error.reason, error.cause, error.engine_status)
        if down and self._told == told:
            return
        logger.bind(
            engine=self._address,
            path=path,
            reason=error.reason,
            cause=error.cause or str(error),
            engine_status=error.engine_status,
            request_id=request_id,
        ).warning("the engine is down; requests fail at once until it answers" if down else "the engine failed")
        self._told = told if down else None

    def answered(self) -> None:
        """Report that the engine answers again, where it was down."""
        if self._told is not None:
            self._told = None
            logger.bind(engine=self._address).info("the engine answers again")
