"""Runs the application under uvicorn, and drains it at SIGTERM: running requests finish, new ones are refused."""

import gc
import resource
import signal
import sys
import time
from types import FrameType
from typing import cast

import uvicorn
from fastapi import FastAPI
from loguru import logger
from uvicorn.protocols.http.flow_control import CLOSE_HEADER

from gateway.server.connection import Connection
from gateway.server.limits import RESERVE, Limits
from gateway.services import Services
from gateway.settings import Settings

# Files of the process itself: its listener, loop, log and libraries, and the keys file while it is read.
_OWN_FILES = 64
# Texts are read in threads, and the loop waits so long for its turn behind each: five milliseconds by Python's default.
_TURN_SECONDS = 0.001
# Where the port is closed: after so long without a request, a proxy's connections are taken for unused.
_QUIET_SECONDS = 1.0


class Server(uvicorn.Server):
    """A uvicorn server that answers while it drains: refuses new requests, or closes its port and serves the rest."""

    def __init__(self, config: uvicorn.Config, services: Services) -> None:
        """Make a server.

        Args:
            config: uvicorn's configuration.
            services: hold the state of draining.
        """
        super().__init__(config)
        self._services = services
        self._give_up_at = float("inf")
        self._has_accepted = False
        self._quiet_since: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain at the first SIGTERM; stop at once at a second signal."""
        drain, settings = self._services.drain, self._services.settings
        if drain.draining or sig != signal.SIGTERM:
            super().handle_exit(sig, frame)
            return
        drain.draining = True
        drain.refusing = settings.drain_mode == "refuse"
        self._give_up_at = time.monotonic() + settings.drain_timeout

    async def on_tick(self, counter: int) -> bool:
        """Return whether the server ends now; uvicorn asks ten times a second."""
        if not self._services.drain.draining:
            return await super().on_tick(counter)
        is_over = self._is_refused_to_the_end() if self._services.drain.refusing else self._is_served_to_the_end()
        if is_over or time.monotonic() >= self._give_up_at:
            logger.info("drained", left=self._services.drain.active)
            return True
        return await super().on_tick(counter)

    @property
    def _connections(self) -> set[Connection]:
        return cast("set[Connection]", self.server_state.connections)

    @property
    def _is_busy(self) -> bool:
        return self._services.drain.active > 0 or any(connection.has_unsent for connection in self._connections)

    def _is_refused_to_the_end(self) -> bool:
        """Refuse what has not come as a whole, and return whether all else has its answer."""
        for connection in list(self._connections):
            connection.refuse_unfinished()
        return not self._is_busy

    def _is_served_to_the_end(self) -> bool:
        """Accept no connection, end each with its next answer, and return whether nothing more is to be expected."""
        if not self._has_accepted:
            # What waits at the port would be reset with it. By the next call it has been accepted.
            self._has_accepted = True
            return False
        if CLOSE_HEADER not in self.config.encoded_headers:
            for server in self.servers:
                server.close()
            # Uvicorn makes the headers of all answers from these, once a second.
            self.config.encoded_headers.append(CLOSE_HEADER)
            self.server_state.default_headers.append(CLOSE_HEADER)
            for connection in self._connections:
                connection.end_with_answer()
        now = time.monotonic()
        if self._is_busy or self._quiet_since is None:
            self._quiet_since = now
        # A proxy may send its next request just while an idle connection is closed, and may not send it again.
        return not self._is_busy and (not self._connections or now - self._quiet_since >= _QUIET_SECONDS)


def configuration(app: FastAPI, settings: Settings, connections: int | None = None) -> uvicorn.Config:
    """Return uvicorn's configuration.

    Args:
        app: what is served.
        settings: the operator's choices.
        connections: fewer than the settings say, where the system has no files for more.
    """
    services: Services = app.state.services
    limits = Limits.of(settings, connections)
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=Connection.bound(limits, lambda status: services.metrics.answered("none", status, 0.0)),
        ws="none",  # a handshake is a request like any other
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the address of a client plays no part
        # Requests that still run after the drain's time have been told so; this is for those that do not listen.
        timeout_graceful_shutdown=5,
    )


def possible_connections(settings: Settings) -> int:
    """Return how many connections the system has files for, after asking it for as many as the settings want."""
    others = RESERVE + _OWN_FILES + 2 * settings.max_concurrency  # those at the engine, some of which close just now
    wanted = settings.max_connections + others
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return settings.max_connections
    possible = max(1, soft - others)
    message = "fewer connections than GATEWAY_MAX_CONNECTIONS: raise the limit of open files"
    logger.warning(message, connections=possible, files=soft)
    return possible


def serve(app: FastAPI, settings: Settings) -> bool:
    """Serve until a signal comes.

    Returns:
        Whether the server could start: False when, say, the port is in use; the log has the reason.
    """
    config = configuration(app, settings, possible_connections(settings))
    # All objects so far live as long as the process; the garbage collector need not scan them again.
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(_TURN_SECONDS)
    server = Server(config, app.state.services)
    try:
        server.run()
    except SystemExit:  # how uvicorn ends a start that failed
        return False
    return server.started
