"""Evidence stands where it says, is found in other spellings, and never where the text does not hold the value."""

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.grounding.grounder import MAX_SPANS, Evidence, Grounder, find_evidence
from gateway.grounding.passages import FUZZY_THRESHOLD
from gateway.grounding.words import starts_cluster

NOTE = (
    "64-year-old woman with Stage IIIB breast cancer (invasive ductal carcinoma), cT4N1. ER+, PR weakly positive; "
    "HER2 was negative by FISH. Sequencing: EGFR p.L858R, no ALK fusion. PD-L1 expression was 40%. She received "
    "six cycles of nab\u2011paclitaxel plus carboplatin, then pembrolizumab 200 mg IV. Restaging after treatment "
    "showed an initial partial radiographic response but new peritoneal metastases. Her non\u2011small cell lung "
    "nodule is stable."
)

ALPHABET = (
    "aAeiI vVX3+-–.,;:()[]/&⁺⁻Ⅳ\u200b\n\t%éﬁß\u0301\u200d\u00ad😀👩🏽🇩🇪अि한ᄒ\u1161กำ漢字שלוםمرحبا\u064e\u200f\ud800"
)
TEXTS = st.one_of(st.text(max_size=200), st.text(alphabet=ALPHABET, max_size=200))


def found(text: str, value: str | None) -> list[tuple[str, str]]:
    """Return the evidence's words and how they were matched."""
    return [(evidence.text, evidence.match) for evidence in find_evidence(text, value)]


def check(text: str, evidence: list[Evidence]) -> None:
    """Fail unless all spans are true, whole and in order."""
    for span in evidence:
        assert 0 <= span.start < span.end <= len(text)
        assert text[span.start : span.end] == span.text
        assert starts_cluster(text, span.start)
        assert starts_cluster(text, span.end)
    offsets = [(span.start, span.end) for span in evidence]
    assert offsets == sorted(set(offsets))


@given(TEXTS, TEXTS)
def test_spans_are_true_for_any_text_and_value(text: str, value: str) -> None:
    check(text, find_evidence(text, value))


@given(st.data(), TEXTS)
def test_spans_are_true_for_values_from_the_text(data: st.DataObject, text: str) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    changes: list[Callable[[str], str]] = [str.strip, str.upper, str.lower, unaccented, decomposed, hyphenated]
    change = data.draw(st.sampled_from(changes))
    check(text, find_evidence(text, change(text[start:end])))


def unaccented(value: str) -> str:
    """Return a value in compatibility form without its accents."""
    return "".join(c for c in unicodedata.normalize("NFKD", value) if not unicodedata.combining(c))


def decomposed(value: str) -> str:
    """Return a value in canonical decomposition."""
    return unicodedata.normalize("NFD", value)


def hyphenated(value: str) -> str:
    """Return a value with hyphens for spaces."""
    return value.replace(" ", "-")


WORDS = st.lists(st.text(alphabet="bcdfghjklmnpqrtuvwz", min_size=4, max_size=9), min_size=3, max_size=30, unique=True)


@given(WORDS, st.data())
def test_any_run_of_words_is_found_whatever_its_case_and_spaces(words: list[str], data: st.DataObject) -> None:
    text = " ".join(words)
    start = data.draw(st.integers(0, len(words) - 2))
    run = words[start : start + 2]
    assert (" ".join(run), "exact") in found(text, " ".join(run))
    assert (" ".join(run), "normalized") in found(text, "  ".join(run).upper())


@given(WORDS)
def test_words_that_are_not_in_the_text_have_no_evidence(words: list[str]) -> None:
    half = len(words) // 2
    absent = [word for word in words[:half] if not any(word[:4] == other[:4] for other in words[half:])]
    assert found(" ".join(words[half:]), " ".join(absent)) == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("invasive ductal carcinoma", [("invasive ductal carcinoma", "exact")]),
        ("breast cancer (invasive ductal carcinoma)", [("breast cancer (invasive ductal carcinoma)", "exact")]),
        # the same words, written otherwise
        ("Invasive  Ductal Carcinomas", [("invasive ductal carcinoma", "normalized")]),
        ("IIIB", [("IIIB", "exact")]),
        ("stage 3B", [("IIIB", "normalized")]),
        ("3b", [("IIIB", "normalized")]),
        ("ER positive", [("ER+", "normalized")]),
        ("nab paclitaxel + carboplatin", [("nab\u2011paclitaxel plus carboplatin", "normalized")]),
        ("nab-paclitaxel and carboplatin", [("nab\u2011paclitaxel plus carboplatin", "normalized")]),
        ("EGFR L858R", [("EGFR p.L858R", "normalized")]),
        ("6 cycles of nab-paclitaxel", [("six cycles of nab\u2011paclitaxel", "normalized")]),
        ("non-small cell lung nodule", [("non\u2011small cell lung nodule", "normalized")]),
        # nearly the same words, nearby
        ("PD-L1 40%", [("PD-L1 expression was 40%", "fuzzy")]),
        ("partial response", [("partial radiographic response", "fuzzy")]),
        ("PR positive", [("PR weakly positive", "fuzzy")]),
        ("HER2 negative", [("HER2 was negative", "fuzzy")]),
        ("peritoneum", [("peritoneal", "fuzzy")]),
        ("pembrolizumub", [("pembrolizumab", "fuzzy")]),
        ("stage III", [("IIIB", "fuzzy")]),
        # several parts
        (
            "carboplatin; pembrolizumab",
            [("carboplatin", "exact"), ("pembrolizumab", "exact")],
        ),
        ("pembrolizumab, nab-paclitaxel", [("nab\u2011paclitaxel", "normalized"), ("pembrolizumab", "exact")]),
        ("carboplatin and osimertinib", [("carboplatin", "exact")]),
        ("ER and PR positive", [("ER+, PR weakly positive", "fuzzy")]),
        # not in the text
        (None, []),
        ("", []),
        ("  ", []),
        (", -", []),
        ("and", []),
        ("osimertinib", []),
        ("ER", [("ER", "exact")]),
        ("AL", []),
        ("IV", []),
        ("stage IV", []),
        ("I", []),
        ("ER negative", []),
        ("PR negative", []),
        ("HER2 positive", []),
        ("PD-L1 4%", []),
        ("PD-L1 60%", []),
        ("EGFR L858", []),
        ("EGFR T790M", []),
        ("complete response", []),
        ("small cell lung nodule", []),
        ("invasive lobular carcinoma", []),
        ("docetaxel (6 cycles)", []),
        ("BRCA2 (EGFR)", []),
        ("progression", []),
    ],
)
def test_evidence_in_a_note(value: str | None, expected: list[tuple[str, str]]) -> None:
    assert found(NOTE, value) == expected


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        # stages
        ("I saw her. She has stage I disease.", "I", ["I"]),
        ("I saw her today.", "I", []),
        ("Stage at presentation was IIIA (T2N2).", "IIIA", ["IIIA"]),
        ("Clinically cT3N1, IIIB.", "IIIB", ["IIIB"]),
        ("cefazolin 2 g IV, stage IV disease", "IV", ["IV"]),
        ("FIGO IIIC disease", "stage IIIC", ["IIIC"]),
        ("glioblastoma (WHO grade IV)", "IV", ["IV"]),
        ("stage III disease", "II", []),
        ("stage III/IV disease", "IV", ["IV"]),
        ("stage 4 cancer", "IV", ["4"]),
        ("stage III A cancer", "IIIA", ["III A"]),
        ("type II diabetes", "type 2 diabetes", ["type II diabetes"]),
        # numbers
        ("a mass of 13.5 cm", "3.5 cm", []),
        ("a mass of 3.5cm", "3.5 cm", ["3.5cm"]),
        ("PSA 1,200 ng/mL", "PSA 1200 ng/mL", ["PSA 1,200 ng/mL"]),
        ("CA 19-9 rose", "CA19-9", ["CA 19-9"]),
        ("CA 19-9 rose", "CA 199", []),
        ("PD-L1 <1%", "PD-L1 1%", []),
        ("PD-L1 <1%", "PD-L1 <1%", ["PD-L1 <1%"]),
        ("10⁵ cells", "10", []),
        # words
        ("after a while", "ER", []),
        ("criteria were met", "MET", []),
        ("MET amplification", "met amplification", ["MET amplification"]),
        ("HER-2 amplified", "HER2 amplified", ["HER-2 amplified"]),
        ("PDL1 low", "PD-L1 low", ["PDL1 low"]),
        ("no table", "notable", []),
        ("oesophageal tumours", "esophageal tumor", ["oesophageal tumours"]),
        ("Hodgkin's lymphoma", "Hodgkin lymphoma", ["Hodgkin's lymphoma"]),
        ("non-Hodgkin lymphoma", "Hodgkin lymphoma", []),
        ("non small cell carcinoma", "small cell carcinoma", []),
        ("hypotension", "hypertension", []),
        ("symptomatic", "asymptomatic", []),
        ("prednisone 5 mg", "prednisolone", []),
        ("in the lung. Cancer was excluded", "lung cancer", []),
        ("Progress note: feels well", "progression", []),
        ("disease progressed", "progression", ["progressed"]),
        ("adjuvant FOLFOX for six months", "adjuvant FOLFOX x6 months", ["adjuvant FOLFOX for six months"]),
        ("right hemicolectomy", "surgery (right hemicolectomy), no chemotherapy", ["right hemicolectomy"]),
        ("germline testing", "BRCA2 (germline testing)", []),
        ("HER2 non-amplified", "HER2 amplification", []),
        ("ER positive and PR negative", "PR positive", []),
        ("PR 80%, HER2 negative", "PR negative", []),
        ("ER and PR are strongly positive", "ER positive", ["ER and PR are strongly positive"]),
        ("positive for EGFR mutation", "EGFR mutation positive", ["positive for EGFR mutation"]),
        ("left breast", "right breast", []),
        ("osimer-\ntinib daily", "osimertinib", ["osimer-\ntinib"]),
        # other scripts, and characters of several code points
        ("caf\u00e9 au lait", "cafe\u0301 au lait", ["caf\u00e9 au lait"]),
        ("cafe\u0301s", "cafe", ["cafe\u0301s"]),
        ("cafe\u0301 noir", "cafe", ["cafe\u0301"]),
        ("ﬁbrosis of the liver", "fibrosis", ["ﬁbrosis"]),
        ("in Straße 5", "STRASSE 5", ["Straße 5"]),
        ("happy 👩🏽 today", "👩", []),
        ("happy 👩🏽 today", "👩🏽", ["👩🏽"]),
        ("🇩🇪🇫🇷", "🇪🇫", []),
        ("🇩🇪🇫🇷", "🇫🇷", ["🇫🇷"]),
        ("סרטן ריאה בשלב 4", "סרטן ריאה", ["סרטן ריאה"]),
        ("שָׁלוֹם עולם", "שלום", ["שָׁלוֹם"]),
        ("سرطان الرئة", "سَرَطان الرئة", ["سرطان الرئة"]),
        ("患者は肺癌である", "肺癌", ["肺癌"]),
        ("मरीज को कि", "का", []),
        ("β\u2011blocker", "β-blocker", ["β\u2011blocker"]),
    ],
)
def test_evidence_in_small_texts(text: str, value: str, expected: list[str]) -> None:
    evidence = find_evidence(text, value)
    assert [span.text for span in evidence] == expected
    check(text, evidence)


def test_offsets_count_code_points() -> None:
    text = "👩🏽‍⚕️ e\u0301 " * 3 + "melanoma"
    assert find_evidence(text, "melanoma") == [Evidence("melanoma", len(text) - 8, len(text), "exact")]


def test_a_value_found_often_gets_the_first_spans() -> None:
    text = "liver " * 50
    evidence = find_evidence(text, "liver")
    assert [span.start for span in evidence] == list(range(0, 6 * MAX_SPANS, 6))


def test_parts_name_what_is_missing() -> None:
    parts = Grounder(NOTE).parts("carboplatin, osimertinib; pembrolizumab")
    assert [(part, bool(evidence)) for part, evidence in parts] == [
        ("carboplatin", True),
        ("osimertinib", False),
        ("pembrolizumab", True),
    ]


def test_few_words_may_be_missing() -> None:
    assert FUZZY_THRESHOLD == 0.8
    assert found("large grey pigmented nodular", "melanotic large grey pigmented nodular") == [
        ("large grey pigmented nodular", "fuzzy")
    ]
    assert found("large grey and flat pigmented nodular", "melanotic large grey pigmented nodular") == []
    assert found("grey pigmented nodular", "melanotic grey pigmented nodular") == []
    # a word that stands elsewhere makes up for some of its absence
    assert found("Melanotic? Grey pigmented nodular.", "melanotic grey pigmented nodular") == [
        ("Grey pigmented nodular", "fuzzy")
    ]
    assert found("Melanotic? Grey pigmented.", "melanotic grey pigmented") == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a" * 20_000, "a" * 500),
        ("a b " * 5_000, "a b a b c"),
        ("1." * 10_000 + "x", "1.1"),
        ("\U0001f1e6" * 20_000, "\U0001f1e6"),
        ("e\u0301\u0302" * 7_000, "e"),
        ("a" + " \n" * 10_000 + "b", "a b"),
        ("." * 20_000 + "x", ". x"),
        ("alpha beta " * 2_000, " ".join(["alpha", "beta"] * 15) + " gamma"),
        ("stage " + "IV " * 7_000, "II"),
        ("metastasis liver " * 1_000, "metastases hepatic liver liverr metastatic " * 50),
    ],
    ids=["letter", "runs", "numbers", "flags", "marks", "lines", "dots", "passages", "stages", "long"],
)
def test_hostile_texts_come_to_an_end(text: str, value: str) -> None:
    check(text, find_evidence(text, value))
