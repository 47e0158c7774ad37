"""A generator of synthetic clinical notes with their seven fields, and of notes in which there is no cancer.

The notes are made from a small grammar of our own, in `notes.yaml`. `[one|two]` in a pattern stands for one of its
alternatives and may be nested; `{name}` stands for a value. The answers follow the habits of the public data set: sites
by their organ, a metastatic disease as stage IV, tests that were not done or found nothing as null.

Some phrasings and values, in `held_out.yaml`, are never trained on. Notes made with them show what the model reads
that it has not learnt by heart. Of the notes to train on a part has made-up values, for the same end.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from training.data.dataset import FIELDS, Note
from training.notes.invention import (
    invent_cancer,
    invent_drug,
    invent_marker,
    invent_mutation,
    invent_operation,
    invent_site,
)

_CHOICE = re.compile(r"\[([^\[\]]*)\]")


_INVENTED = 0.5  # share of training notes with made-up values

_FOLDER = Path(__file__).resolve().parent
Split = Literal["training", "known", "phrasings", "values", "both"]
"""Which notes: to train on; the same without made-up values; with held-out phrasings, held-out values, or both."""


@dataclass(frozen=True)
class _Cancer:
    """One kind of cancer with what belongs to it."""

    names: list[str]
    mutations: list[str]
    biomarkers: list[str]
    systemic: list[str]
    operations: list[str]
    sites: list[str]


class _Grammar:
    """The patterns and values of one split, and the random numbers that choose among them."""

    def __init__(self, split: Split, rng: random.Random) -> None:
        self.rng = rng
        self._invents = split == "training"
        self._lists = _lists(split)

    def __getitem__(self, name: str) -> Any:
        return self._lists[name]

    def cancer(self) -> _Cancer:
        """A kind of cancer, with the values that belong to it."""
        if self._invents and self.rng.random() < _INVENTED:
            return _invented(self.rng)
        cancer: _Cancer = self.rng.choice(self._lists["cancers"])
        return cancer


def _invented(rng: random.Random) -> _Cancer:
    drugs = [invent_drug(rng) for _ in range(4)]
    return _Cancer(
        names=[invent_cancer(rng)],
        mutations=[invent_mutation(rng) for _ in range(2)],
        biomarkers=["; ".join(invent_marker(rng) for _ in range(rng.choice((1, 1, 2))))],
        systemic=[drugs[0], drugs[1], f"{drugs[2]} and {drugs[3]}"],
        operations=[invent_operation(rng)],
        sites=[invent_site(rng) for _ in range(3)],
    )


@cache
def _lists(split: Split) -> dict[str, Any]:
    lists = _read("notes.yaml")
    held_out = _read("held_out.yaml")
    if split in ("phrasings", "both"):
        lists = lists | held_out["phrasings"]
    if split in ("values", "both"):
        lists = lists | {"cancers": held_out["cancers"]}
    return lists | {"cancers": [_Cancer(**cancer) for cancer in lists["cancers"]]}


@cache
def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((_FOLDER / name).read_text(encoding="utf-8"))
    return content


def _expand(pattern: str, rng: random.Random) -> str:
    while (found := _CHOICE.search(pattern)) is not None:
        pattern = pattern[: found.start()] + rng.choice(found.group(1).split("|")) + pattern[found.end() :]
    return pattern


def _fill(name: str, grammar: _Grammar, **values: str) -> str:
    """A sentence of the grammar's list `name`."""
    return _render(grammar[name], grammar, **values)


def _render(patterns: list[str], grammar: _Grammar, **values: str) -> str:
    """One of the patterns with its choices made, its values put in and its first letter as a sentence has it."""
    rng = grammar.rng
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
        "symptom": rng.choice(grammar["symptom"]),
        "symptom2": rng.choice(grammar["symptom"]),
        "place": rng.choice(grammar["place"]),
    }
    text = _expand(rng.choice(patterns), rng).format(**common | values)
    return text[:1].upper() + text[1:]


def _join_sites(sites: list[str], grammar: _Grammar) -> str:
    known, other = grammar["site_phrases"], grammar["other_site_phrases"]
    phrases = [_render(known.get(site, other), grammar, site=site) for site in sites]
    return " and ".join(phrase[:1].lower() + phrase[1:] for phrase in phrases)


def _tidy(sentences: list[str]) -> str:
    """One text without the double spaces that empty alternatives leave."""
    return " ".join(" ".join(sentences).split()).replace(" :", ":")


_Finding = tuple[str | None, list[str]]
"""A field's value, and the sentences that say so."""


def _stage(metastatic: bool, said: bool, grammar: _Grammar) -> _Finding:
    """`said`: the opening already calls the disease metastatic."""
    rng = grammar.rng
    if not metastatic and rng.random() < 0.25:
        return None, []
    stage = "IV" if metastatic else rng.choice(grammar["stages"])
    return stage, [] if said and rng.random() < 0.6 else [_fill("staged", grammar, stage=stage)]


def _mutation(cancer: _Cancer, grammar: _Grammar) -> _Finding:
    rng = grammar.rng
    if rng.random() < 0.6:
        mutations = rng.sample(cancer.mutations, k=rng.choice((1, 1, 1, 2)))
        return "; ".join(mutations), [_fill("mutated", grammar, mutation=rng.choice(("; ", " and ")).join(mutations))]
    return None, [_fill("not_mutated", grammar)] if rng.random() < 0.6 else []


def _biomarker(cancer: _Cancer, grammar: _Grammar) -> _Finding:
    rng = grammar.rng
    if rng.random() < 0.6:
        biomarker = _render(cancer.biomarkers, grammar)
        return biomarker, [_fill("marked", grammar, biomarker=biomarker)]
    return None, [_fill("not_marked", grammar)] if rng.random() < 0.5 else []


def _sites(cancer: _Cancer, metastatic: bool, grammar: _Grammar) -> _Finding:
    rng = grammar.rng
    if metastatic:
        sites = rng.sample(cancer.sites, k=min(len(cancer.sites), rng.choice((1, 1, 1, 2, 2))))
        return ", ".join(sites), [_fill("spread", grammar, sites=_join_sites(sites, grammar))]
    return None, [_fill("not_spread", grammar)] if rng.random() < 0.5 else []


def _treatment(cancer: _Cancer, metastatic: bool, grammar: _Grammar) -> _Finding:
    rng = grammar.rng
    if rng.random() < 0.06:
        return None, [_fill("not_treated", grammar)]
    given, sentences = [], []
    if cancer.operations and not metastatic and rng.random() < 0.6:
        given.append(rng.choice(cancer.operations))
        sentences.append(_fill("operated", grammar, operation=given[-1]))
    if not given or rng.random() < 0.6:
        given.append(rng.choice(cancer.systemic))
        sentences.append(_fill("treated", grammar, treatment=given[-1]))
    return "; ".join(given), sentences


def _response(metastatic: bool, grammar: _Grammar) -> _Finding:
    rng = grammar.rng
    if rng.random() < 0.15:
        return None, []
    response = rng.choice(grammar["outcomes"]["metastatic" if metastatic else "localised"])
    return response, [_render(grammar["responses"][response], grammar) + "."]


def _make_note(grammar: _Grammar) -> Note:
    """A note on one patient with cancer, and its answer."""
    rng = grammar.rng
    cancer = grammar.cancer()
    name = rng.choice(cancer.names)
    metastatic = bool(cancer.sites) and rng.random() < 0.55
    spread = rng.choice(("metastatic ", "", "")) if metastatic else ""
    stage, staged = _stage(metastatic, bool(spread), grammar)
    mutation, mutated = _mutation(cancer, grammar)
    biomarker, marked = _biomarker(cancer, grammar)
    sites, located = _sites(cancer, metastatic, grammar)
    findings = [*staged, *mutated, *marked, *located]
    rng.shuffle(findings)
    treatment, treated = _treatment(cancer, metastatic, grammar)
    response, responded = _response(metastatic, grammar) if treatment else (None, [])
    body = [*findings, *treated, *responded]
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        body.insert(rng.randint(0, len(body)), _fill("other", grammar))
    adverb = rng.choice(("", "", "newly diagnosed ", "recurrent ")) if not spread else ""
    opening = _fill("opening", grammar, person=_fill("person", grammar), adverb=adverb, spread=spread, cancer=name)
    values = (name, stage, mutation, biomarker, treatment, response, sites)
    return Note(_tidy([opening, *body]), dict(zip(FIELDS, values, strict=True)))


def _make_no_cancer_note(grammar: _Grammar) -> Note:
    """A note on a patient without cancer: every field of its answer is null."""
    rng = grammar.rng
    rest = " ".join(_fill("finding", grammar) for _ in range(rng.choice((0, 1, 2))))
    text = _fill(
        "no_cancer",
        grammar,
        person=_fill("person", grammar),
        condition=_expand(rng.choice(grammar["condition"]), rng),
        plan=_fill("plan", grammar),
        negative=_fill("negative", grammar),
        rest=rest,
    )
    return Note(_tidy([text]), dict.fromkeys(FIELDS))


def make_notes(count: int, no_cancer_fraction: float, seed: int, split: Split = "training") -> Iterator[Note]:
    """`count` notes, of which about `no_cancer_fraction` have no cancer in them; the same for the same seed.

    Args:
        split: notes to train on, or notes with phrasings or values that no training note has.
    """
    grammar = _Grammar(split, random.Random(seed))
    for _ in range(count):
        yield _make_no_cancer_note(grammar) if grammar.rng.random() < no_cancer_fraction else _make_note(grammar)


def mutation_names() -> list[str]:
    """Every mutation that the training notes can have, once, in the grammar's order."""
    return list(dict.fromkeys(name for cancer in _lists("training")["cancers"] for name in cancer.mutations))


def drug_names() -> list[str]:
    """Every single drug that the training notes can have, once, in the grammar's order."""
    treatments = [treatment for cancer in _lists("training")["cancers"] for treatment in cancer.systemic]
    return list(dict.fromkeys(drug for treatment in treatments for drug in treatment.split(" and ")))
