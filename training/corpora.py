"""The grammars of generated texts by the tasks that they are for; a task without one is trained on its data alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from training.data.dataset import DatasetError, Note
from training.data.prompt import MEDICAL
from training.notes.generator import make_notes
from training.patterns import Split
from training.requests import generator as requests

Generator = Callable[[int, float, int, Split], Iterator[Note]]
"""Generates texts: their number, the share of those with nothing of the task in them, a seed, and the split."""

GENERATORS: dict[str, Generator] = {MEDICAL: make_notes, requests.TASK: requests.make_requests}


def make_texts(task: str, count: int, off_topic_fraction: float, seed: int, split: Split = "training") -> list[Note]:
    """Generate texts of a task; the same seed gives the same texts.

    Args:
        task: name of the task.
        count: number of texts; 0 needs no grammar.
        off_topic_fraction: share, 0 to 1, of texts with nothing of the task in them.
        seed: seed of the random numbers.
        split: texts to train on, or with phrasings or values that none of those has.

    Raises:
        DatasetError: the task has no grammar.
    """
    if count == 0:
        return []
    return list(generator_of(task)(count, off_topic_fraction, seed, split))


def generator_of(task: str) -> Generator:
    """Return the generator of a task's texts.

    Raises:
        DatasetError: the task has no grammar.
    """
    if task not in GENERATORS:
        raise DatasetError(
            f"there is no grammar of texts for the task {task}, only for {', '.join(GENERATORS)}: set "
            "synthetic_notes to 0, and have a service make the data (`python -m training generate --help`)"
        )
    return GENERATORS[task]


def make_distinct(task: str, count: int, off_topic_fraction: float, seed: int, split: Split) -> list[Note]:
    """Generate texts of which no two are equal, whatever their case; for a data set.

    Raises:
        DatasetError: the task has no grammar.
    """
    found: dict[str, Note] = {}
    for note in generator_of(task)(10 * count, off_topic_fraction, seed, split):  # short texts repeat
        found.setdefault(" ".join(note.text.casefold().split()), note)
        if len(found) == count:
            return list(found.values())
    raise DatasetError(
        f"the grammar of {task} has fewer than {count} different texts ({len(found)} found): ask for fewer"
    )
