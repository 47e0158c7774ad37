"""Made-up values for notes: a model cannot memorise them, and has to read them.

None of them is a held-out value.
"""

from __future__ import annotations

import random
import string
from collections.abc import Sequence

_ONSETS = (
    *"bcdfghklmnprstvz", "bl", "br", "ch", "cr", "dr", "fl", "gl", "gr", "ph", "pl", "pr", "sc", "st", "th", "tr",
)  # fmt: skip
_VOWELS = (*"aaeeiioou", "y", "ea", "io", "oe")
_CODAS = (*[""] * 5, *"clmnrst")
_DRUG_ENDINGS = (
    "mab", "nib", "tinib", "ciclib", "platin", "taxel", "parib", "limus", "statin", "degib", "relin", "ase", "tide",
    "micin", "bicin", "trexed", "sertib", "vec", "tane", "zole", "amide", "ib", "in", "ol", "cel",
)  # fmt: skip
_AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
_ORIGINS = (
    "ampullary", "anal", "appendiceal", "bronchial", "conjunctival", "duodenal", "fallopian tube", "gallbladder",
    "hypopharyngeal", "ileal", "jejunal", "lacrimal gland", "laryngeal", "mediastinal", "mucosal", "nasal", "ocular",
    "parathyroid", "penile", "pituitary", "presacral", "rectosigmoid", "salivary gland", "sinonasal", "spinal",
    "splenic", "synovial", "testicular", "tonsillar", "tracheal", "ureteral", "urachal", "vaginal", "vulvar",
)  # fmt: skip
_GROWTHS = (
    "anaplastic", "basaloid", "clear cell", "cystic", "dedifferentiated", "desmoplastic", "follicular", "giant cell",
    "medullary", "myxoid", "pleomorphic", "round cell", "sclerosing", "undifferentiated", "verrucous",
    "well-differentiated",
)  # fmt: skip
_TUMOURS = (
    "adenocarcinoma", "cancer", "carcinoma", "carcinoid", "chondrosarcoma", "germ cell tumor", "liposarcoma",
    "lymphoma", "mucinous carcinoma", "myxofibrosarcoma", "neuroendocrine carcinoma", "neuroendocrine tumor",
    "sarcoma", "small cell carcinoma", "spindle cell sarcoma", "squamous cell carcinoma",
    "transitional cell carcinoma", "tumor",
)  # fmt: skip
_RESULTS = (
    "positive", "positive", "negative", "elevated", "high", "low", "{percent}%", "{level} ng/mL", "{level} U/mL",
    "{level} pg/mL", "{level} nmol/L", "{level} mU/L", "{level} g/L", "undetectable", "overexpressed",
    "loss of expression",
)  # fmt: skip
_OPERATIONS = ("ectomy", "otomy", "plasty", "ostomy")
_OPERATION_ADJECTIVES = (
    "partial", "total", "radical", "laparoscopic", "open", "left", "right", "endoscopic", "robotic", "extended",
)  # fmt: skip
# No cancer of the grammar spreads there.
_SITES = (
    "bladder", "breast", "cecum", "choroid", "clavicle", "diaphragm", "duodenum", "esophagus", "gallbladder",
    "inguinal lymph nodes", "larynx", "mediastinum", "meninges", "nasal cavity", "ovary", "prostate", "psoas muscle",
    "retroperitoneum", "scalp", "spinal cord", "sternum", "stomach", "subcutaneous tissue",
    "supraclavicular lymph nodes", "testis", "thymus", "tongue", "tonsil", "ureter", "uterus", "vagina",
)  # fmt: skip
_SITE_ENDINGS = ("um", "us", "ea", "is", "ium", "ula", "oid", "al")
_SITE_NOUNS = (
    "artery", "canal", "cartilage", "cavity", "duct", "fossa", "gland", "lymph nodes", "muscle", "vein", "wall",
)  # fmt: skip
_SITE_ADJECTIVES = (
    "anterior", "deep", "distal", "inferior", "left", "lower", "posterior", "right", "superior", "upper",
)  # fmt: skip


def invent_word(rng: random.Random, syllables: Sequence[int] = (2, 3)) -> str:
    """Invent a lower-case word; the number of its syllables is drawn from `syllables`."""
    return "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(rng.choice(syllables)))


def _stem(rng: random.Random, syllables: Sequence[int] = (1, 2)) -> str:
    """Invent the beginning of a word, to be followed by an ending that starts with a vowel."""
    return invent_word(rng, syllables) + rng.choice("bcdfglmnprstv")


def invent_cancer(rng: random.Random) -> str:
    """Invent a kind of cancer, such as "urachal liposarcoma", "velutoma" or "Sarton cell tumor"."""
    kind = rng.random()
    if kind < 0.25:
        return f"{rng.choice(_ORIGINS)} {rng.choice(_TUMOURS)}"
    if kind < 0.4:
        return f"{invent_word(rng).title()}{rng.choice(('', ' cell'))} {rng.choice(_TUMOURS)}"
    if kind < 0.55:
        return f"{_stem(rng)}{rng.choice(('ic', 'al', 'ary', 'oid'))} {rng.choice(_TUMOURS)}"
    name = f"{_stem(rng)}{rng.choice(('oma', 'oma', 'osarcoma', 'ocytoma', 'oblastoma'))}"
    return name if kind < 0.75 else f"{rng.choice((*_GROWTHS, f'{_stem(rng)}ic'))} {name}"


def invent_mutation(rng: random.Random) -> str:
    """Invent a mutation of a gene, such as "KLR2 V812G"."""
    gene = "".join(rng.choices(string.ascii_uppercase, k=rng.randint(3, 5))) + rng.choice(("", "", "", *"1234567"))
    before, after = rng.sample(_AMINO_ACIDS, k=2)
    place = rng.randint(12, 1300)
    exon = rng.choice(("deletion", "deletion", "insertion", "skipping"))
    kinds = (
        f"{before}{place}{after}", f"exon {place % 30 + 1} {exon}", "mutation", "loss", "deletion", "amplification",
        "fusion", "rearrangement", f"{before}{place}*",
    )  # fmt: skip
    return f"{gene} {rng.choices(kinds, (6, 2, 2, 2, 2, 1, 1, 1, 1))[0]}"


def invent_marker(rng: random.Random) -> str:
    """Invent a biomarker with its result, such as "CD41 positive" or "RVL-3 {level} U/mL"; braces as in the grammar."""
    letters = "".join(rng.choices(string.ascii_uppercase, k=rng.randint(2, 4)))
    word = f"{_stem(rng)}{rng.choice(('in', 'ine', 'ol', 'ase', 'ogen', 'en'))}"
    names = (
        letters, f"{letters}{rng.randint(1, 99)}", f"{letters}-{rng.randint(1, 99)}", word, word,
        f"{invent_word(rng).title()} {rng.choice((word, 'virus', 'antigen', 'receptor'))}",
    )  # fmt: skip
    return f"{rng.choice(names)} {rng.choice(_RESULTS)}"


def invent_drug(rng: random.Random) -> str:
    """Invent a drug, such as "velotinib"."""
    return _stem(rng, (1, 2, 2, 3)) + rng.choice(("", "i", "o", "a")) + rng.choice(_DRUG_ENDINGS)


def invent_operation(rng: random.Random) -> str:
    """Invent an operation, such as "partial zerilectomy" or "lumeral resection"."""
    kind = rng.random()
    if kind < 0.2:
        return f"{_stem(rng)}{rng.choice(('al', 'ar', 'ic'))} {rng.choice(('resection', 'excision', 'repair'))}"
    if kind < 0.3:
        return f"{invent_word(rng).title()} {rng.choice(('surgery', 'procedure', 'operation'))}"
    name = f"{_stem(rng)}{rng.choice(_OPERATIONS)}"
    return name if kind < 0.6 else f"{rng.choice(_OPERATION_ADJECTIVES)} {name}"


def invent_site(rng: random.Random) -> str:
    """Draw a site in the body that no cancer of the grammar spreads to, or invent one."""
    kind = rng.random()
    if kind < 0.3:
        return rng.choice(_SITES)
    name = f"{_stem(rng)}{rng.choice(_SITE_ENDINGS)}"
    if kind < 0.6:
        return name
    if kind < 0.8:
        return f"{name} {rng.choice(_SITE_NOUNS)}"
    return f"{rng.choice(_SITE_ADJECTIVES)} {rng.choice((name, f'{name} {rng.choice(_SITE_NOUNS)}'))}"
