"""A generator of synthetic clinical notes with their seven fields, and of notes in which there is no cancer.

The notes are made from a small grammar of our own, in `notes.yaml`. `[one|two]` in a pattern stands for one of its
alternatives and may be nested; `{name}` stands for a value. The answers follow the habits of the public data set: sites
by their organ, a metastatic disease as stage IV, tests that were not done or found nothing as null.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from training.dataset import FIELDS, Note

_CHOICE = re.compile(r"\[([^\[\]]*)\]")


_GRAMMAR_FILE = Path(__file__).resolve().parent / "notes.yaml"


@dataclass(frozen=True)
class _Cancer:
    """One kind of cancer with what belongs to it."""

    names: list[str]
    mutations: list[str]
    biomarkers: list[str]
    systemic: list[str]
    operations: list[str]
    sites: list[str]


@cache
def _grammar() -> dict[str, Any]:
    grammar: dict[str, Any] = yaml.safe_load(_GRAMMAR_FILE.read_text(encoding="utf-8"))
    return grammar | {"cancers": [_Cancer(**cancer) for cancer in grammar["cancers"]]}


def _expand(pattern: str, rng: random.Random) -> str:
    while (found := _CHOICE.search(pattern)) is not None:
        pattern = pattern[: found.start()] + rng.choice(found.group(1).split("|")) + pattern[found.end() :]
    return pattern


def _fill(name: str, rng: random.Random, **values: str) -> str:
    """A sentence of the grammar's list `name`."""
    return _render(_grammar()[name], rng, **values)


def _render(patterns: list[str], rng: random.Random, **values: str) -> str:
    """One of the patterns with its choices made, its values put in and its first letter as a sentence has it."""
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
        "symptom": rng.choice(_grammar()["symptom"]),
        "symptom2": rng.choice(_grammar()["symptom"]),
        "place": rng.choice(_grammar()["place"]),
    }
    text = _expand(rng.choice(patterns), rng).format(**common | values)
    return text[:1].upper() + text[1:]


def _join_sites(sites: list[str], rng: random.Random) -> str:
    known = _grammar()["site_phrases"]
    phrases = [_render(known.get(site, ["metastases in the " + site]), rng) for site in sites]
    return " and ".join(phrase[:1].lower() + phrase[1:] for phrase in phrases)


def _tidy(sentences: list[str]) -> str:
    """One text without the double spaces that empty alternatives leave."""
    return " ".join(" ".join(sentences).split()).replace(" :", ":")


_Finding = tuple[str | None, list[str]]
"""A field's value, and the sentences that say so."""


def _stage(metastatic: bool, said: bool, rng: random.Random) -> _Finding:
    """`said`: the opening already calls the disease metastatic."""
    if not metastatic and rng.random() < 0.25:
        return None, []
    stage = "IV" if metastatic else rng.choice(_grammar()["stages"])
    return stage, [] if said and rng.random() < 0.6 else [_fill("staged", rng, stage=stage)]


def _mutation(cancer: _Cancer, rng: random.Random) -> _Finding:
    if rng.random() < 0.6:
        mutations = rng.sample(cancer.mutations, k=rng.choice((1, 1, 1, 2)))
        return "; ".join(mutations), [_fill("mutated", rng, mutation=rng.choice(("; ", " and ")).join(mutations))]
    return None, [_fill("not_mutated", rng)] if rng.random() < 0.6 else []


def _biomarker(cancer: _Cancer, rng: random.Random) -> _Finding:
    if rng.random() < 0.6:
        biomarker = _render(cancer.biomarkers, rng)
        return biomarker, [_fill("marked", rng, biomarker=biomarker)]
    return None, [_fill("not_marked", rng)] if rng.random() < 0.5 else []


def _sites(cancer: _Cancer, metastatic: bool, rng: random.Random) -> _Finding:
    if metastatic:
        sites = rng.sample(cancer.sites, k=min(len(cancer.sites), rng.choice((1, 1, 1, 2, 2))))
        return ", ".join(sites), [_fill("spread", rng, sites=_join_sites(sites, rng))]
    return None, [_fill("not_spread", rng)] if rng.random() < 0.5 else []


def _treatment(cancer: _Cancer, metastatic: bool, rng: random.Random) -> _Finding:
    if rng.random() < 0.06:
        return None, [_fill("not_treated", rng)]
    given, sentences = [], []
    if cancer.operations and not metastatic and rng.random() < 0.6:
        given.append(rng.choice(cancer.operations))
        sentences.append(_fill("operated", rng, operation=given[-1]))
    if not given or rng.random() < 0.6:
        given.append(rng.choice(cancer.systemic))
        sentences.append(_fill("treated", rng, treatment=given[-1]))
    return "; ".join(given), sentences


def _response(metastatic: bool, rng: random.Random) -> _Finding:
    if rng.random() < 0.15:
        return None, []
    grammar = _grammar()
    response = rng.choice(grammar["outcomes"]["metastatic" if metastatic else "localised"])
    return response, [_render(grammar["responses"][response], rng) + "."]


def make_note(rng: random.Random) -> Note:
    """A note on one patient with cancer, and its answer."""
    cancer = rng.choice(_grammar()["cancers"])
    name = rng.choice(cancer.names)
    metastatic = bool(cancer.sites) and rng.random() < 0.55
    spread = rng.choice(("metastatic ", "", "")) if metastatic else ""
    stage, staged = _stage(metastatic, bool(spread), rng)
    mutation, mutated = _mutation(cancer, rng)
    biomarker, marked = _biomarker(cancer, rng)
    sites, located = _sites(cancer, metastatic, rng)
    findings = [*staged, *mutated, *marked, *located]
    rng.shuffle(findings)
    treatment, treated = _treatment(cancer, metastatic, rng)
    response, responded = _response(metastatic, rng) if treatment else (None, [])
    body = [*findings, *treated, *responded]
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        body.insert(rng.randint(0, len(body)), _fill("other", rng))
    adverb = rng.choice(("", "", "newly diagnosed ", "recurrent ")) if not spread else ""
    opening = _fill("opening", rng, person=_fill("person", rng), adverb=adverb, spread=spread, cancer=name)
    values = (name, stage, mutation, biomarker, treatment, response, sites)
    return Note(_tidy([opening, *body]), dict(zip(FIELDS, values, strict=True)))


def make_no_cancer_note(rng: random.Random) -> Note:
    """A note on a patient without cancer: every field of its answer is null."""
    rest = " ".join(_fill("finding", rng) for _ in range(rng.choice((0, 1, 2))))
    text = _fill(
        "no_cancer",
        rng,
        person=_fill("person", rng),
        condition=_expand(rng.choice(_grammar()["condition"]), rng),
        plan=_fill("plan", rng),
        negative=_fill("negative", rng),
        rest=rest,
    )
    return Note(_tidy([text]), dict.fromkeys(FIELDS))


def make_notes(count: int, no_cancer_fraction: float, seed: int) -> Iterator[Note]:
    """`count` notes, of which about `no_cancer_fraction` have no cancer in them; the same for the same seed."""
    rng = random.Random(seed)
    for _ in range(count):
        yield make_no_cancer_note(rng) if rng.random() < no_cancer_fraction else make_note(rng)


def mutation_names() -> list[str]:
    """Every mutation that the grammar knows, once, in its order."""
    return list(dict.fromkeys(name for cancer in _grammar()["cancers"] for name in cancer.mutations))


def drug_names() -> list[str]:
    """Every single drug that the grammar knows, once, in its order."""
    treatments = [treatment for cancer in _grammar()["cancers"] for treatment in cancer.systemic]
    return list(dict.fromkeys(drug for treatment in treatments for drug in treatment.split(" and ")))
