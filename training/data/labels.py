"""One spelling for answers that the public data set writes in several ways.

The public answers are not consistent: two sites are joined by a comma, a semicolon or "and" without a reason in the
note. What cannot be predicted cannot be learnt, so the training answers follow the majority's habit. Validation answers
stay as they are.
"""

from __future__ import annotations

import re

from training.data.dataset import Answer, Note

_SITE_JOINT = re.compile(r"(?:;| and|, and) (?![^(]*\))")
_MARKER_JOINT = re.compile(r", (?![^(]*\))")
_DOSE = re.compile(r" \d+(?:\.\d+)? mg(?: (?:once |twice )?daily)?\b")
_DRUG_LIST = re.compile(r"[\w-]+(?: (?:\+|plus) [\w-]+)+")
_STAGE_GAP = re.compile(r"^(I{1,3}|IV) ([ABC])\b")


def harmonise(note: Note) -> Note:
    """The note with its answer in the majority's spelling.

    Sites: joined by ", ". Biomarkers: joined by "; ". Drugs given together: "A and B", "A, B and C", unless the note
    itself writes a plus sign. Doses are left out of the treatment. "III A" becomes "IIIA".
    """
    answer: Answer = dict(note.answer)
    if sites := answer["metastasis_site"]:
        answer["metastasis_site"] = _SITE_JOINT.sub(", ", sites)
    if markers := answer["biomarker"]:
        answer["biomarker"] = _MARKER_JOINT.sub("; ", markers)
    if stage := answer["stage"]:
        answer["stage"] = _STAGE_GAP.sub(r"\1\2", stage)
    if treatment := answer["treatment"]:
        treatment = _DOSE.sub("", treatment)
        if " + " not in note.text:
            treatment = _DRUG_LIST.sub(lambda found: _listed(re.split(r" \+ | plus ", found.group())), treatment)
        answer["treatment"] = treatment
    return Note(note.text, answer)


def _listed(items: list[str]) -> str:
    return " and ".join([", ".join(items[:-1]), items[-1]])
