"""Every line of the lexicon that turns a finding round does so; a test names the lines that do not."""

from itertools import chain, product

import pytest

from gateway.grounding.grounder import find_evidence
from gateway.grounding.lexicon import LEXICON

TAIL = "bolanic lesion of the gastric wall"
VALUE = "bolanic lesions"
OPPOSITES = [
    (one, other)
    for left, right in LEXICON.opposites
    for one, other in chain(product(sorted(left), sorted(right)), product(sorted(right), sorted(left)))
]


def phrases(of: frozenset[tuple[str, ...]]) -> list[str]:
    """Return phrases as they are written."""
    return [" ".join(phrase) for phrase in sorted(of)]


def test_an_opposite_is_no_evidence() -> None:
    assert [pair for pair in OPPOSITES if find_evidence(f"A {pair[0]} {TAIL}.", f"{pair[1]} {TAIL}")] == []


def test_a_word_with_an_opposite_is_evidence_for_itself() -> None:
    words = {word for pair in OPPOSITES for word in pair} - LEXICON.negations
    assert [word for word in words if not find_evidence(f"A {word} {TAIL}.", f"{word} {TAIL}")] == []


def test_a_prefix_makes_another_word() -> None:
    prefixes = LEXICON.hyphened_prefixes | LEXICON.other_prefixes
    assert [prefix for prefix in prefixes if find_evidence(f"A {prefix}{TAIL}.", TAIL)] == []
    assert [prefix for prefix in prefixes if find_evidence(f"A {TAIL}.", f"{prefix}{TAIL}")] == []
    assert [prefix for prefix in prefixes if not find_evidence(f"A {prefix}{TAIL}.", f"{prefix}{TAIL}")] == []


@pytest.mark.parametrize("hyphen", ["-", "\u2010", "\u2011", "\u2013", "-\n"])
def test_a_prefix_with_a_hyphen_makes_another_word(hyphen: str) -> None:
    assert [prefix for prefix in LEXICON.hyphened_prefixes if find_evidence(f"Is {prefix}{hyphen}{TAIL}.", TAIL)] == []


def test_a_prefix_with_a_space_makes_another_word() -> None:
    assert [prefix for prefix in LEXICON.spaced_prefixes if find_evidence(f"It is {prefix} {TAIL}.", TAIL)] == []


@pytest.mark.parametrize(
    ("text", "is_evidence"),
    [
        ("We note {} bolanic lesions.", False),
        ("We note {} any new bolanic lesions.", False),
        ("We note {} pain. There are bolanic lesions.", True),
        ("We note {} pain, but bolanic lesions.", True),
    ],
)
def test_a_denial_reaches_what_stands_behind_it(text: str, is_evidence: bool) -> None:
    wrong = [
        phrase for phrase in phrases(LEXICON.denials) if bool(find_evidence(text.format(phrase), VALUE)) != is_evidence
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "is_evidence"),
    [("Bolanic lesions were {}.", False), ("Bolanic lesions were seen, gastric ones were {}.", True)],
)
def test_a_denial_reaches_what_stands_before_it(text: str, is_evidence: bool) -> None:
    wrong = [
        phrase
        for phrase in phrases(LEXICON.denied | LEXICON.denied_done)
        if bool(find_evidence(text.format(phrase), VALUE)) != is_evidence
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("said", "is_evidence"), [("were not", False), ("have not been", False), ("weren't", False), ("were", True)]
)
def test_what_was_not_done_is_denied(said: str, is_evidence: bool) -> None:
    wrong = [
        verb
        for verb in LEXICON.not_done
        if bool(find_evidence(f"Bolanic lesions {said} {verb}.", VALUE)) != is_evidence
    ]
    assert wrong == []


def test_a_denial_of_something_else_denies_nothing_behind_it() -> None:
    # "No longer in" denies.
    words = LEXICON.denial_takes - {"longer"}
    assert [word for word in words if not find_evidence(f"No {word} in bolanic lesions.", VALUE)] == []


def test_a_suffix_denies() -> None:
    assert [suffix for suffix in LEXICON.denied_suffixes if find_evidence(f"She is bolana-{suffix}.", "bolana")] == []


@pytest.mark.parametrize("between", ["-", " ", "-\n"])
def test_a_name_is_found_with_and_without_its_hyphen(between: str) -> None:
    for parts in (parts for parts, name in LEXICON.compounds.items() if name == "".join(parts)):
        joined, written = "".join(parts).upper(), between.join(parts).upper()
        assert find_evidence(f"tested for {written} today", joined), joined
        assert find_evidence(f"tested for {joined} today", written), joined


def test_a_name_in_full_is_found_for_its_abbreviation() -> None:
    for parts, name in LEXICON.compounds.items():
        if name != "".join(parts) and name.isalpha():
            assert find_evidence(f"tested for {' '.join(parts)} today", name), name
            assert find_evidence(f"tested for {name.upper()} today", " ".join(parts)), name


def test_what_is_harmless_is_no_finding() -> None:
    words = LEXICON.harmless
    assert [word for word in words if find_evidence(f"The bolanic nodule proved to be a {word}.", "bolanic")] == []
    assert [word for word in words if not find_evidence(f"Bolanic lesions, {word}, pain.", VALUE)] == []


@pytest.mark.parametrize(
    "text",
    [
        "Bolanic lesions were {}; she refused.",
        "Bolanic lesions were {}. The patient declined.",
        "Bolanic lesions ({}, patient declined)",
        "Bolanic lesions were {} in May, but he did not want it.",
        "We {} bolanic lesions; she said no.",
    ],
)
def test_what_was_proposed_and_refused_is_denied(text: str) -> None:
    assert [word for word in LEXICON.proposed if find_evidence(text.format(word), VALUE)] == []


def test_what_was_proposed_and_agreed_to_is_not_denied() -> None:
    text = "Bolanic lesions were {}; she agreed."
    assert [word for word in LEXICON.proposed if not find_evidence(text.format(word), VALUE)] == []


@pytest.mark.parametrize("word", sorted(LEXICON.refused))
def test_a_refusal_denies(word: str) -> None:
    assert find_evidence(f"Bolanic lesions were discussed; she {word}.", VALUE) == []


def test_a_korean_noun_is_found_before_its_particle() -> None:
    assert [particle for particle in LEXICON.particles if not find_evidence(f"폐암{particle} 4기", "폐암")] == []


def test_a_number_behind_a_counter_is_no_thousand() -> None:
    text, value = "on {} 1 200 mg of imatinib", "1200 mg of imatinib"
    assert [word for word in LEXICON.counters if find_evidence(text.format(word), value)] == []
