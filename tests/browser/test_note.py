"""One note on the page: samples, fields as they come, evidence where it stands, decisions, exports."""

import csv
import io
import json
import re
import shlex
from pathlib import Path

import pytest
from playwright.sync_api import Dialog, Page, expect

from tests.browser.actions import NOTE, exported, extract, field
from tests.browser.servers import Servers
from tests.support.browser import check_samples, highlights
from training.data.dataset import read_notes
from training.data.prompt import load_prompt

pytestmark = pytest.mark.slow
LIT = re.compile(r"\blit\b")


def test_each_samples_evidence_is_highlighted_where_it_stands(page: Page, url: str) -> None:
    assert check_samples(page, url) >= 5


def test_fields_appear_as_the_stream_delivers_them(page: Page, engine: Servers) -> None:
    engine.engine.token_delay = 0.05
    page.locator("#note").fill(NOTE)
    page.locator("#extract").click()
    expect(field(page, "cancer_type")).to_contain_text("lung adenocarcinoma")
    assert page.locator("#stop").is_visible()
    assert page.locator("[data-field]").count() < 7
    expect(page.locator("#edit")).to_be_visible()
    expect(page.locator(".field")).to_have_count(7)


def test_what_runs_can_be_stopped(page: Page, engine: Servers) -> None:
    engine.engine.token_delay = 0.3
    page.locator("#note").fill(NOTE)
    page.locator("#extract").click()
    page.locator("#stop").click()
    expect(page.locator("#progress")).to_have_text("Stopped.")
    expect(page.locator("#extract")).to_be_enabled()
    assert page.locator(".field").count() == 0


def test_hover_and_focus_light_the_words_and_their_field(page: Page) -> None:
    extract(page)
    mark = page.locator("mark[data-fields=stage]")
    mark.hover()
    for lit in (mark, field(page, "stage")):
        expect(lit).to_have_class(LIT)
    assert page.locator(".field.lit").count() == 1
    field(page, "treatment").hover()
    expect(page.locator("mark.lit")).to_have_text("osimertinib")
    page.locator("mark[data-fields=gene_mutation]").focus()
    expect(page.locator(".field.lit h3")).to_have_text("gene mutation")
    field(page, "stage").get_by_role("button", name="Accept").focus()
    expect(page.locator("mark.lit")).to_have_text("IV")


def test_kinds_of_evidence_look_different(page: Page, engine: Servers) -> None:
    engine.engine.handler = None
    engine.engine.answer = json.dumps(
        {
            "cancer_type": "lung adenocarcinoma",
            "stage": "III",
            "gene_mutation": "KRAS G12C",
            "biomarker": "PD-L1 10%",
            "treatment": None,
            "response": None,
            "metastasis_site": None,
        }
    )
    extract(page, "Stage 3 lung adenocarcinoma; PD-L1 was found to be 10%.")
    looks = {}
    for kind in ("exact", "normalized", "fuzzy"):
        mark = page.locator(f"#note-view mark.{kind}").first
        looks[kind] = mark.evaluate("e => getComputedStyle(e).textDecorationStyle")
    assert looks == {"exact": "solid", "normalized": "dashed", "fuzzy": "wavy"}
    expect(field(page, "gene_mutation").locator(".missing")).to_have_text("evidence: no evidence in the note")
    colours = page.locator("#note-view mark").evaluate_all("all => all.map(e => getComputedStyle(e).backgroundColor)")
    assert len(set(colours)) == len(colours) == 3
    expect(page.locator("#legend")).to_contain_text("it may be invented")


def test_confidence_is_in_words(page: Page) -> None:
    extract(page)
    expect(field(page, "stage")).to_contain_text("confidence: high")
    assert "0.9" not in page.locator("#fields").inner_text()


def test_a_value_is_corrected_by_selecting_words(page: Page) -> None:
    extract(page)
    page.get_by_role("button", name="Correct biomarker").click()
    page.locator("#note-view").evaluate(
        """view => {
            const first = view.firstChild;
            const at = first.data.indexOf("today");
            getSelection().setBaseAndExtent(first, at, first, at + 6);
        }"""
    )
    box = field(page, "biomarker").get_by_role("textbox")
    expect(box).to_have_value("today:")
    box.press("Enter")
    assert highlights(page)["biomarker"] == set(range(NOTE.index("today"), NOTE.index("today") + 6))
    expect(field(page, "biomarker").locator(".decision")).to_have_text("corrected")


def test_decisions_and_every_export(page: Page, url: str, tmp_path: Path) -> None:
    extract(page, f'{NOTE}\n=1+1 it\'s "so"')
    page.get_by_role("button", name="Accept stage").click()
    page.get_by_role("button", name="Reject gene mutation").click()
    page.get_by_role("button", name="Correct treatment").click()
    box = field(page, "treatment").get_by_role("textbox")
    box.fill('=1+1 it\'s "so"')
    box.press("Enter")
    text = f'{NOTE}\n=1+1 it\'s "so"'

    document = json.loads(exported(page, "json"))
    assert document["fields"]["gene_mutation"] is None
    assert document["fields"]["stage"] == "IV"
    assert document["review"]["treatment"] == {"decision": "corrected", "given": "osimertinib"}
    start = text.index("=1+1")
    assert document["evidence"]["treatment"] == [
        {"text": text[start:], "start": start, "end": len(text), "match": "exact"}
    ]

    rows = {row["field"]: row for row in csv.DictReader(io.StringIO(exported(page, "csv")))}
    assert rows["treatment"]["value"] == "'=1+1 it's \"so\""
    assert (rows["stage"]["evidence"], rows["stage"]["decision"]) == ("exact", "accepted")

    command = shlex.split(exported(page, "sh"))
    assert command[:3] == ["curl", "--fail-with-body", f"{url}/api/v1/tasks/medical_ie/extract"]
    assert json.loads(command[-1]) == {"text": text}

    file = tmp_path / "train.jsonl"
    file.write_text(exported(page, "jsonl"), "utf-8")
    read = read_notes(file, load_prompt().task)
    assert read.problems == []
    assert read.notes[1].text == text
    assert read.notes[1].answer == document["fields"]

    with page.expect_download() as download:
        page.locator("#save").click()
    assert download.value.suggested_filename == "extraction.jsonl"
    assert Path(download.value.path()).read_text("utf-8") == file.read_text("utf-8")
    page.locator("#copy").click()
    expect(page.locator("#copied")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == file.read_text("utf-8")


def test_closing_warns_only_where_corrections_would_be_lost(page: Page) -> None:
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    extract(page)
    page.get_by_role("button", name="Reject stage").click()
    page.locator("#edit").click()
    assert asked == ["confirm"]
    expect(page.locator("#note-view")).to_be_visible()
    page.close(run_before_unload=True)
    expect(page.locator("#note-view")).to_be_visible()
    assert asked == ["confirm", "beforeunload"]
    page.locator("#copy").click()
    expect(page.locator("#copied")).to_have_text("Copied.")
    with page.expect_event("close"):
        page.close(run_before_unload=True)
    assert len(asked) == 2


def test_a_text_file_is_opened_and_one_that_is_no_text_is_refused(page: Page) -> None:
    chosen = page.locator("#note-file")
    chosen.set_input_files({"name": "n.txt", "mimeType": "text/plain", "buffer": "\ufeffstage IV é".encode()})
    expect(page.locator("#note")).to_have_value("stage IV é")
    chosen.set_input_files({"name": "n.txt", "mimeType": "text/plain", "buffer": b"\xff\xfe\x00"})
    expect(page.locator("#state")).to_contain_text("n.txt is not UTF-8 text")
    page.evaluate(
        """() => {
            const data = new DataTransfer();
            data.items.add(new File(["dropped: stage II"], "d.txt"));
            const drop = new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
            document.querySelector("#note").dispatchEvent(drop);
        }"""
    )
    expect(page.locator("#note")).to_have_value("dropped: stage II")


def test_another_task_has_its_own_fields_and_choices(page: Page) -> None:
    page.locator("#task").select_option("assistant_intent")
    extract(page, "What will the weather be like in Bergen?")
    expect(page.locator(".field h3")).to_have_text(["intent", "location", "datetime"])
    page.get_by_role("button", name="Correct intent").click()
    field(page, "intent").get_by_role("combobox").select_option("send_email")
    page.get_by_role("button", name="Set").click()
    expect(page.locator(".field h3")).to_have_text(["intent", "recipient", "subject", "body"])
    page.locator("#form").select_option("jsonl")
    page.locator("#save").click()
    expect(page.locator("#copied")).to_have_text("These fields need a value first: recipient")


def test_nothing_is_stored(page: Page, url: str) -> None:
    extract(page)
    page.get_by_role("button", name="Accept stage").click()
    kept = page.evaluate(
        "async () => [localStorage.length, sessionStorage.length, (await indexedDB.databases()).length]"
    )
    assert kept == [0, 0, 0]
    assert page.context.cookies() == []
    assert page.url == f"{url}/"


@pytest.mark.parametrize(
    "text", ["<img src=x onerror=alert(1)> stage IV", "</textarea><script>alert(1)</script> stage IV"]
)
def test_a_note_is_never_markup(page: Page, text: str) -> None:
    extract(page, text)
    assert page.locator("#note-view").inner_text() == text
    assert page.locator("#note-view img, #note-view script").count() == 0
