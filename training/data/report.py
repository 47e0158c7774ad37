"""The report on a data set: problems, leaks and inconsistent labels, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.data.consistency import Consistency, Group, check_consistency
from training.data.dataset import ParsedFile, read_notes
from training.data.leaks import Leak, find_leaks
from training.data.prompt import Prompt

_FILES = ("train.jsonl", "validation.jsonl")
_MAX_SPELLINGS = 6


@dataclass(frozen=True)
class DataReport:
    """The findings on a data set.

    Attributes:
        files: what each file holds, by file name.
        leaks: validation notes that are among the training notes, or nearly so.
        labels: inconsistent labels, by file name.
    """

    files: dict[str, ParsedFile]
    leaks: list[Leak]
    labels: dict[str, Consistency]

    @property
    def is_usable(self) -> bool:
        """Whether a model can be trained and evaluated with it; inconsistent labels do not prevent that."""
        problems = any(content.problems or not content.notes for content in self.files.values())
        return not problems and not any(leak.is_exact for leak in self.leaks)

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain JSON; it holds labels, but no text of a note."""
        return {
            "usable": self.is_usable,
            "files": {
                name: {"notes": len(content.notes), "problems": content.problems}
                for name, content in self.files.items()
            },
            "leaks": [asdict(leak) for leak in self.leaks],
            "labels": {name: asdict(labels) for name, labels in self.labels.items()},
        }


def examine(folder: Path, prompt: Prompt) -> DataReport:
    """Check `train.jsonl` and `validation.jsonl` of a folder.

    Raises:
        DatasetError: a file cannot be read.
    """
    files = {name: read_notes(folder / name, prompt.task) for name in _FILES}
    max_chars = {field.name: field.max_chars for field in prompt.task.fields}
    return DataReport(
        files,
        find_leaks(files[_FILES[0]].notes, files[_FILES[1]].notes),
        {name: check_consistency(content.notes, max_chars) for name, content in files.items()},
    )


def as_text(report: DataReport, groups: int) -> str:
    """Render the report as text, with the `groups` largest groups of spellings of each kind."""
    lines = [*_files(report), "", *_leaks(report.leaks)]
    for name, labels in report.labels.items():
        lines += ["", f"labels of {name}", *_labels(labels, groups)]
    return "\n".join(lines) + "\n"


def _files(report: DataReport) -> Iterator[str]:
    for name, content in report.files.items():
        yield f"{name}: {len(content.notes)} notes, {len(content.problems)} problem(s)"
        yield from (f"  {problem}" for problem in content.problems)


def _leaks(leaks: list[Leak]) -> Iterator[str]:
    exact, near = [leak for leak in leaks if leak.is_exact], [leak for leak in leaks if not leak.is_exact]
    yield f"leaks: {len(exact)} validation note(s) are training notes, {len(near)} share over half of the text with one"
    for leak in exact:
        yield f"  line {leak.line}: the same text as training line {leak.training_line}"
    for leak in near:
        yield f"  line {leak.line}: {leak.overlap:.0%} of the text is in training line {leak.training_line}"


def _labels(labels: Consistency, groups: int) -> Iterator[str]:
    yield f"  {'field':<16}{'values':>7}{'distinct':>10}{'not in most frequent spelling':>32}{'when harmonised':>17}"
    for field, report in labels.fields.items():
        share = f"{report.minority} ({report.minority / max(1, report.values):.1%})"
        yield f"  {field:<16}{report.values:>7}{report.distinct:>10}{share:>32}{report.harmonised:>17}"
    for field, report in labels.fields.items():
        joined = ", ".join(f"{separator!r} {count}" for separator, count in report.separators.items())
        yield f"  {field}: joined by {joined}" if joined else f"  {field}: single values"
        for rule, title in _TITLES.items():
            matching = [group for group in report.groups if group.rule == rule]
            yield from (f"    {title}: {_spellings(group)}" for group in matching[:groups])
            if len(matching) > groups:
                yield f"    {title}: {len(matching) - groups} more"
    for lines in labels.contradictions:
        yield f"  lines {', '.join(map(str, lines))}: the same text with different labels"
    for odd in labels.oddities:
        yield f"  line {odd.line}: {odd.field} is {odd.value!r}: {odd.why}"


_TITLES = {"spelling": "spellings", "items": "same items", "words": "perhaps the same"}


def _spellings(group: Group) -> str:
    shown = [f"{value!r} {count}" for value, count in group.counts.items()]
    more = [f"{len(shown) - _MAX_SPELLINGS} more"] if len(shown) > _MAX_SPELLINGS else []
    return ", ".join([*shown[:_MAX_SPELLINGS], *more])
