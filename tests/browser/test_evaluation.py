"""Evaluation on the page: the scores of `gateway evaluate`, disagreements in their notes, two runs side by side."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from gateway.cli.main import main
from tests.browser.actions import content, lines, load, start
from tests.browser.servers import Servers

pytestmark = pytest.mark.slow

FIELDS = ("cancer_type", "stage", "gene_mutation", "biomarker", "treatment", "response", "metastasis_site")


def example(text: str, **values: str) -> dict[str, object]:
    return {"instruction": "", "input": text, "output": dict.fromkeys(FIELDS) | values}


DATA = lines(
    example("stage II lung adenocarcinoma", stage="II", cancer_type="lung adenocarcinoma"),
    example("stage III, osimertinib", stage="IIIA", treatment="Osimertinib."),
    example("FOLFOX and bevacizumab; liver metastases", treatment="bevacizumab, FOLFOX", metastasis_site="liver"),
    example("a cold", response="none"),
)


def shown(page: Page, rule: str) -> dict[str, list[str]]:
    page.get_by_label("Rule").select_option(rule)
    rows = page.locator("#scores tbody tr")
    return {row.locator("th").inner_text(): row.locator("td").all_inner_texts() for row in rows.all()}


def test_the_scores_are_those_of_gateway_evaluate(page: Page, tmp_path: Path) -> None:
    start(load(page, "evaluation", DATA))
    scores = {rule: shown(page, rule) for rule in ("exact", "normalised", "items")}
    panel = load(page, "batch", DATA)
    start(panel)
    with page.expect_download() as download:
        panel.get_by_role("button", name="Download JSONL").click()

    data, answers, out = tmp_path / "data.jsonl", tmp_path / "answers.jsonl", tmp_path / "out"
    data.write_text(DATA, "utf-8")
    answers.write_text(content(download.value), "utf-8")
    assert main(["evaluate", str(data), "--answers", str(answers), "--out", str(out), "--resamples", "1"]) == 0
    document = json.loads((out / "evaluation.json").read_text("utf-8"))
    for rule, table in scores.items():
        theirs = document["scores"][rule]
        expected = {**theirs["fields"], "micro": theirs["micro"], "macro": theirs["macro"]}
        for name, measures in expected.items():
            values = [measures[metric]["value"] for metric in ("precision", "recall", "f1")]
            assert table[name.replace("_", " ")] == ["–" if value is None else f"{value:.3f}" for value in values]


def test_disagreements_are_shown_in_their_notes_and_two_runs_side_by_side(page: Page, engine: Servers) -> None:
    panel = load(page, "evaluation", DATA)
    start(panel)
    wrong = panel.locator(".disagreement")
    expect(wrong).to_have_count(3)
    expect(wrong.first.locator("summary")).to_have_text("Line 2: stage, treatment")
    expect(wrong.first.locator("tbody tr").first).to_contain_text("wrong")
    expect(wrong.first.locator("mark")).to_have_text(["III", "osimertinib"])
    expect(wrong.nth(1).locator("tbody tr")).to_contain_text("wording")

    engine.engine.handler = None
    engine.engine.answer = json.dumps(dict.fromkeys(FIELDS) | {"stage": "IIIA"})
    start(load(page, "evaluation", DATA))
    stage = panel.locator("#scores tbody tr").nth(1)
    expect(stage.locator("td")).to_have_text(["0.250", "0.500", "0.333", "0.500", "-0.167"])
    expect(panel.locator("#scores thead th").last).to_have_text("difference")
    panel.get_by_label("compared with").select_option("")
    expect(panel.locator("#scores thead th")).to_have_count(4)
    start(load(page, "evaluation", DATA.splitlines()[0] + "\n"))
    expect(panel).to_contain_text("not compared")


def test_a_data_set_with_problems_is_refused_with_their_lines(page: Page) -> None:
    load(page, "evaluation", '{"input": "x", "output": {"stage": "I"}}\n{"input": "y"}\nno\n')
    state = page.locator("#state")
    expect(state).to_contain_text("line 1: the expected answer lacks cancer_type, gene_mutation")
    expect(state).to_contain_text("line 2: needs the expected answer")
    expect(state).to_contain_text("line 3: is not JSON")
