"""The grammar of the synthetic notes: patterns and values in `notes.yaml`, held-out ones in `held_out.yaml`.

`training/patterns.py` says what a pattern is.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from training.notes.invention import (
    invent_cancer,
    invent_drug,
    invent_marker,
    invent_mutation,
    invent_operation,
    invent_site,
)
from training.patterns import Split, expand, read_lists

_INVENTED = 0.5  # share of training notes with made-up values
_FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Cancer:
    """One kind of cancer and the values that go with it."""

    names: list[str]
    mutations: list[str]
    biomarkers: list[str]
    systemic: list[str]
    operations: list[str]
    sites: list[str]


class Grammar:
    """The patterns and values of one split, and the random numbers that choose among them."""

    def __init__(self, split: Split, rng: random.Random) -> None:
        """Read the split's lists; the same random numbers give the same sentences."""
        self.rng = rng
        self._invents = split == "training"
        self._lists = _lists(split)

    def __getitem__(self, name: str) -> Any:
        """Return a list of the grammar by its name in the file."""
        return self._lists[name]

    def cancer(self) -> Cancer:
        """Draw a kind of cancer; half of those to train on are made up."""
        if self._invents and self.rng.random() < _INVENTED:
            return _invent_cancer(self.rng)
        cancer: Cancer = self.rng.choice(self._lists["cancers"])
        return cancer

    def sentence(self, name: str, **values: str) -> str:
        """Render one of the patterns of the list `name`."""
        return self.render(self[name], **values)

    def render(self, patterns: list[str], **values: str) -> str:
        """Draw a pattern, make its choices, insert the values and capitalise its first letter."""
        rng = self.rng
        common = {
            "age": str(rng.randint(28, 89)),
            "percent": str(rng.choice((1, 5, 10, 15, 20, 25, 30, 40, 50, 55, 60, 70, 80, 90))),
            "level": str(rng.randint(2, 980)),
            "weeks": str(rng.randint(2, 16)),
            "months": str(rng.randint(2, 24)),
            "cycles": str(rng.randint(2, 12)),
            "year": str(rng.randint(2015, 2025)),
            "pressure": str(rng.randint(105, 165)),
            "letter": rng.choice("ABDGHKLMNPRST"),
            "letter_digit": str(rng.randint(0, 9)),
            "symptom": rng.choice(self["symptom"]),
            "symptom2": rng.choice(self["symptom"]),
            "place": rng.choice(self["place"]),
        }
        text = self.expand(rng.choice(patterns)).format(**common | values)
        return text[:1].upper() + text[1:]

    def expand(self, pattern: str) -> str:
        """Replace every choice in a pattern, the innermost first, by one of its alternatives."""
        return expand(pattern, self.rng)


def _invent_cancer(rng: random.Random) -> Cancer:
    drugs = [invent_drug(rng) for _ in range(4)]
    return Cancer(
        names=[invent_cancer(rng)],
        mutations=[invent_mutation(rng) for _ in range(2)],
        biomarkers=["; ".join(invent_marker(rng) for _ in range(rng.choice((1, 1, 2))))],
        systemic=[drugs[0], drugs[1], f"{drugs[2]} and {drugs[3]}"],
        operations=[invent_operation(rng)],
        sites=[invent_site(rng) for _ in range(3)],
    )


@cache
def _lists(split: Split) -> dict[str, Any]:
    lists = read_lists(_FOLDER / "notes.yaml")
    held_out = read_lists(_FOLDER / "held_out.yaml")
    if split in ("phrasings", "both"):
        lists = lists | held_out["phrasings"]
    if split in ("values", "both"):
        lists = lists | {"cancers": held_out["cancers"]}
    return lists | {"cancers": [Cancer(**cancer) for cancer in lists["cancers"]]}


def mutation_names() -> list[str]:
    """Return the mutations of the grammar's training notes, each once, in the order of the file."""
    return list(dict.fromkeys(name for cancer in _lists("training")["cancers"] for name in cancer.mutations))


def drug_names() -> list[str]:
    """Return the single drugs of the grammar's training notes, each once, in the order of the file."""
    treatments = [treatment for cancer in _lists("training")["cancers"] for treatment in cancer.systemic]
    return list(dict.fromkeys(drug for treatment in treatments for drug in treatment.split(" and ")))
