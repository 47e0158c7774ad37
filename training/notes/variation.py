"""Variation of public notes: values are exchanged, in the note and in the answer alike.

Half of the public notes with a PD-L1 score have 10 %, most mutations in lung cancer are EGFR L858R: a model can guess
the usual value and be right. Exchanged values have to be read, made-up ones most of all.
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
# Other words of a note for the same site: where one of them occurs, the site cannot be exchanged.
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
    """The values to exchange others for, and how often.

    Attributes:
        mutations: names of mutations, such as "KRAS G12D", used besides made-up ones.
        drugs: names of single drugs, used besides made-up ones.
        chance: probability, 0 to 1, that a kind of value is exchanged.
    """

    mutations: list[str]
    drugs: list[str]
    chance: float

    def apply(self, note: Note, rng: random.Random) -> Note:
        """Exchange values of a note; those that are not word for word in note and answer are left unchanged."""
        if tuple(note.answer) != FIELDS:
            return note
        for choose in (self._cancers, self._percents, self._markers, self._mutations, self._drugs, self._sites):
            if rng.random() < self.chance and (pairs := choose(note, rng)):
                note = _exchange(note, pairs)
        return note

    def _cancers(self, note: Note, rng: random.Random) -> dict[str, str]:
        cancer = note.answer["cancer_type"] or ""
        return {cancer: invent_cancer(rng)} if len(cancer) > 3 and cancer in note.text else {}

    def _percents(self, note: Note, rng: random.Random) -> dict[str, str]:
        percents = _PERCENT.findall(note.answer["biomarker"] or "")
        return {percent: f"{rng.randint(1, 99)}%" for percent in percents if percent in note.text}

    def _markers(self, note: Note, rng: random.Random) -> dict[str, str]:
        items = [item for item in (note.answer["biomarker"] or "").split("; ") if " " in item and item in note.text]
        return {
            item: invent_marker(rng).format(percent=rng.randint(1, 99), level=rng.randint(2, 980)) for item in items
        }

    def _mutations(self, note: Note, rng: random.Random) -> dict[str, str]:
        names = [item for item in (note.answer["gene_mutation"] or "").split("; ") if " " in item and item in note.text]
        return {name: _draw(self.mutations, invent_mutation, rng) for name in names}

    def _drugs(self, note: Note, rng: random.Random) -> dict[str, str]:
        treatment = note.answer["treatment"] or ""
        drugs = [drug for drug in self.drugs if drug in treatment and drug in note.text]
        return {drug: _draw(self.drugs, invent_drug, rng) for drug in drugs}

    def _sites(self, note: Note, rng: random.Random) -> dict[str, str]:
        answer = note.answer["metastasis_site"] or ""
        sites = [
            site
            for site, others in _SITES.items()
            if re.search(rf"\b{site}\b", answer)
            and re.search(rf"\b{site}\b", note.text)
            and not re.search(others, note.text, re.IGNORECASE)
            and site not in (note.answer["cancer_type"] or "")
        ]
        candidates = [site for site in _SITES if site not in note.text and site not in answer]
        candidates += [invent_site(rng) for _ in range(len(candidates) // 2)]
        return (
            dict(zip(sites, rng.sample(candidates, k=len(sites)), strict=True)) if len(sites) <= len(candidates) else {}
        )


def _draw(names: list[str], invent: Callable[[random.Random], str], rng: random.Random) -> str:
    return invent(rng) if rng.random() < _INVENTED else rng.choice(names)


def _exchange(note: Note, pairs: dict[str, str]) -> Note:
    """Replace all occurrences at once, as whole words, with a capital letter where there was one."""
    pattern = re.compile("|".join(rf"(?<![\w.]){re.escape(old)}(?!\w)" for old in pairs), re.IGNORECASE)
    lower = {old.lower(): new for old, new in pairs.items()}

    def replacement(match: re.Match[str]) -> str:
        old, new = match.group(), lower[match.group().lower()]
        return new[:1].upper() + new[1:] if old[:1].isupper() else new

    answer: Answer = {}
    for name in FIELDS:
        value = note.answer[name]
        answer[name] = None if value is None else pattern.sub(replacement, value)
    return Note(pattern.sub(replacement, note.text), answer)
