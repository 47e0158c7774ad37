"""Every line of the lexicon that turns a finding round does so."""

from itertools import chain, product

import pytest

from gateway.grounding.grounder import find_evidence
from gateway.grounding.lexicon import LEXICON

TAIL = "bolanic lesion of the gastric wall"
OPPOSITES = [
    (one, other)
    for left, right in LEXICON.opposites
    for one, other in chain(product(sorted(left), sorted(right)), product(sorted(right), sorted(left)))
]


@pytest.mark.parametrize(("said", "value"), OPPOSITES)
def test_an_opposite_is_no_evidence(said: str, value: str) -> None:
    assert find_evidence(f"A {said} {TAIL}.", f"{value} {TAIL}") == []


@pytest.mark.parametrize("word", sorted({word for pair in OPPOSITES for word in pair} - LEXICON.negations))
def test_a_word_with_an_opposite_is_evidence_for_itself(word: str) -> None:
    assert find_evidence(f"A {word} {TAIL}.", f"{word} {TAIL}")


@pytest.mark.parametrize("prefix", sorted(LEXICON.hyphened_prefixes | LEXICON.other_prefixes))
def test_a_prefix_makes_another_word(prefix: str) -> None:
    assert find_evidence(f"A {prefix}{TAIL}.", TAIL) == []
    assert find_evidence(f"A {TAIL}.", f"{prefix}{TAIL}") == []
    assert find_evidence(f"A {prefix}{TAIL}.", f"{prefix}{TAIL}")


@pytest.mark.parametrize("prefix", sorted(LEXICON.hyphened_prefixes))
@pytest.mark.parametrize("hyphen", ["-", "\u2010", "\u2011", "\u2013", "-\n"])
def test_a_prefix_with_a_hyphen_makes_another_word(prefix: str, hyphen: str) -> None:
    assert find_evidence(f"It is {prefix}{hyphen}{TAIL}.", TAIL) == []


@pytest.mark.parametrize("prefix", sorted(LEXICON.spaced_prefixes))
def test_a_prefix_with_a_space_makes_another_word(prefix: str) -> None:
    assert find_evidence(f"It is {prefix} {TAIL}.", TAIL) == []


@pytest.mark.parametrize("phrase", [" ".join(phrase) for phrase in sorted(LEXICON.denials)])
def test_what_stands_behind_a_denial_is_denied(phrase: str) -> None:
    value = "bolanic lesions"
    assert find_evidence(f"We note {phrase} bolanic lesions.", value) == []
    assert find_evidence(f"We note {phrase} any new bolanic lesions.", value) == []
    assert find_evidence(f"We note {phrase} pain. There are bolanic lesions.", value)
    assert find_evidence(f"We note {phrase} pain, but bolanic lesions.", value)


@pytest.mark.parametrize("phrase", [" ".join(phrase) for phrase in sorted(LEXICON.denied | LEXICON.denied_done)])
def test_what_stands_before_a_denial_is_denied(phrase: str) -> None:
    assert find_evidence(f"Bolanic lesions were {phrase}.", "bolanic lesions") == []
    assert find_evidence(f"Bolanic lesions were seen, gastric ones were {phrase}.", "bolanic lesions")


@pytest.mark.parametrize("verb", sorted(LEXICON.not_done))
@pytest.mark.parametrize("denial", ["were not", "have not been", "weren't"])
def test_what_was_not_done_is_denied(verb: str, denial: str) -> None:
    assert find_evidence(f"Bolanic lesions {denial} {verb}.", "bolanic lesions") == []
    assert find_evidence(f"Bolanic lesions were {verb}.", "bolanic lesions")


@pytest.mark.parametrize("word", sorted(LEXICON.denial_takes))
def test_a_denial_of_something_else_denies_nothing_behind_it(word: str) -> None:
    assert find_evidence(f"There was no {word} in the bolanic lesions.", "bolanic lesions")


@pytest.mark.parametrize("suffix", sorted(LEXICON.denied_suffixes))
def test_a_suffix_denies(suffix: str) -> None:
    assert find_evidence(f"She is bolana-{suffix}.", "bolana") == []


@pytest.mark.parametrize(("parts", "name"), LEXICON.compounds.items())
def test_a_name_is_found_with_and_without_its_hyphen(parts: tuple[str, str], name: str) -> None:
    joined = "".join(parts).upper()
    for written in ("-".join(parts).upper(), " ".join(parts).upper(), "-\n".join(parts).upper()):
        assert find_evidence(f"tested for {written} today", joined), name
        assert find_evidence(f"tested for {joined} today", written), name


@pytest.mark.parametrize("particle", sorted(LEXICON.particles))
def test_a_korean_noun_is_found_before_its_particle(particle: str) -> None:
    assert find_evidence(f"폐암{particle} 4기", "폐암")


@pytest.mark.parametrize("word", sorted(LEXICON.counters))
def test_a_number_behind_a_counter_is_no_thousand(word: str) -> None:
    assert find_evidence(f"on {word} 1 200 mg of imatinib", "1200 mg of imatinib") == []
