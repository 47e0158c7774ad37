"""Pre-training documents: they are the same for the same seed, and never the task that the adapter is for."""

from __future__ import annotations

import json

from training.chat import BEGIN
from training.dataset import FIELDS
from training.notes import drug_names, make_notes, mutation_names
from training.synthetic import Document, DocumentMaker
from training.variation import Variation

WORDS = ["liver", "stage", "FOLFOX", "brain", "12", *FIELDS]


def documents(seed: int, count: int = 400, repeat_share: float = 0.1) -> list[Document]:
    variation = Variation(mutation_names(), drug_names(), 0.4)
    maker = DocumentMaker(WORDS, list(make_notes(30, 0.3, 2)), variation, seed)
    maker.repeat_share = repeat_share
    return [maker.make() for _ in range(count)]


def answers(made: list[Document]) -> list[dict[str, str | None]]:
    texts = (part.text.removesuffix("<|eot_id|>") for document in made for part in document if part.learnt)
    return [json.loads(text) for text in texts if text.startswith("{")]


def test_the_same_seed_gives_the_same_documents() -> None:
    assert documents(1) == documents(1)
    assert documents(1) != documents(2)


def test_every_document_begins_once_and_has_something_to_learn() -> None:
    for document in documents(3):
        assert document[0].text == BEGIN
        assert "".join(part.text for part in document).count(BEGIN) == 1
        assert any(part.learnt and part.text for part in document)


def test_no_document_asks_for_the_seven_fields() -> None:
    found = answers(documents(4))
    assert len(found) > 100
    assert not any(set(FIELDS) <= set(answer) for answer in found)


def test_at_first_every_document_is_a_repeated_run() -> None:
    for document in documents(5, 50, 1.0):
        _, run, again = document
        assert again.text == run.text * (len(again.text) // len(run.text))
