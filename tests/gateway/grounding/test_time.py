"""The search for evidence takes time linear in the text, and ends at its time limit."""

import sys
from collections.abc import Callable
from types import FrameType

import pytest

from gateway.grounding.grounder import Grounder, OutOfTimeError

SPELLINGS = "IV; Stage IV; stage IV; Iv; iv; stage 4"
# Names, texts that are repeated to any length, and values that once took quadratic time or many steps for each word.
HOSTILE = {
    "stages": ("stage iv iv iv iv iv iv ", SPELLINGS),
    "labels": ("stage " * 6, "IV"),
    "clusters behind non-": ("non-癌\u200d", "癌"),
    "joiners": ("\u200d", "癌"),
    "marks": ("\u0301", "e"),
    "permutations": ("alpha beta gamma delta epsilon zeta eta theta ", "theta alpha omega eta beta zeta gamma epsilon"),
    "denials": ("no liver ", "liver metastases"),
    "denials in a row": ("not ", "liver"),
    "commas": ("no liver, ", "lung"),
    "signs": ("ER+", "PR positive"),
    "minuses": ("ER - ", "ER negative"),
    "brackets": ("a (b) ", "((((((((a); (b) (c) (d)"),
    "thousands": ("1 200 ", "PSA 1200"),
    "hyphens": ("a-\n", "aaaa"),
    "relatives": ("her mother, an aunt and a sister had a ", "mother had cancer"),
    "possibilities": ("if liver, may be liver, consider ", "liver"),
    "refusals": ("liver was also newly discussed; the ", "liver"),
    "parts of a TNM": ("pT2pN1cM0", "pT2N1M0"),
    "results": ("positive ER, PR, ", "PR positive"),
    "capitals": ("ALL MET ", "ALL; MET"),
    "particles": ("폐암은", "폐암"),
    "opposites": ("well poorly ", "poorly moderately well complete partial left right"),
    "prefixes": ("unresectable ", "resectable tumor mass of the head"),
}


def calls(text: str, value: str) -> int:
    """Count the function calls that the search takes."""
    count = 0

    def profile(_: FrameType, event: str, __: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        Grounder(text).find(value)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("name", HOSTILE)
def test_twice_the_text_takes_about_twice_the_work(name: str) -> None:
    unit, value = HOSTILE[name]
    times = 600 // len(unit)
    assert calls(unit * times * 2, value) <= 3 * calls(unit * times, value) + 1000


@pytest.mark.parametrize(
    "search",
    [lambda grounder, value: grounder.find(value), lambda grounder, value: grounder.parts(value)],
    ids=["find", "parts"],
)
@pytest.mark.parametrize("name", ["stages", "permutations", "capitals"])
def test_the_search_ends_at_its_time_limit(name: str, search: Callable[[Grounder, str], object]) -> None:
    unit, value = HOSTILE[name]
    grounder = Grounder(unit * 200, until=0.0)
    with pytest.raises(OutOfTimeError):
        search(grounder, value)


def test_a_search_that_was_ended_can_be_gone_on_with() -> None:
    unit, value = HOSTILE["stages"]
    grounder = Grounder(unit * 20, until=0.0)
    with pytest.raises(OutOfTimeError):
        grounder.find(value)
    grounder.until = float("inf")
    assert grounder.find(value) == Grounder(unit * 20).find(value) != []
