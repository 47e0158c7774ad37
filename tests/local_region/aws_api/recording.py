"""The record of who asks for what: every call but those of tests and of nobody."""

from __future__ import annotations

import threading
from pathlib import Path

from tests.local_region import recorded_calls
from tests.local_region.aws_api.calls import UNRECORDED, Call
from tests.local_region.aws_api.policy import document_of
from tests.local_region.recorded_calls import Question, Recorded


class Recording:
    """The file; one process writes it."""

    def __init__(self, file: Path) -> None:
        """Take the file; it is made with the first call."""
        self._file = file
        self._lock = threading.Lock()

    def add(self, call: Call, questions: list[Question], result: int) -> None:
        """Add a call.

        Args:
            call: What was asked.
            questions: What AWS asks the caller's policies about it.
            result: Status of the answer.
        """
        if call.principal not in UNRECORDED:
            with self._lock:
                asked = [Recorded(document_of(call.principal, each), each, result) for each in questions]
                recorded_calls.append(self._file, asked)
