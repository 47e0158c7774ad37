"""One evaluation: a data set and its answers become figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gateway.evaluation import calibration, latency, scores
from gateway.evaluation.answers import Answer
from gateway.evaluation.bootstrap import RESAMPLES, Estimate, interval, resampled_sums
from gateway.evaluation.dataset import Dataset, Example
from gateway.evaluation.evidence import Find, finder
from gateway.evaluation.scores import Sums

CALIBRATION_RULE = "normalised"
"""The rule by which a value counts as right where its confidence is judged."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The figures of one run.

    `estimates` are named as in `scores.measures`, `sums` and the columns of `rows` as in `scores.columns`; `rows` has
    one entry for each example. `errors` counts invalid answers by kind, `repairs` warnings by code. `find_evidence` is
    what evidence was looked for with, or None where that was not possible.
    """

    dataset: Dataset
    answers: Sequence[Answer]
    fields: tuple[str, ...]
    rows: Sequence[tuple[int, ...]]
    sums: Sums
    estimates: Mapping[str, Estimate]
    calibration: calibration.Calibration | None
    latency: latency.Latency | None
    errors: Mapping[str, int]
    repairs: Mapping[str, int]
    find_evidence: Callable[[str], Find] | None
    resamples: int
    seed: int

    @property
    def evidence_measured(self) -> bool:
        """Whether invention was measured; else its measures mean nothing."""
        return self.find_evidence is not None

    def value(self, name: str) -> float | None:
        """A measure, such as `exact/micro/f1`; None where it is not defined."""
        return self.estimates[name].value


def evaluate(
    dataset: Dataset,
    answers: Sequence[Answer],
    fields: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    find_evidence: Callable[[str], Find] | None = None,
) -> Evaluation:
    """Score the answers.

    Args:
        dataset: the examples.
        answers: the answer to each, in their order.
        fields: the task's.
        resamples: draws for the intervals; 0 leaves them out.
        seed: of the draws.
        find_evidence: makes for a text what finds a value's evidence in it; unless given, the gateway's own grounding.

    Raises:
        ValueError: there are not as many answers as examples, or none.
    """
    if len(answers) != len(dataset.examples) or not answers:
        raise ValueError(f"{len(dataset.examples)} examples and {len(answers)} answers")
    fields = tuple(fields)
    find_evidence = find_evidence or finder()
    names = scores.columns(fields)
    rows = [
        _row(example, answer, fields, names, find_evidence)
        for example, answer in zip(dataset.examples, answers, strict=True)
    ]
    sums = dict(zip(names, map(sum, zip(*rows, strict=True)), strict=True))
    return Evaluation(
        dataset=dataset,
        answers=answers,
        fields=fields,
        rows=rows,
        sums=sums,
        estimates=_estimates(rows, sums, fields, resamples, seed),
        calibration=calibration.calibrate(_points(dataset.examples, answers, fields)),
        latency=latency.measure(answer.seconds for answer in answers),
        errors=Counter(answer.error for answer in answers if answer.error is not None),
        repairs=Counter(code for answer in answers for code in answer.repairs),
        find_evidence=find_evidence,
        resamples=resamples,
        seed=seed,
    )


def _row(
    example: Example,
    answer: Answer,
    fields: Sequence[str],
    names: Sequence[str],
    find_evidence: Callable[[str], Find] | None,
) -> tuple[int, ...]:
    find = None if find_evidence is None else find_evidence(example.text)
    row = scores.count_note(
        fields,
        example.expected,
        answer.fields,
        valid=answer.error is None,
        has_evidence=None if find is None else lambda value: bool(find(value)),
    )
    return tuple(row[name] for name in names)


def _estimates(
    rows: Sequence[Sequence[int]], sums: Sums, fields: Sequence[str], resamples: int, seed: int
) -> dict[str, Estimate]:
    measures = scores.measures(fields)
    draws: dict[str, list[float | None]] = {name: [] for name in measures}
    for drawn in resampled_sums(rows, resamples, seed):
        by_name = dict(zip(sums, drawn, strict=True))
        for name, measure in measures.items():
            draws[name].append(measure(by_name))
    return {name: Estimate(measure(sums), *interval(draws[name])) for name, measure in measures.items()}


def _points(examples: Sequence[Example], answers: Sequence[Answer], fields: Sequence[str]) -> list[tuple[float, bool]]:
    """Confidence and rightness of each given value that has a confidence."""
    points = []
    for example, answer in zip(examples, answers, strict=True):
        for field in fields:
            value = (answer.fields or {}).get(field)
            sure = answer.confidence.get(field)
            if value is not None and sure is not None:
                right = scores.count(CALIBRATION_RULE, example.expected.get(field), value).right > 0
                points.append((sure, right))
    return points
