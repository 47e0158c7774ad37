"""The sets of generated texts on which a model is measured, by task."""

from __future__ import annotations

from dataclasses import dataclass

from training.config import Figure
from training.corpora import make_texts
from training.data.dataset import Note
from training.data.prompt import MEDICAL
from training.patterns import Split
from training.requests.generator import TASK as ASSISTANT

_SEED = 99  # of no training run


@dataclass(frozen=True)
class NoteSet:
    """Generated texts of one kind.

    Attributes:
        name: name in a report and in a run's bars.
        split: where phrasings and values come from: those of the training texts, or held-out ones.
        off_topic: whether the texts have nothing of the task in them.
        figures: what is measured.
    """

    name: str
    split: Split
    off_topic: bool = False
    figures: tuple[Figure, ...] = ("micro_f1",)

    def notes(self, task: str, count: int) -> list[Note]:
        """Generate `count` texts, the same ones every time."""
        return make_texts(task, count, float(self.off_topic), _SEED, self.split)


_NULL: tuple[Figure, ...] = ("all_null",)
_ALL: tuple[Figure, ...] = ("micro_f1", "choice_right", "all_right", "valid")
SETS: dict[str, tuple[NoteSet, ...]] = {
    MEDICAL: (
        NoteSet("held-out phrasings", "phrasings"),
        NoteSet("held-out values", "values"),
        NoteSet("held-out phrasings and values", "both"),
        NoteSet("no cancer", "training", off_topic=True, figures=_NULL),
        NoteSet("no cancer, held-out phrasings", "phrasings", off_topic=True, figures=_NULL),
    ),
    ASSISTANT: (
        NoteSet("held-out phrasings", "phrasings", figures=_ALL),
        NoteSet("held-out values", "values", figures=_ALL),
        NoteSet("held-out phrasings and values", "both", figures=_ALL),
        NoteSet("off-topic", "training", off_topic=True, figures=("choice_right", "valid")),
        NoteSet("off-topic, held-out phrasings", "both", off_topic=True, figures=("choice_right", "valid")),
    ),
}
