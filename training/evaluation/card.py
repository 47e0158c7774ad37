"""The model card: what a run measured, read from its own files; no figure in it is typed in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.evaluation.matching import RULES
from training.config import ConfigError
from training.run.metrics import Record, read_metrics
from training.run.progress import write_beside

_LAST_STEPS = 50  # over which the loss at the end is averaged: a single step's says little
_CURVES = "curves.png"


def write_card(out: Path) -> Path:
    """Write OUT/README.md from OUT's run.json, and from metrics.jsonl, evaluation.json and evaluation-base.json if any.

    Returns:
        The card's path.

    Raises:
        ConfigError: there is no run.json with a trained adapter.
    """
    run = _read(out / "run.json")
    if "adapter" not in run:
        raise ConfigError(f"{out} holds no run.json with a trained adapter: train one with `adapter` or `run`")
    evaluation, base_alone = (_read(out / name) or None for name in ("evaluation.json", "evaluation-base.json"))
    has_curves = (out / _CURVES).exists()
    text = card(run, read_metrics(out / "metrics.jsonl"), evaluation, base_alone, has_curves=has_curves)
    path = out / "README.md"
    write_beside(path, lambda beside: beside.write_text(text, encoding="utf-8"))
    return path


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return content


def card(
    run: Mapping[str, Any],
    metrics: Sequence[Record],
    evaluation: Mapping[str, Any] | None = None,
    base_alone: Mapping[str, Any] | None = None,
    *,
    has_curves: bool = False,
) -> str:
    """The card's text, in Markdown with the header that the Hugging Face Hub reads.

    Args:
        run: what `run.json` holds.
        metrics: the records of `metrics.jsonl`.
        evaluation: the document of `gateway.evaluation`, or None.
        base_alone: the same of the base without the adapter, or None.
        has_curves: whether `curves.png` stands beside the card.
    """
    adapter = run["adapter"]
    config, base = adapter["config"], adapter["base"]
    lines = [
        "---",
        f"base_model: {base['name']}",
        *([f"license: {adapter['licence']}"] if adapter.get("licence") else []),
        "library_name: peft",
        "language: en",
        "---",
        f"# LoRA adapter of {base['name']}",
        "",
        f"Rank {config['rank']} on {', '.join(config['targets'])}: {adapter['parameters']:,} parameters. It reads a",
        "clinical note and answers with the seven fields of the task `medical_ie`. Not made for the care of patients.",
        "",
        "Written by `python -m training card` from what the run measured.",
        "",
        *_figures(evaluation, base_alone),
        "",
        *_training(run, metrics),
    ]
    if has_curves:
        lines += ["", f"![Loss and F1 by step]({_CURVES})"]
    return "\n".join([*lines, "", *_origin(adapter)]) + "\n"


def _figures(evaluation: Mapping[str, Any] | None, base_alone: Mapping[str, Any] | None) -> Iterator[str]:
    yield "## Figures"
    yield ""
    if evaluation is None:
        yield "Not evaluated: `python -m training evaluate` does it."
        return
    scores, dataset = evaluation["scores"], evaluation["dataset"]
    yield (
        f"On {dataset['examples']} notes of {dataset['name']}, greedy, with no constraint on the answer. The rules "
        f"`exact`, `normalised` and `items` are those of `gateway/evaluation/matching.py`."
    )
    yield ""
    yield "| field | precision | recall | F1 | F1 normalised | F1 items |"
    yield "|---|---|---|---|---|---|"
    for field in dataset["fields"]:
        yield _row(field, {rule: scores[rule]["fields"][field] for rule in RULES})
    for name in ("micro", "macro"):
        yield _row(f"**{name}**", {rule: scores[rule][name] for rule in RULES})
    yield ""
    level = f"{evaluation['bootstrap']['level']:.0%}"
    yield f"- micro-F1 with {level} interval: " + ", ".join(
        f"{rule} {_interval(scores[rule]['micro']['f1'])}" for rule in RULES
    )
    yield f"- right in all fields: {_percent(scores['exact']['notes_right'])}"
    validity = evaluation["validity"]
    yield f"- valid answers: {validity['valid']} of {validity['answers']}"
    null = evaluation["null"]["all"]
    yield (
        f"- null: {_percent(null['precision'])} of those given are right, {_percent(null['recall'])} of those expected "
        "were given"
    )
    if evaluation.get("invention"):
        invented = evaluation["invention"]["all"]
        yield (
            f"- values without evidence in the note: {_percent(invented['rate'])} of those given, "
            f"{_percent(invented['expected_rate'])} of the expected ones"
        )
    if base_alone is not None:
        f1 = _number(base_alone["scores"]["exact"]["micro"]["f1"])
        yield f"- the base without the adapter: micro-F1 {f1} on {base_alone['dataset']['examples']} notes"
    yield from _generated(evaluation["about"].get("generated") or {})


def _row(name: str, by_rule: Mapping[str, Mapping[str, Any]]) -> str:
    exact = by_rule["exact"]
    cells = [_number(exact[metric]) for metric in ("precision", "recall", "f1")]
    cells += [_number(by_rule[rule]["f1"]) for rule in RULES if rule != "exact"]
    return f"| {name} | {' | '.join(cells)} |"


def _generated(generated: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    if not generated:
        return
    yield ""
    yield "| generated notes | notes | micro-F1 (exact) | null in every field |"
    yield "|---|---|---|---|"
    for name, figures in generated.items():
        f1, null = (f"{figures[key]:.3f}" if key in figures else "" for key in ("micro_f1", "all_null"))
        yield f"| {name} | {figures['notes']} | {f1} | {null} |"


def _training(run: Mapping[str, Any], metrics: Sequence[Record]) -> Iterator[str]:
    adapter = run["adapter"]
    config, best = adapter["config"], adapter["best"]
    steps = [record for record in metrics if "loss" in record]
    judged = "notes held out of the training notes" if config["selection"] == "held_out" else "validation notes"
    yield "## Training"
    yield ""
    yield "| | |"
    yield "|---|---|"
    if (run.get("base") or {}).get("seconds"):  # None where several processes, one after another, made it
        yield f"| base, from nothing | {_minutes(run['base']['seconds'])} on {_threads(run['base'])} |"
    if steps:
        seconds = max(record["seconds"] for record in metrics)
        took = f"{_minutes(seconds)} on {_threads(adapter)}, evaluations included"
        yield f"| adapter | {adapter['steps']:,} steps, {took} |"
        yield f"| tokens, padding included | {sum(record['tokens'] for record in steps):,} |"
        last = [record["loss"] for record in steps[-_LAST_STEPS:]]
        yield (
            f"| training loss, answers only | {steps[0]['loss']:.3f} at the first step, "
            f"{sum(last) / len(last):.3f} over the last {len(last)} |"
        )
    yield (
        f"| checkpoint kept | step {best['step']}: micro-F1 {best['eval_f1']:.3f} and loss {best['eval_loss']:.3f} on "
        f"{best['notes']} {judged} |"
    )


def _origin(adapter: Mapping[str, Any]) -> Iterator[str]:
    yield "## Made with"
    yield ""
    yield f"- base: {adapter['base']['name']}, {adapter['base']['revision']}"
    notes = adapter["notes"]
    yield f"- {notes['training']:,} training and {notes['validation']:,} validation notes; SHA-256 of their files:"
    yield from (f"  - {name}: {digest}" for name, digest in adapter["data"].items())
    yield "- " + ", ".join(f"{name} {version}" for name, version in adapter["environment"].items())
    yield "- configuration:"
    yield ""
    yield "```yaml"
    yield from (f"{key}: {json.dumps(value)}" for key, value in adapter["config"].items() if value is not None)
    yield "```"


def _number(estimate: Mapping[str, float | None]) -> str:
    return "-" if estimate["value"] is None else f"{estimate['value']:.3f}"


def _percent(estimate: Mapping[str, float | None]) -> str:
    return "-" if estimate["value"] is None else f"{estimate['value']:.1%}"


def _interval(estimate: Mapping[str, float | None]) -> str:
    low, high = estimate["low"], estimate["high"]
    return _number(estimate) if low is None or high is None else f"{_number(estimate)} ({low:.3f} to {high:.3f})"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} minutes"


def _threads(stage: Mapping[str, Any]) -> str:
    return f"{stage['threads']} CPU thread{'s' if stage['threads'] > 1 else ''}"
