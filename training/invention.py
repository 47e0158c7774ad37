"""Made-up values for notes: nobody can know them by heart, so that they can only be read.

None of them is among the held-out values.
"""

from __future__ import annotations

import random
import string
from collections.abc import Sequence

_VOWELS = "aeiou"
_CONSONANTS = "bcdfglmnprstvz"
_DRUG_ENDINGS = ("mab", "nib", "tinib", "ciclib", "platin", "taxel", "parib", "limus", "statin", "degib", "relin")
_AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
_ORIGINS = (
    "ampullary", "anal", "appendiceal", "bronchial", "conjunctival", "duodenal", "fallopian tube", "gallbladder",
    "hypopharyngeal", "ileal", "jejunal", "lacrimal gland", "laryngeal", "mediastinal", "mucosal", "nasal", "ocular",
    "parathyroid", "penile", "pituitary", "presacral", "rectosigmoid", "salivary gland", "sinonasal", "spinal",
    "splenic", "synovial", "testicular", "tonsillar", "tracheal", "ureteral", "urachal", "vaginal", "vulvar",
)  # fmt: skip
_TUMOURS = (
    "adenocarcinoma", "cancer", "carcinoma", "carcinoid", "chondrosarcoma", "germ cell tumor", "liposarcoma",
    "lymphoma", "mucinous carcinoma", "myxofibrosarcoma", "neuroendocrine carcinoma", "neuroendocrine tumor",
    "sarcoma", "small cell carcinoma", "spindle cell sarcoma", "squamous cell carcinoma", "transitional cell carcinoma",
)  # fmt: skip
_RESULTS = (
    "positive", "negative", "elevated", "high", "low", "{percent}%", "{level} ng/mL", "{level} U/mL", "undetectable",
    "overexpressed", "loss of expression",
)  # fmt: skip
_OPERATIONS = ("ectomy", "otomy", "plasty", "ostomy")
_OPERATION_ADJECTIVES = ("partial", "total", "radical", "laparoscopic", "open", "left", "right", "endoscopic")
SITES = (
    "bladder", "breast", "cecum", "choroid", "clavicle", "diaphragm", "duodenum", "esophagus", "gallbladder",
    "inguinal lymph nodes", "larynx", "mediastinum", "meninges", "nasal cavity", "ovary", "prostate", "psoas muscle",
    "retroperitoneum", "scalp", "spinal cord", "sternum", "stomach", "subcutaneous tissue",
    "supraclavicular lymph nodes", "testis", "thymus", "tongue", "tonsil", "ureter", "uterus", "vagina",
)  # fmt: skip
"""Sites of metastases that the grammar's cancers do not have."""


def _stem(rng: random.Random, syllables: Sequence[int] = (2, 3)) -> str:
    return "".join(rng.choice(_CONSONANTS) + rng.choice(_VOWELS) for _ in range(rng.choice(syllables)))


def invent_cancer(rng: random.Random) -> str:
    """A kind of cancer that need not exist, such as "urachal liposarcoma" or "velutoma"."""
    if rng.random() < 0.3:
        return f"{_stem(rng)}{rng.choice(_CONSONANTS)}oma"
    return f"{rng.choice(_ORIGINS)} {rng.choice(_TUMOURS)}"


def invent_mutation(rng: random.Random) -> str:
    """A mutation of a gene that need not exist, such as "KLR2 V812G"."""
    gene = "".join(rng.choices(string.ascii_uppercase, k=rng.randint(3, 4))) + rng.choice(("", "", "1", "2", "3"))
    before, after = rng.sample(_AMINO_ACIDS, k=2)
    place = rng.randint(12, 1300)
    kinds = (f"{before}{place}{after}", f"exon {place % 30} deletion", "mutation", "loss", "amplification", "fusion")
    return f"{gene} {rng.choices(kinds, (6, 1, 1, 1, 1, 1))[0]}"


def invent_marker(rng: random.Random) -> str:
    """A biomarker with its result, such as "CD41 positive" or "RVL-3 {level} U/mL"; braces as in the grammar."""
    letters = "".join(rng.choices(string.ascii_uppercase, k=rng.randint(2, 4)))
    name = rng.choice((letters, f"{letters}{rng.randint(1, 99)}", f"{letters}-{rng.randint(1, 99)}", f"{_stem(rng)}in"))
    return f"{name} {rng.choice(_RESULTS)}"


def invent_drug(rng: random.Random) -> str:
    """A drug that need not exist, such as "velotinib"."""
    return _stem(rng) + rng.choice(_DRUG_ENDINGS)


def invent_operation(rng: random.Random) -> str:
    """An operation that need not exist, such as "partial zerilectomy"."""
    name = f"{_stem(rng)}{rng.choice(_CONSONANTS)}{rng.choice(_OPERATIONS)}"
    return name if rng.random() < 0.5 else f"{rng.choice(_OPERATION_ADJECTIVES)} {name}"
