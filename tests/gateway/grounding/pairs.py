"""How many right values the grounding finds, and how many wrong ones it does not find.

`python -m tests.gateway.grounding.pairs` prints both, for the pairs of `pairs.yaml`.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from gateway.grounding.grounder import find_evidence


@dataclass(frozen=True, slots=True)
class Pair:
    """A text, a value, and whether the text supports it."""

    kind: str
    text: str
    value: str
    is_right: bool

    @property
    def is_judged_right(self) -> bool:
        """Whether the grounding says the same."""
        return bool(find_evidence(self.text, self.value)) == self.is_right


def read() -> list[Pair]:
    """Read all pairs.

    Raises:
        ValueError: a line is no pair of strings.
    """
    return list(_read(yaml.safe_load(Path(__file__).with_name("pairs.yaml").read_text("utf-8"))))


def _read(kinds: dict[str, dict[str, list[list[str]]]]) -> Iterator[Pair]:
    for kind, sides in kinds.items():
        for side, lines in sides.items():
            for line in lines:
                if side not in ("right", "wrong") or len(line) != 2 or not all(isinstance(word, str) for word in line):
                    raise ValueError(f"{kind}: {line} is no [text, value] below right or wrong")
                yield Pair(kind, line[0], line[1], side == "right")


def main() -> None:
    """Print both shares, and the pairs that are judged wrongly."""
    pairs = read()
    for is_right, name in ((True, "right values found"), (False, "wrong values not grounded")):
        own = [pair for pair in pairs if pair.is_right == is_right]
        good = sum(pair.is_judged_right for pair in own)
        sys.stdout.write(f"{name}: {good} of {len(own)} ({good / len(own):.1%})\n")
    for pair in pairs:
        if not pair.is_judged_right:
            sys.stdout.write(
                f"  {pair.kind}: {pair.text!r}, {'not found' if pair.is_right else 'found'}: {pair.value!r}\n"
            )


if __name__ == "__main__":
    main()
