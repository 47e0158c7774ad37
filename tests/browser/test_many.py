"""Many notes on the page: a run with pause, cancel and retry; sorted, filtered, opened, downloaded."""

import csv
import io
import json

import pytest
from aiohttp import web
from playwright.sync_api import Page, expect

from tests.browser.actions import content, field, lines, load, start
from tests.browser.servers import Servers
from tests.fakes.engine.scripted import completion
from training.data.dataset import read_notes
from training.data.prompt import load_prompt

pytestmark = pytest.mark.slow

FIELDS = ("cancer_type", "stage", "gene_mutation", "biomarker", "treatment", "response", "metastasis_site")

NOTES = lines(
    {"id": "good", "text": "stage II lung adenocarcinoma 🫁"},
    {"id": "blank", "text": " "},
    {"id": "two", "input": "stage III, osimertinib"},
    {"id": "odd", "text": "never mind"},
)


def test_a_batch_is_run_filtered_opened_corrected_and_downloaded(page: Page, engine: Servers) -> None:
    async def answer(request: web.Request, body: dict[str, object]) -> web.StreamResponse:
        if "never mind" in str(body["messages"]):
            document = completion(json.dumps(dict.fromkeys(FIELDS) | {"cancer_type": "melanoma"}))
            for token in document["choices"][0]["logprobs"]["content"]:
                token["logprob"] = -3.0
            return web.json_response(document)
        return await engine.by_words(request, body)

    engine.engine.handler = answer
    panel = load(page, "batch", NOTES)
    start(panel)
    rows = panel.locator("tbody tr")
    expect(panel.locator("[role=status]")).to_contain_text("4 of 4 done, 1 failed")
    expect(rows).to_have_count(4)
    expect(rows.nth(1)).to_contain_text("line 2 needs a text")
    for name, shown in (("failed", "blank"), ("low confidence", "odd"), ("missing evidence", "odd")):
        panel.get_by_label("Show").select_option(name)
        expect(rows).to_have_count(1)
        expect(rows).to_contain_text(shown)
    panel.get_by_label("Show").select_option("all")
    for name, shown in (("confidence", "odd"), ("missing evidence", "odd"), ("status", "blank"), ("the file", "good")):
        panel.get_by_label("Sort by").select_option(name)
        expect(rows.first).to_contain_text(shown)

    panel.get_by_role("button", name="Open good").click()
    expect(page.locator("#note-view")).to_contain_text("stage II lung adenocarcinoma 🫁")
    page.get_by_role("button", name="Correct stage").click()
    field(page, "stage").get_by_role("textbox").fill("IIA")
    page.keyboard.press("Enter")
    page.locator("#tab-batch").click()
    with page.expect_download() as download:
        panel.get_by_role("button", name="Download JSONL").click()
    results = [json.loads(line) for line in content(download.value).splitlines()]
    assert [(one["index"], one["id"], one["status"]) for one in results] == [
        (0, "good", 200),
        (1, "blank", 422),
        (2, "two", 200),
        (3, "odd", 200),
    ]
    assert results[0]["result"]["fields"]["stage"] == "IIA"
    with page.expect_download() as download:
        panel.get_by_role("button", name="Download CSV").click()
    table = list(csv.DictReader(io.StringIO(content(download.value))))
    assert [row["stage"] for row in table] == ["IIA", "", "III", ""]
    with page.expect_download() as download:
        panel.get_by_role("button", name="training").click()
    assert content(download.value).count("\n") == 1
    read = read_notes(download.value.path(), load_prompt().task)
    assert (read.problems, read.notes[1].answer["stage"]) == ([], "IIA")


def test_a_run_is_paused_cancelled_and_its_failures_tried_again(page: Page, engine: Servers) -> None:
    open_gate = engine.hold()
    engine.engine.finish_reason = "length"
    panel = load(page, "batch", lines(*({"text": f"stage II, visit {number}"} for number in range(12))))
    status = panel.locator("[role=status]")
    running = panel.locator("tr[data-status=running]")
    panel.get_by_role("button", name="Start").click()
    expect(running).to_have_count(4)
    panel.get_by_role("button", name="Pause").click()
    expect(status).to_contain_text("(paused)")
    open_gate(True)
    expect(status).to_contain_text("4 of 12 done, 4 failed")
    expect(running).to_have_count(0)
    open_gate(False)
    panel.get_by_role("button", name="Go on").click()
    expect(running).to_have_count(4)
    expect(status).to_contain_text("left (running)")
    panel.get_by_role("button", name="Cancel").click()
    expect(status).to_contain_text("4 of 12 done")
    expect(status).to_contain_text("(cancelled)")
    expect(running).to_have_count(0)
    open_gate(True)
    panel.get_by_role("button", name="Go on").click()
    expect(status).to_contain_text("12 of 12 done, 12 failed")
    expect(status).to_contain_text("a minute")
    engine.engine.finish_reason = "stop"
    panel.get_by_role("button", name="Retry the failures").click()
    expect(status).to_contain_text("12 of 12 done, 0 failed")


def test_csv_is_read_and_what_cannot_be_is_named(page: Page) -> None:
    panel = load(page, "batch", 'id;Text\n7;"stage II;\nlung adenocarcinoma"\n', "notes.csv")
    start(panel)
    expect(panel.locator("tbody tr")).to_contain_text("lung adenocarcinoma · II")
    load(page, "batch", "a,b\n1,2\n", "other.csv")
    expect(page.locator("#state")).to_contain_text("needs a header with a column `text`")
