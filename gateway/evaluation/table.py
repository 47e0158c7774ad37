"""An evaluation as a text table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.evaluation.bootstrap import LEVEL, Estimate
from gateway.evaluation.evaluation import Evaluation
from gateway.evaluation.matching import RULES

_RULE_WIDTH = 24


def table(evaluation: Evaluation) -> str:
    """The figures for a person at a terminal."""
    width = max(map(len, (*evaluation.fields, "metastasis_site")))
    parts = [
        f"{len(evaluation.dataset.examples)} notes of {evaluation.dataset.name}",
        "",
        "".join([" " * width, *(f"{rule:>{_RULE_WIDTH}}" for rule in RULES)]),
        "".join(["field".ljust(width), *(f"{'P':>7}{'R':>7}{'F1':>10}" for _ in RULES)]),
    ]
    for name in (*evaluation.fields, "micro", "macro"):
        cells = [
            f"{number(evaluation.value(f'{rule}/{name}/precision')):>7}"
            f"{number(evaluation.value(f'{rule}/{name}/recall')):>7}"
            f"{number(evaluation.value(f'{rule}/{name}/f1')):>10}"
            for rule in RULES
        ]
        parts.append("".join([name.ljust(width), *cells]))
    parts += ["", *_lines(evaluation)]
    return "\n".join(parts) + "\n"


def _lines(evaluation: Evaluation) -> Iterable[str]:
    estimates, sums = evaluation.estimates, evaluation.sums
    if evaluation.resamples:
        yield f"micro-F1, {LEVEL:.0%} intervals over notes ({evaluation.resamples} resamples, seed {evaluation.seed}):"
        yield "  " + ", ".join(f"{rule} {with_interval(estimates[f'{rule}/micro/f1'])}" for rule in RULES)
    yield "right in all fields: " + ", ".join(f"{rule} {sums[f'notes/{rule}']}" for rule in RULES)
    null = [estimates[f"null/all/{metric}"].value for metric in ("precision", "recall")]
    yield f"null: {percent(null[0])} of those given are right, {percent(null[1])} of those expected were given"
    yield _invention(evaluation)
    yield f"valid: {sums['notes/valid']} of {sums['notes/all']} answers" + _counted(evaluation.errors)
    if evaluation.repairs:
        yield "repaired by the gateway" + _counted(evaluation.repairs)
    if sums["notes/nothing_expected"]:
        yield (
            f"notes with nothing to find: {sums['notes/nothing_right']} of {sums['notes/nothing_expected']} answered "
            "with null in every field"
        )
    if (sure := evaluation.calibration) is not None:
        yield (
            f"confidence: ECE {number(sure.ece)}, area under the ROC curve {number(sure.auroc)} "
            f"({sure.values} values; right by the rule normalised)"
        )
    if (took := evaluation.latency) is not None:
        yield f"latency: p50 {took.p50:.2f} s, p90 {took.p90:.2f} s, p99 {took.p99:.2f} s, longest {took.longest:.2f} s"


def _invention(evaluation: Evaluation) -> str:
    if not evaluation.evidence_measured:
        return "invention: not measured, as rapidfuzz is not installed"
    rate, labels = (evaluation.value(f"invention/all/{name}") for name in ("rate", "expected_rate"))
    return (
        f"invention: {percent(rate)} of the given values have no evidence in the note, "
        f"{percent(labels)} of the expected ones"
    )


def _counted(counts: object) -> str:
    if not isinstance(counts, dict) or not counts:
        return ""
    return ": " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def number(value: float | None) -> str:
    """A score with three digits; a dash where it is not defined."""
    return "-" if value is None else f"{value:.3f}"


def percent(value: float | None) -> str:
    """A share in percent; a dash where it is not defined."""
    return "-" if value is None else f"{value:.1%}"


def with_interval(estimate: Estimate) -> str:
    """A score and its interval."""
    if estimate.low is None:
        return number(estimate.value)
    return f"{number(estimate.value)} ({number(estimate.low)} to {number(estimate.high)})"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows as columns of equal width, the first one left-aligned, the others right-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines) + "\n"
