"""Whether a value rests on words of the note: the gateway's own grounding, where its library is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol


class Span(Protocol):
    """Where a value's words stand: code points `start` to `end` of the note."""

    @property
    def start(self) -> int:
        """The first."""

    @property
    def end(self) -> int:
        """One past the last."""


Find = Callable[[str | None], Sequence[Span]]
"""The evidence for a value of one note."""


def finder() -> Callable[[str], Find] | None:
    """What makes a `Find` for a note, or None where rapidfuzz is not installed, as in a plain training environment."""
    try:
        from gateway.grounding.grounder import Grounder
    except ModuleNotFoundError as error:
        if error.name != "rapidfuzz":
            raise
        return None
    return lambda text: Grounder(text).find
