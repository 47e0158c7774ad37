"""One spelling for answers that the public data set spells in several ways.

The public answers are not consistent: two sites are joined by a comma, a semicolon or "and" without a reason in the
note. A model cannot learn a choice that nothing in the note predicts, so the training answers are given the most
frequent form. Validation answers are left unchanged.
"""

from __future__ import annotations

import re

from training.data.dataset import FIELDS, Answer, Note

_SITE_SEPARATOR = re.compile(r"(?:;| and|, and) (?![^(]*\))")
_MARKER_SEPARATOR = re.compile(r", (?![^(]*\))")
_DOSE = re.compile(r" \d+(?:\.\d+)? mg(?: (?:once |twice )?daily)?\b")
_DRUG_LIST = re.compile(r"[\w-]+(?: (?:\+|plus) [\w-]+)+")
_STAGE_GAP = re.compile(r"^(I{1,3}|IV) ([ABC])\b")


def harmonise(note: Note) -> Note:
    """Return the note with its answer in the most frequent form.

    Sites are joined by ", ", biomarkers by "; ". Drugs given together become "A and B" or "A, B and C", unless the note
    itself has a plus sign. Doses are removed from the treatment. "III A" becomes "IIIA". The answers of other tasks are
    left unchanged.
    """
    if tuple(note.answer) != FIELDS:
        return note
    answer: Answer = dict(note.answer)
    if sites := answer["metastasis_site"]:
        answer["metastasis_site"] = _SITE_SEPARATOR.sub(", ", sites)
    if markers := answer["biomarker"]:
        answer["biomarker"] = _MARKER_SEPARATOR.sub("; ", markers)
    if stage := answer["stage"]:
        answer["stage"] = _STAGE_GAP.sub(r"\1\2", stage)
    if treatment := answer["treatment"]:
        treatment = _DOSE.sub("", treatment)
        if " + " not in note.text:
            treatment = _DRUG_LIST.sub(lambda match: _join(re.split(r" \+ | plus ", match.group())), treatment)
        answer["treatment"] = treatment
    return Note(note.text, answer)


def _join(items: list[str]) -> str:
    return " and ".join([", ".join(items[:-1]), items[-1]])
