"""Evidence for an answer's values, within a time limit: a note can be written so that the search takes very long."""

import time
from collections.abc import Mapping
from contextlib import suppress

from gateway.extraction.decoding import Repair
from gateway.extraction.workers import Workers
from gateway.grounding.grounder import Evidence, Grounder, OutOfTimeError

# An ordinary note of this length takes less than 2 ms, and a thread would cost it more than that. A text that has not
# come to its end then goes on in a thread.
_LOOP_CHARS = 4_000
_LOOP_SECONDS = 0.005
# An ordinary note of 100,000 characters takes a small part of this.
_MOST_SECONDS = 2.0


class _Search:
    """The search for the evidence of all fields, which can be ended and gone on with. For one thread at a time."""

    def __init__(self, text: str, fields: Mapping[str, str | None]) -> None:
        self._fields = fields
        self._grounder = Grounder(text)
        self.evidence: dict[str, list[Evidence]] = {}

    def run(self, until: float) -> bool:
        """Search until all fields are done, or `time.monotonic` is at `until`; return whether they are."""
        self._grounder.until = until
        try:
            for name, value in self._fields.items():
                if name not in self.evidence:
                    self.evidence[name] = self._grounder.find(value)
        except OutOfTimeError:
            return False
        return True


async def find_evidence(
    workers: Workers, text: str, fields: Mapping[str, str | None], *, seconds: float
) -> tuple[dict[str, list[Evidence]], list[Repair]]:
    """Find the evidence of an answer's values.

    Args:
        workers: for texts that take more than a few milliseconds.
        text: the text as the client sent it.
        fields: the values.
        seconds: that are left of the request's time.

    Returns:
        The evidence of each field, in the order of `fields`, and a warning for each value whose search was ended by the
        time limit; such a value has no evidence.
    """
    search = _Search(text, fields)
    deadline = time.monotonic() + seconds
    # Nothing is read of a long text here: the first sentence may be all of it.
    if len(text) > _LOOP_CHARS or not search.run(min(deadline, time.monotonic() + _LOOP_SECONDS)):
        # A thread that is not waited for any longer ends at the same deadline.
        with suppress(TimeoutError):
            await workers.run(lambda: search.run(min(deadline, time.monotonic() + _MOST_SECONDS)), seconds=seconds)
    found = dict(search.evidence)
    warnings = [
        Repair("evidence_time_limit", "the search for this value's evidence was ended by its time limit", name)
        for name, value in fields.items()
        if value is not None and name not in found
    ]
    return {name: found.get(name, []) for name in fields}, warnings
