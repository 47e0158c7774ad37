"""Public notes with some of their values exchanged, in the note and in the answer alike.

Half of the public notes that name a PD-L1 score say 10 %, most mutations in lung cancer are EGFR L858R: a model can be
right by heart. Exchanged values can only be read, and the more so where they are made up.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from training.data.dataset import FIELDS, Answer, Note
from training.notes.invention import invent_cancer, invent_drug, invent_marker, invent_mutation, invent_site

_INVENTED = 0.4  # share of made-up names among the new ones
_PERCENT = re.compile(r"(?<![\d.])\d{1,2}%")
# Other words of a note for the same site: where one of them stands, the site cannot be exchanged.
_SITES = {
    "brain": "cerebr|crani|intracran|cerebell|neuro|MRI|radiosurg|lepto",
    "liver": "hepat",
    "lung": "pulmon|pleur|chest|thora|lobe",
    "bone": "osse|skelet|spin|vertebr|lytic|scleroti|marrow",
    "peritoneum": "peritoneal|oment|ascit",
    "spleen": "splen",
    "skin": "cutan|derm",
    "omentum": "omental",
}


@dataclass(frozen=True)
class Variation:
    """What to exchange values for, and how often.

    Attributes:
        mutations: names of mutations, such as "KRAS G12D"; some others are made up.
        drugs: names of single drugs; some others are made up.
        chance: how likely each kind of value is exchanged, 0 to 1.
    """

    mutations: list[str]
    drugs: list[str]
    chance: float

    def apply(self, note: Note, rng: random.Random) -> Note:
        """The note with values exchanged; those that do not stand word for word in note and answer are left alone."""
        for choose in (self._cancers, self._percents, self._markers, self._mutations, self._drugs, self._sites):
            if rng.random() < self.chance and (pairs := choose(note, rng)):
                note = _exchange(note, pairs)
        return note

    def _cancers(self, note: Note, rng: random.Random) -> dict[str, str]:
        cancer = note.answer["cancer_type"] or ""
        return {cancer: invent_cancer(rng)} if len(cancer) > 3 and cancer in note.text else {}

    def _percents(self, note: Note, rng: random.Random) -> dict[str, str]:
        found = _PERCENT.findall(note.answer["biomarker"] or "")
        return {percent: f"{rng.randint(1, 99)}%" for percent in found if percent in note.text}

    def _markers(self, note: Note, rng: random.Random) -> dict[str, str]:
        items = [item for item in (note.answer["biomarker"] or "").split("; ") if " " in item and item in note.text]
        return {
            item: invent_marker(rng).format(percent=rng.randint(1, 99), level=rng.randint(2, 980)) for item in items
        }

    def _mutations(self, note: Note, rng: random.Random) -> dict[str, str]:
        found = [item for item in (note.answer["gene_mutation"] or "").split("; ") if " " in item and item in note.text]
        return {item: _new(self.mutations, invent_mutation, rng) for item in found}

    def _drugs(self, note: Note, rng: random.Random) -> dict[str, str]:
        treatment = note.answer["treatment"] or ""
        found = [drug for drug in self.drugs if drug in treatment and drug in note.text]
        return {drug: _new(self.drugs, invent_drug, rng) for drug in found}

    def _sites(self, note: Note, rng: random.Random) -> dict[str, str]:
        sites = note.answer["metastasis_site"] or ""
        found = [
            site
            for site, others in _SITES.items()
            if re.search(rf"\b{site}\b", sites)
            and re.search(rf"\b{site}\b", note.text)
            and not re.search(others, note.text, re.IGNORECASE)
            and site not in (note.answer["cancer_type"] or "")
        ]
        free = [site for site in _SITES if site not in note.text and site not in sites]
        free += [invent_site(rng) for _ in range(len(free) // 2)]
        return dict(zip(found, rng.sample(free, k=len(found)), strict=True)) if len(found) <= len(free) else {}


def _new(names: list[str], invent: Callable[[random.Random], str], rng: random.Random) -> str:
    return invent(rng) if rng.random() < _INVENTED else rng.choice(names)


def _exchange(note: Note, pairs: dict[str, str]) -> Note:
    """All occurrences at once, as whole words, with a capital letter where there was one."""
    pattern = re.compile("|".join(rf"(?<![\w.]){re.escape(old)}(?!\w)" for old in pairs), re.IGNORECASE)
    lower = {old.lower(): new for old, new in pairs.items()}

    def replacement(found: re.Match[str]) -> str:
        old, new = found.group(), lower[found.group().lower()]
        return new[:1].upper() + new[1:] if old[:1].isupper() else new

    answer: Answer = {}
    for name in FIELDS:
        value = note.answer[name]
        answer[name] = None if value is None else pattern.sub(replacement, value)
    return Note(pattern.sub(replacement, note.text), answer)
