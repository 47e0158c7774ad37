"""One evaluation: a data set and its answers become figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.evaluation import calibration, latency, scores
from gateway.evaluation.answers import Answer
from gateway.evaluation.bootstrap import RESAMPLES, Estimate, defined, interval, resampled_sums
from gateway.evaluation.dataset import Dataset, Example
from gateway.grounding.grounder import Grounder

CALIBRATION_RULE = "normalised"
"""The rule by which a value counts as right where its confidence is judged."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """The figures of one run.

    `estimates` are named as in `scores.measures`, `sums` and the columns of `rows` as in `scores.columns`; `rows` has
    shape (examples, columns). `errors` counts invalid answers by kind, `repairs` warnings by code.
    """

    dataset: Dataset
    answers: Sequence[Answer]
    fields: tuple[str, ...]
    rows: NDArray[np.int64]
    sums: Mapping[str, int]
    estimates: Mapping[str, Estimate]
    calibration: calibration.Calibration | None
    latency: latency.Latency | None
    errors: Mapping[str, int]
    repairs: Mapping[str, int]
    resamples: int
    seed: int

    def value(self, name: str) -> float | None:
        """Return a measure, such as `exact/micro/f1`; None where it is not defined."""
        return self.estimates[name].value


def evaluate(
    dataset: Dataset, answers: Sequence[Answer], fields: Sequence[str], *, resamples: int = RESAMPLES, seed: int = 0
) -> Evaluation:
    """Score the answers.

    Args:
        dataset: the examples.
        answers: the answer to each, in their order.
        fields: the task's.
        resamples: draws for the intervals; 0 leaves them out.
        seed: of the draws.

    Raises:
        ValueError: there are not as many answers as examples, or none.
    """
    if len(answers) != len(dataset.examples) or not answers:
        raise ValueError(f"{len(dataset.examples)} examples and {len(answers)} answers")
    fields = tuple(fields)
    names = scores.columns(fields)
    pairs = list(zip(dataset.examples, answers, strict=True))
    rows = np.array([_row(example, answer, fields, names) for example, answer in pairs], dtype=np.int64)
    sums = dict(zip(names, rows.sum(axis=0).tolist(), strict=True))
    drawn = scores.measures(dict(zip(names, resampled_sums(rows, resamples, seed).T, strict=True)), fields)
    return Evaluation(
        dataset=dataset,
        answers=answers,
        fields=fields,
        rows=rows,
        sums=sums,
        estimates={
            name: Estimate(defined(value.item()), *interval(drawn[name]))
            for name, value in scores.measures(sums, fields).items()
        },
        calibration=calibration.calibrate(list(_confidences(pairs, fields))),
        latency=latency.measure(answer.seconds for answer in answers),
        errors=Counter(answer.error for answer in answers if answer.error is not None),
        repairs=Counter(code for answer in answers for code in answer.repairs),
        resamples=resamples,
        seed=seed,
    )


def _row(example: Example, answer: Answer, fields: Sequence[str], names: Sequence[str]) -> list[int]:
    find = Grounder(example.text).find
    row = scores.count_note(
        fields,
        example.expected,
        answer.fields,
        valid=answer.error is None,
        has_evidence=lambda value: bool(find(value)),
    )
    return [row[name] for name in names]


def _confidences(pairs: Sequence[tuple[Example, Answer]], fields: Sequence[str]) -> Iterator[tuple[float, bool]]:
    """Yield confidence and rightness of each given value that has a confidence."""
    for example, answer in pairs:
        for field in fields:
            value, confidence = (answer.fields or {}).get(field), answer.confidence.get(field)
            if value is not None and confidence is not None:
                yield confidence, scores.count(CALIBRATION_RULE, example.expected.get(field), value).right > 0
