"""A peer for the small model that reads nothing: a linear classifier a field, over a note's words.

    uv run tests/benchmarks/linear_classifier.py FOLDER answers.jsonl
    python -m gateway evaluate FOLDER/validation.jsonl --answers answers.jsonl --out linear
    python -m gateway compare models/small/evaluation.json linear/evaluation.json

With --beside FILE, the answers that `python -m training evaluate --answers FILE` kept, it also says on how many values
the two agree, and how right a choice between them would be that is always the better one.

FOLDER holds train.jsonl and validation.jsonl. Each field's answer is one of those that the training notes have, by a
support vector machine over TF-IDF weights of words and of pieces of words. What a model has beyond this comes from
reading; what both get wrong alike is likely to be in the labels.
"""

# /// script
# requires-python = ">=3.11"
# dependencies = ["scikit-learn==1.9.1"]
# ///
from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_union
from sklearn.svm import LinearSVC

RAREST = 3  # an answer that fewer notes have is not learnt


def read(path: Path) -> list[dict[str, Any]]:
    """Return the records of a JSON-lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def predict(training: list[dict[str, Any]], texts: list[str]) -> list[dict[str, str | None]]:
    """Return every text's answer, by the training notes' answers."""
    vectorizer = make_union(
        TfidfVectorizer(ngram_range=(1, 3), min_df=2, sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), min_df=3, sublinear_tf=True),
    )
    rows, queries = vectorizer.fit_transform([note["input"] for note in training]), vectorizer.transform(texts)
    answers: list[dict[str, str | None]] = [{} for _ in texts]
    for field in training[0]["output"]:
        labels = [note["output"][field] or "" for note in training]
        frequency = Counter(labels)
        kept = [i for i, label in enumerate(labels) if frequency[label] >= RAREST]
        classifier = LinearSVC(C=0.5, random_state=0).fit(rows[kept], [labels[i] for i in kept])
        for answer, value in zip(answers, classifier.predict(queries), strict=True):
            answer[field] = str(value) or None
    return answers


def agreement(lines: list[dict[str, Any]], others: list[dict[str, Any]]) -> str:
    """Return what two sets of answers to the same notes have in common, as a text."""
    values = right = only_here = only_there = same_wrong = 0
    hits = predicted = relevant = 0  # of the better of the two, values that are not null
    for line, other in zip(lines, others, strict=True):
        if line["input"] != other["input"]:
            raise SystemExit("error: these are answers to other notes")
        here, there = as_object(line["raw_output"]), as_object(other["raw_output"])
        for field, expected in line["expected"].items():
            first, second = here.get(field), there.get(field)
            values += 1
            right += first == second == expected
            only_here += first == expected != second
            only_there += second == expected != first
            same_wrong += first == second != expected
            better = first if first == expected else second
            hits += better == expected is not None
            predicted += better is not None
            relevant += expected is not None
    f1 = 2 * hits / (predicted + relevant)
    return (
        f"{values} values: {right} right in both, {only_there} in theirs only, {only_here} in the classifier's only; "
        f"wrong with the same answer {same_wrong}\nmicro-F1 of the better of the two: {f1:.3f}"
    )


def as_object(text: str) -> dict[str, Any]:
    """Return the answer in a model's text; an empty one where it cannot be read."""
    try:
        answer = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}


def main() -> None:
    """Learn from one file, and write the answers to the other's notes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, metavar="FOLDER", help="with train.jsonl and validation.jsonl")
    parser.add_argument("answers", type=Path, metavar="ANSWERS", help="JSONL file to write")
    parser.add_argument("--beside", type=Path, metavar="FILE", help="a model's answers to the same notes")
    options = parser.parse_args()
    required = [options.data / "train.jsonl", options.data / "validation.jsonl", *filter(None, [options.beside])]
    if missing := [str(path) for path in required if not path.is_file()]:
        parser.error(f"not there: {', '.join(missing)}")
    training, validation = (read(options.data / f"{name}.jsonl") for name in ("train", "validation"))
    answers = predict(training, [note["input"] for note in validation])
    lines = [
        {"input": note["input"], "expected": note["output"], "raw_output": json.dumps(answer)}
        for note, answer in zip(validation, answers, strict=True)
    ]
    if options.beside is not None:
        sys.stdout.write(agreement(lines, read(options.beside)) + "\n")
    options.answers.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
