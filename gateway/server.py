"""Runs the application under uvicorn, and drains it at SIGTERM: running requests finish, new ones get 503."""

import gc
import signal
import time
from types import FrameType

import uvicorn
from fastapi import FastAPI
from loguru import logger

from gateway.services import Services
from gateway.settings import Settings


class Server(uvicorn.Server):
    """A uvicorn server that keeps listening while it drains, so that new requests get an answer."""

    def __init__(self, config: uvicorn.Config, services: Services) -> None:
        """Make a server.

        Args:
            config: uvicorn's configuration.
            services: hold the state of draining.
        """
        super().__init__(config)
        self._services = services
        self._give_up_at = float("inf")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain at the first SIGTERM; stop at once at a second signal."""
        drain = self._services.drain
        if drain.draining or sig != signal.SIGTERM:
            super().handle_exit(sig, frame)
            return
        drain.draining = True
        self._give_up_at = time.monotonic() + self._services.settings.drain_timeout

    async def on_tick(self, counter: int) -> bool:
        """Return whether the server ends now; uvicorn asks ten times a second."""
        drain = self._services.drain
        if drain.draining and (drain.active == 0 or time.monotonic() >= self._give_up_at):
            logger.info("drained", left=drain.active)
            return True
        return await super().on_tick(counter)


def serve(app: FastAPI, settings: Settings) -> bool:
    """Serve until a signal comes.

    Returns:
        Whether the server could start: False when, say, the port is in use; the log has the reason.
    """
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the address of a client plays no part
        # Requests that still run after the drain's time are cut off soon.
        timeout_graceful_shutdown=5,
    )
    # All objects so far live as long as the process; the garbage collector need not scan them again.
    gc.collect()
    gc.freeze()
    server = Server(config, app.state.services)
    try:
        server.run()
    except SystemExit:  # how uvicorn ends a start that failed
        return False
    return server.started
