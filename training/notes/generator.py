"""A generator of synthetic clinical notes with their seven fields, and of notes in which there is no cancer.

The answers follow the conventions of the public data set: sites by organ, a metastatic disease as stage IV, tests that
were not done or found nothing as null. Some phrasings and values are held out: they are in no training note, and notes
made with them show what a model can read that it has not memorised. For the same purpose half of the training notes
have made-up values.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from training.data.dataset import FIELDS, Note
from training.notes.grammar import Cancer, Grammar
from training.patterns import Split

_Finding = tuple[str | None, list[str]]
"""A field's value, and the sentences that state it."""


def make_notes(count: int, no_cancer_fraction: float, seed: int, split: Split = "training") -> Iterator[Note]:
    """Generate notes; the same seed gives the same notes.

    Args:
        count: number of notes.
        no_cancer_fraction: probability, 0 to 1, that a note has no cancer in it.
        seed: seed of the random numbers.
        split: notes to train on, or notes with phrasings or values that no training note has.
    """
    grammar = Grammar(split, random.Random(seed))
    for _ in range(count):
        yield _make_no_cancer_note(grammar) if grammar.rng.random() < no_cancer_fraction else _make_note(grammar)


def _make_note(grammar: Grammar) -> Note:
    """Make a note on one patient with cancer, and its answer."""
    rng = grammar.rng
    cancer = grammar.cancer()
    name = rng.choice(cancer.names)
    metastatic = bool(cancer.sites) and rng.random() < 0.55
    spread = rng.choice(("metastatic ", "", "")) if metastatic else ""
    stage, stage_text = _stage(metastatic, bool(spread), grammar)
    mutation, mutation_text = _mutation(cancer, grammar)
    biomarker, biomarker_text = _biomarker(cancer, grammar)
    sites, sites_text = _sites(cancer, metastatic, grammar)
    findings = [*stage_text, *mutation_text, *biomarker_text, *sites_text]
    rng.shuffle(findings)
    treatment, treatment_text = _treatment(cancer, metastatic, grammar)
    response, response_text = _response(metastatic, grammar) if treatment else (None, [])
    body = [*findings, *treatment_text, *response_text]
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        body.insert(rng.randint(0, len(body)), grammar.sentence("other"))
    adverb = rng.choice(("", "", "newly diagnosed ", "recurrent ")) if not spread else ""
    person = grammar.sentence("person")
    opening = grammar.sentence("opening", person=person, adverb=adverb, spread=spread, cancer=name)
    values = (name, stage, mutation, biomarker, treatment, response, sites)
    return Note(_tidy([opening, *body]), dict(zip(FIELDS, values, strict=True)))


def _make_no_cancer_note(grammar: Grammar) -> Note:
    """Make a note on a patient without cancer: every field of its answer is null."""
    rng = grammar.rng
    rest = " ".join(grammar.sentence("finding") for _ in range(rng.choice((0, 1, 2))))
    text = grammar.sentence(
        "no_cancer",
        person=grammar.sentence("person"),
        condition=grammar.expand(rng.choice(grammar["condition"])),
        plan=grammar.sentence("plan"),
        negative=grammar.sentence("negative"),
        rest=rest,
    )
    return Note(_tidy([text]), dict.fromkeys(FIELDS))


def _tidy(sentences: list[str]) -> str:
    """Join sentences without the double spaces that empty alternatives leave."""
    return " ".join(" ".join(sentences).split()).replace(" :", ":")


def _stage(metastatic: bool, is_in_opening: bool, grammar: Grammar) -> _Finding:
    """Draw the stage; it is sometimes left unstated where the opening already calls the disease metastatic."""
    rng = grammar.rng
    if not metastatic and rng.random() < 0.25:
        return None, []
    stage = "IV" if metastatic else rng.choice(grammar["stages"])
    return stage, [] if is_in_opening and rng.random() < 0.6 else [grammar.sentence("staged", stage=stage)]


def _mutation(cancer: Cancer, grammar: Grammar) -> _Finding:
    rng = grammar.rng
    if rng.random() < 0.6:
        mutations = rng.sample(cancer.mutations, k=rng.choice((1, 1, 1, 2)))
        return "; ".join(mutations), [grammar.sentence("mutated", mutation=rng.choice(("; ", " and ")).join(mutations))]
    return None, [grammar.sentence("not_mutated")] if rng.random() < 0.6 else []


def _biomarker(cancer: Cancer, grammar: Grammar) -> _Finding:
    rng = grammar.rng
    if rng.random() < 0.6:
        biomarker = grammar.render(cancer.biomarkers)
        return biomarker, [grammar.sentence("marked", biomarker=biomarker)]
    return None, [grammar.sentence("not_marked")] if rng.random() < 0.5 else []


def _sites(cancer: Cancer, metastatic: bool, grammar: Grammar) -> _Finding:
    rng = grammar.rng
    if metastatic:
        sites = rng.sample(cancer.sites, k=min(len(cancer.sites), rng.choice((1, 1, 1, 2, 2))))
        by_site, other = grammar["site_phrases"], grammar["other_site_phrases"]
        phrases = [grammar.render(by_site.get(site, other), site=site) for site in sites]
        joined = " and ".join(phrase[:1].lower() + phrase[1:] for phrase in phrases)
        return ", ".join(sites), [grammar.sentence("spread", sites=joined)]
    return None, [grammar.sentence("not_spread")] if rng.random() < 0.5 else []


def _treatment(cancer: Cancer, metastatic: bool, grammar: Grammar) -> _Finding:
    rng = grammar.rng
    if rng.random() < 0.06:
        return None, [grammar.sentence("not_treated")]
    treatments, sentences = [], []
    if cancer.operations and not metastatic and rng.random() < 0.6:
        treatments.append(rng.choice(cancer.operations))
        sentences.append(grammar.sentence("operated", operation=treatments[-1]))
    if not treatments or rng.random() < 0.6:
        treatments.append(rng.choice(cancer.systemic))
        sentences.append(grammar.sentence("treated", treatment=treatments[-1]))
    return "; ".join(treatments), sentences


def _response(metastatic: bool, grammar: Grammar) -> _Finding:
    rng = grammar.rng
    if rng.random() < 0.15:
        return None, []
    response = rng.choice(grammar["outcomes"]["metastatic" if metastatic else "localised"])
    return response, [grammar.render(grammar["responses"][response]) + "."]
