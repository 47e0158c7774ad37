"""Find in a container's log why it does not serve: the first error, not the end of the traceback that follows from it.

vLLM is several processes. The one that fails says why; each that waits for it then adds a traceback of its own, which
only says "See root cause above". Every line may bear the process's name, a level, a time and a place in the source.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

# What a process puts in front of a line: colours, its name, and the level with time and place in the source.
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
PROCESS = re.compile(r"\((?:\w+) pid=\d+\) ?")
LEVEL = re.compile(r"(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d \[[^\]]*\] ?")
HEADING = "Traceback (most recent call last):"
# The bars in front of the tracebacks of a group of exceptions.
BARS = re.compile(r" *\|(?: {2,4}\|)* ?")
# The line of an exception: a dotted name, and mostly a message.
EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt|Failure|Timeout|Died)\b(?:: .*|:?$)")
# An exception may be called anything; so one that ends a traceback is known by where it stands.
NAMED = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*[a-z]\w*(?:: .*|:?$)")
# Between two tracebacks that belong together.
CHAINED = ("During handling of the above exception", "The above exception was the direct cause")
# Said by a process that only noticed that another one failed.
CONSEQUENCE = re.compile(
    r"[Ss]ee (?:stack trace|root cause)|root cause above|EngineDeadError|EngineCore encountered an issue"
    r"|Engine(?:Core| core) (?:proc|process|initialization)|Engine process failed|[Ww]orker proc\S* died"
    r"|WorkerProc initialization failed|cancelled|CancelledError|KeyboardInterrupt|SystemExit"
    r"|ExceptionGroup: .*\(\d+ sub-exceptions?\)"
)
# Said by the process that fails, before the traceback that tells why.
FATAL = re.compile(r"(?:EngineCore|WorkerProc|Engine core)\b.* (?:failed to start|fatal error|hit an exception)")
# An error without a traceback: of a command line, an interpreter, a loader, a shell, uvicorn or llama.cpp.
PLAIN = re.compile(
    r"(?:^|: )(?:[Ff]atal )?[Ee]rror: |^terminate called |Segmentation fault|No such file or directory$|Killed$"
    r"|^(?:ERROR|CRITICAL): |\berror loading model\b"
)
# What C++ adds to it in a line of its own.
WHAT = re.compile(r" *what\(\): +")
# The origin of a line of JSON, its levels that are errors, and the members that tell what happened.
JSON = "{"
JSON_LEVELS = {"ERROR", "CRITICAL", "FATAL", "PANIC"}
JSON_MESSAGE = ("message", "msg", "cause", "error")
# Lines of one message that are shown, and of a log that are searched: what a process said long ago is not the cause.
MESSAGE_LINES = 4
SEARCHED = 600
WIDTH = 500


@dataclass
class _Line:
    text: str
    level: str
    # Who wrote it, and where in the source: the lines of one message have it in common.
    origin: str


@dataclass
class _Failure:
    """A traceback's own exception, or the last one of a chain, with the line of the log at which it stands."""

    at: int
    message: list[str]

    @property
    def text(self) -> str:
        return "\n".join(self.message)


def cause(log: str) -> str:
    """Return the first error of a container's log that explains the others, or its last line.

    Args:
        log: a container's log, or the end of it.
    """
    lines = [_parse(line) for line in log.splitlines()[-SEARCHED:]]
    failures = [failure for failure in _failures(lines) if not CONSEQUENCE.search(failure.text)]
    fatal = next((at for at, line in enumerate(lines) if FATAL.search(line.text)), 0)
    explaining = [failure for failure in failures if failure.at >= fatal] or failures
    if explaining:
        return _shortened(explaining[0].text)
    errors = [_with_what(lines[at:]) for at, line in enumerate(lines) if _is_error(line) and line.origin != JSON]
    first = [text for text in errors if not CONSEQUENCE.search(text)]
    # Of a server's entries the last: each is of its own, and the first may be of a request long ago.
    entries = [line.text for line in lines if _is_error(line) and line.origin == JSON]
    spoken = [line.text for line in lines if line.text.strip()]
    return _shortened((first or errors or entries[-1:] or spoken[-1:] or ["its log is empty"])[0].strip())


def _parse(line: str) -> _Line:
    text = whole = COLOUR.sub("", line).rstrip()
    level = ""
    while True:
        process, marked = PROCESS.match(text), LEVEL.match(text)
        if process:
            text = text[process.end() :]
        elif marked:
            text, level = text[marked.end() :], marked["level"]
        elif text.startswith(JSON):
            return _parse_json(text)
        else:
            break
    bars = BARS.match(text)
    if bars:
        text = text[bars.end() :]
    return _Line(text, level, whole.removesuffix(text))


def _parse_json(text: str) -> _Line:
    """Return what a line of JSON says, as the gateway and the edge write their logs; another one as it is."""
    try:
        entry = json.loads(text)
    except ValueError:
        entry = {}
    level = str(entry.get("level", "")).upper()
    said = [str(entry[name]) for name in JSON_MESSAGE if entry.get(name)]
    return _Line(": ".join(said), "ERROR", JSON) if level in JSON_LEVELS and said else _Line(text, "INFO", JSON)


def _failures(lines: list[_Line]) -> list[_Failure]:
    """Return what each traceback ends with; of a chain of tracebacks, the last one's, after the first one's."""
    found: list[_Failure] = []
    chained = False
    for at, line in enumerate(lines):
        if line.text.startswith(CHAINED):
            chained = True
        # A traceback that is only a warning ended nothing.
        if line.text.strip() != HEADING or line.level in {"DEBUG", "INFO", "WARNING"}:
            continue
        message = _exception(lines[at + 1 :], line.origin)
        if not message:
            continue
        if chained and found and not CONSEQUENCE.search("\n".join(message)):
            found[-1].message = [*message, f"(after {found[-1].message[0]})"]
        elif not chained or not found:
            found.append(_Failure(at, message))
        chained = False
    return found


def _exception(lines: list[_Line], origin: str) -> list[str]:
    """Return the exception that ends a traceback, with the lines of its message.

    Args:
        lines: those that follow the traceback's heading.
        origin: the heading's.
    """
    for at, line in enumerate(lines):
        if line.text.strip() == HEADING:
            return []
        if EXCEPTION.match(line.text) or (line.origin == origin and NAMED.match(line.text)):
            return [line.text, *_continued(lines[at + 1 : at + MESSAGE_LINES], line.origin)]
    return []


def _continued(lines: list[_Line], origin: str) -> list[str]:
    """Return the further lines of an exception's message."""
    message = []
    for line in lines:
        if line.origin != origin or not line.text.strip() or line.text.strip() == HEADING or EXCEPTION.match(line.text):
            break
        if line.text.startswith((*CHAINED, "Process ", "[rank")) or "For further information" in line.text:
            break
        message.append(line.text)
    return message


def _with_what(lines: list[_Line]) -> str:
    """Return an error's line, with what C++ says of it in the next one."""
    what = WHAT.match(lines[1].text) if len(lines) > 1 else None
    return f"{lines[0].text}: {lines[1].text[what.end() :]}" if what else lines[0].text


def _is_error(line: _Line) -> bool:
    return line.level in {"ERROR", "CRITICAL"} or (not line.level and bool(PLAIN.search(line.text)))


def _shortened(text: str) -> str:
    return "\n".join(line if len(line) <= WIDTH else f"{line[:WIDTH]} ..." for line in text.splitlines())
