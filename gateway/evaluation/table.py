"""An evaluation, or a comparison of two, as a text table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gateway.evaluation.bootstrap import LEVEL, Estimate
from gateway.evaluation.comparison import Comparison, Difference
from gateway.evaluation.evaluation import Evaluation
from gateway.evaluation.matching import RULES

_RULE_WIDTH = 24


def table(evaluation: Evaluation) -> str:
    """Return the figures for a person at a terminal."""
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
    invention = [estimates[f"invention/all/{name}"].value for name in ("rate", "expected_rate")]
    yield (
        f"invention: {percent(invention[0])} of the given values have no evidence in the note, "
        f"{percent(invention[1])} of the expected ones"
    )
    yield f"valid: {sums['notes/valid']} of {sums['notes/all']} answers" + _counted(evaluation.errors)
    if evaluation.repairs:
        yield "repaired by the gateway" + _counted(evaluation.repairs)
    if sums["notes/nothing_expected"]:
        yield (
            f"notes with nothing to find: {sums['notes/nothing_right']} of {sums['notes/nothing_expected']} answered "
            "with null in every field"
        )
    if (calibration := evaluation.calibration) is not None:
        yield (
            f"confidence: ECE {number(calibration.ece)}, area under the ROC curve {number(calibration.auroc)} "
            f"({calibration.values} values; right by the rule normalised)"
        )
    if (latency := evaluation.latency) is not None:
        yield (
            f"latency: p50 {latency.p50:.2f} s, p90 {latency.p90:.2f} s, p99 {latency.p99:.2f} s, "
            f"longest {latency.longest:.2f} s"
        )


def _counted(counts: Mapping[str, int]) -> str:
    return ": " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) if counts else ""


def comparison_table(comparison: Comparison) -> str:
    """Return the comparison for a person at a terminal."""
    rows = [["", "A", "B", "B - A", f"{LEVEL:.0%} interval", "p", ""]]
    for one in comparison.differences:
        between = "-" if one.low is None or one.high is None else f"{one.low:+.3f} to {one.high:+.3f}"
        change = "-" if one.difference is None else f"{one.difference:+.3f}"
        verdict = "" if not one.is_significant else "better" if (one.difference or 0) > 0 else "worse"
        rows.append([_short(one), number(one.first), number(one.second), change, between, _p(one.p), verdict])
    return (
        f"A: {comparison.first}\nB: {comparison.second}\n"
        f"{comparison.notes} notes, F1 by the rule {comparison.rule}, paired bootstrap over notes "
        f"({comparison.resamples} resamples, seed {comparison.seed}); p of all but micro by Holm's method\n\n"
        f"{_aligned(rows)}\nB against A: {comparison.verdict}\n"
    )


def _short(difference: Difference) -> str:
    parts = difference.measure.split("/")
    return parts[1] if len(parts) > 1 else parts[0]


def _p(p: float | None) -> str:
    return "-" if p is None else f"{p:.4f}" if p < 0.1 else f"{p:.2f}"


def number(value: float | None) -> str:
    """Return a score with three digits; a dash where it is not defined."""
    return "-" if value is None else f"{value:.3f}"


def percent(value: float | None) -> str:
    """Return a share in percent; a dash where it is not defined."""
    return "-" if value is None else f"{value:.1%}"


def with_interval(estimate: Estimate) -> str:
    """Return a score and its interval."""
    if estimate.low is None:
        return number(estimate.value)
    return f"{number(estimate.value)} ({number(estimate.low)} to {number(estimate.high)})"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as columns of equal width, the first one left-aligned, the others right-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines) + "\n"
