"""The report on a data set: problems, leaks, labels that differ; for a person, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.data.consistency import Consistency, Group, check_consistency
from training.data.dataset import Reading, read_notes
from training.data.leaks import Leak, find_leaks
from training.data.prompt import Prompt

_FILES = ("train.jsonl", "validation.jsonl")
_MOST_SPELLINGS = 6


@dataclass(frozen=True)
class DataReport:
    """What was found in a data set's files, by the file's name."""

    readings: dict[str, Reading]
    leaks: list[Leak]
    labels: dict[str, Consistency]

    @property
    def is_usable(self) -> bool:
        """Whether a model can be trained and judged with it; labels that differ are no reason against it."""
        problems = any(reading.problems or not reading.notes for reading in self.readings.values())
        return not problems and not any(leak.is_exact for leak in self.leaks)

    def as_json(self) -> dict[str, Any]:
        """All of it; no text of a note is in it, but labels are."""
        return {
            "usable": self.is_usable,
            "files": {
                name: {"notes": len(reading.notes), "problems": reading.problems}
                for name, reading in self.readings.items()
            },
            "leaks": [asdict(leak) for leak in self.leaks],
            "labels": {name: asdict(found) for name, found in self.labels.items()},
        }


def examine(folder: Path, prompt: Prompt) -> DataReport:
    """Look at `train.jsonl` and `validation.jsonl` of a folder.

    Raises:
        DatasetError: a file cannot be read.
    """
    readings = {name: read_notes(folder / name, prompt.instruction) for name in _FILES}
    most_chars = {field.name: field.max_chars for field in prompt.task.fields}
    return DataReport(
        readings,
        find_leaks(readings[_FILES[0]].notes, readings[_FILES[1]].notes),
        {name: check_consistency(reading.notes, most_chars) for name, reading in readings.items()},
    )


def as_text(report: DataReport, groups: int) -> str:
    """The report for a person; of every field the `groups` largest groups of spellings."""
    lines = [*_files(report), "", *_leaks(report.leaks)]
    for name, labels in report.labels.items():
        lines += ["", f"labels of {name}", *_labels(labels, groups)]
    return "\n".join(lines) + "\n"


def _files(report: DataReport) -> Iterator[str]:
    for name, reading in report.readings.items():
        yield f"{name}: {len(reading.notes)} notes, {len(reading.problems)} problem(s)"
        yield from (f"  {problem}" for problem in reading.problems)


def _leaks(leaks: list[Leak]) -> Iterator[str]:
    exact, near = [leak for leak in leaks if leak.is_exact], [leak for leak in leaks if not leak.is_exact]
    yield f"leaks: {len(exact)} validation note(s) are training notes, {len(near)} share over half with one"
    for leak in exact:
        yield f"  line {leak.line}: the same text as training line {leak.training_line}"
    for leak in near:
        yield f"  line {leak.line}: {leak.overlap:.0%} as in training line {leak.training_line}"


def _labels(labels: Consistency, groups: int) -> Iterator[str]:
    yield f"  {'field':<16}{'values':>7}{'distinct':>10}{'not in their commonest spelling':>33}{'after labels.py':>17}"
    for field, report in labels.fields.items():
        share = f"{report.minority} ({report.minority / max(1, report.values):.1%})"
        yield f"  {field:<16}{report.values:>7}{report.distinct:>10}{share:>33}{report.harmonised:>17}"
    for field, report in labels.fields.items():
        joined = ", ".join(f"{separator!r} {count}" for separator, count in report.separators.items())
        yield f"  {field}: joined by {joined}" if joined else f"  {field}: single values"
        for rule in ("spelling", "items", "words"):
            chosen = [group for group in report.groups if group.rule == rule]
            yield from (f"    {_TITLES[rule]}: {_spellings(group)}" for group in chosen[:groups])
            if len(chosen) > groups:
                yield f"    {_TITLES[rule]}: {len(chosen) - groups} more"
    for same in labels.contradictions:
        yield f"  lines {', '.join(map(str, same))}: one text, different labels"
    for odd in labels.oddities:
        yield f"  line {odd.line}: {odd.field} is {odd.value!r}: {odd.why}"


_TITLES = {"spelling": "spelt", "items": "same items", "words": "perhaps the same"}


def _spellings(group: Group) -> str:
    shown = [f"{value!r} {count}" for value, count in group.counts.items()]
    more = [f"{len(shown) - _MOST_SPELLINGS} more"] if len(shown) > _MOST_SPELLINGS else []
    return ", ".join([*shown[:_MOST_SPELLINGS], *more])
