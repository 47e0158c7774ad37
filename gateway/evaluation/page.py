"""An evaluation as one HTML page: no script, no other file, and everything in it escaped.

With texts it is the one place where an evaluation shows notes and values, for whoever asked for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from gateway.evaluation import charts, markup
from gateway.evaluation.bootstrap import LEVEL, Estimate
from gateway.evaluation.calibration import BINS
from gateway.evaluation.disagreements import KINDS, Disagreement, find_disagreements, segments
from gateway.evaluation.evaluation import CALIBRATION_RULE, Evaluation
from gateway.evaluation.evidence import Find
from gateway.evaluation.markup import element
from gateway.evaluation.matching import RULES
from gateway.evaluation.scores import METRICS
from gateway.evaluation.table import number, percent, with_interval

_STYLE = Path(__file__).with_name("page.css")
# Nothing is fetched and nothing runs, whatever a note holds.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_TEXT_HEADS = {"expected": "text", "got": "text"}
_RULES_SAID = {
    "exact": "the strings are equal, character by character.",
    "normalised": "equal once case, white space, Unicode forms, dashes and the separators of lists are.",
    "items": "the value is the set of its items; each item is right, missed or too much. The order does not count.",
}


def as_page(evaluation: Evaluation, document: Mapping[str, Any], *, with_texts: bool) -> str:
    """The page.

    Args:
        evaluation: the figures.
        document: the same as `document.as_document` gives it, for what was evaluated.
        with_texts: whether notes and values are shown where answer and expectation differ.
    """
    dataset = document["dataset"]
    title = f"Evaluation of {dataset['name']}"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        element("style", _STYLE.read_text("utf-8")),
    )
    main = element(
        "main",
        element("h1", title),
        element("p", _about(document), class_="soft"),
        element("p", _notice(with_texts), class_="notice"),
        _tiles(evaluation),
        _scores(evaluation),
        _validity(evaluation),
        _null_and_invention(evaluation),
        _calibration(evaluation),
        _latency(evaluation),
        _disagreements(evaluation, with_texts=with_texts),
        _method(evaluation, document),
    )
    return markup.document(element("html", head, element("body", main), lang="en"))


def _about(document: Mapping[str, Any]) -> str:
    about = document["about"]
    shown = {name: value for name, value in about.items() if value not in (None, [], "")}
    shown["models"] = ", ".join(about["models"])
    parts = [f"{document['dataset']['examples']} notes"]
    parts += [f"{name.replace('_', ' ')} {value}" for name, value in shown.items() if value]
    return " · ".join(parts)


def _notice(with_texts: bool) -> str:
    if with_texts:
        return (
            "This page holds notes and values of the data set. Keep it where they may be kept; evaluation.json holds "
            "the same figures without them."
        )
    return "Notes and values are left out of this page."


def _tiles(evaluation: Evaluation) -> Element:
    estimates = evaluation.estimates
    tiles = [(f"micro-F1, {rule}", number(estimates[f"{rule}/micro/f1"].value), _between(estimates[f"{rule}/micro/f1"]))
             for rule in RULES]  # fmt: skip
    tiles.append(("valid answers", percent(evaluation.value("validity")), _between(estimates["validity"], percent)))
    if evaluation.evidence_measured:
        rate = estimates["invention/all/rate"]
        tiles.append(("values without evidence", percent(rate.value), _between(rate, percent)))
    if evaluation.latency is not None:
        tiles.append(("median seconds", f"{evaluation.latency.p50:.2f}", f"p99 {evaluation.latency.p99:.2f}"))
    return element(
        "div",
        [element("div", name, element("b", value), element("span", more, class_="soft"), class_="tile")
         for name, value, more in tiles],
        class_="tiles",
    )  # fmt: skip


def _between(estimate: Estimate, shown: Any = number) -> str:
    return "" if estimate.low is None else f"{shown(estimate.low)} to {shown(estimate.high)}"


def _scores(evaluation: Evaluation) -> Element:
    estimates = evaluation.estimates
    parts: list[Element] = [element("h2", "Scores")]
    for rule in RULES:
        rows = []
        for name in (*evaluation.fields, "micro", "macro"):
            f1 = estimates[f"{rule}/{name}/f1"]
            cells = [number(estimates[f"{rule}/{name}/{metric}"].value) for metric in METRICS]
            rows.append(
                element(
                    "tr",
                    element("td", name),
                    [element("td", cell) for cell in cells],
                    element("td", _between(f1), class_="soft"),
                    element("td", charts.bar(f1)),
                    class_="total" if name in ("micro", "macro") else None,
                )
            )
        said = element("p", element("b", rule), f": {_RULES_SAID[rule]} Right in every field: ",
                       f"{evaluation.sums[f'notes/{rule}']} of {evaluation.sums['notes/all']} notes.")  # fmt: skip
        parts += [said, _table(["field", "precision", "recall", "F1", f"{LEVEL:.0%} interval", ""], rows)]
    return element("section", parts)


def _table(heads: Sequence[str], rows: Sequence[Element]) -> Element:
    head = element(
        "thead", element("tr", [element("th", name, scope="col", class_=_TEXT_HEADS.get(name)) for name in heads])
    )
    return element("div", element("table", head, element("tbody", rows)), class_="scroll")


def _row(*cells: str | int) -> Element:
    return element("tr", [element("td", cell) for cell in cells])


def _validity(evaluation: Evaluation) -> Element:
    sums = evaluation.sums
    rows = [_row(name, "invalid answer", count) for name, count in sorted(evaluation.errors.items())]
    rows += [_row(name, "repaired by the gateway", count) for name, count in sorted(evaluation.repairs.items())]
    nothing = None
    if sums["notes/nothing_expected"]:
        nothing = element(
            "p",
            f"Of {sums['notes/nothing_expected']} notes with nothing to find, {sums['notes/nothing_right']} were "
            "answered with null in every field.",
        )
    return element(
        "section",
        element("h2", "Validity"),
        element("p", f"{sums['notes/valid']} of {sums['notes/all']} answers are valid against the task's schema."),
        _table(["kind", "", "answers"], rows) if rows else None,
        nothing,
    )


def _null_and_invention(evaluation: Evaluation) -> Element:
    names = ("all", *evaluation.fields)
    heads = ["field", "nulls given that are right", "nulls expected that were given"]
    measures = ["null/{}/precision", "null/{}/recall"]
    if evaluation.evidence_measured:
        heads += ["values without evidence", "expected values without evidence"]
        measures += ["invention/{}/rate", "invention/{}/expected_rate"]
    rows = [_row(name, *(percent(evaluation.value(measure.format(name))) for measure in measures)) for name in names]
    return element(
        "section",
        element("h2", "Null and invention"),
        element(
            "p",
            "A value without evidence is one of which the gateway finds no part in the note. Expected values without "
            "evidence are worded otherwise than the note, or wrong: a model that learns from such labels gives such "
            "values.",
        ),
        _table(heads, rows),
    )


def _calibration(evaluation: Evaluation) -> Element | None:
    sure = evaluation.calibration
    if sure is None:
        return None
    return element(
        "section",
        element("h2", "Calibration of confidence"),
        element(
            "p",
            f"Expected calibration error {sure.ece:.3f}: the mean distance between confidence and share of right "
            f"values in {BINS} bins of equal width, weighted by their values (Naeini and others, AAAI 2015). Area "
            f"under the ROC curve {number(sure.auroc)}: how often a right value has a higher confidence than a wrong "
            f"one; 0.5 is chance. {sure.values} given values, right by the rule {CALIBRATION_RULE}.",
        ),
        charts.reliability(sure),
    )


def _latency(evaluation: Evaluation) -> Element | None:
    took = evaluation.latency
    if took is None:
        return None
    shown = [took.mean, took.p50, took.p90, took.p99, took.longest]
    return element(
        "section",
        element("h2", "Latency"),
        element("p", "Seconds from sending a note to its whole answer, as the client saw them."),
        _table(["answers", "mean", "p50", "p90", "p99", "longest"], [_row(took.answers, *(f"{s:.2f}" for s in shown))]),
    )


def _disagreements(evaluation: Evaluation, *, with_texts: bool) -> Element:
    find = evaluation.find_evidence
    kinds: Counter[tuple[str, str]] = Counter()
    shown: list[Element] = []
    for example, answer in zip(evaluation.dataset.examples, evaluation.answers, strict=True):
        found = find_disagreements(evaluation.fields, example, answer)
        kinds.update((one.field, one.kind) for one in found)
        if not found and answer.error is None:
            continue
        parts: list[Element] = [
            element(
                "summary",
                element("b", f"line {example.line}"),
                " ",
                [[element("span", f"{one.field}: {one.kind}", class_=f"kind {one.kind}"), " "] for one in found],
                None if answer.error is None else element("span", answer.error, class_="kind wrong"),
            )
        ]
        if with_texts:
            parts += [
                _note(example.text, found, None if find is None else find(example.text)),
                _table(["field", "", "expected", "got", "confidence"], [_pair(one) for one in found]),
            ]
        shown.append(element("details", parts))
    counted = [_row(field, *(kinds[field, kind] for kind in KINDS)) for field in evaluation.fields]
    return element(
        "section",
        element("h2", "Disagreements"),
        element("p", f"{len(shown)} notes whose answer is not exactly the expected one. ", _legend(with_texts)),
        _table(["field", *KINDS], counted),
        element("ul", [element("li", element("b", kind), f": {said}") for kind, said in KINDS.items()], class_="soft"),
        shown,
    )


def _legend(with_texts: bool) -> list[Element | str]:
    if not with_texts:
        return []
    return [
        "In the notes: ",
        element("mark", "evidence of the expected value", class_="expected"),
        ", ",
        element("mark", "of the given value", class_="given"),
        ", ",
        element("mark", "of both", class_="both"),
        ".",
    ]


def _note(text: str, found: Sequence[Disagreement], find: Find | None) -> Element:
    parts: list[Element | str] = []
    for segment in segments(text, found, find):
        if not segment.expected and not segment.given:
            parts.append(segment.text)
            continue
        both = segment.expected and segment.given
        said = [f"expected {name}" for name in segment.expected] + [f"given {name}" for name in segment.given]
        parts.append(
            element(
                "mark",
                segment.text,
                class_="both" if both else "expected" if segment.expected else "given",
                title=", ".join(said),
            )
        )
    return element("div", parts, class_="note")


def _pair(one: Disagreement) -> Element:
    return element(
        "tr",
        element("td", one.field),
        element("td", element("span", one.kind, class_=f"kind {one.kind}")),
        element("td", _value(one.expected), class_="text"),
        element("td", _value(one.given), class_="text"),
        element("td", number(one.confidence)),
    )


def _value(value: str | None) -> Element | str:
    return element("span", "null", class_="null") if value is None else value


def _method(evaluation: Evaluation, document: Mapping[str, Any]) -> Element:
    micro = evaluation.estimates["exact/micro/f1"]
    return element(
        "section",
        element("h2", "How this was counted"),
        element(
            "p",
            "Null for null counts nowhere; a value for null is a false positive, null for a value a false negative, a "
            "wrong value both. Micro sums the counts of all fields, macro is the mean of the fields' scores. An answer "
            "that cannot be read counts as null in every field, and as no right null. Intervals: percentile bootstrap "
            f"over notes, {evaluation.resamples} resamples, seed {evaluation.seed}; "
            f"exact micro-F1 {with_interval(micro)}.",
        ),
        element("p", f"Digest of the data set: {document['dataset']['digest']}", class_="soft"),
    )
