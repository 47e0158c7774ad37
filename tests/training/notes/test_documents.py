"""Pre-training documents are the same for the same seed, and none is the task that the adapter is for."""

from __future__ import annotations

import json
import re

from training.data.chat import BEGIN
from training.data.dataset import FIELDS
from training.notes.documents import Document, DocumentMaker
from training.notes.generator import make_notes
from training.notes.grammar import drug_names, mutation_names
from training.notes.variation import Variation

WORDS = ["liver", "stage", "FOLFOX", "brain", "12", *FIELDS]


def documents(seed: int, count: int = 400, repeat_share: float = 0.1) -> list[Document]:
    variation = Variation(mutation_names(), drug_names(), 0.4)
    maker = DocumentMaker(WORDS, list(make_notes(30, 0.3, 2)), variation, seed)
    maker.repeat_share = repeat_share
    maker.generated = list(make_notes(10, 0.3, 9))
    return [maker.make() for _ in range(count)]


def answers(made: list[Document]) -> list[dict[str, str | None]]:
    texts = (part.text.removesuffix("<|eot_id|>") for document in made for part in document if part.weight)
    return [json.loads(text) for text in texts if text.startswith("{")]


def test_the_same_seed_gives_the_same_documents() -> None:
    assert documents(1) == documents(1)
    assert documents(1) != documents(2)


def test_every_document_has_one_bos_and_something_to_learn() -> None:
    for document in documents(3):
        assert document[0].text == BEGIN
        assert "".join(part.text for part in document).count(BEGIN) == 1
        assert any(part.weight and part.text for part in document)


def test_no_document_asks_for_the_seven_fields() -> None:
    found = answers(documents(4))
    assert len(found) > 100
    assert not any(set(FIELDS) <= set(answer) for answer in found)


def test_no_question_about_a_note_asks_for_all_of_its_facts_or_by_the_tasks_names() -> None:
    maker = DocumentMaker(WORDS, list(make_notes(30, 0.3, 2)), Variation([], [], 0.0), 7)
    maker.repeat_share, maker.facts_share = 0.0, 1.0
    found = answers([maker.make() for _ in range(200)])
    assert {len(answer) for answer in found} == {3, 4, 5, 6}
    assert not {name for answer in found for name in answer} & set(FIELDS)


def test_the_documents_after_seeding_depend_on_the_seed_alone() -> None:
    maker = DocumentMaker(WORDS, list(make_notes(30, 0.3, 2)), Variation([], [], 0.0), 7)
    maker.seed(8)
    first = [maker.make() for _ in range(20)]
    maker.seed(8)
    assert [maker.make() for _ in range(20)] == first


def test_a_notes_own_words_have_the_reading_weight() -> None:
    notes = list(make_notes(30, 0.3, 2))
    maker = DocumentMaker(WORDS, notes, Variation([], [], 0.0), 7, reading_weight=0.2)
    maker.repeat_share, maker.facts_share = 0.0, 1.0
    texts = {frozenset(sentences(note.text)) for note in notes}
    for document in (maker.make() for _ in range(50)):
        (read,) = (part.text for part in document if part.weight == 0.2)
        assert frozenset(sentences(read)) in texts


def test_a_quarter_of_the_notes_in_questions_have_their_sentences_shuffled() -> None:
    notes = list(make_notes(30, 0.0, 2))
    maker = DocumentMaker(WORDS, notes, Variation([], [], 0.0), 7, reading_weight=0.2)
    maker.repeat_share, maker.facts_share = 0.0, 1.0
    read = [part.text for _ in range(200) for part in maker.make() if part.weight == 0.2]
    moved = [text for text in read if text not in {note.text for note in notes}]
    assert 0.1 < len(moved) / len(read) < 0.4
    assert {sentences(text)[0] for text in moved} <= {sentences(note.text)[0] for note in notes}


def sentences(text: str) -> list[str]:
    """Split a text after each full stop and semicolon."""
    return re.split(r"(?<=[.;]) ", text)


def test_with_a_repeat_share_of_one_every_document_is_a_repeated_sequence() -> None:
    for document in documents(5, 50, 1.0):
        _, sequence, again = document
        assert again.text == sequence.text * (len(again.text) // len(sequence.text))
