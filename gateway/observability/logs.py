"""The log: one JSON object a line, and no text that came from a client or from the engine, at any level.

That is why exceptions are logged as their type and the lines of code, without their messages, which often quote values.
"""

import logging
import sys
import traceback
from typing import TYPE_CHECKING, TextIO

import orjson
from loguru import logger

if TYPE_CHECKING:
    from loguru import Message, Record

# Modules whose messages are about the process and not about a request, by logger: uvicorn's protocols log what clients
# send under the same name as its server.
_TRUSTED = {"uvicorn.error": ("server", "on", "off", "config")}
_LEVELS = frozenset({"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"})


def configure_logging(level: str, stream: TextIO = sys.stderr) -> None:
    """Write log lines to `stream`, from `level` up, those of the libraries included."""

    def write(message: "Message") -> None:
        stream.write(_line(message.record))
        stream.flush()

    logger.remove()
    # backtrace and diagnose would print the values of variables.
    logger.add(write, level=level, format="{message}", backtrace=False, diagnose=False, catch=True)
    logging.basicConfig(handlers=[_Bridge()], level=logging.INFO, force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        library = logging.getLogger(name)
        library.handlers = []
        library.propagate = True


def _line(record: "Record") -> str:
    entry = {
        "time": record["time"].isoformat(timespec="milliseconds"),
        "level": record["level"].name,
        "message": record["message"],
        **record["extra"],
    }
    return orjson.dumps(entry, default=str, option=orjson.OPT_APPEND_NEWLINE).decode()


class _Bridge(logging.Handler):
    """Hands the standard library's log records to loguru, without what they may quote."""

    def emit(self, record: logging.LogRecord) -> None:
        trusted = record.module in _TRUSTED.get(record.name, ())
        message = record.getMessage() if trusted and not record.exc_info else f"{record.name} has something to report"
        extra: dict[str, object] = {"logger": record.name}
        if record.exc_info and record.exc_info[1] is not None:
            extra |= describe(record.exc_info[1])
        elif not trusted:
            extra["at"] = f"{record.pathname}:{record.lineno}"
        logger.bind(**extra).log(record.levelname if record.levelname in _LEVELS else "INFO", message)


def describe(error: BaseException) -> dict[str, object]:
    """Return the type of an exception and where it was raised, without its message, as members of a log line."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    return {
        "error": type(error).__name__,
        "frames": [f"{frame.filename.rpartition('/')[2]}:{frame.lineno}:{frame.name}" for frame in frames],
    }
