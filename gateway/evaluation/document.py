"""An evaluation as a JSON document, and back as far as a comparison needs it.

It holds figures and line numbers, no text of a note and no value, so that it can be kept and sent where notes may not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway import __version__
from gateway.evaluation import scores
from gateway.evaluation.bootstrap import LEVEL, Estimate
from gateway.evaluation.evaluation import CALIBRATION_RULE, Evaluation
from gateway.evaluation.matching import RULES
from gateway.files.reading import ReadError, read_text

FORMAT = "slm-ft-serving/evaluation"
VERSION = 1
_DIGITS = 6


class DocumentError(Exception):
    """A file is no evaluation, or one of another version."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What a comparison needs of an evaluation; `rows` has shape (notes, columns), as `scores.columns` names them."""

    name: str
    digest: str
    fields: tuple[str, ...]
    rows: NDArray[np.int64]


def as_document(evaluation: Evaluation, *, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document.

    Args:
        evaluation: the figures.
        about: what was evaluated, such as the task, the model, the gateway's address; plain JSON.
    """
    fields, estimates, sums = evaluation.fields, evaluation.estimates, evaluation.sums
    return {
        "format": FORMAT,
        "version": VERSION,
        "about": {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "gateway_version": __version__,
            **about,
            "models": sorted({answer.model for answer in evaluation.answers if answer.model}),
        },
        "dataset": {
            "name": evaluation.dataset.name,
            "examples": len(evaluation.dataset.examples),
            "digest": evaluation.dataset.digest,
            "fields": list(fields),
        },
        "bootstrap": {
            "resamples": evaluation.resamples,
            "seed": evaluation.seed,
            "level": LEVEL,
            "interval": "percentile, over notes",
        },
        "scores": {rule: _rule(evaluation, rule) for rule in RULES},
        "null": _by_field(evaluation, "null", ("precision", "recall")),
        "invention": _by_field(evaluation, "invention", ("rate", "expected_rate")),
        "validity": {
            "share": _shown(estimates["validity"]),
            "valid": sums["notes/valid"],
            "answers": sums["notes/all"],
            "errors": dict(sorted(evaluation.errors.items())),
            "repairs": dict(sorted(evaluation.repairs.items())),
        },
        "nothing_to_find": {
            "notes": sums["notes/nothing_expected"],
            "all_null": sums["notes/nothing_right"],
            "share": _shown(estimates["nothing/recall"]),
        },
        "calibration": _calibration(evaluation),
        "latency_seconds": None if evaluation.latency is None else _rounded(asdict(evaluation.latency)),
        "notes": {
            "columns": list(scores.columns(fields)),
            "lines": [example.line for example in evaluation.dataset.examples],
            "rows": evaluation.rows.tolist(),
        },
    }


def _rule(evaluation: Evaluation, rule: str) -> dict[str, Any]:
    def entry(name: str) -> dict[str, Any]:
        return {metric: _shown(evaluation.estimates[f"{rule}/{name}/{metric}"]) for metric in scores.METRICS}

    def counts(*fields: str) -> dict[str, int]:
        return scores.counts_of(evaluation.sums, rule, *fields)._asdict()

    return {
        "micro": entry("micro") | counts(*evaluation.fields),
        "macro": entry("macro"),
        "fields": {field: entry(field) | counts(field) for field in evaluation.fields},
        "notes_right": _shown(evaluation.estimates[f"{rule}/notes"]),
    }


def _by_field(evaluation: Evaluation, measure: str, metrics: Sequence[str]) -> dict[str, Any]:
    return {
        name: {metric: _shown(evaluation.estimates[f"{measure}/{name}/{metric}"]) for metric in metrics}
        for name in ("all", *evaluation.fields)
    }


def _calibration(evaluation: Evaluation) -> dict[str, Any] | None:
    if evaluation.calibration is None:
        return None
    return {"rule": CALIBRATION_RULE, **_rounded(asdict(evaluation.calibration))}


def _shown(estimate: Estimate) -> dict[str, float | None]:
    return {name: None if value is None else round(value, _DIGITS) for name, value in estimate._asdict().items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(inner) for inner in value]
    return round(value, _DIGITS) if isinstance(value, float) else value


def as_json(document: Mapping[str, Any]) -> str:
    """Return the document's text: indented, but each note's row on one line."""
    body = dict(document)
    notes = body.pop("notes")
    rows = ",\n".join("      " + json.dumps(row, separators=(",", ":")) for row in notes["rows"])
    head = json.dumps(body, indent=2, ensure_ascii=False)[:-2]
    return (
        f'{head},\n  "notes": {{\n    "columns": {json.dumps(notes["columns"])},\n'
        f'    "lines": {json.dumps(notes["lines"])},\n    "rows": [\n{rows}\n    ]\n  }}\n}}\n'
    )


def is_evaluation(document: object) -> bool:
    """Return whether parsed JSON is an evaluation's document, of any version."""
    return isinstance(document, dict) and document.get("format") == FORMAT


def load_run(path: Path) -> Run:
    """Read an evaluation's document.

    Raises:
        DocumentError: it cannot be read, is none, or is of another version.
    """
    try:
        document = json.loads(read_text(path))
    except ReadError as error:
        raise DocumentError(str(error)) from None
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"{path}: is not JSON: {error}") from None
    if not is_evaluation(document):
        raise DocumentError(f"{path}: is no evaluation; `python -m gateway evaluate --out DIR` writes one")
    if document.get("version") != VERSION:
        raise DocumentError(
            f"{path}: is of version {document.get('version')}, and this gateway reads {VERSION}; evaluate again"
        )
    try:
        fields = tuple(document["dataset"]["fields"])
        names, rows = document["notes"]["columns"], np.array(document["notes"]["rows"])
        if names != list(scores.columns(fields)) or rows.shape[1:] != (len(names),) or rows.dtype != np.int64:
            raise DocumentError(f"{path}: its columns are not those of its version; evaluate again")
        return Run(str(path), document["dataset"]["digest"], fields, rows)
    except (KeyError, TypeError, ValueError) as error:
        raise DocumentError(f"{path}: lacks a part of an evaluation: {error!r}") from None
