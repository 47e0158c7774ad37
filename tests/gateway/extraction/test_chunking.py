"""Long texts are cut at sentence ends into chunks within the budget."""

import re
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.extraction.chunking import Chunk, sentences, split
from gateway.grounding.words import starts_cluster

NOTE = (
    "PLAN:\n"
    "- Dr. A. Miller saw the pt. on day 3. The mass, approx. 3.5 cm vs. 4.0 cm, is smaller.\n"
    "1. Continue osimertinib 80 mg p.o. daily. See Fig. 2 and No. 5 for details, e.g. doses.\n"
    "Stage is IV. Next visit in May! Any pain? None.\n"
)


def by_words(text: str) -> int:
    """Count a token for each run of white space or of anything else."""
    return len(re.findall(r"\s+|\S+", text))


def by_bytes(text: str) -> int:
    """Count a token for each byte, as the costliest tokenizer would."""
    return len(text.encode("utf-8", "surrogatepass"))


def with_fixed_cost(text: str) -> int:
    """Count two special tokens with every call, as tokenizers may."""
    return len(text) + 2


def uneven(text: str) -> int:
    """Count less for the parts than for the whole, which no tokenizer should do."""
    return len(text) + len(text) // 10


TEXTS = st.one_of(
    st.text(max_size=300),
    st.text(alphabet="ab .\n!?é\u0301😀\u200d🇩🇪", max_size=300),
    st.lists(st.sampled_from(["One.", "Two words.", "Dr. No said.", "\n", "- x", "a" * 40, "。"]), max_size=40).map(
        " ".join
    ),
)


def test_sentences_end_where_they_end() -> None:
    assert [NOTE[start:end] for start, end in sentences(NOTE)] == [
        "PLAN:\n",
        "- Dr. A. Miller saw the pt. on day 3. ",
        "The mass, approx. 3.5 cm vs. 4.0 cm, is smaller.\n",
        "1. Continue osimertinib 80 mg p.o. daily. ",
        "See Fig. 2 and No. 5 for details, e.g. doses.\n",
        "Stage is IV. ",
        "Next visit in May! ",
        "Any pain? ",
        "None.\n",
    ]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("She has stage I. He has none.", 2),
        ("The U.S. Army paid.", 1),
        ("The dose is 5 mg. She takes it.", 2),
        ("Liver 2.5 cm. Lung clear.", 2),
        ('She said "stop." Then she left.', 2),
        ("First.) Second.", 2),
        ("今日は。元気です。", 2),
        ("J. K. Rowling wrote it.", 1),
        ("Wait... what", 1),
        ("a\r\nb", 2),
        ("A heading\n\n\n  body", 2),
        ("", 0),
    ],
)
def test_number_of_sentences(text: str, count: int) -> None:
    assert len(list(sentences(text))) == count


@given(TEXTS)
def test_sentences_are_the_whole_text(text: str) -> None:
    assert "".join(text[start:end] for start, end in sentences(text)) == text


def test_short_text_is_one_chunk_after_one_count() -> None:
    calls: list[str] = []

    def count(text: str) -> int:
        calls.append(text)
        return len(text)

    assert split(NOTE, 1000, 100, count) == [Chunk(0, 0, len(NOTE), NOTE)]
    assert calls == [NOTE]


def test_empty_text_is_one_empty_chunk() -> None:
    assert split("", 10, 2, len) == [Chunk(0, 0, 0, "")]


def test_chunks_end_at_sentence_ends_and_overlap_by_whole_sentences() -> None:
    text = " ".join(f"Sentence number {number} is here." for number in range(50))
    chunks = split(text, 40, 12, by_words)
    starts = {start for start, _ in sentences(text)}
    assert len(chunks) > 5
    assert {chunk.start for chunk in chunks} <= starts
    for before, after in pairwise(chunks):
        assert before.start < after.start < before.end < after.end
        assert 0 < by_words(text[after.start : before.end]) <= 12


def test_a_sentence_over_the_budget_is_cut_between_words_and_overlaps() -> None:
    text = "word " * 400
    chunks = split(text, 60, 20, by_words)
    assert all(chunk.text.startswith("word") and chunk.text.endswith(" ") for chunk in chunks)
    assert all(after.start < before.end for before, after in pairwise(chunks))


def test_a_giant_word_is_cut_between_grapheme_clusters() -> None:
    text = "e\u0301" * 500 + "👩‍⚕️" * 100
    chunks = split(text, 50, 0, by_bytes)
    assert all(starts_cluster(text, chunk.start) for chunk in chunks)
    assert all(by_bytes(chunk.text) <= 50 for chunk in chunks)


@given(
    TEXTS,
    st.integers(4, 60),
    st.integers(0, 20),
    st.sampled_from([len, by_words, by_bytes, with_fixed_cost, uneven]),
)
def test_chunks_cover_the_text_within_the_budget(
    text: str, max_tokens: int, overlap_tokens: int, count_tokens: Callable[[str], int]
) -> None:
    overlap_tokens = min(overlap_tokens, max_tokens - 1)
    chunks = split(text, max_tokens, overlap_tokens, count_tokens)
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    assert chunks[0].start == 0
    assert chunks[-1].end == len(text)
    for chunk in chunks:
        assert text[chunk.start : chunk.end] == chunk.text
        assert count_tokens(chunk.text) <= max_tokens or len(chunk.text) == 1
    for before, after in pairwise(chunks):
        assert before.start < after.start <= before.end < after.end


@pytest.mark.parametrize(
    "text",
    [NOTE * 400, "a" * 60_000, "word " * 12_000, "." * 60_000 + "x", "\n" * 60_000, "😀" * 20_000, " " * 60_000],
    ids=["note", "letter", "words", "dots", "lines", "emoji", "spaces"],
)
def test_counting_is_linear(text: str) -> None:
    counted = 0

    def count(part: str) -> int:
        nonlocal counted
        counted += len(part)
        return by_bytes(part) // 3 + 1

    split(text, 1500, 100, count)
    assert counted <= 5 * len(text)


@pytest.mark.parametrize(("max_tokens", "overlap_tokens"), [(0, 0), (10, 10), (10, -1)])
def test_budgets_must_fit(max_tokens: int, overlap_tokens: int) -> None:
    with pytest.raises(ValueError, match="max_tokens"):
        split("text", max_tokens, overlap_tokens, len)
